"""Everybody who finds peers tells it here: one stream of them, each once, and one place to dial from. A shell."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self, final

from cortexnet.discovery.found import Found, FoundTable, Known
from cortexnet.errors import LocalError
from cortexnet.swarm.peerstore import TEMPORARY_TTL
from cortexnet.transport.one_reader import OneReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cortexnet.admission.tally import Tally
    from cortexnet.discovery.config import DiscoveryConfig
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.swarm.peerstore import Peerstore


@final
class Discovered:
    """The peers that were found since the start of the node, within the bounds of its configuration."""

    def __init__(
        self,
        own: "PeerId",
        peerstore: "Peerstore",
        config: "DiscoveryConfig",
        *,
        tally: "Tally",
        publish: "Callable[[Found], None]",
    ) -> None:
        """What is news is counted in `tally`, and given to `publish`, which must not raise."""
        self._peerstore = peerstore
        self._tally = tally
        self._publish = publish
        self._now = asyncio.get_running_loop().time
        self._streams: dict[FoundStream, None] = {}
        self._is_closed = False
        self.table = FoundTable(own, config)
        """All of them."""
        self.on_found: Callable[[Known], None] | None = None
        """Called with each peer that was found, again or not. Must not raise."""

    def found(self, peer: "PeerId", addresses: "Iterable[Multiaddr]", source: str, *, is_near: bool = False) -> None:
        """A source has found a peer. It may be any peer, found any number of times: of each source so many a second are taken.

        The addresses are kept for 2 minutes, and the peer is dialed where this node has too few. So a source names only addresses
        that it could know: none on this machine or in a private network that was told by who is in none of ours
        (`host.peer_info.reachable`). `is_near`: who told them is in one, and its host names may lead there. Never raises.
        """
        refused = self.table.refused
        is_news = self.table.add(peer, addresses, source, self._now(), is_near=is_near)
        self._tally.peers_found_refused += self.table.refused - refused
        known = self.table.get(peer)
        if known is None:
            return  # it is we, or was one too many
        self.remember(known)
        if is_news:
            self._tell(known.first)
        if self.on_found is not None:
            self.on_found(known)

    def remember(self, known: Known) -> None:
        """See to it that the peerstore knows where a peer is that was found."""
        if known.addresses:
            self._peerstore.add_addresses(known.peer_id, known.addresses, TEMPORARY_TTL, self._now(), is_near=known.is_near)

    def _tell(self, found: Found) -> None:
        self._tally.peers_found += 1
        for stream in self._streams:
            stream.offer(found)
        self._publish(found)

    def subscribe(self, queue: int) -> "FoundStream":
        """See `Node.discovered`."""
        return FoundStream(self, queue)

    def add(self, stream: "FoundStream") -> None:
        """What entering a stream does: it begins with those found by now."""
        self._streams[stream] = None
        for known in sorted(self.table.fresh(self._now()), key=lambda known: known.found_at):
            stream.offer(known.first)
        if self._is_closed:
            stream.end()

    def remove(self, stream: "FoundStream") -> None:
        """What leaving a stream does."""
        self._streams.pop(stream, None)

    def close(self) -> None:
        """Nobody is found any more: who listens gets what is queued, and then the end."""
        self._is_closed = True
        for stream in self._streams:
            stream.end()


@final
class FoundStream:
    """Found peers from its `async with` on, one after the other by `async for`, until the node is closed.

    At most `queue` wait; then the oldest go, and are counted. One task may iterate; before the block that raises
    LocalError. Cancelled while it waits: nobody is lost.
    """

    def __init__(self, discovered: Discovered, queue: int) -> None:
        """Raises LocalError for a queue that holds nothing."""
        if queue < 1:
            raise LocalError(f"a queue of found peers holds at least 1, not {queue}")
        self.dropped = 0
        """Peers for which the queue had no room."""
        self._discovered = discovered
        self._limit = queue
        self._queue: deque[Found] = deque()
        self._reader = OneReader("this stream of found peers")
        self._is_added = False

    async def __aenter__(self) -> Self:
        self._is_added = True
        self._discovered.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._discovered.remove(self)
        self.end()

    def offer(self, found: Found) -> None:
        """Queue one more."""
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(found)
        self._reader.wake()

    def end(self) -> None:
        """Nothing more comes."""
        self._reader.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Found:
        while not self._queue:
            if not self._is_added:
                raise LocalError("nothing comes before `async with node.discovered() as found`: read it inside of that block")
            await self._reader.wait()
        return self._queue.popleft()

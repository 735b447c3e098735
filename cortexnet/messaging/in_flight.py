"""Requests to each peer that are under way: so many at a time, the rest waits for its turn. A shell."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import final

from cortexnet.errors import LimitExceeded
from cortexnet.identity.peer_id import PeerId

LARGE_MESSAGE = 131_072
"""Bytes; what is larger waits for a turn among its like too, see `Limits.large_messages_per_peer`."""


@final
class InFlight:
    """Lets `at_once` requests to a peer go at a time; the others, `longest` at the most, go in the order in which they have come.

    One peer that is slow takes up neither the streams that other protocols need on its connection, nor the turns of other peers.
    """

    def __init__(self, at_once: int, longest: int) -> None:
        self._at_once = at_once
        self._longest = longest
        self._peers: dict[PeerId, _Peer] = {}

    def count(self, peer: PeerId) -> int:
        """Requests to a peer that are under way, or wait for their turn."""
        found = self._peers.get(peer)
        return 0 if found is None else found.under_way + len(found.waiting)

    def silence(self, peer: PeerId) -> float:
        """Seconds for which a peer that has requests has finished none; 0 where it has none."""
        found = self._peers.get(peer)
        return 0.0 if found is None else asyncio.get_running_loop().time() - found.heard

    async def enter(self, peer: PeerId) -> None:
        """Wait for the turn of one request, which `leave` ends. Cancelled: the next one's turn comes.

        Raises LimitExceeded where `longest` (`limits.requests_waiting_per_peer`) wait already: the peer does not keep up.
        """
        found = self._peers.get(peer)
        if found is None:
            found = self._peers[peer] = _Peer(asyncio.get_running_loop().time())
        if found.under_way < self._at_once:  # then nobody waits: who leaves hands its place on
            found.under_way += 1
            return
        if len(found.waiting) >= self._longest:
            setting = "limits.requests_waiting_per_peer"
            raise LimitExceeded(f"requests that wait for {peer}", limit=self._longest, value=self._longest + 1, setting=setting)
        turn = asyncio.get_running_loop().create_future()
        found.waiting[turn] = None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                found.waiting.pop(turn, None)
            else:
                self.leave(peer)  # it had just been given its place
            raise

    @asynccontextmanager
    async def turn(self, peer: PeerId) -> AsyncIterator[None]:
        """`enter` and `leave` around a block. Raises as `enter`."""
        await self.enter(peer)
        try:
            yield
        finally:
            self.leave(peer)

    def leave(self, peer: PeerId) -> None:
        """A request to the peer is over, whichever way."""
        found = self._peers[peer]
        found.heard = asyncio.get_running_loop().time()
        while found.waiting:
            turn, _ = found.waiting.popitem(last=False)
            if not turn.done():  # else it was cancelled in the same turn of the loop
                turn.set_result(None)
                return
        found.under_way -= 1
        if not found.under_way:
            del self._peers[peer]


@final
class _Peer:
    __slots__ = ("heard", "under_way", "waiting")

    def __init__(self, now: float) -> None:
        self.under_way = 0
        self.heard = now  # when the last request was over, or the first began
        self.waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()  # a deque would take long to find who gave up

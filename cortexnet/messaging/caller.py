"""Exchanges that this node begins, each on a stream of its own: counted, timed, and told to whoever judges peers. A shell."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Protocol, TypeVar, final

from cortexnet.admission.limits import Limits
from cortexnet.errors import CortexError
from cortexnet.host.deadline import deadline
from cortexnet.identity.peer_id import PeerId
from cortexnet.messaging.in_flight import LARGE_MESSAGE, InFlight
from cortexnet.transport.stream import Stream

T = TypeVar("T")

OpenStream = Callable[[PeerId, Sequence[str]], Awaitable[Stream]]
"""Opens a stream to a peer, who is dialed if need be."""


class Judge(Protocol):
    """Hears how exchanges went; none of this may raise.

    Seconds count from when the stream was open: neither a dial nor the wait for a turn is in them.
    """

    def answered(self, peer: PeerId, protocol: str, seconds: float) -> None:
        """The answer has come."""

    def failed(self, peer: PeerId, protocol: str, error: CortexError, seconds: float | None) -> None:
        """There will be none; None: there has been no stream."""

    def abandoned(self, peer: PeerId, protocol: str, seconds: float) -> None:
        """Whoever asked has stopped waiting: after so long there was no answer yet, and that is all that is known."""


@final
class Caller:
    """Begins exchanges; `judge` hears how they went."""

    def __init__(self, open_stream: OpenStream, limits: Limits, judge: Judge | None = None) -> None:
        self._open_stream = open_stream
        self._judge = judge
        self.in_flight = InFlight(limits.requests_per_peer, limits.requests_waiting_per_peer)
        self.large = InFlight(limits.large_messages_per_peer, limits.requests_waiting_per_peer)

    async def call(
        self,
        peer: PeerId,
        protocol: str,
        exchange: Callable[[Stream], Awaitable[T]],
        *,
        timeout: float | None,
        what: str,
        size: int = 0,
    ) -> T:
        """What `exchange` returns, given a fresh stream. `timeout` in seconds covers everything: the turn, a dial, the exchange.

        It sends `size` bytes: a large one waits for a turn among its like before the stream is open, since the peer's time for a
        request runs from then on; small ones pass by.

        Raises PeerTimeout, which says `what` took too long; LimitExceeded as `InFlight.enter`; what opening a stream raises, and
        what `exchange` does: then the stream is reset. Cancelled: the peer is told by a reset.
        """
        loop, judge = asyncio.get_running_loop(), self._judge
        begin: float | None = None
        try:
            async with deadline(timeout, what), self.large.turn(peer) if size > LARGE_MESSAGE else nullcontext():
                await self.in_flight.enter(peer)
                try:
                    async with await self._open_stream(peer, [protocol]) as stream:
                        begin = loop.time()
                        answer = await exchange(stream)
                        seconds = loop.time() - begin
                finally:
                    self.in_flight.leave(peer)
        except CortexError as error:
            if judge is not None:
                judge.failed(peer, protocol, error, None if begin is None else loop.time() - begin)
            raise
        except asyncio.CancelledError:
            if judge is not None and begin is not None:
                judge.abandoned(peer, protocol, loop.time() - begin)
            raise
        if judge is not None:
            judge.answered(peer, protocol, seconds)
        return answer

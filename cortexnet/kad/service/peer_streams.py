"""The streams on which we ask: one to each peer, used again, one request at a time. A shell.

Spec: libp2p/specs kad-dht, "RPC messages"; what happens to a stream that breaks is go-libp2p-kad-dht's way.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, final

from cortexnet.errors import EndOfStream, StreamReset
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from cortexnet.host.host import Host
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.config import KadConfig
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.stream import Stream

STREAM_AGE = 30.0
"""Seconds without a request after which a stream of ours is closed: half of what go-libp2p's servers wait."""
FRAIL = 4
"""After so many streams of a peer that could not be used again, each request gets one of its own; go-libp2p's value."""


@final
class PeerStreams:
    """Requests over one protocol to any peers. At most `requests` of the configuration at once; more wait for their turn."""

    def __init__(self, host: "Host", protocol: str, *, config: "KadConfig", scope: Scope) -> None:
        self._host = host
        self._protocol = protocol
        self._answer_size = config.answer_size
        self._turns = asyncio.Semaphore(config.requests)
        self._lines: OrderedDict[PeerId, _Line] = OrderedDict()  # the one used longest ago first
        self._scope = Scope(scope)
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, peer: "PeerId", request: bytes, *, timeout: float | None = None) -> tuple[bytes, float]:
        """The peer's answer, and the seconds it took once the request could be written.

        Dials the peer if need be, at the addresses the peerstore has. Where the stream at hand breaks, a new one is tried. Raises
        DialFailed, LocalError for our own id, NegotiationFailed, MessageTooLarge, Ended, LimitExceeded. Cancelled: the stream is
        reset. TimeoutError after `timeout` seconds; those in which too many other peers are being asked don't count, for they
        say nothing about this one.
        """
        return await self._exchange(peer, request, timeout, expects_answer=True)

    async def tell(self, peer: "PeerId", request: bytes, *, timeout: float | None = None) -> None:
        """Send what gets no answer. That it was understood nobody says: only that the peer speaks the protocol. As `ask`."""
        await self._exchange(peer, request, timeout, expects_answer=False)

    def disconnected(self, connection: "Connection") -> None:
        """The connection is gone: with it what is known of the peer's streams."""
        line = self._lines.get(connection.peer_id)
        if line is not None and line.stream is not None and line.stream.connection is connection:
            line.stream = None
            line.broken = 0
            self._forget_if_unused(connection.peer_id, line)

    def stop(self) -> None:
        """Look after idle streams no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """Close the streams at hand. Requests under way are the callers' own to end. Cancelled: what is open is reset later,
        with its connection."""
        self.stop()
        lines = list(self._lines.values())
        self._lines.clear()
        for line in lines:
            if line.stream is not None and not line.turn.locked():
                stream, line.stream = line.stream, None
                await stream.close()
        await self._scope.close()

    async def _exchange(
        self, peer: "PeerId", request: bytes, timeout: float | None, *, expects_answer: bool
    ) -> tuple[bytes, float]:
        line = self._lines.get(peer)
        if line is None:
            line = self._lines[peer] = _Line()
        else:
            self._lines.move_to_end(peer)
        line.users += 1
        try:
            async with asyncio.timeout(timeout) as limit, line.turn, self._turn(limit):
                return await self._try(peer, line, request, expects_answer)
        finally:
            line.users -= 1
            self._let_go(peer, line)

    @asynccontextmanager
    async def _turn(self, limit: asyncio.Timeout) -> AsyncIterator[None]:
        """One of the requests under way; the limit stands still until it is."""
        loop, when = asyncio.get_running_loop(), limit.when()
        begin = loop.time()
        limit.reschedule(None)
        async with self._turns:
            if when is not None:
                limit.reschedule(when + loop.time() - begin)
            yield

    async def _try(self, peer: "PeerId", line: "_Line", request: bytes, expects_answer: bool) -> tuple[bytes, float]:
        """On the stream at hand, then on a new one."""
        stream, line.stream = line.stream, None
        if stream is not None and stream.failure is None and self._host.is_superfluous(stream):
            await stream.close()
            stream = None
        if stream is not None and stream.failure is None:
            try:
                return await self._on(stream, line, request, expects_answer)
            except (StreamReset, EndOfStream):
                line.broken += 1  # the peer had enough of it: that says nothing about the peer
        stream = await self._host.open_stream(peer, [self._protocol])
        return await self._on(stream, line, request, expects_answer)

    async def _on(self, stream: "Stream", line: "_Line", request: bytes, expects_answer: bool) -> tuple[bytes, float]:
        loop = stream.connection.loop
        answer, is_done = b"", False
        try:
            begin = loop.time()
            await stream.write_message(request)
            if expects_answer:
                answer = await stream.read_message(limit=self._answer_size)
            elif stream.is_negotiating:
                await stream.confirmed()
            seconds = loop.time() - begin
            is_done = True
        finally:
            if not is_done:  # an answer that comes late must not answer the next request
                stream.reset()
        if line.broken < FRAIL:
            line.stream, line.used = stream, loop.time()
        else:
            await stream.close()
        return answer, seconds

    def _let_go(self, peer: "PeerId", line: "_Line") -> None:
        if line.stream is not None and self._scope.is_closed:
            line.stream.reset()
            line.stream = None
        self._forget_if_unused(peer, line)
        if self._timer is None and self._lines and not self._scope.is_closed:
            self._timer = asyncio.get_running_loop().call_later(STREAM_AGE, self._tidy)

    def _forget_if_unused(self, peer: "PeerId", line: "_Line") -> None:
        if line.stream is None and not line.users and self._lines.get(peer) is line and not line.broken:
            del self._lines[peer]

    def _tidy(self) -> None:
        """Close what was not used for long."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for peer, line in list(self._lines.items()):
            if line.used + STREAM_AGE > loop.time():
                break
            if not line.users:
                del self._lines[peer]
                if line.stream is not None and line.stream.failure is None:
                    self._scope.spawn(line.stream.close(), name="close a stream of the DHT")
        if self._lines:
            self._timer = loop.call_later(STREAM_AGE / 2, self._tidy)


@final
class _Line:
    """What we have with one peer."""

    __slots__ = ("broken", "stream", "turn", "used", "users")

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.stream: Stream | None = None
        self.broken = 0  # streams that could not be used again
        self.used = 0.0
        self.users = 0

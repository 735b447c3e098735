"""ping: is the peer there, and how long does a round trip take. A shell.

Spec: libp2p/specs ping.
"""

import asyncio
import os
from contextlib import suppress
from typing import Protocol, final

from cortexnet.admission.limits import Limits
from cortexnet.errors import CortexError, EndOfStream, PeerTimeout, ProtocolViolation, StreamReset
from cortexnet.host.deadline import deadline
from cortexnet.identity.peer_id import PeerId
from cortexnet.transport.connection import Connection
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream

PROTOCOL = "/ipfs/ping/1.0.0"
SIZE = 32
"""Bytes of a ping and of its echo."""
_TOGETHER = 4_096  # bytes of pings that are read at a time
IDLE_TIMEOUT = 60.0
"""Seconds a peer's ping stream may be silent. rust-libp2p pings each 15 s over one stream, and counts its end as a failure."""
STREAM_AGE = 8.0
"""Seconds our own stream is used: js-libp2p resets it 10 s after it was opened."""


async def serve_ping(stream: Stream) -> None:
    """The handler of /ipfs/ping/1.0.0: echo until the peer's end, or until it is silent for `IDLE_TIMEOUT`.

    Pings that came together are echoed together, and others have a turn before the next: nobody needs so many.
    """
    loop, part = asyncio.get_running_loop(), b""
    with suppress(TimeoutError):
        async with asyncio.timeout(IDLE_TIMEOUT) as silence:
            while data := await stream.read(_TOGETHER):
                part += data
                whole = len(part) - len(part) % SIZE
                if whole:
                    await stream.write(part[:whole])
                    part = part[whole:]
                    silence.reschedule(loop.time() + IDLE_TIMEOUT)
                if whole != SIZE:
                    await asyncio.sleep(0)
            if part:
                raise ProtocolViolation(f"ping of {len(part)} bytes")


class Judge(Protocol):
    """Who wants to know how peers do; neither may raise."""

    def report(self, peer: PeerId, success: bool, response_time: float | None = None) -> None:
        """A peer has answered after so many seconds."""

    def failed(self, peer: PeerId, error: Exception) -> None:
        """It has not."""


@final
class Pinger:
    """Pings peers over one stream for each connection, never two: go-libp2p resets a third one, rust-libp2p the first.

    Over QUIC each ping has a stream of its own, one after the other.
    """

    def __init__(self, limits: Limits) -> None:
        self._timeout = limits.ping_timeout
        self._lines: dict[Connection, _Line] = {}
        self.judge: Judge | None = None
        """Hears how pings went."""

    async def ping(self, connection: Connection, *, timeout: float | None = None) -> float:
        """Seconds of one round trip. Pings of one connection at the same time wait for each other.

        Raises PeerTimeout after `timeout` seconds (10), the wait included, ProtocolViolation for a wrong echo, NegotiationFailed,
        StreamReset, EndOfStream, ConnectionClosed. Cancelled: the stream is reset.
        """
        line = self._lines.get(connection)
        if line is None:
            line = _Line(connection)
            if not connection.closed.done():
                self._lines[connection] = line
        peer, judge = connection.peer_id, self.judge
        try:
            async with deadline(self._timeout if timeout is None else timeout, f"ping of {peer}"), line.turn:
                seconds = await line.ping()
        except CortexError as error:
            if judge is not None and (timeout is None or timeout >= self._timeout or not isinstance(error, PeerTimeout)):
                judge.failed(peer, error)  # with less patience than is usual it is not the peer's fault
            raise
        if judge is not None:
            judge.report(peer, True, seconds)
        return seconds

    def disconnected(self, connection: Connection) -> None:
        """The connection is gone."""
        line = self._lines.pop(connection, None)
        if line is not None:
            line.end()


@final
class _Line:
    """The ping stream of one connection, made when it is needed and closed when it is old, over QUIC behind each ping."""

    def __init__(self, connection: Connection) -> None:
        self.turn = asyncio.Lock()
        self._connection = connection
        self._scope = Scope()
        self._stream: Stream | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def ping(self) -> float:
        if self._stream is not None:
            try:
                return await self._exchange(self._stream)
            except (StreamReset, EndOfStream):
                pass  # the peer had enough of it meanwhile: that says nothing about the peer
        self._stream = await self._connection.open_stream([PROTOCOL])
        if self._connection.endpoints.transport != "quic":  # there rust-libp2p overlooks the second ping of a stream
            self._timer = self._connection.loop.call_later(STREAM_AGE, self._grow_old)
        return await self._exchange(self._stream)

    async def _exchange(self, stream: Stream) -> float:
        data, loop = os.urandom(SIZE), self._connection.loop
        completed = False
        try:
            begin = loop.time()
            await stream.write(data)
            echo = await stream.read_exactly(SIZE)
            seconds = loop.time() - begin
            if echo != data:
                raise ProtocolViolation(f"{stream.peer_id} answered a ping with other bytes")
            completed = True
        finally:
            if not completed:  # an echo that comes late must not answer the next ping
                stream.reset()
                self.end()
        if self._timer is None:  # it grew old meanwhile, or is for one ping
            self._stream = None
            await stream.close()
        return seconds

    def _grow_old(self) -> None:
        self._timer = None
        stream = self._stream
        if stream is not None and not self.turn.locked():
            self._stream = None
            self._scope.spawn(stream.close(), name="close the ping stream")

    def end(self) -> None:
        """Forget the stream."""
        self._stream = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

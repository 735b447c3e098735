"""A stream, as applications and protocols see it. A shell over one stream of the muxer's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, final

from cortexnet.documented import documented
from cortexnet.errors import (
    Busy,
    ConnectionClosed,
    CortexError,
    EndOfStream,
    LimitExceeded,
    LocalError,
    MessageTooLarge,
    NegotiationFailed,
    PeerTimeout,
    Refuse,
    RemoteError,
    StreamClosed,
    StreamCode,
    StreamReset,
)
from cortexnet.handshake import Driver, Handshake
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats import varint
from cortexnet.texts import check_bytes

if TYPE_CHECKING:
    from cortexnet.admission.stream_slots import StreamReservation
    from cortexnet.transport.connection import Connection

Bytes = bytes | bytearray | memoryview


@final
@documented
class Stream:
    """A pipe of bytes in both directions to one protocol of one peer.

    One task may read and one may write at a time; a second one gets Busy. `async with` closes the stream on the way out, and
    resets it where an exception passes. Made by `Node.stream` and for handlers, never directly.

    Write all, then read all hangs against an echo once both windows are full, in every libp2p stack: read in a second task.
    """

    __slots__ = (
        "_ahead",
        "_answered",
        "_closed",
        "_expected",
        "_fin_wanted",
        "_id",
        "_is_complete",
        "_is_demanding",
        "_link",
        "_muxer",
        "_negotiation",
        "_poisoned",
        "_reader",
        "_slot",
        "_stopped",
        "_write_barred",
        "_write_closed",
        "_writer",
        "_writing",
        "connection",
        "direction",
        "failure",
        "on_failure",
        "protocol",
    )

    def __init__(
        self, connection: "Connection", stream_id: int, slot: "StreamReservation", direction: Literal["inbound", "outbound"]
    ) -> None:
        self.connection = connection
        """The connection it belongs to."""
        self.direction: Literal["inbound", "outbound"] = direction
        """Who opened it: "outbound" is us."""
        self.protocol = ""
        """The protocol id both sides settled on, or that was proposed."""
        self.failure: CortexError | None = None
        """Why the stream is of no use any more."""
        self.on_failure: Callable[[], None] | None = None
        """Called once, when `failure` is set: for who waits for something else meanwhile. Must not raise."""
        self._id = stream_id
        self._link = connection.link
        self._muxer = connection.mux
        self._slot = slot
        self._negotiation: Driver[str | None] | None = None
        self._expected = self._ahead = b""
        self._answered: asyncio.Future[None] | None = None  # somebody waits for the end of the negotiation
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._writing = False
        self._write_closed = False
        self._write_barred = False  # poisoned, closed or failed
        self._stopped: StreamReset | None = None  # the peer reads no more; what it sends comes on
        self._fin_wanted = False  # close_write was called before the peer's answer had come
        self._poisoned = False
        self._closed = False
        self._is_demanding = False  # a read waits for more than a window: memory is held for it
        self._is_complete = False  # the peer had finished before the stream failed: what it sent can be read, and its end

    @property
    def peer_id(self) -> PeerId:
        """The peer at the other end."""
        return self.connection.peer_id

    def __repr__(self) -> str:
        return f"<Stream {self._id} {self.protocol or 'negotiating'} {self.direction} {self.connection.peer_id}>"

    # --- reading -----------------------------------------------------------------------------------------------------------

    async def read(self, max_bytes: int = 65_536) -> bytes:
        """1 to `max_bytes` bytes, as soon as there are any; b"" once the peer has finished.

        Raises StreamReset, ConnectionClosed, NegotiationFailed (the peer does not speak the protocol), Busy.
        Cancelled: every byte stays, to be read later.
        """
        if self._reader is not None:
            raise Busy("another task reads this stream")
        if max_bytes < 1:
            raise LocalError(f"max_bytes must be positive, not {max_bytes}")
        muxer = self._muxer
        while True:
            if self._negotiation is None and not self._closed:
                data = muxer.read(self._id, max_bytes)
                if data is not None:
                    if muxer.has_output:
                        self._link.flush_soon()
                    return data
            self._raise_read_failure()
            if self._is_at_end():
                return b""
            self._reader = self.connection.loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    async def read_exactly(self, size: int) -> bytes:
        """`size` bytes. Raises as `read`, EndOfStream (its `partial` has what came) and LimitExceeded where `size` never fits.

        Cancelled: every byte stays.
        """
        if self._reader is not None:
            raise Busy("another task reads this stream")
        if size < 1:
            if size < 0:
                raise LocalError(f"size must not be negative, but is {size}")
            return b""
        try:
            while True:
                data = self._take(self._muxer.read_exactly, size)
                if data is not None:
                    return data
                if self._is_at_end():
                    raise EndOfStream(partial=self._rest())
                await self._wait_readable(size)
        finally:
            self._end_demand()

    async def read_all(self, *, limit: int) -> bytes:
        """Everything up to the peer's end, which its `close_write`, or the return of its handler, makes: without it this waits.

        Raises as `read`, and MessageTooLarge past `limit` bytes (nothing is lost: read on).
        Cancelled: every byte stays.
        """
        if self._reader is not None:
            raise Busy("another task reads this stream")
        try:
            while True:
                size = self._muxer.readable_bytes(self._id) if self._muxer.knows(self._id) else 0
                if size > limit:
                    raise MessageTooLarge("stream", size, limit)
                if self._is_at_end():
                    return self._take(self._muxer.read_exactly, size) or b""
                self._raise_read_failure()
                # Twice as much each time, but with caution where the memory of the connection comes into sight: `limit` is what
                # the caller would take, not what comes.
                ask = 2 * size if 4 * size < self.connection.reservation.memory.limit else size
                await self._wait_readable(min(ask + _SMALL_READ, limit + 1))
        finally:
            self._end_demand()

    async def read_message(self, *, limit: int = 1024 * 1024) -> bytes:
        """One message with its length, a varint, in front. Raises as `read_exactly`, and MessageTooLarge past `limit` bytes.

        At the peer's end EndOfStream has an empty `partial` where no message was begun. Cancelled: every byte stays.
        """
        if self._reader is not None:
            raise Busy("another task reads this stream")
        try:
            while True:
                message = self._take(self._muxer.read_message, limit)
                if message is not None:
                    return message
                if self._is_at_end():
                    raise EndOfStream(partial=self._rest())
                await self._wait_readable(0 if self.is_negotiating else self._muxer.message_wanted(self._id))
        finally:
            self._end_demand()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    def _take(self, take: Callable[[int, int], bytes | None], size: int) -> bytes | None:
        """What `take` gives of the muxer's inbox; None where more must come first, or nothing will."""
        muxer = self._muxer
        if self._closed or self._negotiation is not None or not muxer.knows(self._id):
            self._raise_read_failure()
            return None
        data = take(self._id, size)
        if data is None:
            self._raise_read_failure()
        elif muxer.has_output:
            self._link.flush_soon()
        return data

    def _is_at_end(self) -> bool:
        """Whether nothing will come besides what is there already."""
        return self._negotiation is None and self._muxer.is_finished(self._id)

    def _rest(self) -> bytes:
        muxer = self._muxer
        size = muxer.readable_bytes(self._id) if muxer.knows(self._id) else 0
        return (muxer.read_exactly(self._id, size) or b"") if size else b""

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure.again()

    def _raise_write_failure(self) -> None:
        self._raise_failure()
        if self._stopped is not None:
            raise self._stopped.again()

    def _raise_read_failure(self) -> None:
        if self.failure is not None and (self._closed or not self._is_complete):
            raise self.failure.again()

    async def _wait_readable(self, size: int) -> None:
        """Wait for more; with `size` bytes in all demanded of the peer, where that is more than its window.

        The demand stands until the whole read ends: the memory for it must not be promised to another one meanwhile.
        """
        muxer = self._muxer
        if size > _SMALL_READ and muxer.knows(self._id):
            self._is_demanding = True
            muxer.expect(self._id, size)
            self._link.flush_soon()
        self._reader = self.connection.loop.create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def _end_demand(self) -> None:
        if self._is_demanding:
            self._is_demanding = False
            if self._muxer.knows(self._id):
                self._muxer.expect(self._id, 0)
                self._link.flush_soon()  # another reader's demand may have been granted

    # --- writing -----------------------------------------------------------------------------------------------------------

    async def write(self, data: Bytes) -> None:
        """Hand all of `data` over for sending; waits for the peer's window and the socket as long as that takes.

        Bytes go out at the end of the loop's turn, or at once when a full record is there. The caller may reuse its buffer.
        Raises StreamReset, ConnectionClosed, StreamClosed after `close_write`, Busy, LocalError for what is not
        bytes, such as a text. Cancelled after a part was accepted, the write side is spoiled: the next write raises LocalError,
        `close` resets.
        """
        if type(data) is not bytes:
            check_bytes("what is written", data)
            data = bytes(data)
        accepted = self._offer(data)
        if accepted < len(data):
            await self._write_rest(memoryview(data), accepted)

    async def write_message(self, data: Bytes) -> None:
        """As `write`, with the length as a varint in front."""
        if type(data) is not bytes:
            check_bytes("a message", data)
            data = bytes(data)
        framed = varint.encode(len(data)) + data
        accepted = self._offer(framed)
        if accepted < len(framed):
            await self._write_rest(memoryview(framed), accepted)

    def _offer(self, data: bytes) -> int:
        """Give the muxer what it takes now."""
        if self._writing or self._write_barred:
            self._refuse_write()
        accepted = self._muxer.send(self._id, data)
        self._link.queued(accepted)
        return accepted

    async def _write_rest(self, data: memoryview, accepted: int) -> None:
        self._writing = True
        try:
            while accepted < len(data):
                size = self._muxer.send(self._id, data[accepted:])
                if size:
                    accepted += size
                    self._link.queued(size)
                    continue
                self._writer = self.connection.loop.create_future()
                await self._writer
                self._raise_write_failure()
        except asyncio.CancelledError:
            if accepted:
                self._poisoned = self._write_barred = True
            raise
        finally:
            self._writing = False
            self._writer = None

    def _refuse_write(self) -> None:
        if self._writing:
            raise Busy("another task writes to this stream")
        self._raise_write_failure()
        if self._write_closed:
            raise StreamClosed("the write side of this stream is closed")
        raise LocalError("a write was cancelled after a part of it had gone: reset or close this stream")

    async def close_write(self) -> None:
        """Finish writing: the peer's reads end after the last byte. Returns at once; reading goes on.

        On a stream whose protocol the peer has not confirmed yet, the end goes out once it has, or at once where the peer's
        muxer is known to take it.
        """
        if self._poisoned:
            self._refuse_write()
        self._raise_failure()
        if self._writing:
            raise Busy("another task writes to this stream")
        self._finish_writing()

    def _finish_writing(self) -> None:
        if self._write_closed:
            return
        self._write_closed = self._write_barred = True
        if self._negotiation is not None and not self._muxer.takes_early_end:
            self._fin_wanted = True
        elif self._muxer.knows(self._id):
            self._muxer.close_write(self._id)
            self._link.flush_soon()

    # --- the end -----------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Finish writing, and drop what the peer still sends. Never raises for the peer's doing.

        Waits for nothing but the peer's answer to the protocol proposal, where that is outstanding. After a spoiled write it
        resets. Cancelled: the stream is reset.
        """
        if self._closed:
            return
        if self._poisoned or self._writing or self.failure is not None:
            self.reset()
            return
        self._finish_writing()
        if self._negotiation is not None and self.direction == "outbound":
            try:
                await self._wait_answer()
            except asyncio.CancelledError:
                self.reset()
                raise
            except CortexError:
                if not self._closed:  # by another task, which waited as well
                    self.reset()
                return
        self._end(StreamClosed("this stream was closed here"))
        if self._muxer.knows(self._id):
            self._muxer.discard_reads(self._id)
            self._link.flush_soon()

    def reset(self, code: int = StreamCode.NONE) -> None:
        """End both directions now; bytes that were not sent or read are gone. `code` tells the peer why. Never raises."""
        if not self._closed:
            self._end(StreamReset(code=code, by="local"))
        if self._muxer.knows(self._id):
            if self.direction == "inbound" and self._muxer.queued(self._id):
                # Our answer to the protocol proposal may be among it: without that the peer would think we do not speak it.
                self._link.flush()
            self._muxer.reset(self._id, code)
            self._link.flush_soon()

    def _end(self, failure: CortexError) -> None:
        """Nobody here uses the stream any more."""
        self._closed = self._write_closed = self._write_barred = True
        self.fail(failure)
        self.connection.forget(self._id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            await self.close()
        else:
            self.reset(error.code if isinstance(error, RemoteError | Refuse) else StreamCode.NONE)

    # --- called by the connection ------------------------------------------------------------------------------------------

    @property
    def is_negotiating(self) -> bool:
        """Whether the protocol is not settled yet."""
        return self._negotiation is not None

    @property
    def slot(self) -> "StreamReservation":
        """Its place in the counts."""
        return self._slot

    def negotiate(self, handshake: Handshake[str | None], expected: bytes = b"") -> None:
        """Begin to settle the protocol.

        Where `handshake` only reads, `expected` may be what it accepts in most cases: if just that comes, and at once, it is not
        taken apart line by line, which is a tenth of what a request costs.
        """
        self._expected = expected
        self._negotiation = Driver(handshake, self._take_line)
        if not expected:
            self._advance(self._negotiation)

    def _take_line(self, size: int) -> bytes | None:
        """Bytes of the negotiation. A stream that was reset behind its end is forgotten when the last of them is taken."""
        ahead = self._ahead
        if len(ahead) >= size:
            self._ahead = ahead[size:]
            return ahead[:size]
        rest = self._muxer.read_exactly(self._id, size - len(ahead)) if self._muxer.knows(self._id) else None
        if rest is None or not ahead:
            return rest
        self._ahead = b""
        return ahead + rest

    def _is_as_expected(self) -> bool:
        """Whether what has come is what was expected, all of it: then it is taken out. Asked once."""
        expected, self._expected = self._expected, b""
        if self._muxer.readable_bytes(self._id) < len(expected):
            return False
        self._ahead = self._muxer.read_exactly(self._id, len(expected)) or b""
        if self._ahead != expected:
            return False
        self._ahead = b""
        return True

    def _advance(self, negotiation: Driver[str | None]) -> None:
        """Go on negotiating with what has come."""
        muxer = self._muxer
        if not muxer.knows(self._id):
            return  # it was reset in the same breath; the event that says so, and why, comes next
        has_ended = muxer.is_finished(self._id)
        if self._expected and self._is_as_expected():
            self._is_complete = has_ended and not muxer.knows(self._id)
            self._negotiation_done(None)
            return
        negotiation.advance()
        self._is_complete = has_ended and not muxer.knows(self._id)
        data = negotiation.data_to_send()
        if data and muxer.knows(self._id):
            self._send_line(data)
        if negotiation.error is not None:
            self._negotiation_failed(negotiation.error)
        elif negotiation.done:
            self._negotiation_done(negotiation.result)
        elif muxer.is_finished(self._id):
            self._negotiation_failed(NegotiationFailed(f"{self.peer_id} ended the stream without settling on a protocol"))

    def _send_line(self, data: bytes) -> None:
        try:
            self._muxer.send(self._id, data)
        except StreamClosed:
            return  # the peer reset it, or left, in the same breath; the event that says so comes next
        self._link.flush_soon()

    def _negotiation_done(self, protocol: str | None) -> None:
        self._negotiation = None
        if protocol is not None:
            self.protocol = protocol
        if self._fin_wanted and self._muxer.knows(self._id):
            self._muxer.close_write(self._id)
            self._link.flush_soon()
        self._wake_answer()
        self.connection.negotiated(self)

    def _negotiation_failed(self, error: Exception) -> None:
        code = error.code if isinstance(error, NegotiationFailed) else StreamCode.PROTOCOL_VIOLATION
        if self._muxer.knows(self._id):
            self._muxer.reset(self._id, code)
            self._link.flush_soon()
        if isinstance(error, RemoteError):
            self.connection.offended(error)
        self.fail(error if isinstance(error, CortexError) else NegotiationFailed(str(error)))
        self.connection.forget(self._id)

    def supplanted(self, error: LimitExceeded) -> None:
        """Its place was given to a peer that has far fewer; `error` is what was short."""
        self.connection.reservation.refused(error)
        self.reset(StreamCode.LIMIT_EXCEEDED)

    def answer_timed_out(self) -> None:
        """The peer took too long to settle on a protocol."""
        if self._negotiation is not None:
            self._negotiation_failed(PeerTimeout(f"{self.peer_id} did not answer the protocol proposal in time"))

    async def _wait_answer(self) -> None:
        """Wait until the protocol is settled. Raises what came of it instead. Cancelled: nothing changes."""
        while self._negotiation is not None and self.failure is None:
            if self._answered is None:
                self._answered = self.connection.loop.create_future()
            await asyncio.shield(self._answered)
        self._raise_failure()

    confirmed = _wait_answer

    def readable(self) -> None:
        """Bytes came, or the end of them."""
        if self._negotiation is not None:
            self._advance(self._negotiation)
            if self._negotiation is not None:
                return
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def writable(self) -> None:
        """A write that had to stop may go on."""
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def write_was_stopped(self, code: int) -> None:
        """The peer reads no more: nothing can be written, but what it sends can be read."""
        self._stopped = StreamReset(f"the peer reads no more of this stream, code {code:#x}", code=code, by="remote")
        self._write_barred = True
        self.writable()

    def was_reset(self, code: int, *, by_peer: bool) -> None:
        """The muxer ended the stream."""
        if self._negotiation is not None and code in (StreamCode.NONE, StreamCode.NEGOTIATION_FAILED):
            protocols = [self.protocol] if self.protocol else []
            proposed = self.protocol or "a protocol"
            message = f"{self.peer_id} reset the stream instead of settling on {proposed}: most likely it does not speak it"
            self.fail(NegotiationFailed(message, protocols=protocols))
        else:
            self.fail(StreamReset(code=code) if by_peer else self._own_limit(code))
        if not self._muxer.knows(self._id):
            self.connection.forget(self._id)

    def _own_limit(self, code: int) -> StreamReset:
        """The muxer had to end the stream for a bound of ours; where that was memory, its cause says which."""
        passed = self.connection.reservation.memory.passed if code == StreamCode.LIMIT_EXCEEDED else None
        error = StreamReset(f"stream reset by the local side, {passed or f'code {code:#x}'}", code=code, by="local")
        error.__cause__ = passed
        return error

    def connection_failed(self, error: ConnectionClosed | CortexError) -> None:
        """The connection is gone."""
        self.fail(error)

    def fail(self, error: CortexError) -> None:
        """Give up the stream: everyone who waits for it learns why."""
        if self.failure is None:
            self.failure = error
            if self._negotiation is None and self._muxer.knows(self._id) and self._muxer.is_finished(self._id):
                self._is_complete = True
            self._write_barred = True
            if self._negotiation is not None:
                self._negotiation.close()
            if self.on_failure is not None:
                self.on_failure()
        if self.direction == "outbound" or self.is_negotiating:
            self._slot.release()  # else its handler holds it, to the end
        self._wake_answer()
        for waiter in (self._reader, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _wake_answer(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)


_SMALL_READ = 131_072
"""Reads up to half of an initial window never need a demand of their own."""

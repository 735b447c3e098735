"""A connection: the shell that moves bytes between a socket, the secure session and the muxer, and dispatches its events."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never, final

from cortexnet import multistream
from cortexnet.errors import (
    ConnectionClosed,
    ConnectionCode,
    CortexError,
    LimitExceeded,
    StreamCode,
)
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.mux.muxer import (
    ConnectionFailed,
    Muxer,
    MuxEvent,
    RoundTripMeasured,
    StreamOpened,
    StreamReadable,
    StreamWasReset,
    StreamWritable,
)
from cortexnet.security.session import SecureSession
from cortexnet.swarm.resources import Reservation
from cortexnet.transport.handlers import Handlers
from cortexnet.transport.handlers import StreamAcceptor as StreamAcceptor
from cortexnet.transport.handlers import StreamHandler as StreamHandler
from cortexnet.transport.read_turns import CHUNK_SIZE, turns_of
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream
from cortexnet.transport.turnstile import Turnstile

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

log = logging.getLogger(__name__)

_FEW_RECORDS = 3  # of a chunk; more are small ones, and joined: the muxer works on its share of frames once a callback
_LAST_SHARES = 16  # of frames that came before the socket was lost: all data that a chunk can hold, but no flood of new streams
_SMALL_CHUNK = 512  # bytes that are not worth a look at the clock
_SMALL_CHUNK_TIME = 50e-6  # seconds they are taken to cost
_SMALL = 4_096  # bytes of a write that is more likely part of a conversation than of a transfer


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a connection runs, and who began it."""

    local: Multiaddr
    remote: Multiaddr
    direction: Literal["inbound", "outbound"]
    transport: str


@final
class Connection(asyncio.BufferedProtocol):
    """An authenticated, encrypted, multiplexed connection to one peer.

    It reads nothing before `start`. `closed` is done once the socket is gone.
    """

    def __init__(
        self,
        io: asyncio.Transport,
        *,
        session: SecureSession,
        mux: Muxer,
        endpoints: Endpoints,
        reservation: Reservation,
        leftover: bytes,
        undecrypted: bytes,
        negotiation_timeout: float,
        close_timeout: float,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.mux = mux
        self.peer_id: PeerId = session.remote_peer
        self.remote_key = session.remote_key
        self.endpoints = endpoints
        self.reservation = reservation
        self.rtt: float | None = None
        """Seconds of the last round trip measured by the muxer; None before the first."""
        self.error: CortexError | None = None
        """Why it ended."""
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.on_lost: Callable[[Connection], None] | None = None
        self.on_overload: Callable[[], None] | None = None
        """Called where all connections together hold more memory than the node may."""
        self._io = io
        self._session = session
        self._turns = turns_of(self.loop)
        self._buffer = self._turns.buffer()
        self._leftover = leftover  # plaintext and ciphertext that came right behind the handshake
        self._kept = undecrypted  # the part of a record that has come
        self._streams: dict[int, Stream] = {}
        self._handlers: Handlers | None = None
        self._openers = Turnstile(self._can_open)
        self._deadlines: dict[Stream, float] = {}  # streams that negotiate, in the order of their deadlines
        self._negotiation_timeout = negotiation_timeout
        self._close_timeout = close_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._memory = reservation.memory
        self._record_size = mux.record_size
        self._unflushed = 0  # bytes that were queued since everything was sent
        self._gone = False  # the socket takes no more
        self._flush_scheduled = False
        self._dispatching = False
        self._may_answer = False  # something came in, and nothing was written since
        self._write_paused = False
        self._read_paused = True
        self._drained: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.endpoints.direction} {self.peer_id} {self.remote_address}>"

    @property
    def remote_address(self) -> Multiaddr:
        """Where the peer is."""
        return self.endpoints.remote

    @property
    def local_address(self) -> Multiaddr:
        """Our end."""
        return self.endpoints.local

    @property
    def direction(self) -> Literal["inbound", "outbound"]:
        """Who dialed: "outbound" is us."""
        return self.endpoints.direction

    @property
    def transport(self) -> str:
        """Such as "tcp"."""
        return self.endpoints.transport

    @property
    def security(self) -> str:
        """Such as "/noise"."""
        return self._session.name

    @property
    def muxer(self) -> str:
        """Such as "/yamux/1.0.0"."""
        return self.mux.name

    @property
    def streams(self) -> list[Stream]:
        """The open streams."""
        return list(self._streams.values())

    @property
    def stream_count(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def is_relayed(self) -> bool:
        """Whether it runs through a relay."""
        return False

    @property
    def is_open(self) -> bool:
        """Whether streams can still be opened."""
        return self.error is None and not self._io.is_closing()

    def start(self, acceptor: StreamAcceptor, scope: Scope) -> None:
        """Begin to read; handlers run in a child of `scope`. Nothing happens where the connection has ended meanwhile."""
        if self.error is not None:
            return
        self._handlers = Handlers(acceptor, scope)
        self._handle_timer()
        leftover, self._leftover = self._leftover, b""
        if leftover:
            self._receive([leftover], self.loop.time())
        self._receive_kept()

    # --- in: socket → session → muxer → events -----------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        kept = self._kept
        if kept:
            self._buffer[: len(kept)] = kept
        return self._buffer[len(kept) : len(kept) + CHUNK_SIZE]

    def buffer_updated(self, nbytes: int) -> None:
        if self.error is not None:
            return  # what a peer sends until it has seen our goodbye
        data = self._buffer[: len(self._kept) + nbytes]
        if self._turns.is_over:
            self._kept = bytes(data)
            self._pause_reading()
            self._turns.defer(self._receive_kept, is_light=len(data) <= _SMALL_CHUNK)
            return
        self._receive_data(data)

    def _receive_data(self, data: memoryview) -> None:
        now = self.loop.time()
        plaintexts, used = self._session.decrypt(data)
        self._kept = bytes(data[used:]) if used < len(data) else b""
        self._receive(plaintexts, now)
        if self._session.error is not None:
            self._fail(self._session.error)
        elif self._session.has_backlog:
            self._pause_reading()
            self._turns.defer(self._receive_kept)
        self._turns.spend(self.loop.time() - now if len(data) > _SMALL_CHUNK else _SMALL_CHUNK_TIME)

    def _receive_kept(self) -> None:
        """The chunk that came when this turn's time was over, or records beyond the share of one turn."""
        if self.error is None:
            kept, self._kept = self._kept, b""
            self._receive_data(memoryview(kept))
            if not self.mux.has_backlog and not self._session.has_backlog:
                self._resume_reading()

    def _receive(self, plaintexts: Sequence[bytes], now: float) -> None:
        mux = self.mux
        self._dispatching = self._may_answer = True
        if len(plaintexts) > _FEW_RECORDS:
            plaintexts = [b"".join(plaintexts)]
        for plaintext in plaintexts:
            events = mux.receive(plaintext, now)
            if events:
                self._dispatch(events)
        self._dispatching = False
        if self._openers.waiting:  # an acknowledgement is no event
            self._openers.wake()
        node_memory = self._memory.node
        if node_memory.used > node_memory.limit and self.on_overload is not None:
            self.on_overload()
        if mux.has_backlog:
            self._pause_reading()
            self._turns.defer(self._receive_backlog)
        if mux.has_output:
            self.flush_soon()

    def _receive_backlog(self) -> None:
        """Frames beyond the share of one turn."""
        if self.error is not None:
            return
        now = self.loop.time()
        self._receive([b""], now)
        self._turns.spend(self.loop.time() - now)
        if not self.mux.has_backlog and not self._session.has_backlog:
            self._resume_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused:
            self._read_paused = True
            self._io.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused and not self._io.is_closing():
            self._read_paused = False
            self._io.resume_reading()

    def eof_received(self) -> bool:
        self._fail(ConnectionClosed("the network or the peer closed the connection", by="network"))
        return False

    def _dispatch(self, events: Sequence[MuxEvent]) -> None:
        streams = self._streams
        for event in events:
            if isinstance(event, StreamReadable):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.readable()
            elif isinstance(event, StreamWritable):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.writable()
            elif isinstance(event, StreamOpened):
                self._accept_stream(event.stream_id)
            elif isinstance(event, StreamWasReset):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.was_reset(event.code, by_peer=event.by_peer)
            elif isinstance(event, RoundTripMeasured):
                self.rtt = event.seconds
            elif isinstance(event, ConnectionFailed):
                self._fail(event.error)
            else:
                assert_never(event)

    # --- out: muxer → session → socket -------------------------------------------------------------------------------------

    def queued(self, size: int) -> None:
        """A stream gave `size` bytes to the muxer.

        The first small write after something came in is most likely an answer, and goes out at once. What follows is gathered
        until it makes a full record, or to the end of the loop's turn.
        """
        self._unflushed += size
        if self._unflushed >= self._record_size and not self._write_paused:
            self._send_full_records()
        if self._flush_scheduled:
            return
        if size < _SMALL and self._may_answer and not self._write_paused and not self._dispatching:
            self._may_answer = False
            self._send()
        else:
            self.flush_soon()

    def flush_soon(self) -> None:
        """Send what the muxer has at the end of this turn of the loop: many small writes make one record.

        While events are dispatched nothing is scheduled: what handlers that they wake will write is to go into the same record.
        """
        if not self._flush_scheduled and not self._dispatching:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush)

    def flush(self) -> None:
        """Send what the muxer has now."""
        if self.mux.has_output:
            self._send()

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self.mux.has_output:
            self._send()
        if self.mux.timeout_moved:
            self._arm_timer()
        if self._openers.waiting:
            self._openers.wake()

    def _send(self) -> None:
        """Send everything, as long as the socket takes it."""
        mux, session, io = self.mux, self._session, self._io
        while mux.has_output and not self._write_paused and not self._gone:
            io.write(session.encrypt(mux.data_to_send()))
        self._unflushed = 0
        self._wake_writers()

    def _send_full_records(self) -> None:
        """Send what fills records; the rest may be joined by what the application writes next."""
        mux = self.mux
        while self._unflushed >= self._record_size and not self._write_paused and not self._gone:
            parts = mux.data_to_send(full_frames_only=True)
            if not parts:  # there is more than a record, but not of one stream
                self._unflushed = 0
                break
            self._io.write(self._session.encrypt(parts))
            self._unflushed -= self._record_size
        self._wake_writers()

    def _wake_writers(self) -> None:
        """Writers whose share of the outbox has room again may go on."""
        drained = self.mux.drained
        if drained:
            for stream_id in drained:
                stream = self._streams.get(stream_id)
                if stream is not None:
                    stream.writable()
            drained.clear()
        if self._drained is not None and not self.mux.has_output and not self._drained.done():
            self._drained.set_result(None)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._send()

    # --- time --------------------------------------------------------------------------------------------------------------

    def _arm_timer(self) -> None:
        if self.error is not None:
            return  # the timer is the one that aborts
        due = self.mux.next_timeout()
        if self._deadlines:
            first = next(iter(self._deadlines.values()))
            due = first if due is None else min(due, first)
        timer = self._timer
        if due is None or (timer is not None and timer.when() <= due):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self.loop.call_at(max(due, self.loop.time()), self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        now = self.loop.time()
        self._dispatch(self.mux.handle_timeout(now))
        for stream, due in list(self._deadlines.items()):
            if due > now:
                break
            del self._deadlines[stream]
            stream.answer_timed_out()
        if self.mux.has_output:
            self.flush_soon()
        self._arm_timer()

    # --- streams -----------------------------------------------------------------------------------------------------------

    async def open_stream(self, protocols: Sequence[str], *, confirm: bool = False) -> Stream:
        """A new stream for the first of `protocols` the peer speaks.

        With one protocol the choice is optimistic: the stream can be used at once, and an unsupported protocol shows at the
        first read as NegotiationFailed; `confirm` waits for the answer instead, as is done with several protocols.
        At our limit of streams, or the peer's backlog, waits its turn as long as the caller does.
        Raises LocalError for names that are none, ConnectionClosed, NegotiationFailed, PeerTimeout, StreamReset.
        Cancelled: nothing is left.
        """
        opening = multistream.propose(protocols[0]) if len(protocols) == 1 else b""
        choice = multistream.confirm(protocols[0]) if opening else multistream.select(protocols)
        self._raise_error()
        await self._openers.enter()
        self._raise_error()
        slot = self.reservation.streams.open_outbound()
        try:
            stream_id = self.mux.open_stream()
        except CortexError:
            slot.release()
            raise
        stream = Stream(self, stream_id, slot, "outbound")
        self._streams[stream_id] = stream
        self._set_deadline(stream)
        if opening:
            stream.protocol = protocols[0]
            self.mux.send(stream_id, opening)
        stream.negotiate(choice)
        self.flush_soon()
        if confirm or len(protocols) > 1:
            try:
                await stream.confirmed()
            except BaseException:
                stream.reset()
                raise
        return stream

    def _set_deadline(self, stream: Stream) -> None:
        """The protocol of a new stream must be settled in time."""
        due = self._deadlines[stream] = self.loop.time() + self._negotiation_timeout
        if self._timer is None or self._timer.when() > due:
            self._arm_timer()

    def _can_open(self) -> bool:
        return self.mux.can_open() and self.reservation.streams.can_open_outbound()

    def _raise_error(self) -> None:
        if self.error is not None:
            raise self.error
        if self._io.is_closing():
            raise ConnectionClosed("this connection is closing", by="local")

    def _accept_stream(self, stream_id: int) -> None:
        if not self.mux.knows(stream_id) or self._handlers is None:
            return
        try:
            slot = self.reservation.streams.open_inbound()
        except LimitExceeded as error:
            log.debug("stream of %s refused: %s", self.peer_id, error)
            self.mux.reset(stream_id, StreamCode.LIMIT_EXCEEDED)
            return
        stream = Stream(self, stream_id, slot, "inbound")
        self._streams[stream_id] = stream
        self._set_deadline(stream)
        stream.negotiate(multistream.be_selected(self._handlers.supports))

    def negotiated(self, stream: Stream) -> None:
        """The protocol of a stream is settled; an inbound one gets its handler."""
        self._deadlines.pop(stream, None)
        if stream.direction == "inbound" and self._handlers is not None:
            self._handlers.run(stream)

    def reset_largest_unread(self) -> None:
        """Too much memory is held: end the stream that holds most of this connection's."""
        self._dispatch(self.mux.reset_largest_unread())
        self.flush_soon()

    def forget(self, stream_id: int) -> None:
        """A stream is of no more interest to anybody here."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self._deadlines.pop(stream, None)
        if self._openers.waiting:
            self._openers.wake()

    # --- the end -----------------------------------------------------------------------------------------------------------

    async def close(self, code: int = ConnectionCode.NONE) -> None:
        """End the handlers, send what streams have queued, say goodbye and close the socket; abort where that takes too long.

        Cancelled: the connection is aborted.
        """
        try:
            async with asyncio.timeout(self._close_timeout):
                if self._handlers is not None:
                    self._handlers.cancel()
                    await asyncio.sleep(0)  # so that what the handlers reset on their way out is sent
                await self._send_everything()
                self._say_goodbye(code)
                await asyncio.shield(self.closed)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self.closed)
        except asyncio.CancelledError:
            self.abort()
            raise
        if self._handlers is not None:
            await self._handlers.close()

    async def _send_everything(self) -> None:
        self._send()
        if self.error is None and self.mux.has_output:
            if self._drained is None:
                self._drained = self.loop.create_future()
            await asyncio.shield(self._drained)

    def _say_goodbye(self, code: int) -> None:
        """Send GoAway and end our side; the socket closes when the peer's side has ended, or the time is over.

        To close it at once could destroy what we sent: the system resets a connection that is closed with bytes unread, and
        drops what the peer has not acknowledged yet.
        """
        if self.error is not None:
            return
        self.mux.close(code)
        self._fail(ConnectionClosed(by="local", code=code), lingering=True)

    def abort(self) -> None:
        """Close the socket now; nothing queued is sent."""
        if not self.closed.done():  # CPython 3.11 raises AttributeError for a socket that is closed already
            self._io.abort()
        self._gone = True
        self._fail(ConnectionClosed(by="local"))

    def _fail(self, error: CortexError, *, lingering: bool = False) -> None:
        """The connection is over: tell everyone, send the muxer's farewell, close the socket."""
        if self.error is not None:
            return
        self.error = error
        ended = error if isinstance(error, ConnectionClosed) else ConnectionClosed(f"connection failed: {error}", by="local")
        self.mux.close(ConnectionCode.NONE if ended is error else ConnectionCode.PROTOCOL_VIOLATION)
        if self._timer is not None:
            self._timer.cancel()
        self._write_paused = False
        self._send()
        self._gone = True
        if not lingering or not self._end_writing():
            self._io.close()
        self._timer = self.loop.call_later(self._close_timeout, self._io.abort)  # for a peer that does not read the rest
        for stream in list(self._streams.values()):
            stream.connection_failed(ended)
        self._streams.clear()
        self._deadlines.clear()
        self._openers.remove()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._handlers is None:
            return
        if ended.by == "local":
            self._handlers.cancel()
        else:
            self._handlers.cancel_later(self._close_timeout)

    def _end_writing(self) -> bool:
        """End our side of the socket and read on, for nothing but its end; False where that can't be."""
        if not self._io.can_write_eof():
            return False
        try:
            self._io.write_eof()
        except OSError:  # the peer has reset it
            return False
        self._resume_reading()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        if self.error is None:
            self._receive_rest()
        self._gone = True
        reason = f": {error}" if error is not None else ""
        self._fail(ConnectionClosed(f"the network or the peer closed the connection{reason}", by="network"))
        if self._timer is not None:
            self._timer.cancel()
        self.reservation.release()
        if not self.closed.done():
            self.closed.set_result(None)
        if self.on_lost is not None:
            self.on_lost(self)

    def _receive_rest(self) -> None:
        """What had come, and waited for its turn, when the socket was lost."""
        session, now, rest = self._session, self.loop.time(), self._kept
        for share in range(_LAST_SHARES):
            if share == 0 or session.has_backlog:
                plaintexts, used = session.decrypt(rest)
                rest = rest[used:]
                self._receive(plaintexts, now)
            elif self.mux.has_backlog:
                self._receive([b""], now)

"""The link of a connection over one stream of bytes: socket, secure session, muxer. A shell."""

import asyncio
import functools
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from cortexnet.admission.bandwidth import NO_REST, Traffic
from cortexnet.errors import ConnectionClosed, CortexError
from cortexnet.mux.muxer import Muxer, MuxEvent
from cortexnet.security.session import SecureSession
from cortexnet.transport.read_turns import CHUNK_SIZE, LATE_CHUNK_SIZE, turns_of

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

    from cortexnet.transport.connection import Connection

_FEW_RECORDS = 5  # of a chunk, each of which may have its share of frames; more are small ones, and joined
_LAST_SHARES = 64  # of frames that came before the socket was lost: all data that a chunk can hold, but no flood of new streams
_SMALL_CHUNK = 512  # bytes that are not worth a look at the clock; less is light, and as much is read when a turn is over
_SMALL_CHUNK_TIME = 50e-6  # seconds they are taken to cost
_FIRST_CHUNKS = 8  # of a connection, which bring identify and the first streams: they count as its coming
_LARGE_CHUNK = 65_536  # bytes that were waiting for their turn, from which on it is worth to wait for the next one at once
_CAPPED_CHUNK = 65_536  # bytes that a connection with a cap on its bandwidth takes in before it waits
_SMALL = 4_096  # bytes of a write that is more likely part of a conversation than of a transfer


class _Lost:
    """Takes the place of a connection that was told that its socket is lost: what is still under way then has nobody to tell."""

    def fail(self, error: CortexError) -> None: ...
    def dispatch(self, events: Sequence[MuxEvent]) -> None: ...
    def received(self) -> None: ...
    def sent(self) -> None: ...
    def flushed(self) -> None: ...
    def lost(self, error: Exception | None) -> None: ...


_LOST = _Lost()


def _socket_of(io: asyncio.Transport) -> "TransportSocket | None":
    """The socket, where it can be read while its transport is paused: of a loop that does not read in the background."""
    is_plain = type(io).__module__ == "asyncio.selector_events" and sys.platform != "win32"  # which has no readv
    return io.get_extra_info("socket") if is_plain else None


@final
class ByteLink(asyncio.BufferedProtocol):
    """See `transport.link.Link` for the contract of each verb.

    `leftover` is plaintext, `undecrypted` ciphertext that came right behind the handshakes.
    """

    def __init__(self, io: asyncio.Transport, *, session: SecureSession, mux: Muxer, leftover: bytes, undecrypted: bytes) -> None:
        self.mux = mux
        self.security = session.name
        self.remote_peer = session.remote_peer
        self.remote_key = session.remote_key
        self._connection: Connection | _Lost
        self._loop = asyncio.get_running_loop()
        self._io = io
        self._session = session
        self._turns = turns_of(self._loop)
        self._buffer = self._turns.buffer()
        self._socket = _socket_of(io)
        self._chunk_size, self._late_chunk_size = CHUNK_SIZE, LATE_CHUNK_SIZE
        self._leftover = leftover
        self._kept = undecrypted  # the part of a record that has come
        self._record_size = mux.record_size
        self._unflushed = 0  # bytes that were queued since everything was sent
        self._is_over = False  # what comes is of no interest any more
        self._is_deaf = False  # the socket takes no more
        self._is_lost = False
        self._flush_scheduled = False
        self._dispatching = False
        self._may_answer = False  # something came in, and nothing was written since
        self._write_paused = False
        self.is_started = False
        """Whether it reads, or will once its turn has come."""
        self._read_paused = not io.is_reading()
        self._socket_full = False
        self._traffic = Traffic()
        self._read_rest: asyncio.TimerHandle | None = None  # until this, bandwidth is used up
        self._write_rest: asyncio.TimerHandle | None = None
        self._read_wanted = False  # when that is over
        self._is_put_off = False  # what is kept waits for its turn
        self._is_queued = False  # `_receive_put_off` is among those who wait
        self._has_rest = False  # and so does what was beyond the share of one
        self._first_chunks = _FIRST_CHUNKS  # that are still to come

    def attach(self, connection: "Connection") -> None:
        self._connection = connection
        self._traffic = connection.reservation.traffic
        if self._traffic.is_limited:
            self._chunk_size = self._late_chunk_size = _CAPPED_CHUNK

    @property
    def is_closing(self) -> bool:
        return self._io.is_closing()

    def wait(self) -> None:
        """Nobody has started it yet: what comes waits in the socket. To stop an accepted one always, and start it in the same
        breath, would cost two calls of the system."""
        self._pause_reading()

    def start(self) -> None:
        self.is_started = True
        leftover, self._leftover = self._leftover, b""
        if leftover:
            self._receive([leftover], self._loop.time())
        self._receive_kept()

    # --- in: socket → session → muxer → events -----------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """As much as it may take in. When the turn is over that is little: `_receive_put_off` takes the rest from the socket."""
        kept = self._kept
        if kept:
            self._buffer[: len(kept)] = kept
        is_late = self._socket is not None and self._is_turn_over and not self._is_over
        room = _SMALL_CHUNK if is_late else self._chunk_size
        return self._buffer[len(kept) : len(kept) + room]

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_over:
            return  # what a peer sends until it has seen our goodbye
        self._count(nbytes)
        data = self._buffer[: len(self._kept) + nbytes]
        if self._is_turn_over:
            self._put_off(data)
        else:
            self._is_put_off = False
            self._receive_data(data)

    @property
    def _is_turn_over(self) -> bool:
        turns = self._turns
        return turns.is_over_for_changes if self._first_chunks else turns.is_over

    def _count(self, size: int) -> None:
        traffic = self._traffic
        traffic.received += size
        if traffic.is_limited:
            self._rest_from_reading(traffic.wait_to_read(size, self._loop.time()))

    def _put_off(self, data: memoryview) -> None:
        """Until a later turn. A small chunk does not stop the reading: to stop it and go on costs as much as the chunk."""
        self._kept = bytes(data)
        is_light = len(data) < _SMALL_CHUNK
        if not is_light:
            self._pause_reading()
        self._wait_for_turn(is_light=is_light)

    def _wait_for_turn(self, *, is_light: bool) -> None:
        self._is_put_off = True
        if self._is_queued:
            return
        self._is_queued = True
        if self._first_chunks:
            self._turns.defer_change(self._receive_put_off)
        else:
            self._turns.defer(self._receive_put_off, is_light=is_light)

    def _receive_put_off(self) -> None:
        """The chunk that came when a turn's time was over, unless it went along with what came after it, and more of the socket.

        Who had much waits for another turn at once, as long as others wait too: to look costs less than the selector.
        """
        self._is_queued = False
        if not self._is_put_off:
            return
        self._is_put_off = False
        kept = self._kept
        size = self._fetch(len(kept))
        if not size:
            self._receive_kept()
            return
        self._buffer[: len(kept)] = kept
        self._kept = b""
        self._count(size)
        self._receive_data(self._buffer[: len(kept) + size])
        if self._has_rest:
            return
        if size >= _LARGE_CHUNK and self._turns.is_crowded and not self._is_over:
            self._wait_for_turn(is_light=False)
        else:
            self._resume_reading()

    def _fetch(self, position: int) -> int:
        """Read past the transport, which is paused; how much there was. An end, or an error, is left to the transport.

        Where a write has failed the transport closes already, but the socket only after `connection_lost`.
        """
        if not self._read_paused or self._socket is None or self._is_over or self._read_rest is not None:
            return 0
        return self._read_socket(self._socket, position)

    def _read_socket(self, socket: "TransportSocket", position: int) -> int:
        try:
            return os.readv(socket.fileno(), [self._buffer[position : position + self._late_chunk_size]])
        except OSError:
            return 0

    def _receive_data(self, data: memoryview) -> None:
        now = self._loop.time()
        plaintexts, used = self._session.decrypt(data)
        self._kept = bytes(data[used:]) if used < len(data) else b""
        self._receive(plaintexts, now)
        if self._session.error is not None:
            self._connection.fail(self._session.error)
        elif self._is_behind:
            self._defer_rest()
        if self._first_chunks:
            self._first_chunks -= 1
            self._turns.spend_on_change(self._loop.time() - now)
        else:
            self._turns.spend(self._loop.time() - now if len(data) >= _SMALL_CHUNK else _SMALL_CHUNK_TIME)

    def _receive_kept(self) -> None:
        """What came and was not worked on yet; then go on reading."""
        if not self._is_over:
            kept, self._kept = self._kept, b""
            self._receive_data(memoryview(kept))
            if not self._has_rest:
                self._resume_reading()

    def _receive(self, plaintexts: Sequence[bytes], now: float) -> None:
        mux, connection = self.mux, self._connection
        self._dispatching = self._may_answer = True
        if len(plaintexts) > _FEW_RECORDS:
            plaintexts = [b"".join(plaintexts)]
        for plaintext in plaintexts:
            events = mux.receive(plaintext, now)
            if events:
                connection.dispatch(events)
        self._dispatching = False
        connection.received()
        if mux.has_output:
            self.flush_soon()

    @property
    def _is_behind(self) -> bool:
        return self.mux.has_backlog or self._session.has_backlog

    def _defer_rest(self) -> None:
        """A connection has one share a turn, whatever keeps it back: frames, or records that are not decrypted yet."""
        if not self._has_rest and not self._is_over:
            self._has_rest = True
            self._pause_reading()
            self._turns.defer(self._receive_rest)

    def _receive_rest(self) -> None:
        """What was beyond the share of one turn: frames first; when there are no more, what is kept."""
        self._has_rest = False
        if not self.mux.has_backlog:
            self._receive_kept()
        elif not self._is_over:
            now = self._loop.time()
            self._receive([b""], now)
            self._turns.spend(self._loop.time() - now)
            if self._is_behind:
                self._defer_rest()
            else:
                self._resume_reading()

    def _rest_from_reading(self, seconds: float) -> None:
        if seconds > NO_REST:
            wanted = not self._read_paused or self._read_wanted
            self._pause_reading()
            self._read_wanted = wanted
            if self._read_rest is not None:
                self._read_rest.cancel()
            self._read_rest = self._loop.call_later(seconds, self._end_read_rest)

    def _end_read_rest(self) -> None:
        self._read_rest = None
        if self._read_wanted:
            self._resume_reading()

    def _pause_reading(self) -> None:
        self._read_wanted = False
        if not self._read_paused:
            self._read_paused = True
            self._io.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_rest is not None:
            self._read_wanted = True
        elif self._read_paused and not self._io.is_closing():
            self._read_paused = False
            self._io.resume_reading()

    # --- out: muxer → session → socket -------------------------------------------------------------------------------------

    def queued(self, size: int) -> None:
        """The first small write after something came in is most likely an answer, and goes out at once.

        What follows is gathered until it makes a full record, or to the end of the loop's turn.
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
        """While events are dispatched nothing is scheduled: what handlers that they wake will write is to go into one record."""
        if not self._flush_scheduled and not self._dispatching:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def flush(self) -> None:
        if self.mux.has_output:
            self._send()

    def _flush(self) -> None:
        self._flush_scheduled = False
        self.flush()
        self._connection.flushed()

    def _send(self) -> None:
        """Send everything, as long as the socket takes it."""
        mux = self.mux
        while mux.has_output and not self._write_paused and not self._is_deaf:
            parts = mux.data_to_send()
            if parts:
                self._write(self._session.encrypt(parts))
        self._unflushed = 0
        self._connection.sent()

    def _send_full_records(self) -> None:
        """Send what fills records; the rest may be joined by what the application writes next."""
        mux = self.mux
        while self._unflushed >= self._record_size and not self._write_paused and not self._is_deaf:
            parts = mux.data_to_send(full_frames_only=True)
            if not parts:  # there is more than a record, but not of one stream
                self._unflushed = 0
                break
            self._write(self._session.encrypt(parts))
            self._unflushed -= self._record_size
        self._connection.sent()

    def _write(self, data: bytes | bytearray) -> None:
        self._io.write(data)
        traffic = self._traffic
        traffic.sent += len(data)
        if traffic.is_limited:
            seconds = traffic.wait_to_write(len(data), self._loop.time())
            if seconds > NO_REST:
                self._write_paused = True
                if self._write_rest is not None:
                    self._write_rest.cancel()
                self._write_rest = self._loop.call_later(seconds, self._end_write_rest)

    def _end_write_rest(self) -> None:
        self._write_rest = None
        self._resume_if_free()

    def pause_writing(self) -> None:
        self._write_paused = self._socket_full = True

    def resume_writing(self) -> None:
        self._socket_full = False
        self._resume_if_free()

    def _resume_if_free(self) -> None:
        if not self._socket_full and self._write_rest is None:
            self._write_paused = False
            self._send()

    # --- the end -----------------------------------------------------------------------------------------------------------

    def end(self, *, lingering: bool) -> None:
        """To close the socket at once could destroy what we sent: the system resets a connection that is closed with bytes
        unread, and drops what the peer has not acknowledged yet.
        """
        self._is_over = True
        self._kept = b""  # what else comes is read behind it
        self._end_rests()
        self._write_paused = False
        self._send()
        self._is_deaf = True
        if not lingering or not self._end_writing():
            self._io.close()

    def _end_rests(self) -> None:
        """What there is to say yet has no time to wait for."""
        self._traffic = Traffic()
        for rest in (self._read_rest, self._write_rest):
            if rest is not None:
                rest.cancel()
        self._read_rest = self._write_rest = None

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

    def abort(self) -> None:
        self._is_deaf = True
        if not self._is_lost:  # CPython 3.11 raises AttributeError for a socket that is closed already
            self._io.abort()

    def eof_received(self) -> bool:
        if self._is_put_off and not self._is_over:  # a small chunk, for which the reading was not stopped
            self._is_put_off = False
            self._receive_last()
        self._connection.fail(ConnectionClosed("the network or the peer closed the connection", by="network"))
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = self._is_deaf = True
        if self._is_put_off and self._socket is not None and not self._is_over:  # it is closed behind this call
            self._kept += self._buffer[: self._read_socket(self._socket, 0)]
        if self._turns.is_over_for_changes:
            self._turns.defer_change(functools.partial(self._lose, error))
        else:
            self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        """Connections end in turns, too: all of a network, or of a process that was killed, may do so at once."""
        begin = self._loop.time()
        if not self._is_over:
            self._receive_last()
        self._connection.lost(error)
        # The circle is broken, and what the connection held is freed here and now: left to the collector, some sixty connections
        # were freed in one turn of 2 ms, which was the longest that others had to wait for where peers are killed.
        self._connection = _LOST
        self._turns.spend_on_change(self._loop.time() - begin)
        del self._session

    def _receive_last(self) -> None:
        """What had come, and waited for its turn, when the socket was lost."""
        session, now, rest = self._session, self._loop.time(), self._kept
        for share in range(_LAST_SHARES):
            if share == 0 or session.has_backlog:
                plaintexts, used = session.decrypt(rest)
                rest = rest[used:]
                self._receive(plaintexts, now)
            elif self.mux.has_backlog:
                self._receive([b""], now)

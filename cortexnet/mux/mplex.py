"""mplex: streams without flow control over one byte stream, for old peers. A core. Spec: mplex.

What comes in:   receive → frames → a stream's inbox, and events for the shell
What goes out:   send → a stream's outbox → data_to_send: control frames, then the streams in turn, one record at a time

A reader that does not read can't stop its writer here: its stream is reset once too much is unread. There are no codes, no pings
and no farewell, so a peer that is gone shows only where the socket ends.
"""

from collections import deque
from typing import final

from cortexnet.errors import (
    ConnectionClosed,
    CortexError,
    LimitExceeded,
    LocalError,
    ProtocolViolation,
    RemoteError,
    StreamClosed,
    StreamCode,
)
from cortexnet.mux.inbox import PIECE_OVERHEAD, SMALL_PIECE
from cortexnet.mux.lingering import Lingering
from cortexnet.mux.mplex_config import NAME, MplexConfig
from cortexnet.mux.mplex_frames import CLOSE, FLAG_MASK, MESSAGE, NEW, RESET, frame, key_of, opening, read_header
from cortexnet.mux.mplex_sender import FRAME_SIZE, MplexSender
from cortexnet.mux.mplex_stream import MplexStream
from cortexnet.mux.muxer import (
    ConnectionFailed,
    MemoryBudget,
    MuxEvent,
    StreamOpened,
    StreamReadable,
    StreamWasReset,
    Unlimited,
)
from cortexnet.mux.reading import Reading
from cortexnet.mux.tolerance import Tolerance

_NAME_SIZE = 64  # bytes of a stream's name that are nobody's fault
_SETTLE_STEP = 4_096  # bytes that may have been read before the charge follows: not every small read is worth the account


@final
class Mplex(Reading[MplexStream]):
    """One session; `initiator` is the side that dialed, which makes no difference here. `memory` is charged with what is held."""

    name = NAME
    record_size = FRAME_SIZE
    takes_early_end = False  # nothing tells js, which would never close its half then, from others

    def __init__(self, *, initiator: bool, config: MplexConfig | None = None, memory: MemoryBudget | None = None) -> None:
        self._config = config or MplexConfig()
        self._memory = memory or Unlimited()
        self._streams: dict[int, MplexStream] = {}
        self._next_number = 0
        self._inbound = self._outbound = 0
        self._ended = False
        # in
        self._now = float("-inf")
        self._turn = 0
        self._backlog: deque[bytes] = deque()
        self._backlog_position = 0  # in its first piece
        self._partial = b""  # of a header
        self._body_left = 0
        self._body_stream: MplexStream | None = None  # None: the body is skipped
        self._grew = False  # memory was charged since it was last looked at
        self._tolerance = Tolerance(self._config.useless_frames, self._config.stray_data)
        # out
        self._sender = MplexSender()
        self.drained = self._sender.drained
        self._share = self._config.outbox_share
        self.has_output = False
        # time
        self._lingering = Lingering(self._config.linger, self._config.linger_silent)
        self.timeout_moved = True

    # --- streams -----------------------------------------------------------------------------------------------------------

    def open_stream(self) -> int:
        """Raises LimitExceeded where `can_open` is False, ConnectionClosed after the end."""
        if self._ended:
            raise ConnectionClosed("this connection has ended")
        limit = self._config.max_outbound_streams
        if self._outbound >= limit and not self._reset_a_lingering(ours=True):
            setting = "mplex.max_outbound_streams"
            raise LimitExceeded("streams opened by us", limit=limit, value=self._outbound, setting=setting)
        stream = MplexStream(self._next_number, self._memory.outgoing, ours=True)
        self._streams[stream.id] = stream
        self._outbound += 1
        self._queue(opening(self._next_number))
        self._next_number += 1
        return stream.id

    def can_open(self) -> bool:
        if self._ended:
            return False
        return self._outbound < self._config.max_outbound_streams or any(
            self._streams[stream_id].ours for stream_id in self._lingering.stream_ids()
        )

    def stream_count(self) -> int:
        """Streams that are not over, lingering ones included."""
        return len(self._streams)

    def close_write(self, stream_id: int) -> None:
        stream = self._stream(stream_id)
        if stream.closing:
            return
        stream.closing = True
        if not stream.outbox.size:
            self._queue(stream.end_frame())
            self._end_left(stream)

    def discard_reads(self, stream_id: int) -> None:
        stream = self._stream(stream_id)
        if stream.discarding:
            return
        stream.discarding = True
        self._drop_unread(stream)
        self._settle_charge(stream)
        self._linger(stream)
        self._forget_if_over(stream)

    def reset(self, stream_id: int, code: int = 0) -> None:
        stream = self._stream(stream_id)
        if not stream.reset:
            self._queue(stream.reset_frame())
        self._remove(stream)

    def _remove(self, stream: MplexStream) -> None:
        """Forget a stream; data of it that is still on its way is paid for in advance."""
        del self._streams[stream.id]
        if stream.ours:
            self._outbound -= 1
        else:
            self._inbound -= 1
        if self._body_stream is stream:
            self._body_stream = None
        if not stream.reset:  # else its peer has said all it had to say
            late = 0 if stream.finished else self._config.late_data
            self._tolerance.expect_late(frames=1 if stream.finished else 2, size=late)
        self._sender.drop(stream)
        self.has_output = self._sender.has_output
        self._drop_unread(stream)
        self._lingering.remove(stream.id)
        self._memory.release(stream.charged)
        stream.charged = 0

    def _forget_if_over(self, stream: MplexStream) -> None:
        if stream.is_over:
            self._remove(stream)

    def _reset_a_lingering(self, *, ours: bool) -> bool:
        """Make room for a new stream: the one longest closed goes."""
        for stream_id in self._lingering.stream_ids():
            if self._streams[stream_id].ours is ours:
                self.reset(stream_id)
                return True
        return False

    # --- writing -----------------------------------------------------------------------------------------------------------

    def send(self, stream_id: int, data: bytes | memoryview) -> int:
        stream = self._streams.get(stream_id)
        if stream is None or stream.closing:
            raise StreamClosed("the write side of this stream is closed") if stream else LocalError(f"no stream {stream_id}")
        size = len(data)
        outbox = stream.outbox
        room = self._share - outbox.size if outbox.pool.queued < outbox.pool.limit else outbox.tight_room(self._share)
        if size > room:
            stream.stopped = True
            data = memoryview(data)[:room]
            size = room
        if size:
            if not outbox.size:
                self._sender.add(stream)
                self.has_output = True
            outbox.append(data)
        return size

    def queued(self, stream_id: int) -> int:
        return self._stream(stream_id).outbox.size

    def data_to_send(self, *, full_frames_only: bool = False) -> list[bytes | bytearray | memoryview]:
        ended: list[MplexStream] = []
        parts = self._sender.take_record(ended, full_frames_only=full_frames_only)
        for stream in ended:
            self._end_left(stream)
        self.has_output = self._sender.has_output
        return parts

    def _queue(self, control: bytes) -> None:
        self._sender.control.append(control)
        self.has_output = True

    def _end_left(self, stream: MplexStream) -> None:
        stream.fin_sent = True
        self._linger(stream)
        self._forget_if_over(stream)

    def _linger(self, stream: MplexStream) -> None:
        if stream.discarding and stream.fin_sent and not stream.finished:
            self._lingering.add(stream.id, used_up=False)
            self.timeout_moved = True

    # --- reading -----------------------------------------------------------------------------------------------------------

    def expect(self, stream_id: int, size: int) -> None:
        """Nothing is granted, as there is no credit: that much more may be unread while the reader waits."""
        stream = self._stream(stream_id)
        need = size + PIECE_OVERHEAD * size // SMALL_PIECE
        if need > self._memory.limit:
            limit = self._memory.limit
            raise LimitExceeded("memory for one read", limit=limit, value=need, setting=self._memory.setting)
        stream.awaited = size

    def _was_read(self, stream: MplexStream) -> None:
        inbox = stream.inbox
        if stream.charged - inbox.size - inbox.position > _SETTLE_STEP or not inbox.size:
            self._settle_charge(stream)
        self._forget_if_over(stream)

    def _drop_unread(self, stream: MplexStream) -> None:
        if stream.inbox.size:
            self._memory.dropped(stream.inbox.charge)
            stream.inbox.clear()

    def _settle_charge(self, stream: MplexStream) -> None:
        freed = stream.charged - stream.inbox.charge
        if freed > 0:
            self._memory.release(freed)
            stream.charged -= freed

    def reset_largest_unread(self) -> list[MuxEvent]:
        largest = max(self._streams.values(), key=lambda stream: (stream.inbox.charge, stream.charged), default=None)
        if largest is None or not largest.charged:
            return []
        events: list[MuxEvent] = []
        self._give_up(largest, StreamCode.LIMIT_EXCEEDED, events)
        return events

    def _give_up(self, stream: MplexStream, code: int, events: list[MuxEvent]) -> None:
        """End a stream for a limit of ours, or for what its peer did on it."""
        self.reset(stream.id)
        events.append(StreamWasReset(stream.id, code, by_peer=False))

    # --- the peer's bytes --------------------------------------------------------------------------------------------------

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    def receive(self, data: bytes, now: float) -> list[MuxEvent]:
        events: list[MuxEvent] = []
        if self._ended or not (data or self._backlog):
            return events
        self._now = now
        self._turn += 1
        if data and self._lingering.unstamped:
            self._lingering.stamp(now)
            self.timeout_moved = True
        try:
            if not self._backlog:
                self._receive_chunk(data, 0, self._config.frames_at_once, events)
            elif data:
                self._backlog.append(data)
            else:
                self._receive_backlog(events)
        except RemoteError as error:
            self._fail(error, events)
        if self._grew or self.has_output:
            self._settle(events)
        return events

    def _receive_backlog(self, events: list[MuxEvent]) -> None:
        frames_left = self._config.frames_at_once
        while self._backlog and frames_left > 0:
            chunk, position = self._backlog.popleft(), self._backlog_position
            self._backlog_position = 0
            frames_left = self._receive_chunk(chunk, position, frames_left, events)

    def _receive_chunk(self, data: bytes, position: int, frames_left: int, events: list[MuxEvent]) -> int:
        """Take in a piece of the peer's bytes, up to a share of frames; what is left of that."""
        end = len(data)
        if self._body_left:
            stop = position + self._body_left
            if stop >= end:
                self._take_body(data[position:], events)  # bulk: the chunk is a piece of one body (and not copied)
                return frames_left
            self._take_body(data[position:stop], events)
            position = stop
        if self._partial:
            data, position, self._partial = self._partial + data[position:], 0, b""
            end = len(data)
        limit = self._config.message_limit
        while position < end:
            if frames_left <= 0:
                self._backlog.appendleft(data)
                self._backlog_position = position
                return 0
            header = read_header(data, position, limit)
            if header is None:
                self._partial = data[position:]
                break
            word, length, position = header
            frames_left -= 1 if word & FLAG_MASK else self._config.opening_weight
            self._begin_frame(word, length, events)
            stop = min(position + length, end)
            if position < stop:
                self._take_body(data[position:stop], events)
                position = stop
        return frames_left

    def _begin_frame(self, word: int, length: int, events: list[MuxEvent]) -> None:
        """All that a header says is done before its body comes; only data has one that matters."""
        flag, number = word & FLAG_MASK, word >> 3
        self._body_left = length
        self._body_stream = None
        if flag == NEW:
            self._tolerance.stray(max(0, length - _NAME_SIZE), self._now)
            self._accept(number, events)
            return
        ours = bool(flag & 1)  # the acceptor speaks, so we were the opener
        stream = self._streams.get(key_of(number, ours=ours))
        kind = flag + ours
        if kind == MESSAGE:
            self._begin_data(stream, length, events)
            return
        self._tolerance.stray(length, self._now)
        if kind == CLOSE:
            self._receive_close(stream, events)
        else:
            self._receive_reset(stream, events)

    def _begin_data(self, stream: MplexStream | None, length: int, events: list[MuxEvent]) -> None:
        if not length:
            self._tolerance.useless("empty data frames", self._now)
        if stream is None or stream.reset:
            self._tolerance.stray(length, self._now)
        elif stream.finished:
            self._tolerance.stray(length, self._now)
            self._give_up(stream, StreamCode.PROTOCOL_VIOLATION, events)
        else:
            self._body_stream = stream

    def _take_body(self, piece: bytes, events: list[MuxEvent]) -> None:
        self._body_left -= len(piece)
        stream = self._body_stream
        if stream is None:
            return
        if stream.discarding:
            self._lingering.sent(stream.id)
            self.timeout_moved = True
            return
        inbox = stream.inbox
        inbox.append(piece)
        held = inbox.charge
        if held > stream.charged:
            self._memory.charge(held - stream.charged)
            stream.charged = held
            self._grew = True
        if stream.turn != self._turn:
            stream.turn = self._turn
            events.append(StreamReadable(stream.id))
        if inbox.size > self._config.unread_limit + stream.awaited:
            self._give_up(stream, StreamCode.LIMIT_EXCEEDED, events)

    def _accept(self, number: int, events: list[MuxEvent]) -> None:
        key = key_of(number, ours=False)
        if key in self._streams:
            raise ProtocolViolation(f"stream {number} opened twice")
        if self._inbound >= self._config.max_inbound_streams and not self._reset_a_lingering(ours=False):
            self._queue(frame(number, RESET, ours=False))
            self._tolerance.refused()
            return
        self._streams[key] = MplexStream(number, self._memory.outgoing, ours=False)
        self._inbound += 1
        events.append(StreamOpened(key))

    def _receive_close(self, stream: MplexStream | None, events: list[MuxEvent]) -> None:
        if stream is None or stream.finished:
            self._tolerance.useless("ends of streams that are over", self._now)
            return
        stream.finished = True
        self._lingering.remove(stream.id)
        if stream.turn != self._turn:
            stream.turn = self._turn
            events.append(StreamReadable(stream.id))
        self._forget_if_over(stream)

    def _receive_reset(self, stream: MplexStream | None, events: list[MuxEvent]) -> None:
        if stream is None or stream.reset:
            self._tolerance.useless("resets of streams that are over", self._now)
            return
        events.append(StreamWasReset(stream.id, 0, by_peer=True))
        stays = stream.finished and stream.inbox.size  # all that it was to bring has come, and can be read still
        stream.reset = stream.closing = stream.finished = True
        if stays:
            self._sender.drop(stream)
            self.has_output = self._sender.has_output
        else:
            self._remove(stream)

    def _settle(self, events: list[MuxEvent]) -> None:
        """After the peer's bytes: hold the bounds that several frames together may have passed."""
        if self._grew and not self._ended:
            self._grew = False
            while self._memory.is_over():
                ended = self.reset_largest_unread()
                if not ended:
                    break
                events += ended
        if len(self._sender.control) > self._config.control_backlog + 2 * len(self._streams):
            self._fail(ProtocolViolation("the peer makes us answer, but does not read the answers"), events)

    # --- the end -----------------------------------------------------------------------------------------------------------

    def close(self, code: int = 0) -> None:
        """There is no farewell: the end of the socket is all that the peer will see."""
        if not self._ended:
            self._end()

    def _fail(self, error: CortexError, events: list[MuxEvent]) -> None:
        self._end()
        events.append(ConnectionFailed(error))

    def _end(self) -> None:
        """Nothing goes out or comes in any more; what came before may still be read."""
        self._ended = True
        for stream in list(self._streams.values()):
            stream.closing = stream.reset = True
            stream.outbox.clear()
            if not stream.finished or stream.discarding:  # else its reader is to see that it is complete
                self._forget_if_over(stream)
        self._sender.clear()
        self.has_output = False
        self._lingering.clear()
        self._body_stream = None
        self._backlog.clear()
        self._partial = b""

    # --- time --------------------------------------------------------------------------------------------------------------

    def probe(self, patience: float, now: float) -> None:
        """Nothing: mplex has no pings."""

    def next_timeout(self) -> float | None:
        self.timeout_moved = False
        due = self._lingering.next_timeout()
        return None if due == float("inf") else due

    def handle_timeout(self, now: float) -> list[MuxEvent]:
        if not self._ended:
            self._now = now
            for stream_id in self._lingering.take_due(now):
                self.reset(stream_id)
        return []

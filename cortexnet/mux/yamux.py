"""yamux: streams with flow control over one byte stream. A core. Spec: yamux; where stacks differ, go-yamux v5 is followed.

What comes in:   receive → frames → a stream's inbox, and events for the shell
What goes out:   send → a stream's outbox → data_to_send: control frames, then the streams in turn, one record at a time
"""

from collections import deque
from typing import final

from cortexnet.errors import (
    ConnectionClosed,
    CortexError,
    LimitExceeded,
    LocalError,
    ProtocolViolation,
    StreamClosed,
    StreamCode,
)
from cortexnet.mux.allowance import Allowance
from cortexnet.mux.holdings import Holdings
from cortexnet.mux.inbox import PIECE_OVERHEAD
from cortexnet.mux.lingering import Lingering
from cortexnet.mux.liveness import Liveness
from cortexnet.mux.muxer import (
    ConnectionFailed,
    MemoryBudget,
    MuxEvent,
    RoundTripMeasured,
    StreamOpened,
    StreamReadable,
    StreamWasReset,
    StreamWritable,
    Unlimited,
)
from cortexnet.mux.window import ReceiveWindow
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import (
    ACK,
    DATA,
    FIN,
    FRAME_SIZE,
    GO_AWAY,
    HEADER_SIZE,
    MAX_CREDIT,
    PING,
    RST,
    SYN,
    TYPE_MASK,
    WINDOW_UPDATE,
    pack,
    unpack_from,
)
from cortexnet.mux.yamux_sender import Sender
from cortexnet.mux.yamux_stream import YamuxStream

NAME = "/yamux/1.0.0"
_BUDGET_INTERVAL = 10.0
_SETTLE_STEP = 4_096  # bytes that may have been read before the charge follows: not every small read is worth the account


@final
class Yamux:
    """One session; `initiator` is the side that dialed. `memory` is charged with what is held for readers."""

    name = NAME
    record_size = FRAME_SIZE

    def __init__(self, *, initiator: bool, config: YamuxConfig | None = None, memory: MemoryBudget | None = None) -> None:
        self._config = config or YamuxConfig()
        self._initiator = initiator
        self._next_id = 1 if initiator else 2
        self._streams: dict[int, YamuxStream] = {}
        self._holdings = Holdings(memory or Unlimited(), self._streams)
        self._inbound = 0
        self._outbound = 0
        self._unacknowledged = 0
        self._ended = False
        # in
        self._now = float("-inf")
        self._turn = 0
        self._backlog = b""
        self._partial = b""  # of a header
        self._body_left = 0
        self._body_stream: YamuxStream | None = None  # None: the body is skipped
        self._body_ends = False  # FIN came with the body that is still arriving
        self._useless = Allowance(self._config.useless_frames, _BUDGET_INTERVAL)
        self._stray = Allowance(self._config.stray_data, _BUDGET_INTERVAL)
        self._acks = Allowance(self._config.accept_rate, 1.0)
        # out
        self._sender = Sender(self._config.pong_backlog)
        self.drained = self._sender.drained
        self._share = self._config.outbox_share
        self.has_output = False
        self.timeout_moved = True
        self._held_acks: deque[int] = deque()
        # time
        self._liveness = Liveness(self._config.ping_interval, self._config.silence_limit)
        self._lingering = Lingering(self._config.linger, self._config.linger_silent)

    # --- streams -----------------------------------------------------------------------------------------------------------

    def open_stream(self) -> int:
        """Raises LimitExceeded at the backlog of unacknowledged streams or at our own limit, ConnectionClosed after the end."""
        if self._ended:
            raise ConnectionClosed("this connection has ended")
        if not self.can_open():
            config = self._config
            if self._unacknowledged >= config.ack_backlog:
                raise LimitExceeded(
                    "streams not acknowledged", limit=config.ack_backlog, value=self._unacknowledged, setting="yamux.ack_backlog"
                )
            raise LimitExceeded(
                "streams opened by us",
                limit=config.max_outbound_streams,
                value=self._outbound,
                setting="yamux.max_outbound_streams",
            )
        stream_id = self._next_id
        self._next_id += 2
        self._streams[stream_id] = YamuxStream(stream_id, self._new_window(), ours=True)
        self._outbound += 1
        self._unacknowledged += 1
        self._queue(pack(WINDOW_UPDATE | SYN, stream_id, 0))
        return stream_id

    def can_open(self) -> bool:
        return (
            self._unacknowledged < self._config.ack_backlog
            and self._outbound < self._config.max_outbound_streams
            and self._next_id <= MAX_CREDIT
            and not self._ended
        )

    def knows(self, stream_id: int) -> bool:
        return stream_id in self._streams

    def stream_count(self) -> int:
        """Streams that are not over, lingering ones included."""
        return len(self._streams)

    def close_write(self, stream_id: int) -> None:
        stream = self._stream(stream_id)
        if stream.closing:
            return
        stream.closing = True
        if not stream.outbox.size:
            self._send_fin(stream)

    def discard_reads(self, stream_id: int) -> None:
        stream = self._stream(stream_id)
        if stream.discarding:
            return
        stream.discarding = True
        stream.inbox.clear()
        self._return_credits(self._holdings.end_demand(stream))
        self._linger(stream)
        self._forget_if_over(stream)

    def reset(self, stream_id: int, code: int = 0) -> None:
        stream = self._stream(stream_id)
        if not stream.reset:
            self._queue_reset(stream_id, code)
        self._remove(stream)

    def _stream(self, stream_id: int) -> YamuxStream:
        stream = self._streams.get(stream_id)
        if stream is None:
            raise LocalError(f"stream {stream_id} does not exist (any more)")
        return stream

    def _new_window(self) -> ReceiveWindow:
        return ReceiveWindow(self._config.max_window, self._now)

    def _remove(self, stream: YamuxStream) -> None:
        """Forget a stream; data of it that is still on its way is paid for in advance."""
        del self._streams[stream.id]
        if stream.ours:
            self._outbound -= 1
            self._unacknowledged -= stream.ack_wanted
        else:
            self._inbound -= 1
        if not stream.finished:
            self._stray.grant(stream.window.credit)
            self._useless.grant(2)  # its FIN or reset, and a last credit, may have crossed ours
        self._sender.drop(stream)
        stream.inbox.clear()
        if self._body_stream is stream:
            self._body_stream = None
        self._lingering.remove(stream.id)
        self._return_credits(self._holdings.remove(stream))

    def _forget_if_over(self, stream: YamuxStream) -> None:
        if stream.is_over:
            self._remove(stream)

    # --- writing -----------------------------------------------------------------------------------------------------------

    def send(self, stream_id: int, data: bytes | memoryview) -> int:
        stream = self._streams.get(stream_id)
        if stream is None or stream.closing:
            raise StreamClosed("the write side of this stream is closed") if stream else LocalError(f"no stream {stream_id}")
        size = len(data)
        outbox = stream.outbox
        room = self._share - outbox.size
        if stream.send_window < room:
            room = stream.send_window
        if size > room:
            stream.stopped = True
            data = memoryview(data)[:room]
            size = room
        if size:
            stream.send_window -= size
            if not outbox.size:
                self._sender.add(stream)
                self.has_output = True
            outbox.append(data)
        return size

    def queued(self, stream_id: int) -> int:
        return self._stream(stream_id).outbox.size

    def data_to_send(self, *, full_frames_only: bool = False) -> list[bytes | bytearray | memoryview]:
        emptied: list[YamuxStream] = []
        parts = self._sender.take_record(emptied, full_frames_only=full_frames_only)
        for stream in emptied:
            if stream.closing:
                self._send_fin(stream)
        self.has_output = self._sender.has_output
        return parts

    def _queue(self, frame: bytes) -> None:
        self._sender.control.append(frame)
        self.has_output = True

    def _send_fin(self, stream: YamuxStream) -> None:
        # a frame of its own, without a body: js drops the body of a frame that carries FIN
        self._queue(pack(WINDOW_UPDATE | FIN, stream.id, 0))
        stream.fin_sent = True
        self._linger(stream)
        self._forget_if_over(stream)

    def _linger(self, stream: YamuxStream) -> None:
        if stream.discarding and stream.fin_sent and not stream.finished:
            self._lingering.add(stream.id, used_up=not stream.window.credit)

    def _queue_reset(self, stream_id: int, code: int) -> None:
        self._queue(pack(WINDOW_UPDATE | RST, stream_id, min(code, MAX_CREDIT)))

    # --- reading -----------------------------------------------------------------------------------------------------------

    def read(self, stream_id: int, max_bytes: int) -> bytes | None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return None
        data = stream.inbox.take(max_bytes)
        if data:
            self._was_read(stream)
            return data
        return b"" if stream.finished else None

    def read_exactly(self, stream_id: int, size: int) -> bytes | None:
        stream = self._stream(stream_id)
        data = stream.inbox.take_exactly(size)
        if data:
            self._was_read(stream)
        return data

    def read_message(self, stream_id: int, size_limit: int) -> bytes | None:
        stream = self._stream(stream_id)
        data = stream.inbox.take_message(size_limit)
        if data is not None:
            self._was_read(stream)
        return data

    def message_wanted(self, stream_id: int) -> int:
        return self._stream(stream_id).inbox.message_wanted()

    def readable_bytes(self, stream_id: int) -> int:
        return self._stream(stream_id).inbox.size

    def is_finished(self, stream_id: int) -> bool:
        stream = self._streams.get(stream_id)
        return stream is None or stream.finished

    def expect(self, stream_id: int, size: int) -> None:
        stream = self._stream(stream_id)
        if not size:
            self._return_credits(self._holdings.end_demand(stream))
        elif not stream.finished and size > stream.inbox.size + stream.window.credit:
            self._return_credits(self._holdings.demand(stream, size))

    def _was_read(self, stream: YamuxStream) -> None:
        unread = stream.inbox.size
        if stream.charged - unread > _SETTLE_STEP:
            self._return_credits(self._holdings.settle(stream))
        if stream.finished or stream.reset:
            self._forget_if_over(stream)
        elif stream.window.is_due(unread):
            self._holdings.grow(stream, self._liveness.round_trip, self._now)
            self._return_credits([stream])

    def _return_credits(self, streams: list[YamuxStream]) -> None:
        for stream in streams:
            increment = stream.window.grant(stream.inbox.size, self._now)
            if increment:
                self._queue(pack(WINDOW_UPDATE, stream.id, increment))

    def reset_largest_unread(self) -> list[MuxEvent]:
        """Over a cap of memory: end the stream that stands for most of it."""
        largest = max(self._streams.values(), key=lambda stream: stream.charged, default=None)
        if largest is None or not largest.charged:
            return []
        self.reset(largest.id, StreamCode.LIMIT_EXCEEDED)
        return [StreamWasReset(largest.id, StreamCode.LIMIT_EXCEEDED, by_peer=False)]

    # --- the peer's bytes --------------------------------------------------------------------------------------------------

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    def receive(self, data: bytes, now: float) -> list[MuxEvent]:
        if self._ended:
            return []
        self._now = now
        self._turn += 1
        events: list[MuxEvent] = []
        if data:
            self._liveness.heard = now
            if self._lingering.unstamped:
                self._lingering.stamp(now)
                self.timeout_moved = True
        if self._backlog:
            data, self._backlog = self._backlog + data, b""
        if self._body_left:
            if len(data) <= self._body_left:  # the common case of bulk: the chunk is a piece of one body
                self._take_body(data, events)
                self._settle(events)
                return events
            size = self._body_left
            self._take_body(data[:size], events)
            data = data[size:]
        if self._partial:
            data, self._partial = self._partial + data, b""
        try:
            self._receive_frames(data, events)
        except ProtocolViolation as error:
            self._fail(error, events)
        if self._holdings.grew or self.has_output:
            self._settle(events)
        return events

    def _receive_frames(self, data: bytes, events: list[MuxEvent]) -> None:
        position, end = 0, len(data)
        streams = self._streams
        frames_left = self._config.frames_at_once
        while end - position >= HEADER_SIZE:
            if not frames_left:
                self._backlog = data[position:]
                return
            frames_left -= 1
            word, stream_id, length = unpack_from(data, position)
            position += HEADER_SIZE
            stop = position + length
            if word == DATA:  # plain data first: nearly every frame is one
                stream = streams.get(stream_id)
                if stream is None or stream.discarding or stream.finished or not 0 < length <= stream.window.credit:
                    self._start_body(stream, stream_id, length)
                else:
                    stream.window.credit -= length
                    self._body_left, self._body_stream = length, stream
            elif word & TYPE_MASK == DATA:
                self._receive_flagged_data(word, stream_id, length, events)
            else:
                self._receive_control(word, stream_id, length, events)
                if self._ended:
                    return
                continue
            if stop > end:
                stop = end
            if position < stop:
                self._take_body(data if stop - position == end else data[position:stop], events)
                position = stop
        if position < end:
            self._partial = data[position:]

    def _start_body(self, stream: YamuxStream | None, stream_id: int, length: int) -> None:
        """A data frame begins: check it against the window, or against what we put up with for streams that are gone."""
        if stream is None or stream.discarding:
            if stream_id == 0:
                raise ProtocolViolation("data for stream 0")
            if stream is not None:
                self._charge_discarded(stream, length)
            elif not self._stray.spend(length, self._now):
                raise ProtocolViolation("too much data for streams that do not exist")
        elif length > stream.window.credit:
            raise ProtocolViolation(f"{length} bytes on stream {stream_id}, {stream.window.credit} were granted")
        elif stream.finished:
            raise ProtocolViolation(f"data on stream {stream_id} after its end")
        else:
            stream.window.credit -= length
        if not length:
            self._spend_useless("empty data frames")
        self._body_left = length
        self._body_stream = stream

    def _charge_discarded(self, stream: YamuxStream, length: int) -> None:
        if length > stream.window.credit:
            raise ProtocolViolation(f"{length} bytes on stream {stream.id}, {stream.window.credit} were granted")
        stream.window.credit -= length
        if length:
            self._lingering.sent(stream.id)
            self.timeout_moved = True

    def _take_body(self, piece: bytes, events: list[MuxEvent]) -> None:
        self._body_left -= len(piece)
        stream = self._body_stream
        if stream is not None and not stream.discarding:
            inbox = stream.inbox
            inbox.append(piece)
            if inbox.size + PIECE_OVERHEAD > stream.charged:
                self._holdings.arrived(stream)
            if stream.turn != self._turn:
                stream.turn = self._turn
                events.append(StreamReadable(stream.id))
        if self._body_ends and not self._body_left:
            self._body_ends = False
            if stream is not None:
                self._receive_fin(stream, events)

    def _receive_flagged_data(self, word: int, stream_id: int, length: int, events: list[MuxEvent]) -> None:
        flags = word & ~TYPE_MASK
        self._apply_opening(flags, stream_id, events)
        stream = self._streams.get(stream_id)
        if flags & RST:
            self._start_body(None, stream_id, length) if length else self._start_nothing()
            self._receive_reset(stream, 0, events)
            return
        if length:
            self._start_body(stream, stream_id, length)
            self._body_ends = bool(flags & FIN)
            return
        self._start_nothing()
        if flags & FIN:
            self._receive_fin(stream, events)
        elif not flags & (SYN | ACK):
            self._spend_useless("empty data frames")

    def _start_nothing(self) -> None:
        self._body_left, self._body_stream = 0, None

    def _receive_control(self, word: int, stream_id: int, length: int, events: list[MuxEvent]) -> None:
        kind, flags = word & TYPE_MASK, word & ~TYPE_MASK
        if kind == WINDOW_UPDATE:
            self._receive_window_update(flags, stream_id, length, events)
        elif kind == PING:
            self._receive_ping(flags, length, events)
        elif kind == GO_AWAY:
            self._fail(ConnectionClosed(by="remote", code=length), events)
        else:
            raise ProtocolViolation(f"unknown version or frame type: {word >> 16:#06x}")

    def _receive_window_update(self, flags: int, stream_id: int, length: int, events: list[MuxEvent]) -> None:
        if stream_id == 0:
            raise ProtocolViolation("window update for stream 0")
        self._apply_opening(flags, stream_id, events)
        stream = self._streams.get(stream_id)
        if flags & RST:
            self._receive_reset(stream, length, events)
            return
        if length and stream is not None:
            if stream.send_window + length > MAX_CREDIT:
                raise ProtocolViolation(f"credit of stream {stream_id} passes 2^32 - 1")
            was_stopped = stream.stopped and not stream.send_window
            stream.send_window += length
            if was_stopped:
                stream.stopped = False
                events.append(StreamWritable(stream_id))
        elif not flags or stream is None:
            self._spend_useless("window updates without effect")
        if flags & FIN:
            self._receive_fin(stream, events)

    def _apply_opening(self, flags: int, stream_id: int, events: list[MuxEvent]) -> None:
        if flags & SYN:
            self._accept(stream_id, events)
        if flags & ACK:
            stream = self._streams.get(stream_id)
            if stream is not None and stream.ack_wanted:
                stream.ack_wanted = False
                self._unacknowledged -= 1

    def _accept(self, stream_id: int, events: list[MuxEvent]) -> None:
        if stream_id == 0 or stream_id % 2 == (1 if self._initiator else 0):
            raise ProtocolViolation(f"stream {stream_id} opened with an id of the wrong side")
        if stream_id in self._streams:
            raise ProtocolViolation(f"stream {stream_id} opened twice")
        if self._inbound >= self._config.max_inbound_streams and not self._reset_a_lingering():
            self._queue_reset(stream_id, StreamCode.LIMIT_EXCEEDED)
            return
        self._streams[stream_id] = YamuxStream(stream_id, self._new_window(), ours=False)
        self._inbound += 1
        if self._held_acks or not self._acks.spend(1, self._now):
            self._hold_ack(stream_id)
        else:
            self._queue(pack(WINDOW_UPDATE | ACK, stream_id, 0))
        events.append(StreamOpened(stream_id))

    def _hold_ack(self, stream_id: int) -> None:
        self._held_acks.append(stream_id)
        self.timeout_moved = True
        if len(self._held_acks) > 2 * self._config.max_inbound_streams:  # most are of streams that were reset again
            self._held_acks = deque(held for held in self._held_acks if held in self._streams)

    def _reset_a_lingering(self) -> bool:
        """Make room for a new stream: the one longest closed goes."""
        for stream_id in self._lingering.stream_ids():
            if not self._streams[stream_id].ours:
                self.reset(stream_id)
                return True
        return False

    def _receive_fin(self, stream: YamuxStream | None, events: list[MuxEvent]) -> None:
        if stream is None:
            self._spend_useless("FINs of unknown streams")
            return
        if stream.finished:
            self._spend_useless("repeated FINs")
            return
        stream.finished = True
        self._lingering.remove(stream.id)
        if stream.turn != self._turn:
            stream.turn = self._turn
            events.append(StreamReadable(stream.id))
        self._return_credits(self._holdings.end_demand(stream))
        self._forget_if_over(stream)

    def _receive_reset(self, stream: YamuxStream | None, code: int, events: list[MuxEvent]) -> None:
        if stream is None:
            self._spend_useless("resets of unknown streams")
            return
        events.append(StreamWasReset(stream.id, code, by_peer=True))
        if not stream.finished or not stream.inbox.size:
            stream.finished = True  # nothing more will come of it
            self._remove(stream)
            return
        stream.reset = stream.closing = True
        self._sender.drop(stream)

    def _receive_ping(self, flags: int, value: int, events: list[MuxEvent]) -> None:
        if not flags & ACK:
            self._spend_useless("pings")
            self._sender.pong(value)
            self.has_output = True
            return
        seconds = self._liveness.receive_pong(value, self._now)
        if seconds is None:
            self._spend_useless("pongs nobody asked for")
        else:
            events.append(RoundTripMeasured(seconds))

    def _spend_useless(self, what: str) -> None:
        if not self._useless.spend(1, self._now):
            raise ProtocolViolation(f"too many {what}")

    def _settle(self, events: list[MuxEvent]) -> None:
        """After the peer's bytes: hold the bounds that several frames together may have passed."""
        if self._holdings.grew and not self._ended:
            self._holdings.grew = False
            while self._holdings.is_over():
                ended = self.reset_largest_unread()
                if not ended:
                    break
                events += ended
        if self.has_output and len(self._sender.control) > self._config.control_backlog + 2 * len(self._streams):
            self._fail(ProtocolViolation("the peer makes us answer, but does not read the answers"), events)

    # --- the end -----------------------------------------------------------------------------------------------------------

    def close(self, code: int = 0) -> None:
        if not self._ended:
            self._end()
            self._queue(pack(GO_AWAY, 0, code))

    def _fail(self, error: CortexError, events: list[MuxEvent]) -> None:
        self._end()
        if isinstance(error, ProtocolViolation):
            self._queue(pack(GO_AWAY, 0, 1))
        events.append(ConnectionFailed(error))

    def _end(self) -> None:
        """Nothing goes out or comes in any more; what came before may still be read."""
        self._ended = True
        for stream in list(self._streams.values()):
            stream.closing = stream.reset = True
            stream.outbox.clear()
            self._holdings.end_demand(stream)
            if not stream.finished:  # else its reader is to see that it is complete
                self._forget_if_over(stream)
        self._sender.clear()
        self.has_output = False
        self._held_acks.clear()
        self._lingering.clear()
        self._body_stream = None
        self._backlog = self._partial = b""

    # --- time --------------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        self.timeout_moved = False
        if self._ended:
            return None
        due = self._liveness.next_timeout()
        if self._held_acks:
            due = min(due, self._now + 1.0)
        return min(due, self._lingering.next_timeout())

    def handle_timeout(self, now: float) -> list[MuxEvent]:
        if self._ended:
            return []
        self._now = now
        events: list[MuxEvent] = []
        if self._liveness.is_silent(now):
            self._fail(ConnectionClosed(f"not a byte for {self._config.silence_limit:g} s", by="network"), events)
            return events
        ping = self._liveness.take_ping(now)
        if ping is not None:
            self._queue(pack(PING | SYN, 0, ping))
        while self._held_acks and self._acks.spend(1, now):
            stream_id = self._held_acks.popleft()
            if stream_id in self._streams:
                self._queue(pack(WINDOW_UPDATE | ACK, stream_id, 0))
        for stream_id in self._lingering.take_due(now):
            self.reset(stream_id)
        return events

"""yamux: streams with flow control over one byte stream. A core. Spec: yamux; where stacks differ, go-yamux v5 is followed.

What comes in:   receive → frames → a stream's inbox, and events for the shell
What goes out:   send → a stream's outbox → data_to_send: control frames, then the streams in turn, one record at a time
"""

from collections import deque
from typing import final

from cortexnet.errors import ConnectionClosed, CortexError, LocalError, ProtocolViolation, StreamClosed, StreamCode
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
from cortexnet.mux.reading import Reading
from cortexnet.mux.tolerance import Tolerance
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux_acks import AckPacer
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
from cortexnet.mux.yamux_sender import Sender, fin
from cortexnet.mux.yamux_stream import YamuxStream
from cortexnet.mux.yamux_streams import StreamTable

NAME = "/yamux/1.0.0"
_DEMAND_RETRY = 0.25  # seconds until memory is asked for again that other connections may have given back
_SETTLE_STEP = 4_096  # bytes that may have been read before the charge follows: not every small read is worth the account


@final
class Yamux(Reading[YamuxStream]):
    """One session; `initiator` is the side that dialed. `memory` is charged with what is held for readers."""

    name = NAME
    record_size = FRAME_SIZE

    def __init__(self, *, initiator: bool, config: YamuxConfig | None = None, memory: MemoryBudget | None = None) -> None:
        self._config = config or YamuxConfig()
        memory = memory or Unlimited()
        self._table = StreamTable(self._config, memory.outgoing, initiator=initiator)
        self._streams = self._table.by_id
        self._holdings = Holdings(memory, self._streams)
        self._demands = self._holdings.demands
        self._ended = False
        # in
        self._now = float("-inf")
        self._turn = self._body_left = 0
        self._backlog: deque[bytes] = deque()
        self._backlog_position = 0  # in its first piece
        self._partial = b""  # of a header
        self._body_stream: YamuxStream | None = None  # None: the body is skipped
        self._body_ends = False  # FIN came with the body that is still arriving
        self._tolerance = Tolerance(self._config.useless_frames, self._config.stray_data)
        # out
        self._sender = Sender(self._config.pong_backlog)
        self.drained = self._sender.drained
        self._share = self._config.outbox_share
        self.has_output = self.takes_early_end = False
        self.timeout_moved = True
        self._acks = AckPacer(self._config.accept_rate)
        # time
        self._liveness = Liveness(self._config.ping_interval, self._config.silence_limit)
        self.probe = self._liveness.probe
        self._lingering = Lingering(self._config.linger, self._config.linger_silent)

    # --- streams -----------------------------------------------------------------------------------------------------------

    def open_stream(self) -> int:
        """Raises LimitExceeded where `can_open` is False, ConnectionClosed after the end, or once all ids were used."""
        if self._ended:
            raise ConnectionClosed("this connection has ended")
        if self._table.lacks_place():
            self._reset_a_lingering(ours=True)
        stream = self._table.open(self._now)
        self._queue(pack(WINDOW_UPDATE | SYN, stream.id, 0))
        return stream.id

    def can_open(self) -> bool:
        return not self._ended and (self._table.can_open() or self._table.can_replace(self._lingering.stream_ids))

    def stream_count(self) -> int:
        """Streams that are not over, lingering ones included."""
        return len(self._streams)

    def close_write(self, stream_id: int) -> None:
        stream = self._stream(stream_id)
        if stream.closing:
            return
        stream.closing = True
        if not stream.outbox.size:
            self._queue(fin(stream.id))
            self._fin_left(stream)

    def discard_reads(self, stream_id: int) -> None:
        stream = self._stream(stream_id)
        if stream.discarding:
            return
        self._return_windows()
        stream.discarding = True
        self._holdings.drop(stream)
        self._grant_demands(self._holdings.end_demand(stream))
        self._linger(stream)
        self._forget_if_over(stream)

    def reset(self, stream_id: int, code: int = 0) -> None:
        stream = self._stream(stream_id)
        if not stream.reset:
            self._queue_reset(stream_id, code)
        self._remove(stream)

    def _remove(self, stream: YamuxStream) -> None:
        """Forget a stream; data of it that is still on its way is paid for in advance."""
        self._table.remove(stream)
        if self._body_stream is stream:
            self._body_stream = None
            stream.window.credit -= self._body_left
        self._tolerance.gone(stream)
        self._drop_output(stream)
        self._holdings.drop(stream)
        self._lingering.remove(stream.id)
        self._acks.remove(stream.id)
        self._grant_demands(self._holdings.remove(stream))

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
        room = self._share - outbox.size if outbox.pool.queued < outbox.pool.limit else outbox.tight_room(self._share)
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
        self._return_windows()
        ended: list[YamuxStream] = []
        parts = self._sender.take_record(ended, full_frames_only=full_frames_only)
        for stream in ended:
            self._fin_left(stream)
        self.has_output = self._sender.has_output
        return parts

    def _queue(self, frame: bytes) -> None:
        self._sender.control.append(frame)
        self.has_output = True

    def _fin_left(self, stream: YamuxStream) -> None:
        stream.fin_sent = True
        self._linger(stream)
        self._forget_if_over(stream)

    def _linger(self, stream: YamuxStream) -> None:
        if stream.discarding and stream.fin_sent and not stream.finished:
            self._lingering.add(stream.id, used_up=not stream.window.credit)
            self.timeout_moved = True

    def _drop_output(self, stream: YamuxStream) -> None:
        self._sender.drop(stream)
        self.has_output = self._sender.has_output

    def _queue_reset(self, stream_id: int, code: int) -> None:
        self._queue(pack(WINDOW_UPDATE | RST, stream_id, max(0, min(code, MAX_CREDIT))))

    # --- reading -----------------------------------------------------------------------------------------------------------

    def expect(self, stream_id: int, size: int) -> None:
        stream = self._stream(stream_id)
        self._return_windows()  # what is owed already need not be demanded
        if not size:
            self._grant_demands(self._holdings.end_demand(stream))
        elif not stream.is_draining and size > stream.inbox.size + stream.window.credit:
            self._grant_demands(self._holdings.demand(stream, size))
            self.timeout_moved = True

    def _was_read(self, stream: YamuxStream) -> None:
        inbox, charged = stream.inbox, stream.charged
        unread = inbox.size
        if (charged > stream.reserved and charged - unread - inbox.position > _SETTLE_STEP) or self._demands:
            self._grant_demands(self._holdings.settle(stream))
        if stream.finished or stream.reset:
            self._forget_if_over(stream)
        elif stream.window.is_due(unread):
            self._sender.returns[stream.id] = stream
            self.has_output = True

    def _return_windows(self) -> None:
        """As they are when the record leaves: what was read since the half that made it due goes along.

        Half by half a sender of 64 KiB frames was left with 128 and 192 KiB in turn of its 256, and a node with hundreds of them
        had half as many chunks more.
        """
        returns = self._sender.returns
        if not returns:
            return
        for stream in returns.values():
            unread = stream.inbox.size
            if not stream.is_draining and stream.window.is_due(unread):  # else it went along with a demand, or for want of memory
                self._holdings.grow(stream, self._liveness.round_trip, self._now)
                self._queue(pack(WINDOW_UPDATE, stream.id, stream.window.grant(unread, self._now)))
        returns.clear()

    def _grant_demands(self, streams: list[YamuxStream]) -> None:
        for stream in streams:
            increment = stream.window.grant_demand(stream.inbox.size, self._now)
            if increment:
                self._queue(pack(WINDOW_UPDATE, stream.id, increment))

    def reset_largest_unread(self) -> list[MuxEvent]:
        largest = max(self._streams.values(), key=lambda stream: (stream.inbox.charge, stream.charged), default=None)
        if largest is None or not largest.charged:
            return []
        self.reset(largest.id, StreamCode.LIMIT_EXCEEDED)
        return [StreamWasReset(largest.id, StreamCode.LIMIT_EXCEEDED, by_peer=False)]

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
        if data:
            self._liveness.heard = now
            if self._lingering.unstamped:
                self._lingering.stamp(now)
                self.timeout_moved = True
        try:
            if not self._backlog:
                self._receive_chunk(data, 0, self._config.frames_at_once, events)
            elif data:
                self._backlog.append(data)
            else:
                self._receive_backlog(events)
        except ProtocolViolation as error:
            self._fail(error, events)
        if self._holdings.grew or self.has_output:
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
        streams = self._streams
        while end - position >= HEADER_SIZE:
            if frames_left <= 0:
                self._backlog.appendleft(data)
                self._backlog_position = position
                return 0
            frames_left -= 1
            word, stream_id, length = unpack_from(data, position)
            position += HEADER_SIZE
            if word == DATA:  # plain data first: nearly every frame is one
                stream = streams.get(stream_id)
                if stream is None or stream.discarding or stream.finished or not 0 < length <= stream.window.credit:
                    self._start_body(stream, stream_id, length)
                else:
                    self._body_left, self._body_stream = length, stream
            else:
                if word & SYN:
                    frames_left -= self._config.opening_weight
                if word & TYPE_MASK == DATA:
                    self._receive_flagged_data(word, stream_id, length, events)
                else:
                    self._receive_control(word, stream_id, length, events)
                    if self._ended:
                        return 0
                    continue
            stop = position + length
            if stop > end:
                stop = end
            if position < stop:
                self._take_body(data[position:stop], events)
                position = stop
        if position < end:
            self._partial = data[position:]
        return frames_left

    def _start_body(self, stream: YamuxStream | None, stream_id: int, length: int) -> None:
        """A data frame begins: check it against the window, or against what we put up with for streams that are gone."""
        if stream is None:
            if stream_id == 0:
                raise ProtocolViolation("data for stream 0")
            self._tolerance.stray(length, self._now)
        elif length > stream.window.credit:
            raise ProtocolViolation(f"{length} bytes on stream {stream_id}, {stream.window.credit} were granted")
        elif stream.finished:
            raise ProtocolViolation(f"data on stream {stream_id} after its end")
        if not length:
            self._tolerance.useless("empty data frames", self._now)
        self._body_left = length
        self._body_stream = stream

    def _take_body(self, piece: bytes, events: list[MuxEvent]) -> None:
        size = len(piece)
        self._body_left -= size
        stream = self._body_stream
        if stream is not None:
            stream.window.credit -= size  # not before: what is on its way is neither unread nor owed
            if not stream.discarding:
                inbox = stream.inbox
                inbox.append(piece)
                if inbox.size + inbox.position + PIECE_OVERHEAD > stream.charged:
                    self._holdings.arrived(stream)
                if stream.turn != self._turn:
                    stream.turn = self._turn
                    events.append(StreamReadable(stream.id))
            else:
                self._lingering.sent(stream.id)
                self.timeout_moved = True
        if self._body_ends and not self._body_left:
            self._body_ends = False
            if stream is not None:
                self._receive_fin(stream, events)

    def _receive_flagged_data(self, word: int, stream_id: int, length: int, events: list[MuxEvent]) -> None:
        flags = word & ~TYPE_MASK
        if stream_id == 0:
            raise ProtocolViolation("data for stream 0")
        stream = self._streams.get(stream_id)
        if flags & SYN:
            if length > INITIAL_WINDOW:
                raise ProtocolViolation(f"{length} bytes on stream {stream_id} as it opens")
            stream = self._accept(flags, stream_id, events)
        if flags & RST:
            if length:
                self._start_body(None, stream_id, length)  # nobody will read it
            self._receive_reset(stream, 0, events)
            return
        if length:
            self._start_body(stream, stream_id, length)
            self._body_ends = bool(flags & FIN)
        is_first_ack = flags & ACK and self._table.acknowledge(stream)
        if not (length or flags & (SYN | FIN) or is_first_ack):
            self._tolerance.useless("empty data frames", self._now)
        if flags & FIN and not length:
            self._receive_fin(stream, events)

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
        stream = self._streams.get(stream_id)
        if length and not flags & RST and length + (stream.send_window if stream else INITIAL_WINDOW) > MAX_CREDIT:
            raise ProtocolViolation(f"credit of stream {stream_id} passes 2^32 - 1")
        if flags & SYN:
            stream = self._accept(flags, stream_id, events)
        if flags & RST:
            self._receive_reset(stream, length, events)
            return
        is_useful = bool(length or flags & (SYN | FIN))
        if flags & ACK and self._table.acknowledge(stream):
            is_useful = True
            self.takes_early_end |= not length  # js acknowledges with credit, after data
        if not is_useful:
            self._tolerance.useless("window updates without effect", self._now)
        if length:
            self._receive_credit(stream, length, events)
        if flags & FIN:
            self._receive_fin(stream, events)

    def _receive_credit(self, stream: YamuxStream | None, length: int, events: list[MuxEvent]) -> None:
        if stream is None or stream.reset:
            self._tolerance.late_credit(self._sender.frames_sent, self._now)
            return
        was_stopped = stream.stopped and not stream.send_window
        stream.send_window += length
        if was_stopped:
            stream.stopped = False
            events.append(StreamWritable(stream.id))

    def _accept(self, flags: int, stream_id: int, events: list[MuxEvent]) -> YamuxStream | None:
        self._table.check_opening(stream_id)
        if flags & RST:  # nobody will ever see it
            return None
        if self._table.is_full() and not self._reset_a_lingering(ours=False):
            self._queue_reset(stream_id, StreamCode.LIMIT_EXCEEDED)
            self._tolerance.refused()
            return None
        stream = self._table.accept(stream_id, self._now)
        if self._acks.opened(stream_id, self._now):
            self._queue(pack(WINDOW_UPDATE | ACK, stream_id, 0))
        else:
            self.timeout_moved = True
        events.append(StreamOpened(stream_id))
        return stream

    def _reset_a_lingering(self, *, ours: bool) -> bool:
        """Make room for a new stream: the one longest closed goes."""
        for stream_id in self._lingering.stream_ids():
            if self._streams[stream_id].ours is ours:
                self.reset(stream_id)
                return True
        return False

    def _receive_fin(self, stream: YamuxStream | None, events: list[MuxEvent]) -> None:
        if stream is None or stream.finished:
            self._tolerance.useless("FINs of streams that are over", self._now)
            return
        stream.finished = True
        self._lingering.remove(stream.id)
        if stream.turn != self._turn:
            stream.turn = self._turn
            events.append(StreamReadable(stream.id))
        self._grant_demands(self._holdings.end_demand(stream))
        self._forget_if_over(stream)

    def _receive_reset(self, stream: YamuxStream | None, code: int, events: list[MuxEvent]) -> None:
        if stream is None or stream.reset:
            self._tolerance.useless("resets of streams that are over", self._now)
            return
        events.append(StreamWasReset(stream.id, code, by_peer=True))
        stays = stream.finished and stream.inbox.size  # all that it was to bring has come, and can be read still
        stream.reset = stream.closing = stream.finished = True
        if stays:
            self._table.acknowledge(stream)
            self._drop_output(stream)
        else:
            self._remove(stream)

    def _receive_ping(self, flags: int, value: int, events: list[MuxEvent]) -> None:
        if not flags & ACK:
            self._tolerance.useless("pings", self._now)
            self._sender.pong(value)
            self.has_output = True
            return
        seconds = self._liveness.receive_pong(value, self._now)
        if seconds is None:
            self._tolerance.useless("pongs nobody asked for", self._now)
        else:
            events.append(RoundTripMeasured(seconds))

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
            if not stream.finished or stream.discarding:  # else its reader is to see that it is complete
                self._forget_if_over(stream)
        self._sender.clear()
        self.has_output = False
        self._acks.clear()
        self._lingering.clear()
        self._body_stream = None
        self._backlog.clear()
        self._partial = b""

    # --- time --------------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        self.timeout_moved = False
        if self._ended:
            return None
        due = min(self._liveness.next_timeout(), self._lingering.next_timeout(), self._acks.next_timeout())
        return min(due, self._now + _DEMAND_RETRY) if self._demands else due

    def handle_timeout(self, now: float) -> list[MuxEvent]:
        if self._ended:
            return []
        self._now = now
        events: list[MuxEvent] = []
        if self._liveness.is_silent(now):
            self._fail(ConnectionClosed(self._liveness.reason, by="network"), events)
            return events
        ping = self._liveness.take_ping(now)
        if ping is not None:
            self._queue(pack(PING | SYN, 0, ping))
        for stream_id in self._acks.take_due(now):
            self._queue(pack(WINDOW_UPDATE | ACK, stream_id, 0))
        for stream_id in self._lingering.take_due(now):
            self.reset(stream_id)
        self._grant_demands(self._holdings.grantable())
        return events

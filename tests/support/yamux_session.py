"""One yamux session under test, its peer written by hand; and what must be true of a session at any time.

session = Session()
assert session.receive(opened(1)) == [StreamOpened(1)]
assert session.sent() == [Frame(WINDOW_UPDATE, ACK, 1)]
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cortexnet.mux.holdings import reservation
from cortexnet.mux.muxer import MuxEvent
from cortexnet.mux.outbox import OutboxPool
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import ACK, DATA, FIN, GO_AWAY, HEADER_SIZE, PING, RST, SYN, WINDOW_UPDATE, pack, unpack_from

# What a test needs not to be bothered by a limit it is not about.
ROOMY = YamuxConfig(useless_frames=1 << 40, stray_data=1 << 40, accept_rate=1 << 40, control_backlog=1 << 40)


@dataclass(frozen=True)
class Frame:
    """A frame as it goes over the wire."""

    kind: int
    flags: int
    stream_id: int
    length: int = 0
    body: bytes = b""

    def __bytes__(self) -> bytes:
        return pack(self.kind | self.flags, self.stream_id, self.length) + self.body


def opened(stream_id: int, credit: int = 0) -> bytes:
    return pack(WINDOW_UPDATE | SYN, stream_id, credit)


def acked(stream_id: int, credit: int = 0) -> bytes:
    return pack(WINDOW_UPDATE | ACK, stream_id, credit)


def data(stream_id: int, body: bytes, flags: int = 0) -> bytes:
    return pack(DATA | flags, stream_id, len(body)) + body


def credit(stream_id: int, size: int) -> bytes:
    return pack(WINDOW_UPDATE, stream_id, size)


def ended(stream_id: int) -> bytes:
    return pack(WINDOW_UPDATE | FIN, stream_id, 0)


def reset(stream_id: int, code: int = 0) -> bytes:
    return pack(WINDOW_UPDATE | RST, stream_id, code)


def ping(value: int) -> bytes:
    return pack(PING | SYN, 0, value)


def pong(value: int) -> bytes:
    return pack(PING | ACK, 0, value)


def farewell(code: int = 0) -> bytes:
    return pack(GO_AWAY, 0, code)


def frames_of(data: bytes) -> list[Frame]:
    """The frames in what a session sent; all of them must be whole."""
    frames, position = [], 0
    while position < len(data):
        word, stream_id, length = unpack_from(data, position)
        position += HEADER_SIZE
        body = b""
        if word & 0xFFFF_0000 == DATA:
            body = data[position : position + length]
            assert len(body) == length
            position += length
        frames.append(Frame(word & 0xFFFF_0000, word & 0xFFFF, stream_id, length, body))
    return frames


class Budget:
    """A MemoryBudget that counts, and insists on being paid back no more than was lent."""

    def __init__(self, limit: int = 1 << 62) -> None:
        self.limit = limit
        self.setting = "a setting"
        self.outgoing = OutboxPool(1 << 62)
        self.used = 0
        self.peak = 0
        self.unread = 0

    def reserve(self, size: int) -> bool:
        if self.used + size > self.limit:
            return False
        self.charge(size)
        return True

    def charge(self, size: int) -> None:
        assert size >= 0
        self.used += size
        self.peak = max(self.peak, self.used)

    def release(self, size: int) -> None:
        assert 0 <= size <= self.used
        self.used -= size

    def dropped(self, size: int) -> None:
        assert 0 < size <= self.used, "it is told before it is given back"
        self.unread += size

    def is_over(self) -> bool:
        return self.used > self.limit


class Session:
    """A yamux core, the acceptor unless said otherwise; its own pings are left out unless the test lets time begin."""

    def __init__(self, *, initiator: bool = False, config: YamuxConfig | None = None, memory: Budget | None = None) -> None:
        self.memory = memory or Budget()
        self.core = Yamux(initiator=initiator, config=config or ROOMY, memory=self.memory)
        self.now = 100.0

    def receive(self, *frames: bytes) -> list[MuxEvent]:
        """The frames in one piece, and what was left over for want of time."""
        events = list(self.core.receive(b"".join(frames), self.now))
        while self.core.has_backlog:
            events += self.core.receive(b"", self.now)
        check(self.core, self.memory)
        return events

    def pass_time(self, seconds: float) -> list[MuxEvent]:
        """Let the timer fire when the session wants it to, until then."""
        events: list[MuxEvent] = []
        until = self.now + seconds
        while (due := self.core.next_timeout()) is not None and due <= until:
            self.now = max(due, self.now)
            events += self.core.handle_timeout(self.now)
            check(self.core, self.memory)
        self.now = until
        return events

    def sent(self) -> list[Frame]:
        """All that it has to send."""
        return frames_of(drain(self.core))


def drain(core: Yamux) -> bytes:
    """All that a session has to send."""
    out = b""
    while core.has_output:
        out += b"".join(core.data_to_send())
    assert core.data_to_send() == []
    return out


def exchange(left: Yamux, right: Yamux, now: float) -> tuple[list[MuxEvent], list[MuxEvent]]:
    """Let both sessions talk until neither has anything to say; the events of both."""
    events: tuple[list[MuxEvent], list[MuxEvent]] = ([], [])
    while left.has_output or right.has_output:
        events[1].extend(right.receive(drain(left), now))
        events[0].extend(left.receive(drain(right), now))
    return events


def bodies(frames: Sequence[Frame], stream_id: int) -> bytes:
    """The data of a stream in frames."""
    return b"".join(frame.body for frame in frames if frame.stream_id == stream_id)


def check(core: Yamux, memory: Budget) -> None:
    """What holds between any two calls."""
    streams = core._streams.values()
    ours = [stream for stream in streams if stream.ours]
    table = core._table
    assert (table.outbound, table.inbound) == (len(ours), len(streams) - len(ours))
    assert table.unacknowledged == sum(stream.ack_wanted for stream in ours)
    assert memory.used == sum(stream.charged for stream in streams)
    assert core.has_output == core._sender.has_output
    assert core._sender.returns.items() <= core._streams.items()
    for stream in streams:
        inbox, window = stream.inbox, stream.window
        assert inbox.size <= stream.charged or not inbox.size
        assert stream.charged >= stream.reserved
        assert window.credit >= 0
        assert not stream.is_over or (core._ended and stream.finished and not stream.discarding)
        if not stream.is_draining:
            assert stream.reserved == reservation(window.promised)
            is_returned = stream.id in core._sender.returns  # with the next record
            assert is_returned or inbox.size + window.credit > INITIAL_WINDOW // 2  # nobody waits for credit that is never sent
    for stream_id in core._demands:
        assert not core._streams[stream_id].is_draining

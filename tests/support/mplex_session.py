"""One mplex session under test, its peer written by hand; and what must be true of a session at any time.

session = Session()
assert session.receive(opened(0)) == [StreamOpened(theirs(0))]
session.core.reset(theirs(0))
assert session.sent() == [Frame(0, RESET - 1)]
"""

from dataclasses import dataclass

from cortexnet.multiformats import varint
from cortexnet.mux.mplex import Mplex
from cortexnet.mux.mplex_config import MplexConfig
from cortexnet.mux.mplex_frames import CLOSE, MESSAGE, RESET, frame, key_of, opening
from cortexnet.mux.muxer import MuxEvent
from tests.support.yamux_session import Budget

# What a test needs not to be bothered by a limit it is not about.
ROOMY = MplexConfig(useless_frames=1 << 40, stray_data=1 << 40, control_backlog=1 << 40)


@dataclass(frozen=True)
class Frame:
    """A frame as it goes over the wire."""

    number: int
    flag: int
    body: bytes = b""


def theirs(number: int) -> int:
    """What our session calls a stream that its peer opened."""
    return key_of(number, ours=False)


def mine(number: int) -> int:
    """What our session calls a stream of its own."""
    return key_of(number, ours=True)


opened = opening


def data(number: int, body: bytes, *, opener: bool = True) -> bytes:
    return frame(number, MESSAGE, ours=opener, body=body)


def ended(number: int, *, opener: bool = True) -> bytes:
    return frame(number, CLOSE, ours=opener)


def reset(number: int, *, opener: bool = True) -> bytes:
    return frame(number, RESET, ours=opener)


def frames_of(wire: bytes) -> list[Frame]:
    """The frames in what a session sent; all of them must be whole."""
    frames, position = [], 0
    while position < len(wire):
        word, position = varint.decode(wire, position)
        length, position = varint.decode(wire, position)
        assert position + length <= len(wire)
        frames.append(Frame(word >> 3, word & 7, wire[position : position + length]))
        position += length
    return frames


class Session:
    """An mplex core, the acceptor unless said otherwise."""

    def __init__(self, *, config: MplexConfig | None = None, memory: Budget | None = None) -> None:
        self.memory = memory or Budget()
        self.core = Mplex(initiator=False, config=config or ROOMY, memory=self.memory)
        self.now = 100.0

    def receive(self, *frames: bytes) -> list[MuxEvent]:
        """The frames in one piece, and what was left over for want of time."""
        events = list(self.core.receive(b"".join(frames), self.now))
        while self.core.has_backlog:
            events += self.core.receive(b"", self.now)
        check(self.core, self.memory)
        return events

    def pass_time(self, seconds: float) -> None:
        """Let the timer fire when the session wants it to, until then."""
        until = self.now + seconds
        while (due := self.core.next_timeout()) is not None and due <= until:
            self.now = max(due, self.now)
            assert self.core.handle_timeout(self.now) == []
            check(self.core, self.memory)
        self.now = until

    def sent(self) -> list[Frame]:
        """All that it has to send."""
        return frames_of(drain(self.core))


def drain(core: Mplex) -> bytes:
    """All that a session has to send."""
    out = b""
    while core.has_output:
        out += b"".join(core.data_to_send())
    assert core.data_to_send() == []
    return out


def exchange(left: Mplex, right: Mplex, now: float) -> None:
    """Let both sessions talk until neither has anything to say."""
    while left.has_output or right.has_output:
        right.receive(drain(left), now)
        left.receive(drain(right), now)


def check(core: Mplex, memory: Budget) -> None:
    """What holds between any two calls."""
    streams = core._streams
    ours = [stream for stream in streams.values() if stream.ours]
    assert (core._outbound, core._inbound) == (len(ours), len(streams) - len(ours))
    assert memory.used == sum(stream.charged for stream in streams.values())
    assert core.has_output == core._sender.has_output
    assert set(core._lingering.stream_ids()) <= set(streams)
    assert len(core._partial) < 18
    for key, stream in streams.items():
        assert key == stream.id
        assert stream.inbox.size <= stream.charged or not stream.inbox.size
        assert stream.inbox.size <= core._config.unread_limit + stream.awaited or not stream.inbox.size
        assert not stream.is_over or (core._ended and stream.finished and not stream.discarding)

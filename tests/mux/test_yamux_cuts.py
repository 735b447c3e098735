"""Any bytes, cut anywhere: the same events, the same bytes to read, the same answers, and no error but a typed one."""

from collections.abc import Callable, Iterable, Sequence
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortexnet.errors import ConnectionClosed, ProtocolViolation
from cortexnet.mux.muxer import ConnectionFailed, MuxEvent, StreamOpened, StreamReadable, StreamWasReset
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import ACK, DATA, FIN, GO_AWAY, PING, RST, SYN, WINDOW_UPDATE, pack
from cortexnet.testing.adversary import mutations
from cortexnet.testing.hostile import hostile_yamux
from tests.support.yamux_session import Budget, check, drain

HOSTILE = hostile_yamux()
# A session in the middle of its life: what a dialer sends, all of it right.
HONEST = b"".join(
    [
        pack(WINDOW_UPDATE | SYN, 1, 0),
        pack(DATA, 1, 20) + bytes(range(20)),
        pack(PING | SYN, 0, 7),
        pack(DATA | SYN, 3, 5) + b"three",
        pack(WINDOW_UPDATE, 1, 131_072),
        pack(DATA, 1, 2_000) + bytes(2_000),
        pack(WINDOW_UPDATE | FIN, 1, 0),
        pack(DATA | FIN, 3, 3) + b"end",
        pack(DATA | SYN | FIN, 5, 4) + b"five",
        pack(WINDOW_UPDATE | SYN, 7, 0),
        pack(WINDOW_UPDATE | RST, 7, 0x1001),
        pack(WINDOW_UPDATE | ACK, 2, 0),
        pack(DATA, 2, 6) + b"answer",
    ]
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame that may be right or wrong in any of its fields, but is one."""
    kind = draw(st.sampled_from([DATA, DATA, DATA, WINDOW_UPDATE, WINDOW_UPDATE, PING, GO_AWAY, 0x0004_0000, 0x0100_0000]))
    flags = draw(st.one_of(st.sampled_from([0, 0, SYN, SYN, ACK, FIN, RST, SYN | FIN, ACK | FIN]), st.integers(0, 0xFFFF)))
    stream_id = draw(st.one_of(st.sampled_from([1, 1, 2, 3, 5]), st.integers(0, 0xFFFF_FFFF)))
    if kind == DATA:
        body = draw(st.binary(max_size=40))
        length = len(body)
        if length > 38:  # seldom: what follows is taken for the body
            length = draw(st.sampled_from([length, 262_144, 262_145, 0xFFFF_FFFF]))
        return pack(kind | flags, stream_id, length) + body
    return pack(kind | flags, stream_id, draw(st.one_of(st.integers(0, 3), st.integers(0, 0xFFFF_FFFF))))


SOME_FRAMES = st.lists(frames(), max_size=25).map(b"".join)
WIRE = st.one_of(st.binary(max_size=400), SOME_FRAMES, SOME_FRAMES.map(lambda wire: HONEST + wire))
COMMANDS: dict[str, Callable[[Yamux, int, int], object]] = {
    "reset": lambda core, stream_id, size: core.reset(stream_id),
    "close_write": lambda core, stream_id, size: core.close_write(stream_id),
    "discard_reads": lambda core, stream_id, size: core.discard_reads(stream_id),
    "expect": lambda core, stream_id, size: core.expect(stream_id, size),
    "read": lambda core, stream_id, size: core.read(stream_id, size),
    "close": lambda core, stream_id, size: core.close(7),
}
CUTS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def pieces(data: bytes, cuts: Sequence[int]) -> Iterable[bytes]:
    """The data, cut at these lengths again and again."""
    position = 0
    while position < len(data):
        for size in cuts:
            yield data[position : position + size]  # empty ones at the end as well
            position += size


def fresh(memory: Budget) -> Yamux:
    """A session that was dialed and has a stream of its own."""
    core = Yamux(initiator=False, config=YamuxConfig(useless_frames=30, stray_data=5_000, frames_at_once=7), memory=memory)
    assert core.open_stream() == 2
    return core


def outcome(chunks: Iterable[bytes]) -> tuple[list[str], dict[int, tuple[bytes, bool]], bytes]:
    """Events but for readability, what can then be read of each stream and whether that is all, and what was answered."""
    memory = Budget()
    core = fresh(memory)
    events: list[MuxEvent] = []
    readable, opened = set(), {2}
    for chunk in chunks:
        came = list(core.receive(chunk, 1.0))
        while core.has_backlog:
            came += core.receive(b"", 1.0)
        if came:
            check(core, memory)
        for event in came:
            if isinstance(event, StreamReadable):
                readable.add(event.stream_id)
            elif isinstance(event, StreamOpened):
                opened.add(event.stream_id)
            elif isinstance(event, ConnectionFailed):
                assert isinstance(event.error, ProtocolViolation | ConnectionClosed)
        events += [event for event in came if not isinstance(event, StreamReadable)]
    failures = [event for event in events if isinstance(event, ConnectionFailed)]
    assert failures == events[len(events) - len(failures) :]
    assert len(failures) <= 1
    answer = drain(core)
    left = {}
    for stream_id in sorted(opened):
        if core.knows(stream_id):
            data = core.read_exactly(stream_id, core.readable_bytes(stream_id)) or b""
            assert stream_id in readable or not data
            left[stream_id] = (data, core.is_finished(stream_id))
    return [repr(event) for event in events], left, answer


@given(WIRE, CUTS)
@example(HONEST, [1])
@example(HONEST[:-3], [11, 1])
def test_cutting_the_bytes_elsewhere_changes_nothing(data: bytes, cuts: list[int]) -> None:
    assert outcome([data]) == outcome(pieces(data, cuts))


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_bytes_do_the_same_whole_and_byte_by_byte(name: str) -> None:
    data = HOSTILE[name][:40_000]
    assert outcome([data]) == outcome(pieces(data, [1])) == outcome(pieces(data, [13, 7, 1_000]))


@given(st.integers(0, 2**32))
def test_damage_to_an_honest_session_ends_it_or_is_borne(seed: int) -> None:
    random = Random(seed)
    for damaged in mutations(HONEST, random, 3):
        assert outcome([damaged]) == outcome(pieces(damaged, [random.randint(1, 30) for _ in range(5)]))


@given(WIRE, st.lists(st.tuples(st.sampled_from(list(COMMANDS)), st.integers(0, 5), st.integers(1, 1_500_000))))
def test_no_bytes_and_no_commands_amid_them_leak_anything(data: bytes, commands: list[tuple[str, int, int]]) -> None:
    """The application does what it likes with the streams it was told of, between any two pieces."""
    memory = Budget(2_000_000)
    core = fresh(memory)
    known = [2]
    step = len(data) // (len(commands) + 1) + 1
    for number, piece in enumerate(pieces(data, [step])):
        for event in core.receive(piece, float(number)):
            if isinstance(event, StreamOpened):
                known.append(event.stream_id)
            elif isinstance(event, StreamWasReset):
                assert not core.knows(event.stream_id) or core.is_finished(event.stream_id)
        check(core, memory)
        if number < len(commands):
            verb, which, size = commands[number]
            stream_id = known[which % len(known)]
            if core.knows(stream_id):
                COMMANDS[verb](core, stream_id, size)
            check(core, memory)
    core.close()
    for stream_id in known:
        if core.knows(stream_id):
            core.reset(stream_id)
    assert core.stream_count() == 0
    assert memory.used == 0

"""Any bytes, cut anywhere: the same events, the same bytes to read, the same answers, and no error but a typed one."""

from collections.abc import Callable, Iterable, Sequence
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortexnet.errors import MessageTooLarge, ProtocolViolation
from cortexnet.multiformats import varint
from cortexnet.mux.mplex import Mplex
from cortexnet.mux.mplex_config import MplexConfig
from cortexnet.mux.mplex_frames import MESSAGE, NEW, frame
from cortexnet.mux.muxer import ConnectionFailed, MuxEvent, StreamOpened, StreamReadable
from cortexnet.testing.adversary import mutations
from cortexnet.testing.hostile import hostile_mplex
from tests.support.mplex_session import check, data, drain, ended, mine, opened, reset
from tests.support.yamux_session import Budget

HOSTILE = hostile_mplex()
# A session in the middle of its life: what a dialer sends, all of it right.
HONEST = b"".join(
    [
        opened(0),
        data(0, bytes(range(20))),
        opened(1) + data(1, b"one"),
        data(0, bytes(2_000)),
        data(0, b"answer", opener=False),
        ended(0),
        frame(300, NEW, ours=True, body=b"a longer name") + data(300, b"x"),
        reset(1),
        data(300, b"end") + ended(300),
        ended(0, opener=False),
    ]
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame that may be right or wrong in any of its fields, but is one."""
    flag = draw(st.sampled_from([0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7]))
    number = draw(st.one_of(st.sampled_from([0, 0, 0, 1, 2, 300]), st.integers(0, (1 << 60) - 1)))
    body = draw(st.binary(max_size=40))
    length = len(body)
    if length > 38:  # seldom: what follows is taken for the body
        length = draw(st.sampled_from([length, 300, 1 << 20, (1 << 20) + 1, varint.MAX_VALUE]))
    return varint.encode(number << 3 | flag) + varint.encode(length) + body


SOME_FRAMES = st.lists(frames(), max_size=25).map(b"".join)
WIRE = st.one_of(st.binary(max_size=400), SOME_FRAMES, SOME_FRAMES.map(lambda wire: HONEST + wire))
COMMANDS: dict[str, Callable[[Mplex, int, int], object]] = {
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


def fresh(memory: Budget) -> Mplex:
    """A session with small bounds that was dialed and has a stream of its own."""
    config = MplexConfig(useless_frames=30, stray_data=5_000, frames_at_once=7, unread_limit=3_000)
    core = Mplex(initiator=False, config=config, memory=memory)
    assert core.open_stream() == mine(0)
    return core


def outcome(chunks: Iterable[bytes]) -> tuple[list[str], dict[int, tuple[bytes, bool]], bytes]:
    """Events but for readability, what can then be read of each stream and whether that is all, and what was answered."""
    memory = Budget()
    core = fresh(memory)
    events: list[MuxEvent] = []
    readable, known = set(), {mine(0)}
    for chunk in chunks:
        came = list(core.receive(chunk, 1.0))
        while core.has_backlog:
            came += core.receive(b"", 1.0)
        check(core, memory)
        for event in came:
            if isinstance(event, StreamReadable):
                readable.add(event.stream_id)
            elif isinstance(event, StreamOpened):
                known.add(event.stream_id)
            elif isinstance(event, ConnectionFailed):
                assert isinstance(event.error, ProtocolViolation | MessageTooLarge)
        events += [event for event in came if not isinstance(event, StreamReadable)]
    failures = [event for event in events if isinstance(event, ConnectionFailed)]
    assert failures == events[len(events) - len(failures) :]
    assert len(failures) <= 1
    answer = drain(core)
    left = {}
    for stream_id in sorted(known):
        if core.knows(stream_id):
            rest = core.read_exactly(stream_id, core.readable_bytes(stream_id)) or b""
            assert stream_id in readable or not rest
            left[stream_id] = (rest, core.is_finished(stream_id))
    return [repr(event) for event in events], left, answer


@given(WIRE, CUTS)
@example(HONEST, [1])
@example(HONEST[:-1], [11, 1])
def test_cutting_the_bytes_elsewhere_changes_nothing(data: bytes, cuts: list[int]) -> None:
    assert outcome([data]) == outcome(pieces(data, cuts))


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_bytes_do_the_same_whole_and_byte_by_byte(name: str) -> None:
    data = HOSTILE[name][:20_000]
    assert outcome([data]) == outcome(pieces(data, [1])) == outcome(pieces(data, [13, 7, 1_000]))


@given(st.integers(0, 2**32))
def test_damage_to_an_honest_session_ends_it_or_is_borne(seed: int) -> None:
    random = Random(seed)
    for damaged in mutations(HONEST, random, 3):
        assert outcome([damaged]) == outcome(pieces(damaged, [random.randint(1, 30) for _ in range(5)]))


def test_an_honest_session_is_understood_whatever_the_cut() -> None:
    events, left, answer = outcome(pieces(HONEST, [3]))
    assert [event for event in events if "Failed" in event] == []
    assert left[0] == (bytes(range(20)) + bytes(2_000), True)
    assert left[600] == (b"xend", True)
    assert left[mine(0)] == (b"answer", True)
    assert answer == opened(0)


@given(WIRE, st.lists(st.tuples(st.sampled_from(list(COMMANDS)), st.integers(0, 5), st.integers(1, 1_500_000))))
def test_no_bytes_and_no_commands_amid_them_leak_anything(data: bytes, commands: list[tuple[str, int, int]]) -> None:
    """The application does what it likes with the streams it was told of, between any two pieces."""
    memory = Budget(2_000_000)
    core = fresh(memory)
    known = [mine(0)]
    step = len(data) // (len(commands) + 1) + 1
    for number, piece in enumerate(pieces(data, [step])):
        known += [event.stream_id for event in core.receive(piece, float(number)) if isinstance(event, StreamOpened)]
        check(core, memory)
        if number < len(commands):
            verb, which, size = commands[number]
            stream_id = known[which % len(known)]
            if core.knows(stream_id):
                COMMANDS[verb](core, stream_id, size)
            check(core, memory)
        core.handle_timeout(float(number))
        check(core, memory)
    core.close()
    for stream_id in known:
        if core.knows(stream_id):
            core.reset(stream_id)
    assert core.stream_count() == 0
    assert memory.used == 0


def test_a_body_that_is_cut_at_the_limit_of_what_is_unread_has_the_same_end() -> None:
    wire = opened(0) + frame(0, MESSAGE, ours=True, body=bytes(4_000)) + data(0, b"late")
    assert outcome([wire]) == outcome(pieces(wire, [1])) == outcome(pieces(wire, [3_000, 7]))

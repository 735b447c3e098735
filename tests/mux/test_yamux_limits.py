"""Every bound of a session, one below, at, and one above it."""

from collections.abc import Callable, Iterator

import pytest

from cortexnet.errors import ConnectionClosed, LimitExceeded, ProtocolViolation
from cortexnet.mux.holdings import reservation
from cortexnet.mux.inbox import PIECE_OVERHEAD
from cortexnet.mux.muxer import ConnectionFailed, MuxEvent, RoundTripMeasured, StreamOpened, StreamReadable, StreamWasReset
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import ACK, FIN, GO_AWAY, HEADER_SIZE, PING, RST, SYN, WINDOW_UPDATE, pack
from tests.support.yamux_session import (
    Budget,
    Frame,
    Session,
    acked,
    check,
    credit,
    data,
    ended,
    farewell,
    opened,
    ping,
    pong,
    reset,
)

DEFAULT = YamuxConfig()


def has_failed(events: list[MuxEvent]) -> bool:
    """Whether the session ended for a violation; the farewell says so."""
    failed = bool(events) and isinstance(events[-1], ConnectionFailed)
    if failed:
        assert isinstance(events[-1].error, ProtocolViolation)  # type: ignore[union-attr]
    return failed


def streams(count: int, first: int = 1) -> Iterator[int]:
    return iter(range(first, first + 2 * count, 2))


# --- frames that are of no use

USELESS: dict[str, Callable[[int], bytes]] = {
    "pings": ping,
    "pings with neither flag": lambda number: pack(PING, 0, number),
    "pongs": lambda number: pong(number + 1_000),
    "empty data": lambda number: data(1, b""),
    "empty data for nobody": lambda number: data(99_999, b""),
    "empty data with unknown flags": lambda number: data(1, b"", 0xFFF0),
    "empty data with an old acknowledgement": lambda number: data(1, b"", ACK),
    "no credit": lambda number: credit(1, 0),
    "no credit for nobody": lambda number: credit(99_999, 0),
    "credit for nobody": lambda number: credit(99_999, 1_000),
    "no credit with unknown flags": lambda number: pack(WINDOW_UPDATE | 0xFFF0, 1, 0),
    "acknowledgements": lambda number: acked(1),
    "acknowledgements of nothing": lambda number: acked(99_998),
    "resets of nothing": lambda number: reset(2 * number + 1_001),
    "resets of what was reset": lambda number: reset(3),
    "ends of nothing": lambda number: ended(99_999),
    "ends of what has ended": lambda number: ended(3),
    "openings that are resets": lambda number: pack(WINDOW_UPDATE | SYN | RST, 2 * number + 1_001, 0),
}


def busy_session() -> Session:
    """Stream 1 is open, stream 3 was reset after its end with bytes unread."""
    session = Session(config=DEFAULT)
    session.receive(opened(1), opened(3), data(3, b"unread"), ended(3), reset(3))
    return session


@pytest.mark.parametrize("kind", list(USELESS))
def test_a_thousand_useless_frames_in_ten_seconds_are_put_up_with_and_not_one_more(kind: str) -> None:
    frame = USELESS[kind]
    session = busy_session()
    session.receive(*[frame(number) for number in range(999)])
    assert not has_failed(session.receive(frame(999)))
    assert has_failed(session.receive(frame(1_000)))
    assert session.sent() == [Frame(GO_AWAY, 0, 0, 1)]


def test_useless_frames_of_all_kinds_count_together_and_anew_after_ten_seconds() -> None:
    session = busy_session()
    kinds = list(USELESS.values())
    for number in range(1_000):
        assert not has_failed(session.receive(kinds[number % len(kinds)](number)))
    session.now += 9.99
    session.core.handle_timeout(session.now)
    session.now += 0.01
    for number in range(1_000):
        assert not has_failed(session.receive(kinds[number % len(kinds)](number)))
    assert has_failed(session.receive(kinds[0](0)))


@pytest.mark.parametrize("kind", list(USELESS))
def test_useless_frames_leave_nothing_behind(kind: str) -> None:
    session = busy_session()
    before = session.memory.used, session.core.stream_count()
    session.sent()
    session.receive(*[USELESS[kind](number) for number in range(1_000)])
    assert (session.memory.used, session.core.stream_count()) == before
    assert len(session.sent()) <= 32


def test_streams_opened_ended_and_reset_are_not_useless() -> None:
    session = Session(config=DEFAULT)
    for stream_id in streams(3_000):
        assert not has_failed(session.receive(opened(stream_id), ended(stream_id)))
        session.core.read(stream_id, 1)
        session.core.close_write(stream_id)
        session.sent()
    for stream_id in streams(3_000, first=10_001):
        assert not has_failed(session.receive(opened(stream_id), reset(stream_id)))
        session.sent()


def test_what_crosses_the_end_of_a_stream_is_nobodys_fault() -> None:
    """Thousands of requests that are given up while the answer is under way must not cost the connection."""
    session = Session(initiator=True, config=DEFAULT)
    for stream_id in streams(2_000):
        assert session.core.open_stream() == stream_id
        session.core.reset(stream_id)
        assert not session.receive(acked(stream_id), data(stream_id, bytes(1_000)), ended(stream_id), reset(stream_id))


def test_late_credit_is_explained_by_what_was_sent() -> None:
    """A js server's client returns credit for each frame, also once the answer is complete and both ends are done."""
    session = Session(config=DEFAULT)
    for stream_id in streams(2_000):
        session.receive(opened(stream_id), ended(stream_id))
        session.core.send(stream_id, b"answer")
        session.core.close_write(stream_id)
        session.sent()
        assert not session.core.knows(stream_id)
        assert session.receive(credit(stream_id, 6)) == []


# --- data for streams that are gone


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_a_mib_of_stray_data_in_ten_seconds_is_put_up_with_and_not_one_byte_more(excess: int) -> None:
    session = Session(config=DEFAULT)
    for _ in range(15):
        assert session.receive(data(99, bytes(65_536))) == []
    assert has_failed(session.receive(data(99, bytes(65_536 + excess)))) == (excess > 0)
    assert session.memory.used == 0


def test_stray_data_counts_anew_after_ten_seconds() -> None:
    session = Session(config=DEFAULT)
    session.receive(data(99, bytes(1_048_576)))
    session.now += 10.0
    assert session.receive(data(99, bytes(1_048_576))) == []
    assert has_failed(session.receive(data(99, b"x")))


@pytest.mark.parametrize("excess", [0, 1])
def test_what_the_window_of_a_reset_stream_still_owed_is_not_stray(excess: int) -> None:
    session = Session(config=YamuxConfig(stray_data=0))
    session.receive(opened(1), data(1, bytes(100_000)))
    session.core.reset(1)
    assert session.receive(data(1, bytes(100_000))) == []
    assert has_failed(session.receive(data(1, bytes(62_144 + excess)))) == (excess > 0)


def test_what_was_on_its_way_to_a_stream_that_was_refused_is_not_stray() -> None:
    session = Session(config=YamuxConfig(stray_data=0, useless_frames=0, max_inbound_streams=1))
    session.receive(opened(1), opened(3))
    for stream_id in streams(100, first=5):
        body = data(stream_id, bytes(INITIAL_WINDOW), SYN)
        assert session.receive(body, ended(stream_id), reset(stream_id)) == []
    assert session.memory.used == 0
    assert session.core.stream_count() == 1


# --- answers


@pytest.mark.parametrize(("count", "answered"), [(31, 31), (32, 32), (33, 32), (1_000, 32)])
def test_32_pings_are_answered_at_a_time(count: int, answered: int) -> None:
    session = Session(config=DEFAULT)
    assert session.receive(*[ping(value) for value in range(count)]) == []
    assert session.sent() == [Frame(PING, ACK, 0, value) for value in range(count - answered, count)]


@pytest.mark.parametrize("flags", [SYN, SYN | FIN | RST | 0xFFF0])
def test_a_ping_is_answered_with_its_value_and_on_stream_0_whatever_else_it_says(flags: int) -> None:
    session = Session(config=DEFAULT)
    session.receive(pack(PING | flags, 77, 0xFFFF_FFFF))
    assert session.sent() == [Frame(PING, ACK, 0, 0xFFFF_FFFF)]


def test_pings_are_answered_while_no_stream_can_be_read_or_written() -> None:
    session = Session(config=DEFAULT)
    session.receive(opened(1), data(1, bytes(INITIAL_WINDOW)))
    while session.core.send(1, bytes(100_000)):
        session.sent()
    session.receive(ping(7))
    assert session.sent() == [Frame(PING, ACK, 0, 7)]


@pytest.mark.parametrize(("count", "fails"), [(19, False), (20, False), (21, True)])
def test_a_peer_that_makes_us_answer_and_does_not_read_the_answers_is_cut_off(count: int, fails: bool) -> None:
    session = Session(config=YamuxConfig(max_inbound_streams=0, control_backlog=20))
    events = session.receive(*[opened(stream_id) for stream_id in streams(count)])
    assert has_failed(events) == fails
    if not fails:
        assert {frame.flags for frame in session.sent()} == {RST}
        assert session.receive(*[opened(stream_id) for stream_id in streams(count)]) == []


# --- streams


@pytest.mark.parametrize("count", [1_279, 1_280, 1_281])
def test_the_peer_may_have_1280_streams_and_the_next_is_reset(count: int) -> None:
    session = Session(config=DEFAULT)
    events = session.receive(*[opened(stream_id) for stream_id in streams(count)])
    assert events == [StreamOpened(stream_id) for stream_id in streams(min(count, 1_280))]
    assert session.core.stream_count() == min(count, 1_280)
    resets = [frame for frame in session.sent() if frame.flags & RST]
    assert resets == ([Frame(WINDOW_UPDATE, RST, 2_561, 0x1002)] if count > 1_280 else [])


def test_a_stream_that_is_over_makes_room_for_another() -> None:
    session = Session(config=YamuxConfig(max_inbound_streams=2))
    session.receive(opened(1), opened(3))
    session.receive(reset(1))
    assert session.receive(opened(5)) == [StreamOpened(5)]
    assert session.receive(opened(7)) == []


def test_a_stream_that_lingers_makes_room_for_a_new_one_the_longest_closed_first() -> None:
    session = Session(config=YamuxConfig(max_inbound_streams=3))
    ours = session.core.open_stream()
    session.receive(acked(ours), opened(1), opened(3), opened(5))
    for stream_id in (ours, 3, 1):
        session.core.close_write(stream_id)
        session.core.discard_reads(stream_id)
    session.sent()
    assert session.receive(opened(7), opened(9), opened(11)) == [StreamOpened(7), StreamOpened(9)]
    assert session.core.knows(ours)
    frames = session.sent()
    assert [frame.stream_id for frame in frames if frame.flags & RST] == [3, 1, 11]
    assert [frame.stream_id for frame in frames if frame.flags & ACK] == [7, 9]


def test_a_stream_of_ours_that_lingers_makes_room_for_a_new_one_of_ours() -> None:
    session = Session(config=YamuxConfig(max_outbound_streams=2))
    first, second = session.core.open_stream(), session.core.open_stream()
    session.receive(acked(first), acked(second), opened(1))
    session.core.close_write(1)
    session.core.discard_reads(1)
    assert not session.core.can_open()
    with pytest.raises(LimitExceeded):
        session.core.open_stream()
    for stream_id in (second, first):
        session.core.close_write(stream_id)
        session.core.discard_reads(stream_id)
    session.sent()
    assert session.core.can_open()
    third, fourth = session.core.open_stream(), session.core.open_stream()
    assert not session.core.can_open()
    frames = session.sent()
    assert [frame.stream_id for frame in frames if frame.flags & RST] == [second, first]
    assert [frame.stream_id for frame in frames if frame.flags & SYN] == [third, fourth]
    assert session.core.knows(1)
    session.receive(farewell())
    assert not session.core.can_open()


def test_20000_streams_a_second_are_acknowledged_at_once_and_the_next_in_the_next_second() -> None:
    session = Session(config=DEFAULT)

    for stream_id in streams(20_000):
        assert session.receive(opened(stream_id), ended(stream_id)) == [StreamOpened(stream_id), StreamReadable(stream_id)]
        session.core.close_write(stream_id)
        assert [frame.flags for frame in session.sent()] == [ACK, FIN]
    session.core.timeout_moved = False
    assert session.receive(opened(40_001), opened(40_003)) == [StreamOpened(40_001), StreamOpened(40_003)]  # not refused
    assert session.core.timeout_moved
    assert session.sent() == []
    session.pass_time(0.99)
    assert [frame for frame in session.sent() if frame.flags & ACK] == []
    session.pass_time(0.02)
    assert [frame.stream_id for frame in session.sent() if frame.flags == ACK] == [40_001, 40_003]


def test_a_stream_opened_and_reset_for_ever_leaves_nothing_behind() -> None:
    """The same id again and again made the queue of acknowledgements that are held back grow without end."""
    session = Session(config=YamuxConfig(accept_rate=1))
    session.receive(opened(3))
    for _ in range(10_000):
        session.receive(opened(1), reset(1))
    session.receive(opened(1))
    assert len(session.core._acks._held) == 1
    session.sent()
    session.now += 1.0
    session.core.handle_timeout(session.now)
    assert [frame.stream_id for frame in session.sent() if frame.flags == ACK] == [1]


# --- frames at once


@pytest.mark.parametrize(("count", "left"), [(599, 0), (600, 0), (601, 1), (4_500, 3_900)])
def test_600_frames_are_worked_on_at_once_and_the_rest_when_asked_again(count: int, left: int) -> None:
    session = Session(config=DEFAULT)
    session.receive(opened(1))
    core = session.core
    assert core.receive(data(1, b"x") * count, 0.0) == [StreamReadable(1)]
    assert core.readable_bytes(1) == count - left
    assert core.has_backlog == (left > 0)
    calls = 0
    while core.has_backlog:
        assert core.receive(b"", 0.0) == [StreamReadable(1)]
        calls += 1
    assert calls == -(-left // 600)
    assert core.readable_bytes(1) == count


def test_what_comes_while_there_is_a_backlog_queues_behind_it() -> None:
    session = Session(config=YamuxConfig(frames_at_once=3))
    session.receive(opened(1))
    core = session.core
    wire = b"".join(data(1, bytes([number])) for number in range(20))
    core.receive(wire[:80], 0.0)
    assert core.has_backlog
    core.receive(wire[80:85], 0.0)
    core.receive(wire[85:], 0.0)
    while core.has_backlog:
        core.receive(b"", 0.0)
    assert core.read_exactly(1, 20) == bytes(range(20))


def test_a_body_that_arrives_alone_is_no_frame_of_the_next_share() -> None:
    session = Session(config=YamuxConfig(frames_at_once=1))
    core = session.core
    session.receive(opened(1))
    wire = data(1, bytes(1_000)) + data(1, b"x")
    core.receive(wire[:500], 0.0)
    core.receive(wire[500:], 0.0)
    assert not core.has_backlog
    assert core.readable_bytes(1) == 1_001


def test_a_violation_in_a_backlog_ends_it() -> None:
    session = Session(config=YamuxConfig(frames_at_once=2))
    session.receive(opened(1))
    core = session.core
    assert core.receive(data(1, b"x") * 3 + data(0, b"x") + data(1, b"x") * 10, 0.0) == [StreamReadable(1)]
    assert has_failed(core.receive(b"", 0.0))
    assert not core.has_backlog
    assert core.receive(b"", 0.0) == []


def test_nothing_at_all_changes_nothing() -> None:
    """An empty chunk amid a body put an empty piece into the inbox, and the next message read failed with IndexError."""
    session = Session(config=DEFAULT)
    session.receive(opened(1))
    session.core.receive(data(1, b"\x03abc")[:HEADER_SIZE], 0.0)
    assert session.core.receive(b"", 5.0) == []
    assert session.core.read_message(1, 10) is None
    assert session.core.read(1, 10) is None
    session.core.receive(b"\x03abc", 0.0)
    assert session.core.read_message(1, 10) == b"abc"


# --- time


def test_pings_go_out_and_their_answers_are_measured() -> None:
    session = Session(config=DEFAULT)
    assert session.core.next_timeout() == float("-inf")
    assert session.pass_time(0.0) == []
    assert session.sent() == [Frame(PING, SYN, 0, 1)]
    session.now += 0.05
    (measured,) = session.receive(pong(1))
    assert measured == RoundTripMeasured(pytest.approx(0.05))
    session.pass_time(39.0)
    assert session.sent() == [Frame(PING, SYN, 0, 2)]  # and no other while this one is not answered


@pytest.mark.parametrize(("silence", "is_dead"), [(39.99, False), (40.0, True), (40.01, True)])
def test_40_seconds_without_a_byte_are_the_end(silence: float, is_dead: bool) -> None:
    session = Session(config=DEFAULT)
    session.pass_time(0.0)
    session.now = 128.0
    session.receive(opened(1)[:1])
    events = session.pass_time(silence)
    assert bool(events) == is_dead
    if is_dead:
        (failed,) = events
        assert isinstance(failed, ConnectionFailed)
        assert isinstance(failed.error, ConnectionClosed)
        assert failed.error.by == "network"
        assert session.core.next_timeout() is None
        assert session.sent() == []


def test_a_peer_that_does_not_answer_pings_but_sends_is_alive() -> None:
    session = Session(config=DEFAULT)
    for _ in range(20):
        assert session.pass_time(20.0) == []
        assert session.receive(ping(1)) == []


def lingering(*, silent: bool, used_up: bool = False) -> Session:
    """Stream 1 was closed here at the time of 100 s; its peer has sent since, or has not."""
    session = Session(config=DEFAULT)
    session.receive(opened(1), data(1, bytes(INITIAL_WINDOW if used_up else 10)))
    session.pass_time(0.0)
    session.receive(pong(1))
    session.core.close_write(1)
    session.core.discard_reads(1)
    assert session.core.timeout_moved
    session.sent()
    session.receive(pong(1_000) if silent else data(1, b"more"))
    if not silent:
        session.receive(data(1, b"more"))
    return session


def alive(session: Session, seconds: float) -> bool:
    """Whether stream 1 is still known so many seconds later; other bytes go on coming."""
    for _ in range(int(seconds // 10)):
        session.pass_time(10.0)
        session.receive(ping(1))
    session.pass_time(seconds % 10)
    resets = [frame for frame in session.sent() if frame.flags & RST and frame.kind == WINDOW_UPDATE]
    assert resets == ([] if session.core.knows(1) else [Frame(WINDOW_UPDATE, RST, 1)])
    return session.core.knows(1)


@pytest.mark.parametrize(("seconds", "is_alive"), [(1.99, True), (2.01, False)])
def test_a_closed_stream_whose_peer_goes_on_is_reset_after_two_seconds(seconds: float, is_alive: bool) -> None:
    assert alive(lingering(silent=False), seconds) == is_alive


@pytest.mark.parametrize(("seconds", "is_alive"), [(1.99, True), (2.01, False)])
def test_a_closed_stream_whose_window_is_used_up_is_reset_after_two_seconds(seconds: float, is_alive: bool) -> None:
    assert alive(lingering(silent=True, used_up=True), seconds) == is_alive


@pytest.mark.parametrize(("seconds", "is_alive"), [(59.9, True), (60.1, False)])
def test_a_closed_stream_whose_peer_is_silent_is_reset_after_a_minute(seconds: float, is_alive: bool) -> None:
    assert alive(lingering(silent=True), seconds) == is_alive


def test_a_closed_stream_whose_window_is_used_up_asks_for_the_time_at_once() -> None:
    session = Session(config=DEFAULT)
    session.pass_time(0.0)
    session.receive(opened(1), data(1, bytes(INITIAL_WINDOW)))
    session.core.close_write(1)
    session.core.discard_reads(1)
    assert session.core.timeout_moved
    assert session.core.next_timeout() == float("-inf")
    session.core.handle_timeout(session.now)
    assert session.core.handle_timeout(session.now + 2.0) == []
    assert not session.core.knows(1)


def test_a_closed_stream_that_ends_properly_is_not_reset() -> None:
    session = lingering(silent=False)
    session.receive(ended(1))
    assert not session.core.knows(1)
    session.pass_time(10.0)
    assert [frame for frame in session.sent() if frame.flags & RST] == []


def test_the_time_of_a_closed_stream_begins_with_its_end_that_leaves() -> None:
    session = Session(config=DEFAULT)
    session.receive(opened(1), data(1, bytes(INITIAL_WINDOW)))
    session.pass_time(0.0)
    session.sent()
    session.core.send(1, b"the last words")
    session.core.close_write(1)
    session.core.discard_reads(1)
    session.pass_time(5.0)
    assert session.core.knows(1)  # the socket was full
    session.sent()
    session.pass_time(1.99)
    assert session.core.knows(1)
    session.pass_time(0.02)
    assert not session.core.knows(1)


# --- memory


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_over_the_cap_the_largest_unread_stream_is_reset(excess: int) -> None:
    limit = 10_000 + 30_000 + 20_000 + 3 * PIECE_OVERHEAD
    session = Session(config=DEFAULT, memory=Budget(limit))
    session.receive(*[opened(stream_id) for stream_id in (1, 3, 5)], data(1, bytes(10_000)), data(3, bytes(30_000)))
    session.sent()
    events = session.receive(data(5, bytes(20_000 + excess)))
    if excess <= 0:
        assert events == [StreamReadable(5)]
        return
    assert events == [StreamReadable(5), StreamWasReset(3, 0x1002, by_peer=False)]
    assert session.sent() == [Frame(WINDOW_UPDATE, RST, 3, 0x1002)]
    assert session.memory.used == limit - 30_000 - PIECE_OVERHEAD + 1
    assert [session.core.readable_bytes(stream_id) for stream_id in (1, 5)] == [10_000, 20_001]


def test_streams_are_reset_until_the_cap_holds_again() -> None:
    session = Session(config=DEFAULT, memory=Budget(100_000))
    session.receive(*[opened(stream_id) for stream_id in streams(20)])
    frames = [data(stream_id, bytes(10_000 + stream_id)) for stream_id in streams(20)]
    events = session.receive(*frames)
    resets = [event.stream_id for event in events if isinstance(event, StreamWasReset)]
    assert resets == sorted(resets, reverse=True)
    assert 100_000 - 10_200 < session.memory.used <= 100_000
    check(session.core, session.memory)


def test_the_largest_unread_stream_is_not_the_one_with_the_largest_window() -> None:
    """A healthy transfer whose window has grown pays for nobody who does not read."""
    need = reservation(2 * 1024 * 1024)
    session = Session(config=DEFAULT, memory=Budget(need + 5_000))
    session.receive(opened(1), opened(3))
    session.core.expect(1, 2 * 1024 * 1024)
    session.sent()
    assert session.receive(data(3, bytes(6_000))) == [StreamReadable(3), StreamWasReset(3, 0x1002, by_peer=False)]
    assert session.core.knows(1)
    assert session.memory.used == need


def test_memory_that_is_only_promised_goes_last() -> None:
    session = Session(config=DEFAULT, memory=Budget(reservation(1_000_000)))
    session.receive(opened(1), opened(3))
    assert session.core.reset_largest_unread() == []
    session.core.expect(1, 1_000_000)
    assert session.core.reset_largest_unread() == [StreamWasReset(1, 0x1002, by_peer=False)]
    assert session.core.reset_largest_unread() == []
    assert session.memory.used == 0


def test_a_stream_that_was_reset_by_its_peer_is_dropped_without_another_reset() -> None:
    session = Session(config=DEFAULT)
    session.receive(opened(1), data(1, bytes(1_000)), ended(1), reset(1))
    session.sent()
    assert session.core.reset_largest_unread() == [StreamWasReset(1, 0x1002, by_peer=False)]
    assert session.sent() == []


def test_256_kib_in_frames_of_two_bytes_cost_what_256_kib_cost() -> None:
    session = Session(config=DEFAULT)
    session.receive(opened(1), *[data(1, b"xy")] * (INITIAL_WINDOW // 2))
    assert session.core.readable_bytes(1) == INITIAL_WINDOW
    assert session.memory.used < INITIAL_WINDOW + 20 * PIECE_OVERHEAD


def test_memory_that_is_not_held_by_streams_costs_each_stream_once_and_no_more() -> None:
    memory = Budget(limit=1000)
    core = Yamux(initiator=False, memory=memory)
    core.receive(pack(WINDOW_UPDATE | SYN, 1, 0), 0.0)
    memory.charge(2000)  # something else is over the cap, and stays so
    events = core.receive(pack(0, 1, 1) + b"x", 0.0)
    assert [event for event in events if isinstance(event, StreamWasReset)] == [StreamWasReset(1, 0x1002, by_peer=False)]
    assert core.stream_count() == 0
    assert memory.used == 2000

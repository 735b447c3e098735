"""Every bound of a session: one below, at it, one above."""

import pytest

from cortexnet.errors import ConnectionClosed, LimitExceeded, MessageTooLarge, ProtocolViolation, StreamClosed
from cortexnet.mux.mplex import Mplex
from cortexnet.mux.mplex_config import MplexConfig
from cortexnet.mux.mplex_frames import MESSAGE, NEW, frame
from cortexnet.mux.mplex_sender import FRAME_SIZE
from cortexnet.mux.muxer import ConnectionFailed, MuxEvent, StreamOpened, StreamReadable, StreamWasReset
from cortexnet.mux.outbox import RECORD_SIZE
from tests.support.mplex_session import Frame, Session, data, drain, ended, frames_of, mine, opened, reset, theirs
from tests.support.yamux_session import Budget

MIB = 1024 * 1024


def failure(events: list[MuxEvent]) -> Exception:
    (failed,) = events[-1:]
    assert isinstance(failed, ConnectionFailed)
    return failed.error


# --- what a reader leaves unread


def test_four_mebibytes_may_be_unread_and_one_byte_more_costs_the_stream() -> None:
    session = Session()
    session.receive(opened(1), opened(2), data(2, b"other"), *[data(1, bytes(MIB))] * 4)
    assert session.core.readable_bytes(theirs(1)) == 4 * MIB
    events = session.receive(data(1, b"x" * 10))
    assert events == [StreamReadable(theirs(1)), StreamWasReset(theirs(1), 0x1002, by_peer=False)]
    assert session.sent() == [Frame(1, 5)]
    assert not session.core.knows(theirs(1))
    assert session.core.read(theirs(2), 10) == b"other"
    assert session.receive(data(1, bytes(MIB)), data(1, bytes(MIB))) == []  # it was on its way


def test_small_reads_are_settled_together() -> None:
    session = Session()
    session.receive(opened(1), data(1, bytes(10_000)))
    charged = session.memory.used
    session.core.read_exactly(theirs(1), 1_000)
    assert session.memory.used == charged
    session.receive(data(1, bytes(100)))
    assert session.core.read_exactly(theirs(1), 5_000) == bytes(5_000)
    session.receive(data(1, bytes(10)))
    session.core.read_exactly(theirs(1), 4_110)
    assert session.memory.used == 0


def test_what_was_read_and_is_not_settled_yet_makes_room_for_more() -> None:
    session = Session()
    session.receive(opened(1), *[data(1, bytes(1_100))] * 5)
    charged = session.memory.used
    session.core.read_exactly(theirs(1), 2_200)
    session.receive(data(1, bytes(1_100)))
    assert session.memory.used == charged


def test_a_stream_that_is_read_takes_any_amount() -> None:
    session = Session()
    session.receive(opened(1))
    for _ in range(12):
        session.receive(data(1, bytes(MIB)))
        assert session.core.read_exactly(theirs(1), MIB) == bytes(MIB)
    assert session.memory.used == 0


def test_a_reader_who_waits_for_more_gets_it_and_no_more_than_the_limit_beyond() -> None:
    session = Session()
    session.receive(opened(1))
    session.core.expect(theirs(1), 2 * MIB)
    session.receive(*[data(1, bytes(MIB))] * 6)
    assert session.core.readable_bytes(theirs(1)) == 6 * MIB
    assert session.core.read_exactly(theirs(1), 2 * MIB) == bytes(2 * MIB)
    session.core.expect(theirs(1), 0)
    assert session.receive(data(1, b"x"))[1:] == [StreamWasReset(theirs(1), 0x1002, by_peer=False)]


def test_nobody_waits_for_what_never_fits() -> None:
    session = Session(memory=Budget(MIB))
    session.receive(opened(1))
    session.core.expect(theirs(1), MIB - MIB // 16)
    with pytest.raises(LimitExceeded, match="raise it with a setting"):
        session.core.expect(theirs(1), MIB)


def test_the_largest_unread_stream_goes_where_memory_is_over_for_another_reason() -> None:
    memory = Budget(100_000)
    session = Session(memory=memory)
    session.receive(opened(1), data(1, bytes(10)), opened(2), data(2, bytes(20)))
    memory.charge(200_000)
    events = list(session.core.receive(data(1, b"x"), 100.0))
    assert [event.stream_id for event in events if isinstance(event, StreamWasReset)] == [theirs(2), theirs(1)]
    assert session.core.reset_largest_unread() == []


# --- what one message may be


def test_a_message_of_a_mebibyte_is_taken_and_a_larger_one_ends_the_connection_before_its_body() -> None:
    session = Session()
    session.receive(opened(1), data(1, bytes(MIB)))
    assert session.core.readable_bytes(theirs(1)) == MIB
    events = session.receive(bytes.fromhex("0a818040"))
    assert isinstance(failure(events), MessageTooLarge)
    assert session.core.receive(opened(2), 101.0) == []
    assert not session.core.has_output


def test_a_name_is_no_more_than_skipped() -> None:
    session = Session(config=MplexConfig(stray_data=10))
    name = frame(5, NEW, ours=True, body=bytes(74))
    assert session.receive(name, data(5, b"x")) == [StreamOpened(theirs(5)), StreamReadable(theirs(5))]
    assert isinstance(failure(session.receive(frame(6, NEW, ours=True, body=bytes(65)))), ProtocolViolation)


# --- how many streams


def test_streams_above_the_limit_are_refused_each() -> None:
    session = Session(config=MplexConfig(max_inbound_streams=2))
    assert session.receive(opened(1), opened(2), opened(3)) == [StreamOpened(theirs(1)), StreamOpened(theirs(2))]
    assert session.sent() == [Frame(3, 5)]
    assert session.receive(data(3, bytes(100_000)), ended(3), reset(3)) == []
    session.core.reset(theirs(1))
    assert session.receive(opened(4)) == [StreamOpened(theirs(4))]


def test_a_closed_stream_whose_peer_has_not_ended_makes_room_for_a_new_one() -> None:
    session = Session(config=MplexConfig(max_inbound_streams=2))
    session.core.open_stream()
    session.receive(opened(1), opened(2))
    for stream_id in (mine(0), theirs(2)):
        session.core.close_write(stream_id)
        session.core.discard_reads(stream_id)
    session.sent()
    assert session.receive(opened(3)) == [StreamOpened(theirs(3))]
    assert session.sent() == [Frame(2, 5)]


def test_our_own_streams_are_limited_and_one_that_lingers_gives_way() -> None:
    session = Session(config=MplexConfig(max_outbound_streams=2))
    first, second = session.core.open_stream(), session.core.open_stream()
    assert not session.core.can_open()
    with pytest.raises(LimitExceeded, match=r"mplex\.max_outbound_streams"):
        session.core.open_stream()
    session.core.close_write(second)
    session.core.discard_reads(second)
    assert session.core.can_open()
    session.sent()
    assert session.core.open_stream() == mine(2)
    assert session.sent() == [Frame(1, 6), Frame(2, 0, b"2")]
    assert session.core.knows(first)


def test_after_the_end_nothing_is_opened() -> None:
    session = Session()
    session.core.close()
    session.core.close()
    with pytest.raises(ConnectionClosed):
        session.core.open_stream()


# --- what is of no use


@pytest.mark.parametrize(
    "useless", [data(1, b""), ended(7), reset(7), data(7, b"")], ids=["empty", "ends", "resets", "empty stray"]
)
def test_useless_frames_are_counted(useless: bytes) -> None:
    session = Session(config=MplexConfig(useless_frames=3))
    assert session.receive(opened(1), useless * 3) == [StreamOpened(theirs(1))]
    session.now += 10.0
    assert session.receive(useless * 3) == []
    assert isinstance(failure(session.receive(useless)), ProtocolViolation)


@pytest.mark.parametrize("flag", [MESSAGE, MESSAGE + 2, MESSAGE + 4])
def test_bytes_for_nobody_are_counted(flag: int) -> None:
    session = Session(config=MplexConfig(stray_data=10))
    assert session.receive(frame(7, flag, ours=True, body=bytes(10))) == []
    assert isinstance(failure(session.receive(frame(7, flag, ours=True, body=b"x"))), ProtocolViolation)


def test_data_behind_the_end_is_counted_too() -> None:
    session = Session(config=MplexConfig(stray_data=10))
    session.receive(opened(1), ended(1))
    assert session.receive(data(1, bytes(10))) == [StreamWasReset(theirs(1), 0x1004, by_peer=False)]
    session.receive(opened(2), ended(2))
    assert isinstance(failure(session.receive(data(2, b"x"))), ProtocolViolation)


def test_who_makes_us_answer_and_does_not_read_is_cut_off() -> None:
    session = Session(config=MplexConfig(max_inbound_streams=0, control_backlog=5))
    assert session.receive(*[opened(number) for number in range(5)]) == []
    assert isinstance(failure(session.receive(opened(5))), ProtocolViolation)
    assert not session.core.has_output


def test_what_may_still_come_for_a_stream_that_we_ended_is_free() -> None:
    session = Session(config=MplexConfig(useless_frames=0, stray_data=0, late_data=4 * MIB))
    session.receive(opened(1), opened(2), ended(2))
    session.core.reset(theirs(1))
    session.core.reset(theirs(2))
    assert session.receive(*[data(1, bytes(MIB))] * 4, ended(1), reset(1), reset(2)) == []
    assert isinstance(failure(session.receive(data(1, b"x"))), ProtocolViolation)


def test_a_body_whose_stream_goes_meanwhile_is_skipped() -> None:
    session = Session(config=MplexConfig(stray_data=0))
    whole = data(1, bytes(100))
    session.receive(opened(1), whole[:50])
    session.core.reset(theirs(1))
    assert session.receive(whole[50:], opened(2)) == [StreamOpened(theirs(2))]


# --- in turns


def test_a_call_works_on_its_share_of_frames_and_goes_on_where_it_stopped() -> None:
    core = Mplex(initiator=False, config=MplexConfig(frames_at_once=3, opening_weight=1))
    wire = opened(1) + data(1, b"a") * 3
    assert core.receive(wire, 0.0) == [StreamOpened(theirs(1)), StreamReadable(theirs(1))]
    assert core.has_backlog
    assert core.readable_bytes(theirs(1)) == 2
    assert core.receive(data(1, b"b"), 0.0) == []
    assert core.receive(b"", 0.0) == [StreamReadable(theirs(1))]
    assert not core.has_backlog
    assert core.read(theirs(1), 10) == b"aaab"


def test_a_stream_that_opens_counts_as_many_frames() -> None:
    core = Mplex(initiator=False, config=MplexConfig(frames_at_once=50, opening_weight=40))
    assert len(core.receive(opened(1) + opened(2) + opened(3), 0.0)) == 2
    assert core.has_backlog
    assert core.receive(b"", 0.0) == [StreamOpened(theirs(3))]


# --- out


def test_writers_take_turns_and_each_has_its_share() -> None:
    session = Session()
    streams = [session.core.open_stream() for _ in range(3)]
    session.sent()
    for stream_id in streams:
        assert session.core.send(stream_id, bytes(200_000)) == 131_072
        assert session.core.send(stream_id, b"x") == 0
        assert session.core.queued(stream_id) == 131_072
    numbers = []
    for _ in range(3):
        record = b"".join(session.core.data_to_send())
        assert len(record) <= RECORD_SIZE
        numbers += [frame.number for frame in frames_of(record)]
    assert set(numbers) == {0, 1, 2}
    assert list(session.core.drained) == streams
    session.core.reset(streams[0])
    assert list(session.core.drained) == streams[1:]


def test_a_frame_is_not_cut_to_fill_a_sliver_of_a_record() -> None:
    session = Session()
    first, second = session.core.open_stream(), session.core.open_stream()
    session.sent()
    session.core.send(first, bytes(RECORD_SIZE - 3_000))
    session.core.send(second, bytes(10_000))
    assert [frame.number for frame in frames_of(b"".join(session.core.data_to_send()))] == [0]
    assert [len(frame.body) for frame in session.sent()] == [10_000]


def test_full_frames_go_first_when_only_they_are_wanted() -> None:
    session = Session()
    first, second = session.core.open_stream(), session.core.open_stream()
    session.sent()
    session.core.send(first, bytes(100))
    session.core.send(second, bytes(FRAME_SIZE))
    frames = frames_of(b"".join(session.core.data_to_send(full_frames_only=True)))
    assert [(frame.number, len(frame.body)) for frame in frames] == [(1, FRAME_SIZE)]


def test_an_end_that_no_longer_fits_leaves_with_the_next_record() -> None:
    session = Session()
    stream_id = session.core.open_stream()
    session.sent()
    body = RECORD_SIZE - 4  # the header takes four bytes
    session.core.send(stream_id, bytes(body))
    session.core.close_write(stream_id)
    assert [frame.flag for frame in frames_of(b"".join(session.core.data_to_send()))] == [MESSAGE]
    assert session.sent() == [Frame(0, 4)]


def test_more_answers_than_a_record_holds_leave_in_several() -> None:
    session = Session()
    for _ in range(3_000):
        session.core.reset(session.core.open_stream())
    records = []
    while session.core.has_output:
        records.append(b"".join(session.core.data_to_send()))
    assert len(records) == 1
    for _ in range(20_000):
        session.core.reset(session.core.open_stream())
    first = b"".join(session.core.data_to_send())
    assert len(first) <= RECORD_SIZE
    assert frames_of(first)
    assert session.core.has_output
    drain(session.core)


# --- time


def test_who_sends_on_to_a_closed_stream_is_reset_soon_and_the_silent_later() -> None:
    session = Session()
    session.receive(opened(1), opened(2))
    for stream_id in (theirs(1), theirs(2)):
        session.core.close_write(stream_id)
        session.core.discard_reads(stream_id)
        session.core.discard_reads(stream_id)
    assert session.sent() == [Frame(1, 3), Frame(2, 3)]
    assert session.core.timeout_moved
    assert session.receive(data(1, b"dropped")) == []
    assert session.memory.used == 0
    session.pass_time(2.0)
    assert session.sent() == [Frame(1, 5)]
    session.pass_time(58.0)
    assert session.sent() == [Frame(2, 5)]
    assert session.core.next_timeout() is None
    assert session.core.stream_count() == 0


def test_a_session_has_no_timer_of_its_own() -> None:
    session = Session()
    session.receive(opened(1))
    assert session.core.next_timeout() is None
    assert not session.core.timeout_moved
    session.core.close()
    assert session.core.handle_timeout(1e9) == []


# --- the end


def test_at_the_end_what_came_can_be_read_and_nothing_else() -> None:
    session = Session()
    session.receive(opened(1), data(1, b"rest"), opened(2), opened(3), data(3, b"all"), ended(3))
    session.core.send(theirs(1), b"unsent")
    session.core.close()
    assert not session.core.has_output
    assert not session.core.knows(theirs(2))
    with pytest.raises(StreamClosed):
        session.core.send(theirs(1), b"more")
    assert session.core.read(theirs(1), 10) == b"rest"
    assert session.core.read(theirs(3), 10) == b"all"
    assert session.core.stream_count() == 0
    assert session.memory.used == 0

"""Flow control: windows in both directions, shares of the outbox, growth, and readers who wait for more than a window."""

import pytest

from cortexnet.errors import LimitExceeded, MessageTooLarge, ProtocolViolation
from cortexnet.multiformats import varint
from cortexnet.mux.holdings import reservation
from cortexnet.mux.muxer import ConnectionFailed, RoundTripMeasured, StreamReadable, StreamWasReset, StreamWritable
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import DATA, FRAME_SIZE, HEADER_SIZE, MAX_CREDIT, PING, RECORD_SIZE, SYN, WINDOW_UPDATE, pack
from tests.support.yamux_session import (
    ROOMY,
    Budget,
    Frame,
    Session,
    acked,
    bodies,
    credit,
    data,
    ended,
    opened,
    pong,
    reset,
)

MIB = 1024 * 1024
HALF = INITIAL_WINDOW // 2


def open_session(*, config: YamuxConfig = ROOMY, memory: Budget | None = None, streams: int = 1) -> Session:
    session = Session(config=config, memory=memory)
    session.receive(*[opened(2 * number + 1) for number in range(streams)])
    session.sent()
    return session


def credits(session: Session, stream_id: int) -> list[int]:
    """The credit that goes out for a stream."""
    return [frame.length for frame in session.sent() if frame.kind == WINDOW_UPDATE and frame.stream_id == stream_id]


# --- what we may send


def test_a_sender_stops_at_the_first_window_and_goes_on_with_credit() -> None:
    session = open_session()
    sent = 0
    while size := session.core.send(1, bytes(100_000)):
        sent += size
        session.sent()
    assert sent == INITIAL_WINDOW
    assert session.receive(credit(1, 5)) == [StreamWritable(1)]
    assert session.core.send(1, b"0123456789") == 5
    assert bodies(session.sent(), 1) == b"01234"
    assert session.receive(credit(1, 1)) == [StreamWritable(1)]


def test_nobody_is_told_of_credit_who_was_not_stopped() -> None:
    session = open_session()
    session.core.send(1, b"hello")
    assert session.receive(credit(1, 1_000)) == []
    assert session.core._streams[1].send_window == INITIAL_WINDOW - 5 + 1_000


def test_exactly_a_window_stops_nobody() -> None:
    session = open_session(config=YamuxConfig(outbox_share=INITIAL_WINDOW))
    assert session.core.send(1, bytes(INITIAL_WINDOW)) == INITIAL_WINDOW
    assert session.receive(credit(1, 1_000)) == []
    assert session.core.send(1, b"") == 0


def test_credit_up_to_32_bits_is_taken_and_not_one_byte_more() -> None:
    session = open_session()
    assert session.receive(credit(1, MAX_CREDIT - INITIAL_WINDOW)) == []
    (failed,) = session.receive(credit(1, 1))
    assert isinstance(failed, ConnectionFailed)
    assert "2^32" in str(failed.error)


@pytest.mark.parametrize("flags", [0, SYN])
def test_credit_past_32_bits_makes_no_stream(flags: int) -> None:
    session = Session()
    (failed,) = session.receive(pack(WINDOW_UPDATE | flags, 1, MAX_CREDIT - INITIAL_WINDOW + 1))
    assert isinstance(failed, ConnectionFailed)
    assert Session().receive(pack(WINDOW_UPDATE | flags, 1, MAX_CREDIT - INITIAL_WINDOW)) == ([] if not flags else [*_opened()])


def _opened() -> list[object]:
    return list(Session().receive(opened(1)))


def test_a_writer_gets_its_share_of_the_outbox_and_is_named_once_there_is_room() -> None:
    session = open_session()
    assert session.core.send(1, bytes(200_000)) == 131_072
    assert session.core.queued(1) == 131_072
    assert session.core.send(1, bytes(200_000)) == 0
    assert session.core.drained == {}
    session.core.data_to_send()
    assert session.core.drained == {1: None}
    assert session.core.queued(1) == 131_072 - FRAME_SIZE
    session.core.drained.clear()
    session.core.data_to_send()
    assert session.core.drained == {}  # it did not ask again


def test_a_writer_that_the_window_stopped_too_is_told_by_credit_alone() -> None:
    session = open_session(config=YamuxConfig(outbox_share=INITIAL_WINDOW))
    assert session.core.send(1, bytes(300_000)) == INITIAL_WINDOW
    session.sent()
    assert session.core.drained == {}
    assert session.receive(credit(1, 10)) == [StreamWritable(1)]


def test_a_stream_that_is_gone_is_not_named_as_drained() -> None:
    session = open_session()
    session.core.send(1, bytes(200_000))
    session.core.data_to_send()
    session.receive(reset(1))
    assert session.core.drained == {}


# --- how it is sent


def test_a_record_holds_one_frame_and_fills_exactly() -> None:
    session = open_session()
    session.core.send(1, bytes(131_072))
    record = b"".join(session.core.data_to_send())
    assert len(record) == RECORD_SIZE == FRAME_SIZE + HEADER_SIZE


def test_streams_take_turns_record_by_record() -> None:
    session = open_session(streams=3)
    for stream_id in (1, 3, 5):
        session.core.send(stream_id, bytes(131_072))
    order = [frame.stream_id for frame in session.sent() if frame.length == FRAME_SIZE]
    assert order == [1, 3, 5, 1, 3, 5]


def test_small_writes_of_many_streams_share_a_record() -> None:
    session = open_session(streams=100)
    for number in range(100):
        session.core.send(2 * number + 1, b"hello")
        session.core.send(2 * number + 1, b" world")
    (parts,) = [session.core.data_to_send()]
    assert not session.core.has_output
    assert len(b"".join(parts)) == 100 * (HEADER_SIZE + 11)


def test_only_full_frames_are_sent_where_that_is_asked_for() -> None:
    session = open_session(streams=3)
    session.core.send(1, bytes(FRAME_SIZE - 1))
    session.core.send(3, bytes(FRAME_SIZE))
    session.core.send(5, b"small")
    parts = session.core.data_to_send(full_frames_only=True)
    assert parts[0] == pack(DATA, 3, FRAME_SIZE)
    assert session.core.data_to_send(full_frames_only=True) == []
    assert session.core.has_output
    assert {frame.stream_id for frame in session.sent()} == {1, 5}


def test_a_full_frame_is_cut_short_only_by_control_frames_before_it() -> None:
    session = open_session()
    session.core.open_stream()
    session.core.send(1, bytes(FRAME_SIZE))
    record = b"".join(session.core.data_to_send(full_frames_only=True))
    assert len(record) == RECORD_SIZE
    assert session.core.queued(1) == HEADER_SIZE


@pytest.mark.parametrize(("spare", "records"), [(HEADER_SIZE, 1), (HEADER_SIZE - 1, 2), (0, 2)])
def test_an_end_that_does_not_fit_into_the_record_goes_into_the_next(spare: int, records: int) -> None:
    session = open_session()
    session.core.send(1, bytes(FRAME_SIZE - spare))
    session.core.close_write(1)
    sent = []
    while session.core.has_output:
        sent.append(b"".join(session.core.data_to_send()))
        assert len(sent[-1]) <= RECORD_SIZE
    assert len(sent) == records
    assert sent[-1].endswith(ended(1))


def test_a_frame_is_not_cut_to_fill_a_sliver_of_a_record() -> None:
    session = open_session(streams=2)
    session.core.send(1, bytes(FRAME_SIZE - 4_000))
    session.core.send(3, bytes(10_000))
    assert [(frame.stream_id, frame.length) for frame in session.sent()] == [(1, FRAME_SIZE - 4_000), (3, 10_000)]
    session.core.send(1, bytes(FRAME_SIZE - 5_000))
    session.core.send(3, bytes(10_000))
    assert [frame.stream_id for frame in session.sent()] == [1, 3, 3]


def test_pongs_and_credit_go_before_data_of_other_streams() -> None:
    session = open_session(streams=2)
    session.core.send(1, bytes(131_072))
    session.receive(data(3, bytes(HALF)), pack(PING | SYN, 0, 7))
    session.core.read(3, HALF)
    kinds = [frame.kind for frame in session.sent()]
    assert kinds[:3] == [PING, WINDOW_UPDATE, DATA]


def test_more_control_frames_than_a_record_holds_go_into_the_next() -> None:
    session = Session(config=YamuxConfig(max_inbound_streams=10_000))
    session.receive(*[opened(2 * number + 1) for number in range(6_000)])
    session.core.send(1, b"behind")
    first = b"".join(session.core.data_to_send())
    assert len(first) <= RECORD_SIZE
    assert len(first) == RECORD_SIZE // HEADER_SIZE * HEADER_SIZE
    frames = session.sent()
    assert len(frames) == 6_001 - len(first) // HEADER_SIZE
    assert frames[-1].body == b"behind"


def test_what_was_handed_over_is_not_copied() -> None:
    session = open_session()
    large = bytes(50_000)
    session.core.send(1, large)
    assert session.core.data_to_send()[1] is large


# --- what the peer may send


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_a_window_takes_all_its_bytes_and_not_one_more(excess: int) -> None:
    for pieces in (1, 2, 7):
        session = open_session()
        size = INITIAL_WINDOW + excess
        frames = [data(1, bytes(size // pieces))] * (pieces - 1) + [data(1, bytes(size - size // pieces * (pieces - 1)))]
        events = session.receive(*frames)
        assert isinstance(events[-1], ConnectionFailed) == (excess > 0)
        if excess <= 0:
            assert session.core.readable_bytes(1) == size


def test_a_body_past_the_window_is_refused_by_its_header() -> None:
    session = open_session()
    (failed,) = session.receive(pack(DATA, 1, INITIAL_WINDOW + 1))
    assert isinstance(failed, ConnectionFailed)
    assert isinstance(failed.error, ProtocolViolation)
    assert "262145 bytes on stream 1, 262144 were granted" in str(failed.error)


@pytest.mark.parametrize(("size", "is_refused"), [(INITIAL_WINDOW, False), (INITIAL_WINDOW + 1, True)])
def test_a_stream_is_not_made_for_a_first_frame_past_its_window(size: int, is_refused: bool) -> None:
    """A stream made before its size check was a published crash of another stack."""
    session = Session()
    events = session.receive(pack(DATA | SYN, 1, size))
    assert isinstance(events[0], ConnectionFailed) == is_refused
    assert session.core.knows(1) != is_refused
    assert len(events) == 1


def test_the_window_of_a_stream_that_nobody_reads_holds_too() -> None:
    session = open_session()
    session.core.discard_reads(1)
    assert session.receive(data(1, bytes(INITIAL_WINDOW))) == []
    (failed,) = session.receive(data(1, b"x"))
    assert isinstance(failed, ConnectionFailed)


def test_credit_is_returned_once_half_a_window_was_read_and_not_on_receipt() -> None:
    session = open_session()
    session.receive(data(1, bytes(INITIAL_WINDOW)))
    assert session.sent() == []
    session.core.read_exactly(1, HALF - 1)
    assert session.sent() == []
    session.core.read_exactly(1, 1)
    assert session.sent() == [Frame(WINDOW_UPDATE, 0, 1, HALF)]
    assert isinstance(session.receive(data(1, bytes(HALF + 1)))[-1], ConnectionFailed)


def test_messages_return_credit_too() -> None:
    session = open_session()
    message = varint.encode(9_998) + bytes(9_998)
    session.receive(data(1, message * 14))
    for _ in range(14):
        assert session.core.read_message(1, 10_000) == bytes(9_998)
    assert credits(session, 1) == [14 * 10_000]
    assert session.core.read_message(1, 10_000) is None


def test_credit_is_counted_when_it_leaves_so_that_what_was_read_meanwhile_goes_along() -> None:
    session = open_session(streams=2)
    for stream_id in (1, 3):
        session.receive(data(stream_id, bytes(INITIAL_WINDOW)))
        for _ in range(4):
            session.core.read_exactly(stream_id, INITIAL_WINDOW // 4)
    assert session.core.has_output
    assert session.sent() == [Frame(WINDOW_UPDATE, 0, stream_id, INITIAL_WINDOW) for stream_id in (1, 3)]
    assert session.receive(data(1, bytes(INITIAL_WINDOW))) == [StreamReadable(1)]
    assert isinstance(session.receive(data(3, bytes(INITIAL_WINDOW + 1)))[-1], ConnectionFailed)


def test_what_is_owed_already_need_not_be_demanded() -> None:
    """The demand made the window grow: it is told by how soon after the last return one is due, and two came at one moment."""
    memory = Budget(64 * MIB)
    session = open_session(memory=memory)
    session.receive(data(1, bytes(HALF)))
    session.core.read_exactly(1, HALF)
    session.core.expect(1, INITIAL_WINDOW)
    assert not session.core._demands
    assert memory.used == 0
    assert credits(session, 1) == [HALF]
    assert not session.core.has_output


def test_credit_that_went_along_with_a_demand_is_not_given_twice() -> None:
    session = open_session(streams=2, memory=Budget(MIB))
    session.core.expect(3, MIB // 2)
    session.core.expect(1, INITIAL_WINDOW + 1)  # has to wait for its turn
    session.sent()
    session.receive(data(1, bytes(HALF)))
    session.core.read_exactly(1, HALF)
    session.receive(reset(3))
    assert credits(session, 1) == [HALF + 1]
    assert not session.core.has_output
    assert session.core.data_to_send() == []


def test_credit_that_waits_is_given_before_the_reader_gives_up() -> None:
    session = open_session()
    session.receive(data(1, bytes(INITIAL_WINDOW)))
    session.core.read_exactly(1, HALF)
    session.core.discard_reads(1)
    assert credits(session, 1) == [HALF]
    assert session.core.data_to_send() == []


@pytest.mark.parametrize("end", [ended(1), reset(1)])
def test_credit_that_waits_is_dropped_with_what_its_stream_is_to_bring(end: bytes) -> None:
    session = open_session()
    session.receive(data(1, bytes(HALF)))
    session.core.read_exactly(1, HALF)
    session.receive(end)
    assert session.sent() == []
    assert not session.core.has_output


def test_a_finished_stream_gets_no_credit() -> None:
    session = open_session()
    session.receive(data(1, bytes(INITIAL_WINDOW)), ended(1))
    session.core.read_exactly(1, INITIAL_WINDOW)
    assert session.sent() == []


def test_readable_is_said_once_for_all_that_came_at_once() -> None:
    session = open_session(streams=2)
    events = session.receive(data(1, b"a"), data(3, b"b"), data(1, b"c"), ended(1))
    assert events == [StreamReadable(1), StreamReadable(3)]
    assert session.receive(data(3, b"d")) == [StreamReadable(3)]


def test_a_message_that_is_too_large_stays_where_it_is() -> None:
    session = open_session()
    session.receive(data(1, varint.encode(1_001) + bytes(1_001)))
    with pytest.raises(MessageTooLarge):
        session.core.read_message(1, 1_000)
    assert session.core.readable_bytes(1) == 1_003
    assert session.core.message_wanted(1) == 1_003


# --- growth


def measured(*, memory: Budget | None = None, config: YamuxConfig = ROOMY, round_trip: float = 0.1) -> Session:
    """A session with an open stream and a round trip that is known."""
    session = Session(memory=memory, config=config)
    session.core.handle_timeout(session.now)
    session.now += round_trip
    assert session.receive(pong(1)) == [RoundTripMeasured(pytest.approx(round_trip))]
    session.receive(opened(1))
    session.sent()
    return session


def spent(session: Session, stream_id: int = 1) -> int:
    """The peer sends all it may, and all is read; the credit that is returned."""
    size = session.core._streams[stream_id].window.credit
    session.receive(data(stream_id, bytes(size)))
    while session.core.read(stream_id, 65_536):
        pass
    return sum(credits(session, stream_id))


def test_a_window_that_is_used_up_in_time_doubles_up_to_its_limit() -> None:
    session = measured(config=YamuxConfig(max_window=MIB))
    assert spent(session) == 2 * INITIAL_WINDOW  # what was owed, and what the window grew by
    for _ in range(5):
        spent(session)
    window = session.core._streams[1].window
    assert (window.target, window.credit) == (MIB, MIB)


def test_without_a_round_trip_windows_stay_as_they_are() -> None:
    session = open_session()
    assert spent(session) == spent(session) == INITIAL_WINDOW


def test_a_slow_stream_keeps_its_window() -> None:
    session = measured()
    for _ in range(3):
        session.now += 0.5
        session.receive(data(1, bytes(HALF)))
        session.core.read_exactly(1, HALF)
        assert credits(session, 1) == [HALF]


def test_a_slow_reader_keeps_its_window_however_fast_its_peer_is() -> None:
    session = measured()
    session.receive(data(1, bytes(INITIAL_WINDOW)))
    for _ in range(20):
        session.core.read_exactly(1, HALF)
        (returned,) = credits(session, 1)
        assert returned == HALF
        session.receive(data(1, bytes(returned)))


def test_growth_that_the_memory_refuses_keeps_the_old_window() -> None:
    session = measured(memory=Budget(2 * reservation(2 * INITIAL_WINDOW)))
    for _ in range(5):
        spent(session)
    assert session.core._streams[1].window.target == 2 * INITIAL_WINDOW
    assert session.memory.used == reservation(2 * INITIAL_WINDOW)
    session.receive(reset(1))
    assert session.memory.used == 0


def test_what_a_window_has_grown_by_is_given_back_with_the_end_of_its_peer() -> None:
    session = measured()
    spent(session)
    assert session.memory.used > INITIAL_WINDOW
    session.receive(ended(1))
    assert session.memory.used == 0


def test_a_grown_window_may_be_filled_without_costing_the_stream() -> None:
    """The cap used to be passed by the pieces' overhead alone, and an honest transfer was reset while its reader paused."""
    session = measured(memory=Budget(16 * MIB))
    for _ in range(10):
        spent(session)
    window = session.core._streams[1].window
    assert window.target == 8 * MIB
    piece = bytes(1_024)
    assert set(map(type, session.receive(*[data(1, piece)] * (window.credit // 1_024)))) == {StreamReadable}
    assert session.core.readable_bytes(1) == 8 * MIB
    assert session.memory.used <= 16 * MIB


# --- readers who wait for more


def test_a_reader_may_wait_for_more_than_a_window() -> None:
    session = open_session()
    session.receive(data(1, bytes(1_000)))
    assert session.core.read_exactly(1, MIB) is None
    session.core.expect(1, MIB)
    assert credits(session, 1) == [MIB - INITIAL_WINDOW]
    session.core.expect(1, MIB)
    assert session.sent() == []
    session.receive(data(1, bytes(MIB - 1_000)))
    assert session.core.read_exactly(1, MIB) == bytes(MIB)
    session.core.expect(1, 0)
    assert credits(session, 1) == [INITIAL_WINDOW]
    assert session.memory.used == 0


@pytest.mark.parametrize("size", [1, 1_000, INITIAL_WINDOW])
def test_a_reader_who_waits_for_what_may_be_sent_already_costs_nothing(size: int) -> None:
    session = open_session()
    session.core.expect(1, size)
    assert session.sent() == []
    assert session.memory.used == 0


def test_a_reader_can_be_given_credit_before_half_a_window_was_read() -> None:
    session = open_session()
    session.receive(data(1, bytes(100_000)))
    session.core.read_exactly(1, 100_000)
    session.core.expect(1, INITIAL_WINDOW)
    assert credits(session, 1) == [100_000]
    assert session.memory.used == 0


def test_a_read_that_can_never_fit_is_refused_at_the_call() -> None:
    session = open_session(memory=Budget(16 * MIB))
    with pytest.raises(LimitExceeded) as caught:
        session.core.expect(1, 16 * MIB)
    assert caught.value.setting == session.memory.setting
    assert session.sent() == []
    assert session.memory.used == 0
    session.core.expect(1, 14 * MIB)
    assert credits(session, 1) == [14 * MIB - INITIAL_WINDOW]


@pytest.mark.parametrize("size", [1, 1_024, 16_384, 65_524])
def test_a_demand_that_was_granted_can_be_filled_whatever_the_pieces_are(size: int) -> None:
    session = open_session(memory=Budget(reservation(2 * MIB)))
    session.core.expect(1, 2 * MIB)
    session.sent()
    pieces = [data(1, bytes(size))] * (2 * MIB // size) if size > 1 else [data(1, bytes(1_024)), data(1, b"x")] * 2_045
    events = session.receive(*pieces)
    assert set(map(type, events)) == {StreamReadable}
    assert session.memory.used <= session.memory.limit


def test_demands_come_in_turn() -> None:
    session = open_session(streams=3, memory=Budget(2 * (reservation(MIB) + reservation(MIB // 2))))  # half is for first windows
    session.core.expect(1, 2 * MIB)
    session.core.expect(3, MIB)
    session.core.expect(5, MIB // 2)
    assert [frame.stream_id for frame in session.sent()] == [1]
    session.receive(reset(1))
    assert [(frame.stream_id, frame.length) for frame in session.sent()] == [
        (3, MIB - INITIAL_WINDOW),
        (5, MIB // 2 - INITIAL_WINDOW),
    ]


def test_a_demand_gets_no_credit_by_the_way_while_it_waits() -> None:
    session = open_session(streams=2, memory=Budget(reservation(2 * MIB) + MIB))
    session.core.expect(1, 2 * MIB)
    session.core.expect(3, MIB)
    session.sent()
    session.receive(data(3, bytes(HALF)))
    session.core.read_exactly(3, HALF)
    assert credits(session, 3) == [HALF]


def test_a_demand_asks_again_for_memory_that_other_connections_gave_back() -> None:
    session = open_session(memory=Budget(reservation(MIB)))
    session.pass_time(0.0)
    session.sent()
    session.memory.charge(1)
    session.core.timeout_moved = False
    session.core.expect(1, MIB)
    assert session.core.timeout_moved
    session.memory.used -= 1
    session.core.handle_timeout(session.core.next_timeout() or 0.0)
    assert credits(session, 1) == [MIB - INITIAL_WINDOW]


def test_a_demand_takes_memory_from_grown_windows_as_they_are_read() -> None:
    """Else a reader would wait for as long as the transfers beside it go on."""
    session = measured(memory=Budget(reservation(2 * MIB) * 4 // 3))
    for _ in range(5):
        spent(session)
    assert session.core._streams[1].window.target == 2 * MIB
    session.receive(opened(3))
    session.core.expect(3, MIB)
    session.sent()
    returned = []
    for _ in range(64):
        session.receive(data(1, bytes(32_768)))
        session.core.read(1, 32_768)
        returned += [(frame.stream_id, frame.length) for frame in session.sent()]
    assert (3, MIB - INITIAL_WINDOW) in returned
    grown = session.core._streams[1].window
    assert grown.target >= INITIAL_WINDOW
    assert grown.credit + session.core.readable_bytes(1) >= HALF


def test_demands_end_with_the_end_of_the_peer() -> None:
    session = open_session(memory=Budget(2 * MIB), streams=2)
    session.core.expect(1, MIB)
    session.core.expect(3, MIB)
    session.receive(ended(1))
    assert session.core._streams[3].window.demand == MIB
    session.receive(ended(3))
    session.core.expect(3, MIB)
    assert session.memory.used == 0
    assert not session.core._demands


def test_two_sessions_move_what_no_window_holds() -> None:
    left, right = Yamux(initiator=True), Yamux(initiator=False)
    stream_id = left.open_stream()
    written = bytes(range(256)) * 20_000
    rest, read = memoryview(written), b""
    while rest or len(read) < len(written):
        taken = left.send(stream_id, rest[:100_000])
        rest = rest[taken:]
        while left.has_output or right.has_output:
            right.receive(b"".join(left.data_to_send()), 0.0)
            left.receive(b"".join(right.data_to_send()), 0.0)
        while piece := right.read(stream_id, 30_000):
            read += piece
        left.receive(b"".join(right.data_to_send()), 0.0)
    assert read == written


def test_a_reset_in_time_is_heard_before_a_demand_is_granted() -> None:
    session = open_session(memory=Budget(reservation(MIB)), streams=2)
    session.core.expect(1, MIB)
    session.core.expect(3, MIB)
    session.sent()
    assert session.receive(reset(3), reset(1)) == [StreamWasReset(3, 0, by_peer=True), StreamWasReset(1, 0, by_peer=True)]
    assert session.sent() == []


def test_an_acceptance_may_bring_data_and_credit_at_once() -> None:
    session = open_session()
    stream_id = session.core.open_stream()
    assert session.receive(acked(stream_id, 1_000), data(stream_id, b"x")) == [StreamReadable(stream_id)]


def test_a_body_that_is_still_arriving_is_not_granted_twice() -> None:
    """Credit used to be taken with the header of a frame, and what of its body was still on its way counted as owed."""
    session = open_session()
    session.receive(pack(DATA, 1, 200_000) + b"x")
    session.core.expect(1, INITIAL_WINDOW)
    assert session.sent() == []
    assert session.core.read(1, 10) == b"x"
    session.core.expect(1, INITIAL_WINDOW)
    assert credits(session, 1) == [1]
    assert session.receive(bytes(199_999)) == [StreamReadable(1)]
    assert session.core._streams[1].window.credit == INITIAL_WINDOW - 199_999


def test_the_rest_of_a_body_of_a_stream_that_was_reset_is_neither_stray_nor_owed() -> None:
    session = Session(config=YamuxConfig(stray_data=0))
    session.receive(opened(1), pack(DATA, 1, 200_000) + b"x")
    session.core.reset(1)
    assert session.receive(bytes(199_999), data(1, bytes(62_144))) == []
    (failed,) = session.receive(data(1, b"x"))
    assert isinstance(failed, ConnectionFailed)


def test_a_demand_that_was_met_while_it_waited_sends_nothing() -> None:
    session = open_session(memory=Budget(4 * MIB), streams=3)
    session.core.expect(1, 3 * MIB)
    session.core.expect(3, 3 * MIB)  # has to wait
    session.receive(data(5, bytes(100_000)))
    session.core.read_exactly(5, 100_000)
    session.core.expect(5, 200_000)  # and so has this, which comes behind it
    session.receive(data(5, bytes(40_000)))
    session.core.read_exactly(5, 40_000)
    assert credits(session, 5) == [140_000]
    assert list(session.core._demands) == [3, 5]
    session.receive(reset(1), reset(3))
    assert not session.core._demands
    assert credits(session, 5) == []

"""Streams and sessions from their first frame to their last: opening, half-closing, resetting, saying goodbye."""

from collections.abc import Callable

import pytest

from cortexnet.errors import ConnectionClosed, LimitExceeded, LocalError, ProtocolViolation, StreamClosed
from cortexnet.mux.muxer import ConnectionFailed, StreamOpened, StreamReadable, StreamWasReset, StreamWritable
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_frames import ACK, DATA, FIN, GO_AWAY, RST, SYN, WINDOW_UPDATE, pack
from tests.support.yamux_session import (
    Budget,
    Frame,
    Session,
    acked,
    bodies,
    check,
    credit,
    data,
    drain,
    ended,
    exchange,
    farewell,
    opened,
    reset,
)

FIN_1 = Frame(WINDOW_UPDATE, FIN, 1)


def open_session(*bodies: bytes, **options: bool) -> Session:
    """A session with stream 1, opened by the peer, which then sent the bodies; the acknowledgement is out."""
    session = Session()
    session.receive(opened(1), *[data(1, body) for body in bodies])
    assert session.sent() == [Frame(WINDOW_UPDATE, ACK, 1)]
    return session


# --- opening


def test_an_opening_leaves_at_once_and_before_the_data() -> None:
    session = Session(initiator=True)
    assert session.core.open_stream() == 1
    assert session.core.send(1, b"hello") == 5
    assert session.sent() == [Frame(WINDOW_UPDATE, SYN, 1), Frame(DATA, 0, 1, 5, b"hello")]


def test_data_may_be_sent_before_the_acknowledgement_came() -> None:
    left, right = Yamux(initiator=True), Yamux(initiator=False)
    stream_id = left.open_stream()
    left.send(stream_id, b"early")
    _, events = exchange(left, right, 0.0)
    assert events == [StreamOpened(1), StreamReadable(1)]
    assert right.read(1, 10) == b"early"
    assert left.can_open()


def test_streams_of_both_sides_do_not_mix() -> None:
    left, right = Yamux(initiator=True), Yamux(initiator=False)
    assert (left.open_stream(), right.open_stream()) == (1, 2)
    left.send(1, b"from the left")
    right.send(2, b"from the right")
    exchange(left, right, 0.0)
    assert (left.stream_count(), right.stream_count()) == (2, 2)
    assert right.read(1, 100) == b"from the left"
    assert left.read(2, 100) == b"from the right"


def test_streams_may_be_opened_in_any_order_of_their_ids() -> None:
    """Two threads of a go peer may overtake each other between taking an id and writing the frame."""
    session = Session()
    assert session.receive(opened(9), opened(3), opened(5)) == [StreamOpened(9), StreamOpened(3), StreamOpened(5)]


def test_the_peer_may_grant_more_than_the_first_window_as_it_opens_or_accepts() -> None:
    session = Session()
    session.receive(opened(1, credit=1_000_000))
    assert session.core._streams[1].send_window == 1_262_144
    session.core.open_stream()
    session.receive(acked(2, credit=500_000))
    assert session.core._streams[2].send_window == 762_144


def test_at_a_limit_opening_raises_and_changes_nothing() -> None:
    session = Session(initiator=True)
    for _ in range(256):
        assert session.core.can_open()
        session.core.open_stream()
    assert not session.core.can_open()
    with pytest.raises(LimitExceeded, match="not acknowledged"):
        session.core.open_stream()
    assert len(session.sent()) == session.core.stream_count() == 256
    session.receive(acked(1))
    assert not session.core.can_open()  # 256 are open
    with pytest.raises(LimitExceeded, match="opened by us"):
        session.core.open_stream()
    session.receive(reset(1))
    assert session.core.can_open()
    assert session.core.open_stream() == 513


def test_a_peer_that_never_acknowledges_is_no_reason_to_open_no_more_once_it_resets() -> None:
    session = Session(initiator=True)
    for stream_id in range(1, 1_001, 2):
        assert session.core.open_stream() == stream_id
        session.receive(reset(stream_id))
    check(session.core, session.memory)
    assert session.core._table.unacknowledged == 0


# --- half-closing


def test_the_end_leaves_behind_the_last_byte_in_a_frame_of_its_own() -> None:
    """js drops the body of a frame that carries FIN."""
    session = open_session()
    session.core.send(1, b"the last words")
    session.core.close_write(1)
    assert session.sent() == [Frame(DATA, 0, 1, 14, b"the last words"), FIN_1]


def test_the_end_waits_for_bytes_that_need_several_records() -> None:
    session = open_session()
    assert session.core.send(1, bytes(131_072)) == 131_072
    session.core.close_write(1)
    frames = session.sent()
    assert bodies(frames, 1) == bytes(131_072)
    assert [frame.flags for frame in frames] == [0, 0, 0, FIN]
    assert all(not frame.body for frame in frames if frame.flags & FIN)


def test_a_stream_without_data_ends_at_once() -> None:
    session = open_session()
    session.core.close_write(1)
    session.core.close_write(1)
    assert session.sent() == [FIN_1]


def test_after_the_end_nothing_can_be_written() -> None:
    session = open_session()
    session.core.close_write(1)
    with pytest.raises(StreamClosed):
        session.core.send(1, b"more")
    assert session.sent() == [FIN_1]


def test_data_is_accepted_and_delivered_after_our_end() -> None:
    session = open_session()
    session.core.close_write(1)
    assert session.receive(data(1, b"answer")) == [StreamReadable(1)]
    assert session.core.read(1, 100) == b"answer"
    assert session.core.read(1, 100) is None
    assert session.receive(ended(1)) == [StreamReadable(1)]
    assert not session.core.knows(1)


def test_data_can_be_sent_after_the_end_of_the_peer() -> None:
    session = open_session()
    session.receive(ended(1))
    assert session.core.read(1, 10) == b""
    assert session.core.send(1, b"answer") == 6
    assert bodies(session.sent(), 1) == b"answer"
    session.receive(credit(1, 1_000))
    session.core.close_write(1)
    assert not session.core.knows(1)


def test_bytes_before_the_end_are_read_before_it() -> None:
    session = open_session(b"all of it")
    session.receive(ended(1))
    assert session.core.is_finished(1)
    assert session.core.readable_bytes(1) == 9
    assert session.core.read(1, 3) == b"all"
    assert session.core.read(1, 100) == b" of it"
    assert session.core.read(1, 100) == b""
    assert session.core.knows(1)  # we may still write


def test_an_end_with_a_body_comes_after_the_body_wherever_it_was_cut() -> None:
    for cut in range(12 + 20):
        session = open_session()
        frame = data(1, bytes(range(20)), FIN)
        first = session.receive(frame[:cut])
        assert (first == [StreamReadable(1)]) == (cut > 12)
        assert not session.core.is_finished(1)
        assert session.receive(frame[cut:]) == [StreamReadable(1)]
        assert session.core.is_finished(1)
        assert session.core.read_exactly(1, 20) == bytes(range(20))


def test_a_stream_that_both_have_finished_is_forgotten_with_its_last_byte() -> None:
    session = open_session(b"unread")
    session.receive(ended(1))
    session.core.close_write(1)
    assert session.core.knows(1)
    assert session.core.read(1, 100) == b"unread"
    assert not session.core.knows(1)
    assert session.core.is_finished(1)
    with pytest.raises(LocalError, match="stream 1 does not exist"):
        session.core.queued(1)
    with pytest.raises(LocalError, match="no stream 1"):
        session.core.send(1, b"x")


# --- resetting


@pytest.mark.parametrize(("code", "sent"), [(0, 0), (0x1001, 0x1001), (1 << 40, 0xFFFF_FFFF)])
def test_a_reset_carries_its_code_and_drops_what_was_queued(code: int, sent: int) -> None:
    session = open_session(b"unread")
    session.core.send(1, b"unsent")
    session.core.reset(1, code)
    assert session.sent() == [Frame(WINDOW_UPDATE, RST, 1, sent)]
    assert not session.core.knows(1)
    assert session.memory.used == 0


def test_a_reset_by_the_peer_loses_what_was_not_read_or_sent() -> None:
    session = open_session(b"unread")
    session.core.send(1, b"unsent")
    assert session.receive(reset(1, 0x1003)) == [StreamWasReset(1, 0x1003, by_peer=True)]
    assert not session.core.knows(1)
    assert not session.core.has_output
    assert session.memory.used == 0


def test_a_reset_after_the_end_of_the_peer_leaves_its_bytes_readable() -> None:
    session = open_session(b"complete")
    session.receive(ended(1))
    session.core.send(1, b"unsent")
    assert session.receive(reset(1, 7)) == [StreamWasReset(1, 7, by_peer=True)]
    assert not session.core.has_output
    with pytest.raises(StreamClosed):
        session.core.send(1, b"more")
    session.core.close_write(1)
    session.core.expect(1, 1_000_000)
    assert session.core.read(1, 4) == b"comp"
    assert session.core.read(1, 100) == b"lete"
    assert not session.core.knows(1)
    assert session.sent() == []
    assert session.memory.used == 0


@pytest.mark.parametrize("drop", [Yamux.reset, Yamux.discard_reads], ids=["reset", "discarded"])
def test_what_a_reset_left_readable_can_be_dropped_and_nothing_is_sent(drop: Callable[[Yamux, int], None]) -> None:
    session = open_session(b"complete")
    session.receive(ended(1), reset(1))
    drop(session.core, 1)
    assert not session.core.knows(1)
    assert session.sent() == []
    assert session.memory.used == 0


def test_a_reset_after_the_end_gives_the_place_in_the_backlog_back() -> None:
    session = Session(initiator=True)
    session.core.open_stream()
    session.receive(data(1, b"answer"), ended(1), reset(1))
    assert session.core.knows(1)
    assert session.core._table.unacknowledged == 0


def test_a_stream_reset_here_amid_a_body_drops_the_rest_of_it() -> None:
    session = open_session()
    frame = data(1, b"0123456789") + opened(3)
    session.receive(frame[:17])
    session.core.reset(1)
    assert session.receive(frame[17:]) == [StreamOpened(3)]
    assert not session.core.knows(1)


@pytest.mark.parametrize("flags", [0, FIN])
def test_an_id_used_again_gets_nothing_of_the_body_before(flags: int) -> None:
    session = open_session()
    frame = data(1, b"0123456789", flags) + opened(1)
    session.receive(frame[:17])
    session.core.reset(1)
    assert session.receive(frame[17:]) == [StreamOpened(1)]
    assert session.core.readable_bytes(1) == 0
    assert not session.core.is_finished(1)


def test_the_body_of_a_reset_is_skipped() -> None:
    session = open_session(b"before")
    assert session.receive(data(1, b"0123456789", RST), opened(3)) == [StreamWasReset(1, 0, by_peer=True), StreamOpened(3)]


def test_a_body_on_a_finished_and_discarded_stream_is_a_violation_also_where_useless_frames_are_used_up() -> None:
    """It used to raise out of `receive` where the last byte of that body was the only one in its chunk."""
    session = Session()
    session.receive(opened(1), ended(1))
    session.core.discard_reads(1)
    (failed,) = session.receive(data(1, b"x", FIN))
    assert isinstance(failed, ConnectionFailed)


# --- closing a stream whose peer goes on


def test_what_comes_for_a_stream_that_nobody_reads_is_dropped_without_credit() -> None:
    session = open_session(bytes(100_000))
    session.core.discard_reads(1)
    session.core.discard_reads(1)
    assert session.memory.used == 0
    assert session.receive(data(1, bytes(100_000))) == []
    assert session.sent() == []
    assert session.memory.used == 0
    assert session.core._streams[1].window.credit == 262_144 - 200_000


def test_discarding_amid_a_body_drops_the_rest_of_it() -> None:
    session = open_session()
    frame = data(1, b"0123456789", FIN)
    session.receive(frame[:17])
    session.core.close_write(1)
    session.core.discard_reads(1)
    assert session.receive(frame[17:]) == [StreamReadable(1)]
    assert not session.core.knows(1)


def test_a_discarded_stream_can_still_be_written() -> None:
    session = open_session()
    session.core.discard_reads(1)
    assert session.core.send(1, b"answer") == 6
    session.core.close_write(1)
    assert session.sent() == [Frame(DATA, 0, 1, 6, b"answer"), FIN_1]
    assert session.core.knows(1)
    session.receive(ended(1))
    assert not session.core.knows(1)


def test_a_stream_whose_peer_had_finished_is_over_as_soon_as_it_is_closed() -> None:
    session = open_session(b"request")
    session.receive(ended(1))
    session.core.close_write(1)
    session.core.discard_reads(1)
    assert not session.core.knows(1)
    assert session.core.next_timeout() == float("-inf")  # the first ping, nothing that lingers


# --- the end of the session


def test_a_farewell_ends_everything_but_what_can_still_be_read() -> None:
    session = open_session(b"unread")
    session.receive(opened(3), opened(5), data(5, b"all"), ended(5), opened(7), ended(7))
    session.sent()
    session.core.send(1, b"unsent")
    ours = session.core.open_stream()
    (failed,) = session.receive(farewell(0x1005))
    assert isinstance(failed, ConnectionFailed)
    assert isinstance(failed.error, ConnectionClosed)
    assert (failed.error.by, failed.error.code) == ("remote", 0x1005)
    assert not session.core.has_output
    assert [session.core.knows(stream_id) for stream_id in (1, 3, 5, 7, ours)] == [True, False, True, True, False]
    with pytest.raises(StreamClosed):
        session.core.send(1, b"more")
    session.core.close_write(1)
    session.core.expect(1, 1_000_000)
    assert session.core.read(1, 100) == b"unread"
    assert not session.core.knows(1)
    assert not session.core.is_finished(5) or session.core.read(5, 100) == b"all"
    assert session.core.read(7, 100) == b""  # it was complete
    session.core.reset(7)
    assert session.memory.used == 0
    assert not session.core.has_output
    assert session.core.stream_count() == 0


def test_a_stream_that_ended_and_that_nobody_reads_goes_with_the_session() -> None:
    session = open_session()
    session.receive(ended(1))
    session.core.discard_reads(1)
    session.receive(farewell())
    assert not session.core.knows(1)


def test_after_a_farewell_nothing_is_heard_or_said() -> None:
    session = open_session()
    session.receive(farewell())
    assert session.receive(opened(3), data(1, b"x")) == []
    assert session.core.handle_timeout(1_000.0) == []
    assert session.core.next_timeout() is None
    assert not session.core.can_open()
    with pytest.raises(ConnectionClosed):
        session.core.open_stream()
    session.core.close(5)
    assert session.sent() == []


def test_what_stands_behind_a_farewell_is_ignored() -> None:
    session = Session()
    (failed,) = session.receive(farewell(), opened(1), b"\xff" * 100)
    assert isinstance(failed, ConnectionFailed)
    assert session.sent() == []


def test_our_farewell_is_the_last_thing_that_is_sent() -> None:
    session = open_session(b"unread")
    session.core.send(1, b"unsent")
    session.core.open_stream()
    session.core.close(0x1006)
    session.core.close(1)
    assert session.sent() == [Frame(GO_AWAY, 0, 0, 0x1006)]
    assert session.core.read(1, 100) == b"unread"
    assert session.receive(data(1, b"more")) == []


@pytest.mark.parametrize(
    "wrong",
    [
        pack(0x0100_0000, 1, 0),
        pack(0xFF00_0000 | SYN, 1, 0),
        pack(0x0004_0000, 0, 0),
        pack(0x00FF_0000, 0, 0),
        data(0, b"x"),
        credit(0, 1),
        b"GET / HTTP/1.1\r\n",
        b"\x13/multistream/1.0.0\n",
    ],
    ids=["version 1", "version 255", "type 4", "type 255", "data on 0", "credit on 0", "HTTP", "multistream"],
)
def test_a_violation_ends_the_session_with_a_farewell_of_1(wrong: bytes) -> None:
    session = open_session(b"unread")
    session.core.send(1, b"unsent")
    events = session.receive(opened(3), wrong, opened(5))
    assert events[0] == StreamOpened(3)
    failed = events[-1]
    assert isinstance(failed, ConnectionFailed)
    assert isinstance(failed.error, ProtocolViolation)
    assert len(events) == 2
    assert session.sent() == [Frame(GO_AWAY, 0, 0, 1)]
    assert session.core.read(1, 100) == b"unread"
    assert session.core.stream_count() == 0
    assert session.memory.used == 0


def test_all_is_given_back_whatever_a_session_was_doing_when_it_ended() -> None:
    session = Session(memory=Budget(4_000_000))
    session.receive(opened(1), opened(3), opened(5), data(1, bytes(5_000)), data(5, bytes(500))[:100])
    session.core.expect(1, 1_000_000)
    session.core.expect(3, 2_900_000)
    session.core.expect(5, 1_000_000)
    session.core.close_write(3)
    session.core.discard_reads(3)
    assert session.core.next_timeout() is not None
    session.core.close()
    check(session.core, session.memory)
    assert session.core.read(1, 10_000) == bytes(5_000)
    assert len(session.core.read(5, 10_000) or b"") == 88
    assert session.memory.used == 0
    assert session.core.stream_count() == 0


def test_a_writer_that_was_stopped_is_not_called_after_a_reset() -> None:
    session = open_session(b"unread")
    session.receive(ended(1))
    while session.core.send(1, bytes(100_000)):
        session.sent()
    assert session.receive(reset(1), credit(1, 1_000)) == [StreamWasReset(1, 0, by_peer=True)]


def test_a_writer_that_was_stopped_goes_on_with_credit_after_the_end_of_the_peer() -> None:
    session = open_session()
    session.receive(ended(1))
    while session.core.send(1, bytes(100_000)):
        session.sent()
    assert session.receive(credit(1, 1_000)) == [StreamWritable(1)]
    assert session.core.send(1, bytes(100_000)) == 1_000


def test_a_session_says_goodbye_even_where_it_has_no_streams() -> None:
    session = Session()
    session.core.close()
    assert drain(session.core) == farewell(0)

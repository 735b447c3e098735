"""What each frame does to a stream in each of its states: one table, read line by line against the specification."""

from collections.abc import Callable

import pytest

from cortexnet.mux.muxer import ConnectionFailed, MuxEvent, StreamReadable, StreamWasReset
from tests.support.mplex_session import Frame, Session, data, ended, opened, reset, theirs

KEY = theirs(1)
STATES: dict[str, Callable[[Session], object]] = {
    "none": lambda session: None,
    "open": lambda session: session.receive(opened(1)),
    "unread": lambda session: session.receive(opened(1), data(1, b"abc")),
    "we ended": lambda session: (session.receive(opened(1)), session.core.close_write(KEY)),
    "they ended": lambda session: session.receive(opened(1), data(1, b"abc"), ended(1)),
    "closed here": lambda session: (session.receive(opened(1)), session.core.close_write(KEY), session.core.discard_reads(KEY)),
    "they reset, unread": lambda session: session.receive(opened(1), data(1, b"abc"), ended(1), reset(1)),
    "we reset": lambda session: (session.receive(opened(1)), session.core.reset(KEY)),
}
FRAMES = {"new": opened(1), "data": data(1, b"xyz"), "empty": data(1, b""), "end": ended(1), "reset": reset(1)}
NOTHING = "nothing"
TABLE: dict[tuple[str, str], str] = {
    ("none", "new"): "opened",
    ("none", "data"): NOTHING,
    ("none", "empty"): NOTHING,
    ("none", "end"): NOTHING,
    ("none", "reset"): NOTHING,
    ("open", "new"): "fatal",
    ("open", "data"): "readable",
    ("open", "empty"): NOTHING,
    ("open", "end"): "readable",
    ("open", "reset"): "reset",
    ("unread", "new"): "fatal",
    ("unread", "data"): "readable",
    ("unread", "empty"): NOTHING,
    ("unread", "end"): "readable",
    ("unread", "reset"): "reset",
    ("we ended", "new"): "fatal",
    ("we ended", "data"): "readable",
    ("we ended", "empty"): NOTHING,
    ("we ended", "end"): "readable",
    ("we ended", "reset"): "reset",
    ("they ended", "new"): "fatal",
    ("they ended", "data"): "we reset it",
    ("they ended", "empty"): "we reset it",
    ("they ended", "end"): NOTHING,
    ("they ended", "reset"): "reset",
    ("closed here", "new"): "fatal",
    ("closed here", "data"): NOTHING,
    ("closed here", "empty"): NOTHING,
    ("closed here", "end"): "readable",
    ("closed here", "reset"): "reset",
    ("they reset, unread", "new"): "fatal",
    ("they reset, unread", "data"): NOTHING,
    ("they reset, unread", "empty"): NOTHING,
    ("they reset, unread", "end"): NOTHING,
    ("they reset, unread", "reset"): NOTHING,
    ("we reset", "new"): "opened",
    ("we reset", "data"): NOTHING,
    ("we reset", "empty"): NOTHING,
    ("we reset", "end"): NOTHING,
    ("we reset", "reset"): NOTHING,
}


def outcome(session: Session, events: list[MuxEvent]) -> str:
    sent = session.sent()
    match events:
        case []:
            assert not sent
            return NOTHING
        case [ConnectionFailed()]:
            assert not sent
            return "fatal"
        case [StreamReadable(stream_id=stream_id)]:
            assert stream_id == KEY
            return "readable"
        case [StreamWasReset(by_peer=True)]:
            assert not sent
            return "reset"
        case [StreamWasReset(by_peer=False, code=0x1004)]:
            assert sent == [Frame(1, 5)]
            return "we reset it"
        case [opened_event]:
            assert repr(opened_event) == f"StreamOpened(stream_id={KEY})"
            return "opened"
    raise AssertionError(events)


@pytest.mark.parametrize("frame", list(FRAMES))
@pytest.mark.parametrize("state", list(STATES))
def test_every_frame_in_every_state(state: str, frame: str) -> None:
    session = Session()
    STATES[state](session)
    session.sent()
    assert outcome(session, session.receive(FRAMES[frame])) == TABLE[state, frame]


def test_a_stream_that_its_peer_reset_behind_the_end_can_be_read() -> None:
    session = Session()
    STATES["they reset, unread"](session)
    assert session.core.read(KEY, 2) == b"ab"
    assert session.core.read(KEY, 2) == b"c"
    assert not session.core.knows(KEY)
    assert session.memory.used == 0


def test_a_stream_that_its_peer_reset_can_be_given_up_without_a_word() -> None:
    session = Session()
    STATES["they reset, unread"](session)
    session.core.reset(KEY)
    assert session.sent() == []
    assert session.memory.used == 0


def test_what_was_queued_goes_when_the_peer_resets() -> None:
    session = Session()
    session.receive(opened(1), data(1, b"abc"), ended(1))
    session.core.send(KEY, bytes(100))
    session.receive(reset(1))
    assert session.sent() == []


def test_a_stream_of_ours_is_told_from_one_of_theirs_by_the_flag_alone() -> None:
    session = Session()
    session.core.open_stream()
    session.receive(opened(0), data(0, b"theirs"), data(0, b"ours", opener=False))
    assert session.core.read(theirs(0), 100) == b"theirs"
    assert session.core.read(theirs(0) + 1, 100) == b"ours"

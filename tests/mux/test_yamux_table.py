"""What each frame does to a stream in each of its states: one table, to be read beside the specification."""

from collections.abc import Callable
from typing import Any

import pytest

from cortexnet.mux.yamux_frames import ACK, DATA, FIN, RST, SYN, WINDOW_UPDATE, pack
from tests.support.yamux_session import Session, acked, data, drain, ended, opened, reset

# The frames, on a stream.
FRAMES: dict[str, Callable[[int], bytes]] = {
    "syn": lambda stream_id: pack(WINDOW_UPDATE | SYN, stream_id, 0),
    "ack": lambda stream_id: pack(WINDOW_UPDATE | ACK, stream_id, 0),
    "credit": lambda stream_id: pack(WINDOW_UPDATE, stream_id, 1_000),
    "no credit": lambda stream_id: pack(WINDOW_UPDATE, stream_id, 0),
    "data": lambda stream_id: data(stream_id, b"data"),
    "empty": lambda stream_id: data(stream_id, b""),
    "fin": lambda stream_id: pack(WINDOW_UPDATE | FIN, stream_id, 0),
    "rust's fin": lambda stream_id: pack(DATA | FIN, stream_id, 0),
    "data+fin": lambda stream_id: data(stream_id, b"data", FIN),
    "rst": lambda stream_id: pack(WINDOW_UPDATE | RST, stream_id, 0x1001),
    "rust's rst": lambda stream_id: pack(DATA | RST, stream_id, 0),
    "data+rst": lambda stream_id: data(stream_id, b"data", RST),
    "syn+data": lambda stream_id: data(stream_id, b"data", SYN),
    "syn+fin": lambda stream_id: pack(WINDOW_UPDATE | SYN | FIN, stream_id, 0),
    "syn+data+fin": lambda stream_id: data(stream_id, b"data", SYN | FIN),
    "syn+rst": lambda stream_id: pack(WINDOW_UPDATE | SYN | RST, stream_id, 0),
    "ack+data": lambda stream_id: data(stream_id, b"data", ACK),
    "ack+fin": lambda stream_id: pack(WINDOW_UPDATE | ACK | FIN, stream_id, 0),
    "unknown flags": lambda stream_id: pack(WINDOW_UPDATE | 0xFFF0, stream_id, 0),
}


# The states, each brought about in a fresh session that was dialed; the id of the stream.


def unknown(session: Session) -> int:
    return 1


def opened_by_the_peer(session: Session) -> int:
    session.receive(opened(1))
    return 1


def opened_by_us(session: Session) -> int:
    return session.core.open_stream()


def acknowledged(session: Session) -> int:
    session.receive(acked(opened_by_us(session)))
    return 2


def we_have_finished(session: Session) -> int:
    opened_by_the_peer(session)
    session.core.close_write(1)
    return 1


def the_peer_has_finished(session: Session) -> int:
    session.receive(opened(1), ended(1))
    return 1


def the_peer_has_finished_unread(session: Session) -> int:
    session.receive(opened(1), data(1, b"unread"), ended(1))
    return 1


def reset_after_the_end_unread(session: Session) -> int:
    the_peer_has_finished_unread(session)
    session.receive(reset(1))
    return 1


def both_have_finished_unread(session: Session) -> int:
    the_peer_has_finished_unread(session)
    session.core.close_write(1)
    return 1


def closed_here(session: Session) -> int:
    we_have_finished(session)
    session.core.discard_reads(1)
    return 1


def discarding(session: Session) -> int:
    opened_by_the_peer(session)
    session.core.discard_reads(1)
    return 1


def discarding_and_finished(session: Session) -> int:
    the_peer_has_finished(session)
    session.core.discard_reads(1)
    return 1


def over(session: Session) -> int:
    the_peer_has_finished(session)
    session.core.close_write(1)
    return 1


def reset_here(session: Session) -> int:
    opened_by_the_peer(session)
    session.core.reset(1)
    return 1


# What comes of it: events (R readable, O opened, X reset), then what is counted against the peer, then how it stands:
# "gone" where the stream is forgotten by that, "violation" where the session ends.
GONE = {
    "syn": "O",
    "ack": "useless",
    "credit": "late credit",
    "no credit": "useless",
    "data": "stray",
    "empty": "stray useless",
    "fin": "useless",
    "rust's fin": "useless",
    "data+fin": "stray",
    "rst": "useless",
    "rust's rst": "useless",
    "data+rst": "stray useless",
    "syn+data": "O R",
    "syn+fin": "O R",
    "syn+data+fin": "O R",
    "syn+rst": "useless",
    "ack+data": "stray",
    "ack+fin": "useless",
    "unknown flags": "useless",
}
OPENINGS = {"syn", "syn+data", "syn+fin", "syn+data+fin", "syn+rst"}
OPEN = {
    **dict.fromkeys(OPENINGS, "violation"),
    "ack": "useless",
    "credit": "",
    "no credit": "useless",
    "data": "R",
    "empty": "useless",
    "fin": "R",
    "rust's fin": "R",
    "data+fin": "R",
    "rst": "X gone",
    "rust's rst": "X gone",
    "data+rst": "X stray gone",
    "ack+data": "R",
    "ack+fin": "R",
    "unknown flags": "useless",
}
FINISHED = {
    **OPEN,
    "data": "violation",
    "empty": "violation",
    "data+fin": "violation",
    "ack+data": "violation",
    "fin": "useless",
    "rust's fin": "useless",
    "ack+fin": "useless",
}
STAYING = {**FINISHED, "rst": "X", "rust's rst": "X", "data+rst": "X stray"}
LAST = {"fin": "R gone", "rust's fin": "R gone", "ack+fin": "R gone"}
TABLE: dict[Callable[[Session], int], dict[str, str]] = {
    unknown: GONE,
    over: GONE,
    reset_here: GONE,
    opened_by_the_peer: OPEN,
    opened_by_us: {**OPEN, "ack": ""},
    acknowledged: OPEN,
    we_have_finished: {**OPEN, **LAST, "data+fin": "R"},
    the_peer_has_finished: FINISHED,
    the_peer_has_finished_unread: STAYING,
    both_have_finished_unread: STAYING,
    reset_after_the_end_unread: {
        **FINISHED,
        "credit": "late credit",
        "rst": "useless",
        "rust's rst": "useless",
        "data+rst": "stray useless",
    },
    closed_here: {**OPEN, **LAST, "data": "", "data+fin": "R gone", "ack+data": ""},
    discarding: {**OPEN, "data": "", "ack+data": ""},
    discarding_and_finished: FINISHED,
}
LETTERS = {"StreamReadable": "R", "StreamOpened": "O", "StreamWasReset": "X", "ConnectionFailed": "violation"}


class Watched:
    """A Tolerance that puts up with everything, and says what."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def useless(self, what: str, now: float) -> None:
        self.seen.append("useless")

    def stray(self, size: int, now: float) -> None:
        self.seen.append("stray")

    def late_credit(self, frames_sent: int, now: float) -> None:
        self.seen.append("late credit")

    def gone(self, stream: object) -> None:
        pass


def outcome(session: Session, stream_id: int, frame: bytes) -> str:
    watched: Any = Watched()
    session.core._tolerance = watched
    was_known = session.core.knows(stream_id)
    events = session.receive(frame)
    names = [LETTERS[type(event).__name__] for event in events]
    if "violation" in names:
        return " ".join(names)
    is_gone = was_known and not session.core.knows(stream_id)
    return " ".join(names + watched.seen + (["gone"] if is_gone else []))


def test_the_table_is_complete() -> None:
    assert all(set(row) == set(FRAMES) for row in TABLE.values())


@pytest.mark.parametrize("name", list(FRAMES))
@pytest.mark.parametrize("state", list(TABLE), ids=lambda state: state.__name__)
def test_a_frame_does_in_each_state_what_the_table_says(state: Callable[[Session], int], name: str) -> None:
    session = Session()
    stream_id = state(session)
    expected = TABLE[state][name]
    assert outcome(session, stream_id, FRAMES[name](stream_id)) == expected
    if expected == "violation":
        assert session.sent()[-1].length == 1  # GoAway, protocol error
        assert session.receive(opened(101)) == []


@pytest.mark.parametrize("name", sorted(OPENINGS))
@pytest.mark.parametrize("initiator", [False, True])
def test_a_stream_cannot_be_opened_with_an_id_of_the_other_side(initiator: bool, name: str) -> None:
    session = Session(initiator=initiator)
    stream_id = 1 if initiator else 2
    assert outcome(session, stream_id, FRAMES[name](stream_id)) == "violation"
    assert not session.core.knows(stream_id)


@pytest.mark.parametrize("name", list(FRAMES))
def test_no_frame_of_a_stream_may_be_on_stream_0(name: str) -> None:
    assert outcome(Session(), 0, FRAMES[name](0)) == "violation"


@pytest.mark.parametrize("name", sorted(OPENINGS - {"syn+rst"}))
def test_a_stream_is_acknowledged_once_and_first_of_all(name: str) -> None:
    session = Session()
    session.receive(FRAMES[name](1))
    session.core.send(1, b"answer")
    assert [(frame.flags, frame.body) for frame in session.sent()] == [(ACK, b""), (0, b"answer")]


def test_what_is_opened_and_reset_in_one_frame_never_was() -> None:
    session = Session()
    assert session.receive(FRAMES["syn+rst"](1)) == []
    assert not session.core.has_output
    drain(session.core)
    assert session.receive(opened(1))

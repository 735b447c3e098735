"""Tolerance: what honest peers do late is free, what others do needlessly is counted."""

import pytest

from cortexnet.errors import ProtocolViolation
from cortexnet.mux.outbox import OutboxPool
from cortexnet.mux.tolerance import Tolerance
from cortexnet.mux.window import INITIAL_WINDOW, ReceiveWindow
from cortexnet.mux.yamux_stream import YamuxStream


def tolerance(useless: int = 0, stray: int = 0) -> Tolerance:
    return Tolerance(useless, stray)


def stream(*, ours: bool = False) -> YamuxStream:
    return YamuxStream(1, ReceiveWindow(INITIAL_WINDOW, 0.0), OutboxPool(0), ours=ours)


def useless_frames_left(patience: Tolerance, now: float = 0.0) -> int:
    for count in range(1_000):
        try:
            patience.useless("things", now)
        except ProtocolViolation:
            return count
    raise AssertionError("there is no end to them")


def stray_bytes_left(patience: Tolerance) -> int:
    size = 0
    for step in (1 << shift for shift in range(22, -1, -1)):
        try:
            patience.stray(step, 0.0)
            size += step
        except ProtocolViolation:
            continue
    return size


def test_useless_frames_are_counted_in_ten_seconds() -> None:
    patience = tolerance(useless=5)
    assert useless_frames_left(patience, 0.0) == 5
    assert useless_frames_left(patience, 9.9) == 0
    assert useless_frames_left(patience, 10.0) == 5
    with pytest.raises(ProtocolViolation, match="too many things"):
        patience.useless("things", 10.0)


def test_stray_data_is_counted_in_bytes() -> None:
    patience = tolerance(stray=12_345)
    assert stray_bytes_left(patience) == 12_345
    with pytest.raises(ProtocolViolation, match="too much data for streams that do not exist"):
        patience.stray(1, 0.0)


@pytest.mark.parametrize(
    ("ours", "finished", "frames", "size"),
    [(False, False, 2, 1_000), (True, False, 3, 1_000), (False, True, 1, 0), (True, True, 1, 0)],
    ids=["theirs", "ours, not acknowledged", "theirs, finished", "ours, finished"],
)
def test_a_stream_that_is_gone_explains_what_may_have_crossed_its_end(ours: bool, finished: bool, frames: int, size: int) -> None:
    patience, gone = tolerance(), stream(ours=ours)
    gone.window.credit = 1_000
    gone.finished = finished
    patience.gone(gone)
    assert useless_frames_left(patience) == frames
    assert stray_bytes_left(patience) == size


def test_a_stream_that_its_peer_reset_explains_nothing() -> None:
    patience, gone = tolerance(), stream()
    gone.reset = True
    patience.gone(gone)
    assert useless_frames_left(patience) == stray_bytes_left(patience) == 0


def test_a_stream_that_was_refused_explains_a_window_of_data_and_its_end() -> None:
    patience = tolerance()
    patience.refused()
    assert useless_frames_left(patience) == 2
    assert stray_bytes_left(patience) == INITIAL_WINDOW


def test_each_data_frame_that_was_sent_explains_one_late_credit() -> None:
    """js returns credit for every frame, also when our end of the stream is forgotten already."""
    patience = tolerance(useless=2)
    for _ in range(100):
        patience.late_credit(100, 0.0)
    assert useless_frames_left(patience) == 2
    patience.late_credit(101, 0.0)
    with pytest.raises(ProtocolViolation, match="window updates for streams that do not exist"):
        patience.late_credit(101, 0.0)

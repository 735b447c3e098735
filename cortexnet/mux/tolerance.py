"""What a peer may send that is of no use: up to where it is bad luck, and from where on an attack."""

from typing import final

from cortexnet.errors import ProtocolViolation
from cortexnet.mux.allowance import Allowance
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux_stream import YamuxStream

_INTERVAL = 10.0  # seconds


@final
class Tolerance:
    """The patience of one session; a core.

    The two ends forget a stream at different times, so honest frames come late. What a stream that is gone still explains is
    allowed for on top; only the rest counts against what is put up with in an interval.
    """

    def __init__(self, useless_frames: int, stray_data: int) -> None:
        self._useless = Allowance(useless_frames, _INTERVAL)
        self._stray = Allowance(stray_data, _INTERVAL)
        self._late_credits = 0

    def useless(self, what: str, now: float) -> None:
        """A frame that changes nothing came. Raises ProtocolViolation where there were too many."""
        if not self._useless.spend(1, now):
            raise ProtocolViolation(f"too many {what}")

    def stray(self, size: int, now: float) -> None:
        """Data came for a stream that does not exist. Raises ProtocolViolation where it was too much."""
        if not self._stray.spend(size, now):
            raise ProtocolViolation("too much data for streams that do not exist")

    def late_credit(self, frames_sent: int, now: float) -> None:
        """Credit came for a stream that is gone: its reader was slower than our end of it. js returns some for each data frame,
        the others less often, so each of the `frames_sent` explains one. Raises ProtocolViolation for too many others.
        """
        if self._late_credits < frames_sent:
            self._late_credits += 1
        else:
            self.useless("window updates for streams that do not exist", now)

    def gone(self, stream: YamuxStream) -> None:
        """A stream is forgotten: unless its peer reset it, more may have been on its way already."""
        if stream.reset:
            return
        if stream.finished:
            self._useless.grant(1)  # a reset
            return
        # its FIN and a reset, and before them its acknowledgement
        self.expect_late(frames=2 + stream.ack_wanted, size=stream.window.credit)

    def refused(self) -> None:
        """A stream was reset as soon as its peer opened it."""
        self.expect_late(frames=2, size=INITIAL_WINDOW)

    def expect_late(self, *, frames: int, size: int) -> None:
        """So many frames without data, and so many bytes of it, may have been on their way for a stream that is gone."""
        self._useless.grant(frames)
        self._stray.grant(size)

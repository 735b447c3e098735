"""When a quiet QUIC connection is pinged, and when a doubt about it is over. A core."""

from typing import final

_LONGEST = 15.0  # seconds between pings
_NEVER = float("inf")


@final
class KeepAlive:
    """At half of the time after which either side would give up. Nothing is due before `start`."""

    __slots__ = ("_doubted_until", "_interval", "_ping_at")

    def __init__(self) -> None:
        self._interval = _NEVER
        self._ping_at = _NEVER
        self._doubted_until = _NEVER

    def start(self, ours: float, theirs: float | None, now: float) -> None:
        """The handshake is complete: the idle timeouts of both sides are known; 0 or None is none."""
        self._interval = min(_LONGEST, (min(ours, theirs) if theirs else ours) / 2)
        self._ping_at = now + self._interval

    def heard(self, now: float) -> None:
        """A packet came."""
        self._ping_at = now + self._interval
        self._doubted_until = _NEVER

    def doubt(self, until: float) -> None:
        """A packet has to come by then."""
        self._doubted_until = until

    def is_due(self, now: float) -> bool:
        """Whether to ping now; the next one is a while off then."""
        if now < self._ping_at:
            return False
        self._ping_at = now + self._interval
        return True

    def is_silent(self, now: float) -> bool:
        """Whether nothing came by the time that it had to."""
        return now >= self._doubted_until

    def next_timeout(self) -> float:
        """When something is due."""
        return min(self._ping_at, self._doubted_until)

"""The receive window of one stream: what the peer may still send, and when it is told of more.

A window is returned when half of it is owed. It doubles, up to its limit, where it was used up within four round trips: then
the window, not the reader, was what held the sender back.
"""

from typing import final

INITIAL_WINDOW = 262_144
"""Bytes both sides may send on a new stream before any credit. Spec: yamux, "Flow Control"."""
_FAST = 4  # round trips


@final
class ReceiveWindow:
    """Credit of one stream; a core.

    `credit` is what the peer may still send. `target` is what unread bytes and credit together should come to.
    """

    __slots__ = ("_limit", "_returned", "credit", "demand", "target")

    def __init__(self, limit: int, now: float) -> None:
        self.credit = INITIAL_WINDOW
        self.target = INITIAL_WINDOW
        self.demand = 0
        self._limit = limit
        self._returned = now

    @property
    def grown(self) -> int:
        """Bytes of the target above the initial window: they are charged from the moment they are granted."""
        return max(self.target, self.demand) - INITIAL_WINDOW

    def is_due(self, unread: int) -> bool:
        """Whether enough is owed to tell the peer."""
        return 2 * (self.target - unread - self.credit) >= self.target

    def wants_growth(self, now: float, round_trip: float | None) -> int:
        """By how much the target should grow with the return that is due now; 0 for not at all."""
        if round_trip is None or now - self._returned >= _FAST * round_trip:
            return 0
        return min(self.target, self._limit - self.target)

    def grant(self, unread: int, now: float) -> int:
        """Bring the credit up to target and demand; the increment, which must go to the peer."""
        increment = max(0, max(self.target, self.demand) - unread - self.credit)
        self.credit += increment
        self._returned = now
        return increment

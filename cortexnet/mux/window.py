"""The receive window of one stream: what the peer may still send, and when it is told of more.

A window is returned when half of it is owed. It doubles, up to its limit, where it was used up within four round trips and the
reader has kept up: then the window was what held the sender back.
"""

from typing import final

INITIAL_WINDOW = 262_144
"""Bytes both sides may send on a new stream before any credit. Spec: yamux, "Flow Control"."""
_FAST = 4  # round trips
_BEHIND = 4  # a reader that leaves more than this part of the window unread is what holds the sender back


@final
class ReceiveWindow:
    """Credit of one stream; a core.

    `credit` is what the peer may still send. `target` is what unread bytes and credit together should come to, `demand` what they
    came to once, for a reader who waits for that much.
    """

    __slots__ = ("_limit", "_returned", "credit", "demand", "target")

    def __init__(self, limit: int, now: float) -> None:
        self.credit = INITIAL_WINDOW
        self.target = INITIAL_WINDOW
        self.demand = 0
        self._limit = limit
        self._returned = now

    @property
    def promised(self) -> int:
        """Bytes the stream may come to hold."""
        return max(self.target, self.demand)

    def is_due(self, unread: int) -> bool:
        """Whether enough is owed to tell the peer."""
        return 2 * (self.target - unread - self.credit) >= self.target

    def wants_growth(self, unread: int, now: float, round_trip: float | None) -> int:
        """By how much the target should grow with the return that is due now; 0 for not at all."""
        if round_trip is None or now - self._returned >= _FAST * round_trip or _BEHIND * unread > self.target:
            return 0
        return min(self.target, self._limit - self.target)

    def stop_growth(self, unread: int) -> None:
        """Give back what the window has grown by, as far as the peer was not granted it already."""
        self.target = max(INITIAL_WINDOW, min(self.target, unread + self.credit))

    def grant(self, unread: int, now: float) -> int:
        """Bring the credit up to the target; the increment, which must go to the peer."""
        return self._raise(self.target - unread, now)

    def grant_demand(self, unread: int, now: float) -> int:
        """Bring the credit up to the demand, once: what is read of it then is not granted again. The increment."""
        return self._raise(self.promised - unread, now)

    def _raise(self, credit: int, now: float) -> int:
        increment = max(0, credit - self.credit)
        self.credit += increment
        self._returned = now
        return increment

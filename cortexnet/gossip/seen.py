"""Which messages were here already: copies of them come from all sides for a while."""

from collections import deque
from typing import final


@final
class SeenCache:
    """Up to `limit` message ids, each for `ttl` seconds from its first sight. Past the limit the oldest is forgotten.

    Adding, asking and expiring cost the same however many there are. `in` may still hold for an id whose time is up, until the
    next `add` or `expire`.
    """

    __slots__ = ("_expiry", "_limit", "_order", "_ttl")

    def __init__(self, limit: int, ttl: float) -> None:
        self._limit = limit
        self._ttl = ttl
        self._expiry: dict[bytes, float] = {}
        self._order: deque[bytes] = deque()  # a dict whose first entries were deleted is slow to say which is the first

    def __len__(self) -> int:
        return len(self._expiry)

    def __contains__(self, message_id: bytes) -> bool:
        return message_id in self._expiry

    def add(self, message_id: bytes, now: float) -> bool:
        """Note a message. False where it was seen before; that does not prolong its time."""
        self.expire(now)
        if message_id in self._expiry:
            return False
        if len(self._expiry) >= self._limit:
            del self._expiry[self._order.popleft()]
        self._expiry[message_id] = now + self._ttl
        self._order.append(message_id)
        return True

    def expire(self, now: float) -> None:
        """Forget the ids whose time is up."""
        order, expiry = self._order, self._expiry
        while order and expiry[order[0]] <= now:
            del expiry[order.popleft()]

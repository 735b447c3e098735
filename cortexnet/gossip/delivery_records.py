"""Who brought which message, and what became of it: copies are credited or charged by the verdict on the first."""

from collections import deque
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

UNKNOWN: Final = 0
VALID: Final = 1
INVALID: Final = 2
UNJUDGED: Final = 3
"""Ignored, or dropped unseen: nobody gains or loses by it."""


@final
class DeliveryRecord:
    """One message: the verdict, when it was accepted, and who brought copies."""

    __slots__ = ("peers", "status", "validated")

    def __init__(self) -> None:
        self.status = UNKNOWN
        self.validated = 0.0
        self.peers: dict[PeerId, None] = {}


@final
class DeliveryRecords:
    """Up to `limit` messages, each for `ttl` seconds from its first sight; past the limit the oldest is forgotten."""

    __slots__ = ("_limit", "_order", "_records", "_ttl")

    def __init__(self, limit: int, ttl: float) -> None:
        self._limit = limit
        self._ttl = ttl
        self._records: dict[bytes, DeliveryRecord] = {}
        self._order: deque[tuple[float, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._records)

    def of(self, message_id: bytes, now: float) -> DeliveryRecord:
        """The record of a message; it begins here."""
        record = self._records.get(message_id)
        if record is None:
            if len(self._records) >= self._limit:
                del self._records[self._order.popleft()[1]]
            record = self._records[message_id] = DeliveryRecord()
            self._order.append((now + self._ttl, message_id))
        return record

    def expire(self, now: float) -> None:
        """Forget what is old."""
        while self._order and self._order[0][0] < now:
            del self._records[self._order.popleft()[1]]

"""The last response times of a peer, in the order of their coming and in that of their length. A core."""

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import final

LIMIT = 100
"""Response times that are remembered of one peer."""


@final
class ResponseTimes:
    """The last 100 response times in seconds, of single precision."""

    __slots__ = ("_by_length", "_in_order", "_next", "count", "median")

    def __init__(self, times: Iterable[float] = ()) -> None:
        """With these, the oldest first."""
        self._in_order = array("f", list(times)[-LIMIT:])
        self._next = 0  # where the oldest stands once there are 100
        self._by_length = array("f", sorted(self._in_order))
        self.count = len(self._in_order)
        """How many there are."""
        self.median = self._by_length[self.count // 2] if self.count else 0.0
        """Of these; 0 where there are none."""

    def __iter__(self) -> Iterator[float]:
        """The oldest first."""
        return iter([*self._in_order[self._next :], *self._in_order[: self._next]])

    def add(self, seconds: float) -> None:
        """In place of the oldest, where there are 100."""
        by_length = self._by_length
        if self.count < LIMIT:
            self._in_order.append(seconds)
            insort(by_length, self._in_order[-1])
            self.count += 1
            self.median = by_length[self.count // 2]
            return
        place = self._next
        del by_length[bisect_left(by_length, self._in_order[place])]
        self._in_order[place] = seconds
        insort(by_length, self._in_order[place])
        self._next = (place + 1) % LIMIT
        self.median = by_length[LIMIT // 2]

    def quantile(self, q: float) -> float | None:
        """The least time that a share of `q` of them does not exceed, 0.5 being the median; None where there are none."""
        count = self.count
        return self._by_length[min(int(q * count), count - 1)] if count else None

"""How much of something harmless but useless a peer may do before it is an attack."""

from typing import final


@final
class Allowance:
    """`amount` units for each `interval` seconds; a core: the time is handed in.

    A fixed interval, not a bucket: one addition and one comparison a spend, at worst twice the amount around a boundary.
    """

    __slots__ = ("_amount", "_interval", "_left", "_renewed")

    def __init__(self, amount: int, interval: float) -> None:
        self._amount = amount
        self._interval = interval
        self._left = amount
        self._renewed = float("-inf")

    def spend(self, units: int, now: float) -> bool:
        """Whether the allowance covers `units` more."""
        if now - self._renewed >= self._interval:
            self._renewed = now
            self._left = max(self._left, self._amount)
        self._left -= units
        return self._left >= 0

    def grant(self, units: int) -> None:
        """Allow `units` more, once."""
        self._left += units

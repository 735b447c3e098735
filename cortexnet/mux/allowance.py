"""How much of something harmless but useless a peer may do before it is an attack."""

from typing import final


@final
class Allowance:
    """`amount` units for each `interval` seconds; a core: the time is handed in.

    A fixed interval, not a bucket: one addition and one comparison a spend, at worst twice the amount around a boundary.
    """

    __slots__ = ("_amount", "_interval", "_left", "renews_at")

    def __init__(self, amount: int, interval: float) -> None:
        self._amount = amount
        self._interval = interval
        self._left = amount
        self.renews_at = float("-inf")
        """When the next interval may begin; it does with the first `spend` then."""

    def spend(self, units: int, now: float) -> bool:
        """Whether the allowance covers `units` more; nothing is taken where it does not."""
        if now >= self.renews_at:
            self.renews_at = now + self._interval
            self._left = max(self._left, self._amount)
        if units > self._left:
            return False
        self._left -= units
        return True

    def grant(self, units: int) -> None:
        """Allow `units` more, once; they do not expire."""
        self._left += units

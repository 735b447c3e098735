"""Named counters with bounds: checked together, then changed together."""

from collections.abc import Iterable
from typing import NamedTuple, final

from cortexnet.errors import LimitExceeded


@final
class Bound(NamedTuple):
    """At most `limit` of a setting; of one peer, one address and so on, where `of` is not None."""

    setting: str
    of: object
    limit: int


@final
class Counters:
    """The counts behind any number of bounds. A counter that falls to zero is forgotten."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[str, object], int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def value(self, setting: str, of: object = None) -> int:
        """How many are held."""
        return self._counts.get((setting, of), 0)

    def has_room(self, bounds: Iterable[Bound]) -> bool:
        """Whether one more would stay within all of these."""
        return all(self.value(bound.setting, bound.of) < bound.limit for bound in bounds)

    def check(self, bounds: Iterable[Bound]) -> None:
        """Raises LimitExceeded for the first that has no room for one more."""
        for setting, of, limit in bounds:
            value = self.value(setting, of)
            if value >= limit:
                scope = setting.replace("_", " ") + ("" if of is None else f" of {of}")
                raise LimitExceeded(scope, limit=limit, value=value + 1, setting=f"limits.{setting}")

    def hold(self, bounds: Iterable[Bound]) -> None:
        """One more of each, unchecked."""
        for setting, of, _ in bounds:
            self._counts[setting, of] = self.value(setting, of) + 1

    def give_back(self, bounds: Iterable[Bound]) -> None:
        """One less of each that was held."""
        for setting, of, _ in bounds:
            left = self._counts.pop((setting, of)) - 1
            if left:
                self._counts[setting, of] = left

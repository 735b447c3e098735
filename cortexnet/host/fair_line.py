"""A line in which several parties stand: one of each is served, then the next of each. A core."""

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice, zip_longest
from typing import Generic, TypeVar, final

T = TypeVar("T", bound=Hashable)


@final
class FairLine(Generic[T]):
    """Those of a party are served in the order they came. However many they are, another party waits for one of them at a time.

    A party is forgotten with the last of its own that stands in line.
    """

    __slots__ = ("parties",)

    def __init__(self) -> None:
        self.parties: OrderedDict[Hashable, OrderedDict[T, None]] = OrderedDict()
        """Who stands in line, by party: that whose turn it is comes first. A look at it is cheaper than a call."""

    def append(self, item: T, party: Hashable) -> None:
        """One more, behind all of its party. One that is in line must not come again."""
        if party not in self.parties:
            self.parties[party] = OrderedDict()
        self.parties[party][item] = None

    def first(self) -> T:
        """Whose turn it is; somebody must stand in line."""
        return next(iter(next(iter(self.parties.values()))))

    def upcoming(self, count: int) -> list[T]:
        """The first `count`, in the order they are served in if nobody comes or goes."""
        rounds = zip_longest(*islice(self.parties.values(), count))
        return list(islice((item for each in rounds for item in each if item is not None), count))

    def rotate(self) -> None:
        """The first one is being served, and removed next: its party's turn comes again after that of all others."""
        self.parties.move_to_end(next(iter(self.parties)))

    def remove(self, item: T, party: Hashable) -> None:
        """Whoever it is leaves, served or not; the others keep their places."""
        items = self.parties[party]
        del items[item]
        if not items:
            del self.parties[party]

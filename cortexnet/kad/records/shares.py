"""Who holds how much of a store that is shared, so that room is made where most is held."""

from collections.abc import Collection, Hashable
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Generic, TypeVar, final

from cortexnet.identity.peer_id import PeerId

K = TypeVar("K", bound=Hashable)

_PART = 64
_MOST_AT_ONCE = 32  # at 3 µs each
_SLACK = 64  # outdated entries that are let be, besides as many as there are valid ones


def oldest(held: Collection[bytes]) -> list[bytes]:
    """What is to be dropped of a full dictionary, at least one: a part of it, since to find the first is to pass over all that
    has been removed before it, which may be as much as is there."""
    return list(islice(held, min(1 + len(held) // _PART, _MOST_AT_ONCE)))


@final
class Heaviest(Generic[K]):
    """Loads by key, and the key with the most; of several one that came to it early. O(log n) each."""

    __slots__ = ("_heap", "_loads", "_order")

    def __init__(self) -> None:
        self._loads: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []  # also entries of loads of before: these are passed over
        self._order = 0

    def __len__(self) -> int:
        return len(self._loads)

    def __contains__(self, key: K) -> bool:
        return key in self._loads

    def load(self, key: K) -> int:
        """Of a key; 0 where it has none."""
        return self._loads.get(key, 0)

    def change(self, key: K, by: int) -> None:
        """Add to the load of a key, or take from it; a load is never below 0, and at 0 forgotten."""
        load = self._loads.get(key, 0) + by
        if load <= 0:
            self._loads.pop(key, None)
            return
        self._loads[key] = load
        if len(self._heap) > 2 * len(self._loads) + _SLACK:
            self._heap = [(-load, order, key) for order, (key, load) in enumerate(self._loads.items())]
            self._order = len(self._heap)
            heapify(self._heap)
            return
        self._order += 1
        heappush(self._heap, (-load, self._order, key))

    def top(self) -> K:
        """The key with the highest load. There must be one."""
        while True:
            load, _, key = self._heap[0]
            if self._loads.get(key) == -load:
                return key
            heappop(self._heap)


@final
class Shares:
    """What peers hold, by the network they come from. A peer without one stands for itself.

    A peer counts in the network in which it was met, for as long as it holds something.
    """

    __slots__ = ("_group_of", "_groups", "_inner")

    def __init__(self) -> None:
        self._groups: Heaviest[str | PeerId] = Heaviest()
        self._inner: dict[str, Heaviest[PeerId]] = {}
        self._group_of: dict[PeerId, str] = {}

    def add(self, holder: PeerId, group: str | None, weight: int) -> None:
        """A peer holds more. `group` counts only where it has held nothing."""
        known = self._place(holder, group)
        self._groups.change(holder if known is None else known, weight)
        if known is not None:
            self._group_of[holder] = known
            self._inner.setdefault(known, Heaviest()).change(holder, weight)

    def remove(self, holder: PeerId, weight: int) -> None:
        """A peer holds less."""
        group = self._group_of.get(holder)
        self._groups.change(holder if group is None else group, -weight)
        if group is not None:
            inner = self._inner[group]
            inner.change(holder, -weight)
            if holder not in inner:
                del self._group_of[holder]
            if not inner:
                del self._inner[group]

    def load(self, holder: PeerId, group: str | None) -> int:
        """What the network holds that a peer counts in, or would if it held something."""
        known = self._place(holder, group)
        return self._groups.load(holder if known is None else known)

    def heaviest(self) -> PeerId:
        """Whoever holds most in the network that holds most. There must be somebody."""
        top = self._groups.top()
        return self._inner[top].top() if isinstance(top, str) else top

    def group_of(self, holder: PeerId) -> str | PeerId:
        """Where a peer counts: its network, or it itself."""
        return self._group_of.get(holder, holder)

    def _place(self, holder: PeerId, group: str | None) -> str | None:
        """The network of a peer, which is `group` only where it holds nothing yet."""
        return None if holder in self._groups else self._group_of.get(holder, group)

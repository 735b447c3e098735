"""The values that this node keeps, its own and those of others.

Memory is bounded whatever comes: see `StoreConfig`. What is valid, and which of two values is better, is not known here.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, final

from cortexnet.errors import LimitExceeded
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.shares import Shares, oldest
from cortexnet.kad.store_config import StoreConfig

EXPIRED_AT_ONCE: Final = 2_000
"""Values that one call of `expire` drops, at 3 µs each."""

_UNIT = 1_024  # bytes: smaller values weigh as much

Changed = Callable[[bytes], None]
"""Called with the key of a value that came, was renewed, or is gone. Must not raise or change the store."""


@final
@dataclass(frozen=True, slots=True)
class StoredValue:
    """One value as it is kept."""

    key: bytes
    value: bytes
    received: float
    """When it was stored last, in unix seconds."""
    sender: PeerId | None
    """Whose share it counts in; None: this node's own, which is never pushed out."""
    group: str | None
    """The network of the sender."""

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key) + len(self.value)


@final
class ValueStore:
    """Values by key, one each. `on_change` is called for each change but those of `restore`."""

    def __init__(self, config: StoreConfig | None = None) -> None:
        self.config = config or StoreConfig()
        self.on_change: Changed | None = None
        self._values: dict[bytes, StoredValue] = {}
        self._sorted: list[bytes] = []  # the keys; a few thousand pointers are moved faster than a tree is walked
        self._shares = Shares()
        self._by_sender: dict[PeerId, dict[bytes, None]] = {}
        self._count = 0
        self._size = 0

    def __len__(self) -> int:
        """All values, those included that are over and not dropped yet."""
        return len(self._values)

    @property
    def size(self) -> int:
        """Bytes of the values of others, keys included."""
        return self._size

    def get(self, key: bytes, unix_now: float) -> StoredValue | None:
        """The value of a key, as long as its time lasts."""
        stored = self._values.get(key)
        return None if stored is None or stored.received <= unix_now - self.config.value_ttl else stored

    def names(self, prefix: bytes, unix_now: float, *, after: bytes = b"", limit: int = 1_000) -> list[bytes]:
        """Keys that begin with `prefix`, in order, behind `after`, of values whose time lasts."""
        found: list[bytes] = []
        for index in range(bisect_left(self._sorted, max(prefix, after)), len(self._sorted)):
            key = self._sorted[index]
            if not key.startswith(prefix) or len(found) == limit:
                break
            if key > after and self.get(key, unix_now) is not None:
                found.append(key)
        return found

    def count(self, prefix: bytes) -> int:
        """How many keys begin with `prefix`; those of expired values count until these are dropped."""
        stop = bisect_right(self._sorted, prefix, key=lambda key: key[: len(prefix)])
        return stop - bisect_left(self._sorted, prefix)

    def put(self, key: bytes, value: bytes, unix_now: float, *, sender: PeerId | None = None, group: str | None = None) -> None:
        """Keep a value in place of the one before. `sender` None: this node's own.

        A value that several peers send counts in the share of whoever holds least, and one of our own stays so: whoever sends a
        good value again can't drag it down with the rest of what he sent. Where the store is full, the oldest value of whoever
        holds most is dropped, maybe this one. Raises LimitExceeded for a value that is too large.
        """
        if len(value) > self.config.value_size:
            limit = self.config.value_size
            raise LimitExceeded("a value of the DHT", limit=limit, value=len(value), setting="kad.store.value_size")
        stored = StoredValue(key, value, unix_now, sender, group)
        known = self._values.get(key)
        if known is not None and sender is not None and self._is_lighter(known, sender, group):
            stored = replace(stored, sender=known.sender, group=known.group)
        self._insert(stored)
        self._tell(key)
        self._make_room()

    def remove(self, key: bytes) -> bool:
        """Drop a value; False where there is none."""
        if key not in self._values:
            return False
        self._take_out(key)
        self._tell(key)
        return True

    def expire(self, unix_now: float, limit: int = EXPIRED_AT_ONCE) -> int:
        """Drop values whose time is over; how many. Where it is `limit`, there may be more."""
        stale = unix_now - self.config.value_ttl
        over = [key for key, stored in self._values.items() if stored.received <= stale][:limit]
        for key in over:
            self.remove(key)
        return len(over)

    # --- for whoever keeps it on disk

    def stored(self, key: bytes) -> StoredValue | None:
        """What is kept under a key, over or not."""
        return self._values.get(key)

    def __iter__(self) -> Iterator[StoredValue]:
        """All that is kept, that which was stored longest ago first. The store must not change meanwhile."""
        return iter(self._values.values())

    def restore(self, stored: StoredValue, unix_now: float) -> bool:
        """Take back a value of an earlier run; False where it is over, known newer, or one too many.

        To be called in the order in which they were stored, as far as it is known.
        """
        if stored.received <= unix_now - self.config.value_ttl or stored.key in self._values:
            return False
        # Where the clock was set back, it lives no longer than it had left.
        self._insert(replace(stored, received=min(stored.received, unix_now)))
        self._make_room()
        return stored.key in self._values

    def _is_lighter(self, known: StoredValue, sender: PeerId, group: str | None) -> bool:
        """Whether whoever has sent a value before holds no more than who sends it now."""
        return known.sender is None or self._shares.load(known.sender, known.group) <= self._shares.load(sender, group)

    def _insert(self, stored: StoredValue) -> None:
        if stored.key in self._values:
            self._take_out(stored.key)
        self._values[stored.key] = stored
        insort(self._sorted, stored.key)
        if stored.sender is not None:
            self._shares.add(stored.sender, stored.group, _weight(stored))
            self._by_sender.setdefault(stored.sender, {})[stored.key] = None
            self._count += 1
            self._size += stored.size

    def _take_out(self, key: bytes) -> None:
        stored = self._values.pop(key)
        del self._sorted[bisect_left(self._sorted, key)]
        if stored.sender is not None:
            self._shares.remove(stored.sender, _weight(stored))
            keys = self._by_sender[stored.sender]
            del keys[key]
            if not keys:
                del self._by_sender[stored.sender]
            self._count -= 1
            self._size -= stored.size

    def _make_room(self) -> None:
        while self._count > self.config.values or self._size > self.config.values_size:
            for key in oldest(self._by_sender[self._shares.heaviest()]):
                self.remove(key)

    def _tell(self, key: bytes) -> None:
        if self.on_change is not None:
            self.on_change(key)


def _weight(stored: StoredValue) -> int:
    return 1 + stored.size // _UNIT

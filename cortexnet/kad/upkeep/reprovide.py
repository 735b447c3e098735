"""When what we provide is to be told again: region by region, each at its own hour of the cycle, also after a restart.

Servers forget a provider after 48 hours and its addresses after 24. So every 22 hours each region that has keys of ours is
explored and its peers are told all of them. The hour of a region follows from its prefix and our own position: the work is spread
evenly over the cycle, and a node that comes back after an hour goes on where it was. Times are unix seconds: they must outlive
the process.

Spec: libp2p/specs has none; the schedule is that of go-libp2p-kad-dht's `provider`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import floor
from struct import pack, unpack
from typing import final

from cortexnet.kad.routing.key import BITS, Prefix

INTERVAL = 22 * 3600.0
"""Seconds of a cycle: two hours before the addresses are forgotten; everybody's value."""
DELAY_LIMIT = 3600.0
"""Seconds by which a region may be late because it got another hour when it was split or joined; go's value."""
RETRY_AFTER = 300.0
"""Seconds until a region is tried again whose peers could not be told; go's value."""

_ORDER_BITS = 24  # of a prefix that count for its hour: a step of 5 ms
_CYCLE_ROW = b""  # the key in storage under which the start of the cycle is kept
_MOMENT = 1e-3
_NEVER = float("-inf")


@final
@dataclass(frozen=True, slots=True)
class DueRegion:
    """A region whose keys are to be told again, and since when."""

    prefix: Prefix
    keys: tuple[bytes, ...]
    since: float


@final
class _Region:
    __slots__ = ("is_running", "keys", "last", "retry_after", "retry_at")

    def __init__(self) -> None:
        self.keys: dict[bytes, None] = {}
        self.last = float("inf")  # when that of its keys was told which was told longest ago
        self.retry_at = _NEVER
        self.retry_after = RETRY_AFTER
        self.is_running = False


@final
class ReprovideSchedule:
    """The keys we provide, and when each region of them is due; a core. `own` is our own position.

    `take_due` gives the regions whose time has come; of each `provided` or `failed` is told then. `length` is how many bits the
    prefix of a region has, see `regions.prefix_length`.
    """

    def __init__(
        self, own: int, unix_now: float, *, interval: float = INTERVAL, delay_limit: float = DELAY_LIMIT, length: int = 0
    ) -> None:
        self._own = own
        self._interval = interval
        self._delay_limit = delay_limit
        self._length = length
        self._cycle_start = unix_now
        self._last: dict[bytes, float] = {}
        self._positions: dict[bytes, int] = {}
        self._regions: dict[Prefix, _Region] = {}

    def __len__(self) -> int:
        return len(self._last)

    def __contains__(self, key: bytes) -> bool:
        return key in self._last

    @property
    def length(self) -> int:
        """Bits of a region's prefix."""
        return self._length

    def set_length(self, length: int) -> None:
        """The network has grown or shrunk: sort the keys into longer or shorter regions. What runs just then may be run twice."""
        if length == self._length:
            return
        self._length = length
        self._regions.clear()
        for key in self._last:
            self._place(key)

    def add(self, key: bytes, position: int, *, provided: float | None = None) -> None:
        """Provide a key from now on. `provided` is when that was told last; None: never, so it is due at once."""
        self._positions[key] = position
        self._last[key] = _NEVER if provided is None else provided
        self._place(key)

    def remove(self, key: bytes) -> bool:
        """Provide it no more; whether it was. Servers forget it by themselves."""
        if key not in self._last:
            return False
        prefix = self._prefix_of(key)
        del self._last[key], self._positions[key]
        keys = self._regions[prefix].keys
        del keys[key]
        if not keys:
            del self._regions[prefix]
        return True

    def take_due(self, unix_now: float, limit: int | None = None) -> list[DueRegion]:
        """The regions whose time has come, `limit` of them, longest due first. Each is given once until its outcome is told."""
        due: list[DueRegion] = []
        for prefix, region in self._regions.items():
            region.last = min(region.last, unix_now)  # a clock that was set back shall not put it off
            since = self._due_at(prefix, region)
            if since <= unix_now and not region.is_running:
                due.append(DueRegion(prefix, tuple(region.keys), since))
        due.sort(key=lambda region: region.since)
        for each in due[:limit]:
            self._regions[each.prefix].is_running = True
        return due[:limit]

    def provided(self, keys: Iterable[bytes], unix_now: float) -> None:
        """These have been told to their peers, in their turn or apart from it."""
        touched: dict[Prefix, None] = {}
        for key in keys:
            if key in self._last:
                self._last[key] = unix_now
                touched[self._prefix_of(key)] = None
        for prefix in touched:
            region = self._regions[prefix]
            region.last = min(self._last[key] for key in region.keys)
            region.is_running = False
            if region.last != _NEVER:  # else others of its keys wait to be tried again
                region.retry_at, region.retry_after = _NEVER, RETRY_AFTER

    def failed(self, keys: Iterable[bytes], unix_now: float, *, is_costly: bool = False) -> None:
        """These could not be told, in their turn or when they were new: their regions are due again in a while.

        Where it was costly, since some peers were told, that is twice as long after each time in a row.
        """
        failed: dict[Prefix, None] = {}
        for key in keys:
            if key in self._last:
                self._last[key] = _NEVER
                failed[self._prefix_of(key)] = None
        for prefix in failed:
            region = self._regions[prefix]
            region.last, region.is_running, region.retry_at = _NEVER, False, unix_now + region.retry_after
            if is_costly:
                region.retry_after = min(2 * region.retry_after, self._interval)

    def next_due(self) -> float | None:
        """When `take_due` has something next, apart from what is running."""
        return min(
            (self._due_at(prefix, region) for prefix, region in self._regions.items() if not region.is_running), default=None
        )

    # What outlives the node.

    def rows(self) -> dict[bytes, bytes]:
        """All that is to be stored: a row for each key, and one under the empty key."""
        return {_CYCLE_ROW: pack(">d", self._cycle_start), **{key: self.row(key) for key in self._last}}

    def row(self, key: bytes) -> bytes:
        """The row of one key."""
        return pack(">d", self._last[key])

    def restore(self, rows: Mapping[bytes, bytes], position_of: Callable[[bytes], int], unix_now: float) -> None:
        """Go on where an earlier run has stopped. What is no row is passed over; keys that are there already stay as they are."""
        for key, data in rows.items():
            if len(data) != 8:
                continue
            (time,) = unpack(">d", data)
            if key == _CYCLE_ROW:
                self._cycle_start = time if 0.0 <= time <= unix_now else self._cycle_start
            elif key not in self._last:
                self.add(key, position_of(key), provided=time if 0.0 <= time <= unix_now else None)

    def _place(self, key: bytes) -> None:
        region = self._regions.setdefault(self._prefix_of(key), _Region())
        region.keys[key] = None
        region.last = min(region.last, self._last[key])

    def _prefix_of(self, key: bytes) -> Prefix:
        return Prefix.of(self._positions[key], self._length)

    def _due_at(self, prefix: Prefix, region: _Region) -> float:
        if region.last == _NEVER:
            return region.retry_at
        first = self._cycle_start + self._offset(prefix)
        # Told a moment before its time it has been told: so it comes once a cycle, however the division is rounded.
        cycles = floor((region.last + _MOMENT - first) / self._interval) + 1
        due = min(first + cycles * self._interval, region.last + self._interval + self._delay_limit)
        return max(due, region.retry_at)

    def _offset(self, prefix: Prefix) -> float:
        length = min(prefix.length, _ORDER_BITS)
        order = (prefix.bits >> (prefix.length - length)) ^ (self._own >> (BITS - length))
        return self._interval * order / (1 << length)

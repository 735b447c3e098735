"""What connections are worth to this node: values by peer and tag, some of which fade, and peers that are protected by name.

The value of a peer is the sum of its tags. Names are the application's and the services', never a peer's.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import floor, isfinite
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId

FORGET_AFTER = 15 * 60.0
"""Seconds the tags of a peer are kept without a connection: as long as its addresses in the address book."""
LARGEST = 1e9
"""A value is cut here, so that no sum of them is ever infinite."""
STANDING = "reputation"
"""The tag of what a peer has done so far. It says who goes first, not that anybody is needed: see `Tags.need`."""
_NOTHING = 0.01  # what has faded below is gone
_SMALLEST = 0.001


@final
@dataclass(frozen=True, slots=True)
class HalfLife:
    """Fading: half of the value is left after `seconds`. Raises LocalError for less than 0.001."""

    seconds: float

    def __post_init__(self) -> None:
        _check_positive(self.seconds)

    def fade(self, value: float, elapsed: float) -> tuple[float, float]:
        """What is left of it, and how much of the time that took."""
        return value * 0.5 ** (elapsed / self.seconds), elapsed


@final
@dataclass(frozen=True, slots=True)
class FixedSteps:
    """Fading: `step` less, towards 0, after each `interval` seconds. Raises LocalError for less than 0.001 of either."""

    step: float
    interval: float

    def __post_init__(self) -> None:
        _check_positive(self.step)
        _check_positive(self.interval)

    def fade(self, value: float, elapsed: float) -> tuple[float, float]:
        """What is left of it, and how much of the time that took: whole intervals."""
        intervals = floor(elapsed / self.interval)
        left = max(0.0, abs(value) - intervals * self.step)
        return left if value > 0 else -left, intervals * self.interval


Fading = HalfLife | FixedSteps
Bump = Callable[[float, float], float]
"""The new value of a fading tag, from what is left of the old one and the amount."""


def add(value: float, amount: float) -> float:
    """The bump that most tags want."""
    return value + amount


@final
@dataclass(frozen=True, slots=True)
class _Kind:
    fading: Fading
    bump: Bump


@final
class _Entry:
    """What is known of one peer."""

    __slots__ = ("fading", "fixed", "forget_at")

    def __init__(self) -> None:
        self.fixed: dict[str, float] = {}
        self.fading: dict[str, tuple[float, float]] = {}  # the value, and when it was that
        self.forget_at = 0.0


@final
class Tags:
    """Values and protection, within `limits`. `now` is any one monotonic clock, in seconds.

    Peers that are neither connected nor protected are forgotten after `FORGET_AFTER`, earlier where there are more than
    `limits.tagged_peers` of them: those whose tags were set longest ago go first.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kinds: dict[str, _Kind] = {}
        self._connected: dict[PeerId, None] = {}
        self._protected: dict[PeerId, dict[str, None]] = {}
        self._held: dict[PeerId, _Entry] = {}  # of those two
        self._others: OrderedDict[PeerId, _Entry] = OrderedDict()  # in the order of their `forget_at`

    def __len__(self) -> int:
        """How many peers have tags."""
        return len(self._held) + len(self._others)

    # --- values

    def declare(self, name: str, fading: Fading, bump: Bump = add) -> None:
        """From now on `name` is a tag that fades. Raises LocalError where it is declared already."""
        if name in self._kinds:
            raise LocalError(f"the tag {name!r} is declared already")
        self._kinds[name] = _Kind(fading, bump)

    def set(self, peer: PeerId, name: str, value: float, now: float) -> None:
        """Give a tag this value, whatever it was. Raises LocalError for a tag that fades, LimitExceeded for one too many."""
        if name in self._kinds:
            raise LocalError(f"the tag {name!r} fades: bump it")
        checked = _checked(value)
        self._entry(peer, name, now).fixed[name] = checked

    def bump(self, peer: PeerId, name: str, amount: float, now: float) -> None:
        """Let the bump of a fading tag have `amount`. Raises LocalError for a tag that was not declared, LimitExceeded."""
        kind = self._kinds.get(name)
        if kind is None:
            raise LocalError(f"the tag {name!r} does not fade: declare it as fading, or set it")
        value, since = self._left(self._find(peer, now) or _Entry(), name, now)
        checked = _checked(kind.bump(value, _checked(amount)))
        self._entry(peer, name, now).fading[name] = checked, since

    def remove(self, peer: PeerId, name: str, now: float) -> None:
        """Take a tag away; nothing happens where there is none."""
        entry = self._find(peer, now)
        if entry is not None:
            entry.fixed.pop(name, None)
            entry.fading.pop(name, None)
            self._drop_if_empty(peer, entry)

    def value(self, peer: PeerId, now: float) -> float:
        """The sum of a peer's tags; 0 for one without."""
        return sum(self.of(peer, now).values())

    def need(self, peer: PeerId, now: float) -> float:
        """The same without `STANDING`: by how much somebody wants the connection."""
        return sum(value for name, value in self.of(peer, now).items() if name != STANDING)

    def of(self, peer: PeerId, now: float) -> dict[str, float]:
        """A peer's tags; those that have faded away are gone."""
        entry = self._find(peer, now)
        if entry is None:
            return {}
        left = {name: self._left(entry, name, now)[0] for name in entry.fading}
        for name, value in list(left.items()):
            if abs(value) < _NOTHING:
                del entry.fading[name], left[name]
        self._drop_if_empty(peer, entry)
        return entry.fixed | left

    def _left(self, entry: _Entry, name: str, now: float) -> tuple[float, float]:
        """What a fading tag is worth now, and since when it counts its time."""
        value, since = entry.fading.get(name, (0.0, now))
        left, took = self._kinds[name].fading.fade(value, max(0.0, now - since))
        return left, since + took

    # --- protection

    def protect(self, peer: PeerId, name: str, now: float) -> None:
        """Until `unprotect` with the same name. Raises LimitExceeded for one peer, or one name of it, too many."""
        names = self._protected.get(peer)
        if names is None:
            _check_room("protected peers", len(self._protected), self._limits.protected_peers, "protected_peers")
            names = self._protected[peer] = {}
            self._hold(peer, now)
        elif name not in names:
            _check_room(f"protections of {peer}", len(names), self._limits.tags_per_peer, "tags_per_peer")
        names[name] = None

    def unprotect(self, peer: PeerId, name: str, now: float) -> bool:
        """End what `protect` began; whether the peer is still protected, under another name."""
        names = self._protected.get(peer)
        if names is None:
            return False
        names.pop(name, None)
        if not names:
            del self._protected[peer]
            self._release(peer, now)
        return bool(names)

    def is_protected(self, peer: PeerId, name: str | None = None) -> bool:
        """Whether it is, under that name or any."""
        names = self._protected.get(peer)
        return names is not None and (name is None or name in names)

    # --- connections, and time

    def begin(self, now: float) -> None:
        """The clock starts here: all that was said before counts as said now."""
        for entry in (*self._held.values(), *self._others.values()):
            entry.forget_at = now + FORGET_AFTER
            entry.fading = {name: (value, now) for name, (value, _) in entry.fading.items()}

    def connected(self, peer: PeerId, now: float) -> None:
        """The peer has a connection: its tags last as long as that."""
        self._connected[peer] = None
        self._hold(peer, now)

    def disconnected(self, peer: PeerId, now: float) -> None:
        """The last connection of the peer is gone."""
        self._connected.pop(peer, None)
        self._release(peer, now)

    def _hold(self, peer: PeerId, now: float) -> None:
        entry = self._others.pop(peer, None)
        if entry is not None and now < entry.forget_at:
            self._held[peer] = entry

    def _release(self, peer: PeerId, now: float) -> None:
        entry = self._held.get(peer)
        if entry is not None and not self._is_held(peer):
            del self._held[peer]
            self._keep_for_a_while(peer, entry, now)

    # --- the table

    def _is_held(self, peer: PeerId) -> bool:
        return peer in self._connected or peer in self._protected

    def _find(self, peer: PeerId, now: float) -> _Entry | None:
        entry = self._others.get(peer)
        if entry is None:
            return self._held.get(peer)
        if now >= entry.forget_at:
            del self._others[peer]
            return None
        return entry

    def _drop_if_empty(self, peer: PeerId, entry: _Entry) -> None:
        if not (entry.fixed or entry.fading):
            self._held.pop(peer, None)
            self._others.pop(peer, None)

    def _entry(self, peer: PeerId, name: str, now: float) -> _Entry:
        """Where a tag of this name is put, which happens at once."""
        entry = self._find(peer, now)
        if entry is None:
            entry = _Entry()
        elif name not in entry.fixed and name not in entry.fading:
            count = len(entry.fixed) + len(entry.fading)
            _check_room(f"tags of {peer}", count, self._limits.tags_per_peer, "tags_per_peer")
        if self._is_held(peer):
            self._held[peer] = entry
        else:
            self._keep_for_a_while(peer, entry, now)
        return entry

    def _keep_for_a_while(self, peer: PeerId, entry: _Entry, now: float) -> None:
        entry.forget_at = now + FORGET_AFTER
        self._others[peer] = entry
        self._others.move_to_end(peer)
        for _ in range(2):  # the cost of a call stays constant, and yet the table shrinks faster than it grows
            oldest = next(iter(self._others), None)
            if oldest is None:
                return
            if now >= self._others[oldest].forget_at or len(self._others) > self._limits.tagged_peers:
                del self._others[oldest]


def _checked(value: float) -> float:
    if not isinstance(value, int | float) or not isfinite(value):
        raise LocalError(f"the value of a tag is a finite number, not {value!r}")
    return max(-LARGEST, min(LARGEST, value))


def _check_positive(value: float) -> None:
    if not (isinstance(value, int | float) and isfinite(value) and value >= _SMALLEST):
        raise LocalError(f"fading needs a number of at least {_SMALLEST}, not {value!r}")


def _check_room(scope: str, count: int, limit: int, setting: str) -> None:
    if count >= limit:
        raise LimitExceeded(scope, limit=limit, value=count + 1, setting=f"limits.{setting}")

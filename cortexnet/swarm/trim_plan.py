"""Which connections to close where there are more than the high watermark, and which have been idle for too long.

Nothing here closes anything: the plans are lists of positions in what was given, the first to be closed first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from cortexnet.swarm.manager_config import Watermarks


@final
@dataclass(slots=True)
class Held:
    """An open connection, as one looks at it who would close it. Control streams (identify, ping) are not counted."""

    value: float
    """What its peer is worth: the sum of its tags."""
    opened: float
    """When it was opened."""
    used: float
    """When its last stream ended, or else when it was opened."""
    streams: int = 0
    """Open ones."""
    is_needed: bool = False
    """Whether somebody wants it: the sum of the tags is above 0 also without that of reputation."""
    is_inbound: bool = False
    is_relayed: bool = False
    is_protected: bool = False


def trim(held: Sequence[Held], now: float, marks: Watermarks, *, grace: float) -> list[int]:
    """The connections to close where there are more than `marks.high`, down to `marks.low`; [] where there are not.

    Protected ones are never closed, nor those younger than `grace`. The latter do not count as held either when it comes to how
    many are closed: else a crowd of newcomers could push out all who were there before. So more than `low` may be left.
    """
    return surplus(held, now, marks.low, grace=grace) if len(held) > marks.high else []


def surplus(held: Sequence[Held], now: float, low: int, *, grace: float) -> list[int]:
    """The connections to close so that `low` are left, however many there are; see `trim`."""
    settled = [number for number, one in enumerate(held) if one.is_protected or now >= one.opened + grace]
    candidates = [number for number in settled if not held[number].is_protected]
    candidates.sort(key=lambda number: _worth(held[number]))
    return candidates[: max(0, len(settled) - low)]


def _worth(one: Held) -> tuple[float, bool, bool, bool, int, float]:
    """What comes first is closed first: of low value, idle, relayed, dialed by the peer, with few streams, and the youngest.

    Age comes last and decides all the same, since most values are equal: who has been there long was honest for long.
    """
    return (one.value, one.streams > 0, not one.is_relayed, not one.is_inbound, one.streams, -one.opened)


def next_trim(held: Sequence[Held], now: float, marks: Watermarks, *, grace: float) -> float | None:
    """When `trim`, which found nothing to close now, may find something though nobody comes or goes; None where it can't."""
    if len(held) <= marks.high:
        return None
    return min((due for one in held if not one.is_protected and (due := one.opened + grace) > now), default=None)


def idle(held: Sequence[Held], now: float, timeout: float) -> list[int]:
    """The connections without streams for `timeout` seconds whose peers are not protected, and worth nothing."""
    return [number for number, one in enumerate(held) if _may_idle_out(one) and now >= one.used + timeout]


def next_idle(held: Sequence[Held], timeout: float) -> float | None:
    """When `idle` may find something, if nothing happens before; None where it can't."""
    return min((one.used + timeout for one in held if _may_idle_out(one)), default=None)


def _may_idle_out(one: Held) -> bool:
    return not (one.streams or one.is_protected or one.is_needed)

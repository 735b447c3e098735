"""Which parts of the keyspace are known in full, and where the gaps are."""

from collections.abc import Sequence
from typing import final

from cortexnet.kad.routing.key import Prefix, common_prefix_length


def claim(spot: int, named: Sequence[int], k: int) -> Prefix | None:
    """What somebody who names the peers nearest to a spot says to know in full: all that is nearer than the farthest of them.

    None of one that names no more than half of what fits into an answer: it may know nobody else, or not want to tell.
    """
    if len(named) <= k // 2:
        return None
    farthest = max(position ^ spot for position in named)
    return Prefix.of(spot, common_prefix_length(farthest, 0) + 1)


@final
class Coverage:
    """Regions that are known."""

    def __init__(self) -> None:
        self._known: list[Prefix] = []

    def add(self, prefix: Prefix) -> None:
        """All of this is known."""
        if not any(known.covers(prefix) for known in self._known):
            self._known = [known for known in self._known if not prefix.covers(known)]
            self._known.append(prefix)

    def largest_gap(self, region: Prefix, depth: int, taken: Sequence[Prefix]) -> Prefix | None:
        """The first of the largest parts of a region that are neither known nor taken; one of more than `depth` bits is none."""
        gaps = [] if any(known.covers(region) for known in self._known) else [region]
        while gaps:
            for gap in gaps:
                if not any(gap.covers(known) for known in self._known) and not self._overlaps(gap, taken):
                    return gap
            gaps = [
                half
                for gap in gaps
                if gap.length < depth
                for half in gap.children()
                if not any(known.covers(half) for known in self._known)
            ]
        return None

    def _overlaps(self, gap: Prefix, taken: Sequence[Prefix]) -> bool:
        return any(gap.covers(other) or other.covers(gap) for other in taken)

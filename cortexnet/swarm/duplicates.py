"""Several connections to one peer: which one is used, and which are to go.

Two nodes that dial each other at the same moment end up with two connections, and each may only give up the one that the other
gives up too: else both are gone. So both keep what the peer with the smaller id has dialed. Where one side dialed several, that
side alone decides, and keeps the newest. A relayed connection is of no use beside a direct one.
"""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeVar


class Candidate(Protocol):
    """A connection, as far as this goes."""

    @property
    def direction(self) -> Literal["inbound", "outbound"]:
        """Who dialed: "outbound" is us."""

    @property
    def is_relayed(self) -> bool:
        """Whether it runs through a relay."""

    @property
    def stream_count(self) -> int:
        """How many streams are open."""


C = TypeVar("C", bound=Candidate)


def superfluous(candidates: Sequence[C], *, is_smaller: bool) -> list[C]:
    """Those of the open connections to one peer, the oldest first, that another one makes superfluous.

    `is_smaller` where our own peer id is less than the peer's, as bytes.
    """
    direct = [candidate for candidate in candidates if not candidate.is_relayed] if len(candidates) > 1 else []
    if not direct:
        return []
    staying = "outbound" if is_smaller else "inbound"
    group = [candidate for candidate in direct if candidate.direction == staying] or direct
    kept = group[-1:] if group[0].direction == "outbound" else group
    return [candidate for candidate in candidates if candidate not in kept]


def best(candidates: Sequence[C], *, is_smaller: bool) -> C | None:
    """The one for new streams: of those that stay, the one with most streams, then the newest. None where there is none."""
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    going = superfluous(candidates, is_smaller=is_smaller)
    ranked = [(candidate.stream_count, age) for age, candidate in enumerate(candidates) if candidate not in going]
    return candidates[max(ranked)[1]]

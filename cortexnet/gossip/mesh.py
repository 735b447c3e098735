"""Who belongs into the mesh of a topic: the choices alone, as functions of who there is and what each is worth.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.1, "Heartbeat" ff.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from random import Random

P = TypeVar("P")

BEST_SHARE = 0.25
"""Of the best score in a mesh, what a peer must have to be no stranger to it."""


def pick(candidates: Sequence[P], count: int, random: "Random") -> list[P]:
    """Up to `count` of them, any with the same chance."""
    if count <= 0:
        return []
    return random.sample(candidates, min(count, len(candidates)))


def surplus(
    mesh: Iterable[P],
    score: Callable[[P], float],
    is_outbound: Callable[[P], bool],
    *,
    target: int,
    best: int,
    outbound: int,
    random: "Random",
) -> list[P]:
    """Those who have to leave a mesh so that `target` stay.

    The `best` of highest score stay, and of the others whom chance picks: who has none of the best scores can't buy itself a
    place. At least `outbound` of those who stay are peers that we dialed, where there are as many: an attacker can make any
    number of connections to us, but none from us to it.
    """
    ranked = list(mesh)
    random.shuffle(ranked)  # else equal scores would stand in the order in which they came
    ranked.sort(key=score, reverse=True)
    others = ranked[best:]
    random.shuffle(others)
    ranked[best:] = others
    kept, rest = ranked[:target], ranked[target:]
    missing = outbound - sum(map(is_outbound, kept))
    for index, newcomer in enumerate(rest):
        if missing <= 0:
            break
        if is_outbound(newcomer):
            place = _last_inbound(kept, is_outbound)
            if place is None:
                break
            rest[index], kept[place] = kept[place], newcomer
            missing -= 1
    return rest


def _last_inbound(kept: Sequence[P], is_outbound: Callable[[P], bool]) -> int | None:
    for place in range(len(kept) - 1, -1, -1):
        if not is_outbound(kept[place]):
            return place
    return None


def is_proven(score: float, best: float) -> bool:
    """Whether a peer has shown something, compared with the best of the mesh. A remainder of what it once did is not enough: of
    those who did well until a moment ago any number may have stopped, and nobody outside of the mesh is expected to bring any.
    """
    return score >= best * BEST_SHARE if best > 0 else score > 0


def median(scores: Iterable[float]) -> float:
    """The upper one of two in the middle, as in go; there must be at least one."""
    ranked = sorted(scores)
    return ranked[len(ranked) // 2]


def gossip_count(candidates: int, *, lazy: int, factor: float) -> int:
    """To how many of those outside the mesh a heartbeat gossips."""
    return min(max(lazy, int(factor * candidates)), candidates)

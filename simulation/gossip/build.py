"""Networks to begin with."""

from collections.abc import Sequence

from simulation.gossip.member import Member
from simulation.gossip.settings import DIALS, PUBLISHERS
from simulation.gossip.world import World

STARTING = 1.0
"""Seconds within which all nodes of a network start."""


def grow(world: World, nodes: int, *, start: float = 0.0) -> None:
    """Have so many nodes start within a second from `start` on, each of which dials some of the others, whoever they are."""
    chance = world.simulation.chance("starts")
    for _ in range(nodes):
        world.simulation.at(start + chance.uniform(0.0, STARTING), world.join)
    world.simulation.at(start + STARTING, lambda: _connect(world))


def _connect(world: World) -> None:
    members = world.living()
    for member in members:
        world.dial_some(member, members, DIALS)


def authors(world: World) -> Sequence[Member]:
    """Those of the nodes that publish."""
    members = world.living()
    return world.simulation.chance("publishers").sample(members, max(1, round(PUBLISHERS * len(members))))

"""Networks that have been there for long, made from what is known of all their nodes."""

from simulation.engine import Simulation
from simulation.kad.census import Census
from simulation.kad.world import World
from simulation.latency import Constant, LogNormal
from simulation.network import Conditions, State

INTERNET = Conditions(latency=LogNormal(median=0.035, p99=0.2), loss=0.01)
"""One way: half of all pairs of nodes have a round trip below 70 ms, one in a hundred above 400 ms; one packet in 100 is lost."""
EVEN = Conditions(latency=Constant(0.025))
"""A round trip of 50 ms between any two."""


def settled(world: World, nodes: int) -> World:
    """The world with so many servers, whose tables are full."""
    world.census = Census([world.join() for _ in range(nodes)])
    return world


def with_dead(simulation: Simulation, world: World, share: float) -> None:
    """That share of all is dead, every other one silently; the tables of the others still have them."""
    peers = world.servers()
    for index, peer in enumerate(simulation.chance("dead").sample(peers, round(share * len(peers)))):
        world.leave(peer, State.SILENT if index % 2 else State.REFUSES)

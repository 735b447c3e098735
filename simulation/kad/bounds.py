"""What lookups cost at most, whatever the peers answer."""

from collections.abc import Callable
from typing import Final

from simulation.engine import Simulation
from simulation.kad.build import EVEN, settled
from simulation.kad.crowd import Endless, accomplices, inventor
from simulation.kad.peer import Behaviour
from simulation.kad.world import World
from simulation.latency import Constant
from simulation.network import Conditions, State
from simulation.report import Report, Settings

LOOKUPS: Final = 10
REQUESTS: Final = 200
SECONDS: Final = 60.0
SLOW: Final = Conditions(latency=Constant(0.9))
"""Each answer takes 7 s with its dial: just so that it counts yet."""

Hostile = Callable[[World], Behaviour | None]
"""Makes what all nodes do; None: they stay silent."""


def bounds(settings: Settings) -> Report:
    """Nobody in all the network is honest."""
    report = Report("bounds", settings)
    kinds: tuple[tuple[str, Conditions, Hostile], ...] = (
        ("all silent", EVEN, lambda world: None),
        ("all invent peers", EVEN, lambda world: inventor(world.simulation.chance("lies"), 6)),
        ("all name each other", EVEN, lambda world: accomplices([peer.contact for peer in world.servers()])),
        ("ever new peers, ever nearer", EVEN, _endless),
        ("ever new peers, and slow", SLOW, _endless),
    )
    for name, conditions, hostile in kinds:
        requests, seconds = list[float](), list[float]()
        for number in range(settings.times(LOOKUPS)):
            asked, took = _cost(Simulation(settings.seed * 1_009 + number), settings.nodes, conditions, hostile)
            requests.append(asked)
            seconds.append(took)
        report.add(f"{name}: requests, most", max(requests), goal=("<=", REQUESTS))
        report.add(f"{name}: virtual time, most", max(seconds), "s", ("<=", SECONDS))
    return report.close()


def _endless(world: World) -> Behaviour:
    return Endless(world.simulation.chance("lies"), lambda contact, behaviour: world.enter(contact, behaviour=behaviour))


def _cost(simulation: Simulation, nodes: int, conditions: Conditions, hostile: Hostile) -> tuple[int, float]:
    world = settled(World(simulation, conditions), nodes)
    behaviour = hostile(world)
    for peer in world.servers():
        peer.behaviour = behaviour
        if behaviour is None:
            world.leave(peer, State.SILENT)
    peer = world.newcomer()
    operation = world.core(peer).closest(b"\x12\x20" + simulation.chance("keys").randbytes(32), simulation.now)
    world.finish(peer, operation)
    return operation.progress.asked, simulation.now

"""The routing cache: what a second lookup of the same key costs, and what is left of the cache when its peers go."""

from typing import Final

from cortexnet.kad.routing.key import position
from simulation.engine import Simulation
from simulation.kad.build import INTERNET, settled
from simulation.kad.census import Census
from simulation.kad.world import World
from simulation.network import State
from simulation.report import Report, Settings

KEYS: Final = 200


def warm(settings: Settings) -> Report:
    """Each key is looked for twice by a newcomer; then half of the 20 nearest go, and it is looked for again."""
    report = Report("warm", settings)
    simulation = Simulation(settings.seed)
    world = settled(World(simulation, INTERNET), settings.nodes)
    chance = simulation.chance("keys")
    hops: tuple[list[float], list[float]] = ([], [])
    kept, right, number = 0, 0, settings.times(KEYS)
    for _ in range(number):
        key, peer = b"\x12\x20" + chance.randbytes(32), world.newcomer()
        dht = world.core(peer)
        for each in hops:
            operation = dht.closest(key, simulation.now)
            world.finish(peer, operation)
            each.append(operation.progress.hops)
        going = [world.peers[contact.peer_id] for contact in (dht.cache.get(key, simulation.now) or ())[:20:2]]
        for one in going:
            world.leave(one, State.REFUSES)
        given = world.finish(peer, dht.closest(key, simulation.now))
        simulation.run_for(world.config.request_timeout)  # who is far away and gone may be heard of after the lookup is over
        left = dht.cache.get(key, simulation.now) or ()
        kept += sum(world.peers[contact.peer_id].end.state is not State.UP for contact in left)
        right += bool(given) and given[0].peer_id == Census(world.servers()).nearest(position(key), 1)[0].peer_id
        for one in going:
            world.come_back(one)
    report.spread("hops of the first lookup", hops[0], "", {50: None, 100: None})
    report.spread("hops of the second lookup", hops[1], "", {50: 1, 100: 1})
    report.add("cached contacts left of those that went", kept, goal=("<=", 0))
    report.share("the nearest of those that stayed found", right, number, 99.0)
    return report.close(simulation)

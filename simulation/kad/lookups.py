"""Lookups: whether they find the true nearest, how many hops they take, and how long."""

from dataclasses import dataclass
from typing import final

from cortexnet.kad.routing.key import position
from simulation.engine import Simulation
from simulation.kad.build import EVEN, INTERNET, settled, with_dead
from simulation.kad.census import Census
from simulation.kad.world import World
from simulation.network import State
from simulation.report import Report, Settings

LOOKUPS = 1_000
NEEDED = 19
"""Of the true 20 nearest, how many a lookup must give where nobody is dead."""


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one lookup."""

    found: int
    """Of the true 20 nearest that are there."""
    has_nearest: bool
    """Whether the nearest of all is the first in what it gave."""
    has_dead: bool
    """Whether somebody is in it who is not there."""
    hops: int
    requests: int
    seconds: float


def look_up(world: World, truth: Census, key: bytes) -> Outcome:
    """A newcomer looks for the nearest to a key."""
    began = world.simulation.now
    peer = world.newcomer()
    operation = world.core(peer).closest(key, began)
    given = [contact.peer_id for contact in world.finish(peer, operation)]
    nearest = [near.peer_id for near in truth.nearest(position(key))]
    progress = operation.progress
    return Outcome(
        found=sum(each in given for each in nearest),
        has_nearest=given[:1] == nearest[:1],
        has_dead=any(world.peers[each].end.state is not State.UP for each in given),
        hops=progress.hops,
        requests=progress.asked,
        seconds=world.simulation.now - began,
    )


def run(world: World, number: int) -> list[Outcome]:
    """So many lookups of random keys, one after the other."""
    truth, chance = Census(world.servers()), world.simulation.chance("keys")
    return [look_up(world, truth, b"\x12\x20" + chance.randbytes(32)) for _ in range(number)]


def lookups(settings: Settings) -> Report:
    """Random keys, no churn: the nearest are found, in few hops. With a round trip of 50 ms between any two, and as far apart as
    nodes of the Internet are, where the few that are slower than nearly all others are not waited for."""
    report = Report("lookups", settings)
    for name, conditions, least in (("50 ms", EVEN, 99.9), ("Internet", INTERNET, None)):
        simulation = Simulation(settings.seed)
        outcomes = run(settled(World(simulation, conditions), settings.nodes), settings.times(LOOKUPS))
        good = sum(one.found >= NEEDED for one in outcomes)
        report.share(f"{name}: >= {NEEDED} of the true 20 nearest", good, len(outcomes), least)
        report.add(f"{name}: of the true 20, mean", sum(one.found for one in outcomes) / len(outcomes))
        report.spread(f"{name}: hops", [one.hops for one in outcomes], "", {50: 4, 90: 6})
        report.spread(f"{name}: requests", [one.requests for one in outcomes], "", {50: None, 100: 200})
        report.spread(f"{name}: virtual time", [one.seconds for one in outcomes], "s", {50: None, 99: None, 100: 60})
    return report.close(simulation)


def dead(settings: Settings) -> Report:
    """30 % and 50 % of the contacts in all tables are dead; half of these refuse, half stay silent. A lookup has succeeded that
    gives 20 peers, all of which are there, and first of them the nearest. Who is behind the dead ones is found less often: each
    answer has 20 peers, and nobody removes the dead here."""
    report = Report("dead", settings)
    simulation = Simulation(settings.seed)
    for share, least in ((0.3, 99.5), (0.5, 99.0)):
        simulation = Simulation(settings.seed)
        world = settled(World(simulation, EVEN), settings.nodes)
        with_dead(simulation, world, share)
        outcomes = run(world, settings.times(LOOKUPS))
        name = f"{share:.0%} dead"
        good = sum(one.has_nearest and not one.has_dead for one in outcomes)
        report.share(f"{name}: lookups that succeed", good, len(outcomes), least)
        report.add(f"{name}: of the true 20, mean", sum(one.found for one in outcomes) / len(outcomes))
        report.spread(f"{name}: virtual time", [one.seconds for one in outcomes], "s", {50: None, 99: 5})
        report.spread(f"{name}: requests", [one.requests for one in outcomes], "", {50: None, 100: 200})
    return report.close(simulation)

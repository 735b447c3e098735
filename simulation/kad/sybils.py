"""Attacks on one key, and on everybody: an honest provider announces itself, and somebody else looks for it."""

from collections.abc import Callable
from typing import Final

from cortexnet.kad.routing.key import position
from simulation.engine import Simulation
from simulation.kad.build import EVEN
from simulation.kad.census import Census
from simulation.kad.crowd import accomplices, ground, inventor
from simulation.kad.peer import Peer
from simulation.kad.world import SUBNETS, World
from simulation.report import Report, Settings

RUNS: Final = 200
SYBILS: Final = 20
LIARS: Final = 0.25

Attack = Callable[[World, int], list[Peer]]
"""Makes the attacker's nodes, before anybody has a table, for a position."""


def crowded(subnets: int) -> Attack:
    """20 nodes with ids made for the key, in so many networks, who are all in everybody's table where these take them."""

    def attack(world: World, target: int) -> list[Peer]:
        chance = world.simulation.chance("attack")
        places = chance.sample(range(SUBNETS), subnets)
        ids = ground(chance, target, SYBILS)
        sybils = [world.join(peer_id=each, subnet=places[number % subnets]) for number, each in enumerate(ids)]
        behaviour = accomplices([sybil.contact for sybil in sybils])
        for sybil in sybils:
            sybil.behaviour = behaviour
        return sybils

    return attack


def lying(world: World, target: int) -> list[Peer]:
    """A quarter of all nodes: half of these name only each other, half name peers that are nowhere."""
    chance = world.simulation.chance("attack")
    peers = world.servers()
    liars = chance.sample(peers, round(LIARS * len(peers)))
    behaviours = accomplices([liar.contact for liar in liars]), inventor(chance, 4)
    for index, liar in enumerate(liars):
        liar.behaviour = behaviours[index % 2]
    return liars


def is_found(settings: Settings, number: int, attack: Attack) -> tuple[bool, int]:
    """One run in a network of its own: whether somebody finds the provider, and how many requests both sides took."""
    simulation = Simulation(settings.seed * 1_000_003 + number)
    world = World(simulation, EVEN)
    key = b"\x12\x20" + simulation.chance("keys").randbytes(32)
    honest = [world.join() for _ in range(settings.nodes)]
    attack(world, position(key))
    world.census = Census(world.servers())
    good = [peer for peer in honest if peer.behaviour is None]
    provider, seeker = simulation.chance("roles").sample(good, 2)
    world.finish(provider, world.core(provider).provide(key, simulation.now))
    found = world.finish(seeker, world.core(seeker).find_providers(key, simulation.now))
    return any(contact.peer_id == provider.peer_id for contact in found), sum(world.requests.values())


def sybils(settings: Settings) -> Report:
    """20 ids ground for the key, in one network and in 20; and a quarter of all nodes lying about everything."""
    report = Report("sybils", settings)
    runs = settings.times(RUNS)
    attacks: tuple[tuple[str, Attack, float], ...] = (
        ("20 sybils in one subnet", crowded(1), 99.0),
        ("20 sybils in 20 subnets", crowded(SYBILS), 95.0),
        ("25 % lying peers", lying, 99.0),
    )
    for name, attack, least in attacks:
        outcomes = [is_found(settings, number, attack) for number in range(runs)]
        report.share(f"{name}: provider found", sum(is_good for is_good, _ in outcomes), runs, least)
        report.add(f"{name}: requests of both", sum(requests for _, requests in outcomes) / runs)
    return report.close()

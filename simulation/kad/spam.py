"""A million announcements of nobody's content to one node: what it keeps of them, and of honest ones."""

from typing import Final

from bench.cortexnet_peer import resident
from cortexnet.kad.contact import Contact
from cortexnet.kad.messages import Message, Type
from simulation.engine import Simulation
from simulation.kad.build import EVEN
from simulation.kad.peer import Peer
from simulation.kad.world import World
from simulation.report import Report, Settings

ANNOUNCEMENTS: Final = 1_000_000
HONEST: Final = 200
NETWORKS: Final = 64
"""Of the attacker."""
IDS: Final = 4_096
MIB: Final = 1 << 20


def spam(settings: Settings) -> Report:
    """Half of the announcements come from a few thousand ids, half each from a new one; all from 64 networks. Honest providers
    have announced themselves before, and do so in the midst of it."""
    report = Report("spam", settings)
    simulation = Simulation(settings.seed)
    world = World(simulation, EVEN)
    server, chance = world.join(), simulation.chance("spam")
    dht, number = world.core(server), settings.times(ANNOUNCEMENTS)
    honest = [world.join() for _ in range(HONEST)]
    for peer in honest[: HONEST // 2]:
        _announce(world, server, peer.contact, _key(peer))
    places = chance.sample(range(1 << 14), NETWORKS)
    crowd = [world.join(subnet=places[index % NETWORKS]) for index in range(min(IDS, number))]
    before = resident() or 0
    for count in range(number):
        if count == number // 2:
            for peer in honest[HONEST // 2 :]:
                _announce(world, server, peer.contact, _key(peer))
        liar = crowd[count % len(crowd)] if count < number // 2 else world.join(subnet=places[count % NETWORKS])
        _announce(world, server, liar.contact, b"\x12\x20" + chance.randbytes(32))
        if count >= number // 2:
            world.forget(liar)
    found = 0
    for peer in honest:
        answer = dht.answer(crowd[0].peer_id, Message(Type.GET_PROVIDERS, _key(peer)), simulation.now, simulation.unix_now)
        found += answer is not None and any(contact.peer_id == peer.peer_id for contact in answer.providers)
    report.add("announcements", number)
    report.share("honest providers found after them", found, HONEST, 99.0)
    report.add("records kept", len(dht.providers))
    report.add("memory by the node's own count", dht.providers.memory / MIB, "MiB", ("<=", 32))
    report.measure("growth of the process", max(0.0, ((resident() or 0) - before) / MIB), "MiB", ("<=", 32))
    return report.close()


def _announce(world: World, server: Peer, contact: Contact, key: bytes) -> None:
    world.core(server).answer(
        contact.peer_id, Message(Type.ADD_PROVIDER, key, providers=(contact,)), world.simulation.now, world.simulation.unix_now
    )


def _key(peer: Peer) -> bytes:
    return b"\x12\x20" + bytes(peer.peer_id)[2:][::-1]

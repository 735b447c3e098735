"""A million announcements of nobody's content to one node: what it keeps of them, and of honest ones."""

import gc
from random import Random
from typing import Final, final

from bench.cortexnet_peer import resident
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.dht import Dht
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.engine import Filters
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.records.records import Validators
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.diversity import groups_of
from simulation.engine import Simulation
from simulation.kad.world import SUBNETS, random_address, random_id
from simulation.report import Report, Settings

ANNOUNCEMENTS: Final = 1_000_000
HONEST: Final = 200
NETWORKS: Final = 64
"""Of the attacker."""
IDS: Final = 4_096
MIB: Final = 1 << 20


@final
class _Server:
    """One node, to which anybody may announce anything."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self._sender: tuple[str, ...] = ()
        own = Contact(random_id(simulation.chance("own")))
        self.dht = Dht(
            lambda: own,
            config=DhtConfig(),
            random=simulation.chance("node"),
            validators=Validators({}),
            filters=Filters(group_of=lambda peer_id: self._sender[0]),
        )

    def announce(self, contact: Contact, key: bytes) -> None:
        """Over the wire: what is kept of a message that was read takes less than what it was made from."""
        self._sender = groups_of(contact.addresses)
        self._answer(contact.peer_id, Message.decode(Message(Type.ADD_PROVIDER, key, providers=(contact,)).encode()))

    def knows(self, contact: Contact, key: bytes) -> bool:
        """Whether somebody who asks hears of this provider."""
        answer = self._answer(contact.peer_id, Message(Type.GET_PROVIDERS, key))
        return answer is not None and any(provider.peer_id == contact.peer_id for provider in answer.providers)

    def _answer(self, sender: PeerId, message: Message) -> Message | None:
        return self.dht.answer(sender, message, self.simulation.now, self.simulation.unix_now)


def spam(settings: Settings) -> Report:
    """The first half of the announcements comes from a few thousand ids, of the second each from a new one; all from 64 networks.
    Honest providers have announced themselves before, and do so in the midst of it."""
    report = Report("spam", settings)
    simulation = Simulation(settings.seed)
    server, chance, number = _Server(simulation), simulation.chance("spam"), settings.times(ANNOUNCEMENTS)
    honest = [Contact(random_id(chance), (random_address(chance),)) for _ in range(HONEST)]
    places = chance.sample(range(SUBNETS), NETWORKS)
    crowd = [_contact(chance, places[index % NETWORKS]) for index in range(min(IDS, number))]
    before = resident() or 0
    for count in range(number):
        if count in (0, number // 2):
            for contact in honest[: HONEST // 2] if count == 0 else honest[HONEST // 2 :]:
                server.announce(contact, _key(contact))
        is_new = count >= number // 2
        liar = _contact(chance, places[count % NETWORKS]) if is_new else crowd[count % len(crowd)]
        server.announce(liar, b"\x12\x20" + chance.randbytes(32))
    gc.collect()
    after = resident() or 0
    report.add("announcements", number)
    found = sum(server.knows(contact, _key(contact)) for contact in honest)
    report.share("honest providers found after them", found, HONEST, 99.0)
    report.add("records kept", len(server.dht.providers))
    report.add("memory by the node's own count", server.dht.providers.memory / MIB, "MiB", ("<=", 32))
    report.measure("growth of the process", max(0.0, (after - before) / MIB), "MiB", ("<=", 32))
    return report.close()


def _contact(chance: Random, subnet: int) -> Contact:
    return Contact(random_id(chance), (random_address(chance, subnet),))


def _key(contact: Contact) -> bytes:
    return b"\x12\x20" + bytes(contact.peer_id)[2:][::-1]

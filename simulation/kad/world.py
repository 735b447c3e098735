"""A network of DHT nodes: joins them, carries the actions of their cores, and knows the truth about them.

Requests and answers go from core to core as objects: what they are as bytes is held by the tests of the package. What takes time
is the way, and the dial where two are not connected yet; connections are kept as long as both are there.
"""

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar, final

from cortexnet.errors import RemoteError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.dht import Dht
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.actions import ContactsWanted, Send
from cortexnet.kad.engine.engine import Filters
from cortexnet.kad.engine.operation import Operation
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.records.records import Validators
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.diversity import Diversity, groups_of
from cortexnet.multiformats.multiaddr import Multiaddr
from simulation.engine import Simulation
from simulation.kad.peer import Behaviour, Peer
from simulation.network import Conditions, Network, State
from simulation.wakeups import Wakeups

if TYPE_CHECKING:
    from simulation.kad.census import Census

Result = TypeVar("Result")

BOOTSTRAP: Final = 3
"""Peers that a newcomer is told of."""
_OCTETS = (*range(74, 100), *range(101, 127), *range(128, 169))  # where a /16 is a network of its own, and none is private
SUBNETS: Final = len(_OCTETS) << 8
"""Networks that nodes are in (IPv4 /16), by a number."""
_OPERATION_LIMIT = 600.0


class AnyValue:
    """A namespace whose values are all valid, and equally good."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """Nothing is wrong."""

    def select(self, key: bytes, values: object) -> int:
        """The first."""
        return 0


@final
class World:
    """The nodes of one DHT. With a `census`, cores are made when they are needed first, with full tables."""

    def __init__(self, simulation: Simulation, conditions: Conditions, config: DhtConfig | None = None) -> None:
        self.simulation = simulation
        self.network = Network(simulation, conditions)
        self.config = config or DhtConfig()
        self.peers: dict[PeerId, Peer] = {}
        """Everybody there is or was, the latest of each id."""
        self._living: dict[int, Peer] = {}
        self._groups: dict[int, tuple[str, ...]] = {}  # by position, which is found faster than an id
        self.census: Census | None = None
        self.requests: dict[Type, int] = {}
        """Sent so far, by kind."""
        self._chance = simulation.chance("ids")
        self._bootstrap = simulation.chance("bootstrap")
        self._validators = Validators({"n": AnyValue(), "cx": AnyValue()})
        self._filters = Filters(groups_of=self.groups, admit=self.groups, group_of=self._group)

    # Nodes

    def join(self, *, peer_id: PeerId | None = None, subnet: int | None = None, is_server: bool = True) -> Peer:
        """A new node somewhere on the Internet, or in one of the `SUBNETS`."""
        chance = self._chance
        address = random_address(chance, subnet)
        return self.enter(Contact(peer_id if peer_id is not None else random_id(chance), (address,)), is_server=is_server)

    def enter(self, contact: Contact, *, is_server: bool = True, behaviour: Behaviour | None = None) -> Peer:
        """A new node with this contact."""
        wakeups = Wakeups(self.simulation, lambda: self._wake(peer))
        peer = Peer(self.network.join(), contact, groups_of(contact.addresses), is_server=is_server, wakeups=wakeups)
        peer.behaviour = behaviour
        self.peers[contact.peer_id] = peer
        self._living[peer.end.number] = peer
        self._groups[contact.position] = peer.groups
        return peer

    def newcomer(self) -> Peer:
        """A client that was never seen before, with a table like everybody's; others do not know it."""
        return self.join(is_server=False)

    def core(self, peer: Peer) -> Dht:
        """The core of a node."""
        if peer.dht is None:
            random = self.simulation.chance(f"node {peer.end.number}")
            peer.dht = Dht(
                lambda: peer.contact,
                config=self.config,
                random=random,
                validators=self._validators,
                filters=self._filters,
                diversity=Diversity(),
            )
            peer.dht.set_clock(self.simulation.now, self.simulation.unix_now)
            if self.census is not None:
                self.census.fill(peer.dht.table, random, self.simulation.now)
        return peer.dht

    def start(self, peer: Peer) -> None:
        """Begin its upkeep."""
        self.core(peer).start(self.simulation.now, self.simulation.unix_now)
        self.drain(peer)

    def leave(self, peer: Peer, state: State) -> None:
        """It is gone, without a word. Its core is no more."""
        self.network.leave(peer.end, state)
        self._living.pop(peer.end.number, None)
        peer.wakeups.clear()
        peer.dht = None

    def come_back(self, peer: Peer) -> None:
        """One that has left is there again, with a new core."""
        peer.end.state = State.UP
        self._living[peer.end.number] = peer

    def groups(self, contact: Contact) -> tuple[str, ...]:
        """The networks that a contact is in."""
        groups = self._groups.get(contact.position)
        return groups_of(contact.addresses) if groups is None else groups

    def _group(self, peer_id: PeerId) -> str | None:
        peer = self.peers.get(peer_id)
        return peer.groups[0] if peer is not None and peer.groups else None

    # Time

    def finish(self, peer: Peer, operation: Operation[Result]) -> Result:
        """Let time pass until an operation is over. Raises what it raises; LocalError where it does not end in ten minutes."""
        self.drain(peer)
        self.simulation.run_while(lambda: not operation.is_done, until=self.simulation.now + _OPERATION_LIMIT)
        return operation.result()

    def drain(self, peer: Peer) -> None:
        """Carry out what a node wants done; to be called after each call of its core."""
        dht = peer.dht
        if dht is None:
            return
        for action in dht.take_actions():
            if type(action) is Send:
                self._send(peer, action)
            elif type(action) is ContactsWanted:
                self._bring_contacts(peer, action)
        peer.wakeups.set(dht.next_timeout())

    def _wake(self, peer: Peer) -> None:
        if peer.dht is not None:
            peer.dht.handle_timeout(self.simulation.now)
            self.drain(peer)

    # Requests

    def _send(self, peer: Peer, send: Send) -> None:
        kind = send.message.type
        self.requests[kind] = self.requests.get(kind, 0) + 1
        target = self.peers.get(send.contact.peer_id)
        if target is None:
            self.simulation.after(2 * self.network.typical_latency, lambda: self._fail(peer, send))
            return
        sent_at = self.simulation.now
        self.network.send(
            peer.end,
            target.end,
            0,
            lambda: self._arrive(peer, target, send, sent_at),
            lost=lambda: self._lost(peer, target, send, sent_at),
            wait=self.network.dial_time(peer.end, target.end) if target.end.state is State.UP else 0.0,
        )

    def _lost(self, peer: Peer, target: Peer, send: Send, sent_at: float) -> None:
        """The target is not there: one hears so at once, or waits in vain."""
        if target.end.state is State.REFUSES:
            self.simulation.after(self.network.latency(peer.end, target.end), lambda: self._fail(peer, send))
        else:
            self.simulation.at(sent_at + send.timeout, lambda: self._fail(peer, send))

    def _arrive(self, peer: Peer, target: Peer, send: Send, sent_at: float) -> None:
        if peer.end.state is not State.UP:
            return
        now = self.simulation.now
        self.meet(peer, target)
        answer: Message | None = None
        is_answered = target.is_server
        if is_answered:
            try:
                if target.behaviour is not None:
                    answer = target.behaviour(peer.peer_id, send.message)
                else:
                    answer = self.core(target).answer(peer.peer_id, send.message, now, self.simulation.unix_now)
            except RemoteError:
                is_answered = False
        if not send.expects_answer or is_answered:
            self.network.send(target.end, peer.end, 0, lambda: self._answer(peer, send, answer, sent_at))
        else:
            self.network.send(target.end, peer.end, 0, lambda: self._fail(peer, send))

    def _answer(self, peer: Peer, send: Send, answer: Message | None, sent_at: float) -> None:
        if peer.dht is not None:
            now = self.simulation.now
            peer.dht.on_answer(send.id, answer if send.expects_answer else None, now, now - sent_at)
            self.drain(peer)

    def _fail(self, peer: Peer, send: Send) -> None:
        if peer.dht is not None:
            peer.dht.on_failure(send.id, self.simulation.now)
            self.drain(peer)

    # Acquaintances

    def meet(self, one: Peer, other: Peer) -> None:
        """They have a connection, and each has identified the other where it is new."""
        if self.network.connect(one.end, other.end):
            for peer, stranger in ((one, other), (other, one)):
                if peer.behaviour is None:
                    self.core(peer).candidate(stranger.contact, stranger.is_server, self.simulation.now)
                    self.drain(peer)

    def _bring_contacts(self, peer: Peer, wanted: ContactsWanted) -> None:
        """What a service does: offer those connected to, and dial some that it was told of where there is nobody."""
        now = self.simulation.now
        for number in list(peer.end.connected):
            other = self._living[number]
            self.core(peer).candidate(other.contact, other.is_server, now)
        if wanted.is_empty:
            living = self.servers()
            for other in self._bootstrap.sample(living, min(BOOTSTRAP, len(living))):
                if other is not peer:
                    dial = self.network.dial_time(peer.end, other.end)
                    self.simulation.after(dial, partial(self._dialed, peer, other))

    def _dialed(self, peer: Peer, other: Peer) -> None:
        if peer.end.state is State.UP and other.end.state is State.UP:
            self.meet(peer, other)

    def servers(self) -> list[Peer]:
        """All servers that are there."""
        return [peer for peer in self._living.values() if peer.is_server]


def random_id(chance: Random) -> PeerId:
    """An id as of an RSA key: the hash of something."""
    return PeerId(b"\x12\x20" + chance.randbytes(32))


def random_address(chance: Random, subnet: int | None = None) -> Multiaddr:
    """Somewhere on the Internet, or in one of the `SUBNETS`."""
    subnet = chance.randrange(SUBNETS) if subnet is None else subnet
    host = chance.getrandbits(16)
    return Multiaddr.parse(f"/ip4/{_OCTETS[subnet >> 8]}.{subnet & 255}.{host >> 8}.{host & 255}/tcp/4001")

"""A network of gossip routers, and of those who attack them."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, final
from zlib import crc32

from cortexnet.gossip.message import Message
from cortexnet.gossip.messages import Rpc
from cortexnet.identity.peer_id import PeerId
from simulation.engine import Simulation
from simulation.gossip.ledger import Ledger
from simulation.gossip.member import Member
from simulation.gossip.settings import BANDWIDTH, DIALS, INTERNET, PAYLOAD, RATE, TOPIC
from simulation.network import Conditions, End, Network, State

if TYPE_CHECKING:
    from cortexnet.gossip.config import GossipConfig
    from simulation.gossip.party import Party

_RPC_OVERHEAD = 40  # bytes of a frame besides what is counted: its length, the muxer's and the channel's
_ENTRY_OVERHEAD = 4
_TOPIC_ENTRY = len(TOPIC) + _ENTRY_OVERHEAD


@final
class World:
    """Who there is, and what passes between them. `members` are the honest nodes, those that left included."""

    def __init__(self, simulation: Simulation, config: "GossipConfig", conditions: Conditions = INTERNET) -> None:
        self.simulation = simulation
        self.network = Network(simulation, conditions)
        self.config = config
        self.parties: dict[PeerId, Party] = {}
        self.members: list[Member] = []
        self.ledger = Ledger()
        self.course = 0
        """A checksum of everything that was delivered, and of every change of a mesh, with its time."""
        self.bytes_sent = 0
        self.unheard = 0
        """RPCs to peers who do not listen to such."""
        self._identities = simulation.chance("identities")
        self._payloads = simulation.chance("payloads")
        self._dials = simulation.chance("dials")

    # Who there is

    def identity(self) -> PeerId:
        """A new one, as of an RSA key."""
        return PeerId(b"\x12\x20" + self._identities.randbytes(32))

    def end(self) -> End:
        """A place in the network."""
        return self.network.join(bandwidth=BANDWIDTH)

    def join(self) -> Member:
        """A new honest node without connections, which has joined the topic."""
        member = Member(self, len(self.members), self.identity(), self.end(), self.config)
        self.members.append(member)
        self.parties[member.peer_id] = member
        return member

    def admit(self, party: "Party") -> None:
        """Somebody else is there."""
        self.parties[party.peer_id] = party

    def living(self) -> list[Member]:
        """The honest nodes that are there."""
        return [member for member in self.members if member.is_up]

    # Connections

    def link(self, dialer: "Party", target: "Party") -> None:
        """They are connected, at once. Nothing where they are, or where one of them has left."""
        if target.peer_id in dialer.links or dialer is target or not (dialer.is_up and target.is_up):
            return
        dialer.links[target.peer_id] = target
        target.links[dialer.peer_id] = dialer
        dialer.met(target, outbound=True)
        target.met(dialer, outbound=False)

    def dial(self, dialer: "Party", peer_id: PeerId) -> None:
        """Connect, which takes some round trips."""
        target = self.parties.get(peer_id)
        if target is not None:
            self.simulation.after(self.network.dial_time(dialer.end, target.end), partial(self.link, dialer, target))

    def dial_some(self, member: Member, among: Sequence["Party"], count: int = DIALS) -> None:
        """Dial so many of these."""
        for target in self._dials.sample(among, min(count, len(among))):
            if target is not member:
                self.dial(member, target.peer_id)

    def part(self, one: "Party", other: "Party") -> None:
        """Close a connection."""
        if one.links.pop(other.peer_id, None) is not None:
            del other.links[one.peer_id]
            one.lost(other.peer_id)
            other.lost(one.peer_id)

    def leave(self, party: "Party", *, silently_for: float = 0.0) -> None:
        """It is gone. Those connected to it notice after a moment: its machine closes the connections, unless it has gone
        `silently_for` a while, as a machine without power has; then they are found out to be dead."""
        party.end.state = State.REFUSES
        for other in party.links.values():
            delay = silently_for + self.network.latency(party.end, other.end)
            self.simulation.after(delay, partial(self._noticed, other, party.peer_id))
        party.links.clear()

    def _noticed(self, party: "Party", peer_id: PeerId) -> None:
        party.links.pop(peer_id, None)
        if party.is_up:
            party.lost(peer_id)

    # What passes between them

    def carry(self, source: "Party", peers: Sequence[PeerId], rpc: Rpc) -> None:
        """Send an RPC to each of these, as far as they are still connected."""
        size = 0
        for peer_id in peers:
            target = source.links.get(peer_id)
            if target is None:
                continue
            if not target.wants(rpc):
                self.unheard += 1
                continue
            size = size or size_of(rpc)
            self.bytes_sent += size
            self.network.send(source.end, target.end, size, partial(self._arrive, source, target, rpc))

    def _arrive(self, source: "Party", target: "Party", rpc: Rpc) -> None:
        if source.peer_id in target.links:
            target.hear(source.peer_id, rpc)

    # Messages

    def message(self, author: PeerId, *, size: int = PAYLOAD) -> Message:
        """A new message of somebody's, whose signature nobody looks at."""
        seqno = self._payloads.randbytes(8)
        message = Message.build(TOPIC, bytes(size), author=bytes(author), seqno=seqno, signature=bytes(64))
        message.id = bytes(author) + seqno
        return message

    def publish(self, member: Member) -> None:
        """An honest node publishes a new message."""
        message = self.message(member.peer_id)
        self.ledger.open(message.id, self.simulation.now, len(self.members))
        member.publish(message)

    def publish_regularly(self, authors: Sequence[Member], *, start: float, count: int, rate: float = RATE) -> None:
        """From `start` on, one of the authors after the other publishes, at even intervals; who has left is passed over."""
        chance = self.simulation.chance("authors")

        def post() -> None:
            living = [author for author in authors if author.is_up]
            if living:
                self.publish(chance.choice(living))

        for number in range(count):
            self.simulation.at(start + number / rate, post)

    def delivered(self, member: Member, message_id: bytes) -> None:
        """A message has come to a node."""
        self.ledger.delivered(member.number, message_id, self.simulation.now)
        self.note(b"message", member.number, message_id, 0)

    def note(self, what: bytes, number: int, identity: bytes, detail: int) -> None:
        """Into the checksum with it."""
        line = b"%b %d %d %.6f %b" % (what, number, detail, self.simulation.now, identity)
        self.course = crc32(line, self.course)


def size_of(rpc: Rpc) -> int:
    """About as many bytes as it has on the wire."""
    size = _RPC_OVERHEAD + _TOPIC_ENTRY * len(rpc.subscriptions) + sum([len(message.wire) for message in rpc.messages])
    control = rpc.control
    if control is not None:
        ids = [*control.iwant, *control.idontwant]
        for entry in control.ihave:
            size += _TOPIC_ENTRY
            ids += entry.ids
        size += sum(map(len, ids)) + _ENTRY_OVERHEAD * len(ids)
        size += _TOPIC_ENTRY * len(control.graft)
        for prune in control.prune:
            size += _TOPIC_ENTRY + sum([len(peer.peer_id) + len(peer.record) + 2 * _ENTRY_OVERHEAD for peer in prune.peers])
    return size

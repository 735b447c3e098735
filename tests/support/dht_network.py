"""A network of Dht cores on virtual time: an event heap, a latency, and nodes that may refuse, stay silent, or lie."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import Any, TypeVar

from cortexnet.errors import InvalidRecord, RemoteError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.dht import Dht
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.actions import Cancel, ContactsWanted, Send
from cortexnet.kad.engine.operation import Operation
from cortexnet.kad.messages import Message, Type
from cortexnet.kad.records.records import Validators
from cortexnet.kad.routing.contact import Contact
from cortexnet.multiformats.multiaddr import Multiaddr

UNIX_START = 1_700_000_000.0
Result = TypeVar("Result")
Liar = Callable[[PeerId, Message], Message | None]


class Highest:
    """A namespace whose values are numbers; the highest is the best."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        if not value.isdigit():
            raise InvalidRecord("not a number")

    def select(self, key: bytes, values: Iterable[bytes]) -> int:
        numbers = [int(value) for value in values]
        return numbers.index(max(numbers))


def validators() -> Validators:
    return Validators({"n": Highest(), "cx": Highest()})


def random_peer_id(random: Random) -> PeerId:
    return PeerId(b"\x12\x20" + random.randbytes(32))


@dataclass(eq=False)
class SimNode:
    """One node. `state` is "up", "refusing" (dials fail at once), or "silent" (nothing comes back)."""

    contact: Contact
    dht: Dht
    is_server: bool = True
    state: str = "up"
    liar: Liar | None = None
    met: dict[PeerId, None] = field(default_factory=dict)
    armed: float | None = None
    served: dict[Type, int] = field(default_factory=dict)

    @property
    def peer_id(self) -> PeerId:
        return self.contact.peer_id


class DhtNetwork:
    """Carries the actions of its nodes; `run_until` lets time pass."""

    def __init__(self, seed: int = 1, *, config: DhtConfig | None = None, latency: float = 0.025) -> None:
        self.random = Random(seed)
        self.config = config if config is not None else DhtConfig()
        self.latency = latency
        self.now = 0.0
        self.nodes: dict[PeerId, SimNode] = {}
        self.sent: dict[Type, int] = {}
        self.duplicates = False
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._cancelled: dict[tuple[PeerId, int], None] = {}

    # Building

    def add(self, *, is_server: bool = True, start: bool = True, peer_id: PeerId | None = None, **options: Any) -> SimNode:
        number = len(self.nodes) + 1
        address = Multiaddr.parse(f"/ip4/10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}/tcp/4001")
        contact = Contact(peer_id or random_peer_id(self.random), (address,))
        options.setdefault("config", self.config)
        options.setdefault("validators", validators())
        dht = Dht(lambda: contact, random=Random(self.random.getrandbits(64)), **options)
        node = SimNode(contact, dht, is_server)
        self.nodes[contact.peer_id] = node
        if start:
            dht.start(self.now, UNIX_START + self.now)
            self.drain(node)
        return node

    def build(self, count: int, *, seconds: float = 120.0) -> list[SimNode]:
        """Servers that join one after another through the first ones, and have settled."""
        nodes = []
        for number in range(count):
            node = self.add()
            for other in self.random.sample(nodes[:20], min(3, len(nodes[:20]))):
                self.introduce(node, other)
            nodes.append(node)
            self.run_for(0.2)
            del number
        self.run_for(seconds)
        return nodes

    def introduce(self, a: SimNode, b: SimNode) -> None:
        """They are connected, and have identified each other."""
        for one, other in ((a, b), (b, a)):
            one.met[other.peer_id] = None
            one.dht.candidate(other.contact, other.is_server, self.now)
            self.drain(one)

    # Time

    def at(self, time: float, call: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._heap, (time, self._count, call))

    def run_until(self, time: float) -> None:
        while self._heap and self._heap[0][0] <= time:
            self.now, _, call = heappop(self._heap)
            call()
        self.now = time

    def run_for(self, seconds: float) -> None:
        self.run_until(self.now + seconds)

    def finish(self, node: SimNode, operation: Operation[Result], *, limit: float = 120.0) -> Result:
        """Run until the operation is over; its result."""
        self.drain(node)
        end = self.now + limit
        while not operation.is_done and self._heap and self._heap[0][0] <= end:
            self.now, _, call = heappop(self._heap)
            call()
        return operation.result()

    # Carrying

    def drain(self, node: SimNode) -> None:
        """Carry out what a node wants done."""
        for action in node.dht.take_actions():
            if isinstance(action, Send):
                self._send(node, action)
            elif isinstance(action, Cancel):
                self._cancelled[node.peer_id, action.id] = None
            else:
                assert isinstance(action, ContactsWanted)
        self._arm(node)

    def _arm(self, node: SimNode) -> None:
        due = node.dht.next_timeout()
        if due is not None and (node.armed is None or due < node.armed):
            node.armed = max(due, self.now)
            self.at(node.armed, lambda: self._wake(node, due))

    def _wake(self, node: SimNode, due: float) -> None:
        if node.armed is None or self.now < node.armed or node.state == "gone":
            return
        node.armed = None
        if (next_due := node.dht.next_timeout()) is not None and next_due <= self.now:
            node.dht.handle_timeout(self.now)
        self.drain(node)

    def _send(self, node: SimNode, send: Send) -> None:
        kind = send.message.type
        self.sent[kind] = self.sent.get(kind, 0) + 1
        target = self.nodes.get(send.contact.peer_id)
        sent_at = self.now
        if target is None or target.state in ("refusing", "gone"):
            self.at(self.now + 2 * self.latency, lambda: self._fail(node, send))
        elif target.state == "silent":
            self.at(self.now + send.timeout, lambda: self._fail(node, send))
        else:
            self.at(self.now + self.latency, lambda: self._arrive(node, target, send, sent_at))

    def _arrive(self, node: SimNode, target: SimNode, send: Send, sent_at: float) -> None:
        if target.peer_id not in node.met:
            node.met[target.peer_id] = target.met[node.peer_id] = None
            for one, other in ((node, target), (target, node)):
                one.dht.candidate(other.contact, other.is_server, self.now)
                self.drain(one)
        if not target.is_server:
            self.at(self.now + self.latency, lambda: self._fail(node, send))
            return
        target.served[send.message.type] = target.served.get(send.message.type, 0) + 1
        try:
            if target.liar is not None:
                answer = target.liar(node.peer_id, send.message)
            else:
                answer = target.dht.answer(node.peer_id, send.message, self.now, UNIX_START + self.now)
        except RemoteError:
            self.at(self.now + self.latency, lambda: self._fail(node, send))
            return
        self.drain(target)
        for _ in range(2 if self.duplicates else 1):
            self.at(self.now + self.latency, lambda: self._answer(node, send, answer, sent_at))

    def _answer(self, node: SimNode, send: Send, answer: Message | None, sent_at: float) -> None:
        if node.state != "gone":
            node.dht.on_answer(send.id, answer if send.expects_answer else None, self.now, self.now - sent_at)
            self.drain(node)

    def _fail(self, node: SimNode, send: Send) -> None:
        if node.state != "gone":
            node.dht.on_failure(send.id, self.now)
            self.drain(node)

    # Judging

    def true_closest(self, position: int, count: int = 20, *, without: Iterable[PeerId] = ()) -> list[PeerId]:
        left_out = set(without)
        servers = [node.contact for node in self.nodes.values() if node.is_server and node.state == "up"]
        servers.sort(key=lambda contact: contact.position ^ position)
        return [contact.peer_id for contact in servers if contact.peer_id not in left_out][:count]

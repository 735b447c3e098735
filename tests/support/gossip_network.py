"""A network of gossip routers on virtual time: an event heap, latencies drawn by lot, and queues that may be full."""

from collections.abc import Callable
from hashlib import sha256
from heapq import heappop, heappush
from itertools import count
from random import Random

from cortexnet.gossip.actions import FORWARD, GOSSIP, OWN, Action, Connect, Deliver, MeshChanged, SendRpc, Validate, Verdict
from cortexnet.gossip.config import GOSSIPSUB_12, GossipConfig
from cortexnet.gossip.message import Message
from cortexnet.gossip.messages import Rpc, decode, encode
from cortexnet.gossip.router import Router
from cortexnet.identity.peer_id import PeerId
from tests.support.gossip_router import TOPIC, peer_id


class GossipNetwork:
    """`size` routers that have all joined one topic, each connected to `degree` others or more.

    `loss` is the share of RPCs with messages that find their queue full. What happens is written into `log`.
    """

    def __init__(self, size: int, *, seed: int = 1, degree: int = 10, loss: float = 0.0, **settings: object) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.loss = loss
        self.log: list[str] = []
        self.delivered: dict[PeerId, list[bytes]] = {}
        self.mesh_errors: list[str] = []
        self._order = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self.config = GossipConfig(**settings)  # type: ignore[arg-type]
        self.ids = [peer_id(number) for number in range(size)]
        self.routers = {each: Router(each, self.config, Random(self.random.random()), 0.0) for each in self.ids}
        self.links: dict[PeerId, dict[PeerId, None]] = {each: {} for each in self.ids}
        for each in self.ids:
            self.delivered[each] = []
            self.routers[each].subscribe(TOPIC, 0.0)
            self._arm(each)
        for each in self.ids:
            for other in self.random.sample(self.ids, degree // 2 + 1):
                if other != each and other not in self.links[each]:
                    self.connect(each, other)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Have something happen."""
        heappush(self._events, (when, next(self._order), action))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heappop(self._events)
            action()
        self.now = until

    def connect(self, dialer: PeerId, other: PeerId) -> None:
        """A connection, with both streams."""
        for each, peer in ((dialer, other), (other, dialer)):
            self.links[each][peer] = None
            self.routers[each].add_peer(peer, GOSSIPSUB_12, outbound=each == dialer, now=self.now)
        for each in (dialer, other):
            self.settle(each)

    def kill(self, node: PeerId) -> None:
        """A node is gone, and with it its connections."""
        for peer in self.links.pop(node):
            del self.links[peer][node]
            self.routers[peer].remove_peer(node, self.now)
            self.settle(peer)
        del self.routers[node]

    def publish(self, node: PeerId, message: Message) -> None:
        """A node publishes."""
        self.routers[node].publish(message, self.now)
        self.settle(node)

    def settle(self, node: PeerId) -> None:
        """Do what the node's router wants."""
        router = self.routers[node]
        while actions := router.take_actions():
            for action in actions:
                self._do(node, router, action)

    def _do(self, node: PeerId, router: Router, action: Action) -> None:
        self.log.append(f"{self.now:.6f} {node} {_said(action)}")
        if isinstance(action, SendRpc):
            self._send(node, router, action)
        elif isinstance(action, Validate):
            router.validated(action, Verdict.ACCEPT, self.now)
        elif isinstance(action, Deliver):
            self.delivered[node].append(action.id)

    def _send(self, node: PeerId, router: Router, action: SendRpc) -> None:
        data = encode(action.rpc)
        for peer in action.peers:
            if action.priority in (OWN, FORWARD, GOSSIP) and action.rpc.messages and self.random.random() < self.loss:
                router.dropped(peer, action.rpc)
                continue
            latency = self.random.uniform(0.01, 0.08)
            self.at(self.now + latency, lambda peer=peer: self._hear(peer, node, data))  # type: ignore[misc]

    def _hear(self, node: PeerId, sender: PeerId, data: bytes) -> None:
        if sender in self.links.get(node, ()):
            rpc: Rpc = decode(data, self.config)
            self.routers[node].receive(sender, rpc, self.now)
            self.settle(node)

    def _arm(self, node: PeerId) -> None:
        self.at(self.routers[node].next_timeout(), lambda: self._tick(node))

    def _tick(self, node: PeerId) -> None:
        if node not in self.routers:
            return
        self.routers[node].handle_timeout(self.now)
        mesh = self.routers[node].mesh(TOPIC)
        outside = [peer for peer in mesh if peer not in self.links[node]]
        if len(mesh) >= self.config.degree_high + self.config.degree_out or outside:
            self.mesh_errors.append(f"{self.now} {node}: {len(mesh)} {outside}")
        self.settle(node)
        self._arm(node)


def _said(action: Action) -> str:
    """An action as text, the same in every process."""
    if isinstance(action, SendRpc):
        body = sha256(encode(action.rpc)).hexdigest()[:8]
        return f"send {body} {action.priority} to {' '.join(map(str, action.peers))}"
    if isinstance(action, Validate | Deliver):
        return f"{type(action).__name__} {action.id.hex()} {action.sender}"
    if isinstance(action, MeshChanged):
        return f"mesh {action.topic} {action.peer} {action.is_in} {action.change.name}"
    return f"{type(action).__name__} {action.peer}" if isinstance(action, Connect) else repr(action)

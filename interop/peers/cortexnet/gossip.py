"""Nodes with gossip, as many as the runner asks for, and what it has them do."""

import asyncio
import hashlib
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, final

from cortexnet import Accept, GossipConfig, GossipMessage, Node, Verdict
from cortexnet.gossip.config import PROTOCOLS
from cortexnet.gossip.message import Message
from cortexnet.gossip.score_params import ScoreParams, Thresholds, TopicScoreParams
from cortexnet.gossip.subscription import Subscription
from cortexnet.gossip.tracer import Trace
from interop.harness.payload import PERIOD, payload
from interop.peers.cortexnet.failures import BadRequest
from interop.peers.cortexnet.held import Answer, Request

SCORED_TOPIC = "scored"
ID_SIZE = 20
HEADER = struct.Struct(">II")
LOOK_EVERY = 0.25  # seconds between two looks at the scores

SCORES = ScoreParams(
    topics={
        SCORED_TOPIC: TopicScoreParams(
            time_in_mesh_weight=0.01,
            time_in_mesh_cap=100,
            first_deliveries_weight=0.1,
            first_deliveries_decay=0.9,
            first_deliveries_cap=10,
            mesh_deliveries_weight=-1,
            mesh_deliveries_decay=0.9,
            mesh_deliveries_cap=50,
            mesh_deliveries_threshold=2,
            mesh_deliveries_window=2,
            mesh_deliveries_activation=10,
            mesh_failure_weight=-1,
            mesh_failure_decay=0.9,
            invalid_weight=-10,
            invalid_decay=0.9,
        )
    },
    thresholds=Thresholds(accept_px=0, opportunistic_graft=0),
    behaviour_threshold=0,
    behaviour_decay=0.99,
    retain=60,
)
"""Those of every implementation here: whoever does nothing wrong, and brings some messages, never falls below 0."""


def content_id(message: Message) -> bytes:
    """The same for the same data, on every implementation: the defaults differ."""
    return hashlib.sha256(message.data).digest()[:ID_SIZE]


def gossip_config(request: Request) -> GossipConfig:
    """What `gossip_start` says of gossip, as a configuration."""
    ids = {"": None, "content": content_id}
    if request.get("ids", "") not in ids:
        raise BadRequest(f"unknown ids {request.get('ids')!r}")
    settings: dict[str, Any] = {}
    if request.get("degree") == 0:
        settings |= dict.fromkeys(("degree", "degree_low", "degree_high", "degree_out", "degree_score"), 0)
    if request.get("heartbeat"):
        settings["heartbeat"] = float(request["heartbeat"])
    return GossipConfig(
        protocols=request.get("protocols") or PROTOCOLS,
        signing="strict_no_sign" if request.get("unsigned") else "strict_sign",
        message_id=ids[request.get("ids", "")],
        score=SCORES if request.get("scoring") else None,
        peer_exchange=bool(request.get("exchange")),
        **settings,
    )


def make_message(tag: int, number: int, size: int) -> bytes:
    """Tag, number, and the pattern."""
    blocks = [payload(at, min(PERIOD, size - HEADER.size - at)) for at in range(0, size - HEADER.size, PERIOD)]
    return b"".join([HEADER.pack(tag, number), *blocks])


@final
class Heard:
    """What has come of a topic."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, int]] = Counter()
        self.repeated = self.wrong = 0
        self._changed = asyncio.Event()

    async def read(self, subscription: Subscription) -> None:
        """Count all that comes."""
        async with subscription:
            async for message in subscription:
                self._take(message.data)

    def _take(self, data: bytes) -> None:
        key = HEADER.unpack_from(data)
        if data != make_message(key[0], key[1], len(data)):
            self.wrong += 1
            return
        self.counts[key] += 1
        self.repeated += self.counts[key] > 1
        self._changed.set()

    async def wait(self, count: int) -> None:
        """Return once there were so many different ones."""
        while len(self.counts) < count:
            self._changed.clear()
            await self._changed.wait()

    def state(self, node: int) -> Answer:
        """For `gossip_received`."""
        tags = Counter(tag for tag, _ in self.counts)
        return {"node": node, "messages": len(self.counts), "tags": tags, "repeated": self.repeated, "wrong": self.wrong}


@final
class GossipNode:
    """One node, its topics, and what it was told."""

    def __init__(self, node: Node, slow: float) -> None:
        self.node = node
        self.heard: dict[str, Heard] = {}
        self.held: dict[str, dict[str, float]] = {}
        """What it had against each peer at any time."""
        self.received = 0
        self._slow = slow
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._looking = asyncio.create_task(self._look())
        node.gossip.tracer = self._traced

    async def close(self) -> None:
        for task in (self._looking, *self._readers.values()):
            task.cancel()
        await self.node.__aexit__(None, None, None)

    def _traced(self, trace: Trace) -> None:
        if trace.kind == "rpc received":
            self.received += trace.size or 0

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for peer, score in self.node.gossip.scores().items():
                snapshot = self.node.gossip.explain(peer)
                if snapshot is not None:
                    held = self.held.setdefault(str(peer), {"lowest": 0, "invalid": 0, "behaviour": 0})
                    held["lowest"] = min(held["lowest"], score)
                    held["behaviour"] = max(held["behaviour"], snapshot.behaviour_count)
                    held["invalid"] = max([held["invalid"], *(topic.invalid_count for topic in snapshot.by_topic.values())])

    def subscribe(self, topic: str) -> Heard:
        """Join it, unless that is done already."""
        heard = self.heard.get(topic)
        if heard is None:
            heard = self.heard[topic] = Heard()
            if self._slow:
                self.node.gossip.validate(topic, self._validate)
            subscription = self.node.gossip.subscribe(topic, own=True)
            self._readers[topic] = asyncio.create_task(heard.read(subscription))
        return heard

    def unsubscribe(self, topic: str) -> None:
        """Leave it."""
        self._readers.pop(topic).cancel()

    async def _validate(self, message: GossipMessage) -> Verdict:
        await asyncio.sleep(self._slow)
        return Accept


@final
class GossipNodes:
    """The nodes, by number. `make` makes one that has the rest of what `gossip_start` says."""

    def __init__(self, make: Callable[[Request, GossipConfig], Node]) -> None:
        self._make = make
        self._nodes: list[GossipNode] = []
        self.operations = {
            "gossip_start": self.start,
            "gossip_connect": self.connect,
            "gossip_connected": self.connected,
            "gossip_reset": self.reset,
            "gossip_subscribe": self.subscribe,
            "gossip_unsubscribe": self.unsubscribe,
            "gossip_peers": self.peers,
            "gossip_publish": self.publish,
            "gossip_say": self.say,
            "gossip_wait": self.wait,
            "gossip_received": self.received,
            "gossip_scores": self.scores,
            "gossip_counts": self.counts,
        }

    async def close(self) -> None:
        """Close every node."""
        while self._nodes:
            await self._nodes.pop().close()

    def _node(self, request: Request) -> GossipNode:
        try:
            return self._nodes[request.get("node", 0)]
        except IndexError:
            raise BadRequest(f"no gossip node {request.get('node')!r}") from None

    async def start(self, request: Request) -> Answer:
        started = []
        for _ in range(request.get("count") or 1):
            node = await self._make(request, gossip_config(request)).__aenter__()
            started.append(
                {"node": len(self._nodes), "peer_id": str(node.peer_id), "addresses": [str(each) for each in node.addresses]}
            )
            self._nodes.append(GossipNode(node, request.get("slow") or 0))
            if request.get("topic"):
                self._nodes[-1].subscribe(request["topic"])
        return {"nodes": started}

    async def connect(self, request: Request) -> Answer:
        for address in request["addresses"]:
            await self._node(request).node.dial(address)
        return {}

    async def connected(self, request: Request) -> Answer:
        return {"peers": [str(peer) for peer in self._node(request).node.peers]}

    async def reset(self, request: Request) -> Answer:
        """Reset all streams of gossip, of both directions."""
        connections = self._node(request).node.connections
        streams = [stream for connection in connections for stream in connection.streams if stream.protocol in PROTOCOLS]
        for stream in streams:
            stream.reset()
        return {"count": len(streams)}

    async def subscribe(self, request: Request) -> Answer:
        self._node(request).subscribe(request["topic"])
        return {}

    async def unsubscribe(self, request: Request) -> Answer:
        self._node(request).unsubscribe(request["topic"])
        return {}

    async def peers(self, request: Request) -> Answer:
        """`protocols` is not told: what is spoken to a peer is seen at the peer."""
        gossip, topic = self._node(request).node.gossip, request["topic"]
        return {"subscribers": list(map(str, gossip.peers(topic))), "mesh": list(map(str, gossip.mesh(topic))), "protocols": None}

    async def publish(self, request: Request) -> Answer:
        """With `at_once`, never so many ahead of the slowest node here, and until all have all."""
        gossip, topic, first = self._node(request).node.gossip, request["topic"], request.get("first", 0)
        at_once = request.get("at_once", 0)
        begin = time.perf_counter()
        for number in range(first, first + request["count"]):
            if at_once:
                await self._wait_for_all(topic, number - at_once + 1)
            await gossip.publish(topic, make_message(request["tag"], number, request["size"]))
        if at_once:
            await self._wait_for_all(topic, first + request["count"])
        return {"seconds": time.perf_counter() - begin}

    async def say(self, request: Request) -> Answer:
        """Write on a stream of its own, past the node's gossip."""
        stream = await self._node(request).node.stream(request["peer"], request["protocol"])
        await stream.write(bytes.fromhex(request["value"]))
        return {}

    async def _wait_for_all(self, topic: str, count: int) -> None:
        for node in self._nodes:
            if topic in node.heard:
                await node.heard[topic].wait(count)

    async def wait(self, request: Request) -> Answer:
        await self._wait_for_all(request["topic"], request["count"])
        return {}

    async def received(self, request: Request) -> Answer:
        topic = request["topic"]
        states = [node.heard[topic].state(number) for number, node in enumerate(self._nodes) if topic in node.heard]
        return {"nodes": states}

    async def scores(self, request: Request) -> Answer:
        node = self._node(request)
        scores = {str(peer): score for peer, score in node.node.gossip.scores().items()}
        return {"scores": scores, "held": node.held}

    async def counts(self, request: Request) -> Answer:
        """Of control messages a node does not tell."""
        return {"bytes": self._node(request).received, "ihave": None, "iwant": None, "idontwant": None}

"""What a node of the demonstration does in a network of its own: it finds others, stores, publishes, judges; or misbehaves."""

import asyncio
import contextlib
import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, final

from cortexnet.cli.output import Json
from cortexnet.config import Config
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.errors import Ended, InvalidRecord, StreamReset
from cortexnet.gossip.subscription import Subscription
from cortexnet.kad.config import KadConfig
from cortexnet.multiformats.cid import Cid
from cortexnet.node import Node
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from cortexnet.transport.stream import Stream

PREFIX = "/cortex/demo"
NAMESPACE = "cortexnet-demo"
TOPIC = "cortexnet/demo"
DHT = f"{PREFIX}/kad/1.0.0"
HELD = 4
"""Streams that are opened before the first nonsense is said, for more of it when no new ones are taken: from -50 to below -80."""
NONSENSE_LIMIT = 20

_NONSENSE = b"\x03\xff\xff\xff"  # a message of three bytes that is no protobuf

Result = dict[str, Json]


@final
class ByDigest:
    """The rules of the namespace `demo` in the DHT: a key ends in the sha2-256 of its value, so nobody can store another one."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        if key != key_of(value):
            raise InvalidRecord("the value is not the one of this key")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return 0


def key_of(value: bytes) -> bytes:
    """Where a value is stored."""
    return b"/demo/" + hashlib.sha256(value).hexdigest().encode()


def config_of(*, namespace: str = "") -> Config:
    """What all nodes of the demonstration have in common: a DHT of their own, in which loopback counts as anything else."""
    kad = KadConfig(prefix=PREFIX, validators={"demo": ByDigest()}, lan=False, filter_addresses=False, mode="server")
    return Config(kad=kad, discovery=DiscoveryConfig(namespace=namespace))


@final
class Deeds:
    """The deeds of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._heard: list[bytes] = []
        self._changed = asyncio.Event()
        self._scope = Scope()
        self._held = AsyncExitStack()
        self._streams: list[Stream] = []

    async def close(self) -> None:
        """Before the node is closed."""
        await self._held.aclose()
        await self._scope.close()

    # --- discovery and the DHT ---------------------------------------------------------------------------------------------

    async def find(self, peers: list[str]) -> Result:
        """Wait until all of these were found, and say by which source how many."""
        sources: dict[str, str] = {}
        async with self._node.discovered() as stream:
            async for found in stream:
                sources[str(found.peer_id)] = found.source
                if set(peers) <= set(sources):
                    break
        return {"sources": dict(Counter(sources[peer] for peer in peers))}

    async def put(self, text: str) -> Result:
        """Store a text in the DHT; under which key, and on how many peers."""
        key = key_of(text.encode()).decode()
        return {"key": key, "peers": await self._node.kad.put_value(key, text.encode())}

    async def get(self, key: str) -> Result:
        """Find it again."""
        return {"text": (await self._node.kad.get_value(key)).decode()}

    async def provide(self, text: str) -> Result:
        """Tell the DHT that this node has a content."""
        cid = Cid.for_data(text.encode())
        return {"cid": str(cid), "peers": await self._node.kad.provide(cid)}

    async def providers(self, cid: str) -> Result:
        """Who has it."""
        return {"peers": [str(found.peer_id) async for found in self._node.kad.find_providers(cid, limit=20)]}

    # --- gossip ------------------------------------------------------------------------------------------------------------

    async def join(self, peers: int) -> Result:
        """Read the topic from now on; returns when so many others of it are known."""
        subscription = self._node.gossip.subscribe(TOPIC)
        await self._held.enter_async_context(subscription)
        self._scope.spawn(self._read(subscription), name="read the topic")
        await subscription.ready(peers=peers)
        return {}

    async def _read(self, subscription: Subscription) -> None:
        async for message in subscription:
            self._heard.append(message.data)
            self._changed.set()

    async def publish(self, texts: list[str]) -> Result:
        """Publish each of them."""
        for text in texts:
            await self._node.gossip.publish(TOPIC, text.encode())
        return {}

    async def heard(self, count: int) -> Result:
        """Wait for so many messages; all that have come."""
        while len(self._heard) < count:
            self._changed.clear()
            await self._changed.wait()
        return {"texts": [data.decode() for data in self._heard]}

    # --- reputation --------------------------------------------------------------------------------------------------------

    async def opinion(self, peer: str) -> Result:
        """What it thinks of a peer."""
        explanation = self._node.reputation.explain(peer)
        return {"score": explanation.score, "standing": explanation.standing, "lines": str(explanation).split("\n")[1:]}

    async def misbehave(self, peer: str) -> Result:
        """Say nonsense to a peer until it takes no more streams; how often that was, and with which code it refuses."""
        for _ in range(HELD):
            stream = await self._held.enter_async_context(self._node.stream(peer, DHT))
            await stream.write(_NONSENSE[:1])
            self._streams.append(stream)
        codes: list[int] = []
        while len(codes) < NONSENSE_LIMIT and len(set(codes)) < 2:
            try:
                async with self._node.stream(peer, DHT) as stream:
                    await stream.write(_NONSENSE)
                    await stream.read(1)
            except StreamReset as reset:
                codes.append(reset.code)
        return {"messages": len(codes) - 1, "code": codes[-1] if codes else 0}

    async def persist(self) -> Result:
        """Say nonsense on the streams that were open before; how often."""
        for stream in self._streams:
            with contextlib.suppress(Ended):  # the peer resets it, or ends the connection
                await stream.write(_NONSENSE[1:])
                await stream.read(1)
        return {"messages": len(self._streams)}

"""Nodes with a DHT, as many as the runner asks for, and what it has them do."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cortexnet import Identity, KadConfig, Node
from cortexnet.errors import InvalidRecord
from cortexnet.kad.config import AMINO
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.records.ipns import IpnsRecord
from interop.peers.cortexnet.failures import BadRequest
from interop.peers.cortexnet.held import Answer, Request

IPNS_LIFETIME = 3600  # seconds
ED25519_PRIVATE = bytes.fromhex("0801 1240")  # libp2p's protobuf form, in front of the private and the public key


@final
class Numbered:
    """Takes values such as `7 anything`: of two the one with the higher number counts."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        digits, space, _ = value.partition(b" ")
        if not space or not digits.isdigit():
            raise InvalidRecord("no number and space at its beginning")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        numbers = [int(value.partition(b" ")[0]) for value in values]
        return numbers.index(max(numbers))


def kad_config(request: Request) -> KadConfig:
    """What `dht_start` says of the DHT, as a configuration."""
    is_dual = bool(request.get("dual"))
    return KadConfig(
        prefix=request.get("prefix") or AMINO,
        mode="auto" if is_dual and request.get("mode") != "client" else request.get("mode") or "server",
        lan=is_dual,
        filter_addresses=is_dual,
        validators={namespace: Numbered() for namespace in request.get("validators", ())},
        dht=DhtConfig(k=request.get("k") or 20),
    )


def seeded(seed: bytes) -> Identity:
    """The Ed25519 identity of a private key of 32 bytes."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return Identity.from_protobuf(ED25519_PRIVATE + seed + public)


@final
class DhtNodes:
    """The nodes, by number. `make` makes one that has the rest of what `dht_start` says."""

    def __init__(self, make: Callable[[Request, KadConfig, Identity], Node]) -> None:
        self._make = make
        self._nodes: dict[int, tuple[Node, Identity]] = {}
        self._count = 0
        self.operations = {
            "dht_start": self.start,
            "dht_stop": self.stop,
            "dht_connect": self.connect,
            "dht_peers": self.peers,
            "dht_refresh": self.refresh,
            "dht_find_peer": self.find_peer,
            "dht_closest": self.closest,
            "dht_put": self.put,
            "dht_get": self.get,
            "dht_record": self.record,
            "dht_provide": self.provide,
            "dht_find_providers": self.find_providers,
            "dht_advertise": self.advertise,
            "dht_discover": self.discover,
            "dht_lookups": self.lookups,
        }

    async def close(self) -> None:
        """Close every node."""
        for number in list(self._nodes):
            await self.stop({"node": number})

    def _node(self, request: Request) -> Node:
        return self._entry(request)[0]

    def _entry(self, request: Request) -> tuple[Node, Identity]:
        try:
            return self._nodes[request.get("node", 0)]
        except KeyError:
            raise BadRequest(f"no node {request.get('node')!r}") from None

    async def start(self, request: Request) -> Answer:
        return {"nodes": [await self._start_one(request) for _ in range(request.get("count") or 1)]}

    async def _start_one(self, request: Request) -> Answer:
        seed = request.get("seed")
        identity = seeded(bytes.fromhex(seed)) if seed else Identity.generate(key_type=request.get("key_type") or "ed25519")
        node = await self._make(request, kad_config(request), identity).__aenter__()
        number = self._count
        self._count += 1
        self._nodes[number] = node, identity
        return {"node": number, "peer_id": str(node.peer_id), "addresses": [str(address) for address in node.addresses]}

    async def stop(self, request: Request) -> Answer:
        await self._node(request).__aexit__(None, None, None)
        del self._nodes[request.get("node", 0)]
        return {}

    async def connect(self, request: Request) -> Answer:
        await self._node(request).dial(request["address"])
        return {}

    async def peers(self, request: Request) -> Answer:
        kad = self._node(request).kad
        half = kad.wan if kad.lan is None else kad.lan
        return {"peers": [str(contact.peer_id) for contact in half.dht.table]}

    async def refresh(self, request: Request) -> Answer:
        """There is no call for it: one looks for the own id, which is the better part of it."""
        node = self._node(request)
        await node.kad.closest_peers(node.peer_id)
        return {}

    async def find_peer(self, request: Request) -> Answer:
        found = await self._node(request).kad.find_peer(request["peer"])
        return {"addresses": [str(address) for address in found.addresses]}

    async def closest(self, request: Request) -> Answer:
        found = await self._node(request).kad.closest_peers(bytes.fromhex(request["key"]))
        return {"peers": [str(contact.peer_id) for contact in found]}

    async def put(self, request: Request) -> Answer:
        await self._node(request).kad.put_value(bytes.fromhex(request["key"]), bytes.fromhex(request["value"]))
        return {}

    async def get(self, request: Request) -> Answer:
        kad = self._node(request).kad
        value = await kad.get_value(bytes.fromhex(request["key"]), quorum=request.get("quorum") or 0)
        return {"value": value.hex()}

    async def record(self, request: Request) -> Answer:
        """A record in the node's own name, which is stored nowhere."""
        _, identity = self._entry(request)
        if request["namespace"] == "pk":
            key, value = b"/pk/" + bytes(identity.peer_id), identity.public_key.marshal()
        elif request["namespace"] == "ipns":
            record = IpnsRecord.create(
                identity.private_key,
                request["path"],
                sequence=request["sequence"],
                eol_unix=time.time() + IPNS_LIFETIME,
            )
            key, value = IpnsRecord.key_of(identity.peer_id), record.encode()
        else:
            raise BadRequest(f"no records of the namespace {request['namespace']!r}")
        return {"key": key.hex(), "value": value.hex()}

    async def provide(self, request: Request) -> Answer:
        await self._node(request).kad.provide(request["cid"])
        return {}

    async def find_providers(self, request: Request) -> Answer:
        found = self._node(request).kad.find_providers(request["cid"], limit=request.get("count") or None)
        return {"found": [_found(contact) async for contact in found]}

    async def advertise(self, request: Request) -> Answer:
        await self._node(request).advertise(request["namespace"])
        return {}

    async def discover(self, request: Request) -> Answer:
        found = self._node(request).find_peers(request["namespace"], limit=request.get("count") or None)
        return {"found": [_found(contact) async for contact in found]}

    async def lookups(self, request: Request) -> Answer:
        """Look for the peers nearest to random keys, from all nodes at once, each one lookup after the other."""
        left, closer = iter(range(request["count"])), 0

        async def look(node: Node) -> None:
            nonlocal closer
            for _ in left:
                closer += len(await node.kad.closest_peers(os.urandom(32)))

        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for node, _ in self._nodes.values():
                group.create_task(look(node))
        return {"count": request["count"], "closer": closer, "seconds": time.perf_counter() - begin}


def _found(contact: Any) -> Answer:
    return {"peer_id": str(contact.peer_id), "addresses": [str(address) for address in contact.addresses]}

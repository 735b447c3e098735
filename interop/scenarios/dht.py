"""The DHT: who is known, where what is stored is found, in pairs, through third nodes, and in a network of both kinds."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, final

from cortexnet import PeerId
from cortexnet.multiformats.cid import Cid
from interop.harness.meeting import Meeting, Side, eventually, expect, expect_failure
from interop.harness.process import Answer
from interop.scenarios.connections import STRANGER, without_peer

PRIVATE: dict[str, Any] = {"prefix": "/interop", "validators": ["interop"]}
"""A network of its own, with values that begin with a number; of two the higher one counts."""
K = 5
"""Peers that keep a record of a mixed network: most of its fifteen do not."""
MIXED = PRIVATE | {"k": K}
SMALLER, LARGER = 5, 10
"""Nodes of a mixed network: of the other kind, and of cortexnet's."""
KEYS = 6
"""Places looked at in a mixed network, and records of each sort that each kind stores there."""


@final
@dataclass(frozen=True, slots=True)
class DhtNode:
    """One of the nodes with a DHT that a side runs."""

    side: Side
    number: int
    peer_id: str
    addresses: tuple[str, ...]

    async def call(self, operation: str, **fields: Any) -> Answer:
        """One of the operations `dht_…` on this node."""
        return await self.side.call(f"dht_{operation}", node=self.number, **fields)

    async def meet(self, *others: "DhtNode") -> None:
        """Connect, and have them in the routing table."""
        for other in others:
            await self.call("connect", address=other.addresses[0])
        for other in others:
            await eventually(partial(self.lists, other), f"the table of {self} lists {other}")

    async def lists(self, other: "DhtNode") -> bool:
        """Whether the other is in its routing table."""
        return other.peer_id in (await self.call("peers"))["peers"]

    async def found(self, operation: str, **fields: Any) -> dict[str, set[str]]:
        """What a search finds: the addresses of each peer."""
        found: dict[str, set[str]] = {}
        for each in (await self.call(operation, **fields))["found"]:
            found.setdefault(each["peer_id"], set()).update(map(without_peer, each["addresses"]))
        return found

    @property
    def places(self) -> set[str]:
        """Where it listens."""
        return set(map(without_peer, self.addresses))

    def __str__(self) -> str:
        return f"node {self.number} of the {self.side.process.role}"


async def start(meeting: Meeting, side: Side, count: int = 1, **fields: Any) -> list[DhtNode]:
    """New nodes of a side, on the cell's stack; with the keys that it has, where it makes none of `key_type`."""
    if fields.get("key_type", "ed25519") not in side.abilities["key_types"]:
        del fields["key_type"]
    answer = await side.call("dht_start", count=count, **meeting.stack.start_options(), **fields)
    return [DhtNode(side, each["node"], each["peer_id"], tuple(each["addresses"])) for each in answer["nodes"]]


Act = Callable[[DhtNode, DhtNode], Awaitable[None]]


def through_a_third(act: Act, *, told: bool = False, **fields: Any) -> Callable[[Meeting], Awaitable[None]]:
    """The action, by a client of each kind towards one of the other: both know nobody but a server, of either kind in turn.
    `told`: that has to tell of them, so where it tells of nobody but servers they are two."""

    async def run(meeting: Meeting) -> None:
        async for one, other in clients(meeting, told=told, **fields):
            await act(one, other)
            await act(other, one)

    return run


async def clients(meeting: Meeting, *, told: bool = False, **fields: Any) -> AsyncIterator[tuple[DhtNode, DhtNode]]:
    """A client of each side, twice: what one stores is kept by a server of the dialer's kind, then by one of the listener's."""
    for keeper in (meeting.dialer, meeting.listener):
        mode = "server" if told and keeper.abilities.get("dht_tells_clients") is False else "client"
        (third,) = await start(meeting, keeper, **fields)
        (one,) = await start(meeting, meeting.dialer, mode=mode, **fields)
        (other,) = await start(meeting, meeting.listener, mode=mode, **fields)
        for each in (one, other):
            await each.meet(third)
            if mode == "server":
                await eventually(partial(third.lists, each), f"the table of {third} lists {each}")
        yield one, other


# --- who is known ---


async def tables(meeting: Meeting) -> None:
    """Servers take each other into their tables and keep each other; clients are taken into nobody's."""
    (one,), (other,) = [await start(meeting, side) for side in (meeting.dialer, meeting.listener)]
    await one.meet(other)
    await eventually(partial(other.lists, one), f"the table of {other} lists {one}")
    for near, server in ((meeting.dialer, other), (meeting.listener, one)):
        (client,) = await start(meeting, near, mode="client")
        await client.meet(server)
        await client.call("refresh")
        expect(not await server.lists(client), f"no client in the table of {server}")
    for node in (one, other):
        await node.call("refresh")
    expect(await one.lists(other) and await other.lists(one), "both to keep each other after a refresh")


async def find_peer(near: DhtNode, far: DhtNode) -> None:
    """Where a peer listens, told by a third; nobody knows a stranger."""
    found = await near.call("find_peer", peer=far.peer_id)
    expect(set(map(without_peer, found["addresses"])) == far.places, f"the addresses {far.places}", found["addresses"])
    await expect_failure(near.call("find_peer", peer=STRANGER), "not_found")


async def both_networks(meeting: Meeting) -> None:
    """The form with a DHT for the public network and one for private ones: on loopback all of it is done by the latter."""
    (one,), (other,) = [await start(meeting, side, dual=True) for side in (meeting.dialer, meeting.listener)]
    await one.meet(other)
    await eventually(partial(other.lists, one), f"the table of {other} lists {one}")
    for near, far in ((one, other), (other, one)):
        await find_peer(near, far)
        await providers(near, far)
        await own_records(near, far)


# --- values ---


async def own_records(near: DhtNode, far: DhtNode) -> None:
    """The public key of a node, and what its name points to: a newer record replaces an older one."""
    await _stored_and_found(near, far, await near.call("record", namespace="pk"))
    for sequence in (1, 2):
        record = await near.call("record", namespace="ipns", path="/ipfs/bafkqaaa", sequence=sequence)
        await _stored_and_found(near, far, record)


async def _stored_and_found(near: DhtNode, far: DhtNode, record: Answer) -> None:
    await near.call("put", key=record["key"], value=record["value"])
    found = await far.call("get", key=record["key"])
    expect(found["value"] == record["value"], f"the value {record['value']}", found["value"])


async def numbered_values(near: DhtNode, far: DhtNode) -> None:
    """Values of a namespace of the application's: the better one is found, whoever stored it; no other is taken."""
    key = _key(f"/interop/of {near.peer_id}")
    await expect_failure(far.call("get", key=key), "not_found")
    await near.call("put", key=key, value=b"1 first".hex())
    expect((await far.call("get", key=key))["value"] == b"1 first".hex(), "the first value")
    await far.call("put", key=key, value=b"2 second".hex())
    expect((await near.call("get", key=key))["value"] == b"2 second".hex(), "the better value")
    await expect_failure(near.call("put", key=key, value=b"no number".hex()), "failed")
    await expect_failure(near.call("put", key=_key("/elsewhere/key"), value=b"3 third".hex()), "failed")


def _key(text: str) -> str:
    return text.encode().hex()


# --- content ---


async def providers(near: DhtNode, far: DhtNode) -> None:
    """Who has some content, and where; nobody has other content."""
    cid = str(Cid.for_data(f"of {near.peer_id}".encode()))
    expect(not await far.found("find_providers", cid=cid, count=5), "no provider before there is one")
    await near.call("provide", cid=cid)
    await _finds(far, near, "find_providers", cid=cid, count=5)


async def _finds(seeker: DhtNode, provider: DhtNode, operation: str, **fields: Any) -> None:
    """The search finds the provider and nobody else, soon: that a record is stored is not told to who sends it."""

    async def is_found() -> bool:
        found = await seeker.found(operation, **fields)
        found.pop(seeker.peer_id, None)  # go finds itself, too
        expect(set(found) <= {provider.peer_id}, f"no provider but {provider.peer_id}", found)
        return found == {provider.peer_id: provider.places}

    await eventually(is_found, f"{seeker} finds {provider} at {provider.places}")


async def discovery(near: DhtNode, far: DhtNode) -> None:
    """Who advertises a name."""
    for node in (near, far):
        await node.call("advertise", namespace=f"interop {near.peer_id}")
    for node, other in ((near, far), (far, near)):
        await _finds(node, other, "discover", namespace=f"interop {near.peer_id}", count=5)


# --- a network of both kinds ---


async def mixed(meeting: Meeting) -> None:
    """Fifteen servers of both kinds, few of which keep any one record. What a client of either kind has stored is found by one
    of the other when it has gone; both find the nearest peers; and either kind has most of the other in its tables."""
    servers = await _network(meeting)
    publishers, seekers = [
        [(await start(meeting, side, mode="client", **MIXED))[0] for side in (meeting.dialer, meeting.listener)] for _ in range(2)
    ]
    for number, client in enumerate(publishers + seekers):
        await client.meet(servers[number])
    stored = [await _publish(publisher) for publisher in publishers]
    for seeker, publisher, records in zip(seekers, publishers, stored, strict=True):
        await asyncio.gather(*(_finds(seeker, publisher, "find_providers", cid=cid, count=1) for _, _, cid in records))
        await publisher.call("stop")
    for seeker, publisher, records in zip(seekers, publishers[::-1], stored[::-1], strict=True):
        await asyncio.gather(*(_sought(seeker, publisher, *record) for record in records))
        await asyncio.gather(*(_nearest(seeker, servers, random.randbytes(32)) for _ in range(KEYS)))
    await _kinds_know_each_other(servers)


async def _network(meeting: Meeting) -> list[DhtNode]:
    """The servers, in an order in which kinds take turns: each joined by one before it."""
    smaller = next((side for side in (meeting.dialer, meeting.listener) if side.process.kind.name != "cortexnet"), meeting.dialer)
    larger = meeting.listener if smaller is meeting.dialer else meeting.dialer
    few, many = await start(meeting, smaller, SMALLER, **MIXED), await start(meeting, larger, LARGER, **MIXED)
    servers = [node for number in range(SMALLER) for node in (few[number], many[2 * number], many[2 * number + 1])]
    for number, node in enumerate(servers[1:], 1):
        await node.meet(servers[number // 2])
    await asyncio.gather(*(node.call("refresh") for node in servers))
    return servers


async def _publish(publisher: DhtNode) -> list[tuple[str, str, str]]:
    records = []
    for number in range(KEYS):
        name = f"{number} of {publisher.peer_id}"
        records.append((_key(f"/interop/{name}"), f"{number} {name}".encode().hex(), str(Cid.for_data(name.encode()))))
    await asyncio.gather(
        *(publisher.call("put", key=key, value=value) for key, value, _ in records),
        *(publisher.call("provide", cid=cid) for _, _, cid in records),
    )
    return records


async def _sought(seeker: DhtNode, publisher: DhtNode, key: str, value: str, cid: str) -> None:
    found = await seeker.call("get", key=key)
    expect(found["value"] == value, f"the value {value}", found["value"])
    await _finds(seeker, publisher, "find_providers", cid=cid, count=1)


async def _nearest(seeker: DhtNode, servers: Sequence[DhtNode], key: bytes) -> None:
    """All but one, at least: a bucket that is full with five others may leave out the fifth, everywhere."""
    place = int.from_bytes(sha256(key).digest(), "big")
    ranked = sorted((node.peer_id for node in servers), key=lambda peer: _position(peer) ^ place)[:K]
    found = (await seeker.call("closest", key=key.hex()))["peers"]
    expect(len(set(found) & set(ranked)) >= K - 1, f"the nearest peers {ranked}", found)


def _position(peer: str) -> int:
    return int.from_bytes(sha256(bytes(PeerId.parse(peer))).digest(), "big")


async def _kinds_know_each_other(servers: Sequence[DhtNode]) -> None:
    """In the tables of either kind is most of the other: tables are too small for all, and chance fills them."""
    told = await asyncio.gather(*(node.call("peers") for node in servers))
    for side in {id(node.side): node.side for node in servers}.values():
        others = {node.peer_id for node in servers if node.side is not side}
        known = {peer for node, answer in zip(servers, told, strict=True) if node.side is side for peer in answer["peers"]}
        expect(len(known & others) > len(others) // 2, f"most of {others} in the tables of the {side.process.role}", known)
        expect(known <= {node.peer_id for node in servers}, f"nobody but servers in the tables of the {side.process.role}", known)

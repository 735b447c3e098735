"""cortexnet's halves of the workloads of the DHT. Run as one half of a pair (see `bench.half`)."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final

from bench.dht_table import ADDRESSES, SEED, SIZE, peer_ids
from bench.half import Driver, Figures, Task, main
from bench.process import MeasurementFailed
from cortexnet import Config, Contact, Identity, KadConfig, Multiaddr, Node, PeerId, Stream
from cortexnet.kad.messages import Message, Type
from interop.peers.cortexnet.dht import seeded

LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
SERVER: Final = KadConfig(mode="server", lan=False, filter_addresses=False)
CLIENTS: Final = 8
NETWORK: Final = 20
K: Final = 20
ANSWER_LIMIT: Final = 65_536
SETTLING: Final = 0.05
"""Seconds between two looks at routing tables that are filling."""


def node_with_dht(identity: Identity | None = None) -> Node:
    return Node(identity, listen=[LISTEN], config=Config(kad=SERVER))


async def serve(task: Task, driver: Driver) -> None:
    async with node_with_dht(seeded(SEED)) as node:
        table, now = node.kad.wan.dht.table, asyncio.get_running_loop().time()
        addresses = [Multiaddr.parse(text) for text in ADDRESSES]
        for peer in peer_ids():
            table.add(Contact(PeerId.from_bytes(peer), addresses), now)
        if len(table) != SIZE:
            raise MeasurementFailed(f"{len(table)} of {SIZE} peers are in the table")
        driver.send({"address": str(node.addresses[0])})
        await driver.next_line()


async def run(task: Task, driver: Driver) -> Figures:
    return await (find_nodes(task) if task.workload == "dht_find_node" else lookups(task))


# --- one node is asked ---


async def find_nodes(task: Task) -> Figures:
    """FIND_NODE of random keys by clients that have a stream each, and one request on the way."""
    async with AsyncExitStack() as stack:
        streams = []
        for _ in range(CLIENTS):
            node = await stack.enter_async_context(Node(listen=[], config=Config(kad=None)))
            peer = await node.dial(task.address)
            streams.append(await node.stream(peer, SERVER.protocol))
        left = iter(range(task.amount))
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(ask(stream, left)) for stream in streams]
        elapsed = time.perf_counter() - begun
    check(sum(task.result() for task in asking), K * task.amount)
    return {"rate": task.amount / elapsed}


async def ask(stream: Stream, left: Iterator[int]) -> int:
    """Ask until nothing is left; how many peers were told."""
    told = 0
    for _ in left:
        await stream.write_message(Message(Type.FIND_NODE, os.urandom(32)).encode())
        told += len(Message.decode(await stream.read_message(limit=ANSWER_LIMIT)).closer)
    return told


def check(found: int, wanted: int) -> None:
    if found != wanted:
        raise MeasurementFailed(f"{found} peers were found, not {wanted}")


# --- many nodes look ---


async def lookups(task: Task) -> Figures:
    """Lookups of random keys in a network within this process, by all of its nodes at once."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(node_with_dht()) for _ in range(NETWORK)]
        for node in nodes[1:]:
            await node.dial(nodes[0].addresses[0])
        await asyncio.gather(*(full_table(node) for node in nodes))
        left = iter(range(task.amount))
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            looking = [group.create_task(look(node, left)) for node in nodes]
        elapsed = time.perf_counter() - begun
    check(sum(task.result() for task in looking), (NETWORK - 1) * task.amount)
    return {"rate": task.amount / elapsed}


async def full_table(node: Node) -> None:
    """Look until everybody is known."""
    while len(node.kad.wan.dht.table) < NETWORK - 1:
        await asyncio.sleep(SETTLING)
        await node.kad.closest_peers(node.peer_id)


async def look(node: Node, left: Iterator[int]) -> int:
    found = 0
    for _ in left:
        found += len(await node.kad.closest_peers(os.urandom(32)))
    return found


if __name__ == "__main__":
    main(serve, run)

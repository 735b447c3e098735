"""The halves of the workloads of the DHT that peers of the harness run; rust-libp2p's can do lookups alone."""

import asyncio
from typing import Any

from bench.calls import Calls
from bench.dht_peer import CLIENTS, LISTEN, NETWORK, SERVER, SETTLING, K, check
from bench.dht_table import ADDRESSES, SEED, SIZE, peer_ids
from bench.half import Figures, Task
from bench.process import MeasurementFailed
from cortexnet import PeerId


async def start_server(calls: Calls) -> str:
    """A node with the table of `bench.dht_table`; its address."""
    (node,) = await start(calls, 1, seed=SEED.hex())
    peers = [str(PeerId.from_bytes(peer)) for peer in peer_ids()]
    filled = await calls.call("dht_fill", peers=peers, addresses=ADDRESSES)
    if filled["count"] != SIZE:
        raise MeasurementFailed(f"{filled['count']} of {SIZE} peers are in the table")
    return str(node["addresses"][0])


async def find_nodes(calls: Calls, task: Task) -> Figures:
    """As `bench.dht_peer.find_nodes`."""
    asking = {"address": task.address, "protocol": SERVER.protocol, "count": task.amount, "at_once": CLIENTS}
    answer = await calls.call("dht_find_nodes", **asking)
    check(answer["closer"], K * task.amount)
    return {"rate": task.amount / answer["seconds"]}


async def lookups(calls: Calls, task: Task) -> Figures:
    """As `bench.dht_peer.lookups`."""
    nodes = await start(calls, NETWORK)
    for node in nodes[1:]:
        await calls.call("dht_connect", node=node["node"], address=nodes[0]["addresses"][0])
    for node in nodes:
        while len((await calls.call("dht_peers", node=node["node"]))["peers"]) < NETWORK - 1:
            await asyncio.sleep(SETTLING)
            await calls.call("dht_refresh", node=node["node"])
    answer = await calls.call("dht_lookups", count=task.amount)
    check(answer["closer"], (NETWORK - 1) * task.amount)
    return {"rate": task.amount / answer["seconds"]}


async def start(calls: Calls, count: int, **fields: object) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = (await calls.call("dht_start", count=count, listen=[LISTEN], **fields))["nodes"]
    return nodes

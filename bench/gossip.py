"""Gossip as `python -m bench gossip` measures it: ten nodes of a kind in one process, one of which publishes."""

import asyncio
import sys
from typing import Any, Final

from bench.calls import Calls
from bench.gossip_task import AT_ONCE, DIALS, LEAST_MESH, NODES, SIZE, WARM_UP
from bench.half import Figures
from bench.process import Process
from bench.steered import Steered

IN_PYTHON: Final[dict[str, str]] = {"ceiling": "bench.gossip_floor", "cortexnet": "bench.gossip_nodes"}
TOPIC: Final = "bench"
SHARES: Final[dict[str, int]] = {"js": 5}
"""Who gets so many times fewer messages: it would take longer than all others together."""


async def measure_gossip(kind: str, messages: int) -> Figures:
    """Deliveries in a second, of all nodes but the publisher together. Raises MeasurementFailed."""
    if kind in IN_PYTHON:
        async with Process([sys.executable, "-m", IN_PYTHON[kind], str(messages)]) as process:
            return await process.receive()
    share = SHARES.get(kind, 1)
    async with Process(Steered(kind).peer.run) as process:
        return await deliveries(Calls(process), messages // share, WARM_UP // share)


async def deliveries(calls: Calls, messages: int, warm_up: int) -> Figures:
    """The same of a peer of the interop harness."""
    started = await calls.call("gossip_start", count=NODES, topic=TOPIC, listen=["/ip4/127.0.0.1/tcp/0"])
    nodes = started["nodes"]
    for node in nodes:
        others = [nodes[(node["node"] + step) % NODES] for step in range(1, DIALS + 1)]
        await calls.call("gossip_connect", node=node["node"], addresses=[other["addresses"][0] for other in others])
    for node in nodes:
        while await _mesh_size(calls, node["node"]) < LEAST_MESH:  # noqa: ASYNC110 - a peer is another process
            await asyncio.sleep(0.1)
    task: dict[str, Any] = {"topic": TOPIC, "tag": 1, "size": SIZE, "at_once": AT_ONCE}
    await calls.call("gossip_publish", count=warm_up, **task)
    answer = await calls.call("gossip_publish", count=messages, first=warm_up, **task)
    return {"rate": messages * (NODES - 1) / answer["seconds"]}


async def _mesh_size(calls: Calls, node: int) -> int:
    return len((await calls.call("gossip_peers", node=node, topic=TOPIC))["mesh"])

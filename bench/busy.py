"""A busy node, as `python -m bench busy` measures it: what it takes of a core and of memory, and how long its answers take.

300 peers are connected to it, 150 each way: those who dialed it are each in one of its three topics and publish 20 messages a
second in sum; those it has dialed are DHT servers, and ask it ten times a second. Another process asks it and an idle node of the
same kind in turn, so that both see the same machine.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any, Final

from bench.half import Figures
from bench.process import MeasurementFailed, Process

EACH_WAY: Final = 150
TOPICS: Final = ("bench/a", "bench/b", "bench/c")
"""Each has a third of the peers that dial, in a process of their own."""
MESSAGES: Final = 20
"""A second, in all topics."""
QUESTIONS: Final = 10
"""FIND_NODE a second."""
SETTLING: Final = 15.0
"""Seconds for meshes and routing tables, before anything is measured."""
INTERVAL: Final = 0.01
"""Seconds between two requests: the client is to measure latency, not to make load."""


async def measure_busy(seconds: int, *, profile: bool = False) -> Figures:
    """Raises MeasurementFailed, also where not all peers stay connected."""
    async with AsyncExitStack() as stack:

        async def start(role: str, **task: object) -> tuple[Process, dict[str, Any]]:
            process = await stack.enter_async_context(Process([sys.executable, "-m", "bench.busy_nodes", role]))
            return process, await ask(process, json.dumps(task))

        servers, served = await start("servers", count=EACH_WAY, rate=QUESTIONS)
        node, told = await start("node", addresses=served["addresses"], topics=TOPICS)
        _, told_idle = await start("node", addresses=[], topics=[])
        task = {"count": EACH_WAY // len(TOPICS), "address": told["address"], "rate": MESSAGES / len(TOPICS)}
        gossipers = [(await start("gossipers", topic=topic, **task))[0] for topic in TOPICS]
        addresses = [told["address"], told_idle["address"]]
        client, _ = await start("client", addresses=addresses, seconds=seconds, interval=INTERVAL)
        for process in (servers, *gossipers):
            await ask(process, "begin")
        await asyncio.sleep(SETTLING)
        before = await ask(node, "profile" if profile else "state")
        measured = await ask(client, "begin")
        after = await ask(node, "profiled" if profile else "state")
        if min(before["connections"], after["connections"]) < 2 * EACH_WAY:
            raise MeasurementFailed(f"{before['connections']}, later {after['connections']} connections")
        busy, calm = measured["figures"]
        elapsed = after["time"] - before["time"]
        return {
            "messages": (sum(after["received"].values()) - sum(before["received"].values())) / elapsed,
            "cpu": 100 * (after["cpu"] - before["cpu"]) / elapsed,
            "resident": after["resident"] / (1 << 20),
            "p50": busy["p50"],
            "p99": busy["p99"],
            "idle_p50": calm["p50"],
            "idle_p99": calm["p99"],
            "times": busy["p99"] / calm["p99"],
        }


async def ask(process: Process, line: str) -> dict[str, Any]:
    process.send_line(line.encode() + b"\n")
    return await process.receive()


if __name__ == "__main__":
    print(asyncio.run(measure_busy(10, profile="profile" in sys.argv)))

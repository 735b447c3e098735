"""Ten nodes of cortexnet with gossip in one process, as `python -m bench gossip` measures them.

Alone: `python -m bench.gossip_nodes MESSAGES`, and `profile` behind it for the functions that take most.
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack

from bench.functions import FunctionProfile
from bench.gossip_task import AT_ONCE, DIALS, LEAST_MESH, NODES, SIZE, WARM_UP
from cortexnet import Config, GossipConfig, Node

TOPIC = "bench"


async def read(node: Node, counts: list[int], at: int, news: asyncio.Event) -> None:
    """Count what is delivered."""
    async with node.gossip.subscribe(TOPIC) as messages:
        async for _ in messages:
            counts[at] += 1
            news.set()


async def deliveries_per_second(messages: int, *, profile: FunctionProfile | None = None) -> float:
    """One node publishes, and is never more than `AT_ONCE` messages ahead of the slowest."""
    config = Config(kad=None, gossip=GossipConfig())
    counts, news = [0] * NODES, asyncio.Event()
    async with AsyncExitStack() as running, asyncio.TaskGroup() as readers:
        nodes = [await running.enter_async_context(Node(listen=["/ip4/127.0.0.1/tcp/0"], config=config)) for _ in range(NODES)]
        tasks = [readers.create_task(read(node, counts, at, news)) for at, node in enumerate(nodes)]
        for at, node in enumerate(nodes):
            for step in range(1, DIALS + 1):
                await node.dial(str(nodes[(at + step) % NODES].addresses[0]))
        for node in nodes:
            while len(node.gossip.mesh(TOPIC)) < LEAST_MESH:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.1)
        await publish(nodes[0], counts, news, WARM_UP)
        if profile is not None:
            profile.start()
        seconds = await publish(nodes[0], counts, news, messages)
        if profile is not None:
            report = profile.stop()
            for name, share, calls in report["largest"]:
                print(f"{share:6.1%}  {calls:9,}  {name}", file=sys.stderr)
        for task in tasks:
            task.cancel()
    return messages * (NODES - 1) / seconds


async def publish(node: Node, counts: list[int], news: asyncio.Event, messages: int) -> float:
    """The seconds until all others had so many more messages."""
    first, begin = min(counts[1:]), time.perf_counter()
    for number in range(messages + AT_ONCE):
        while min(counts[1:]) - first < number - AT_ONCE + 1:
            news.clear()
            await news.wait()
        if number < messages:
            await node.gossip.publish(TOPIC, number.to_bytes(8, "big") + bytes(SIZE - 8))
    return time.perf_counter() - begin


if __name__ == "__main__":
    wanted = FunctionProfile() if "profile" in sys.argv else None
    print(json.dumps({"rate": asyncio.run(deliveries_per_second(int(sys.argv[1]), profile=wanted))}))

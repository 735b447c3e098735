"""Nodes with gossip, in a network in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import combinations
from typing import Any

from cortexnet import Config, GossipConfig, Identity, Node
from cortexnet.gossip.subscription import Subscription
from cortexnet.testing.network import SimulatedNetwork

TOPIC = "test/topic"
IDENTITIES = [Identity.generate() for _ in range(12)]


def gossip_node(network: SimulatedNetwork, number: int, gossip: GossipConfig | None = None, **options: Any) -> Node:
    """The node of that number, who is the same in all tests."""
    config = Config(
        transports=["memory"], memory_network=network.host(f"node {number}"), gossip=gossip or GossipConfig(), kad=None, **options
    )
    return Node(IDENTITIES[number], listen=["/memory/0"], config=config)


@asynccontextmanager
async def nodes(count: int, gossip: GossipConfig | None = None, *, connected: bool = True) -> AsyncIterator[list[Node]]:
    """Started nodes, each connected to all others; in the end nothing is left of them."""
    network = SimulatedNetwork()
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(gossip_node(network, number, gossip)) for number in range(count)]
        if connected:
            for one, other in combinations(made, 2):
                await one.dial(other.addresses)
            await settle()
        yield made
    assert [count for node in made for count in node.counters.values() if count] == []


@asynccontextmanager
async def subscribed(made: list[Node], topic: str = TOPIC, **options: Any) -> AsyncIterator[list[Subscription]]:
    """A subscription of each of the nodes, once they all know of each other."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(node.gossip.subscribe(topic, **options)) for node in made]
        for each in found:
            await each.ready(len(made) - 1)
        yield found


async def settle(seconds: float = 0.5) -> None:
    """Let everything happen that was begun."""
    await asyncio.sleep(seconds)


async def datas(subscription: Subscription, count: int) -> list[bytes]:
    """What the next messages say."""
    async with asyncio.timeout(100):
        return [(await anext(subscription)).data for _ in range(count)]

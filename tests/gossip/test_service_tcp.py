"""Gossip over real sockets on the loopback interface: threads check signatures, and real time passes."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from cortexnet import Accept, Config, GossipConfig, GossipMessage, Node, Verdict
from tests.gossip.nodes import TOPIC, datas


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main

    asyncio.run(bounded())


def tcp_node(gossip: GossipConfig | None = None) -> Node:
    return Node(listen=["/ip4/127.0.0.1/tcp/0"], config=Config(gossip=gossip or GossipConfig(), kad=None))


def test_a_burst_between_two_nodes_loses_nothing() -> None:
    async def main() -> None:
        async with (
            tcp_node() as alice,
            tcp_node() as bob,
            alice.gossip.subscribe(TOPIC) as here,
            bob.gossip.subscribe(TOPIC, policy="block", queue=100) as there,
        ):
            await alice.dial(bob.addresses)
            await here.ready()
            await there.ready()
            count = 10_000
            publishing = asyncio.ensure_future(
                alice.gossip.publish_many(TOPIC, [number.to_bytes(4, "big") for number in range(count)])
            )
            assert [int.from_bytes(data, "big") for data in await datas(there, count)] == list(range(count))
            assert await publishing == [1] * count
            assert not any([*alice.gossip.counters.values(), *bob.gossip.counters.values()])

    run(main())


@pytest.mark.parametrize("listen", ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws", "/ip4/127.0.0.1/udp/0/quic-v1"])
def test_a_mesh_of_eight_delivers_everything_once_over_every_transport(listen: str) -> None:
    async def validator(message: GossipMessage) -> Verdict:
        await asyncio.sleep(0)
        return Accept

    async def main() -> None:
        async with AsyncExitStack() as stack:
            nodes = [await stack.enter_async_context(Node(listen=[listen], config=Config(kad=None))) for _ in range(8)]
            for number, node in enumerate(nodes):
                for step in (1, 2, 3):
                    await node.dial(nodes[(number + step) % len(nodes)].addresses)
                node.gossip.validate(TOPIC, validator)
            subscriptions = [await stack.enter_async_context(node.gossip.subscribe(TOPIC, own=True)) for node in nodes]
            for subscription in subscriptions:
                await subscription.ready(5)
            for number in range(80):
                await nodes[number % len(nodes)].gossip.publish(TOPIC, bytes([number]) * 2_000)
            for subscription in subscriptions:
                assert sorted(data[0] for data in await datas(subscription, 80)) == list(range(80))
            await asyncio.sleep(0)
            assert [subscription.waiting for subscription in subscriptions] == [0] * len(nodes)
            assert not any(count for node in nodes for count in node.gossip.counters.values())

    run(main())

"""Every public coroutine of gossip, cancelled at each of its suspensions: gossip works on, and nothing is left in the end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cortexnet import Node
from cortexnet.gossip.subscription import Subscription
from tests.gossip.nodes import TOPIC, datas, nodes, settle, subscribed
from tests.support.cancel import How, points, run_until

Call = Callable[[Node, Node, Subscription], Coroutine[Any, Any, Any]]


async def publish(alice: Node, bob: Node, here: Subscription) -> None:
    await alice.gossip.publish(TOPIC, b"cancelled")


async def publish_elsewhere(alice: Node, bob: Node, here: Subscription) -> None:
    """To a topic that was not joined."""
    async with bob.gossip.subscribe("other"):
        await settle(0.05)
        await alice.gossip.publish("other", b"cancelled")


async def publish_much(alice: Node, bob: Node, here: Subscription) -> None:
    """So that it waits for room."""
    await alice.gossip.publish_many(TOPIC, [bytes(100_000)] * 20)


async def ready(alice: Node, bob: Node, here: Subscription) -> None:
    async with alice.gossip.subscribe("other") as subscription, bob.gossip.subscribe("other"):
        await subscription.ready()


async def read(alice: Node, bob: Node, here: Subscription) -> None:
    asyncio.get_running_loop().call_later(0.01, here.offer, here_message(alice))
    await anext(here)


async def handle(alice: Node, bob: Node, here: Subscription) -> None:
    done = asyncio.Event()

    async def handler(message: object) -> None:
        done.set()

    handling = bob.gossip.handle(TOPIC, handler)
    try:
        await settle(0.05)
        await alice.gossip.publish(TOPIC, b"cancelled")
        await done.wait()
    finally:
        handling.close()


def here_message(alice: Node) -> Any:
    from cortexnet import GossipMessage

    return GossipMessage(TOPIC, b"offered", alice.peer_id, 1, b"id", alice.peer_id)


@pytest.mark.parametrize("how", ["early", "late", "turn"])
@pytest.mark.parametrize("call", [publish, publish_elsewhere, publish_much, ready, read, handle], ids=lambda call: call.__name__)
async def test_a_cancelled_call_leaves_gossip_at_work(call: Call, how: How) -> None:
    for point in points(how):
        async with nodes(2) as (alice, bob), subscribed([alice, bob], policy="block") as (here, there):
            reached = await run_until(point, call(alice, bob, here))
            await settle()
            while there.waiting:
                await anext(there)
            while here.waiting:
                await anext(here)
            assert await alice.gossip.publish(TOPIC, b"afterwards") == 1
            assert await bob.gossip.publish(TOPIC, b"and back") == 1
            assert (await datas(there, 1), await datas(here, 1)) == ([b"afterwards"], [b"and back"])
            assert alice.gossip.topics == bob.gossip.topics == [TOPIC]
        if not reached or point.number > 60:
            return


@pytest.mark.parametrize("how", ["early", "late", "turn"])
async def test_a_node_whose_end_is_cancelled_ends_all_the_same(how: How) -> None:
    for point in points(how):
        async with nodes(2) as (alice, bob), bob.gossip.subscribe(TOPIC):
            async with alice.gossip.subscribe(TOPIC) as here:
                await here.ready()
                await alice.gossip.publish_many(TOPIC, [bytes(50_000)] * 20)
                reached = await run_until(point, alice.__aexit__(None, None, None))
                assert [message async for message in here] == []
            await settle(3)
            assert not any(alice.counters.values())
        if not reached or point.number > 60:
            return

"""Two connections to one peer: gossip moves to the one that stays, and loses nothing on the way."""

import asyncio

import pytest

from cortexnet import Node
from cortexnet.gossip.subscription import Subscription
from cortexnet.swarm.pruner import GRACE
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory import LinkConditions
from tests.gossip.nodes import IDENTITIES, TOPIC, gossip_node

MESSAGES = 120


async def talk(node: Node) -> None:
    """Without a pause, over all that happens."""
    for number in range(MESSAGES):
        await node.gossip.publish(TOPIC, b"%d" % number)
        await asyncio.sleep(0.5)


async def listen(subscription: Subscription) -> list[int]:
    return sorted([int((await anext(subscription)).data) for _ in range(MESSAGES)])


LARGER, SMALLER = sorted((1, 2), key=lambda number: bytes(IDENTITIES[number].peer_id), reverse=True)


@pytest.mark.parametrize("seed", range(4, 20, 2))
async def test_nodes_that_dial_each_other_nearly_at_once_end_with_one_connection(seed: int) -> None:
    """The first dialed is to go, and may have gossip's streams by the time that the second is there."""
    network = SimulatedNetwork(seed, LinkConditions(latency=0.1))
    async with (
        gossip_node(network, LARGER) as one,
        gossip_node(network, SMALLER) as other,
        one.gossip.subscribe(TOPIC) as at_one,
        other.gossip.subscribe(TOPIC) as at_other,
    ):

        async def dial_back() -> None:
            await asyncio.sleep(seed / 40)
            await other.dial(one.addresses)

        await asyncio.gather(one.dial(other.addresses), dial_back())
        await asyncio.gather(at_one.ready(1), at_other.ready(1))
        heard = await asyncio.gather(listen(at_one), listen(at_other), talk(one), talk(other))
        assert heard[:2] == [list(range(MESSAGES))] * 2
        assert (len(one.connections), len(other.connections)) == (1, 1)
        await asyncio.sleep(3 * GRACE)
        assert one.gossip.mesh(TOPIC) == [other.peer_id]
        assert other.gossip.mesh(TOPIC) == [one.peer_id]
        assert one.gossip.counters["outbound"] == other.gossip.counters["outbound"] == 0

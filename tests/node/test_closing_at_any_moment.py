"""Nodes that do everything at once are closed at some moment: no error but those that are named, and nothing is left."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from random import Random

import pytest

from cortexnet import Accept, CardConfig, Config, CortexError, GossipConfig, GossipMessage, KadConfig, Node, Verdict
from cortexnet.messaging.message import Message
from cortexnet.messaging.request import Request
from cortexnet.multiformats.cid import RAW, Cid
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions

NODES = 4
USERS = 2  # of each
TOPIC, ECHO, NAMESPACE = "test/topic", "/test/echo/1.0.0", "test"


async def echo(request: Request) -> bytes:
    await asyncio.sleep(0.01)
    return request.data


async def answer(_: Message) -> bytes:
    await asyncio.sleep(0.01)
    return b"thanks"


async def validate(_: GossipMessage) -> Verdict:
    await asyncio.sleep(0.03)
    return Accept


def made(network: SimulatedNetwork, number: int, bootstrap: list[str]) -> Node:
    node = Node(
        listen=["/memory/0"],
        bootstrap=bootstrap,
        config=Config(
            transports=["memory"],
            memory_network=network.host(f"node {number}"),
            kad=KadConfig(prefix="/test", mode="server"),
            gossip=GossipConfig(),
            card=CardConfig(capabilities=["gpu"], region="u33"),
        ),
    )
    node.respond(ECHO, echo)
    node.on_message(answer)
    return node


def deeds(node: Node, others: list[Node], chance: Random) -> list[Callable[[], Awaitable[object]]]:
    """What a node is used for."""
    peers = [other.peer_id for other in others]

    async def find_peers() -> None:
        async for _ in node.find_peers(NAMESPACE, limit=3):
            pass

    async def find_cards() -> None:
        async for _ in node.find("gpu", region="u33", limit=3):
            pass

    def some_cid() -> Cid:
        return Cid(1, RAW, b"\x12\x20" + hashlib.sha256(chance.randbytes(8)).digest())

    return [
        lambda: node.gossip.publish_many(TOPIC, [chance.randbytes(10 + 2_000 * (chance.random() < 0.2)) for _ in range(20)]),
        lambda: node.request(chance.choice(peers), ECHO, b"request", timeout=2),
        lambda: node.request_any(peers, ECHO, b"request", timeout=2),
        lambda: node.send(chance.choice(peers), b"message", timeout=2),
        lambda: node.broadcast(peers, b"message", timeout=2),
        lambda: node.kad.provide(some_cid()),
        lambda: node.kad.find_peer(chance.choice(peers)),
        lambda: node.ping(chance.choice(peers)),
        lambda: node.card(chance.choice(peers), fresh=True),
        lambda: node.advertise(NAMESPACE),
        lambda: node.disconnect(chance.choice(peers)),
        find_peers,
        find_cards,
    ]


async def use(node: Node, others: list[Node], chance: Random) -> None:
    """Do one thing after the other, until it is cancelled; raises what no caller expects."""
    things = deeds(node, others, chance)
    while True:
        try:
            await chance.choice(things)()
        except CortexError:
            await asyncio.sleep(0.01)


async def talk(node: Node) -> None:
    """Say so much in a topic that something always comes."""
    while True:
        try:
            await node.gossip.publish(TOPIC, bytes(2_000))
        except CortexError:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.002)


@pytest.mark.parametrize("seed", range(8))
async def test_nodes_are_closed_at_any_moment(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    chance, errors = Random(seed), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    network, nodes = SimulatedNetwork(conditions=LinkConditions(latency=0.02)), list[Node]()
    for number in range(NODES):
        nodes.append(made(network, number, [str(address) for node in nodes[:1] for address in node.addresses]))
        await nodes[-1].__aenter__()
    await asyncio.sleep(5)
    async with AsyncExitStack() as stack:
        for node in nodes:
            if chance.random() < 0.5:
                node.gossip.validate(TOPIC, validate)
            await stack.enter_async_context(node.gossip.subscribe(TOPIC, queue=chance.choice([3, 1_000])))
        users = [
            asyncio.ensure_future(use(node, [other for other in nodes if other is not node], chance))
            for node in nodes
            for _ in range(USERS)
        ]
        users += [asyncio.ensure_future(talk(node)) for node in nodes]
        await asyncio.sleep(chance.random() * 0.4)
        for _ in range(chance.randrange(100)):
            await asyncio.sleep(0)
        closing = []
        for node in chance.sample(nodes, NODES):
            closing.append(asyncio.ensure_future(node.__aexit__(None, None, None)))
            await asyncio.sleep(chance.choice([0, 0.3 * chance.random()]))
        await asyncio.gather(*closing)
        for user in users:
            user.cancel()
        ends = await asyncio.gather(*users, return_exceptions=True)
    await asyncio.sleep(3)
    assert [end for end in ends if not isinstance(end, asyncio.CancelledError)] == []
    assert errors == []
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
    assert [{name: count for name, count in node.counters.items() if count} for node in nodes] == [{}] * NODES
    assert [task.get_name() for task in asyncio.all_tasks()] == [asyncio.current_task().get_name()]  # type: ignore[union-attr]

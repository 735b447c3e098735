"""Stopping a node with a hundred live connections: in time, whatever its peers do, and with nothing left."""

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from cortexnet import Config, Limits, Node, Stream
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions

ECHO = "/test/echo/1.0.0"
PEERS = 100


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


def now() -> float:
    return asyncio.get_running_loop().time()


async def come(stack: AsyncExitStack, hub: Node, nodes: list[Node]) -> None:
    """All dial the hub, and have a stream in use."""
    for one in nodes:
        await stack.enter_async_context(one)
        await one.dial(hub.addresses)
        stream = await one.stream(hub.peer_id, ECHO)
        await stream.write(b"hello")
        assert await stream.read_exactly(5) == b"hello"
    assert len(hub.connections) == len(nodes)


def simulated(network: SimulatedNetwork, name: str) -> Node:
    made = Node(listen=["/memory/0"], config=Config(transports=["memory"], memory_network=network.host(name)))
    made.handle(ECHO, echo)
    return made


async def test_peers_that_answer_cost_a_stopping_node_a_round_trip() -> None:
    network = SimulatedNetwork(conditions=LinkConditions(latency=0.05))
    async with AsyncExitStack() as stack:
        hub = simulated(network, "hub")
        async with hub:
            await come(stack, hub, [simulated(network, f"peer {number}") for number in range(PEERS)])
            before = now()
        assert now() - before <= 0.2
        assert not any(hub.counters.values())
        await asyncio.sleep(1)
        assert len(network.links("hub")) == 0


async def test_peers_that_are_gone_without_a_word_cost_it_two_seconds() -> None:
    network = SimulatedNetwork()
    async with AsyncExitStack() as stack:
        hub = simulated(network, "hub")
        async with hub:
            nodes = [simulated(network, f"peer {number}") for number in range(PEERS)]
            await come(stack, hub, nodes)
            hub.manager.keep(nodes[0].peer_id)
            network.partition(["hub"])
            before = now()
        assert now() - before <= 2.1
        assert not any(hub.counters.values())
        network.heal()


@pytest.mark.parametrize(
    ("transport", "place"),
    [("tcp", "/ip4/127.0.0.1/tcp/0"), ("ws", "/ip4/127.0.0.1/tcp/0/ws"), ("quic", "/ip4/127.0.0.1/udp/0/quic-v1")],
)
async def test_over_sockets_too_nothing_is_left(transport: str, place: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        hub = Node(listen=[place], config=Config(transports=[transport]))
        hub.handle(ECHO, echo)
        async with hub:
            config = Config(transports=[transport], limits=Limits(connections=4))
            await come(stack, hub, [Node(config=config) for _ in range(PEERS)])
        assert not any(hub.counters.values())
    assert asyncio.all_tasks() <= before
    assert caplog.text == ""


# --- an end that is cancelled


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("turns", [1, 2, 5])
async def test_wherever_its_end_is_cancelled_a_node_leaves_no_timer_no_task_and_nobody_who_waits_for_events(
    times: int, turns: int, tmp_path: Path
) -> None:
    network = SimulatedNetwork()
    config = Config(transports=["memory"], memory_network=network.host("alice"), state_directory=tmp_path)
    alice = Node(config=config)

    async def listen() -> list[object]:
        async with alice.events() as events:
            return [event async for event in events]

    async with simulated(network, "bob") as bob:
        await alice.__aenter__()
        listening = asyncio.create_task(listen())
        await alice.dial(bob.addresses)
        ending = asyncio.create_task(alice.__aexit__(None, None, None))
        for _ in range(times):
            for _ in range(turns):
                await asyncio.sleep(0)
            ending.cancel()
        await asyncio.wait([ending])
        async with asyncio.timeout(60):
            assert await listening
    await asyncio.sleep(60)
    assert not any(alice.counters.values())
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()] == []


async def test_a_node_ends_in_good_order_where_its_application_has_put_other_observers_in_place() -> None:
    network = SimulatedNetwork()
    hub = simulated(network, "hub")
    async with hub:
        hub.manager.observers = []
    assert not any(hub.counters.values())

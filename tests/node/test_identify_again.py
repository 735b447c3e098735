"""A peer that did not say who it is, for it stood still or was cut off, is asked again while its connection lives."""

import asyncio
from itertools import pairwise

import pytest

from cortexnet import Config, Connection, Node, Stream
from cortexnet.errors import PeerTimeout
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions

ECHO = "/test/echo/1.0.0"
IDENTIFY = "/ipfs/id/1.0.0"


def node(network: SimulatedNetwork, name: str) -> Node:
    made = Node(listen=["/memory/0"], config=Config(transports=["memory"], memory_network=network.host(name)))
    made.handle(ECHO, echo)
    return made


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def be_silent(stream: Stream) -> None:
    await stream.read_all(limit=1)


@pytest.mark.parametrize("seconds", [1.0, 8.0, 20.0, 35.0])
async def test_services_meet_a_peer_that_was_cut_off_when_it_was_asked(seconds: float) -> None:
    network = SimulatedNetwork(conditions=LinkConditions(latency=0.05))
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        loop = asyncio.get_running_loop()

        def cut_off_soon(_: Connection) -> None:
            loop.call_later(0.06, network.silence, "alice", "bob")

        alice.watch(connected=cut_off_soon)
        async with alice.gossip.subscribe("topic"), bob.gossip.subscribe("topic"):
            await alice.dial(bob.addresses)
            await asyncio.sleep(seconds)
            assert alice.gossip.peers() == []
            network.heal()
            await asyncio.sleep(60)
            assert len(alice.connections) == len(bob.connections) == 1
            assert alice.gossip.peers("topic") == [bob.peer_id]
            assert bob.gossip.peers("topic") == [alice.peer_id]
            assert ECHO in (await alice.identify(bob.peer_id)).protocols


async def test_nobody_is_asked_for_ever() -> None:
    network = SimulatedNetwork()
    asked: list[float] = []

    async def note(stream: Stream) -> None:
        asked.append(asyncio.get_running_loop().time())
        await be_silent(stream)

    bob = node(network, "bob")
    bob.handle(IDENTIFY, note)
    async with node(network, "alice") as alice, bob:
        await alice.dial(bob.addresses)
        await asyncio.sleep(1_000)
        waits = [round(later - earlier) for earlier, later in pairwise(asked)]
        assert waits == [10, 15, 25, 45]
        assert alice.peers == [bob.peer_id]
        with pytest.raises(PeerTimeout):
            await alice._run.identify.identified(alice.connections[0])


async def test_gossip_goes_both_ways_with_a_peer_that_does_not_say_who_it_is() -> None:
    """It has opened its stream to us, so it speaks gossip."""
    network = SimulatedNetwork(conditions=LinkConditions(latency=0.05))
    bob = node(network, "bob")
    bob.handle(IDENTIFY, be_silent)
    async with (
        node(network, "alice") as alice,
        bob,
        alice.gossip.subscribe("topic") as at_alice,
        bob.gossip.subscribe("topic") as at_bob,
        asyncio.timeout(60),
    ):
        await alice.dial(bob.addresses)
        await asyncio.sleep(10)
        for sender, receiver in ((alice, at_bob), (bob, at_alice)):
            await sender.gossip.publish("topic", bytes(sender.peer_id))
            assert (await anext(receiver)).data == bytes(sender.peer_id)


async def test_nothing_is_left_of_it_when_the_connection_ends() -> None:
    network = SimulatedNetwork()
    bob = node(network, "bob")

    bob.handle(IDENTIFY, be_silent)
    async with node(network, "alice") as alice, bob:
        await alice.dial(bob.addresses)
        await asyncio.sleep(12)
        await alice.disconnect(bob.peer_id)
        await asyncio.sleep(0.1)
        assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("identify")] == []

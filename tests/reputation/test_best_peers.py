"""Peers with good scores stay connected, in virtual time: dialed again, never trimmed, and let go where they are not wanted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from cortexnet import Config, Node
from cortexnet.admission.limits import Limits
from cortexnet.reputation.best_peers import PROTECTED
from cortexnet.swarm.manager_config import ConnectionManagerConfig
from cortexnet.testing.network import SimulatedNetwork

PLAIN = Config(kad=None, gossip=None)


def node(network: SimulatedNetwork, name: str, config: Config = PLAIN) -> Node:
    return Node(listen=["/memory/0"], config=replace(config, transports=["memory"], memory_network=network.host(name)))


@asynccontextmanager
async def crowd(count: int, config: Config = PLAIN) -> AsyncIterator[tuple[SimulatedNetwork, Node, list[Node]]]:
    """Alice, and nodes that she has dialed."""
    network = SimulatedNetwork(seed=3)
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(node(network, "alice", config))
        others = [await stack.enter_async_context(node(network, f"peer {number}")) for number in range(count)]
        for other in others:
            await alice.dial(other.addresses)
        yield network, alice, others


def praise(alice: Node, other: Node, times: int = 30) -> None:
    for _ in range(times):
        alice.reputation.report(other.peer_id, True)


def favourites(alice: Node, others: list[Node]) -> list[bool]:
    return [alice.manager.is_protected(other.peer_id, PROTECTED) for other in others]


async def test_the_best_are_kept_and_dialed_again() -> None:
    async with crowd(3, replace(PLAIN, manager=ConnectionManagerConfig(best_peers=1))) as (network, alice, others):
        praise(alice, others[1])
        praise(alice, others[2], 10)
        await asyncio.sleep(6)
        assert favourites(alice, others) == [False, True, False]
        for name in ("peer 0", "peer 1"):
            network.cut("alice", name)
        await asyncio.sleep(5)
        assert set(alice.peers) == {others[1].peer_id, others[2].peer_id}
        assert alice.manager.kept == [], "those whom the application keeps are others"
        assert not alice.health().problems


async def test_they_are_never_trimmed() -> None:
    config = replace(PLAIN, manager=ConnectionManagerConfig(low=1, high=2, grace=0.0, best_peers=1))
    async with crowd(2, config) as (_, alice, others):
        praise(alice, others[0])
        await asyncio.sleep(30)
        await alice.manager.trim()
        assert alice.peers == [others[0].peer_id]


async def test_one_that_falls_is_let_go() -> None:
    async with crowd(1) as (network, alice, (other,)):
        praise(alice, other)
        await asyncio.sleep(6)
        assert favourites(alice, [other]) == [True]
        for _ in range(60):
            alice.reputation.report(other.peer_id, False)
        await asyncio.sleep(80)
        assert favourites(alice, [other]) == [False]
        network.cut("alice", "peer 0")
        await asyncio.sleep(80)
        assert alice.peers == []


async def test_one_that_somebody_here_disconnects_stays_away() -> None:
    async with crowd(1) as (_, alice, (other,)):
        praise(alice, other)
        await asyncio.sleep(6)
        await alice.disconnect(other.peer_id)
        await asyncio.sleep(200)
        assert (alice.peers, favourites(alice, [other])) == ([], [False])


async def test_one_that_is_gone_for_good_is_given_up() -> None:
    async with crowd(2) as (network, alice, others):
        praise(alice, others[0], 1000)
        await asyncio.sleep(6)
        network.silence("alice", "peer 0")
        network.cut("alice", "peer 0")
        await asyncio.sleep(300)
        assert favourites(alice, others) == [True, False]
        await asyncio.sleep(600)
        assert favourites(alice, others) == [False, False]
        network.heal()
        await asyncio.sleep(300)
        assert alice.peers == [others[1].peer_id]


async def test_those_of_an_earlier_run_are_dialed_at_the_start(tmp_path: Path) -> None:
    network, kept = SimulatedNetwork(seed=3), replace(PLAIN, state_directory=tmp_path)
    async with node(network, "bob") as bob:
        async with node(network, "alice", kept) as alice:
            identity = alice.identity
            await alice.dial(bob.addresses)
            praise(alice, bob)
            await asyncio.sleep(1)
        config = replace(kept, transports=["memory"], memory_network=network.host("alice"))
        async with Node(identity, listen=["/memory/0"], config=config) as alice:
            await asyncio.sleep(10)
            assert alice.peers == [bob.peer_id]


async def test_there_may_be_none_and_no_more_than_may_be_protected() -> None:
    async with crowd(1, replace(PLAIN, manager=ConnectionManagerConfig(best_peers=0))) as (_, alice, others):
        praise(alice, others[0])
        await asyncio.sleep(100)
        assert favourites(alice, others) == [False]
    async with crowd(2, replace(PLAIN, limits=Limits(protected_peers=1))) as (_, alice, others):
        for other in others:
            praise(alice, other)
        await asyncio.sleep(100)
        assert sorted(favourites(alice, others)) == [False, True]

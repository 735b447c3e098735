"""Nodes that find each other, by each of the ways, in memory and virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from cortexnet import Config, Identity, KadConfig, Node, PeerId
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions

PRIVATE = KadConfig(prefix="/test", lan=False, filter_addresses=False)


def simulated(seed: int = 0) -> SimulatedNetwork:
    return SimulatedNetwork(seed, LinkConditions(latency=0.01))


def node(
    network: SimulatedNetwork,
    name: str,
    discovery: DiscoveryConfig | None = None,
    *,
    kad: KadConfig | None = None,
    listen: Sequence[str] = ("/memory/0",),
    identity: Identity | None = None,
    bootstrap: Sequence[Any] = (),
) -> Node:
    config = Config(
        transports=["memory"],
        memory_network=network.host(name),
        kad=kad,
        gossip=None,
        discovery=discovery or DiscoveryConfig(),
    )
    return Node(identity, listen=listen, bootstrap=bootstrap, config=config)


def node_of(first: Node, name: str, config: DiscoveryConfig, kad: KadConfig | None = None) -> Node:
    """One more in the network of another one, which is its bootstrap node."""
    network = first.config.memory_network
    assert network is not None
    settings = Config(transports=["memory"], memory_network=network.named(name), kad=kad, gossip=None, discovery=config)
    return Node(listen=["/memory/0"], bootstrap=first.addresses, config=settings)


async def until(condition: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (virtual time is what is waited for)
            await asyncio.sleep(0.5)


async def collect(one: Node, found: dict[PeerId, str]) -> None:
    async with one.discovered() as stream:
        async for peer in stream:
            assert peer.peer_id not in found, "each peer comes once"
            found[peer.peer_id] = peer.source


@asynccontextmanager
async def crowd(
    count: int, config: DiscoveryConfig, *, kad: KadConfig | None = None, network: SimulatedNetwork | None = None
) -> AsyncIterator[tuple[AsyncExitStack, list[Node]]]:
    """So many nodes that know the first one alone, whose end is that of the stack given."""
    network = network or simulated()
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        stack.push_async_exit(first)
        nodes = [await first.enter_async_context(node(network, "0", config, kad=kad, listen=["/memory/70"]))]
        for number in range(1, count):
            made = node(network, str(number), config, kad=kad, bootstrap=nodes[0].addresses)
            nodes.append(await stack.enter_async_context(made))
        yield first, nodes
    assert [count for one in nodes for count in one.counters.values() if count] == []


# --- each of the ways ------------------------------------------------------------------------------------------------------


async def test_ten_nodes_find_each_other_by_one_bootstrap_node() -> None:
    async with crowd(11, DiscoveryConfig(peers=20)) as (_, nodes):
        everybody = {one.peer_id for one in nodes}
        await until(lambda: all(set(one.peers) == everybody - {one.peer_id} for one in nodes[1:]), 180)


PASSIVE = DiscoveryConfig(peers=0)
"""Dials nobody by itself; so whoever meets such nodes has found them."""


async def test_the_stream_names_each_found_peer_once_with_its_source() -> None:
    async with crowd(5, PASSIVE) as (_, nodes), node_of(nodes[0], "late", DiscoveryConfig(peers=20)) as late:
        found: dict[PeerId, str] = {}
        watching = asyncio.create_task(collect(late, found))
        await until(lambda: len(late.peers) == 5, 10)
        assert found == {nodes[0].peer_id: "bootstrap"} | dict.fromkeys([one.peer_id for one in nodes[1:]], "exchange")
    await watching  # the end of the node ends it


async def test_five_nodes_find_each_other_by_the_namespace_in_the_dht() -> None:
    config = DiscoveryConfig(namespace="test/app", exchange=False)
    async with crowd(6, PASSIVE, kad=PRIVATE) as (_, bystanders), AsyncExitStack() as stack:
        members = []
        for number in range(5):
            made = node_of(bystanders[0], f"member {number}", config, PRIVATE)
            members.append(await stack.enter_async_context(made))
        ids = {one.peer_id for one in members}
        await until(lambda: all(ids - {one.peer_id} <= set(one.peers) for one in members), 120)
        await until(lambda: all(sources(one, "namespace") == ids - {one.peer_id} for one in members), 120)


def sources(one: Node, source: str) -> set[PeerId]:
    assert one._running is not None
    table = one._running.discovered.table
    return {known.peer_id for known in table.fresh(0.0) if source in known.sources}


async def test_after_the_bootstrap_node_died_peers_are_found_by_exchange_alone() -> None:
    network = simulated()
    async with crowd(5, DiscoveryConfig(peers=20), network=network) as (first, nodes):
        await until(lambda: all(len(one.peers) == 4 for one in nodes[1:]), 180)
        await first.aclose()
        await until(lambda: all(len(one.peers) == 3 for one in nodes[1:]), 60)
        late = node(network, "late", DiscoveryConfig(peers=20), bootstrap=["/memory/70", *nodes[1].addresses])
        async with late:
            await until(lambda: set(late.peers) == {one.peer_id for one in nodes[1:]}, 120)
            assert [result.outcome for result in late.bootstrap_results] == ["unreachable", "connected"]

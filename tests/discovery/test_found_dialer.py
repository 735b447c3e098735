"""Found peers are dialed as long as there are too few, and in moderation."""

import asyncio
from contextlib import AsyncExitStack

from cortexnet import Identity, Multiaddr, Node, PeerId
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.testing.network import SimulatedNetwork
from tests.discovery.test_finding import PASSIVE, node, simulated, until


def tell(one: Node, *others: Node, source: str = "mdns") -> None:
    """Let one node find others."""
    assert one._running is not None
    for other in others:
        one._running.discovered.found(other.peer_id, other.listen_addresses(), source)


def tell_of_nobody(one: Node, place: str) -> PeerId:
    """Let a node find a peer that is not there."""
    assert one._running is not None
    peer = Identity.generate().peer_id
    one._running.discovered.found(peer, [Multiaddr.parse(place)], "mdns")
    return peer


async def start(stack: AsyncExitStack, network: SimulatedNetwork, count: int) -> list[Node]:
    return [await stack.enter_async_context(node(network, f"other {number}", PASSIVE)) for number in range(count)]


async def test_dialing_stops_where_there_are_enough_and_goes_on_where_some_are_lost() -> None:
    network = simulated()
    async with AsyncExitStack() as stack, node(network, "alice", DiscoveryConfig(peers=4), listen=[]) as alice:
        others = await start(stack, network, 10)
        tell(alice, *others)
        await until(lambda: len(alice.peers) == 4, 5)
        await asyncio.sleep(1800)
        assert len(alice.peers) == alice.tally.found_dials == 4
        lost = alice.peers[0]
        network.cut("alice", f"other {[one.peer_id for one in others].index(lost)}")
        await until(lambda: len(alice.peers) == 4 and lost not in alice.peers, 5)
        assert alice.tally.found_dials == 5


async def test_with_zero_peers_wanted_nobody_is_dialed() -> None:
    network = simulated()
    async with node(network, "alice", PASSIVE) as alice, node(network, "bob", PASSIVE) as bob:
        tell(alice, bob)
        await asyncio.sleep(3600)
        assert alice.peers == []
        assert [known.peer_id for known in alice._running.discovered.table.fresh(0.0)] == [bob.peer_id]  # type: ignore[union-attr]


async def test_at_most_so_many_are_dialed_at_once() -> None:
    network = simulated()
    for port in range(70, 90):
        network.silence("alice", f"/memory/{port}")
    async with node(network, "alice", DiscoveryConfig(dials=3)) as alice:
        for port in range(70, 90):
            tell_of_nobody(alice, f"/memory/{port}")
        most = 0
        for _ in range(200):
            await asyncio.sleep(0.5)
            most = max(most, alice.tally.found_dials - alice.tally.found_dials_failed)
        assert most == 3
        assert alice.tally.found_dials_failed > 10


async def test_those_that_are_gone_hold_up_the_others_together_and_not_each_by_itself() -> None:
    network = simulated()
    for port in range(70, 78):
        network.silence("alice", f"/memory/{port}")
    async with AsyncExitStack() as stack, node(network, "alice", DiscoveryConfig(dials=4)) as alice:
        for port in range(70, 78):
            tell_of_nobody(alice, f"/memory/{port}")
        others = await start(stack, network, 3)
        tell(alice, *others)
        await until(lambda: len(alice.peers) == 3, 50)


async def test_who_is_not_reached_is_left_alone_for_longer_each_time() -> None:
    async with node(simulated(), "alice", DiscoveryConfig(retry_first=30.0, found_ttl=36_000.0)) as alice:
        tell_of_nobody(alice, "/memory/70")
        await asyncio.sleep(35)
        assert 1 <= alice.tally.found_dials <= 2
        await asyncio.sleep(3600)
        assert 6 <= alice.tally.found_dials == alice.tally.found_dials_failed <= 9


async def test_who_was_not_reached_is_tried_at_once_in_another_network() -> None:
    network = simulated()
    async with node(network, "alice", DiscoveryConfig(retry_first=3000.0)) as alice:
        tell_of_nobody(alice, "/memory/70")
        await until(lambda: alice.tally.found_dials_failed == 1, 5)
        alice.manager.network_changed()
        await until(lambda: alice.tally.found_dials_failed == 2, 5)


async def test_who_ends_the_connection_at_once_is_not_dialed_again_and_again() -> None:
    network = simulated()
    async with node(network, "alice", listen=[]) as alice, node(network, "bob", PASSIVE) as bob:
        bob.gater.deny(alice.peer_id)
        tell(alice, bob)
        await asyncio.sleep(600)
        assert alice.peers == []
        assert 2 <= alice.tally.found_dials <= 7


async def test_who_is_of_bad_repute_is_not_dialed_and_does_not_count() -> None:
    network = simulated()
    async with AsyncExitStack() as stack, node(network, "alice", DiscoveryConfig(peers=2), listen=[]) as alice:
        bad, *others = await start(stack, network, 3)
        assert alice.reputation is not None
        while alice.reputation.score(bad.peer_id) >= -20:
            alice.reputation.violation(bad.peer_id, "a test")
        tell(alice, bad)
        await asyncio.sleep(60)
        assert alice.tally.found_dials == 0
        tell(alice, *others)
        await until(lambda: set(alice.peers) == {other.peer_id for other in others}, 5)


async def test_a_peer_found_by_a_bootstrap_list_is_left_to_the_connection_manager() -> None:
    network = simulated()
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        tell(alice, bob, source="bootstrap")
        await asyncio.sleep(60)
        assert alice.tally.dials == 0


async def test_a_node_that_ends_while_it_dials_leaves_nothing() -> None:
    network = simulated()
    network.silence("alice", "/memory/70")
    async with node(network, "alice") as alice:
        tell_of_nobody(alice, "/memory/70")
        await asyncio.sleep(1)
        assert alice.tally.found_dials == 1
    assert [count for count in alice.counters.values() if count] == []

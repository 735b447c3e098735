"""Bootstrap peers that are there, that are gone, that are others, and names that lead to some of them."""

import asyncio
import logging
from typing import Any

import pytest

from cortexnet import Config, Identity, Limits, Multiaddr, Node
from cortexnet.discovery.bootstrap import AGAIN, Bootstrap
from cortexnet.discovery.events import BootstrapResult
from cortexnet.errors import CortexError, ResolveFailed
from cortexnet.testing.network import SimulatedNetwork
from tests.discovery.test_finding import node, simulated, until

NAME = Multiaddr.parse("/dnsaddr/bootstrap.example.org")


def outcomes(one: Node) -> list[str]:
    return [result.outcome for result in one.bootstrap_results]


async def watch(one: Node, seen: list[BootstrapResult]) -> None:
    async with one.events(BootstrapResult) as events:
        async for event in events:
            assert isinstance(event, BootstrapResult)
            seen.append(event)


# --- lists -----------------------------------------------------------------------------------------------------------------


async def test_a_bootstrap_node_that_dies_is_a_warning_and_is_found_again_when_it_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network, identity, seen = simulated(), Identity.generate(), list[BootstrapResult]()
    address = f"/memory/70/p2p/{identity.peer_id}"
    async with node(network, "alice", bootstrap=[address]) as alice:
        watching = asyncio.create_task(watch(alice, seen))
        async with node(network, "first", identity=identity, listen=["/memory/70"]):
            await until(lambda: outcomes(alice) == ["connected"], 5)
        await until(lambda: outcomes(alice) == ["unreachable"], 5)
        assert alice.bootstrap_results[0].address == Multiaddr.parse(address)
        assert "see whether it runs" in alice.bootstrap_results[0].advice
        await asyncio.sleep(3600)
        async with node(network, "first", identity=identity, listen=["/memory/70"]) as first:
            await until(lambda: outcomes(alice) == ["connected"], 61)
            assert alice.peers == [first.peer_id]
    await watching
    assert [event.outcome for event in seen[:4]] == ["connected", "lost", "unreachable", "connected"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert f"bootstrap peer {address} can't be used now" in warnings[0]
    assert "\n" not in warnings[0]  # a log has a line for each
    assert "see whether it runs, and whether address and port are right; it is tried again" in warnings[0]


async def test_a_wrong_address_and_a_wrong_peer_id_are_named_and_the_right_one_serves(caplog: pytest.LogCaptureFixture) -> None:
    network, nobody = simulated(), Identity.generate().peer_id
    async with node(network, "first", listen=["/memory/70"]) as first, node(network, "other", listen=["/memory/71"]) as other:
        places = [
            *first.addresses,
            f"/memory/72/p2p/{first.peer_id}",
            f"/memory/73/p2p/{other.peer_id}",
            f"/memory/71/p2p/{nobody}",
        ]
        async with node(network, "alice", bootstrap=places) as alice:
            await alice.ready()
            right, wrong_address, wrong_peer = alice.bootstrap_results
            assert (right.outcome, right.peer_id, right.error) == ("connected", first.peer_id, "")
            assert (wrong_address.outcome, wrong_address.peer_id) == ("unreachable", other.peer_id)
            assert "/memory/73" in wrong_address.error
            assert (wrong_peer.outcome, wrong_peer.peer_id) == ("wrong peer", nobody)
            assert f"expected peer {nobody}, but {other.peer_id} answered" in wrong_peer.error
            assert alice.peers == [first.peer_id], "the node goes on"
    assert f"bootstrap peer {places[2]} can't be used now" in caplog.text
    assert f"bootstrap peer {places[3]} can't be used now" in caplog.text
    assert "another node answers there: correct the peer id or the address" in caplog.text


async def test_who_answers_at_an_address_without_peer_id_is_told() -> None:
    network = simulated()
    async with node(network, "alice", bootstrap=["/memory/70"]) as alice:
        await alice.ready()
        assert [(result.outcome, result.peer_id) for result in alice.bootstrap_results] == [("unreachable", None)]
        async with node(network, "first", listen=["/memory/70"]) as first:
            await until(lambda: outcomes(alice) == ["connected"], 61)
            assert alice.bootstrap_results[0].peer_id == first.peer_id
        await until(lambda: outcomes(alice) == ["unreachable"], 61)
        assert alice.bootstrap_results[0].peer_id is None, "somebody else may answer there next"


async def test_a_bootstrap_peer_that_comes_by_itself_is_connected_too() -> None:
    network, identity = simulated(), Identity.generate()
    async with node(network, "alice", bootstrap=[f"/memory/70/p2p/{identity.peer_id}"]) as alice:
        await until(lambda: outcomes(alice) == ["unreachable"], 5)
        async with node(network, "first", identity=identity, listen=["/memory/71"]) as first:
            await first.dial(alice.addresses)
            await until(lambda: outcomes(alice) == ["connected"], 1)


async def test_all_are_dialed_at_once() -> None:
    network, places = simulated(), [f"/memory/{port}/p2p/{Identity.generate().peer_id}" for port in range(70, 80)]
    for port in range(70, 80):
        network.silence("alice", f"/memory/{port}")
    async with node(network, "alice", bootstrap=places) as alice:
        assert set(outcomes(alice)) == {"not tried yet"}
        began = asyncio.get_running_loop().time()
        await alice.ready()
        assert asyncio.get_running_loop().time() - began < 20
        assert len(outcomes(alice)) == 10
        assert "not tried yet" not in outcomes(alice)


async def test_a_node_without_bootstrap_peers_has_no_results_and_its_own_address_is_none() -> None:
    network, identity = simulated(), Identity.generate()
    async with node(network, "alice", identity=identity, bootstrap=[f"/memory/70/p2p/{identity.peer_id}"]) as alice:
        await alice.ready()
        assert alice.bootstrap_results == []
    async with node(network, "bob") as bob:
        assert bob.bootstrap_results == []


# --- names -----------------------------------------------------------------------------------------------------------------


class Names:
    """A name server, which answers with what it has at the moment."""

    def __init__(self, found: list[str] | CortexError) -> None:
        self.found = found
        self.asked = 0

    async def resolve(self, address: Multiaddr) -> list[Multiaddr]:
        assert address == NAME
        self.asked += 1
        await asyncio.sleep(0.1)
        if isinstance(self.found, CortexError):
            raise self.found
        return [Multiaddr.parse(text) for text in self.found]


def follow(one: Node, names: Names, *addresses: Multiaddr) -> Bootstrap:
    """What a node does that is given these addresses, or NAME."""
    assert one._running is not None
    assert one._scope is not None
    running = one._running
    bootstrap = Bootstrap(
        one.manager, running.upkeep, running.discovered, resolve=names.resolve, publish=one._bus.publish, scope=one._scope
    )
    one.watch(connected=bootstrap.connected, disconnected=bootstrap.disconnected)
    running.bootstrap = bootstrap
    bootstrap.start(addresses or [NAME])
    return bootstrap


async def test_of_a_name_each_peer_has_a_result_of_its_own() -> None:
    network, nobody = simulated(), Identity.generate().peer_id
    async with node(network, "first", listen=["/memory/70"]) as first, node(network, "alice", listen=[]) as alice:
        names = Names([f"/memory/70/p2p/{first.peer_id}", f"/memory/71/p2p/{first.peer_id}", f"/memory/72/p2p/{nobody}"])
        follow(alice, names)
        assert [(result.address, result.outcome) for result in alice.bootstrap_results] == [(NAME, "not tried yet")]
        await alice.ready()
        assert [(result.peer_id, result.outcome) for result in alice.bootstrap_results] == [
            (first.peer_id, "connected"),
            (nobody, "unreachable"),
        ]
        assert set(alice.manager.kept) == {first.peer_id, nobody}
        await asyncio.sleep(10 * AGAIN)
        assert names.asked == 1, "as long as one of them is connected"


async def test_a_name_that_leads_nowhere_is_a_warning_and_is_looked_up_again(caplog: pytest.LogCaptureFixture) -> None:
    network = simulated()
    async with node(network, "first", listen=["/memory/70"]) as first, node(network, "alice", listen=[]) as alice:
        names = Names(ResolveFailed("bootstrap.example.org", "the name does not exist"))
        follow(alice, names)
        await alice.ready()
        (result,) = alice.bootstrap_results
        assert (result.address, result.outcome, result.peer_id) == (NAME, "unresolved", None)
        assert "1 of 1 peers that are to be connected can't be reached: /dnsaddr/" in alice.health().problems[0].what
        await asyncio.sleep(3600)
        assert 15 <= names.asked <= 35
        names.found = [f"/memory/70/p2p/{first.peer_id}"]
        await until(lambda: outcomes(alice) == ["connected"], 301)
        assert alice.health().problems == ()
    assert caplog.text.count("leads to nobody now: bootstrap.example.org: the name does not exist; see whether the name is") == 1


async def test_where_nobody_of_a_name_is_left_it_may_lead_to_others_by_now() -> None:
    network, gone = simulated(), Identity.generate().peer_id
    async with node(network, "first", listen=["/memory/70"]) as first, node(network, "alice", listen=[]) as alice:
        names = Names([f"/memory/72/p2p/{gone}"])
        follow(alice, names)
        await alice.ready()
        assert alice.manager.kept == [gone]
        names.found = ResolveFailed("bootstrap.example.org", "no DNS server has answered in time")
        await asyncio.sleep(AGAIN + 10)
        assert outcomes(alice) == ["unreachable"], "those known before are kept"
        names.found = [f"/memory/70/p2p/{first.peer_id}"]
        await until(lambda: outcomes(alice) == ["connected"], 301)
        assert alice.manager.kept == [first.peer_id]
        assert alice.manager.kept_count == 1


async def test_who_is_behind_two_names_stays_as_long_as_it_is_behind_one() -> None:
    network, shared, other = simulated(), Identity.generate().peer_id, Identity.generate().peer_id
    async with node(network, "alice", listen=[]) as alice:
        names = Names([f"/memory/72/p2p/{shared}"])
        second = Multiaddr.parse("/dnsaddr/second.example.org")
        found = {NAME: names.found, second: names.found}

        async def resolve(address: Multiaddr) -> list[Multiaddr]:
            names.found = found[address]
            return await Names.resolve(names, NAME)

        names.resolve = resolve  # type: ignore[method-assign]
        follow(alice, names, NAME, second)
        await alice.ready()
        assert alice.manager.kept == [shared]
        found[NAME] = [f"/memory/73/p2p/{other}"]
        await asyncio.sleep(AGAIN + 10)
        assert set(alice.manager.kept) == {shared, other}
        found[second] = found[NAME]
        await asyncio.sleep(AGAIN + 10)
        assert alice.manager.kept == [other]
        assert [result.peer_id for result in alice.bootstrap_results] == [other]
        found[second] = [f"/memory/72/p2p/{shared}"]
        await asyncio.sleep(AGAIN + 10)
        assert set(alice.manager.kept) == {shared, other}, "both names are still followed"


async def test_whom_an_address_names_stays_whatever_becomes_of_a_name() -> None:
    network, given, other = simulated(), Identity.generate().peer_id, Identity.generate().peer_id
    async with node(network, "alice", listen=[]) as alice:
        names = Names([f"/memory/72/p2p/{given}"])
        follow(alice, names, Multiaddr.parse(f"/memory/72/p2p/{given}"), NAME)
        await alice.ready()
        names.found = [f"/memory/73/p2p/{other}"]
        await asyncio.sleep(AGAIN + 10)
        assert set(alice.manager.kept) == {given, other}


async def test_more_peers_than_may_be_kept_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    network = SimulatedNetwork()
    config = Config(transports=["memory"], memory_network=network.host("alice"), kad=None, limits=Limits(kept_peers=2))
    async with Node(config=config) as alice:
        follow(alice, Names([f"/memory/{port}/p2p/{Identity.generate().peer_id}" for port in range(70, 73)]))
        await alice.ready()
        assert outcomes(alice) == ["unreachable"] * 2
    assert "/memory/72" in caplog.text
    assert "is left out" in caplog.text


async def test_a_node_that_ends_while_a_name_is_looked_up_leaves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def never(address: Multiaddr) -> Any:
        await asyncio.get_running_loop().create_future()

    async with node(simulated(), "alice") as alice:
        names = Names([])
        names.resolve = never  # type: ignore[method-assign]
        follow(alice, names)
        waiting = asyncio.create_task(alice.ready())
        await asyncio.sleep(1)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 1)

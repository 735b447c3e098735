"""Calls of `node.kad` for many keys, namespaces, and peers that share a name."""

import asyncio

import pytest

from cortexnet import Cid, KadConfig, LocalError, NoPeers
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.kad.dht_config import DhtConfig
from tests.kad.kad_nodes import QUIET, Longest, node, nodes, simulated

CIDS = [Cid.for_data(b"%d" % number) for number in range(40)]
SPACES = KadConfig(
    prefix="/test", lan=False, filter_addresses=False, validators={"cx": Longest()}, dht=DhtConfig(namespaces=True)
)


async def test_much_content_is_provided_and_found_in_one_call() -> None:
    async with nodes(5) as (_, alice, bob, *_rest):
        told = await alice.kad.provide_many([*CIDS, str(CIDS[0])])
        assert list(told) == [*CIDS, str(CIDS[0])]
        assert min(told.values()) >= 3
        found = await bob.kad.find_providers_many([*CIDS, Cid.for_data(b"nothing")])
        assert [[contact.peer_id for contact in found[cid]] for cid in CIDS] == [[alice.peer_id]] * len(CIDS)
        assert found[Cid.for_data(b"nothing")] == []


async def test_many_values_are_stored_and_found_in_one_call() -> None:
    async with nodes(5) as (_, alice, bob, *_rest):
        values = {f"/news/{number}": b"%d" % number for number in range(40)}
        stored = await alice.kad.put_many(values)
        assert min(stored.values()) >= 3
        assert await bob.kad.get_many([*values, b"/news/nothing"]) == values


async def test_a_namespace_is_listed_completely() -> None:
    async with nodes(5, SPACES) as (_, alice, bob, *_rest):
        songs = {f"/cx/4/music/{number}": b"%d" % number for number in range(30)}
        await alice.kad.put_many(songs)
        await alice.kad.put_value("/cx/4/films/1", b"other")
        listed = await bob.kad.list_namespace("music", 4)
        assert sorted(listed) == sorted(key.encode() for key in songs)


async def test_namespaces_are_off_unless_asked_for() -> None:
    async with nodes(2) as (alice, _):
        with pytest.raises(LocalError, match="namespaces are off"):
            await alice.kad.list_namespace("music", 4)


async def test_nodes_find_each_other_by_the_name_of_their_application() -> None:
    async with nodes(5) as (_, alice, bob, carol, dave):
        for one in (alice, bob, carol):
            assert await one.advertise("my-app") >= 3
        found = [contact async for contact in carol.find_peers("my-app")]
        assert {contact.peer_id for contact in found} == {alice.peer_id, bob.peer_id}
        assert all(contact.addresses for contact in found)
        assert len([contact async for contact in dave.find_peers("my-app", limit=2)]) == 2
        assert [contact async for contact in dave.find_peers("another")] == []


async def test_the_name_is_the_content_that_go_makes_of_it() -> None:
    async with nodes(3) as (_, alice, bob):
        await alice.advertise("my-app")
        cid = "bafkreicmtj24zjyx563izblpe25ieudtp5congangmmtzfh2bohjzv3brq"
        assert [contact.peer_id async for contact in bob.kad.find_providers(cid)] == [alice.peer_id]


async def test_an_advertisement_is_renewed_until_it_is_stopped() -> None:
    async with nodes(3, QUIET) as (_, alice, bob):
        await alice.advertise("my-app")
        await alice.advertise("my-app")
        await asyncio.sleep(26 * 3600)
        (found,) = [contact async for contact in bob.find_peers("my-app")]
        assert found.addresses  # which others forget after a day
        alice.stop_advertising("my-app")
        with pytest.raises(LocalError, match="not advertised"):
            alice.stop_advertising("my-app")
        await asyncio.sleep(49 * 3600)
        assert [contact async for contact in bob.find_peers("my-app")] == []


async def test_where_addresses_are_forgotten_they_are_looked_for() -> None:
    async with nodes(4, QUIET) as (_, alice, bob, _carol):
        await alice.advertise("my-app")
        alice.stop_advertising("my-app")
        await asyncio.sleep(25 * 3600)
        (found,) = [contact async for contact in bob.find_peers("my-app")]
        assert found.addresses == tuple(alice.listen_addresses())


async def test_a_search_for_peers_can_be_left_and_makes_sense() -> None:
    async with nodes(3) as (_, alice, bob):
        await alice.advertise("my-app")
        async with bob.find_peers("my-app") as search:
            await anext(search)
        assert [contact async for contact in search] == []
        for namespace in ("", "x" * 1025, "\ud800"):
            with pytest.raises(LocalError):
                bob.find_peers(namespace)
        with pytest.raises(LocalError, match="finds none"):
            bob.find_peers("my-app", limit=0)


async def test_who_has_nobody_to_tell_advertises_nothing() -> None:
    async with node(simulated(), "alice") as alice:
        with pytest.raises(NoPeers):
            await alice.advertise("my-app")
        with pytest.raises(LocalError, match="not advertised"):
            alice.stop_advertising("my-app")


async def test_what_is_configured_is_advertised_and_searched_from_the_start() -> None:
    network = simulated()
    discovery = DiscoveryConfig(namespace="my-app", peers=2)
    async with (
        node(network, "meeting") as meeting,
        node(network, "alice", discovery=discovery, bootstrap=meeting.addresses) as alice,
        node(network, "bob", discovery=discovery, bootstrap=meeting.addresses) as bob,
    ):
        await asyncio.sleep(600)
        assert bob.peer_id in alice.peers
        await alice.disconnect(bob.peer_id)
        await asyncio.sleep(1200)
        assert bob.peer_id in alice.peers


async def test_what_is_configured_is_tried_again_until_somebody_is_there() -> None:
    network = simulated()
    async with node(network, "alice", discovery=DiscoveryConfig(namespace="my-app")) as alice:
        await asyncio.sleep(300)
        async with node(network, "bob") as bob:
            await bob.dial(alice.addresses)
            await asyncio.sleep(300)
            assert [contact.peer_id async for contact in bob.find_peers("my-app")] == [alice.peer_id]

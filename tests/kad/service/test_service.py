"""`node.kad` between whole nodes: peers, values and providers are found through others, and what can't be found is told why."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cortexnet import (
    Cid,
    Config,
    Contact,
    Identity,
    InvalidRecord,
    KadConfig,
    LocalError,
    Node,
    NoPeers,
    NotFound,
    NotRunning,
    PeerId,
)
from tests.kad.kad_nodes import LAN, PRIVATE, QUIET, node, nodes, simulated

if TYPE_CHECKING:
    from cortexnet.kad.engine.operation import Progress

SOMEBODY = PeerId.parse("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")
CID = Cid.for_data(b"hello")


class Anything:
    """Takes whatever comes, as validators do that trust their own node."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """Everything is valid."""

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return 0


def ids(contacts: Sequence[Contact]) -> list[PeerId]:
    return [contact.peer_id for contact in contacts]


async def test_two_nodes_with_all_defaults_find_each_others_providers_through_a_third() -> None:
    async with nodes(3, KadConfig()) as (_, alice, bob):
        assert await alice.kad.provide(CID) >= 1
        found = [contact async for contact in bob.kad.find_providers(str(CID))]
        assert ids(found) == [alice.peer_id]
        assert found[0].addresses == (alice.addresses[0].split_peer()[0],)
        await bob.dial(found[0].peer_id)


async def test_the_default_serves_the_private_network_alone_and_says_so() -> None:
    async with nodes(2, KadConfig()) as (alice, bob):
        assert (LAN in alice.protocols, "/ipfs/kad/1.0.0" in alice.protocols) == (True, False)
        assert bob.kad.lan is not None
        assert (len(bob.kad.lan.dht.table), len(bob.kad.wan.dht.table)) == (1, 0)


async def test_a_node_without_dht_says_which_setting_that_is() -> None:
    async with node(simulated(), "alice", None) as alice:
        for use in (lambda: alice.kad, lambda: alice.find_peers("x"), lambda: alice.stop_advertising("x")):
            with pytest.raises(LocalError, match="`kad` is a KadConfig"):
                use()
        with pytest.raises(LocalError, match="`kad` is a KadConfig"):
            await alice.advertise("x")
    with pytest.raises(NotRunning):
        _ = alice.kad


async def test_a_value_is_found_through_others_and_the_best_one_wins() -> None:
    async with nodes(5) as (_, alice, bob, carol, _dave):
        assert await alice.kad.put_value("/news/today", b"old") >= 3
        assert await bob.kad.get_value("/news/today") == b"old"
        assert await bob.kad.put_value("/news/today", b"newer") >= 3
        assert await carol.kad.get_value(b"/news/today") == b"newer"
        assert await carol.kad.get_value("/news/today", quorum=1) == b"newer"
        with pytest.raises(InvalidRecord, match="better"):
            await alice.kad.put_value("/news/today", b"old")


async def test_what_is_no_value_is_refused_before_anybody_is_told() -> None:
    async with nodes(2) as (alice, _):
        with pytest.raises(InvalidRecord, match="no text"):
            await alice.kad.put_value("/news/today", b"\xff")
        for call in (alice.kad.put_value("/olds/today", b"x"), alice.kad.get_value("/olds/today")):
            with pytest.raises(LocalError, match="'olds'"):
                await call
        with pytest.raises(LocalError, match="/namespace/name"):
            await alice.kad.get_value("today")


@pytest.mark.parametrize("wrong", ["sunny", None, 5])
async def test_a_text_is_no_value_and_nothing_of_it_is_stored(wrong: Any) -> None:
    validators = {"news": Anything()}
    async with nodes(2, replace(PRIVATE, validators=validators)) as (alice, bob):
        calls = (alice.kad.put_value("/news/t", wrong), alice.kad.put_many({"/news/s": b"sunny", "/news/t": wrong}))
        for call in calls:
            with pytest.raises(LocalError, match="a value is bytes, not"):
                await call
        for key in ("/news/s", "/news/t"):
            with pytest.raises(NotFound):
                await bob.kad.get_value(key)
        assert len(alice.kad.wan.dht.values) == len(bob.kad.wan.dht.values) == 0


async def test_values_of_many_keys_come_as_a_mapping() -> None:
    wrong: Any = ["/news/t"]
    async with nodes(2) as (alice, _):
        with pytest.raises(LocalError, match="a value for each key, not a list"):
            await alice.kad.put_many(wrong)


async def test_what_is_kept_of_a_value_does_not_change_with_the_callers_buffer() -> None:
    async with nodes(3) as (_, alice, bob):
        buffers = bytearray(b"sunny"), bytearray(b"mild")
        assert await alice.kad.put_value("/news/t", buffers[0])
        assert await alice.kad.put_many({"/news/u": buffers[1]})
        for buffer in buffers:
            buffer[:] = b"\xff"
        assert await bob.kad.get_many(["/news/t", "/news/u"]) == {"/news/t": b"sunny", "/news/u": b"mild"}
        assert await alice.kad.get_value("/news/t") == b"sunny"


async def test_what_names_nothing_is_refused_in_words() -> None:
    wrong: tuple[Any, ...] = (None, 5, [CID])
    async with nodes(2) as (alice, _):
        kad = alice.kad
        for each in wrong:
            for call in (
                kad.provide(each),
                kad.get_value(each),
                kad.find_peer(each),
                kad.closest_peers(each),
                kad.announce(each),
            ):
                with pytest.raises(LocalError, match=f"not (by )?(a )?{type(each).__name__}"):
                    await call
            for call_at_once in (kad.find_providers, kad.stop_providing, kad.forget_value, kad.name_here):
                with pytest.raises(LocalError, match=f"not (by )?(a )?{type(each).__name__}"):
                    call_at_once(each)
        with pytest.raises(LocalError, match="not by a bytes"):
            await kad.provide(b"x")  # type: ignore[arg-type]
        with pytest.raises(LocalError, match="'nonsense' is no whole CID"):
            await kad.provide("nonsense")


async def test_a_public_key_is_stored_under_the_text_of_its_owner() -> None:
    async with nodes(3) as (_, alice, bob):
        owner = Identity.generate("ecdsa")
        await alice.kad.put_value(f"/pk/{owner.peer_id}", owner.public_key.marshal())
        assert await bob.kad.get_value(f"/pk/{owner.peer_id}") == owner.public_key.marshal()


async def test_a_peer_is_found_through_others_and_can_be_dialed_then() -> None:
    async with nodes(6) as (_, alice, *_rest, bob):
        await alice.disconnect(bob.peer_id)
        found = await alice.kad.find_peer(str(bob.peer_id))
        assert (found.peer_id, found.addresses) == (bob.peer_id, tuple(bob.listen_addresses()))
        assert await alice.dial(bob.peer_id) == bob.peer_id
        assert await alice.kad.find_peer(bob.peer_id) == found  # asking nobody, for it is connected


async def test_a_peer_that_serves_nobody_is_found_through_one_that_it_is_connected_to() -> None:
    network, client = simulated(), replace(PRIVATE, mode="client")
    async with node(network, "hub") as hub, node(network, "bob", client, bootstrap=hub.addresses) as bob:
        await bob.ready()
        async with node(network, "alice", client, bootstrap=hub.addresses) as alice:
            found = await alice.kad.find_peer(bob.peer_id)
            assert (found.peer_id, found.addresses) == (bob.peer_id, tuple(bob.listen_addresses()))


async def test_what_nobody_has_is_told_with_how_many_were_asked() -> None:
    async with nodes(4) as (alice, *_):
        for call in (alice.kad.find_peer(SOMEBODY), alice.kad.get_value("/news/never")):
            with pytest.raises(NotFound) as caught:
                await call
            assert caught.value.asked >= 3
        assert [contact async for contact in alice.kad.find_providers(CID)] == []


async def test_the_closest_peers_are_those_nearest_by_position() -> None:
    async with nodes(6) as (alice, *others):
        target = Contact(SOMEBODY).position
        nearest = sorted([one.peer_id for one in others], key=lambda peer: Contact(peer).position ^ target)
        seen: list[Progress] = []
        assert ids(await alice.kad.closest_peers(SOMEBODY, on_progress=seen.append)) == nearest
        assert (seen[-1].asked, seen[-1].answered, seen[-1].hops >= 1) == (5, 5, True)
        assert seen[-1].best == Contact(nearest[0]).position ^ target
        assert ids(await alice.kad.closest_peers(CID))


async def test_providers_come_as_they_are_found_and_no_more_than_wanted() -> None:
    async with nodes(6) as (_, *providers, alice):
        for provider in providers:
            await provider.kad.provide(CID)
        assert {one.peer_id for one in providers} == set(ids([c async for c in alice.kad.find_providers(CID)]))
        assert len([c async for c in alice.kad.find_providers(CID, limit=2)]) == 2
        assert len([c async for c in alice.kad.find_providers(CID, limit=None)]) == 4
        with pytest.raises(LocalError, match="finds none"):
            alice.kad.find_providers(CID, limit=0)


async def test_a_search_may_be_left_at_any_time() -> None:
    async with nodes(4) as (_, alice, bob, carol):
        await alice.kad.provide(CID)
        await bob.kad.provide(CID)
        async for _found in carol.kad.find_providers(CID):
            break
        async with carol.kad.find_providers(CID) as search:
            await anext(search)
        with pytest.raises(StopAsyncIteration):
            await anext(search)
        del search
        await asyncio.sleep(1)
        assert not carol.kad.wan.dht._running


async def test_what_a_node_provides_and_stores_it_can_give_up() -> None:
    async with nodes(2) as (alice, bob):
        await alice.kad.provide(CID)
        alice.kad.stop_providing(CID)
        await alice.kad.put_value("/news/today", b"old")
        alice.kad.forget_value("/news/today")
        assert ids([c async for c in bob.kad.find_providers(CID)]) == [alice.peer_id]  # others keep it for two days


async def test_what_is_provided_is_told_again_before_others_forget_it() -> None:
    async with nodes(3, QUIET) as (_, alice, bob):
        await alice.kad.provide(CID)
        await asyncio.sleep(60 * 3600)
        assert ids([c async for c in bob.kad.find_providers(CID)]) == [alice.peer_id]


async def test_an_operation_waits_for_a_first_peer() -> None:
    network = simulated()
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        providing = asyncio.ensure_future(bob.kad.provide(CID))
        await asyncio.sleep(5)
        assert not providing.done()
        await bob.dial(alice.addresses)
        assert await providing == 1


async def test_without_peers_every_operation_fails_in_time_and_says_what_to_do() -> None:
    loop = asyncio.get_running_loop()
    async with node(simulated(), "alice") as alice:
        for call in (
            alice.kad.provide(CID),
            alice.kad.find_peer(SOMEBODY),
            alice.kad.get_value("/news/x"),
            alice.kad.put_value("/news/x", b"x"),
            alice.kad.closest_peers(CID),
            anext(alice.kad.find_providers(CID)),
        ):
            begin = loop.time()
            with pytest.raises(NoPeers, match="no peer that serves /test/kad/1"):
                await call
            assert loop.time() - begin == pytest.approx(10)


async def test_peers_of_another_network_are_of_no_use_and_that_is_said() -> None:
    network = simulated()
    async with node(network, "alice", KadConfig(prefix="/other")) as alice, node(network, "bob") as bob:
        await bob.dial(alice.addresses)
        with pytest.raises(NoPeers, match="of 1 connected peers none serves"):
            await bob.kad.provide(CID)


async def test_a_node_that_listens_nowhere_asks_and_neither_serves_nor_provides() -> None:
    network = simulated()
    async with node(network, "alice") as alice, node(network, "bob", listen=(), bootstrap=alice.addresses) as bob:
        await bob.ready()
        with pytest.raises(LocalError, match="address"):
            await bob.kad.provide(CID)
        assert ids(await bob.kad.closest_peers(CID)) == [alice.peer_id]
        assert "/test/kad/1.0.0" not in bob.protocols
        assert len(alice.kad.wan.dht.table) == 0


@pytest.mark.parametrize(("mode", "serves"), [("client", False), ("server", True)])
async def test_the_mode_says_who_serves(mode: Any, serves: bool) -> None:
    async with nodes(2, KadConfig(mode=mode)) as (alice, _):
        assert [half.protocol in alice.protocols for half in alice.kad.halves] == [serves, serves]


async def test_a_handler_of_the_applications_own_stays() -> None:
    served = asyncio.Event()

    async def serve(stream: Any) -> None:
        served.set()

    network = simulated()
    alice = node(network, "alice")
    alice.handle("/test/kad/1.0.0", serve)
    async with alice, node(network, "bob") as bob:
        await bob.dial(alice.addresses)
        async with asyncio.timeout(60):
            await served.wait()
        alice.unhandle("/test/kad/1.0.0")


async def test_a_node_that_stops_serving_leaves_the_tables_of_others() -> None:
    async with nodes(3) as (alice, bob, carol):
        assert [bob.peer_id in one.kad.wan.dht.table for one in (alice, carol)] == [True, True]
        bob.kad.wan.serve(False)
        await asyncio.sleep(10)
        assert [bob.peer_id in one.kad.wan.dht.table for one in (alice, carol)] == [False, False]


async def test_nodes_meet_through_the_bootstrap_nodes_of_their_dht() -> None:
    network = simulated()
    async with node(network, "alice") as alice:
        addresses = [str(address) for address in alice.addresses]
        dead = f"/memory/999/p2p/{SOMEBODY}"
        kad = KadConfig(prefix="/test", lan=False, filter_addresses=False, bootstrap=[*addresses, dead])
        async with node(network, "bob", kad) as bob:
            assert ids(await bob.kad.closest_peers(CID)) == [alice.peer_id]
            await bob.disconnect(alice.peer_id)
            await asyncio.sleep(300)
            assert ids(await bob.kad.closest_peers(CID)) == [alice.peer_id]


async def test_a_bootstrap_node_that_is_late_is_found() -> None:
    network = simulated()
    identity = Identity.generate()
    kad = KadConfig(prefix="/test", lan=False, filter_addresses=False, bootstrap=[f"/memory/77/p2p/{identity.peer_id}"])
    async with node(network, "bob", kad) as bob:
        await asyncio.sleep(100)
        config = Config(transports=["memory"], memory_network=network.host("alice"), kad=PRIVATE)
        async with Node(identity, listen=["/memory/77"], config=config):
            await asyncio.sleep(600)
            assert len(bob.kad.wan.dht.table) == 1


async def test_a_closing_node_ends_what_goes_on() -> None:
    network = simulated()
    alice = node(network, "alice")
    async with alice:
        waiting = asyncio.ensure_future(alice.kad.closest_peers(CID))
        await asyncio.sleep(1)
    with pytest.raises(NotRunning):
        await waiting
    async with node(network, "bob") as bob:
        carol = node(network, "carol", bootstrap=bob.addresses)
        async with carol:
            await asyncio.sleep(1)
            kad = carol.kad
            network.silence("bob", "carol")
            waiting = asyncio.ensure_future(kad.closest_peers(CID))
            await asyncio.sleep(1)
        with pytest.raises(NotRunning):
            await waiting
        with pytest.raises(NotRunning):
            await kad.closest_peers(CID)

"""Cards between whole nodes, in memory and virtual time: asked for, kept, changed, renewed, refused, and found by."""

import asyncio
import base64
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from cortexnet import (
    Card,
    CardConfig,
    Config,
    ConfigInvalid,
    Identity,
    LocalError,
    NegotiationFailed,
    Node,
    NoPeers,
    NotRunning,
    PeerTimeout,
    ProtocolViolation,
    RemoteError,
    Request,
    RequestFailed,
    StreamCode,
)
from cortexnet.discovery.card_cache import CardCache
from cortexnet.discovery.cards import PROTOCOL, Cards
from cortexnet.identity.card import CardDetails
from cortexnet.testing.network import SimulatedNetwork
from tests.kad.kad_nodes import PRIVATE, node, nodes, simulated
from tests.support.cancel import How, points, run_until

SAID = CardConfig(capabilities=["gpu"], region="u33d", metadata={"name": "Größe"}, limits={"requests/s": 5})
GPU = CardDetails(capabilities=["gpu"])


def named(network: SimulatedNetwork, name: str, card: CardConfig | None = None, **settings: Any) -> Node:
    return node(network, name, None, card=card or CardConfig(), **settings)


class Clock:
    """A wall clock that can be set."""

    def __init__(self) -> None:
        self.now = 1.8e9

    def __call__(self) -> float:
        return self.now


def cards_of(one: Node, config: CardConfig, clock: Clock) -> Cards:
    """A service of its own on a node that has none, whose wall clock can be set."""
    running = one._run
    assert running._context is not None
    return Cards(running._context, config, running.discovery, running.selection.caller, unix_time=clock)


# --- asked for, and kept ---------------------------------------------------------------------------------------------------


async def test_a_node_says_what_it_was_told_to_say_signed() -> None:
    network = simulated()
    async with named(network, "alice", SAID) as alice, named(network, "bob") as bob:
        await bob.dial(alice.addresses)
        card = await bob.card(str(alice.peer_id))
        assert (card.peer_id, card.details) == (alice.peer_id, SAID.details)
        assert card == alice.own_card == Card.open(card.envelope, alice.peer_id)
        assert card.expires - card.issued == SAID.lifetime
        assert PROTOCOL in (await bob.identify(alice.peer_id)).protocols


async def test_a_node_with_nothing_to_say_has_no_card_and_speaks_no_such_protocol() -> None:
    network = simulated()
    async with named(network, "alice") as alice, named(network, "bob") as bob:
        await bob.dial(alice.addresses)
        assert (alice.own_card, PROTOCOL in alice.protocols) == (None, False)
        with pytest.raises(NegotiationFailed):
            await bob.card(alice.peer_id)
        assert bob.reputation.score(alice.peer_id) >= 0  # to have none is no fault


async def test_a_card_is_dialed_for_and_asked_for_again_only_after_its_time() -> None:
    network = simulated()
    async with named(network, "alice", SAID) as alice, named(network, "bob") as bob:
        await bob.dial(alice.addresses)
        await bob.disconnect(alice.peer_id)
        first = await bob.card(alice.peer_id)
        alice.update_card(region="9q8y")
        await bob.disconnect(alice.peer_id)
        assert await bob.card(alice.peer_id) is first
        assert bob.peers == []
        await asyncio.sleep(SAID.cache_time + 1)
        again = await bob.card(alice.peer_id)
        assert (again.details.region, again.sequence > first.sequence) == ("9q8y", True)


async def test_a_node_that_is_alone_is_found_by_whoever_asks_it_even_where_that_serves_nothing() -> None:
    network = simulated()
    async with node(network, "alice", card=replace(SAID, capabilities=["cpu", "gpu"])) as alice:
        await asyncio.sleep(30)  # nobody could be told
        async with node(network, "bob", replace(PRIVATE, mode="client")) as bob:
            await bob.dial(alice.addresses)
            assert [card.peer_id async for card in bob.find("gpu", "u33")] == [alice.peer_id]


async def test_what_has_changed_is_seen_by_whoever_asks_afresh() -> None:
    network = simulated()
    async with named(network, "alice", SAID) as alice, named(network, "bob") as bob:
        await bob.dial(alice.addresses)
        first = await bob.card(alice.peer_id)
        changed = alice.update_card(metadata={"load": "high"}, limits={})
        assert changed is not None
        assert (changed.details.capabilities, changed.details.region) == (("gpu",), "u33d")
        assert (dict(changed.details.metadata), dict(changed.details.limits)) == ({"load": "high"}, {})
        assert await bob.card(alice.peer_id, fresh=True) == changed == await bob.card(alice.peer_id)
        assert changed.sequence > first.sequence


async def test_a_node_may_begin_and_cease_to_have_a_card_while_it_runs() -> None:
    network = simulated()
    async with named(network, "alice") as alice, named(network, "bob") as bob:
        await bob.dial(alice.addresses)
        alice.update_card(region="u3")
        assert (await bob.card(alice.peer_id)).details.region == "u3"
        assert alice.update_card(region="") is None
        assert PROTOCOL not in alice.protocols
        with pytest.raises(NegotiationFailed):
            await bob.card(alice.peer_id, fresh=True)


async def test_what_no_card_can_say_changes_nothing() -> None:
    async with named(simulated(), "alice", SAID) as alice:
        before = alice.own_card
        with pytest.raises(ConfigInvalid, match=r"card\.region"):
            alice.update_card(region="nowhere", metadata={})
        assert alice.own_card is before
    with pytest.raises(NotRunning):
        _ = alice.own_card


async def test_after_a_restart_the_new_card_counts_and_what_was_said_at_runtime_is_over() -> None:
    network, identity = simulated(), Identity.generate()
    config = Config(transports=["memory"], memory_network=network.host("alice"), kad=None, card=SAID)
    async with named(network, "bob") as bob:
        async with Node(identity, listen=["/memory/7"], config=config) as alice:
            alice.update_card(region="9q8y")
            where = alice.addresses
            await bob.dial(where)
            first = await bob.card(alice.peer_id)
        async with Node(identity, listen=["/memory/7"], config=config) as alice:
            await bob.dial(where)
            second = await bob.card(alice.peer_id, fresh=True)
    assert (first.details.region, second.details.region) == ("9q8y", "u33d")
    assert second.sequence > first.sequence


@pytest.mark.parametrize("key_type", ["rsa", "secp256k1", "ecdsa"])
async def test_cards_are_signed_with_keys_of_any_type(key_type: Any) -> None:
    network = simulated()
    config = Config(transports=["memory"], memory_network=network.host("alice"), kad=None, card=SAID)
    async with Node(Identity.generate(key_type), listen=["/memory/0"], config=config) as alice, named(network, "bob") as bob:
        await bob.dial(alice.addresses)
        assert (await bob.card(alice.peer_id)).details == SAID.details


async def test_many_who_want_one_card_ask_once_and_one_who_gives_up_takes_nobody_along() -> None:
    network = simulated()
    async with named(network, "alice", SAID) as alice, named(network, "bob") as bob:
        await bob.dial(alice.addresses)
        first, *others = [asyncio.ensure_future(bob.card(alice.peer_id, fresh=True)) for _ in range(50)]
        await asyncio.sleep(0.001)
        first.cancel()
        cards = await asyncio.gather(*others)
        assert {card.sequence for card in cards} == {cards[0].sequence}
        assert first.cancelled()


async def test_those_who_wait_for_a_card_that_does_not_come_are_told_why() -> None:
    network = simulated()
    async with named(network, "alice") as alice, named(network, "bob") as bob:
        await bob.dial(alice.addresses)
        outcomes = await asyncio.gather(*[bob.card(alice.peer_id) for _ in range(3)], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [NegotiationFailed] * 3


async def test_only_so_many_cards_are_kept() -> None:
    network = simulated()
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(named(network, str(number), SAID)) for number in range(4)]
        bob = await stack.enter_async_context(named(network, "bob", CardConfig(cache_size=3)))
        for other in others:
            await bob.dial(other.addresses)
            await bob.card(other.peer_id)
        for other in others:
            await bob.disconnect(other.peer_id)
        await bob.card(others[3].peer_id)
        assert bob.peers == []
        await bob.card(others[0].peer_id)  # had to go, and is asked for again
        assert bob.peers == [others[0].peer_id]


# --- renewed, and clocks ---------------------------------------------------------------------------------------------------


async def test_a_card_is_signed_anew_at_half_of_its_life_and_where_the_clock_was_set_back() -> None:
    async with named(simulated(), "alice") as alice:
        clock = Clock()
        cards = cards_of(alice, CardConfig(region="u3", lifetime=1_000, clock_skew=60), clock)
        first = cards.own
        assert first is not None
        clock.now += 499
        assert cards.own is first
        clock.now -= 499 + 59
        assert cards.own is first
        clock.now += 59 + 501
        second = cards.own
        assert second is not None
        assert (second.sequence > first.sequence, second.issued - first.issued) == (True, 501)
        clock.now -= 86_400
        third = cards.own
        assert third is not None
        assert (third.sequence, third.issued) == (second.sequence + 1, second.issued - 86_400)
        await cards.close()


@pytest.mark.parametrize(
    ("ahead", "words"), [(-61.0, "ahead"), (-59.0, None), (1_059.0, None), (1_061.0, "expired")], ids=lambda value: str(value)
)
async def test_a_card_of_another_time_is_refused_and_nobody_is_blamed(ahead: float, words: str | None) -> None:
    network, config = simulated(), CardConfig(lifetime=1_000, clock_skew=60)
    async with named(network, "alice") as alice, named(network, "bob") as bob:
        clock = Clock()
        issued = Card.issue(alice.identity.private_key, GPU, sequence=1, issued=int(clock.now), lifetime=1_000)
        serve(alice, issued.envelope)
        cards = cards_of(bob, config, clock)
        await bob.dial(alice.addresses)
        clock.now += ahead
        if words is None:
            assert await cards.of(alice.peer_id) == issued
        else:
            with pytest.raises(ProtocolViolation, match=words):
                await cards.of(alice.peer_id)
        assert bob.reputation.score(alice.peer_id) >= 0
        await cards.close()


async def test_a_kept_card_ends_with_its_time() -> None:
    network = simulated()
    async with named(network, "alice") as alice, named(network, "bob") as bob:
        clock = Clock()
        issued = Card.issue(alice.identity.private_key, GPU, sequence=1, issued=int(clock.now), lifetime=10)
        serve(alice, issued.envelope)
        cards = cards_of(bob, CardConfig(clock_skew=5), clock)
        await bob.dial(alice.addresses)
        await cards.of(alice.peer_id)
        await asyncio.sleep(14)
        clock.now += 14
        assert await cards.of(alice.peer_id) == issued
        await asyncio.sleep(2)
        clock.now += 2
        with pytest.raises(ProtocolViolation, match="expired"):
            await cards.of(alice.peer_id)
        await cards.close()


# --- hostile ---------------------------------------------------------------------------------------------------------------


def serve(one: Node, answer: bytes) -> None:
    """Let a node answer something of our choice."""

    async def respond(request: Request) -> bytes:
        return answer

    one.respond(PROTOCOL, respond)


def card_of_nobody(number: int = 1) -> Card:
    return Card.issue(Identity.generate().private_key, GPU, sequence=number, issued=1_000, lifetime=1_000)


@pytest.mark.parametrize(
    "answer",
    [b"", b"\xff" * 100, b"\0", card_of_nobody().envelope, card_of_nobody().envelope[:-1], bytes(8_193), bytes(1_000_000)],
    ids=["nothing", "noise", "zero", "somebody else's", "cut", "too long", "far too long"],
)
async def test_a_wrong_card_is_an_error_of_its_peer_and_is_not_kept(answer: bytes) -> None:
    network = simulated()
    async with named(network, "mallory") as mallory, named(network, "bob") as bob:
        serve(mallory, answer)
        await bob.dial(mallory.addresses)
        for _ in range(2):
            with pytest.raises(RemoteError):
                await bob.card(mallory.peer_id)
        assert bob.reputation.score(mallory.peer_id) < 0
        assert mallory.peer_id in bob.peers


async def test_an_older_card_loses_silently() -> None:
    network = simulated()
    async with named(network, "alice") as alice, named(network, "bob") as bob:
        clock, key = Clock(), alice.identity.private_key
        old, new = (Card.issue(key, GPU, sequence=number, issued=int(clock.now), lifetime=1_000) for number in (1, 2))
        cards = cards_of(bob, CardConfig(), clock)
        await bob.dial(alice.addresses)
        for served in (new, old):
            serve(alice, served.envelope)
            assert await cards.of(alice.peer_id, fresh=True) == new
            alice.unhandle(PROTOCOL)
        await cards.close()


async def test_a_peer_that_never_answers_costs_so_many_seconds() -> None:
    async def never(request: Request) -> bytes:
        await asyncio.Event().wait()
        return b""

    network = simulated()
    async with named(network, "mallory") as mallory, named(network, "bob", CardConfig(timeout=3.0)) as bob:
        mallory.respond(PROTOCOL, never)
        await bob.dial(mallory.addresses)
        begin = asyncio.get_running_loop().time()
        with pytest.raises(PeerTimeout, match="the card of"):
            await bob.card(mallory.peer_id)
        assert asyncio.get_running_loop().time() - begin == pytest.approx(3.0)


async def test_who_asks_too_often_is_refused_for_a_while_and_others_are_not() -> None:
    network = simulated()
    async with named(network, "alice", SAID) as alice, named(network, "mallory") as mallory, named(network, "bob") as bob:
        await mallory.dial(alice.addresses)
        await bob.dial(alice.addresses)
        for _ in range(SAID.request_burst):
            await mallory.card(alice.peer_id, fresh=True)
        with pytest.raises(RequestFailed) as caught:
            await mallory.card(alice.peer_id, fresh=True)
        assert caught.value.code == StreamCode.RATE_LIMITED
        assert await bob.card(alice.peer_id, fresh=True) == alice.own_card
        await asyncio.sleep(1 / SAID.request_rate)
        assert await mallory.card(alice.peer_id, fresh=True) == alice.own_card


async def test_a_question_with_content_is_none() -> None:
    network = simulated()
    async with named(network, "alice", SAID) as alice, named(network, "mallory") as mallory:
        await mallory.dial(alice.addresses)
        with pytest.raises(RequestFailed):
            await mallory.request(alice.peer_id, PROTOCOL, b"?")


# --- found -----------------------------------------------------------------------------------------------------------------

REGIONS = ["u33d", "u33d", "u33e", "u281", "9q8y", "9q9h", "", "u33d"]


async def found_by(one: Node, capability: str, region: str = "", limit: int | None = 20) -> set[Any]:
    """Who is found; nobody comes twice."""
    found = [card.peer_id async for card in one.find(capability, region, limit)]
    assert len(found) == len(set(found))
    return set(found)


def saying(region: str, *capabilities: str) -> CardConfig:
    return CardConfig(capabilities=capabilities, region=region)


async def test_ten_nodes_find_each_other_by_capability_and_by_region() -> None:
    network = simulated()
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(node(network, "hub"))
        members = []
        for number, region in enumerate(REGIONS):
            card = saying(region, "gpu") if number % 2 else saying(region, "gpu", "store")
            one = node(network, str(number), bootstrap=hub.addresses, card=card)
            members.append(await stack.enter_async_context(one))
        alice = await stack.enter_async_context(node(network, "alice", bootstrap=hub.addresses))
        await asyncio.sleep(300)
        ids = [member.peer_id for member in members]
        assert await found_by(alice, "gpu") == set(ids)
        assert await found_by(alice, "store") == set(ids[::2])
        assert await found_by(alice, "gpu", "u33") == {ids[0], ids[1], ids[2], ids[7]}
        assert await found_by(alice, "gpu", "u33d") == {ids[0], ids[1], ids[7]}
        assert await found_by(alice, "store", "9") == {ids[4]}
        assert await found_by(alice, "store", "zz") == set()
        assert await found_by(alice, "gpu/fast") == set()
        assert await found_by(members[0], "gpu") == set(ids[1:])  # not itself
        assert len(await found_by(alice, "gpu", limit=3)) == 3
        assert len(await found_by(alice, "gpu", limit=None)) == len(ids)


async def test_what_a_node_can_do_from_now_on_is_found_and_what_not_any_more_is_not() -> None:
    async with nodes(4) as (_, alice, bob, _carol):
        alice.update_card(capabilities=["gpu", "store"])
        await asyncio.sleep(60)
        assert await found_by(bob, "gpu") == {alice.peer_id}
        alice.update_card(capabilities=["store"])
        await asyncio.sleep(CardConfig().cache_time)
        async with bob.find("gpu") as search:
            assert [card async for card in search] == []
        assert search.skipped == {alice.peer_id: "its card says something else"}  # the DHT remembers for two days
        assert await found_by(bob, "store") == {alice.peer_id}
        assert bob.reputation.score(alice.peer_id) >= 0  # who was named by others is not to blame


async def test_capabilities_are_told_again_after_restarts_and_for_days() -> None:
    network = simulated()
    async with node(network, "hub") as hub, node(network, "bob", bootstrap=hub.addresses) as bob:
        config = Config(transports=["memory"], memory_network=network.host("alice"), kad=PRIVATE, card=SAID)
        identity = Identity.generate()
        for _ in range(2):
            async with Node(identity, listen=["/memory/7"], bootstrap=hub.addresses, config=config) as alice:
                await asyncio.sleep(120)
                assert await found_by(bob, "gpu", "u3") == {alice.peer_id}
            assert await found_by(bob, "gpu") <= {alice.peer_id}  # it may be in the cache


async def test_a_node_that_was_alone_at_first_is_found_later() -> None:
    network = simulated()
    async with node(network, "alice", card=SAID) as alice:
        await asyncio.sleep(300)
        async with node(network, "bob", bootstrap=alice.addresses) as bob:
            await asyncio.sleep(300)
            assert await found_by(bob, "gpu") == {alice.peer_id}


async def test_an_advertisement_that_the_application_has_ended_itself_is_no_trouble() -> None:
    async with nodes(3, card=SAID) as (alice, bob, _):
        await asyncio.sleep(60)
        alice.stop_advertising("/cortex/capability/gpu")
        alice.update_card(capabilities=["store"])
        await asyncio.sleep(60)
        assert await found_by(bob, "store") == {alice.peer_id}


async def test_liars_are_left_out_and_those_who_send_wrong_cards_are_blamed() -> None:
    """Whoever answers a lookup may name anybody: only what a peer itself has signed or sent speaks for or against it."""
    async with nodes(6) as (_, honest, cardless, other, forger, bob):
        honest.update_card(capabilities=["gpu"])
        other.update_card(capabilities=["cpu"])
        serve(forger, card_of_nobody().envelope)
        for liar in (cardless, other, forger):
            await liar.advertise("/cortex/capability/gpu")
        await asyncio.sleep(60)
        async with bob.find("gpu") as search:
            assert [card.peer_id async for card in search] == [honest.peer_id]
        assert set(search.skipped) == {cardless.peer_id, other.peer_id, forger.peer_id}
        violations = [bob.reputation.explain(one.peer_id).violations for one in (cardless, other, forger)]
        assert violations == [0, 0, pytest.approx(1, rel=0.01)]


async def test_dead_nodes_hold_up_a_search_but_do_not_end_it() -> None:
    network = simulated()
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(node(network, "hub"))
        members = []
        for number in range(4):
            one = node(network, str(number), bootstrap=hub.addresses, card=saying("u3", "gpu"))
            members.append(await stack.enter_async_context(one))
        alice = await stack.enter_async_context(node(network, "alice", bootstrap=hub.addresses))
        await asyncio.sleep(120)
        network.partition(["1", "2"])
        async with alice.find("gpu") as search:
            found = {card.peer_id async for card in search}
        assert found == {members[0].peer_id, members[3].peer_id}
        assert set(search.skipped) == {members[1].peer_id, members[2].peer_id}


async def test_a_search_looks_at_so_many_nodes_and_no_more() -> None:
    async with nodes(6) as (_, *members, bob):
        for member in members:
            member.update_card(capabilities=["gpu"])
        await asyncio.sleep(60)
        cards = cards_of(bob, CardConfig(find_peers=2), Clock())
        cards._unix_time = lambda: members[0].own_card.issued  # type: ignore[union-attr]
        assert len([card async for card in cards.find("gpu", limit=None)]) == 2
        await cards.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("GPU",), "no name"), (("gpu", "a"), "geohash"), (("gpu", "u33db"), "geohash"), (("gpu", "u3", 0), "finds none")],
)
async def test_what_cannot_be_looked_for_is_refused_at_once(arguments: tuple[Any, ...], words: str) -> None:
    async with node(simulated(), "alice") as alice:
        with pytest.raises(LocalError, match=words):
            alice.find(*arguments)


async def test_without_a_dht_nobody_is_found_and_without_peers_neither() -> None:
    async with named(simulated(), "alice") as alice:
        with pytest.raises(LocalError, match="the DHT is off"):
            alice.find("gpu")
    async with node(simulated(), "alice") as alice:
        with pytest.raises(NoPeers):
            await anext(alice.find("gpu"))


async def test_a_search_ends_with_its_node() -> None:
    network = simulated()
    async with node(network, "hub") as hub:
        async with node(network, "alice", bootstrap=hub.addresses) as alice:
            search = alice.find("gpu")
        with pytest.raises(NotRunning):
            await anext(search)


# --- cancelled -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["early", "late", "moment"])
@pytest.mark.parametrize("call", ["card", "find", "find one"])
async def test_cancelled_anywhere_nothing_of_a_call_is_left(call: str, how: How) -> None:
    patient = CardConfig(capabilities=["gpu"], request_rate=1_000.0, request_burst=1_000)
    async with nodes(3, card=patient) as (_, alice, bob):
        await asyncio.sleep(60)
        cards = bob._run.cards

        async def operate() -> None:
            if call == "card":
                await bob.disconnect(alice.peer_id)
                await bob.card(alice.peer_id, fresh=True)
            elif call == "find":
                assert len([card async for card in bob.find("gpu")]) == 2
            else:
                async with bob.find("gpu", limit=1) as search:
                    assert await anext(search)

        for point in points(how):
            cards._cache = CardCache(10)
            is_reached = await run_until(point, operate())
            await asyncio.sleep(5)  # a search that was only dropped finishes those it has asked
            assert (len(cards._asking), len(cards._scope)) == (0, 1)  # the one that advertises
            if not is_reached:
                break
        assert (await bob.card(alice.peer_id, fresh=True)).peer_id == alice.peer_id


# --- handed over -----------------------------------------------------------------------------------------------------------


async def test_a_new_key_is_vouched_for_by_a_last_card_of_the_old_one() -> None:
    """What docs/identity.md says about changing a key."""
    network, old, new = simulated(), Identity.generate(), Identity.generate()
    said = CardDetails(metadata={"successor": str(new.peer_id)})
    last = Card.issue(old.private_key, said, sequence=1, issued=1_800_000_000, lifetime=30 * 86_400)
    card = CardConfig(metadata={"predecessor": base64.b64encode(last.envelope).decode()})
    config = Config(transports=["memory"], memory_network=network.host("new"), kad=None, card=card)
    async with Node(new, listen=["/memory/0"], config=config) as node, named(network, "bob") as bob:
        await bob.dial(node.addresses)
        shown = await bob.card(new.peer_id)
    before = Card.open(base64.b64decode(shown.details.metadata["predecessor"]))
    assert (before.peer_id, before.details.metadata["successor"]) == (old.peer_id, str(shown.peer_id))


@pytest.mark.parametrize("key_type", ["rsa", "ecdsa"])
def test_the_last_card_of_a_long_key_fits_into_the_next_one(key_type: Any) -> None:
    said = CardDetails(metadata={"successor": str(Identity.generate(key_type).peer_id)})
    last = Card.issue(Identity.generate(key_type).private_key, said, sequence=1, issued=1, lifetime=1)
    assert CardDetails(metadata={"predecessor": base64.b64encode(last.envelope).decode()})

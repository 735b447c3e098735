"""Peer exchange between nodes, honest and not."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from cortexnet import Identity, Multiaddr, Node, PeerId, Refuse, Stream, StreamCode, StreamReset
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.discovery.exchange import ANSWERS_AT_ONCE, PROTOCOL, decode_answer, encode_answer, encode_question
from cortexnet.discovery.exchange_service import PeerExchange
from cortexnet.discovery.found_dialer import FoundDialer
from cortexnet.identity.envelope import PeerRecord, SignedRecord
from tests.discovery.test_finding import PASSIVE, node, node_of, simulated, sources, until
from tests.discovery.test_found_dialer import tell_of_nobody

PUBLIC = Multiaddr.parse("/ip4/8.8.8.8/tcp/4001")
PRIVATE = Multiaddr.parse("/ip4/192.168.1.7/tcp/4001")
LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/4001")


def signed(identity: Identity, *places: Multiaddr, sequence: int = 1) -> bytes:
    return PeerRecord(identity.peer_id, sequence, places).seal(identity.private_key)


async def ask(one: Node, other: Node, question: bytes) -> list[PeerId]:
    """Whom one node hears of from another."""
    async with one.stream(other.peer_id, PROTOCOL) as stream:
        await stream.write_message(question)
        answer = await stream.read_message(limit=100_000)
    return [record.record.peer_id for record in decode_answer(answer, want=64, is_known=lambda peer: False)]


# --- answering -------------------------------------------------------------------------------------------------------------


async def test_others_are_named_and_not_who_asks_nor_more_than_are_wanted() -> None:
    network = simulated()
    async with AsyncExitStack() as stack, node(network, "first", PASSIVE) as first:
        others = []
        for number in range(4):
            others.append(await stack.enter_async_context(node(network, f"other {number}", PASSIVE)))
            await others[-1].dial(first.addresses)
        await asyncio.sleep(1)
        ids = {other.peer_id for other in others[1:]}
        assert set(await ask(others[0], first, encode_question(16))) == ids
        two = await ask(others[0], first, encode_question(2))
        assert len(two) == 2
        assert set(two) < ids
        assert first.tally.exchanges_answered == 2


async def test_who_listens_nowhere_is_named_to_nobody() -> None:
    network = simulated()
    async with (
        node(network, "first", PASSIVE) as first,
        node(network, "hidden", PASSIVE, listen=[]) as hidden,
        node(network, "asker", PASSIVE) as asker,
    ):
        await hidden.dial(first.addresses)
        await asker.dial(first.addresses)
        await asyncio.sleep(1)
        assert await ask(asker, first, encode_question(16)) == []


async def test_who_is_of_bad_repute_is_named_to_nobody() -> None:
    network = simulated()
    async with (
        node(network, "first", PASSIVE) as first,
        node(network, "bad", PASSIVE) as bad,
        node(network, "asker", PASSIVE) as asker,
    ):
        await bad.dial(first.addresses)
        await asker.dial(first.addresses)
        await asyncio.sleep(1)
        assert first.reputation is not None
        while first.reputation.score(bad.peer_id) >= -20:
            first.reputation.violation(bad.peer_id, "a test")
        assert await ask(asker, first, encode_question(16)) == []


async def test_who_asks_too_often_or_for_nobody_or_nonsense_is_refused() -> None:
    network = simulated()
    async with node(network, "first", PASSIVE) as first, node(network, "asker", PASSIVE) as asker:
        await asker.dial(first.addresses)
        for question in (encode_question(0), b"\x08", b"x" * 65):
            with pytest.raises(StreamReset) as caught:
                await ask(asker, first, question)
            assert caught.value.code == StreamCode.PROTOCOL_VIOLATION
        for _ in range(ANSWERS_AT_ONCE - 3):
            await ask(asker, first, encode_question(1))
        with pytest.raises(StreamReset) as caught:
            await ask(asker, first, encode_question(1))
        assert caught.value.code == StreamCode.RATE_LIMITED
        assert (first.tally.exchanges_answered, first.tally.exchanges_refused) == (1, 1)


async def test_who_asks_and_says_nothing_is_given_up() -> None:
    network = simulated()
    async with node(network, "first", PASSIVE) as first, node(network, "asker", PASSIVE) as asker:
        await asker.dial(first.addresses)
        async with asker.stream(first.peer_id, PROTOCOL, confirm=True) as stream:
            with pytest.raises(StreamReset):
                await stream.read(1)
        assert first.tally.exchanges_answered == 0


async def test_a_node_whose_exchange_is_off_neither_answers_nor_asks() -> None:
    network = simulated()
    async with node(network, "first", PASSIVE) as first:
        off = node(network, "off", DiscoveryConfig(exchange=False), bootstrap=first.addresses)
        async with off:
            assert PROTOCOL not in off.protocols
            await asyncio.sleep(600)
            assert off.tally.exchanges_asked == first.tally.exchanges_answered == 0


# --- asking ----------------------------------------------------------------------------------------------------------------


async def test_who_looks_for_no_network_asks_nobody() -> None:
    network = simulated()
    async with node(network, "first", PASSIVE) as first, node(network, "alice") as alice:
        await alice.dial(first.addresses)
        await asyncio.sleep(600)
        assert first.tally.exchanges_answered == 0


async def test_who_has_enough_peers_asks_nobody_and_who_lost_some_asks_again() -> None:
    network = simulated()
    async with AsyncExitStack() as stack, node(network, "first", PASSIVE) as first:
        for number in range(3):
            await stack.enter_async_context(node_of(first, f"other {number}", PASSIVE))
        async with node_of(first, "alice", DiscoveryConfig(peers=3)) as alice:
            await until(lambda: len(alice.peers) == 3, 10)
            asked = alice.tally.exchanges_asked
            await asyncio.sleep(3600)
            assert alice.tally.exchanges_asked == asked
            for number in range(3):
                network.cut("alice", f"other {number}")
            await until(lambda: alice.tally.exchanges_asked > asked, 70)


async def test_peers_that_were_tried_in_vain_do_not_keep_a_node_from_asking_for_others() -> None:
    network = simulated()
    async with node(network, "first", PASSIVE) as first, node_of(first, "alice", DiscoveryConfig(peers=3)) as alice:
        for port in range(80, 90):
            tell_of_nobody(alice, f"/memory/{port}")
        await asyncio.sleep(120)
        asked = alice.tally.exchanges_asked
        async with node_of(first, "bob", PASSIVE) as bob:
            await until(lambda: bob.peer_id in alice.peers, 70)
        assert alice.tally.exchanges_asked > asked


Handler = Callable[[Stream], Awaitable[None]]


async def hear(handler: Handler, seconds: float = 30.0) -> tuple[Node, float]:
    """A node that asks a peer with this answer, after some time; and the violations of that peer that it knows of."""
    network = simulated()
    async with node(network, "liar", PASSIVE) as liar:
        liar.unhandle(PROTOCOL)
        liar.handle(PROTOCOL, handler)
        async with node_of(liar, "alice", DiscoveryConfig(peers=20)) as alice:
            await asyncio.sleep(seconds)
            assert alice.peers == [liar.peer_id]
            assert alice.tally.exchanges_asked == 1
            assert alice.reputation is not None
            return alice, alice.reputation.explain(liar.peer_id).violations


def answering(data: bytes) -> Handler:
    async def answer(stream: Stream) -> None:
        await stream.read_message(limit=100)
        await stream.write_message(data)

    return answer


async def silence(stream: Stream) -> None:
    await stream.read_all(limit=1000)
    await asyncio.sleep(1000)


async def test_forged_records_spoil_the_answer_and_the_reputation_of_who_tells_them() -> None:
    honest, forger = Identity.generate(), Identity.generate()
    stolen = (honest.peer_id, signed(forger, PUBLIC))
    for wrong in (encode_answer([stolen]), b"\x0a\xff", encode_answer([(honest.peer_id, signed(honest, PUBLIC))] * 17)):
        alice, violations = await hear(answering(wrong))
        assert (alice.tally.exchanges_failed, alice.tally.peers_found) == (1, 1)
        assert violations > 0


async def test_an_answer_that_is_too_long_or_never_comes_or_is_refused_is_given_up() -> None:
    async def flood(stream: Stream) -> None:
        await stream.write(b"\xff\xff\xff\x7f" + bytes(1000))

    async def refuse(stream: Stream) -> None:
        raise Refuse(StreamCode.RATE_LIMITED)

    for handler, blame in ((flood, True), (silence, False), (refuse, False)):
        alice, violations = await hear(handler)
        assert (violations > 0) is blame
        assert (alice.tally.exchanges_failed, alice.tally.peers_found) == (1, 1)


async def test_a_node_that_ends_while_it_asks_leaves_nothing() -> None:
    network = simulated()
    async with node(network, "liar", PASSIVE) as liar:
        liar.unhandle(PROTOCOL)
        liar.handle(PROTOCOL, silence)
        async with node_of(liar, "alice", DiscoveryConfig(peers=20)) as alice:
            await until(lambda: alice.tally.exchanges_asked == 1, 5)
            await asyncio.sleep(1)
        assert [count for count in alice.counters.values() if count] == []
        assert alice.tally.exchanges_failed == 0


async def test_an_answer_may_be_empty() -> None:
    alice, violations = await hear(answering(b""))
    assert alice.tally.exchanges_failed == violations == 0


# --- addresses: what a record says is believed only as far as who tells it could know -----------------------------------------


def exchange_of(one: Node) -> PeerExchange:
    """One more peer exchange over the parts of a node."""
    assert one._running is not None
    assert one._running._context is not None
    context = one._running._context
    return PeerExchange(context, one.config.discovery, FoundDialer(context, one.config.discovery), asks=False)


@pytest.mark.parametrize(
    ("teller", "believed"),
    [
        ("/ip4/8.8.4.4/tcp/1", {PUBLIC}),
        ("/ip4/10.0.0.1/tcp/1", {PUBLIC, PRIVATE}),
        ("/ip4/127.0.0.1/tcp/1", {PUBLIC, PRIVATE, LOOPBACK}),
    ],
)
async def test_what_is_taken_from_whom(teller: str, believed: set[Multiaddr]) -> None:
    identity = Identity.generate()
    async with node(simulated(), "alice", PASSIVE) as alice:
        record = SignedRecord.open(signed(identity, PUBLIC, PRIVATE, LOOPBACK), identity.peer_id)
        exchange_of(alice)._learn(record, Multiaddr.parse(teller))
        assert set(alice.peerstore.addresses(identity.peer_id, asyncio.get_running_loop().time())) == believed
        assert sources(alice, "exchange") == {identity.peer_id}


async def test_a_record_without_an_address_of_use_and_one_that_is_old_find_nobody() -> None:
    near, known = Identity.generate(), Identity.generate()
    async with node(simulated(), "alice", PASSIVE) as alice:
        exchange, teller = exchange_of(alice), Multiaddr.parse("/ip4/8.8.4.4/tcp/1")
        exchange._learn(SignedRecord.open(signed(near, PRIVATE, LOOPBACK), near.peer_id), teller)
        newer = SignedRecord.open(signed(known, PUBLIC, sequence=9), known.peer_id)
        alice.peerstore.accept_record(newer, asyncio.get_running_loop().time())
        exchange._learn(SignedRecord.open(signed(known, PUBLIC, sequence=8), known.peer_id), teller)
        assert sources(alice, "exchange") == set()


@pytest.mark.parametrize(
    ("asker", "places", "is_named"),
    [
        ("/ip4/8.8.4.4/tcp/1", [PRIVATE, LOOPBACK], False),
        ("/ip4/8.8.4.4/tcp/1", [PUBLIC], True),
        ("/ip4/10.0.0.1/tcp/1", [LOOPBACK], False),
        ("/ip4/10.0.0.1/tcp/1", [PRIVATE], True),
        ("/ip4/127.0.0.1/tcp/1", [LOOPBACK], True),
    ],
)
async def test_who_is_named_to_whom(asker: str, places: list[Multiaddr], is_named: bool) -> None:
    network, identity = simulated(), Identity.generate()
    async with node(network, "alice", PASSIVE) as alice, node(network, "bob", PASSIVE, identity=identity) as bob:
        await bob.dial(alice.addresses)
        await asyncio.sleep(1)
        now = asyncio.get_running_loop().time()
        record = SignedRecord.open(signed(identity, *places, sequence=2**63), identity.peer_id)
        alice.peerstore.accept_record(record, now)
        named = exchange_of(alice)._others(Identity.generate().peer_id, Multiaddr.parse(asker), 16)
        assert [peer for peer, _ in named] == ([bob.peer_id] if is_named else [])

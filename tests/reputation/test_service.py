"""The reputation of a node's peers: what it hears of, and what follows from that; in virtual time."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cortexnet import (
    Accept,
    Config,
    ConnectionClosed,
    ConnectionCode,
    DialFailed,
    GossipConfig,
    Identity,
    Ignore,
    KadConfig,
    Limits,
    LocalError,
    Multiaddr,
    Node,
    PeerId,
    PeerTimeout,
    Reject,
    Request,
    Stream,
    StreamReset,
)
from cortexnet.errors import (
    Denied,
    InvalidRecord,
    LimitExceeded,
    NegotiationFailed,
    PeerIdMismatch,
    ProtocolViolation,
    StreamCode,
)
from cortexnet.gossip.score_params import ScoreParams
from cortexnet.host.ping import PROTOCOL as PING
from cortexnet.observe.events import Event, Refused
from cortexnet.observe.status import StatusServer
from cortexnet.reputation.config import ReputationConfig
from cortexnet.reputation.events import PeerDenied, PeerForgiven, PeerRefused
from cortexnet.reputation.service import is_violation
from cortexnet.reputation.standings import Sentence, Standings
from cortexnet.storage.storage import Storage
from cortexnet.swarm.tags import STANDING
from cortexnet.testing.network import SimulatedNetwork
from tests.support.dht_network import random_peer_id

DAY, HOUR = 86_400.0, 3_600.0
ECHO = "/test/echo/1.0.0"
TOPIC = "test/topic"
IDENTITIES = [Identity.generate() for _ in range(6)]


async def settle(seconds: float = 0.5) -> None:
    await asyncio.sleep(seconds)


class Town:
    """Alice, whose opinion this is about, and others with her in one network."""

    def __init__(self) -> None:
        self.network = SimulatedNetwork()
        self.stack = AsyncExitStack()

    async def node(self, number: int, **settings: Any) -> Node:
        settings = {"gossip": None, "kad": None} | settings
        config = Config(transports=["memory"], memory_network=self.network.host(f"node {number}"), **settings)
        node = Node(IDENTITIES[number], listen=["/memory/0"], config=config)
        node.handle(ECHO, _echo)
        return await self.stack.enter_async_context(node)


async def _echo(stream: Stream) -> None:
    async for data in stream:
        await stream.write(data)


@asynccontextmanager
async def a_town() -> AsyncIterator[Town]:
    town = Town()
    async with town.stack:
        yield town


def offend(alice: Node, peer: PeerId, times: int) -> None:
    """As if a peer had sent what no correct peer sends."""
    for _ in range(times):
        alice.reputation.violation(peer, "nonsense")


async def echoed(node: Node, peer: PeerId) -> bytes:
    async with node.stream(peer, ECHO) as stream:
        await stream.write(b"hello")
        await stream.close_write()
        return await stream.read_all(limit=100)


def term(alice: Node, peer: PeerId) -> tuple[float, float, float]:
    """Successes, failures and violations."""
    found = alice.reputation.explain(peer)
    return round(found.successes, 2), round(found.failures, 2), round(found.violations, 2)


# --- what it hears of --------------------------------------------------------------------------------------------------------


async def test_whoever_connects_and_says_who_it_is_is_known_for_it() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        await bob.dial(alice.addresses)
        await settle()
        assert term(alice, bob.peer_id) == (1, 0, 0)
        assert term(bob, alice.peer_id) == (2, 0, 0), "a dial of its own, and who answered it"
        assert alice.reputation.score(bob.peer_id) == alice.reputation.score(str(bob.peer_id)) > 0
        assert alice.reputation.peers() == [bob.peer_id]
        await bob.identify(alice.peer_id)
        assert term(bob, alice.peer_id) == (2, 0, 0), "to be asked again is nothing new"


async def test_pings_count_with_their_time() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        await alice.dial(bob.addresses)
        seconds = await alice.ping(bob.peer_id)
        assert alice.reputation.quantile(bob.peer_id, 0.5) == pytest.approx(seconds)
        town.network.partition(["node 0"], ["node 1"])
        with pytest.raises(PeerTimeout):
            await alice.ping(bob.peer_id, timeout=0.1)
        assert term(alice, bob.peer_id) == (3, 0, 0), "to have no patience is not its fault"
        with pytest.raises(PeerTimeout):
            await alice.ping(bob.peer_id)
        assert term(alice, bob.peer_id) == (3, 1, 0)


async def test_an_echo_of_other_bytes_is_a_violation() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)

        async def lie(stream: Stream) -> None:
            await stream.read_exactly(32)
            await stream.write(bytes(32))
            await stream.read(1)

        bob.unhandle(PING)
        bob.handle(PING, lie)
        await alice.dial(bob.addresses)
        with pytest.raises(ProtocolViolation):
            await alice.ping(bob.peer_id)
        assert term(alice, bob.peer_id) == (2, 0, 1)
        assert "answered a ping with other bytes" not in str(alice.reputation.explain(bob.peer_id))


async def test_requests_count_and_who_gives_whom() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)

        async def answer(request: Request) -> bytes:
            if request.data == b"hang":
                await asyncio.sleep(3600)
            return bytes(5_000)

        bob.respond("/test/give", answer)
        await alice.dial(bob.addresses)
        await settle()
        await alice.request(bob.peer_id, "/test/give", b"give")
        assert alice.reputation.explain(bob.peer_id).given == pytest.approx(5_000, rel=1e-3)
        assert bob.reputation.explain(alice.peer_id).taken == pytest.approx(5_000, rel=1e-3)
        assert term(alice, bob.peer_id) == (3, 0, 0)
        assert alice.reputation.quantile(bob.peer_id, 0.5) is not None
        with pytest.raises(PeerTimeout):
            await alice.request(bob.peer_id, "/test/give", b"hang", timeout=20)
        assert term(alice, bob.peer_id) == (3, 1, 0)


async def test_a_dial_that_fails_counts_for_who_was_good_and_where_anybody_can_be_reached() -> None:
    async with a_town() as town:
        alice, carol = await town.node(0), await town.node(2)
        config = Config(transports=["memory"], memory_network=town.network.host("bob"), gossip=None, kad=None)
        async with Node(IDENTITIES[1], listen=["/memory/0"], config=config) as bob:
            addresses = bob.addresses
            await alice.dial(addresses)
            await settle()
        await settle()
        with pytest.raises(DialFailed):
            await alice.dial(addresses)
        assert term(alice, bob.peer_id) == (2, 0, 0), "it may be our own network that is gone"
        await alice.dial(carol.addresses)
        await settle(400)
        with pytest.raises(DialFailed):
            await alice.dial(addresses)
        assert term(alice, bob.peer_id)[1] == 1
        with pytest.raises(DialFailed):
            await alice.dial(addresses)
        assert term(alice, bob.peer_id)[1] == 1, "it was not tried, so soon after"
        stranger = [f"{carol.addresses[0].split_peer()[0]}/p2p/{IDENTITIES[3].peer_id}"]
        with pytest.raises(DialFailed):
            await alice.dial(stranger)
        assert IDENTITIES[3].peer_id not in alice.reputation.peers(), "anybody can tell wrong addresses of anybody"


async def test_nobody_is_blamed_for_where_others_say_that_it_is() -> None:
    """Somebody tells wrong addresses of a peer that was good, such as one that only ever calls and can't be dialed at all."""
    async with a_town() as town:
        alice, carol = await town.node(0), await town.node(2)
        await alice.dial(carol.addresses)
        config = Config(transports=["memory"], memory_network=town.network.host("bob"), gossip=None, kad=None)
        async with Node(IDENTITIES[1], config=config) as bob:
            await bob.dial(alice.addresses)
            await settle()
        await settle()
        assert term(alice, bob.peer_id) == (1, 0, 0)
        now = asyncio.get_running_loop().time()
        alice.peerstore.add_addresses(bob.peer_id, [Multiaddr.parse("/memory/666")], 60, now)
        with pytest.raises(DialFailed, match="/memory/666"):
            await alice.dial(bob.peer_id)
        assert term(alice, bob.peer_id) == (1, 0, 0)


async def test_where_all_dials_fail_it_is_nobodys_fault() -> None:
    async with a_town() as town:
        alice, bob, carol = await town.node(0), await town.node(1), await town.node(2)
        for other in (bob, carol):
            await alice.dial(other.addresses)
            await settle()
        gone = DialFailed("gone", [(str(bob.listen_addresses()[0]), ConnectionClosed(by="network"))])
        for _ in range(100):
            alice.reputation.dial_failed(bob.peer_id, gone)
        assert term(alice, bob.peer_id) == (2, 8, 0)
        await alice.disconnect(carol.peer_id)
        await alice.dial(carol.addresses)
        alice.reputation.dial_failed(bob.peer_id, gone)
        assert term(alice, bob.peer_id) == (2, 9, 0)


async def test_limits_of_ours_and_dials_that_are_given_up_say_nothing_about_anybody() -> None:
    async with a_town() as town:
        alice, bob, carol = await town.node(0), await town.node(1), await town.node(2)
        await alice.dial(carol.addresses)
        await alice.dial(bob.addresses)
        await settle()
        await alice.disconnect(bob.peer_id)
        alice.gater.deny(bob.peer_id)
        with pytest.raises(DialFailed):
            await alice.dial(bob.peer_id)
        alice.gater.remove(bob.peer_id)
        town.network.partition(["node 0"], ["node 1"])
        dial = asyncio.ensure_future(alice.dial(bob.peer_id))
        await settle()
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        assert term(alice, bob.peer_id) == (2, 0, 0)
        alice.reputation.dial_failed(bob.peer_id, DialFailed("", [("", PeerIdMismatch(bob.peer_id, carol.peer_id))]))
        alice.reputation.dial_failed(None, DialFailed("", [("", ConnectionClosed())]))
        alice.reputation.dial_failed(bob.peer_id, LocalError("ours"))
        assert term(alice, bob.peer_id) == (2, 0, 0)


@pytest.mark.parametrize(
    ("error", "failures", "violations"),
    [
        (ProtocolViolation("wrong"), 0, 1),
        (InvalidRecord("old"), 0, 0),
        (NegotiationFailed("it does not speak that"), 0, 0),
        (PeerTimeout("late"), 1, 0),
        (TimeoutError(), 1, 0),
        (StreamReset(by="remote"), 1, 0),
        (StreamReset(by="remote", code=StreamCode.RATE_LIMITED), 1, 0),
        (StreamReset(by="remote", code=404), 0, 0),
        (StreamReset(by="local"), 0, 0),
        (ConnectionClosed(by="network"), 0, 0),
        (LimitExceeded("ours", limit=1, value=2, setting="x"), 0, 0),
        (LocalError("ours"), 0, 0),
        (DialFailed("elsewhere"), 0, 0),
    ],
    ids=repr,
)
async def test_what_an_error_says_about_a_peer(error: Exception, failures: int, violations: int) -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        await alice.dial(bob.addresses)
        alice.reputation.failed(bob.peer_id, error)
        assert term(alice, bob.peer_id)[1:] == (failures, violations)
        assert is_violation(error) == bool(violations)
        stranger = IDENTITIES[3].peer_id
        alice.reputation.failed(stranger, error)
        assert term(alice, stranger)[1:] == (0, violations), "who is not connected may never have heard of it"


async def test_what_the_application_reports_counts_and_has_to_be_a_time() -> None:
    async with a_town() as town:
        alice, peer = await town.node(0), IDENTITIES[1].peer_id
        alice.reputation.report(peer, True, response_time=0.25)
        alice.reputation.report(str(peer), False)
        alice.reputation.shared(peer, given=100, taken=50)
        found = alice.reputation.explain(str(peer))
        assert (found.successes, found.failures, found.response_time, found.given, found.taken) == (1, 1, 0.25, 100, 50)
        assert alice.reputation.median is None
        for wrong in (-1.0, float("nan"), float("inf"), 1e10, *list[Any](["0.1", [0.1]])):
            with pytest.raises(LocalError, match="a response time is some seconds"):
                alice.reputation.report(peer, True, wrong)
        alice.reputation.forgive(peer)
        assert alice.reputation.score(peer) == 0


async def test_what_has_nearly_faded_away_is_explained_without_a_minus() -> None:
    async with a_town() as town:
        alice, peer = await town.node(0), IDENTITIES[1].peer_id
        alice.reputation.report(peer, True)
        faded = replace(alice.reputation.explain(peer), score=-1e-9, latency=-0.04, validity=-0.0)
        assert "score +0.0" in str(faded)
        assert "-0.0" not in str(faded)


async def test_garbage_on_a_stream_that_negotiates_is_its_peers_doing() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        await bob.dial(alice.addresses)
        await settle()
        stream = await bob.stream(alice.peer_id, ECHO)
        stream._muxer.send(stream._id, b"\x05hello\x03abc")  # behind the proposal: to it alice answers, and reads on
        await settle()
        before = term(alice, bob.peer_id)[2]
        connection = bob.connections[0]
        stream_id = connection.mux.open_stream()
        connection.mux.send(stream_id, b"\x05hello")
        connection.link.flush_soon()
        await settle()
        assert term(alice, bob.peer_id)[2] == before + 1


async def test_frames_that_break_the_muxers_protocol_cost_more_than_the_connection() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        await bob.dial(alice.addresses)
        await settle()
        link: Any = bob.connections[0].link
        link._io.write(link._session.encrypt([b"\x07" * 24]))
        await settle()
        assert alice.peers == []
        assert term(alice, bob.peer_id)[2] == 1


async def test_what_does_not_decrypt_may_be_of_anybody_on_the_way() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        await bob.dial(alice.addresses)
        await settle()
        link: Any = bob.connections[0].link
        link._io.write(b"\x00\x20" + bytes(32))
        await settle()
        assert alice.peers == []
        assert term(alice, bob.peer_id) == (1, 0, 0)


async def test_an_identify_that_is_none_is_a_violation() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)

        async def mumble(stream: Stream) -> None:
            await stream.write(b"\x03\xff\xff\xff")

        bob.unhandle("/ipfs/id/1.0.0")
        bob.handle("/ipfs/id/1.0.0", mumble)
        await bob.dial(alice.addresses)
        await settle()
        assert term(alice, bob.peer_id) == (0, 0, 1)


async def test_verdicts_of_gossip_count_where_somebody_sent_what_is_refused() -> None:
    async with a_town() as town:
        alice, bob, carol = [await town.node(number, gossip=GossipConfig()) for number in range(3)]
        for one, other in ((alice, bob), (bob, carol)):
            await one.dial(other.addresses)
        await settle()
        verdicts: dict[bytes, Any] = {}
        alice.gossip.validate(TOPIC, lambda message: verdicts[message.data])
        verdicts |= {b"good": Accept, b"bad": Reject} | {b"%d" % number: Ignore for number in range(200)}
        async with alice.gossip.subscribe(TOPIC), bob.gossip.subscribe(TOPIC), carol.gossip.subscribe(TOPIC):
            await settle(3)
            before = alice.reputation.explain(bob.peer_id).given
            await carol.gossip.publish(TOPIC, b"good")
            await settle()
            assert alice.reputation.explain(bob.peer_id).given > before
            for number in range(200):
                await carol.gossip.publish(TOPIC, b"%d" % number)
            await settle()
            assert term(alice, bob.peer_id)[2] == 0, "what is ignored is held against nobody"
            await carol.gossip.publish(TOPIC, b"bad")
            await settle()
            assert term(alice, bob.peer_id)[2] == 1, "it has passed it on"
            assert term(alice, carol.peer_id)[2] == 0, "it has sent us nothing"
            assert alice.reputation.score(alice.peer_id) == 0


async def test_misgivings_are_what_gossip_goes_by_and_no_merit() -> None:
    async with a_town() as town:
        alice = await town.node(0, gossip=GossipConfig(score=ScoreParams()))
        bob, carol = await town.node(1, gossip=GossipConfig()), await town.node(2, gossip=GossipConfig())
        async with alice.gossip.subscribe(TOPIC), bob.gossip.subscribe(TOPIC), carol.gossip.subscribe(TOPIC):
            for other in (bob, carol):
                await alice.dial(other.addresses)
            await settle(2)
            offend(alice, carol.peer_id, 3)
            assert alice.gossip.scores()[bob.peer_id] == 0
            assert alice.gossip.scores()[carol.peer_id] == pytest.approx(alice.reputation.score(carol.peer_id))
            assert alice.reputation.score(bob.peer_id) > 0 > alice.reputation.score(carol.peer_id)


async def test_the_dht_counts_answers_failures_and_what_is_none() -> None:
    async with a_town() as town:
        kad = KadConfig(mode="server")
        alice, bob, carol = [await town.node(number, kad=kad) for number in range(3)]
        for other in (bob, carol):
            await alice.dial(other.addresses)
        await settle(2)
        found = alice.reputation.explain(bob.peer_id)
        assert found.successes > 2
        assert found.response_time is not None
        assert found.given > 0
        assert bob.reputation.explain(alice.peer_id).taken > 0
        protocol = next(name for name in bob.protocols if "kad" in name)
        async with carol.stream(alice.peer_id, protocol) as stream:
            await stream.write(b"\x03\xff\xff\xff")
            with pytest.raises(StreamReset):
                await stream.read(1)
        assert term(alice, carol.peer_id)[2] == 1


# --- what follows ------------------------------------------------------------------------------------------------------------


async def next_event(events: Any) -> Event:
    async with asyncio.timeout(3 * DAY):
        event: Event = await anext(aiter(events))
    return event


async def test_streams_of_who_has_a_bad_score_are_refused_and_ours_are_not() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        await bob.dial(alice.addresses)
        await settle()
        async with alice.events(PeerRefused, Refused) as events:
            offend(alice, bob.peer_id, 6)
            assert alice.reputation.explain(bob.peer_id).standing == "good", "nothing is done in the middle of what it sends"
            event = await next_event(events)
            assert isinstance(event, PeerRefused)
            assert (event.peer_id, event.why) == (bob.peer_id, "nonsense")
            assert event.score == pytest.approx(-54, abs=0.1)
            with pytest.raises(StreamReset) as caught:
                await echoed(bob, alice.peer_id)
            assert caught.value.code == StreamCode.GATED
            refused = await next_event(events)
            assert isinstance(refused, Refused)
            assert refused.remedy == "reputation: score -54.0, below reputation.refuse_below"
        assert await echoed(alice, bob.peer_id) == b"hello"
        assert alice.tally.refusals == {"reputation.refuse_below": 1}
        assert alice.totals["peers_refused"] == 1
        assert "its streams are refused" in str(alice.reputation.explain(bob.peer_id))
        alice.gater.allow(bob.peer_id, "a friend")
        assert await echoed(bob, alice.peer_id) == b"hello", "what its owner says goes first"


async def test_a_peer_that_misbehaves_is_denied_then_forgiven() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        await bob.dial(alice.addresses)
        await settle()
        async with alice.events(PeerRefused, PeerDenied, PeerForgiven) as events:
            gone: asyncio.Queue[Any] = asyncio.Queue()
            bob.watch(disconnected=lambda connection: gone.put_nowait(connection.error))
            offend(alice, bob.peer_id, 10)
            denied = await next_event(events)
            assert isinstance(denied, PeerDenied)
            assert (await gone.get()).code == ConnectionCode.GATED
            (rule,) = alice.gater.rules
            assert rule.reason == f"reputation: score {denied.score:.1f}, nonsense"
            assert rule.expires == pytest.approx(time.time() + denied.seconds, abs=60)
            assert not await stays(bob, alice)
            with pytest.raises(DialFailed) as failed:
                await alice.dial(bob.addresses)
            assert isinstance(failed.value.attempts[0][1], Denied)
            first = await next_event(events)
            assert isinstance(first, PeerForgiven)
            assert not first.is_trusted
            assert alice.gater.rules == []
            assert await stays(bob, alice)
            with pytest.raises(StreamReset):
                await echoed(bob, alice.peer_id)
            second = await next_event(events)
            assert isinstance(second, PeerForgiven)
            assert second.is_trusted
            assert await echoed(bob, alice.peer_id) == b"hello"
        assert alice.totals["peers_denied"] == 1


async def stays(node: Node, other: Node) -> bool:
    """Whether a connection to the other one can be had, and does not end at once."""
    try:
        await node.dial(other.addresses)
    except DialFailed:
        return False
    await settle(3)
    return other.peer_id in node.peers


async def test_a_rule_of_somebody_else_is_left_as_it_is() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        alice.gater.deny(bob.peer_id, "I know him")
        offend(alice, bob.peer_id, 10)
        await settle()
        assert [rule.reason for rule in alice.gater.rules] == ["I know him"]
        alice.reputation.forgive(bob.peer_id)
        await settle(100)
        assert [rule.reason for rule in alice.gater.rules] == ["I know him"]


async def test_who_is_allowed_is_never_turned_out() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        alice.gater.allow(bob.peer_id)
        await bob.dial(alice.addresses)
        offend(alice, bob.peer_id, 10)
        await settle(100)
        assert await echoed(bob, alice.peer_id) == b"hello"
        await bob.disconnect(alice.peer_id)
        assert await stays(bob, alice)


async def test_to_forgive_ends_all_of_it() -> None:
    async with a_town() as town:
        alice, bob = await town.node(0), await town.node(1)
        offend(alice, bob.peer_id, 10)
        await settle()
        assert not await stays(bob, alice)
        alice.reputation.forgive(bob.peer_id)
        assert alice.gater.rules == []
        assert await stays(bob, alice)


@pytest.mark.parametrize("room", ["no rule of ours", "no rule at all"])
async def test_who_finds_no_room_among_the_rules_is_denied_as_well(room: str) -> None:
    async with a_town() as town:
        limits = Limits(access_rules=1) if room == "no rule at all" else Limits()
        alice = await town.node(0, reputation=ReputationConfig(denied_peers=1), limits=limits)
        bob, carol = await town.node(1), await town.node(2)
        for other in (bob, carol):
            await other.dial(alice.addresses)
            offend(alice, other.peer_id, 10)
            await settle()
        assert alice.peers == []
        assert [rule.subject for rule in alice.gater.rules] == [bob.peer_id]
        assert not await stays(carol, alice)
        assert alice.tally.refusals.get("reputation.deny_below", 0) >= 1


async def test_what_connections_are_worth_follows_the_score() -> None:
    async with a_town() as town:
        alice, bob, carol = await town.node(0), await town.node(1), await town.node(2)
        for other in (bob, carol):
            await alice.dial(other.addresses)
        for _ in range(50):
            alice.reputation.report(bob.peer_id, True)
        offend(alice, carol.peer_id, 4)
        await settle()
        assert alice.manager.tags(carol.peer_id) == {STANDING: -3.0}
        await settle(61)
        assert alice.manager.tags(bob.peer_id) == {STANDING: 2.0}
        for _ in range(50):
            alice.reputation.report(bob.peer_id, False)
        await settle(61)
        assert alice.manager.tags(bob.peer_id) == {}


async def test_a_reason_is_one_printable_line_however_the_peer_put_it(caplog: pytest.LogCaptureFixture) -> None:
    async with a_town() as town:
        alice = await town.node(0)
        async with alice.events(PeerDenied) as events:
            with caplog.at_level(logging.INFO, "cortexnet.reputation"):
                for _ in range(10):
                    alice.reputation.violation(IDENTITIES[1].peer_id, "a\nb\x1b[31m" + "x" * 1000)
                await settle()
            denied = await anext(events)
            assert isinstance(denied, PeerDenied)
            assert denied.why.isprintable()
        assert [record.getMessage().isprintable() for record in caplog.records] == [True]
        (rule,) = alice.gater.rules
        assert rule.reason.isprintable()
        assert len(rule.reason) < 256


async def test_a_node_can_do_without(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with a_town() as town:
            alice = await town.node(0, reputation=None, gossip=GossipConfig(), kad=KadConfig(mode="server"))
            bob = await town.node(1, gossip=GossipConfig(), kad=KadConfig(mode="server"))
            with pytest.raises(LocalError, match="reputation is off"):
                _ = alice.reputation
            await bob.dial(alice.addresses)
            await alice.ping(bob.peer_id)
            async with alice.gossip.subscribe(TOPIC) as here, bob.gossip.subscribe(TOPIC):
                await settle(3)
                await bob.gossip.publish(TOPIC, b"hello")
                assert (await anext(aiter(here))).data == b"hello"
            protocol = next(name for name in alice.protocols if "kad" in name)
            async with bob.stream(alice.peer_id, protocol) as stream:
                await stream.write(b"\x03\xff\xff\xff")
                with pytest.raises(StreamReset):
                    await stream.read(1)
    assert caplog.records == []


# --- across restarts ---------------------------------------------------------------------------------------------------------


class Wall:
    """The clock of the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop: Callable[[], float] = lambda: 0.0
        self.set = 1_800_000_000.0
        monkeypatch.setattr(time, "time", self.now)
        monkeypatch.setattr(vars(Storage)["open"].__func__, "__kwdefaults__", {"unix": self.now})
        monkeypatch.setattr(StatusServer, "open", _no_status)  # with a socket open, time would be that of the wall

    def now(self) -> float:
        try:
            return self.set + asyncio.get_running_loop().time()
        except RuntimeError:
            return self.set


class _NoStatus:
    async def close(self) -> None:
        return


async def _no_status(*_: object) -> _NoStatus:
    return _NoStatus()


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


@asynccontextmanager
async def alice_in(town: Town, folder: Path) -> AsyncIterator[Node]:
    config = Config(
        transports=["memory"],
        memory_network=town.network.host("alice"),
        gossip=None,
        kad=None,
        reputation=ReputationConfig(half_life=HOUR, downtime_limit=HOUR, deny_limit=HOUR),
        state_directory=folder,
    )
    node = Node(IDENTITIES[0], listen=["/memory/77"], config=config)
    node.handle(ECHO, _echo)
    async with node:
        yield node


async def test_all_of_it_outlives_the_node(tmp_path: Path, wall: Wall) -> None:
    async with a_town() as town:
        bob, carol = await town.node(1), await town.node(2)
        async with alice_in(town, tmp_path) as alice:
            for other in (bob, carol):
                await other.dial(alice.addresses)
            await settle()
            for _ in range(3):
                await alice.ping(carol.peer_id)
            offend(alice, bob.peer_id, 14)
            await settle()
            before = {peer: alice.reputation.score(peer) for peer in (bob.peer_id, carol.peer_id)}
        async with alice_in(town, tmp_path) as alice:
            assert {peer: alice.reputation.score(peer) for peer in before} == pytest.approx(before, rel=1e-3)
            assert alice.reputation.explain(bob.peer_id).standing == "denied"
            assert not await stays(bob, alice)
            assert await stays(carol, alice)
            await asyncio.sleep(HOUR)
            assert alice.reputation.explain(bob.peer_id).standing == "refused"
        async with alice_in(town, tmp_path) as alice:
            assert await stays(bob, alice)
            with pytest.raises(StreamReset):
                await echoed(bob, alice.peer_id)
            await asyncio.sleep(HOUR)
            assert await echoed(bob, alice.peer_id) == b"hello"


async def test_many_offenders_of_an_earlier_run_are_looked_at_some_in_each_turn(
    tmp_path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    offenders = [random_peer_id(Random(number)) for number in range(120)]
    looked_at: Counter[int] = Counter()
    turn, judge = 0, Standings.judge

    def counted(standings: Standings, peer: PeerId, now: float) -> Sentence:
        looked_at[turn] += 1
        return judge(standings, peer, now)

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async with a_town() as town:
        async with alice_in(town, tmp_path) as alice:
            for peer in offenders:
                offend(alice, peer, 7)
        monkeypatch.setattr(Standings, "judge", counted)
        counting = asyncio.create_task(count_turns())
        async with alice_in(town, tmp_path) as alice:
            for _ in offenders:
                await asyncio.sleep(0)
            counting.cancel()
            assert sum(looked_at.values()) == len(offenders)
            assert max(looked_at.values()) <= 50
            assert {alice.reputation.explain(peer).standing for peer in offenders} == {"refused"}


@pytest.mark.parametrize("years", [-10, 10])
async def test_no_clock_that_is_set_forgives_or_forgets(tmp_path: Path, wall: Wall, years: int) -> None:
    jump = years * 365 * DAY
    async with a_town() as town:
        bob = await town.node(1)
        async with alice_in(town, tmp_path) as alice:
            offend(alice, bob.peer_id, 20)
            await settle()
            wall.set += jump
            await asyncio.sleep(130)
            assert not await stays(bob, alice)
            (rule,) = alice.gater.rules
            assert rule.expires == pytest.approx(wall.now() + HOUR, abs=200), "it was made anew by the clock as it is"
        wall.set -= jump
        async with alice_in(town, tmp_path) as alice:
            assert alice.reputation.explain(bob.peer_id).standing == "denied"
            assert not await stays(bob, alice)
            (rule,) = alice.gater.rules
            assert rule.expires is not None
            assert HOUR / 5 < rule.expires - wall.now() <= HOUR, (
                "what is taken for ten years of rest forgives as one hour of it does"
            )
            await asyncio.sleep(3 * HOUR)
            assert alice.gater.rules == []
            assert await stays(bob, alice)
            assert await echoed(bob, alice.peer_id) == b"hello"


async def test_a_rule_whose_reason_nobody_knows_any_more_ends(tmp_path: Path, wall: Wall) -> None:
    async with a_town() as town:
        async with alice_in(town, tmp_path) as alice:
            alice.gater.deny(IDENTITIES[1].peer_id, "reputation: score -99.0, lost", 3600)
            alice.gater.deny(IDENTITIES[2].peer_id, "reputation: score -99.0, from a clock ten years ahead", 3650 * DAY)
            alice.gater.deny("192.0.2.0/24", "reputation: no peer", 3600)
            alice.gater.deny(IDENTITIES[3].peer_id, "by its owner", 3600)
        async with alice_in(town, tmp_path) as alice:
            assert [rule.reason for rule in alice.gater.rules][1:] == ["reputation: no peer", "by its owner"]
            await stays(await town.node(4), alice)
            await asyncio.sleep(130)
            assert [rule.reason for rule in alice.gater.rules] == ["reputation: no peer", "by its owner"]

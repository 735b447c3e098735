"""Gossip as applications meet it: topics, messages, validators, and what there is to know."""

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from cortexnet import (
    Accept,
    Config,
    GossipConfig,
    GossipMessage,
    Ignore,
    LocalError,
    Node,
    NotRunning,
    PeerTimeout,
    Reject,
    Stream,
    Verdict,
)
from cortexnet.gossip.config import FLOODSUB, GOSSIPSUB_10, GOSSIPSUB_11, GOSSIPSUB_12, GOSSIPSUB_13
from cortexnet.gossip.events import MeshPeerAdded, MeshPeerRemoved, TopicPeerJoined, TopicPeerLeft
from cortexnet.gossip.message_id import content_id
from cortexnet.gossip.score_params import ScoreParams
from cortexnet.testing.network import SimulatedNetwork
from tests.gossip.nodes import IDENTITIES, TOPIC, datas, gossip_node, nodes, settle, subscribed

if TYPE_CHECKING:
    from cortexnet.gossip.tracer import Trace


def gossip_streams(node: Node) -> list[tuple[str, str]]:
    return sorted(
        (stream.direction, stream.protocol)
        for connection in node.connections
        for stream in connection.streams
        if "sub" in stream.protocol
    )


# --- messages


async def test_a_message_reaches_everybody_once_with_its_author() -> None:
    async with nodes(5) as made, subscribed(made) as subscriptions:
        assert await made[0].gossip.publish(TOPIC, b"hello") == 4
        for node, subscription in zip(made[1:], subscriptions[1:], strict=True):
            message = await anext(subscription)
            assert (message.topic, message.data, message.author) == (TOPIC, b"hello", made[0].peer_id)
            assert message.sender in {each.peer_id for each in made if each is not node}
            assert message.sequence is not None
        await settle(5)
        assert [subscription.waiting for subscription in subscriptions] == [0] * 5


async def test_numbers_of_an_author_rise() -> None:
    async with nodes(2) as made, subscribed(made) as (_, subscription):
        assert await made[0].gossip.publish_many(TOPIC, [b"1", b"2", b"3"]) == [1, 1, 1]
        numbers = [(await anext(subscription)).sequence or 0 for _ in range(3)]
        assert numbers == sorted(set(numbers))


async def test_own_messages_come_where_they_are_wanted() -> None:
    async with nodes(2) as made, subscribed(made) as (without, _), made[0].gossip.subscribe(TOPIC, own=True) as own:
        await made[0].gossip.publish(TOPIC, b"mine")
        assert (await anext(own)).sender == made[0].peer_id
        await made[1].gossip.publish(TOPIC, b"yours")
        assert await datas(own, 1) == await datas(without, 1) == [b"yours"]


async def test_topics_are_apart() -> None:
    async with nodes(2) as made, subscribed(made) as (_, one), subscribed(made, "other") as (_, other):
        await made[0].gossip.publish("other", b"2")
        await made[0].gossip.publish(TOPIC, b"1")
        assert (await datas(one, 1), await datas(other, 1)) == ([b"1"], [b"2"])
        assert made[0].gossip.topics == [TOPIC, "other"]


async def test_a_message_passes_over_nodes_in_between() -> None:
    async with nodes(4, connected=False) as made:
        for one, other in itertools.pairwise(made):
            await one.dial(other.addresses)
        async with (
            made[0].gossip.subscribe(TOPIC),
            made[1].gossip.subscribe(TOPIC),
            made[2].gossip.subscribe(TOPIC),
            made[3].gossip.subscribe(TOPIC) as last,
        ):
            await last.ready()
            await settle()
            await made[0].gossip.publish(TOPIC, b"from afar")
            message = await anext(last)
            assert (message.author, message.sender) == (made[0].peer_id, made[2].peer_id)


@pytest.mark.parametrize("protocol", [FLOODSUB, GOSSIPSUB_10, GOSSIPSUB_11, GOSSIPSUB_12, GOSSIPSUB_13])
async def test_every_version_is_spoken(protocol: str) -> None:
    network = SimulatedNetwork()
    old = GossipConfig(protocols=[protocol])
    async with gossip_node(network, 0, old) as one, gossip_node(network, 1) as other:
        await one.dial(other.addresses)
        async with one.gossip.subscribe(TOPIC) as here, other.gossip.subscribe(TOPIC) as there:
            await here.ready()
            await there.ready()
            assert gossip_streams(one) == [("inbound", protocol), ("outbound", protocol)]
            await one.gossip.publish(TOPIC, b"there")
            await other.gossip.publish(TOPIC, b"here" * 1000)
            assert (await datas(here, 1), await datas(there, 1)) == ([b"here" * 1000], [b"there"])


async def test_unsigned_messages_have_no_author() -> None:
    async with nodes(2, GossipConfig(signing="strict_no_sign", message_id=content_id)) as made, subscribed(made) as (_, there):
        await made[0].gossip.publish(TOPIC, b"who was it?")
        message = await anext(there)
        assert (message.author, message.sequence, message.id) == (None, None, content_id_of(b"who was it?"))


def content_id_of(data: bytes) -> bytes:
    from cortexnet.gossip.message import Message

    return content_id(Message.build(TOPIC, data))


async def test_large_messages_pass_and_larger_ones_are_refused() -> None:
    async with nodes(2) as made, subscribed(made) as (_, there):
        await made[0].gossip.publish(TOPIC, bytes(1_000_000))
        assert len((await datas(there, 1))[0]) == 1_000_000
        with pytest.raises(LocalError, match="at most 1047542 bytes, not 1048576"):
            await made[0].gossip.publish(TOPIC, bytes(1024 * 1024))


# --- who publishes


async def test_nobody_is_told_anything_before_there_is_something_to_say() -> None:
    async with nodes(2) as (alice, bob):
        assert gossip_streams(alice) == []
        assert alice.gossip.peers() == [bob.peer_id]
        assert await alice.gossip.publish(TOPIC, b"nobody wants it") == 0
        assert gossip_streams(alice) == []
        async with bob.gossip.subscribe(TOPIC) as there:
            await settle()
            assert gossip_streams(alice) == [("inbound", GOSSIPSUB_13)]
            assert await alice.gossip.publish(TOPIC, b"now somebody does") == 1
            assert gossip_streams(alice) == [("inbound", GOSSIPSUB_13), ("outbound", GOSSIPSUB_13)]
            assert await datas(there, 1) == [b"now somebody does"]
            assert alice.gossip.topics == []


async def test_a_publisher_who_listens_to_nothing_reaches_a_whole_mesh() -> None:
    async with nodes(6) as made, subscribed(made[1:]) as subscriptions:
        for number in range(3):
            assert await made[0].gossip.publish(TOPIC, bytes([number])) == 5
        for subscription in subscriptions:
            assert await datas(subscription, 3) == [b"\0", b"\1", b"\2"]


async def test_publishing_waits_for_peers_only_as_long_as_it_may() -> None:
    network = SimulatedNetwork()
    async with gossip_node(network, 0) as alice, gossip_node(network, 1) as bob:
        await alice.dial(bob.addresses)
        async with bob.gossip.subscribe(TOPIC):
            await settle()
            network.silence("node 0", "node 1")
            loop = asyncio.get_running_loop()
            began = loop.time()
            await alice.gossip.publish(TOPIC, b"?")
            assert loop.time() - began <= 5.1


async def test_what_is_no_topic_or_no_message_is_refused() -> None:
    async with nodes(1) as (alice,):
        for topic in ("", "x" * 257, "\udcff", 7):
            with pytest.raises(LocalError, match="1 to 256 bytes"):
                alice.gossip.subscribe(topic)  # type: ignore[arg-type]
            with pytest.raises(LocalError, match="1 to 256 bytes"):
                await alice.gossip.publish(topic, b"")  # type: ignore[arg-type]
        with pytest.raises(LocalError, match="is bytes, not str"):
            await alice.gossip.publish(TOPIC, "text")  # type: ignore[arg-type]
        with pytest.raises(LocalError, match="no policy"):
            alice.gossip.subscribe(TOPIC, policy="lose")  # type: ignore[arg-type]


# --- validators and handlers


@pytest.mark.parametrize("takes_time", [False, True])
async def test_a_validator_decides_what_is_delivered_and_passed_on(takes_time: bool) -> None:
    verdicts = {b"good": Accept, b"bad": Reject, b"stale": Ignore}

    def at_once(message: GossipMessage) -> Verdict:
        return verdicts[message.data]

    async def later(message: GossipMessage) -> Verdict:
        await asyncio.sleep(0.1)
        return verdicts[message.data]

    async with nodes(3, connected=False) as made:
        for one, other in itertools.pairwise(made):
            await one.dial(other.addresses)
        made[1].gossip.validate(TOPIC, later if takes_time else at_once)
        async with (
            made[0].gossip.subscribe(TOPIC),
            made[1].gossip.subscribe(TOPIC) as middle,
            made[2].gossip.subscribe(TOPIC) as last,
        ):
            await last.ready()
            await settle()
            for data in verdicts:
                await made[0].gossip.publish(TOPIC, data)
            await settle()
            assert (middle.waiting, last.waiting) == (1, 1)
            assert await datas(middle, 1) == await datas(last, 1) == [b"good"]


async def test_validators_and_handlers_may_publish() -> None:
    async with nodes(2) as made, subscribed(made, "answers") as (_, answers):
        alice, bob = made

        async def validator(message: GossipMessage) -> Verdict:
            await alice.gossip.publish("answers", b"validating " + message.data)
            return Accept

        async def handler(message: GossipMessage) -> None:
            await alice.gossip.publish("answers", b"handling " + message.data)

        alice.gossip.validate(TOPIC, validator)
        handling = alice.gossip.handle(TOPIC, handler)
        async with bob.gossip.subscribe(TOPIC) as asking:
            await asking.ready()
            await bob.gossip.publish(TOPIC, b"1")
            assert await datas(answers, 2) == [b"validating 1", b"handling 1"]
            handling.close()
            alice.gossip.remove_validator(TOPIC)
            await settle()
            assert alice.gossip.topics == ["answers"]


async def test_a_handler_that_fails_gets_the_next_message(caplog: pytest.LogCaptureFixture) -> None:
    handled: list[bytes] = []

    async def handler(message: GossipMessage) -> None:
        handled.append(message.data)
        if message.data == b"1":
            raise ValueError("a bug of the application")

    async with nodes(2) as (alice, bob):
        alice.gossip.handle(TOPIC, handler)
        await settle()
        assert await bob.gossip.publish_many(TOPIC, [b"1", b"2"]) == [1, 1]
        await settle()
        assert handled == [b"1", b"2"]
    assert "a bug of the application" in caplog.text


# --- what there is to know


async def test_who_wants_a_topic_and_who_is_in_its_mesh_can_be_seen() -> None:
    async with nodes(3) as made, subscribed(made[:2]) as (here, _):
        _alice, bob, carol = (node.peer_id for node in made)
        gossip = made[0].gossip
        assert (gossip.peers(TOPIC), gossip.mesh(TOPIC), gossip.peers("other")) == ([bob], [bob], [])
        assert sorted(map(str, gossip.peers())) == sorted(map(str, (bob, carol)))
        assert gossip.scores() == dict.fromkeys(gossip.peers(), 0.0)
        assert gossip.explain(bob) is None
        assert not any(gossip.counters.values())
        assert made[0].manager.tags(bob) == {"gossip mesh": 20.0}
        here.close()
        await settle()
        assert (gossip.topics, gossip.mesh(TOPIC), made[1].gossip.peers(TOPIC)) == ([], [], [])
        assert made[0].manager.tags(bob) == {}


async def test_events_tell_of_meshes_and_topics() -> None:
    async with nodes(2) as (alice, bob):
        async with alice.events(MeshPeerAdded, MeshPeerRemoved, TopicPeerJoined, TopicPeerLeft) as events:
            async with alice.gossip.subscribe(TOPIC):
                async with bob.gossip.subscribe(TOPIC) as there:
                    await there.ready()
                await settle()
            seen = {await anext(events) for _ in range(4)}
        peer = bob.peer_id
        added = {event for event in seen if isinstance(event, MeshPeerAdded)}
        assert seen - added == {
            TopicPeerJoined(TOPIC, peer),
            TopicPeerLeft(TOPIC, peer),
            *(event for event in seen if isinstance(event, MeshPeerRemoved)),
        }
        assert [(event.topic, event.peer_id) for event in added] == [(TOPIC, peer)]


async def test_a_tracer_hears_of_every_step() -> None:
    traces: list[Trace] = []
    async with nodes(2) as made:
        made[1].gossip.tracer = traces.append
        made[1].gossip.validate(TOPIC, lambda message: Reject if message.data == b"no" else Accept)
        async with subscribed(made) as (here, there):
            await made[0].gossip.publish_many(TOPIC, [b"yes", b"no"])
            await made[1].gossip.publish(TOPIC, b"own")
            await datas(there, 1)
            await datas(here, 1)
            await settle()
        made[0].gossip.validate(TOPIC, lambda _: Ignore)
        kinds = [trace.kind for trace in traces]
        assert {*kinds} >= {
            *("joined", "peer added", "rpc received", "rpc sent", "mesh added", "delivered", "rejected", "published", "left")
        }
        (delivered,) = [trace for trace in traces if trace.kind == "delivered"]
        assert (delivered.peer_id, delivered.topic, delivered.size) == (made[0].peer_id, TOPIC, 3)
        (rejected,) = [trace for trace in traces if trace.kind == "rejected"]
        assert rejected.reason == "reject"


async def test_ready_says_when_too_few_peers_come() -> None:
    async with nodes(2) as made, subscribed(made) as (here, _):
        with pytest.raises(PeerTimeout):
            await here.ready(2, timeout=10)


# --- life


async def test_the_main_topic_is_joined_at_the_start() -> None:
    async with nodes(2, GossipConfig(main_topic=TOPIC)) as (alice, bob):
        assert alice.gossip.mesh(TOPIC) == [bob.peer_id]
        async with bob.gossip.subscribe(TOPIC) as there:
            assert await alice.gossip.publish(TOPIC, b"news") == 1
            assert await datas(there, 1) == [b"news"]
        assert bob.gossip.topics == [TOPIC]


async def test_what_was_published_leaves_before_the_node_ends() -> None:
    network = SimulatedNetwork()
    async with gossip_node(network, 1) as bob, bob.gossip.subscribe(TOPIC) as there:
        async with gossip_node(network, 0) as alice:
            await alice.dial(bob.addresses)
            await settle()
            await alice.gossip.publish_many(TOPIC, [bytes([number]) * 1000 for number in range(100)])
        assert len(await datas(there, 100)) == 100
        await settle()
        assert bob.gossip.peers() == bob.gossip.peers(TOPIC) == []


async def test_the_end_of_a_node_ends_its_subscriptions_and_everything_else() -> None:
    async with nodes(2) as (alice, bob):
        subscription = alice.gossip.subscribe(TOPIC)
        async with subscription:
            gossip = alice.gossip
            reading = asyncio.ensure_future(anext(subscription, None))
            waiting = asyncio.ensure_future(subscription.ready(5))
            await settle()
            await alice.__aexit__(None, None, None)
            assert await reading is None
            with pytest.raises(NotRunning):
                await waiting
        for call in (lambda: gossip.subscribe(TOPIC), lambda: alice.gossip):
            with pytest.raises(NotRunning):
                call()
        with pytest.raises(NotRunning):
            await gossip.publish(TOPIC, b"late")
        await settle()
        assert bob.gossip.peers() == []


async def test_gossip_can_be_off() -> None:
    async with Node(config=Config(gossip=None, kad=None)) as node:
        assert not any("sub" in protocol for protocol in node.protocols)
        with pytest.raises(LocalError, match="GossipConfig"):
            _ = node.gossip


async def test_what_the_application_answers_itself_is_left_to_it() -> None:
    async def own(stream: Stream) -> None:
        await stream.write(b"mine")

    network = SimulatedNetwork()
    alice = gossip_node(network, 0)
    alice.handle(GOSSIPSUB_11, own)
    async with gossip_node(network, 1) as bob:
        async with alice:
            await bob.dial(alice.addresses)
            async with bob.stream(alice.peer_id, GOSSIPSUB_11) as stream:
                assert await stream.read_all(limit=10) == b"mine"
        assert alice.protocols == [GOSSIPSUB_11, *(each for each in alice.protocols if each != GOSSIPSUB_11)]


async def test_peers_that_come_back_are_met_again() -> None:
    network = SimulatedNetwork()
    async with (
        gossip_node(network, 0) as alice,
        gossip_node(network, 1) as bob,
        alice.gossip.subscribe(TOPIC) as here,
        bob.gossip.subscribe(TOPIC) as there,
    ):
        for number in range(3):
            await alice.dial(bob.addresses)
            await here.ready(timeout=10)
            await there.ready(timeout=10)
            await alice.gossip.publish(TOPIC, bytes([number]))
            assert await datas(there, 1) == [bytes([number])]
            await alice.disconnect(bob.peer_id)
            await settle()
            assert alice.gossip.peers(TOPIC) == bob.gossip.peers() == []


async def test_direct_peers_are_kept_connected_and_get_everything() -> None:
    network = SimulatedNetwork()
    async with gossip_node(network, 1) as bob:
        config = GossipConfig(direct_peers=[str(address) for address in bob.addresses])
        async with gossip_node(network, 0, config) as alice, alice.gossip.subscribe(TOPIC), bob.gossip.subscribe(TOPIC) as there:
            await there.ready()
            await settle()
            assert alice.gossip.mesh(TOPIC) == []
            assert await alice.gossip.publish(TOPIC, b"direct") == 1
            assert await datas(there, 1) == [b"direct"]
            await bob.disconnect(IDENTITIES[0].peer_id)
            await settle(10)
            assert alice.peers == [bob.peer_id]


async def test_the_heart_beats_on_where_the_application_fails_in_it() -> None:
    opinions = [1.0, 1.0]

    def app_score(_: object) -> float:
        return opinions[1] / opinions[0]

    loop, failures = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
    network, config = SimulatedNetwork(), GossipConfig(score=ScoreParams(app_score=app_score))
    async with gossip_node(network, 0, config) as alice, gossip_node(network, 1) as bob:
        await alice.dial(bob.addresses)
        async with subscribed([alice, bob]):
            opinions[0] = 0.0
            await settle(2)
            assert [type(failure) for failure in failures] == [ZeroDivisionError] * 2
            opinions[:] = [1.0, -1.0]
            await settle(2)
            assert alice.gossip.mesh(TOPIC) == []
    loop.set_exception_handler(None)


def test_the_node_alone_loads_nothing_of_gossip() -> None:
    import subprocess
    import sys

    code = "import sys; from cortexnet import Node; print([name for name in sys.modules if 'gossip' in name])"
    result: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


async def test_a_validator_or_handler_that_can_not_be_called_is_refused_where_it_is_named() -> None:
    async with nodes(1) as (node,):
        wrong: Any = None
        with pytest.raises(LocalError, match="the validator of topic 't' is a function, not a NoneType"):
            node.gossip.validate("t", wrong)
        with pytest.raises(LocalError, match="the handler of topic 't' is a function, not a NoneType"):
            node.gossip.handle("t", wrong)
        assert node.gossip.topics == []

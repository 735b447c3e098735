"""More than somebody can take: nothing is lost where that was asked for, and every loss is counted elsewhere."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from cortexnet import Accept, GossipConfig, GossipMessage, Node, NotRunning, Verdict
from cortexnet.gossip.actions import CONTROL, SendRpc
from cortexnet.gossip.messages import ControlMessages, Rpc
from cortexnet.testing.network import SimulatedNetwork
from tests.gossip.nodes import TOPIC, datas, gossip_node, nodes, settle, subscribed

if TYPE_CHECKING:
    from cortexnet.gossip.subscription import Policy, Subscription
    from cortexnet.gossip.tracer import Trace

BURST = 10_000


async def test_a_burst_of_10000_between_two_nodes_loses_nothing() -> None:
    async with nodes(2) as (alice, bob), subscribed([alice, bob], policy="block") as (_, there):
        publishing = asyncio.ensure_future(
            alice.gossip.publish_many(TOPIC, [number.to_bytes(4, "big") for number in range(BURST)])
        )
        received = [int.from_bytes(data, "big") for data in await datas(there, BURST)]
        assert received == list(range(BURST))
        assert await publishing == [1] * BURST
        for node in (alice, bob):
            assert not any(node.gossip.counters.values())


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
async def test_what_a_reader_who_sleeps_misses_is_counted(policy: "Policy") -> None:
    async with nodes(2) as (alice, bob), subscribed([alice, bob], policy=policy, queue=100) as (_, there):
        await alice.gossip.publish_many(TOPIC, [number.to_bytes(4, "big") for number in range(1_000)])
        await settle()
        assert (there.waiting, there.dropped) == (100, 900)
        assert bob.gossip.counters["queues"] == 900
        first = int.from_bytes((await datas(there, 1))[0], "big")
        assert first == (900 if policy == "drop_oldest" else 0)
        there.close()
        assert bob.gossip.counters["queues"] == 900


async def test_a_full_queue_stops_the_reading_of_gossip_alone() -> None:
    async with nodes(2) as (alice, bob), subscribed([alice, bob], policy="block", queue=10) as (_, there):
        publishing = asyncio.ensure_future(alice.gossip.publish_many(TOPIC, [bytes(10_000)] * 1_000))
        await settle(2)
        assert not publishing.done()
        held = there.waiting
        assert 10 <= held < 200  # and what one chunk had brought
        await settle(2)
        assert there.waiting == held
        assert await alice.ping(bob.peer_id) < 1
        assert len(await datas(there, 1_000)) == 1_000
        assert await publishing == [1] * 1_000
        assert there.dropped == 0


async def test_a_full_queue_holds_up_nobody_who_brings_nothing_for_it() -> None:
    async with (
        nodes(3) as (alice, bob, carol),
        subscribed([alice, bob], policy="block", queue=10) as (_, there),
        carol.gossip.subscribe("other") as others,
        bob.gossip.subscribe("other") as here,
    ):
        publishing = asyncio.ensure_future(alice.gossip.publish_many(TOPIC, [bytes(10_000)] * 1_000))
        await settle(2)
        assert there.is_blocking
        await others.ready(timeout=1)
        await carol.gossip.publish_many("other", [bytes(1_000)] * 500)
        assert await datas(here, 500) == [bytes(1_000)] * 500
        assert there.is_blocking
        assert not publishing.done()
        await settle(12)  # its patience is over
        assert not there.is_blocking
        assert there.dropped + there.waiting == 1_000 - alice.gossip.counters["outbound"]
        assert bob.gossip.counters["queues"] == there.dropped
        await publishing


async def test_each_of_several_full_queues_is_waited_for() -> None:
    async with (
        nodes(2) as (alice, bob),
        subscribed([alice, bob], policy="block", queue=2) as (_, there),
        bob.gossip.subscribe(TOPIC, policy="block", queue=2) as second,
    ):
        for number in range(4):
            await alice.gossip.publish(TOPIC, bytes([number]))
            await settle()
        assert (there.waiting, second.waiting) == (2, 2)
        assert await datas(there, 2) == [b"\0", b"\1"]
        await settle()
        assert (there.waiting, second.waiting) == (0, 2)
        assert await datas(second, 4) == [b"\0", b"\1", b"\2", b"\3"]
        assert await datas(there, 2) == [b"\2", b"\3"]


async def test_publishing_waits_no_longer_than_it_says_where_others_publish_too() -> None:
    async with nodes(1) as (alice,), alice.gossip.subscribe(TOPIC, policy="block", queue=2, own=True) as own:
        loop = asyncio.get_running_loop()
        others = asyncio.ensure_future(alice.gossip.publish_many(TOPIC, [b"other"] * 100))

        async def read() -> None:
            async for _ in own:
                await asyncio.sleep(2)

        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0.1)
        began = loop.time()
        await alice.gossip.publish(TOPIC, b"one")
        assert loop.time() - began <= GossipConfig().queue_patience
        for task in (others, reading):
            task.cancel()
        await asyncio.wait([others, reading])


async def test_a_blocked_reader_who_leaves_lets_gossip_go_on() -> None:
    async with (
        nodes(2) as (alice, bob),
        subscribed([alice, bob], policy="block", queue=1) as (_, there),
        bob.gossip.subscribe(TOPIC, policy="drop_newest", queue=BURST) as second,
    ):
        await alice.gossip.publish_many(TOPIC, [bytes(1_000)] * 100)
        await settle()
        there.close()
        assert len(await datas(second, 100)) == 100


async def test_a_publisher_waits_for_its_own_blocked_queue() -> None:
    async with nodes(1) as (alice,), alice.gossip.subscribe(TOPIC, policy="block", queue=2, own=True) as own:
        publishing = asyncio.ensure_future(alice.gossip.publish_many(TOPIC, [b"1", b"2", b"3"]))
        await settle()
        assert not publishing.done()
        assert await datas(own, 3) == [b"1", b"2", b"3"]
        await publishing


async def deaf_neighbour(network: SimulatedNetwork, **settings: int) -> tuple[Node, Node, "Subscription"]:
    """Alice, and bob who has joined but reads nothing any more."""
    alice = await gossip_node(network, 0, GossipConfig(**settings)).__aenter__()  # type: ignore[arg-type]
    bob = await gossip_node(network, 1).__aenter__()
    await alice.dial(bob.addresses)
    there = bob.gossip.subscribe(TOPIC, policy="block", queue=1)
    await there.__aenter__()
    await settle()
    return alice, bob, there


async def test_a_peer_that_takes_nothing_is_waited_for_once_and_then_counted() -> None:
    alice, bob, there = await deaf_neighbour(SimulatedNetwork(), outbound_rpcs=4)
    loop = asyncio.get_running_loop()
    taken, began = 0, loop.time()
    while await alice.gossip.publish(TOPIC, bytes(200_000)):
        assert loop.time() == began  # there was room
        taken += 1
        assert taken < 100
    assert 5.0 <= loop.time() - began <= 5.1
    waited = loop.time()
    assert await alice.gossip.publish(TOPIC, bytes(200_000)) == 0
    assert loop.time() == waited
    assert alice.gossip.counters["outbound"] == 2
    await datas(there, 1)
    there.close()
    await settle()
    await alice.gossip.publish(TOPIC, b"again")
    for node in (alice, bob):
        await node.__aexit__(None, None, None)


async def test_publishing_that_is_cancelled_leaves_nothing_waiting() -> None:
    alice, bob, _ = await deaf_neighbour(SimulatedNetwork(), outbound_rpcs=4)
    line = alice.gossip._engine.lines[bob.peer_id]
    publishing = asyncio.ensure_future(alice.gossip.publish_many(TOPIC, [bytes(200_000)] * 100))
    await settle()
    assert line.waiting == 1
    publishing.cancel()
    await settle(0)
    assert (publishing.cancelled(), line.waiting, alice.gossip.counters["outbound"]) == (True, 0, 0)
    for node in (alice, bob):
        await node.__aexit__(None, None, None)


async def test_what_is_queued_for_a_peer_that_goes_is_counted() -> None:
    alice, bob, _ = await deaf_neighbour(SimulatedNetwork(), outbound_rpcs=4)
    publishing = asyncio.ensure_future(alice.gossip.publish_many(TOPIC, [bytes(200_000)] * 100))
    await settle()
    await alice.disconnect(bob.peer_id)
    await settle()
    assert alice.gossip.counters["outbound"] == 5
    assert (await publishing)[-1] == 0
    for node in (alice, bob):
        await node.__aexit__(None, None, None)


async def test_forwarding_never_waits_and_counts_what_it_drops() -> None:
    network = SimulatedNetwork()
    alice, bob, _ = await deaf_neighbour(network, outbound_rpcs=4)
    carol = await gossip_node(network, 2).__aenter__()
    await carol.dial(alice.addresses)
    async with alice.gossip.subscribe(TOPIC, policy="drop_oldest") as here:
        await settle(3)
        for _number in range(40):
            assert await carol.gossip.publish(TOPIC, bytes(100_000)) >= 1
            assert len(await datas(here, 1)) == 1
        assert alice.gossip.counters["outbound"] > 0
    for node in (carol, alice, bob):
        await node.__aexit__(None, None, None)


async def test_all_that_is_asked_for_at_once_arrives() -> None:
    """go's test of a large IWANT: 1,000 messages of 20,000 bytes. Others go on to get what is new meanwhile."""
    config = GossipConfig(history=60, queue_size=2_000, queue_bytes=100_000_000)
    async with nodes(2, config) as (alice, bob), alice.gossip.subscribe(TOPIC, own=True) as own:
        await alice.gossip.publish_many(TOPIC, [number.to_bytes(20_000, "big") for number in range(1_000)])
        ids = [(await anext(own)).id for _ in range(1_000)]
        there = bob.gossip.subscribe(TOPIC)
        async with there:
            await there.ready()
            bob.gossip._engine._send(SendRpc([alice.peer_id], Rpc(control=ControlMessages(iwant=ids)), CONTROL))
            await alice.gossip.publish(TOPIC, b"new")
            received = await datas(there, 1_001)
            assert sorted(map(len, received)) == [3] + [20_000] * 1_000
            assert len(set(received)) == 1_001
            assert not any(alice.gossip.counters.values())
            assert alice.gossip._engine._answers.size == 0


async def test_slow_validators_are_throttled_and_that_is_counted() -> None:
    release = asyncio.Event()

    async def slow(_: GossipMessage) -> Verdict:
        await release.wait()
        return Accept

    async with nodes(2, GossipConfig(topic_validation_limit=10)) as (alice, bob):
        bob.gossip.validate(TOPIC, slow)
        traces: list[Trace] = []
        bob.gossip.tracer = traces.append
        async with subscribed([alice, bob]) as (_, there):
            await alice.gossip.publish_many(TOPIC, [bytes([number]) for number in range(15)])
            await settle()
            assert bob.gossip.counters["throttled"] == 7  # one sender does not get all places
            assert [trace.reason for trace in traces if trace.kind == "rejected"] == ["validation throttled"] * 7
            release.set()
            assert len(await datas(there, 8)) == 8


async def test_what_does_not_even_come_to_validation_is_counted_too() -> None:
    async def slow(_: GossipMessage) -> Verdict:
        await asyncio.sleep(20)
        return Accept

    network = SimulatedNetwork()
    config = GossipConfig(validation_limit=4, topic_message_ids={TOPIC: lambda message: b"id" + message.data})
    other = GossipConfig(validation_limit=4, topic_message_ids={TOPIC: lambda message: message.data})
    async with gossip_node(network, 0, config) as alice, gossip_node(network, 1, other) as bob:
        await alice.dial(bob.addresses)
        bob.gossip.validate(TOPIC, slow)
        async with subscribed([alice, bob]):
            await alice.gossip.publish_many(TOPIC, [b"", *(bytes([number]) for number in range(6))])
            await settle()
            assert bob.gossip.counters["throttled"] == 2
            assert bob.gossip.counters["unidentified"] == 1


async def test_a_validator_that_fails_costs_its_message_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    def validator(message: GossipMessage) -> Verdict:
        if message.data == b"1":
            raise ValueError("a bug of the application")
        return Accept

    async with nodes(2) as (alice, bob):
        bob.gossip.validate(TOPIC, validator)
        async with subscribed([alice, bob]) as (_, there):
            await alice.gossip.publish_many(TOPIC, [b"1", b"2"])
            assert await datas(there, 1) == [b"2"]
            assert bob.gossip.counters["validators"] == 1
    assert "a bug of the application" in caplog.text


async def test_two_nodes_that_publish_and_do_not_read_end_each_others_wait_and_count_what_they_lost() -> None:
    """Each waits for room at the other, whose full queue stops its reading: nobody waits for ever, and nothing is lost unseen."""
    async with nodes(2) as made, subscribed(made, policy="block", queue=1) as queues:
        loop = asyncio.get_running_loop()
        began = loop.time()
        counts = await asyncio.gather(*(node.gossip.publish_many(TOPIC, [bytes(100_000)] * 100) for node in made))
        assert loop.time() - began <= 5.5
        for node, sent, there in zip(made, counts, reversed(queues), strict=True):
            assert 0 < sum(sent) < 100
            assert node.gossip.counters["outbound"] == 100 - sum(sent)
            assert len(await datas(there, sum(sent))) == sum(sent)
            await settle()
            assert (there.waiting, there.dropped) == (0, 0)


async def test_a_node_ends_whatever_waits_in_its_gossip() -> None:
    """Validators and handlers that hang, a full queue, a publisher that waits, and a peer that reads nothing."""

    async def hang(_: GossipMessage) -> Verdict:
        await asyncio.sleep(1_000_000)
        return Accept

    async def handle(message: GossipMessage) -> None:
        await hang(message)

    alice, bob, _ = await deaf_neighbour(SimulatedNetwork(), outbound_rpcs=4)
    for node in (alice, bob):
        for topic in ("validated", "handled"):
            node.gossip.handle(topic, handle)
        node.gossip.validate("validated", hang)
    await settle(2)
    for topic in ("validated", "handled"):
        await alice.gossip.publish_many(topic, [b"1", b"2"])
    publishing = asyncio.ensure_future(alice.gossip.publish_many(TOPIC, [bytes(200_000)] * 100))
    await settle(1)
    for node in (alice, bob):
        await node.__aexit__(None, None, None)
        assert not any(node.counters.values())
    with pytest.raises(NotRunning):
        await publishing
    assert [task.get_name() for task in asyncio.all_tasks() if "gossip" in task.get_name()] == []

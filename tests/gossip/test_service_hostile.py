"""Peers that break the rules of gossip's streams: it costs them their stream, and nobody else anything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from cortexnet import Config, GossipConfig, Node, Stream, StreamReset
from cortexnet.gossip.config import GOSSIPSUB_12
from cortexnet.gossip.frames import Frames
from cortexnet.gossip.messages import ControlMessages, IHave, Message, Rpc, Subscription, decode, frame
from cortexnet.multiformats import varint
from cortexnet.testing.network import SimulatedNetwork
from tests.gossip.nodes import IDENTITIES, TOPIC, gossip_node, settle


class Raw:
    """A peer without gossip of its own: what it is sent, and streams to say anything on."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.inbound: list[Stream] = []
        self.heard: list[Rpc] = []

    async def serve(self, stream: Stream) -> None:
        self.inbound.append(stream)
        frames = Frames(1024 * 1024)
        async for data in stream:
            self.heard += [decode(each, GossipConfig()) for each in frames.take(data)]

    async def open(self) -> Stream:
        return await self.node.stream(IDENTITIES[0].peer_id, GOSSIPSUB_12)


@asynccontextmanager
async def raw_peer(**settings: int) -> AsyncIterator[tuple[Node, Raw]]:
    """Alice, who has joined the topic, and a raw peer that is connected to her."""
    network = SimulatedNetwork()
    config = Config(transports=["memory"], memory_network=network.host("raw"), gossip=None, kad=None)
    async with (
        gossip_node(network, 0, GossipConfig(**settings), reputation=None) as alice,  # type: ignore[arg-type]
        Node(IDENTITIES[1], listen=["/memory/0"], config=config) as node,
        alice.gossip.subscribe(TOPIC),
    ):
        raw = Raw(node)
        node.handle(GOSSIPSUB_12, raw.serve)
        await node.dial(alice.addresses)
        await settle()
        yield alice, raw
        await settle()
        assert (await alice.ping(node.peer_id)) < 1
    assert not any(alice.counters.values())


SUBSCRIBE = frame(Rpc([Subscription(TOPIC)]))


async def is_reset(stream: Stream) -> bool:
    try:
        async with asyncio.timeout(5):
            return await stream.read() == b"never"
    except StreamReset:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    "bytes_sent",
    [
        pytest.param(varint.encode(1024 * 1024 + 1), id="too long"),
        pytest.param(b"\xff" * 10, id="no length"),
        pytest.param(b"\x02\x0a\xff", id="no RPC"),
        pytest.param(varint.encode(4 * 26) + b"\x12\x02\x08\x01" * 26, id="no messages"),
        pytest.param(frame(Rpc(control=ControlMessages(ihave=[IHave(TOPIC, [bytes(60)] * 9_000)]))), id="too much control"),
    ],
)
async def test_what_is_no_rpc_resets_the_stream_behind_what_was_one(bytes_sent: bytes) -> None:
    async with raw_peer() as (alice, raw):
        stream = await raw.open()
        await stream.write(SUBSCRIBE + bytes_sent)
        await settle(0.05)
        assert await is_reset(stream)
        await settle()
        assert alice.gossip.peers(TOPIC) == [raw.node.peer_id]
        again = await raw.open()
        await again.write(frame(Rpc([Subscription(TOPIC, subscribe=False)])))
        await settle(0.05)
        assert alice.gossip.peers(TOPIC) == []
        again.reset()


async def test_of_three_streams_the_last_counts() -> None:
    async with raw_peer() as (alice, raw):
        streams: list[Stream] = []
        for number in range(3):
            stream = await raw.open()
            streams.append(stream)
            await stream.write(frame(Rpc([Subscription(f"topic {number}")])))
            await settle(0.05)
        assert [await is_reset(stream) for stream in streams] == [True, True, False]
        assert [alice.gossip.peers(f"topic {number}") for number in range(3)] == [[raw.node.peer_id]] * 3
        streams[2].reset()


async def test_a_peer_that_lost_its_stream_need_not_repeat_its_topics() -> None:
    """rust says its topics once in the life of a connection, whatever becomes of the stream."""
    async with raw_peer() as (alice, raw):
        stream = await raw.open()
        await stream.write(SUBSCRIBE)
        await settle()
        for broken in (stream, raw.inbound[0]):
            broken.reset()
        await settle()
        again = await raw.open()
        await again.write(frame(Rpc([Subscription("another topic")])))
        await settle()
        await alice.gossip.publish(TOPIC, b"still wanted")
        await settle()
        assert [message.data for rpc in raw.heard for message in rpc.messages] == [b"still wanted"]
        again.reset()


async def test_a_stream_that_was_opened_again_is_told_all_topics_again() -> None:
    async with raw_peer() as (_, raw):
        for number in range(1, 4):
            stream = await raw.open()
            await stream.write(SUBSCRIBE)
            await settle(1.1)
            assert len([rpc for rpc in raw.heard if Subscription(TOPIC) in rpc.subscriptions]) == number
            await stream.close()
            await settle()
        assert len(raw.inbound) == 1


async def test_who_opens_streams_without_end_is_told_the_topics_once_a_heartbeat() -> None:
    async with raw_peer() as (_, raw):
        for _ in range(100):
            stream = await raw.open()
            await stream.write(SUBSCRIBE)
            await settle(0.01)
        await settle(1.1)
        assert 2 <= sum(Subscription(TOPIC) in rpc.subscriptions for rpc in raw.heard) <= 4
        stream.reset()


async def test_what_ends_our_stream_makes_us_greet_again() -> None:
    async with raw_peer() as (_, raw):
        await raw.inbound[0].write(b"this is not for you to write on")
        await settle()
        raw.inbound[-1].reset()
        await settle()
        assert len(raw.inbound) == 3
        assert [rpc.subscriptions for rpc in raw.heard] == [[Subscription(TOPIC)]] * 3


async def test_forged_messages_go_nowhere() -> None:
    async with raw_peer() as (alice, raw):
        stream = await raw.open()
        await stream.write(SUBSCRIBE)
        async with alice.gossip.subscribe(TOPIC) as here:
            for author, signature in ((None, None), (IDENTITIES[2].peer_id, bytes(64)), (IDENTITIES[2].peer_id, None)):
                for number in range(20):
                    raw_author = None if author is None else bytes(author)
                    message = Message.build(TOPIC, b"!", author=raw_author, seqno=bytes([number] * 8), signature=signature)
                    await stream.write(frame(Rpc(messages=[message])))
            await settle(5)
            assert here.waiting == 0
            assert alice.gossip.counters["throttled"] == 0


async def test_what_comes_behind_many_tiny_frames_is_read() -> None:
    async with raw_peer() as (alice, raw):
        stream = await raw.open()
        await stream.write(bytes(200_000))
        await stream.write(b"\x02\x40\x00" * 60_000)
        await stream.write(SUBSCRIBE)
        await settle()
        assert alice.gossip.peers(TOPIC) == [raw.node.peer_id]
        stream.reset()


async def test_subscriptions_are_bounded() -> None:
    async with raw_peer(topics_per_peer=10) as (alice, raw):
        stream = await raw.open()
        await stream.write(frame(Rpc([Subscription(f"topic {number}") for number in range(1_000)])))
        await settle()
        assert sum(bool(alice.gossip.peers(f"topic {number}")) for number in range(1_000)) == 10
        stream.reset()
        again = await raw.open()
        await again.write(frame(Rpc([Subscription(f"topic {number}") for number in range(500, 1_000)])))
        await settle()
        assert sum(bool(alice.gossip.peers(f"topic {number}")) for number in range(1_000)) == 10
        again.reset()


async def test_a_peer_that_reads_nothing_has_its_stream_reset_after_a_while() -> None:
    async with raw_peer(write_timeout=30) as (alice, raw):
        raw.node.unhandle(GOSSIPSUB_12)
        ended: list[float] = []

        async def deaf(stream: Stream) -> None:
            await asyncio.sleep(1_000)

        raw.node.handle(GOSSIPSUB_12, deaf)
        raw.inbound[0].reset()
        stream = await raw.open()
        await stream.write(SUBSCRIBE)
        await settle(2)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while alice.gossip.counters["outbound"] == 0:
            await alice.gossip.publish(TOPIC, bytes(500_000))
            ended.append(loop.time() - began)
        deaf_stream = next(each for each in alice.connections[0].streams if each.direction == "outbound")
        await settle(31)
        assert deaf_stream.failure is not None
        stream.reset()


async def test_a_peer_that_is_gone_before_its_stream_is_served_leaves_nothing() -> None:
    """Its handler may begin when the connection has ended: what it did then would stay for ever, for each identity anew."""
    network = SimulatedNetwork()
    config = Config(transports=["memory"], memory_network=network.host("raw"), gossip=None, kad=None)
    async with (
        gossip_node(network, 0) as alice,
        alice.gossip.subscribe(TOPIC),
        Node(IDENTITIES[1], config=config) as node,
    ):

        async def late(stream: Stream) -> None:
            await settle(0.1)
            assert alice.connections == []
            await alice.gossip._engine.inbound.serve(stream)

        alice.handle("/late/1.0.0", late)
        await node.dial(alice.addresses)
        stream = await node.stream(alice.peer_id, "/late/1.0.0")
        await stream.write(SUBSCRIBE)
        await settle(0.05)
        node.connections[0].abort()
        await settle()
        assert (alice.gossip.peers(), alice.gossip.peers(TOPIC), alice.gossip._engine.router.peers()) == ([], [], [])


async def test_many_peers_that_bring_much_at_once_wait_for_each_other() -> None:
    """What each of them has read by then is kept, not dropped: validation has room for what one of them brings."""
    network = SimulatedNetwork()
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(gossip_node(network, 0, GossipConfig(validation_limit=1_000)))
        await stack.enter_async_context(alice.gossip.subscribe(TOPIC))
        for number in range(1, 7):
            config = Config(transports=["memory"], memory_network=network.host(f"raw {number}"), gossip=None, kad=None)
            node = await stack.enter_async_context(Node(IDENTITIES[number], config=config))
            await node.dial(alice.addresses)
            author = bytes(node.peer_id)
            forged = [
                Message.build(TOPIC, b"", author=author, seqno=bytes([7, each] * 4), signature=bytes(64)) for each in range(250)
            ]
            stream = await node.stream(alice.peer_id, GOSSIPSUB_12)
            await stream.write(frame(Rpc(messages=forged)))
        await settle(5)
        assert alice.gossip.counters["throttled"] == 0
        assert alice.gossip._engine.validation.pending == 0

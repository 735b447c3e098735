"""What is said to one peer: its stream, its queue, who waits for room, and what happens when the stream is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

import pytest

from cortexnet import Config, ConnectionClosed, Identity, Node, PeerId, Stream
from cortexnet.gossip.actions import CONTROL, FORWARD, HELLO
from cortexnet.gossip.answers import Answers
from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.frames import Frames
from cortexnet.gossip.peer_streams import MOVE_PAUSE, PAUSES, RETIREMENT, Line
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.scope import Scope

PROTOCOL = "/test/line/1.0.0"
ALICE, BOB = Identity.generate(), Identity.generate()


class Owner:
    """Opens streams from a node, and notes what a line tells."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.told: list[str] = []
        self.wanted = True
        self.refuse = False
        self.going: list[Stream] = []
        self.are_all_going = False

    async def open_stream(self, peer: PeerId) -> Stream:
        self.told.append("open")
        if self.refuse:
            raise ConnectionClosed("refused by the test")
        return await self.node.stream(peer, PROTOCOL)

    def opened(self, line: Line, stream: Stream) -> None:
        self.told.append("opened")
        line.offer(b"hello", HELLO)

    def ended(self, line: Line) -> None:
        self.told.append("ended")

    def has_to_say(self, line: Line) -> bool:
        return self.wanted

    def is_superfluous(self, stream: Stream) -> bool:
        return self.are_all_going or stream in self.going


class Reader:
    """The other end: what came, and what it does about it."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.streams: list[Stream] = []
        self.opened = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.ends = asyncio.Event()
        self.ends.set()

    async def serve(self, stream: Stream) -> None:
        self.streams.append(stream)
        self.opened.set()
        cutter = Frames(1_000_000)
        while True:
            await self.reads.wait()
            data = await stream.read()
            if not data:
                await self.ends.wait()
                return
            self.frames += cutter.take(data)


@asynccontextmanager
async def line_to_bob(**settings: float) -> AsyncIterator[tuple[Line, Owner, Reader]]:
    network = SimulatedNetwork()

    def node(identity: Identity, name: str) -> Node:
        config = Config(transports=["memory"], memory_network=network.host(name))
        return Node(identity, listen=["/memory/0"], config=config)

    reader = Reader()
    async with node(ALICE, "alice") as alice, node(BOB, "bob") as bob:
        bob.handle(PROTOCOL, reader.serve)
        await alice.dial(bob.addresses)
        owner, scope = Owner(alice), Scope()
        line = Line(bob.peer_id, owner, GossipConfig(**settings), scope, Random(1), Answers(10_000_000))  # type: ignore[arg-type]
        try:
            yield line, owner, reader
        finally:
            await scope.close()


async def settle() -> None:
    await asyncio.sleep(0.01)


async def test_a_stream_is_opened_once_and_begins_with_the_hello() -> None:
    async with line_to_bob() as (line, owner, reader):
        assert not line.offer(b"too early", FORWARD)
        assert not line.is_opening
        line.open()
        line.open()
        assert line.is_opening
        await settle()
        assert not line.is_opening
        assert owner.told == ["open", "opened"]
        assert reader.frames == [b"hello"]
        for body in (b"a", b"b"):
            assert line.offer(body, FORWARD)
        assert line.offer(b"control", CONTROL)
        assert line.queued == 3
        await line.drain()
        assert line.queued == 0
        await settle()
        assert reader.frames == [b"hello", b"control", b"ab"]
        assert line.dropped == 1


async def test_a_lost_stream_is_opened_again_at_once_and_then_after_ever_longer_pauses() -> None:
    async with line_to_bob() as (line, owner, reader):
        loop = asyncio.get_running_loop()
        line.open()
        lost = []
        for number in range(len(PAUSES) + 1):
            reader.opened.clear()
            if len(reader.streams) == number:
                await reader.opened.wait()
            lost.append(loop.time())
            reader.streams[-1].reset()
            await settle()
        gaps = [after - before for before, after in pairwise(lost)]
        for pause, gap in zip(PAUSES, gaps, strict=True):
            assert pause <= gap <= pause + 0.15
        await asyncio.sleep(10)
        line.open()
        await settle()
        assert owner.told == ["open", "opened", "ended"] * (len(PAUSES) + 1)
        line.forgive()
        line.open()
        await settle()
        assert owner.told[-1] == "opened"


async def test_losses_are_forgotten_after_a_while() -> None:
    async with line_to_bob() as (line, owner, _):
        owner.refuse = True
        line.open()
        await asyncio.sleep(5)
        assert owner.told == ["open", "ended"] * (len(PAUSES) + 1)
        await asyncio.sleep(600)
        owner.refuse = False
        line.open()
        await settle()
        assert owner.told[-1] == "opened"


async def test_a_lost_stream_is_left_alone_where_nothing_is_to_be_said() -> None:
    async with line_to_bob() as (line, owner, reader):
        line.open()
        await settle()
        owner.wanted = False
        reader.reads.clear()
        line.offer(b"lost", FORWARD)
        reader.streams[0].reset()
        await asyncio.sleep(10)
        assert owner.told == ["open", "opened", "ended"]
        assert line.stream is None


@pytest.mark.parametrize("ends", [False, True])
async def test_a_peer_that_writes_or_ends_on_our_stream_has_it_reset(ends: bool) -> None:
    async with line_to_bob() as (line, owner, reader):
        owner.wanted = False
        line.open()
        await settle()
        await (reader.streams[0].close() if ends else reader.streams[0].write(b"what?"))
        await settle()
        assert owner.told[-1] == "ended"
        assert line.stream is None


async def test_who_publishes_waits_for_room_in_turn_while_others_do_not() -> None:
    async with line_to_bob(outbound_rpcs=2) as (line, _, reader):
        assert line.publish(b"no stream") is False
        line.open()
        await settle()
        reader.reads.clear()
        big = bytes(300_000)
        assert line.publish(big) is True
        await settle()
        assert [line.publish(body) for body in (b"1", b"2")] == [True, True]
        third, fourth, fifth = (line.publish(body) for body in (b"3", b"4", b"5"))
        assert isinstance(third, asyncio.Future)
        assert isinstance(fourth, asyncio.Future)
        assert isinstance(fifth, asyncio.Future)
        assert not line.offer(b"forwarding never waits", FORWARD)
        await settle()
        assert not third.done()
        fourth.cancel()
        reader.reads.set()
        assert await third
        assert await fifth
        await settle()
        assert b"".join(reader.frames) == b"hello" + big + b"1235"


async def test_a_peer_without_room_for_too_long_is_not_waited_for_again() -> None:
    async with line_to_bob(outbound_rpcs=1) as (line, _, reader):
        line.open()
        await settle()
        reader.reads.clear()
        line.publish(bytes(300_000))
        await settle()
        line.publish(b"1")
        second = line.publish(b"2")
        assert isinstance(second, asyncio.Future)
        line.give_up(second)
        line.give_up(second)
        assert await second is False
        assert line.publish(b"3") is False
        assert line.dropped == 2
        reader.reads.set()
        await settle()
        assert line.publish(b"4") is True
        await settle()
        assert b"".join(reader.frames)[-2:] == b"14"


async def test_a_peer_that_takes_nothing_has_its_stream_reset() -> None:
    async with line_to_bob(write_timeout=30.0, outbound_rpcs=1) as (line, owner, reader):
        loop = asyncio.get_running_loop()
        owner.wanted = False
        line.check(loop.time())
        line.open()
        await settle()
        line.check(loop.time())
        reader.reads.clear()
        line.offer(bytes(300_000), FORWARD)
        await settle()
        line.publish(b"1")
        waiting = line.publish(b"2")
        assert isinstance(waiting, asyncio.Future)
        draining = asyncio.ensure_future(line.drain())
        await asyncio.sleep(29)
        line.check(loop.time())
        assert line.stream is not None
        await asyncio.sleep(1)
        line.check(loop.time())
        assert await waiting is False
        await draining
        await settle()
        assert owner.told[-1] == "ended"
        assert line.dropped == 2


async def test_closing_ends_it() -> None:
    async with line_to_bob() as (line, owner, _):
        line.close()
        line.open()
        await settle()
        line.close()
        await settle()
        assert owner.told == ["open", "opened", "ended"]
        await line.drain()


async def test_what_was_queued_when_it_is_closed_is_counted_at_once() -> None:
    async with line_to_bob(outbound_rpcs=2) as (line, _, reader):
        line.open()
        await settle()
        reader.reads.clear()
        line.publish(bytes(300_000))
        await settle()
        assert [line.publish(body) for body in (b"1", b"2")] == [True, True]
        waiting = line.publish(b"3")
        assert isinstance(waiting, asyncio.Future)
        line.close()
        assert (line.dropped, line.queued) == (3, 0)
        assert await waiting is False
        assert line.offer(b"too late", FORWARD) is False
        await settle()
        assert line.dropped == 4


async def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    async with line_to_bob(outbound_rpcs=1) as (line, _, reader):
        line.open()
        await settle()
        reader.reads.clear()
        line.publish(bytes(300_000))
        await settle()
        line.publish(b"1")
        for _ in range(3):
            room = line.publish(b"2")
            assert isinstance(room, asyncio.Future)
            assert line.waiting == 1
            line.withdraw(room)
            line.withdraw(room)
            assert room.cancelled()
            assert line.waiting == 0
        assert line.dropped == 0
        reader.reads.set()
        await settle()
        assert b"".join(reader.frames)[-2:] == b"01".replace(b"0", bytes(1))


# --- to another connection


@asynccontextmanager
async def moving(owner: Owner, line: Line) -> AsyncIterator[Stream]:
    """The stream of a line, whose connection is to go; the line has begun to move."""
    line.open()
    await settle()
    assert line.stream is not None
    old = line.stream
    owner.going.append(old)
    line.check(0.0)
    line.check(0.0)
    await settle()
    yield old


async def test_a_line_moves_with_all_that_is_to_be_said() -> None:
    async with line_to_bob() as (line, owner, reader), moving(owner, line) as old:
        assert line.offer(b"meanwhile", FORWARD)
        assert line.publish(b"!") is True
        await settle()
        assert reader.frames == [b"hello"]
        assert line.stream is old
        await asyncio.sleep(MOVE_PAUSE)
        assert line.stream not in (None, old)
        assert reader.frames == [b"hello", b"hello", b"meanwhile!"]
        assert owner.told == ["open", "opened", "open", "ended", "opened"]
        assert old.failure is not None  # it was ended, and the peer has seen that
        line.offer(b"more", FORWARD)
        await settle()
        assert reader.frames[-1] == b"more"
        assert line.dropped == 0


async def test_a_peer_that_does_not_end_the_old_stream_has_it_reset() -> None:
    async with line_to_bob() as (line, owner, reader), moving(owner, line) as old:
        reader.ends.clear()
        await asyncio.sleep(MOVE_PAUSE + 0.5 * RETIREMENT)
        assert old.failure is None
        await asyncio.sleep(0.6 * RETIREMENT)
        assert old.failure is not None
        assert owner.told[-1] == "opened"


async def test_a_line_stays_as_long_as_the_peer_does_not_read() -> None:
    async with line_to_bob() as (line, owner, reader):
        line.open()
        await settle()
        reader.reads.clear()
        line.offer(bytes(400_000), FORWARD)
        await settle()
        async with moving(owner, line) as old:
            await asyncio.sleep(2 * MOVE_PAUSE)
            assert line.stream is old
            assert owner.told == ["open", "opened"]
            reader.reads.set()
            await settle()
            line.check(0.0)
            line.offer(b"said there", FORWARD)
            await asyncio.sleep(MOVE_PAUSE + 0.1)
            assert line.stream is not old
            assert reader.frames[-1] == b"said there"


async def test_a_line_stays_where_no_other_stream_can_be_had() -> None:
    async with line_to_bob() as (line, owner, reader), moving(owner, line) as old:
        owner.refuse = True
        line.offer(b"said here", FORWARD)
        await asyncio.sleep(2 * MOVE_PAUSE)
        assert line.stream is old
        assert reader.frames == [b"hello", b"said here"]


async def test_a_line_stays_where_the_other_stream_is_no_better() -> None:
    async with line_to_bob() as (line, owner, _), moving(owner, line) as old:
        owner.are_all_going = True
        await asyncio.sleep(2 * MOVE_PAUSE)
        assert line.stream is old
        assert [stream for stream in old.connection.streams if stream.protocol == PROTOCOL] == [old]


async def test_a_stream_that_is_lost_while_it_is_to_move_is_opened_again() -> None:
    async with line_to_bob() as (line, owner, reader), moving(owner, line) as old:
        reader.streams[0].reset()
        await settle()
        assert line.stream not in (None, old)
        await asyncio.sleep(2 * MOVE_PAUSE)
        assert owner.told == ["open", "opened", "ended", "open", "opened"]
        line.offer(b"said there", FORWARD)
        await settle()
        assert reader.frames[-1] == b"said there"


@pytest.mark.parametrize("after", [0.0, 0.5 * MOVE_PAUSE, MOVE_PAUSE, MOVE_PAUSE + 0.001, MOVE_PAUSE + 0.1])
async def test_a_line_that_moves_can_be_closed_at_any_time(after: float) -> None:
    async with line_to_bob() as (line, owner, _), moving(owner, line):
        await asyncio.sleep(after)
        line.close()
        await settle()
        assert owner.told[-1] == "ended"
        await asyncio.sleep(2 * RETIREMENT)
        assert [stream for stream in owner.node.connections[0].streams if stream.protocol == PROTOCOL] == []


@pytest.mark.parametrize("after", [0.0, 0.5 * MOVE_PAUSE, MOVE_PAUSE, MOVE_PAUSE + 0.001, MOVE_PAUSE + 0.1])
async def test_a_line_that_moves_says_all_before_it_is_finished(after: float) -> None:
    async with line_to_bob() as (line, owner, reader), moving(owner, line):
        line.offer(b"last words", FORWARD)
        await asyncio.sleep(after)
        owner.wanted = False
        await line.finish()
        await settle()
        assert reader.frames[-1] == b"last words"

"""Peers that serve the DHT badly cost a request each, and never the node, its other peers, or more than a lookup's time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from cortexnet import Cid, Contact, Identity, Multiaddr, Node, NotFound, Stream
from cortexnet.kad.messages import Message, Type
from tests.kad.kad_nodes import PRIVATE, node, simulated
from tests.support.cancel import How, points, run_until

CID = Cid.for_data(b"hello")
PROTOCOL = PRIVATE.protocol


async def silent(stream: Stream) -> None:
    await asyncio.sleep(10_000)


async def garbage(stream: Stream) -> None:
    while True:
        await stream.read_message()
        await stream.write_message(b"\xff" * 100)


async def resets(stream: Stream) -> None:
    await stream.read_message()
    stream.reset()


async def ends(stream: Stream) -> None:
    await stream.read_message()


async def never_ends(stream: Stream) -> None:
    await stream.read_message()
    await stream.write(b"\xff\xff\xff\x01")
    while True:
        await stream.write(b"\x00" * 1_000)
        await asyncio.sleep(0.1)


async def answers_many_times(stream: Stream) -> None:
    while True:
        request = await stream.read_message()
        for _ in range(100):
            await stream.write_message(request)


async def invents(stream: Stream) -> None:
    """Names forty peers that there are not, others each time."""
    while True:
        request = Message.decode(await stream.read_message())
        invented = [Contact(Identity.generate().peer_id, [Multiaddr.parse(f"/memory/{9_000 + n}")]) for n in range(40)]
        await stream.write_message(Message(request.type, closer=tuple(invented)).encode())


async def answers_something_else(stream: Stream) -> None:
    while True:
        await stream.read_message()
        await stream.write_message(Message(Type.PING).encode())


BAD = [silent, garbage, resets, ends, never_ends, answers_many_times, invents, answers_something_else]


@asynccontextmanager
async def among(serve: Callable[[Stream], Awaitable[None]]) -> AsyncIterator[tuple[Node, Node]]:
    """Two honest nodes that know each other through a third, and both know three bad ones."""
    network = simulated()
    async with (
        node(network, "meeting") as meeting,
        node(network, "alice", bootstrap=meeting.addresses) as alice,
        node(network, "bob", bootstrap=meeting.addresses) as bob,
        node(network, "bad 1", None) as bad1,
        node(network, "bad 2", None) as bad2,
        node(network, "bad 3", None) as bad3,
    ):
        await asyncio.sleep(10)
        for bad in (bad1, bad2, bad3):
            bad.handle(PROTOCOL, serve)
            for honest in (alice, bob):
                await bad.dial(honest.addresses)
        await asyncio.sleep(1)
        yield alice, bob


@pytest.mark.parametrize("serve", BAD, ids=lambda serve: str(serve.__name__))
async def test_bad_peers_hide_nothing_and_delay_little(serve: Callable[[Stream], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    async with among(serve) as (alice, bob):
        begin = loop.time()
        assert await alice.kad.provide(CID) >= 1
        assert alice.peer_id in [contact.peer_id async for contact in bob.kad.find_providers(CID, limit=None)]
        with pytest.raises(NotFound):
            await bob.kad.get_value("/news/never")
        assert loop.time() - begin < 180
        await asyncio.sleep(60)
        assert len(bob.kad.wan.dht.table) >= 2


@pytest.mark.parametrize("how", ["early", "moment"])
@pytest.mark.parametrize("operation", ["provide", "find_peer", "get_value", "closest_peers", "find_providers", "advertise"])
async def test_an_operation_may_be_cancelled_anywhere(operation: str, how: How) -> None:
    network = simulated()
    async with (
        node(network, "meeting") as meeting,
        node(network, "alice", bootstrap=meeting.addresses) as alice,
        node(network, "bob", bootstrap=meeting.addresses) as bob,
    ):
        await asyncio.sleep(10)

        async def operate(number: int) -> None:
            if operation == "provide":
                await alice.kad.provide(Cid.for_data(b"%d" % number))
            elif operation == "find_peer":
                await alice.disconnect(bob.peer_id)
                await alice.kad.find_peer(bob.peer_id)
            elif operation == "get_value":
                with pytest.raises(NotFound):
                    await alice.kad.get_value(f"/news/{number}")
            elif operation == "closest_peers":
                await alice.kad.closest_peers(b"%d" % number)
            elif operation == "find_providers":
                assert [contact async for contact in alice.kad.find_providers(Cid.for_data(b"%d" % -number))] == []
            else:
                await alice.advertise(f"my-app {number}")

        for point in points(how):
            is_reached = await run_until(point, operate(point.number))
            await asyncio.sleep(0.5)
            assert not alice.kad.wan.dht._running
            if not is_reached:
                break
        assert len(await alice.kad.closest_peers(CID)) == 2

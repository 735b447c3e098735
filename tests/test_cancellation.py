"""Cancelling any public coroutine at any await leaves no task, no socket, no reservation and nobody who waits.

Each scenario is run over and over on two nodes, in virtual time over memory links and over real TCP; the call under test is
cancelled at its first suspension, then at its second, and so on until it comes through.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from cortexnet import Config, Identity, LocalError, Node, NotRunning, Request, Stream
from cortexnet.errors import CortexError
from cortexnet.testing.loop import run
from cortexnet.transport.connection import Connection
from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_wire import LinkConditions
from tests.support.cancel import How, Point, points, run_until
from tests.support.pairs import PLACES

ECHO, HANG, PUSH, QUERY = "/test/echo", "/test/hang", "/test/push", "/test/query"
ALICE, BOB = Identity.generate(), Identity.generate()
DATA = bytes(range(256)) * 2_000
PLAIN = Config(perf=True, kad=None, gossip=None)  # services have streams of their own, which come and go by themselves


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def hang(stream: Stream) -> None:
    await stream.read_all(limit=1 << 24)


async def push(stream: Stream) -> None:
    """Send in small steps, as messages, which makes readers wait."""
    await stream.read_exactly(1)
    for start in range(0, 3_000, 300):
        await stream.write_message(DATA[start : start + 300])
        await asyncio.sleep(0)
    await stream.close_write()


async def answer(request: Request) -> bytes:
    await asyncio.sleep(0)
    return request.data


class World:
    """Two nodes, of which bob listens, and a way to tell what they hold."""

    over = "tcp"  # where there is no network in memory

    def __init__(self, network: MemoryNetwork | None) -> None:
        self.network = network
        self.alice, self.bob = self.node(ALICE), self.node(BOB)
        for node in (self.alice, self.bob):
            node.handle(ECHO, echo)
            node.handle(HANG, hang, extended=True)
            node.handle(PUSH, push)
            node.respond(QUERY, answer)

    def node(self, identity: Identity) -> Node:
        if self.network is None:
            return Node(identity, listen=[PLACES[self.over]], config=replace(PLAIN, transports=["tcp", "ws", "quic"]))
        config = replace(PLAIN, transports=["memory"], memory_network=self.network)
        return Node(identity, listen=["/memory/0"], config=config)

    async def connect(self) -> Connection:
        await self.alice.dial(self.bob.addresses)
        await self.quiet()
        return self.alice.connections[0]

    async def quiet(self) -> None:
        """Until everything has happened that is under way."""
        if self.network is not None:
            await asyncio.sleep(1)  # of virtual time
        for _ in range(300):
            await asyncio.sleep(0)

    def holdings(self) -> dict[str, object]:
        """All that must be the same after a cancelled call as it was before."""
        held: dict[str, object] = {}
        for name, node in (("alice", self.alice), ("bob", self.bob)):
            counters = {key: value for key, value in node.counters.items() if key != "memory" and value}
            held[f"{name} counts"] = counters
            if node._running is not None:
                swarm = node._running.swarm
                held[f"{name} waits"] = (len(swarm._dials), len(swarm._dialer._waiting), len(swarm._unclaimed))
                held[f"{name} has"] = sorted(
                    (len(connection._openers.waiting), connection.stream_count, connection.is_open)
                    for connection in swarm.connections
                )
        if self.network is None:
            held["descriptors"] = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        else:
            held["links"] = len(self.network.links)
        return held


@asynccontextmanager
async def world(network: MemoryNetwork | None) -> AsyncIterator[World]:
    """Both nodes started; at the end nothing is left of them."""
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    before = asyncio.all_tasks()
    created = World(network)
    async with created.bob:
        try:
            await created.alice.__aenter__()
            yield created
        finally:
            await created.alice.__aexit__(None, None, None)
    await created.quiet()
    assert asyncio.all_tasks() <= before
    assert {key: value for node in (created.alice, created.bob) for key, value in node.counters.items() if value} == {}
    assert network is None or network.links == ()
    assert problems == []


Prepare = Callable[[World], Awaitable[Callable[[], Coroutine[Any, Any, Any]]]]
"""Brings a world into the state before the call, and returns what makes the call."""


async def check(make_network: Callable[[], MemoryNetwork | None], prepare: Prepare, point: Point) -> bool:
    """Whether the call was cancelled; where it was, nothing of it may be left."""
    async with world(make_network()) as created:
        call = await prepare(created)
        await created.quiet()
        before, tasks = created.holdings(), asyncio.all_tasks()
        reached = await run_until(point, call())
        await created.quiet()
        if reached:
            assert created.holdings() == before
            assert asyncio.all_tasks() <= tasks
    return reached


# --- the calls


async def dial_by_address(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    return lambda: world.alice.dial(world.bob.addresses[0])


async def dial_by_address_without_id(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    return lambda: world.alice.dial(world.bob.listen_addresses()[0])


async def dial_by_id(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    await world.connect()
    await world.alice.disconnect(BOB.peer_id)
    return lambda: world.alice.dial(BOB.peer_id)


async def dial_nobody(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    gone = "/memory/77" if world.network is not None else "/ip4/127.0.0.1/tcp/1"

    async def dial() -> None:
        with suppress(CortexError):
            await world.alice.dial([f"{gone}/p2p/{BOB.peer_id}"])

    return dial


async def open_a_stream(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    await world.connect()

    async def use() -> None:
        async with world.alice.stream(BOB.peer_id, ECHO) as stream:
            await stream.write(b"hello")
            assert await stream.read_exactly(5) == b"hello"

    return use


async def open_a_confirmed_stream(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    await world.connect()

    async def use() -> None:
        async with world.alice.stream(BOB.peer_id, ECHO, confirm=True) as stream:
            await stream.write(DATA[:10_000])
            await stream.close_write()
            assert await stream.read_all(limit=10_000) == DATA[:10_000]

    return use


async def open_a_stream_of_several_protocols(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    await world.connect()

    async def use() -> None:
        stream = await world.alice.stream(BOB.peer_id, ["/test/none", "/test/neither", ECHO])
        await stream.close()

    return use


async def request(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    await world.connect()
    return lambda: world.alice.request(BOB.peer_id, QUERY, DATA[:1_000], timeout=60)


async def take(message: object) -> None:
    await asyncio.sleep(0)


async def send_a_message(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    await world.connect()
    world.bob.on_message(take)
    return lambda: world.alice.send(BOB.peer_id, b"hello")


async def ping(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    await world.connect()
    return lambda: world.alice.ping(BOB.peer_id)


async def identify(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    connection = await world.connect()
    running = world.alice._running
    assert running is not None
    return lambda: running.identify.identify(connection)


async def perf(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    await world.connect()
    return lambda: world.alice.perf(BOB.peer_id, upload=300_000, download=300_000)


async def listen(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    running = world.alice._running
    assert running is not None
    place = world.alice._listen[0]

    async def bind() -> None:
        await running.swarm.listen(place)

    return bind


async def wait_until_ready(world: World) -> Callable[[], Coroutine[Any, Any, Any]]:
    running = world.alice._running
    assert running is not None
    running.upkeep.all_tried.clear()

    async def wait() -> None:
        asyncio.get_running_loop().call_soon(running.upkeep.all_tried.set)
        await world.alice.ready()

    return wait


CALLS: list[Prepare] = [
    dial_by_address,
    dial_by_address_without_id,
    dial_by_id,
    dial_nobody,
    open_a_stream,
    open_a_confirmed_stream,
    open_a_stream_of_several_protocols,
    request,
    send_a_message,
    ping,
    identify,
    perf,
    listen,
    wait_until_ready,
]


def memory() -> MemoryNetwork:
    return MemoryNetwork()


def distant_memory() -> MemoryNetwork:
    return MemoryNetwork(conditions=LinkConditions(latency=0.01))


def tcp() -> None:
    return None


NETWORKS: dict[str, Callable[[], MemoryNetwork | None]] = {
    "memory": memory,
    "distant": distant_memory,
    "tcp": tcp,
    "ws": tcp,
    "quic": tcp,
}


def run_on(network: str, main: Callable[[Callable[[], MemoryNetwork | None]], Coroutine[Any, Any, None]]) -> None:
    """In virtual time, or on a real loop with real sockets."""
    if network in PLACES:
        World.over = network
        asyncio.run(main(NETWORKS[network]))
    else:
        run(main(NETWORKS[network]))


WAYS: list[tuple[str, How]] = [
    ("memory", "early"),
    ("memory", "late"),
    ("memory", "turn"),
    ("distant", "early"),
    ("distant", "late"),
    ("distant", "moment"),
    ("tcp", "early"),
    ("tcp", "late"),
    ("tcp", "turn"),
    ("ws", "early"),
    ("ws", "turn"),
    ("quic", "early"),
    ("quic", "late"),
]


@pytest.mark.parametrize(("network", "how"), WAYS)
@pytest.mark.parametrize("prepare", CALLS, ids=lambda call: call.__name__)
def test_a_cancelled_call_leaves_nothing(prepare: Prepare, network: str, how: How) -> None:
    async def main(make_network: Callable[[], MemoryNetwork | None]) -> None:
        for point in points(how):
            try:
                if not await check(make_network, prepare, point):
                    return
            except BaseException as error:
                error.add_note(f"cancelled at {point}")
                raise

    run_on(network, main)


@pytest.mark.parametrize(("network", "how"), WAYS)
def test_who_waited_to_open_a_stream_leaves_its_place_to_the_next(network: str, how: How) -> None:
    async def main(make_network: Callable[[], MemoryNetwork | None]) -> None:
        for point in points(how):
            async with world(make_network()) as created:
                connection = await created.connect()
                streams = [await connection.open_stream([HANG]) for _ in range(256)]
                await created.quiet()
                asyncio.get_running_loop().call_soon(streams[0].reset)
                reached = await run_until(point, use(connection))
                await created.quiet()
                assert len(connection._openers.waiting) == 0
                assert connection.stream_count == 255
                async with asyncio.timeout(10):
                    await connection.open_stream([HANG], confirm=True)
                if not reached:
                    return

    async def use(connection: Connection) -> None:
        (await connection.open_stream([HANG], confirm=True)).reset()

    run_on(network, main)


# --- calls of a stream


@asynccontextmanager
async def stream_to(network: MemoryNetwork | None, protocol: str) -> AsyncIterator[tuple[World, Stream]]:
    async with world(network) as created:
        connection = await created.connect()
        stream = await connection.open_stream([protocol], confirm=True)
        yield created, stream
        stream.reset()
        await created.quiet()
        assert connection.stream_count == 0


async def read_on(stream: Stream) -> bytes:
    return b"".join([chunk async for chunk in stream])


READS: dict[str, Callable[[Stream], Coroutine[Any, Any, bytes]]] = {
    "read": lambda stream: stream.read(),
    "read_exactly": lambda stream: stream.read_exactly(1_000),
    "read_exactly, more than a window": lambda stream: stream.read_exactly(300_000),
    "read_all": lambda stream: stream.read_all(limit=len(DATA)),
    "read_message": lambda stream: stream.read_message(),
    "async for": read_on,
}


@pytest.mark.parametrize(("network", "how"), WAYS)
@pytest.mark.parametrize("name", READS)
def test_a_cancelled_read_loses_no_byte(name: str, network: str, how: How) -> None:
    """All but those that a loop has been given already."""
    size = 300_000 if "window" in name else 3_020

    async def main(make_network: Callable[[], MemoryNetwork | None]) -> None:
        for point in points(how):
            async with stream_to(make_network(), ECHO if "window" in name else PUSH) as (created, stream):
                received: list[bytes] = []

                async def read(stream: Stream = stream, received: list[bytes] = received) -> None:
                    if name != "async for":
                        received.append(await READS[name](stream))
                        return
                    async for chunk in stream:
                        received.append(chunk)  # noqa: PERF401  what came before it was cancelled must stay

                writing = asyncio.ensure_future(give(stream, size))
                reached = await run_until(point, read())
                rest = await read_on(stream)
                await writing
                if name == "read_message":
                    received = [bytes([len(message) & 0x7F | 0x80, len(message) >> 7]) + message for message in received]
                assert len(b"".join(received) + rest) == size
                await created.quiet()
                assert stream.connection.reservation.memory.used < 70_000
                if not reached:
                    return

    async def give(stream: Stream, size: int) -> None:
        await stream.write(DATA[:size] if "window" in name else b"x")
        await stream.close_write()

    run_on(network, main)


WRITES: dict[str, Callable[[Stream], Coroutine[Any, Any, None]]] = {
    "write": lambda stream: stream.write(DATA),
    "write_message": lambda stream: stream.write_message(DATA),
}


@pytest.mark.parametrize(("network", "how"), WAYS)
@pytest.mark.parametrize("name", WRITES)
def test_a_cancelled_write_is_whole_nothing_or_spoils_the_write_side(name: str, network: str, how: How) -> None:
    async def main(make_network: Callable[[], MemoryNetwork | None]) -> None:
        for point in points(how):
            async with stream_to(make_network(), HANG) as (created, stream):
                reached = await run_until(point, WRITES[name](stream))
                if not reached:
                    await stream.write(b"more")
                    return
                for call in (stream.write, stream.write_message):
                    with pytest.raises(LocalError, match="cancelled"):
                        await call(b"more")
                with pytest.raises(LocalError, match="cancelled"):
                    await stream.close_write()
                await stream.close()
                await created.quiet()
                assert created.holdings()["alice has"] == created.holdings()["bob has"] == [(0, 0, True)]

    run_on(network, main)


ENDS: dict[str, Callable[[Stream], Coroutine[Any, Any, None]]] = {
    "close_write": lambda stream: stream.close_write(),
    "close": lambda stream: stream.close(),
    "aexit": lambda stream: stream.__aexit__(None, None, None),
}


@pytest.mark.parametrize(("network", "how"), WAYS)
@pytest.mark.parametrize("name", ENDS)
def test_a_cancelled_end_of_a_stream_ends_it(name: str, network: str, how: How) -> None:
    async def main(make_network: Callable[[], MemoryNetwork | None]) -> None:
        for point in points(how):
            async with world(make_network()) as created:
                connection = await created.connect()
                before = created.holdings()
                stream = await connection.open_stream([ECHO])
                await stream.write(b"hello")
                reached = await run_until(point, ENDS[name](stream))
                if name == "close_write":
                    assert await stream.read_all(limit=10) == b"hello"
                    await stream.close()
                await created.quiet()
                assert created.holdings() == before
                if not reached:
                    return

    run_on(network, main)


# --- the ends of connections and nodes


async def connected(world: World) -> Connection:
    """With a few streams in use."""
    connection = await world.connect()
    for protocol in (ECHO, HANG):
        stream = await connection.open_stream([protocol])
        await stream.write(DATA[:100_000])
    return connection


CLOSINGS: dict[str, Callable[[World, Connection], Coroutine[Any, Any, Any]]] = {
    "disconnect": lambda world, connection: world.alice.disconnect(BOB.peer_id),
    "connection": lambda world, connection: connection.close(),
    "swarm": lambda world, connection: world.alice._running.swarm.close(),
    "node": lambda world, connection: world.alice.__aexit__(None, None, None),
}


@pytest.mark.parametrize(("network", "how"), WAYS)
@pytest.mark.parametrize("name", CLOSINGS)
def test_a_cancelled_close_closes_all_the_same(name: str, network: str, how: How) -> None:
    async def main(make_network: Callable[[], MemoryNetwork | None]) -> None:
        for point in points(how):
            async with world(make_network()) as created:
                connection = await connected(created)
                reached = await run_until(point, CLOSINGS[name](created, connection))
                await created.quiet()
                assert connection.closed.done()
                counters = created.alice.counters
                assert (counters["connections"], counters["streams_outbound"], counters["memory"]) == (0, 0, 0)
                assert created.bob.counters["connections"] == created.bob.counters["streams_inbound"] == 0
                if name == "node":
                    assert not any(counters.values())
                    with pytest.raises(NotRunning):
                        await created.alice.dial(BOB.peer_id)
                if not reached:
                    return

    run_on(network, main)


@pytest.mark.parametrize(("network", "how"), WAYS)
def test_a_node_whose_start_is_cancelled_leaves_nothing(network: str, how: How) -> None:
    async def main(make_network: Callable[[], MemoryNetwork | None]) -> None:
        for point in points(how):
            async with world(make_network()) as created:
                before, tasks = created.holdings(), asyncio.all_tasks()
                node = created.node(Identity.generate())
                reached = await run_until(point, node.__aenter__())
                if not reached:
                    await node.__aexit__(None, None, None)
                await created.quiet()
                assert not any(node.counters.values())
                assert created.holdings() == before
                assert asyncio.all_tasks() <= tasks
                with pytest.raises(NotRunning):
                    await node.__aenter__()
                await node.wait_closed()
                if not reached:
                    return

    run_on(network, main)


@pytest.mark.parametrize(("network", "how"), WAYS)
@pytest.mark.parametrize("both", [False, True], ids=["one", "both"])
def test_of_two_who_wait_for_one_dial_one_may_give_up(both: bool, network: str, how: How) -> None:
    async def main(make_network: Callable[[], MemoryNetwork | None]) -> None:
        for point in points(how):
            async with world(make_network()) as created:
                await created.quiet()
                before = created.holdings()
                other = asyncio.ensure_future(created.alice.dial(created.bob.addresses))
                calls = [run_until(point, created.alice.dial(created.bob.addresses)) for _ in range(2 if both else 1)]
                if both:
                    reached = any(await asyncio.gather(*calls))
                    other.cancel()
                    await asyncio.wait([other])
                else:
                    reached = await calls[0]
                    assert await other == BOB.peer_id
                await created.quiet()
                if both and other.cancelled() and reached:
                    assert created.holdings() == before
                else:
                    assert created.alice.peers == [BOB.peer_id]
                if not reached:
                    return

    run_on(network, main)

"""The network between the nodes: what it passes on, holds back, and tells."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable

import pytest

from soak import network
from soak.network import Network, address_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the addresses 127.0.1.*")

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Nodes:
    """Servers where nodes would be, and sockets that dial like them."""

    def __init__(self, between: Network) -> None:
        self.between = between
        self.accepted: asyncio.Queue[Ends] = asyncio.Queue()
        self.servers: list[asyncio.Server] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def listen(self, node: int) -> None:
        self.servers.append(await asyncio.start_server(self._accept, address_of(node), network.PORT))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        await self.accepted.put((reader, writer))

    async def dial(self, source: int, target: int) -> Ends:
        _, _, host, _, port = self.between.multiaddr(target).split("/")
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=(address_of(source), 0))
        self.writers.append(writer)
        return reader, writer

    async def connect(self, source: int, target: int) -> tuple[Ends, Ends]:
        return await self.dial(source, target), await self.accepted.get()

    async def until(self, is_so: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if is_so():
                return
            await asyncio.sleep(0)
        raise AssertionError

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        for writer in self.writers:
            if not writer.transport.is_closing():
                writer.transport.abort()
        self.between.close()
        await asyncio.gather(*[server.wait_closed() for server in self.servers])


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    between = Network(4)
    await between.open()
    made = Nodes(between)
    for node in range(4):
        await made.listen(node)
    yield made
    await made.close()


async def ping_pong(one: Ends, other: Ends) -> None:
    """Bytes of both directions come through."""
    one[1].write(b"ping")
    assert await other[0].readexactly(4) == b"ping"
    other[1].write(b"pong")
    assert await one[0].readexactly(4) == b"pong"


async def is_silent(reader: asyncio.StreamReader, others: tuple[Ends, Ends]) -> bool:
    """Whether nothing has come, once several round trips of others have."""
    reading = asyncio.ensure_future(reader.read(1))
    for _ in range(20):
        await ping_pong(*others)
    silent = not reading.done()
    reading.cancel()
    await asyncio.wait([reading])
    return silent


async def test_bytes_of_any_number_pass_in_both_directions(nodes: Nodes) -> None:
    one, other = await nodes.connect(0, 1)
    sent = bytes(range(256)) * 20_000
    one[1].write(sent)
    one[1].write_eof()
    assert await other[0].read() == sent
    other[1].write(sent)
    other[1].close()
    assert await one[0].read() == sent


async def test_those_who_are_parted_hear_nothing_and_then_everything(nodes: Nodes) -> None:
    one, other = await nodes.connect(0, 1)
    beside = await nodes.connect(2, 3)
    await ping_pong(one, other)
    nodes.between.cut([0, 2, 3])
    one[1].write(b"lost?")
    assert await is_silent(other[0], beside)
    nodes.between.mend([0, 2, 3])
    assert await other[0].readexactly(5) == b"lost?"
    await ping_pong(one, other)


async def test_parts_of_a_part_stay_connected(nodes: Nodes) -> None:
    connected = await nodes.connect(0, 1)
    nodes.between.cut([0, 1])
    await ping_pong(*connected)
    assert nodes.between.is_cut(0, 2)
    assert not nodes.between.is_cut(2, 3)
    nodes.between.mend([0, 1])
    assert not nodes.between.is_cut(0, 2)


async def test_several_partitions_hold_until_the_last_one_is_mended(nodes: Nodes) -> None:
    one, other = await nodes.connect(0, 1)
    beside = await nodes.connect(2, 3)
    nodes.between.cut([0])
    nodes.between.cut([1])
    one[1].write(b"x")
    nodes.between.mend([0])
    assert await is_silent(other[0], beside)
    nodes.between.mend([1])
    assert await other[0].readexactly(1) == b"x"


async def test_a_dial_across_a_cut_is_silent_until_it_is_mended(nodes: Nodes) -> None:
    beside = await nodes.connect(2, 3)
    nodes.between.cut([0, 2, 3])
    one = await nodes.dial(0, 1)
    one[1].write(b"hello")
    assert await is_silent(one[0], beside)
    assert nodes.accepted.empty()
    nodes.between.mend([0, 2, 3])
    other = await nodes.accepted.get()
    assert await other[0].readexactly(5) == b"hello"


async def test_an_end_across_a_cut_is_told_when_it_is_mended(nodes: Nodes) -> None:
    one, other = await nodes.connect(0, 1)
    beside = await nodes.connect(2, 3)
    nodes.between.cut([0, 2, 3])
    one[1].transport.abort()
    assert await is_silent(other[0], beside)
    nodes.between.mend([0, 2, 3])
    assert await other[0].read() == b""


async def test_an_end_is_told_and_nothing_is_left_of_the_connection(nodes: Nodes) -> None:
    one, other = await nodes.connect(0, 1)
    one[1].close()
    assert await other[0].read() == b""
    assert nodes.between.links
    other[1].close()
    await nodes.until(lambda: not nodes.between.links)


async def test_who_is_down_refuses_and_is_reached_again_at_the_same_address(nodes: Nodes) -> None:
    before = nodes.between.multiaddr(1)
    nodes.between.down(1)
    with pytest.raises(ConnectionRefusedError):
        await nodes.dial(0, 1)
    await nodes.between.up(1)
    assert nodes.between.multiaddr(1) == before
    await ping_pong(*(await nodes.connect(0, 1)))


async def test_where_nobody_listens_behind_the_port_the_connection_ends(nodes: Nodes) -> None:
    nodes.servers[1].close()
    await nodes.servers[1].wait_closed()
    one = await nodes.dial(0, 1)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await one[0].readexactly(1)

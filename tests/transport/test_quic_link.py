"""The link of a QUIC connection: turns, a socket that takes no more, and the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from cortexnet.errors import ConnectionClosed
from cortexnet.transport import quic_link
from cortexnet.transport.connection import Connection
from cortexnet.transport.quic_link import QuicLink
from cortexnet.transport.stream import Stream
from tests.support.pairs import Station, network, settle


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


@asynccontextmanager
async def ends() -> AsyncIterator[tuple[Connection, Connection, Station]]:
    async with network(over="quic") as net:
        alice, bob = net.station(), net.station()
        bob.handle("/echo", echo)
        ours, theirs = await net.connect(alice, bob)
        yield ours, theirs, bob


def link_of(connection: Connection) -> QuicLink:
    assert isinstance(connection.link, QuicLink)
    return connection.link


async def test_a_link_says_what_it_is() -> None:
    async with ends() as (ours, theirs, bob):
        assert (ours.transport, ours.security, ours.muxer) == ("quic", "/tls/1.0.0", "/quic-v1")
        assert ours.peer_id == bob.peer_id
        assert ours.remote_key.verify(b"x", bob.identity.private_key.sign(b"x"))
        assert theirs.is_open


async def test_what_comes_when_the_turn_is_over_waits_for_the_next() -> None:
    async with ends() as (ours, theirs, _):
        stream = await ours.open_stream(["/echo"])
        turns = link_of(theirs)._turns
        real, calls, random = type(turns).is_over, [], Random(3)  # a fixed rhythm may be that of the turns themselves

        class Over(type(turns)):
            @property
            def is_over(self) -> bool:
                calls.append(self)
                return random.random() < 1 / 3 or real.fget(self)

        for connection in (ours, theirs):
            link_of(connection)._turns = Over(ours.loop)
        await stream.write(bytes(200_000))
        assert await stream.read_exactly(200_000) == bytes(200_000)
        assert calls


async def test_packets_that_wait_are_bounded() -> None:
    async with ends() as (ours, theirs, _):
        link = link_of(theirs)
        link._is_deferred = True
        packet = (b"\x40" + theirs.mux.connection_ids[-1] + bytes(30), ("127.0.0.1", 1))
        for _ in range(3):
            link.receive([packet] * 300)
        assert len(link._inbound) == quic_link._INBOUND_LIMIT
        link._resume()
        await settle()
        stream = await ours.open_stream(["/echo"])
        await stream.write(b"still")
        assert await stream.read_exactly(5) == b"still"


async def test_a_full_socket_makes_writers_wait_and_is_written_to_when_it_has_room() -> None:
    async with ends() as (ours, _, _bob):
        link = link_of(ours)
        stream = await ours.open_stream(["/echo"], confirm=True)
        socket = link._endpoint._socket
        socket.is_full = True
        sent = []
        writing = asyncio.create_task(stream.write(bytes(400_000)))
        await settle()
        assert not writing.done()
        assert link in link._endpoint._waiting
        socket.is_full = False
        link._endpoint.has_room()
        sent.append(await stream.read_exactly(400_000))
        await writing
        assert sent == [bytes(400_000)]


async def test_a_full_socket_is_waited_for_without_looking_at_what_is_due_again_and_again() -> None:
    async with ends() as (ours, _, _bob):
        link = link_of(ours)
        engine, socket = link._engine, link._endpoint._socket
        stream = await ours.open_stream(["/echo"], confirm=True)
        socket.is_full = True
        looked = []
        handle_timeout = engine.handle_timeout

        def look(now: float):
            looked.append(now)
            engine._quic._pacing_at = now  # due, and stays so until something is sent
            return handle_timeout(now)

        vars(engine)["handle_timeout"] = look
        writing = asyncio.create_task(stream.write(b"x"))
        ours._handle_timer()
        await settle(100)
        del vars(engine)["handle_timeout"]
        assert len(looked) <= 3
        socket.is_full = False
        link._endpoint.has_room()
        await writing
        assert await stream.read_exactly(1) == b"x"


async def test_room_is_no_news_to_a_link_that_is_gone() -> None:
    async with ends() as (ours, theirs, _):
        link = link_of(ours)
        endpoint = link._endpoint
        ours.abort()
        endpoint.wait_for_room(link)
        endpoint.has_room()
        link.has_room()
        link.abort()
        link.end(lingering=True)
        link.unreachable(OSError("no route"))
        await theirs.closed
        await ours.closed


async def test_a_goodbye_waits_for_what_the_peer_has_not_acknowledged() -> None:
    async with ends() as (ours, theirs, bob):
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def keep(stream: Stream) -> None:
            got.set_result(await stream.read_all(limit=1 << 20))

        bob.handle("/keep", keep)
        stream = await ours.open_stream(["/keep"])
        held = []
        endpoint = link_of(ours)._endpoint
        real = endpoint._socket.send
        endpoint._socket.send = lambda datagrams: held.extend(datagrams)
        await stream.write(bytes(3_000))
        await stream.close_write()
        closing = asyncio.create_task(ours.close(0x1005))
        await settle()
        assert not closing.done()
        assert ours.link.is_closing
        endpoint._socket.send = real
        endpoint.send(held)
        await closing
        assert await got == bytes(3_000)
        await theirs.closed
        assert isinstance(theirs.error, ConnectionClosed)
        assert (theirs.error.by, theirs.error.code) == ("remote", 0x1005)


async def test_a_goodbye_to_a_peer_that_is_gone_is_given_up_in_time() -> None:
    async with network(over="quic") as net:
        alice, bob = net.station(), net.station()
        bob.handle("/echo", echo)
        ours, theirs = await net.connect(alice, bob)
        stream = await ours.open_stream(["/echo"])
        link_of(theirs)._endpoint.received = lambda datagrams: None
        ours._close_timeout = 0.05
        await stream.write(b"lost")
        await ours.close()
        assert ours.closed.done()
        theirs.abort()


async def test_a_transfer_each_way_at_once_and_a_conversation_beside_it() -> None:
    async with ends() as (ours, _theirs, _):

        async def carry(size: int) -> bytes:
            async with await ours.open_stream(["/echo"]) as stream:

                async def write() -> None:
                    await stream.write(bytes(size))
                    await stream.close_write()

                writing = asyncio.create_task(write())
                data = await stream.read_all(limit=size)
                await writing
                return data

        sizes = [600_000, 600_000, 1, 10, 100]
        results = await asyncio.gather(*(carry(size) for size in sizes))
        assert [len(result) for result in results] == sizes

"""What every transport does. After go-libp2p's transport suite."""

import asyncio

import pytest

from cortexnet.errors import CortexError, HandshakeFailed, PeerIdMismatch
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream
from cortexnet.transport.tcp import socket_address
from tests.conformance.places import PLACES, Place, arrive
from tests.support.hosted import counts
from tests.support.pairs import Net, Station, network, settle


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]


async def listen(net: Net, station: Station):
    return await station.transport.listen(net.place, station.accepted.put_nowait)


def reserve(station: Station, address: Multiaddr):
    return station.resources.admit_dial(None, address.value_of("ip4"))


async def reserve_and_dial(station: Station, address: Multiaddr) -> Connection:
    return await station.transport.dial(address, None, reserve(station, address))


async def test_both_ends_know_each_other_and_where_they_are(place: Place) -> None:
    async with place() as net:
        alice, bob = net.station(), net.station()
        ours, theirs = await net.connect(alice, bob)
        assert (ours.peer_id, theirs.peer_id) == (bob.peer_id, alice.peer_id)
        assert (ours.direction, theirs.direction) == ("outbound", "inbound")
        assert ours.remote_address == theirs.local_address
        assert ours.local_address == theirs.remote_address
        assert ours.transport == theirs.transport == (net.over if net.memory is None else "memory")
        for station in (alice, bob):
            held = counts(station)
            assert (held["connections"], held.get("unauthenticated"), held.get("dials")) == (1, None, None)


async def test_a_listener_says_where_it_is_and_stops_when_it_is_closed(place: Place) -> None:
    async with place() as net:
        alice, bob = net.station(), net.station()
        listener = await listen(net, bob)
        assert alice.transport.can_dial(listener.address)
        assert not str(listener.address).endswith("/0")
        ours, theirs = await net.connect(alice, bob)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await alice.transport.dial(listener.address, bob.peer_id, reserve(alice, listener.address))
        assert ours.is_open
        assert theirs.is_open
        assert counts(alice)["connections"] == 1


async def test_only_who_was_asked_for_is_connected_to(place: Place) -> None:
    async with place() as net:
        alice, bob, carol = net.station(), net.station(), net.station()
        listener = await listen(net, bob)
        with pytest.raises(PeerIdMismatch) as caught:
            await alice.transport.dial(listener.address, carol.peer_id, reserve(alice, listener.address))
        assert caught.value.actual == bob.peer_id
        assert isinstance(caught.value, HandshakeFailed)
        await arrive(net)
        listener.close()
        assert bob.accepted.empty()
        assert counts(alice) == counts(bob) == {}


async def test_many_dial_at_once(place: Place) -> None:
    async with place() as net:
        server, clients = net.station(), [net.station() for _ in range(12)]
        listener = await listen(net, server)

        async def dial(client: Station) -> Connection:
            return await client.transport.dial(listener.address, server.peer_id, reserve(client, listener.address))

        for client, connection in zip(clients, await asyncio.gather(*(dial(client) for client in clients)), strict=True):
            client.started(connection)
        for _ in clients:
            server.started(await server.accepted.get())
        assert {connection.peer_id for connection in server.open} == {client.peer_id for client in clients}
        listener.close()


async def test_a_goodbye_reaches_the_other_end(place: Place) -> None:
    for by_dialer in (True, False):
        async with place() as net:
            ours, theirs = await net.connect(net.station(), net.station())
            first, second = (ours, theirs) if by_dialer else (theirs, ours)
            await first.close(0x1006)
            await second.closed
            assert (first.error.by, second.error.by, second.error.code) == ("local", "remote", 0x1006)


async def test_an_end_that_vanishes_is_noticed(place: Place) -> None:
    async with place() as net:
        ours, theirs = await net.connect(net.station(), net.station())
        ours.abort()
        await theirs.closed
        assert theirs.error.by == "network"


async def test_both_may_close_at_once(place: Place) -> None:
    async with place() as net:
        ours, theirs = await net.connect(net.station(), net.station())
        await asyncio.gather(ours.close(), theirs.close())
        assert ours.closed.done()
        assert theirs.closed.done()


async def test_a_dial_that_is_given_up_leaves_nothing_at_either_end(place: Place) -> None:
    for turns in range(0, 60, 3):
        async with place() as net:
            alice, bob = net.station(), net.station()
            listener = await listen(net, bob)
            dial = asyncio.ensure_future(reserve_and_dial(alice, listener.address))
            await settle(turns)
            dial.cancel()
            await asyncio.wait([dial])
            if not dial.cancelled():
                dial.result().abort()
            listener.close()
            while not bob.accepted.empty():
                bob.started(bob.accepted.get_nowait())
            await settle()
            assert counts(alice) == {}


async def test_a_peer_may_do_much_before_it_is_listened_to(place: Place) -> None:
    """A connection reads nothing before its start; what came meanwhile waits."""
    async with place() as net:
        alice, bob = net.station(), net.station()

        async def count(stream: Stream) -> None:
            await stream.write_message(b"%d" % sum([len(chunk) async for chunk in stream]))

        bob.handle("/count", count)
        listener = await listen(net, bob)
        ours = await alice.transport.dial(listener.address, bob.peer_id, reserve(alice, listener.address))
        alice.started(ours)
        theirs = await bob.accepted.get()
        listener.close()
        stream = await ours.open_stream(["/count"])
        await stream.write(bytes(100_000))
        await stream.close_write()
        await settle()
        bob.started(theirs)
        assert await stream.read_message() == b"100000"
        await stream.close()


async def test_whoever_is_no_libp2p_peer_is_a_typed_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with network(tcp=True) as net:
        alice = net.station()
        address = socket_address(server.sockets[0].getsockname())
        with pytest.raises(CortexError):
            await alice.transport.dial(address, None, reserve(alice, address))
        assert counts(alice) == {}
    server.close()
    await settle()

"""QUIC over real sockets: addresses, ports, newcomers, floods, and what is left."""

import asyncio
import gc
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import ConnectionClosed, HandshakeFailed, LimitExceeded
from cortexnet.identity.identity import Identity
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.quic.aioquic_engine import AioquicEngine
from cortexnet.transport.connection import Connection
from cortexnet.transport.quic import QuicTransport, socket_address
from cortexnet.transport.stream import Stream
from tests.support.hosted import counts
from tests.support.pairs import Net, Station, network, settle
from tests.support.quic_pair import SERVER, engine

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/udp/0/quic-v1")
DESCRIPTORS = "/proc/self/fd"


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def listen(station: Station, place: Multiaddr = LOOPBACK):
    return await station.transport.listen(place, station.accepted.put_nowait)


async def dial(station: Station, address: Multiaddr, peer=None) -> Connection:
    return await station.transport.dial(address, peer, station.resources.admit_dial(peer, "127.0.0.1"))


async def both_ends(dialer: Station, listener: Station, address: Multiaddr) -> tuple[Connection, Connection]:
    ours = await dial(dialer, address, listener.peer_id)
    theirs = await listener.accepted.get()
    dialer.started(ours)
    listener.started(theirs)
    return ours, theirs


@asynccontextmanager
async def stations(count: int = 2, **limits: int | float | bool) -> AsyncIterator[list[Station]]:
    async with network(over="quic") as net:
        yield [net.station(Limits(**limits)) for _ in range(count)]


def endpoints_of(station: Station) -> list:
    assert isinstance(station.transport, QuicTransport)
    return station.transport._endpoints


@pytest.mark.parametrize(
    ("address", "is_quic"),
    [
        ("/ip4/1.2.3.4/udp/4001/quic-v1", True),
        ("/ip6/::1/udp/4001/quic-v1", True),
        ("/ip6zone/eth0/ip6/fe80::1/udp/4001/quic-v1", True),
        ("/ip4/1.2.3.4/udp/4001", False),
        ("/ip4/1.2.3.4/udp/4001/quic", False),
        ("/ip4/1.2.3.4/tcp/4001", False),
        ("/ip4/1.2.3.4/udp/4001/quic-v1/webtransport", False),
        ("/dns4/example.org/udp/4001/quic-v1", False),
    ],
)
async def test_it_knows_its_addresses(address: str, is_quic: bool) -> None:
    async with stations(1) as [station]:
        assert station.transport.can_dial(Multiaddr.parse(address)) is is_quic
        assert station.transport.can_listen(Multiaddr.parse(address)) is is_quic


def test_addresses_of_sockets_are_told_with_their_zone() -> None:
    assert str(socket_address(("fe80::1%eth0", 4001, 0, 2))) == "/ip6zone/eth0/ip6/fe80::1/udp/4001/quic-v1"
    assert str(socket_address(("192.0.2.1", 1))) == "/ip4/192.0.2.1/udp/1/quic-v1"


# --- ports -----------------------------------------------------------------------------------------------------------------


async def test_who_listens_dials_from_the_same_port() -> None:
    async with stations() as [alice, bob]:
        hers, his = await listen(alice), await listen(bob)
        ours, theirs = await both_ends(alice, bob, his.address)
        assert theirs.remote_address == hers.address == ours.local_address
        assert len(endpoints_of(alice)) == 1
        hers.close()
        his.close()


async def test_who_does_not_listen_shares_one_port_for_all_dials() -> None:
    async with stations(3) as [alice, bob, carol]:
        his, hers = await listen(bob), await listen(carol)
        _, first = await both_ends(alice, bob, his.address)
        _, second = await both_ends(alice, carol, hers.address)
        assert first.remote_address == second.remote_address
        assert str(first.remote_address).startswith("/ip4/127.0.0.1/")
        his.close()
        hers.close()


async def test_both_may_dial_each_other_and_keep_both_connections() -> None:
    async with stations() as [alice, bob]:
        alice.handle("/echo", echo)
        bob.handle("/echo", echo)
        hers, his = await listen(alice), await listen(bob)
        for one, other, address in ((alice, bob, his.address), (bob, alice, hers.address)):
            ours, _ = await both_ends(one, other, address)
            async with await ours.open_stream(["/echo"]) as stream:
                await stream.write(b"who")
                assert await stream.read_exactly(3) == b"who"
        assert len(alice.open) == len(bob.open) == 2
        hers.close()
        his.close()


async def test_a_socket_for_all_addresses_serves_loopback_too() -> None:
    async with stations() as [alice, bob]:
        his = await listen(bob, Multiaddr.parse("/ip4/0.0.0.0/udp/0/quic-v1"))
        assert his.address.is_unspecified
        port = his.address.value_of("udp")
        _, theirs = await both_ends(alice, bob, Multiaddr.parse(f"/ip4/127.0.0.1/udp/{port}/quic-v1"))
        assert str(theirs.local_address) == f"/ip4/127.0.0.1/udp/{port}/quic-v1"
        his.close()


async def test_it_runs_over_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    async with stations() as [alice, bob]:
        his = await listen(bob, Multiaddr.parse("/ip6/::1/udp/0/quic-v1"))
        ours, theirs = await both_ends(alice, bob, his.address)
        assert ours.local_address == theirs.remote_address
        his.close()


async def test_a_port_in_use_is_an_error_and_holds_nothing() -> None:
    async with stations() as [alice, bob]:
        his = await listen(bob)
        with pytest.raises(OSError, match="in use"):
            await listen(alice, his.address)
        assert counts(alice) == {}
        his.close()


async def test_a_port_is_listened_on_again_while_its_connections_live() -> None:
    async with stations() as [alice, bob]:
        his = await listen(bob)
        await both_ends(alice, bob, his.address)
        his.close()
        with pytest.raises(ConnectionRefusedError):
            await dial(alice, his.address)
        again = await listen(bob, his.address)
        assert again.address == his.address
        await both_ends(alice, bob, again.address)
        again.close()


async def test_nobody_at_a_port_is_noticed_at_once() -> None:
    async with stations(1) as [alice]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            address = socket_address(free.getsockname())
        with pytest.raises(ConnectionRefusedError):
            await dial(alice, address)
        assert counts(alice) == {}
        assert endpoints_of(alice) == []


async def test_dials_at_once_to_where_nobody_is_leave_nothing() -> None:
    async with stations(1) as [alice]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            address = socket_address(free.getsockname())
        listener = await listen(alice)
        [endpoint] = endpoints_of(alice)
        outcomes = await asyncio.gather(*(dial(alice, address) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConnectionRefusedError] * 3
        assert endpoint._ids == endpoint._by_id == {}
        listener.close()
        assert endpoint.is_closed


async def test_an_address_without_a_way_is_an_error_of_the_systems() -> None:
    async with stations(1) as [alice]:
        with pytest.raises(OSError):  # noqa: PT011  # which one, the machine's routes decide
            await asyncio.wait_for(dial(alice, Multiaddr.parse("/ip4/255.255.255.255/udp/9/quic-v1")), 5)
        assert counts(alice) == {}


# --- who may come in -------------------------------------------------------------------------------------------------------


async def test_a_listener_without_room_refuses_before_the_handshake() -> None:
    async with network(over="quic") as net:
        alice, bob = net.station(), net.station(Limits(connections_inbound=0))
        his = await listen(bob)
        with pytest.raises(ConnectionRefusedError):
            await dial(alice, his.address)
        assert "connections" not in counts(bob)
        assert bob.resources.tally.handshakes_failed == 1
        assert bob.resources.tally.refusals == {"limits.connections_inbound": 1}
        his.close()


async def test_a_listener_with_too_many_of_one_peer_says_so() -> None:
    async with network(over="quic") as net:
        bob = net.station(Limits(connections_per_peer=1))
        identity = Identity.generate()
        first, second = net.station(identity=identity), net.station(identity=identity)
        his = await listen(bob)
        await both_ends(first, bob, his.address)
        with pytest.raises(ConnectionClosed) as caught:
            await dial(second, his.address)
        assert caught.value.code == 0x1001
        his.close()


async def test_newcomers_prove_their_address_where_many_come() -> None:
    async with network(over="quic") as net:
        alice, bob = net.station(), net.station(Limits(quic_retry_above=0))
        his = await listen(bob)
        await both_ends(alice, bob, his.address)
        his.close()


async def test_a_handshake_that_takes_too_long_is_given_up() -> None:
    async with network(over="quic") as net:
        bob = net.station()
        bob.transport._upgrader.config = type(bob.transport._upgrader.config)(inbound_timeout=0.05)
        his = await listen(bob)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.sendto(first_packet(), ("127.0.0.1", int(his.address.value_of("udp") or 0)))
            for _ in range(200):
                await asyncio.sleep(0.001)
                if counts(bob).get("unauthenticated"):
                    break
            assert counts(bob)["unauthenticated"] == 1
            for _ in range(500):
                await asyncio.sleep(0.001)
                if not counts(bob).get("unauthenticated"):
                    break
        assert "unauthenticated" not in counts(bob)
        his.close()


def first_packet() -> bytes:
    client = engine(Identity.generate())
    client.connect(SERVER, 0.0)
    return client.datagrams_to_send(0.0)[0][0]


async def test_a_flood_of_first_packets_is_answered_with_retries_alone() -> None:
    async with network(over="quic") as net:
        alice, bob = net.station(), net.station()
        his = await listen(bob)
        target = ("127.0.0.1", int(his.address.value_of("udp") or 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
            flood.bind(("127.0.0.1", 0))
            flood.setblocking(False)
            packets = [first_packet() for _ in range(100)]
            for packet in packets:
                flood.sendto(packet, target)
                await settle(3)
            await settle(100)
            held = counts(bob)
            assert held["unauthenticated"] <= 32
            received = 0
            while True:
                try:
                    received += len(flood.recv(65_535))
                except BlockingIOError:
                    break
            assert received <= 3 * sum(len(packet) for packet in packets)
        await both_ends(alice, bob, his.address)
        bob.transport._upgrader.abort_pending(ConnectionClosed(by="local"))
        assert "unauthenticated" not in counts(bob)
        his.close()


async def test_noise_is_dropped_without_a_word_and_other_versions_are_told_ours() -> None:
    async with stations() as [alice, bob]:
        his = await listen(bob)
        target = ("127.0.0.1", int(his.address.value_of("udp") or 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noise:
            noise.bind(("127.0.0.1", 0))
            noise.setblocking(False)
            for _ in range(200):
                noise.sendto(os.urandom(64), target)
                noise.sendto(b"\x40" + os.urandom(1_300), target)
                await settle(2)
            noise.sendto(b"", target)
            await settle(50)
            with pytest.raises(BlockingIOError):
                noise.recv(65_535)
            packet = first_packet()
            noise.sendto(packet[:1] + b"\x1a\x2a\x3a\x4a" + packet[5:], target)
            await settle(50)
            assert noise.recv(65_535)[1:5] == bytes(4)
        assert "unauthenticated" not in counts(bob)
        await both_ends(alice, bob, his.address)
        his.close()


# --- ends ------------------------------------------------------------------------------------------------------------------


async def test_a_packet_that_the_engine_fails_of_costs_its_connection_and_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with stations(3) as [alice, bob, carol]:
        bob.handle("/echo", echo)
        his = await listen(bob)
        ours, theirs = await both_ends(alice, bob, his.address)
        others, _ = await both_ends(carol, bob, his.address)
        real = AioquicEngine.receive

        def fail(self, *args):
            if self is theirs.mux:
                raise IndexError("a bug")
            return real(self, *args)

        monkeypatch.setattr(AioquicEngine, "receive", fail)
        stream = await ours.open_stream(["/echo"])
        await theirs.closed
        assert isinstance(theirs.error, ConnectionClosed)
        assert "a bug" in caplog.text
        stream.reset()
        async with await others.open_stream(["/echo"]) as stream:
            await stream.write(b"on")
            assert await stream.read_exactly(2) == b"on"
        his.close()


async def test_late_packets_of_a_connection_that_ended_are_answered_with_its_goodbye() -> None:
    async with stations() as [alice, bob]:
        his = await listen(bob)
        ours, theirs = await both_ends(alice, bob, his.address)
        [endpoint] = endpoints_of(bob)
        ids = theirs.mux.connection_ids
        source = endpoints_of(alice)[0].name
        theirs.abort()
        assert all(each in endpoint._closed for each in ids)
        sent = []
        endpoint.send = lambda datagrams: sent.extend(datagrams)
        for _ in range(8):
            endpoint.received([(b"\x40" + ids[-1] + bytes(40), ("127.0.0.1", source[1]))])
        del endpoint.send
        assert len(sent) == 4  # for the first, second, fourth and eighth
        await ours.closed
        assert bob.accepted.empty()
        endpoint._loop.time = lambda real=endpoint._loop.time: real() + 60
        endpoint._sweep_timer.cancel()
        endpoint._sweep()
        del endpoint._loop.time
        assert endpoint._closed == {}
        his.close()


async def test_what_was_written_arrives_before_the_goodbye() -> None:
    async with stations() as [alice, bob]:
        got = asyncio.get_running_loop().create_future()

        async def keep(stream: Stream) -> None:
            got.set_result(await stream.read_all(limit=1 << 20))

        bob.handle("/keep", keep)
        his = await listen(bob)
        ours, _ = await both_ends(alice, bob, his.address)
        stream = await ours.open_stream(["/keep"])
        await stream.write(bytes(100_000))
        await stream.close_write()
        await ours.close()
        assert await got == bytes(100_000)
        his.close()


async def test_a_client_that_is_refused_learns_it_from_its_dial() -> None:
    async with stations() as [alice, bob]:
        his = await listen(bob)
        real = alice.transport._engines

        def without_certificate(memory, expected, origin):
            made = real(memory, expected, origin)
            made._quic._configuration.certificate = None
            return made

        alice.transport._engines = without_certificate
        with pytest.raises(HandshakeFailed):
            await dial(alice, his.address)
        await settle()
        assert counts(alice) == {}
        his.close()


def descriptors() -> int:
    return len(os.listdir(DESCRIPTORS)) if os.path.isdir(DESCRIPTORS) else 0


async def cycle(alice: Station, bob: Station, address: Multiaddr) -> None:
    ours, theirs = await both_ends(alice, bob, address)
    async with await ours.open_stream(["/echo"]) as stream:
        await stream.write(b"hello")
        await stream.close_write()
        assert await stream.read_all(limit=10) == b"hello"
    await ours.close()
    await theirs.closed


async def test_two_hundred_connections_leave_nothing() -> None:
    async with stations() as [alice, bob]:
        bob.handle("/echo", echo)
        his = await listen(bob)
        await cycle(alice, bob, his.address)
        await settle()
        gc.collect()
        before = descriptors(), counts(alice), counts(bob), len(asyncio.all_tasks())
        for _ in range(200):
            await cycle(alice, bob, his.address)
        await settle()
        gc.collect()
        assert (descriptors(), counts(alice), counts(bob), len(asyncio.all_tasks())) == before
        [endpoint] = endpoints_of(bob)
        assert (endpoint._by_id, endpoint._ids, endpoint._waiting, endpoint._dialing) == ({}, {}, {}, {})
        assert len(endpoint._closed) <= 1_024
        his.close()
        assert endpoint.is_closed


async def test_limits_of_streams_are_held_by_refusing_single_ones() -> None:
    async with network(over="quic") as net:
        alice, bob = net.station(), net.station(Limits(streams_negotiating_per_connection=3))
        bob.handle("/echo", echo)
        ours, _ = await net.connect(alice, bob)
        streams = [await ours.open_stream(["/echo"]) for _ in range(3)]
        for stream in streams:
            await stream.write(b"x")
            assert await stream.read_exactly(1) == b"x"
            await stream.close()
        assert isinstance(net, Net)


async def test_a_dial_is_refused_where_no_socket_may_be_opened() -> None:
    async with network(over="quic") as net:
        alice = net.station(Limits(file_descriptors=1))
        with pytest.raises(LimitExceeded):
            await listen(alice)
        assert counts(alice) == {}

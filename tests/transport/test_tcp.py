"""TCP: addresses, listeners, dials, and what they hold."""

import asyncio
import os
import socket
from itertools import pairwise

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.tcp import socket_address
from cortexnet.transport.tcp_port import ACCEPTED_AT_ONCE
from tests.support.hosted import counts
from tests.support.pairs import Station, network, settle

LOOPBACK = Multiaddr.parse("/ip4/127.0.0.1/tcp/0")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def meet(alice: Station, bob: Station, place: Multiaddr) -> tuple[str, str]:
    """Connect over a fresh listener of bob's at `place`: where alice says bob is, and where bob says alice is."""
    listener = await bob.transport.listen(place, bob.accepted.put_nowait)
    ours = await alice.transport.dial(listener.address, bob.peer_id, alice.resources.admit_dial(None, "127.0.0.1"))
    theirs = await bob.accepted.get()
    listener.close()
    alice.started(ours)
    bob.started(theirs)
    assert ours.local_address == theirs.remote_address
    return str(ours.remote_address), str(theirs.remote_address)


@pytest.mark.parametrize(
    ("address", "is_tcp"),
    [
        ("/ip4/1.2.3.4/tcp/4001", True),
        ("/ip6/::1/tcp/4001", True),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/4001", True),
        ("/ip4/1.2.3.4/udp/4001", False),
        ("/ip4/1.2.3.4/tcp/4001/ws", False),
        ("/dns4/example.org/tcp/4001", False),
        ("/memory/1", False),
        ("/ip4/1.2.3.4", False),
    ],
)
async def test_it_knows_its_addresses(address: str, is_tcp: bool) -> None:
    async with network(tcp=True) as net:
        transport = net.station().transport
        assert transport.can_dial(Multiaddr.parse(address)) is is_tcp
        assert transport.can_listen(Multiaddr.parse(address)) is is_tcp


@pytest.mark.parametrize(
    ("name", "address"),
    [
        (("1.2.3.4", 5), "/ip4/1.2.3.4/tcp/5"),
        (("::1", 5, 0, 0), "/ip6/::1/tcp/5"),
        (("::ffff:1.2.3.4", 5, 0, 0), "/ip4/1.2.3.4/tcp/5"),
        (("fe80::1%eth0", 5, 0, 2), "/ip6zone/eth0/ip6/fe80::1/tcp/5"),
    ],
)
def test_addresses_of_sockets_are_shown_as_multiaddrs(name: tuple[str, int], address: str) -> None:
    assert str(socket_address(name)) == address


async def test_a_listener_has_a_real_port_and_both_ends_know_where_they_are() -> None:
    async with network(tcp=True) as net:
        theirs, ours = await meet(net.station(), net.station(), LOOPBACK)
        assert theirs.startswith("/ip4/127.0.0.1/tcp/")
        assert not theirs.endswith("/0")
        assert ours.startswith("/ip4/127.0.0.1/tcp/")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_it_speaks_ipv6() -> None:
    async with network(tcp=True) as net:
        theirs, ours = await meet(net.station(), net.station(), Multiaddr.parse("/ip6/::1/tcp/0"))
        assert theirs.startswith("/ip6/::1/tcp/")
        assert ours.startswith("/ip6/::1/tcp/")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_a_zone_goes_with_the_address() -> None:
    async with network(tcp=True) as net:
        station = net.station()
        reservation = station.resources.admit_dial(None, None)
        with pytest.raises(OSError, match=r".+"):
            await station.transport.dial(Multiaddr.parse("/ip6zone/none0/ip6/fe80::1/tcp/1"), None, reservation)
        assert counts(station) == {}


async def test_many_sockets_wait_and_few_of_them_are_accepted_at_once() -> None:
    """Hundreds of sockets in one turn of the loop would hold it for 100 ms."""
    async with network(tcp=True) as net:
        station = net.station()
        listener = await station.transport.listen(LOOPBACK, station.started)
        place = ("127.0.0.1", int(listener.address.value_of("tcp") or 0))
        sockets = [socket.create_connection(place, timeout=1) for _ in range(60)]  # the loop has no turn meanwhile
        taken = [0]
        while taken[-1] < 60:
            await asyncio.sleep(0)
            taken.append(counts(station).get("unauthenticated", 0))
        assert max(after - before for before, after in pairwise(taken)) <= ACCEPTED_AT_ONCE + 1  # CPython 3.13 takes one more
        for connected in sockets:
            connected.close()
        listener.close()


async def test_a_place_that_is_taken_is_an_error_of_the_systems_and_nothing_is_held() -> None:
    async with network(tcp=True) as net:
        station = net.station()
        listener = await station.transport.listen(LOOPBACK, station.started)
        with pytest.raises(OSError, match="address already in use"):
            await station.transport.listen(listener.address, station.started)
        assert counts(station)["file_descriptors"] == 1
        listener.close()
        listener.close()
        assert counts(station) == {}


async def test_a_cancelled_listen_holds_nothing() -> None:
    async with network(tcp=True) as net:
        station = net.station()
        for turns in range(4):
            listening = asyncio.ensure_future(station.transport.listen(LOOPBACK, station.started))
            await settle(turns)
            listening.cancel()
            await asyncio.wait([listening])
            if not listening.cancelled():
                listening.result().close()
            assert counts(station) == {}


async def test_a_listener_counts_among_the_sockets() -> None:
    async with network(tcp=True) as net:
        station = net.station(Limits(file_descriptors=2))
        listener = await station.transport.listen(LOOPBACK, station.started)
        with pytest.raises(LimitExceeded):
            await station.transport.listen(LOOPBACK, station.started)
        listener.close()


async def test_a_refused_dial_is_an_error_of_the_systems_and_nothing_is_held() -> None:
    async with network(tcp=True) as net:
        station = net.station()
        listener = await station.transport.listen(LOOPBACK, station.started)
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await station.transport.dial(listener.address, None, station.resources.admit_dial(None, "127.0.0.1"))
        assert counts(station) == {}


async def test_a_dial_of_what_is_no_tcp_address_holds_nothing() -> None:
    async with network(tcp=True) as net:
        station = net.station()
        with pytest.raises(LocalError):
            await station.transport.dial(Multiaddr.parse("/memory/1"), None, station.resources.admit_dial(None, None))
        assert counts(station) == {}


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list open descriptors")
async def test_no_descriptor_is_left_when_connections_end_in_any_way() -> None:
    async with network(tcp=True) as net:
        alice, bob = net.station(), net.station()
        await meet(alice, bob, LOOPBACK)
        await alice.close()
        await settle()
        before = len(os.listdir("/proc/self/fd"))
        for end in ("close", "abort", "close by both"):
            alice, bob = net.station(), net.station()
            await meet(alice, bob, LOOPBACK)
            (ours,), (theirs,) = alice.open, bob.open
            if end == "abort":
                ours.abort()
            elif end == "close":
                await ours.close()
            else:
                await asyncio.gather(ours.close(), theirs.close())
            await asyncio.gather(ours.closed, theirs.closed)
        await settle()
        assert len(os.listdir("/proc/self/fd")) == before

"""The transport over memory links."""

import pytest

from cortexnet.errors import LocalError, PeerIdMismatch
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.support.hosted import counts
from tests.support.pairs import network


async def test_it_knows_its_addresses() -> None:
    async with network() as net:
        transport = net.station().transport
        for address, is_memory in (("/memory/1", True), ("/ip4/1.2.3.4/tcp/1", False), ("/memory/1/tls", False)):
            assert transport.can_dial(Multiaddr.parse(address)) is is_memory
            assert transport.can_listen(Multiaddr.parse(address)) is is_memory


async def test_both_ends_know_where_they_are() -> None:
    async with network() as net:
        ours, theirs = await net.connect(net.station(), net.station())
        assert str(ours.remote_address) == "/memory/1"
        assert ours.local_address == theirs.remote_address


async def test_failed_dials_hold_nothing() -> None:
    async with network() as net:
        station = net.station()
        with pytest.raises(ConnectionRefusedError):
            await station.transport.dial(Multiaddr.parse("/memory/7"), None, station.resources.admit_dial(None, None))
        with pytest.raises(LocalError):
            await station.transport.dial(Multiaddr.parse("/ip4/1.2.3.4/tcp/1"), None, station.resources.admit_dial(None, None))
        assert counts(station) == {}


async def test_a_socket_that_comes_to_nothing_is_not_handed_over() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        listener = await bob.transport.listen(Multiaddr.parse("/memory/7"), bob.accepted.put_nowait)
        with pytest.raises(OSError, match="already"):
            await bob.transport.listen(Multiaddr.parse("/memory/7"), bob.accepted.put_nowait)
        with pytest.raises(PeerIdMismatch):
            await alice.transport.dial(listener.address, alice.peer_id, alice.resources.admit_dial(None, None))
        listener.close()
        listener.close()
        assert bob.accepted.empty()


async def test_a_dial_tells_once_somebody_has_answered_before_the_handshake() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        listener = await bob.transport.listen(Multiaddr.parse("/memory/7"), bob.accepted.put_nowait)
        told: list[bool] = []
        for address, expected in ((listener.address, alice.peer_id), (Multiaddr.parse("/memory/8"), None)):
            reservation = alice.resources.admit_dial(None, None)
            reservation.on_reached = lambda: told.append(bob.accepted.empty())
            with pytest.raises((PeerIdMismatch, OSError)):
                await alice.transport.dial(address, expected, reservation)
        assert told == [True], "once, and not where nobody listens"
        listener.close()

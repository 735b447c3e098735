"""What a peer meets that the gater refuses: at accept, once it is secured, once the connection is complete."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import ConnectionClosed, ConnectionCode, Denied
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.admission.test_gater import Recorder as Gate
from tests.support.pairs import Net, Station, network, settle
from tests.support.raw_peer import RawPeer, opened
from tests.transport.recorder import Recorder


class Door:
    """A station that listens, and its gater."""

    def __init__(self, net: Net, limits: Limits | None = None) -> None:
        self.net = net
        self.station: Station = net.station(limits)
        self.upgrader = self.station.transport._upgrader
        self.gater = self.upgrader.gater

    async def open(self) -> None:
        self.listener = await self.station.transport.listen(Multiaddr.parse("/memory/0"), self.station.accepted.put_nowait)
        self.number = int(self.listener.address.value_of("memory") or 0)

    async def knock(self, peer: RawPeer | None = None) -> RawPeer:
        peer = peer or RawPeer()
        await self.net.memory.connect(self.number, lambda: peer)
        return peer

    def held(self) -> dict[str, int]:
        return {name: count for name, count in self.station.resources.snapshot().items() if count}


@asynccontextmanager
async def door(limits: Limits | None = None) -> AsyncIterator[Door]:
    async with network() as net:
        opened_door = Door(net, limits)
        await opened_door.open()
        yield opened_door
        opened_door.listener.close()
        assert opened_door.upgrader._pending == {}


async def test_who_is_refused_at_accept_is_closed_before_a_byte() -> None:
    async with door() as place:
        place.gater.allow_only = True
        stranger = Recorder(keep_open=False)
        await place.net.memory.connect(place.number, lambda: stranger)
        await stranger.until("lost")
        assert stranger.data == b""
        assert place.held() == {}
        assert place.gater.refused["accept"] == 1


@pytest.mark.parametrize("early_muxer", [True, False])
async def test_a_denied_peer_is_told_so_once_it_has_proved_who_it_is(early_muxer: bool) -> None:
    async with door() as place:
        peer = RawPeer(early_muxer=early_muxer)
        place.gater.deny(peer.identity.peer_id)
        await place.knock(peer)
        await peer.lost()
        assert peer.farewells() == [ConnectionCode.GATED]
        assert place.station.accepted.empty()
        await settle()
        assert place.held() == {}


async def test_who_has_sent_more_already_is_told_all_the_same() -> None:
    async with network(tcp=True) as net:
        station = net.station()
        gater = station.transport._upgrader.gater
        peer = RawPeer(greeting=b"".join(opened(number) for number in range(1, 200, 2)))
        gater.deny(peer.identity.peer_id)
        listener = await station.transport.listen(Multiaddr.parse("/ip4/127.0.0.1/tcp/0"), station.accepted.put_nowait)
        port = int(listener.address.value_of("tcp") or 0)
        await asyncio.get_running_loop().create_connection(lambda: peer, "127.0.0.1", port)
        await peer.lost()
        assert peer.error is None
        assert peer.farewells() == [ConnectionCode.GATED]
        listener.close()


@pytest.mark.parametrize("point", ["secured", "upgraded"])
async def test_the_gate_is_asked_once_the_peer_is_verified_and_once_the_connection_is_complete(point: str) -> None:
    async with door() as place:
        place.gater.gate = gate = Gate(point)
        peer = await place.knock()
        await peer.lost()
        assert peer.farewells() == [ConnectionCode.GATED]
        asked = ["accept", "secured", "upgraded"]
        assert [question[0] for question in gate.asked] == asked[: asked.index(point) + 1]
        assert gate.asked[1][1] == peer.identity.peer_id
        await settle()
        assert place.held() == {}


async def test_whom_nothing_is_against_passes_all_points() -> None:
    async with door() as place:
        place.gater.gate = gate = Gate()
        peer = await place.knock()
        connection = await place.station.accepted.get()
        place.station.started(connection)
        assert gate.asked[2] == ("upgraded", connection)
        peer.io.abort()
        await connection.closed


class Stubborn(RawPeer):
    """It does not close when it is told to go."""

    def eof_received(self) -> bool:
        super().eof_received()
        return True


async def test_a_refused_peer_that_does_not_close_is_cut_off_and_what_it_sends_is_dropped() -> None:
    async with door() as place:
        peer = Stubborn()
        place.gater.deny(peer.identity.peer_id)
        await place.knock(peer)
        await peer.until(lambda: peer.has_ended)
        for _ in range(10):
            peer.io.write(bytes(10_000))
            await asyncio.sleep(0.19)
        assert place.held()["unauthenticated"] == 1
        await asyncio.sleep(0.2)
        assert place.held() == {}
        peer.io.abort()


async def test_refused_peers_that_do_not_close_do_not_keep_others_out() -> None:
    async with door(Limits(unauthenticated=2)) as place:
        denied = [Stubborn() for _ in range(3)]
        for peer in denied:
            place.gater.deny(peer.identity.peer_id)
            await place.knock(peer)
            await peer.until(lambda peer=peer: peer.has_ended)
        assert place.held()["unauthenticated"] == 2
        honest = await place.knock()
        connection = await place.station.accepted.get()
        place.station.started(connection)
        honest.io.abort()
        await connection.closed
        await asyncio.sleep(2)
        assert place.held() == {}
        for peer in denied:
            peer.io.abort()


async def test_the_end_of_the_node_does_not_wait_for_refused_peers() -> None:
    async with door() as place:
        peer = Stubborn()
        place.gater.deny(peer.identity.peer_id)
        await place.knock(peer)
        await settle()
        place.upgrader.abort_pending(ConnectionClosed("the node is closing"))
        await settle()
        assert place.held() == {}
        peer.io.abort()


async def test_a_denied_listener_is_told_and_the_dial_fails_at_once() -> None:
    async with network() as net:
        station = net.station()
        gater = station.transport._upgrader.gater
        peer = RawPeer(is_dialer=False)
        gater.deny(peer.identity.peer_id)
        listener = await net.memory.listen(0, lambda: peer)
        dial = station.transport.dial(
            Multiaddr.parse(f"/memory/{listener.number}"), None, station.resources.admit_dial(None, None)
        )
        with pytest.raises(Denied, match=f"deny {peer.identity.peer_id}"):
            await dial
        await peer.lost()
        assert peer.farewells() == [ConnectionCode.GATED]
        listener.close()


async def test_an_open_connection_can_be_turned_out_with_a_code() -> None:
    async with door() as place:
        peer = await place.knock()
        connection = await place.station.accepted.get()
        place.station.started(connection)
        await peer.until(lambda: peer.is_ready)
        denied = Denied("somebody", rule="deny somebody")
        connection.turn_out(denied, ConnectionCode.GATED)
        connection.turn_out(Denied("again", rule="again"), ConnectionCode.SHUTDOWN)
        await connection.closed
        assert connection.error is denied
        await peer.lost()
        assert peer.farewells() == [ConnectionCode.GATED]

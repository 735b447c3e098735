"""Connected peers without nodes: real connections over in-memory links (or TCP on loopback), with handlers by protocol.

    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/echo", echo)
        connection, _ = await net.connect(alice, bob)

Leaving checks that nothing is left behind: no task, no stream, no connection is counted any more.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.admission.resources import Resources
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.mux import mplex, yamux
from cortexnet.security.certificate import create_certificate
from cortexnet.security.channels import secure_channels
from cortexnet.swarm.peerstore import Peerstore
from cortexnet.transport.connection import Connection, StreamHandler
from cortexnet.transport.in_memory import InMemoryTransport
from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_wire import LinkConditions
from cortexnet.transport.quic import quic_transport
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream
from cortexnet.transport.tcp import TcpTransport
from cortexnet.transport.transport import Transport
from cortexnet.transport.upgrade import MuxerFactory, UpgradeConfig, Upgrader
from cortexnet.transport.websocket import WebSocketTransport
from tests.support.tls_hosts import websocket_config

PLACES = {
    "tcp": "/ip4/127.0.0.1/tcp/0",
    "ws": "/ip4/127.0.0.1/tcp/0/ws",
    "wss": "/ip4/127.0.0.1/tcp/0/tls/ws",
    "quic": "/ip4/127.0.0.1/udp/0/quic-v1",
}
"""Where to listen, by transport."""
MUXERS: dict[str, MuxerFactory] = {
    yamux.NAME: lambda initiator, memory: yamux.Yamux(initiator=initiator, memory=memory),
    mplex.NAME: lambda initiator, memory: mplex.Mplex(initiator=initiator, memory=memory),
}


def _transport(over: str, upgrader: Upgrader, identity: Identity) -> Transport:
    if over == "quic":
        return quic_transport(upgrader, create_certificate(identity.private_key, now=datetime.now(UTC)))
    return TcpTransport(upgrader) if over == "tcp" else WebSocketTransport(upgrader, websocket_config())


def _upgrade_config(limits: Limits, muxer: str) -> UpgradeConfig:
    return UpgradeConfig(
        muxers={muxer: MUXERS[muxer]},
        inbound_timeout=limits.upgrade_timeout,
        close_timeout=limits.connection_close_timeout,
    )


@final
class Station:
    """What stands below a host: an identity, its connections, its handlers, its address book."""

    def __init__(
        self,
        memory: MemoryNetwork | None,
        limits: Limits,
        identity: Identity,
        over: str = "tcp",
        muxer: str = yamux.NAME,
        security: str = "noise",
    ) -> None:
        self.identity = identity
        self.limits = limits
        self.resources = Resources(limits)
        self.peerstore = Peerstore(limits)
        self.scope = Scope()
        self.open: list[Connection] = []
        self.addresses: list[Multiaddr] = []
        self.accepted: asyncio.Queue[Connection] = asyncio.Queue()
        self.on_lost: list[Callable[[Connection], None]] = []
        self._handlers: dict[str, tuple[StreamHandler, bool]] = {}
        channels = secure_channels([security], identity.private_key, [muxer], now=lambda: datetime.now(UTC))
        upgrader = Upgrader(channels, self.resources, _upgrade_config(limits, muxer))
        self.transport = _transport(over, upgrader, identity) if memory is None else InMemoryTransport(upgrader, memory)

    @property
    def peer_id(self) -> PeerId:
        return self.identity.peer_id

    def handle(self, protocol: str, handler: StreamHandler, *, extended: bool = False) -> None:
        self._handlers[protocol] = handler, extended

    def unhandle(self, protocol: str) -> None:
        del self._handlers[protocol]

    def started(self, connection: Connection) -> None:
        self.open.append(connection)
        self.peerstore.mark_connected(connection.peer_id)
        connection.on_lost = self._lost
        connection.start(self, self.scope)

    def _lost(self, connection: Connection) -> None:
        self.open.remove(connection)
        if all(other.peer_id != connection.peer_id for other in self.open):
            self.peerstore.mark_disconnected(connection.peer_id, connection.loop.time())
        for observer in self.on_lost:
            observer(connection)

    async def close(self) -> None:
        await asyncio.gather(*(connection.close() for connection in list(self.open)))
        await self.scope.close()

    # what connections ask

    def supports(self, protocol: str) -> bool:
        return protocol in self._handlers

    def handler(self, protocol: str) -> tuple[StreamHandler, bool]:
        return self._handlers[protocol]

    # what identify asks

    def protocols(self) -> list[str]:
        return list(self._handlers)

    def listen_addresses(self) -> list[Multiaddr]:
        return self.addresses

    def connections(self) -> list[Connection]:
        return list(self.open)

    # what requests ask

    async def open_stream(self, peer: PeerId, protocols: Sequence[str], *, confirm: bool = False) -> Stream:
        connection = next(connection for connection in self.open if connection.peer_id == peer)
        return await connection.open_stream(protocols, confirm=confirm)


@final
class Net:
    """The stations of one test and what connects them."""

    def __init__(self, memory: MemoryNetwork | None, over: str = "tcp", muxer: str = yamux.NAME, security: str = "noise") -> None:
        self.memory = memory
        self.over = over
        self.security = security
        self.muxer = muxer
        self.stations: list[Station] = []

    def station(self, limits: Limits | None = None, identity: Identity | None = None) -> Station:
        station = Station(self.memory, limits or Limits(), identity or Identity.generate(), self.over, self.muxer, self.security)
        self.stations.append(station)
        return station

    @property
    def place(self) -> Multiaddr:
        """Where to listen."""
        return Multiaddr.parse(PLACES[self.over] if self.memory is None else "/memory/0")

    async def connect(
        self, dialer: Station, listener: Station, *, dialer_at: str | None = None, listener_at: str | None = None
    ) -> tuple[Connection, Connection]:
        """Both ends of a new connection, started; `dialer_at` and `listener_at` are the addresses it pretends to run between."""
        listening = await listener.transport.listen(self.place, listener.accepted.put_nowait)
        address = listening.address
        reservation = dialer.resources.admit_dial(listener.peer_id, address.value_of("ip4"))
        ours = await dialer.transport.dial(address, listener.peer_id, reservation)
        theirs = await listener.accepted.get()
        listening.close()
        for connection, local, remote in ((ours, dialer_at, listener_at), (theirs, listener_at, dialer_at)):
            if local is not None:
                connection.endpoints = replace(connection.endpoints, local=Multiaddr.parse(local))
            if remote is not None:
                connection.endpoints = replace(connection.endpoints, remote=Multiaddr.parse(remote))
        dialer.started(ours)
        listener.started(theirs)
        return ours, theirs


@asynccontextmanager
async def network(
    *, latency: float = 0.0, tcp: bool = False, over: str = "", muxer: str = yamux.NAME, security: str = "noise"
) -> AsyncIterator[Net]:
    """Stations that can be connected, over links with `latency` seconds one way, or over TCP, or what `over` says."""
    net = Net(None if tcp or over else MemoryNetwork(conditions=LinkConditions(latency=latency)), over or "tcp", muxer, security)
    before = asyncio.all_tasks()
    try:
        yield net
    finally:
        await asyncio.gather(*(station.close() for station in net.stations))
    for station in net.stations:
        assert station.open == []
        left = {name: count for name, count in station.resources.snapshot().items() if count}
        assert left == {}, f"{left} left behind"
        assert len(station.scope) == 0
    assert asyncio.all_tasks() <= before


async def settle(turns: int = 50) -> None:
    """Let everything happen that takes no time."""
    for _ in range(turns):
        await asyncio.sleep(0)

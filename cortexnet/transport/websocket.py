"""WebSockets: listening and dialing, with TLS around them or without. A shell.

Spec: libp2p specs, websockets/.
"""

import asyncio
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from cortexnet.admission.resources import Reservation
from cortexnet.errors import LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats import multiaddr_websocket
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multiformats.multiaddr_websocket import WebSocketAddress
from cortexnet.transport import outer_tls
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.keep_alive import keep_alive
from cortexnet.transport.outer_tls import OuterTls
from cortexnet.transport.tcp import host_and_port, socket_address
from cortexnet.transport.tcp_port import Service, TcpPort, TcpPorts
from cortexnet.transport.transport import Accept, Listener
from cortexnet.transport.upgrade import Upgrade, Upgrader, dial_over
from cortexnet.transport.websocket_config import WebSocketConfig
from cortexnet.transport.websocket_http import ClientHandshake, ServerHandshake
from cortexnet.transport.websocket_io import WebSocketIo
from cortexnet.transport.websocket_wire import WebSocketWire

if TYPE_CHECKING:
    import ssl


@final
class WebSocketTransport:
    """`/ip4|ip6/…/tcp/…` and `/ws`, `/wss`, `/tls/ws` or `/tls/sni/…/ws`. Names are resolved above.

    `ports` are those of the node's TCP transport: with them both can listen on the same port.
    """

    name = "ws"

    def __init__(self, upgrader: Upgrader, config: WebSocketConfig, ports: TcpPorts | None = None) -> None:
        self._upgrader = upgrader
        self._config = config
        self._ports = ports or TcpPorts(upgrader)
        self._client_context: ssl.SSLContext | None = None  # made once: it reads the system's certificates, some 10 ms

    def can_dial(self, address: Multiaddr) -> bool:
        return multiaddr_websocket.parse(address) is not None

    def can_listen(self, address: Multiaddr) -> bool:
        return self.can_dial(address)

    async def dial(self, address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Connection:
        loop = asyncio.get_running_loop()

        async def create(factory: Callable[[], Upgrade]) -> None:
            where = _parsed(address)
            host, port = host_and_port(where.tcp)
            protocol = self._dialing(factory(), where, host, port)  # asyncio forgets a socket for which it can't be made
            io, _ = await loop.create_connection(lambda: protocol, host, port)
            keep_alive(io.get_extra_info("socket"))

        canonical = multiaddr_websocket.canonical(address)
        return await dial_over(create, self._upgrader, functools.partial(_dialed, canonical), reservation, expected)

    def _dialing_context(self) -> "ssl.SSLContext":
        if self._client_context is None:
            self._client_context = outer_tls.client_context(self._config)
        return self._client_context

    def _dialing(self, upgrade: Upgrade, where: WebSocketAddress, host: str, port: int) -> WebSocketIo:
        name = where.server_name or host.partition("%")[0]
        handshake = ClientHandshake(name, port, is_secure=where.is_secure, random=os.urandom)
        wire = WebSocketWire(handshake, useless_frames=self._useless_frames, mask_key=_mask_key)
        tls = OuterTls(self._dialing_context(), server_side=False, server_name=name) if where.is_secure else None
        return WebSocketIo(upgrade, wire, tls)

    async def listen(self, address: Multiaddr, accept: Accept) -> Listener:
        where = _parsed(address)
        context = outer_tls.server_context(self._config) if where.is_secure else None

        def wrap(upgrade: Upgrade, upper_knows: bool) -> WebSocketIo:
            wire = WebSocketWire(ServerHandshake(), useless_frames=self._useless_frames)
            tls = None if context is None else OuterTls(context, server_side=True)
            return WebSocketIo(upgrade, wire, tls, upper_knows=upper_knows)

        service = Service("wss" if where.is_secure else "ws", _accepted, accept, wrap)
        host, number = host_and_port(where.tcp)
        port = await self._ports.listen(host, number, service)
        return WebSocketListener(port, service, address)

    @property
    def _useless_frames(self) -> int:
        return self._upgrader.resources.limits.useless_frames


@final
class WebSocketListener:
    """A port that serves WebSockets."""

    def __init__(self, port: TcpPort, service: Service, asked: Multiaddr) -> None:
        self._port = port
        self._service = service
        self.address = multiaddr_websocket.canonical(port.address_of(asked))

    def close(self) -> None:
        """Stop accepting."""
        self._port.remove(self._service)


def _mask_key() -> bytes:
    return os.urandom(4)


def _parsed(address: Multiaddr) -> WebSocketAddress:
    where = multiaddr_websocket.parse(address)
    if where is None:
        raise LocalError(f"{address} is no address of a WebSocket")
    return where


def _accepted(io: asyncio.Transport) -> Endpoints:
    return Endpoints(local=_own(io, "sockname"), remote=_own(io, "peername"), direction="inbound", transport=_transport(io))


def _dialed(address: Multiaddr, io: asyncio.Transport) -> Endpoints:
    return Endpoints(local=_own(io, "sockname"), remote=address, direction="outbound", transport=_transport(io))


def _own(io: asyncio.Transport, end: str) -> Multiaddr:
    return multiaddr_websocket.over(socket_address(io.get_extra_info(end)), is_secure=_transport(io) == "wss")


def _transport(io: asyncio.Transport) -> str:
    return "wss" if isinstance(io, WebSocketIo) and io.is_secure else "ws"

"""TCP: listening and dialing. A shell."""

import asyncio
import functools
import socket
from collections.abc import Callable
from typing import final

from cortexnet.admission.resources import Reservation
from cortexnet.errors import LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Component, Multiaddr
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.keep_alive import keep_alive
from cortexnet.transport.tcp_port import Service, TcpPort, TcpPorts
from cortexnet.transport.transport import Accept, Listener
from cortexnet.transport.upgrade import Upgrade, Upgrader, dial_over

_IP4, _IP6, _TCP = b"\x04", b"\x29", b"\x06"  # the codes of the components


def is_tcp(address: Multiaddr) -> bool:
    """Whether it is an address of TCP, with no name and nothing on top of it."""
    names = [component.protocol for component in address.components]
    return names in (["ip4", "tcp"], ["ip6", "tcp"], ["ip6zone", "ip6", "tcp"])


@final
class TcpTransport:
    """`/ip4|ip6/…/tcp/…`, with an `/ip6zone` before a link-local address. Names are resolved above."""

    name = "tcp"

    def __init__(self, upgrader: Upgrader, ports: TcpPorts | None = None) -> None:
        """`ports` are shared with the other transports over TCP."""
        self._upgrader = upgrader
        self._ports = ports or TcpPorts(upgrader)

    def can_dial(self, address: Multiaddr) -> bool:
        return is_tcp(address)

    can_listen = can_dial

    async def dial(self, address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Connection:
        loop = asyncio.get_running_loop()

        async def create(factory: Callable[[], Upgrade]) -> None:
            io, _ = await loop.create_connection(factory, *host_and_port(address))
            keep_alive(io.get_extra_info("socket"))

        return await dial_over(create, self._upgrader, functools.partial(_dialed, address), reservation, expected)

    async def listen(self, address: Multiaddr, accept: Accept) -> Listener:
        service = Service("tcp", _accepted, accept)
        return TcpListener(await self._ports.listen(*host_and_port(address), service), service, address)


@final
class TcpListener:
    """A port that serves raw TCP."""

    def __init__(self, port: TcpPort, service: Service, asked: Multiaddr) -> None:
        self._port = port
        self._service = service
        self.address = port.address_of(asked)

    def close(self) -> None:
        """Stop accepting."""
        self._port.remove(self._service)


def host_and_port(address: Multiaddr) -> tuple[str, int]:
    """What the system calls an address. Raises LocalError for what is no TCP address."""
    host, port, zone = "", 0, ""
    for component in address.components:
        if component.protocol in ("ip4", "ip6"):
            host = component.value or ""
        elif component.protocol == "ip6zone":
            zone = f"%{component.value}"
        elif component.protocol == "tcp":
            port = int(component.value or 0)
    if not host:
        raise LocalError(f"{address} is no TCP address")
    return host + zone, port


def socket_address(name: tuple[str, int]) -> Multiaddr:
    """The multiaddr of a TCP socket's address; IPv4 that came over an IPv6 socket is shown as IPv4."""
    host, zone = name[0].partition("%")[::2]
    if "." in host:
        ip = _IP4 + socket.inet_pton(socket.AF_INET, host.removeprefix("::ffff:"))
    else:
        ip = _IP6 + socket.inet_pton(socket.AF_INET6, host)
    address = Multiaddr.from_bytes(ip + _TCP + name[1].to_bytes(2, "big"))
    return Multiaddr.from_components([Component.of("ip6zone", zone), *address.components]) if zone else address


@functools.lru_cache(maxsize=64)
def _own_address(name: tuple[str, int]) -> Multiaddr:
    """The same for all that one listener accepts, nearly always."""
    return socket_address(name)


def _accepted(io: asyncio.Transport) -> Endpoints:
    return Endpoints(
        local=_own_address(io.get_extra_info("sockname")),
        remote=socket_address(io.get_extra_info("peername")),
        direction="inbound",
        transport="tcp",
    )


def _dialed(address: Multiaddr, io: asyncio.Transport) -> Endpoints:
    local = socket_address(io.get_extra_info("sockname"))
    return Endpoints(local=local, remote=address, direction="outbound", transport="tcp")

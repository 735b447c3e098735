"""TCP: listening and dialing. A shell."""

import asyncio
import functools
import socket
from collections.abc import Callable
from typing import final

from cortexnet.errors import LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Component, Multiaddr
from cortexnet.swarm.resources import Reservation
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.transport import Accept, Listener
from cortexnet.transport.upgrade import Outcome, Upgrade, Upgrader, dial_over

_IP4, _IP6, _TCP = b"\x04", b"\x29", b"\x06"  # the codes of the components
BACKLOG = 512
"""Sockets the system keeps for us to accept."""
ACCEPTED_AT_ONCE = 8
"""Of those, how many a turn of the loop accepts: asyncio would take all 512, some 100 ms of work."""


@final
class TcpTransport:
    """`/ip4|ip6/…/tcp/…`, with an `/ip6zone` before a link-local address. Names are resolved above."""

    name = "tcp"

    def __init__(self, upgrader: Upgrader) -> None:
        self._upgrader = upgrader

    def can_dial(self, address: Multiaddr) -> bool:
        names = [component.protocol for component in address.components]
        return names in (["ip4", "tcp"], ["ip6", "tcp"], ["ip6zone", "ip6", "tcp"])

    can_listen = can_dial

    async def dial(self, address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Connection:
        loop = asyncio.get_running_loop()

        async def create(factory: Callable[[], Upgrade]) -> None:
            io, _ = await loop.create_connection(factory, *_host_and_port(address))
            del io  # the protocol has it

        return await dial_over(create, self._upgrader, functools.partial(_dialed, address), reservation, expected)

    async def listen(self, address: Multiaddr, accept: Accept) -> Listener:
        host, port = _host_and_port(address)
        loop = asyncio.get_running_loop()

        def finished(outcome: Outcome) -> None:
            if isinstance(outcome, Connection):
                accept(outcome)

        def factory() -> Upgrade:
            return Upgrade(self._upgrader, _accepted, finished)

        reservation = self._upgrader.resources.admit_listener()
        try:
            server = await loop.create_server(factory, host, port, backlog=ACCEPTED_AT_ONCE, start_serving=False)
        except BaseException:
            reservation.release()
            raise
        listener = TcpListener(server, reservation, address)
        try:
            await server.start_serving()  # create_server, cancelled at this, would leave it serving for ever
            _keep_more_waiting(server)
        except BaseException:
            listener.close()
            raise
        return listener


@final
class TcpListener:
    """A listening socket."""

    def __init__(self, server: asyncio.Server, reservation: Reservation, asked: Multiaddr) -> None:
        self._server = server
        self._reservation = reservation
        bound: tuple[str, int] = server.sockets[0].getsockname()[:2]
        prefix = "".join(f"/{part.protocol}/{part.value}" for part in asked.components[:-1])
        self.address = Multiaddr.parse(f"{prefix}/tcp/{bound[1]}")

    def close(self) -> None:
        """Stop accepting."""
        self._server.close()
        self._reservation.release()


def _keep_more_waiting(server: asyncio.Server) -> None:
    """To asyncio, what the system keeps and what is accepted at once are one number."""
    for listening in server.sockets:
        with listening.dup() as same:
            same.listen(BACKLOG)


def _host_and_port(address: Multiaddr) -> tuple[str, int]:
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


def _accepted(io: asyncio.Transport) -> Endpoints:
    return Endpoints(
        local=socket_address(io.get_extra_info("sockname")),
        remote=socket_address(io.get_extra_info("peername")),
        direction="inbound",
        transport="tcp",
    )


def _dialed(address: Multiaddr, io: asyncio.Transport) -> Endpoints:
    local = socket_address(io.get_extra_info("sockname"))
    return Endpoints(local=local, remote=address, direction="outbound", transport="tcp")

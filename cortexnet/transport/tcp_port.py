"""The TCP ports a node listens on. One may serve raw libp2p and WebSockets, told apart by their first bytes. A shell."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, final

from cortexnet.admission.resources import Reservation
from cortexnet.errors import ProtocolViolation
from cortexnet.multiformats.multiaddr import Component, Multiaddr
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.first_bytes import ENOUGH, Kind, kind_of
from cortexnet.transport.keep_alive import keep_alive
from cortexnet.transport.read_turns import turns_of
from cortexnet.transport.sockets import bind
from cortexnet.transport.transport import Accept
from cortexnet.transport.upgrade import Outcome, Upgrade, Upgrader

BACKLOG = 512
"""Sockets the system keeps for us to accept."""
ACCEPTED_AT_ONCE = 2
"""Of those, how many a turn of the loop accepts: a tenth of a millisecond each; asyncio would take all 512."""
_FIRST_CHUNK = 4_096  # bytes taken in before it is known what they are; an upgrade takes that many at once


@final
class Service:
    """What is done with the sockets of one kind that a port accepts."""

    def __init__(
        self,
        kind: Kind,
        endpoints: Callable[[asyncio.Transport], Endpoints],
        accept: Accept,
        wrap: Callable[[Upgrade, bool], asyncio.BufferedProtocol] | None = None,
    ) -> None:
        """`wrap(upgrade, knows)` makes what stands between the socket and the upgrade, to which it is a transport; where the
        upgrade knows of the socket already, it is not told once more.
        """
        self.kind = kind
        self.endpoints = endpoints
        self.wrap = wrap
        self._accept = accept

    def finished(self, outcome: Outcome) -> None:
        """An upgrade is over."""
        if isinstance(outcome, Connection):
            self._accept(outcome)

    def protocol(self, upgrader: Upgrader) -> asyncio.BufferedProtocol:
        """For a socket that can't speak anything else."""
        upgrade = Upgrade(upgrader, self.endpoints, self.finished)
        return upgrade if self.wrap is None else self.wrap(upgrade, False)


@final
class TcpPort:
    """A listening socket and what it serves, until nothing is left of that."""

    def __init__(self, upgrader: Upgrader, reservation: Reservation, on_close: Callable[["TcpPort"], None]) -> None:
        self.services: dict[Kind, Service] = {}
        self.host, self.number = "", 0
        self._upgrader = upgrader
        self._reservation = reservation
        self._on_close = on_close
        self._server: asyncio.Server | None = None

    async def open(self, host: str, number: int) -> None:
        """Bind and serve. Raises OSError; then, or cancelled, it is closed."""
        loop = asyncio.get_running_loop()
        try:
            bound = bind(socket.SOCK_STREAM, host, number)
            try:
                server = await loop.create_server(self._protocol, sock=bound, backlog=ACCEPTED_AT_ONCE, start_serving=False)
            except BaseException:
                bound.close()
                raise
        except BaseException:
            self._reservation.release()
            raise
        self._server = server
        for listening in server.sockets:
            keep_alive(listening)
        self.host, self.number = host, server.sockets[0].getsockname()[1]
        try:
            await server.start_serving()  # create_server, cancelled at this, would leave it serving for ever
            self._keep_more_waiting(server)
        except BaseException:
            self._close()
            raise

    def _keep_more_waiting(self, server: asyncio.Server) -> None:
        """To asyncio, what the system keeps and what is accepted at once are one number."""
        for listening in server.sockets:
            with listening.dup() as same:
                same.listen(BACKLOG)

    def address_of(self, asked: Multiaddr) -> Multiaddr:
        """The address that was asked for, with the port there is."""
        number = Component.of("tcp", str(self.number))
        return Multiaddr.from_components([number if part.protocol == "tcp" else part for part in asked.components])

    def _protocol(self) -> asyncio.BufferedProtocol:
        if len(self.services) == 1:
            return next(iter(self.services.values())).protocol(self._upgrader)
        return FirstBytes(self.services, self._upgrader)

    def remove(self, service: Service) -> None:
        """Serve this no more; connections live on. A second call does nothing."""
        if self.services.get(service.kind) is service:
            del self.services[service.kind]
            if not self.services:
                self._close()

    def _close(self) -> None:
        self._on_close(self)
        self._reservation.release()
        if self._server is not None:
            self._server.close()


@final
class TcpPorts:
    """The ports of one node; the transports over TCP share it, and so can share ports."""

    def __init__(self, upgrader: Upgrader) -> None:
        self._upgrader = upgrader
        self._ports: list[TcpPort] = []

    async def listen(self, host: str, number: int, service: Service) -> TcpPort:
        """Serve one more thing at a port; 0 picks one that is free, any other may be one this node listens on already.

        Raises OSError, LimitExceeded. Cancelled: nothing is left.
        """
        port = next((each for each in self._ports if number and (each.host, each.number) == (host, number)), None)
        if port is not None:
            if service.kind in port.services:
                raise OSError(
                    errno.EADDRINUSE, f"address already in use: this node listens for {service.kind} on {host} port {number}"
                )
            port.services[service.kind] = service
            return port
        port = TcpPort(self._upgrader, self._upgrader.resources.admit_listener(), self._forget)
        port.services[service.kind] = service
        await port.open(host, number)
        self._ports.append(port)
        return port

    def _forget(self, port: TcpPort) -> None:
        if port in self._ports:
            self._ports.remove(port)


@final
class FirstBytes(asyncio.Transport, asyncio.BufferedProtocol):
    """A socket nobody knows what is spoken on. Its upgrade has begun, so its limits hold; what it writes waits."""

    def __init__(self, services: dict[Kind, Service], upgrader: Upgrader) -> None:
        super().__init__()
        self._services = services
        self._service: Service | None = None
        self._upgrade = Upgrade(upgrader, self._endpoints, self._finished)
        self._buffer = turns_of(asyncio.get_running_loop()).outer_buffer()[:_FIRST_CHUNK]
        self._received = b""
        self._written: list[bytes] = []
        self._io: asyncio.Transport | None = None

    def _endpoints(self, io: asyncio.Transport) -> Endpoints:
        # Who asks where a socket comes from before it is known what is spoken on it is told by any of the services.
        service = self._service or next(iter(self._services.values()))
        return service.endpoints(io)

    def _finished(self, outcome: Outcome) -> None:
        if self._service is not None:
            self._service.finished(outcome)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # what sockets give
        self._io = transport
        if self._services:
            self._upgrade.connection_made(self)
        else:  # the port was closed in the turn in which it was accepted
            transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._received += bytes(self._buffer[:nbytes])
        if self._io is None or self._io.is_closing() or len(self._received) < ENOUGH:
            return
        kind = kind_of(self._received[:ENOUGH])
        service = self._services.get(kind) if kind is not None else None
        if service is None:
            self._upgrade.fail(ProtocolViolation("the peer speaks nothing that is spoken on this port"))
        else:
            self._decide(self._io, service)

    def _decide(self, io: asyncio.Transport, service: Service) -> None:
        """Step out of the way."""
        self._service = service
        lower: asyncio.BufferedProtocol = self._upgrade
        upper_io = io
        if service.wrap is not None:
            lower = service.wrap(self._upgrade, True)
            assert isinstance(lower, asyncio.Transport)  # that is what it is to the upgrade
            upper_io = lower
        self._upgrade.moved(upper_io)
        io.set_protocol(lower)
        if lower is not self._upgrade:
            lower.connection_made(io)
        upper_io.write(b"".join(self._written))
        del self._upgrade  # which knows this as well: its handshake would wait for a collection
        memoryview(lower.get_buffer(-1))[: len(self._received)] = self._received
        lower.buffer_updated(len(self._received))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._upgrade.connection_lost(error)
        del self._upgrade

    # what the upgrade asks of its transport before it has read anything

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the socket's transport says."""
        return default if self._io is None else self._io.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it until it is known how it is sent."""
        self._written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        """Nothing: who has said nothing is not waited for."""
        return 0

    def close(self) -> None:
        """Close the socket."""
        if self._io is not None:
            self._io.close()

    def abort(self) -> None:
        """Close the socket now."""
        if self._io is not None:
            self._io.abort()

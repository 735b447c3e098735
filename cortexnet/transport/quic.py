"""QUIC: listening and dialing. A shell. Spec: libp2p specs, quic/."""

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.admission.resources import Reservation
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Component, Multiaddr
from cortexnet.multiformats.multiaddr_quic import is_quic
from cortexnet.mux.muxer import MemoryBudget
from cortexnet.quic.aioquic_engine import AioquicEngine
from cortexnet.quic.aioquic_hooks import check_hooks
from cortexnet.quic.arrivals import Arrival, Doorkeeper
from cortexnet.quic.closing import ConnectionRefused
from cortexnet.quic.engine import EngineFactory, Origin, QuicConfig, QuicEngine
from cortexnet.security.certificate import NodeCertificate, verify_chain
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.quic_endpoint import QuicEndpoint, open_endpoint, socket_name
from cortexnet.transport.quic_upgrade import QuicUpgrade, given_up
from cortexnet.transport.transport import Accept, Listener
from cortexnet.transport.udp import Address
from cortexnet.transport.upgrade import Outcome, Upgrader


def quic_config(limits: Limits) -> QuicConfig:
    """The bounds of the node as an engine sees them."""
    return QuicConfig(
        idle_timeout=limits.quic_idle_timeout,
        max_streams=limits.quic_streams,
        max_window=limits.stream_window,
        connection_window=limits.connection_memory * 3 // 4,  # a quarter is for readers who wait for more
        crypto_data=limits.unauthenticated_memory,
        max_gaps=limits.quic_gaps,
    )


def aioquic_engines(certificate: NodeCertificate, config: QuicConfig) -> EngineFactory:
    """Engines that show this certificate. Raises LocalError where the installed aioquic is not what they need."""
    check_hooks()

    def make(memory: MemoryBudget, expected: PeerId | None, origin: Origin | None) -> QuicEngine:
        return AioquicEngine(certificate, _verify, config, memory=memory, expected=expected, origin=origin)

    return make


def _verify(chain: Sequence[bytes], expected: PeerId | None) -> tuple[PeerId, PublicKey]:
    return verify_chain(chain, expected=expected, now=datetime.now(UTC))


def quic_transport(upgrader: Upgrader, certificate: NodeCertificate) -> "QuicTransport":
    """The transport of a node. Raises LocalError where the installed aioquic is not what is needed."""
    config = quic_config(upgrader.resources.limits)
    return QuicTransport(upgrader, aioquic_engines(certificate, config), loopback_datagram_size=config.loopback_datagram_size)


@final
class QuicTransport:
    """`/ip4|ip6/…/udp/…/quic-v1`, with an `/ip6zone` before a link-local address. Names are resolved above."""

    name = "quic"

    def __init__(self, upgrader: Upgrader, engines: EngineFactory, *, loopback_datagram_size: int = 0) -> None:
        """`loopback_datagram_size` 0: as anywhere."""
        self._upgrader = upgrader
        self._engines = engines
        self._loopback_size = loopback_datagram_size
        self._doorkeeper = Doorkeeper(upgrader.resources.limits, os.urandom)
        self._endpoints: list[QuicEndpoint] = []
        self._half_open = 0

    def can_dial(self, address: Multiaddr) -> bool:
        return is_quic(address)

    can_listen = can_dial

    # --- listening ---------------------------------------------------------------------------------------------------------

    async def listen(self, address: Multiaddr, accept: Accept) -> Listener:
        family, host, port = _parts(address)
        endpoint = self._find(family, host, port) or await self._open(host, port)

        def arrived(arrival: Arrival, datagram: bytes, source: Address) -> None:
            self._arrived(endpoint, accept, arrival, datagram, source)

        endpoint.on_arrival = arrived
        return QuicListener(endpoint, address)

    def _find(self, family: int, host: str, port: int) -> QuicEndpoint | None:
        """The socket of a listener that was closed while its connections live on."""
        for endpoint in self._endpoints:
            if endpoint.family == family and endpoint.name[:2] == (host, port) and endpoint.on_arrival is None:
                return endpoint
        return None

    async def _open(self, host: str, port: int) -> QuicEndpoint:
        reservation = self._upgrader.resources.admit_listener()
        endpoint = await open_endpoint(host, port, reservation, self._endpoints.remove)
        endpoint.refuse = self._refuse
        self._endpoints.append(endpoint)
        return endpoint

    def _refuse(self, arrival: Arrival) -> bytes | None:
        return self._doorkeeper.refuse(arrival, asyncio.get_running_loop().time())

    def _arrived(self, endpoint: QuicEndpoint, accept: Accept, arrival: Arrival, datagram: bytes, source: Address) -> None:
        """A datagram that begins a connection: counted before it costs a handshake."""
        now = asyncio.get_running_loop().time()
        answer = self._doorkeeper.judge(arrival, source, self._half_open, now)
        if isinstance(answer, bytes):
            endpoint.send([(answer, source)])
            return
        remote = socket_address(source)
        pending = _Pending()
        try:
            self._upgrader.gater.check_accept(remote)
            reservation = self._upgrader.admit(pending, source[0], is_rated=answer.is_proven, has_socket=False)
        except LimitExceeded as error:
            self._count_failed(error)
            refusal = self._refuse(arrival)
            if refusal is not None:
                endpoint.send([(refusal, source)])
            return

        def finished(outcome: Outcome) -> None:
            self._half_open -= 1
            if isinstance(outcome, Connection):
                accept(outcome)
            else:
                self._count_failed(outcome)

        endpoints = Endpoints(local=local_address(endpoint, source), remote=remote, direction="inbound", transport="quic")
        self._half_open += 1
        engine = self._engines(reservation.memory, None, answer.origin)
        pending.upgrade = self._upgrade(engine, endpoint, endpoints, reservation, finished, source)
        endpoint.route(pending.upgrade, [arrival.destination])
        pending.upgrade.accept(datagram, source)

    def _count_failed(self, error: Exception) -> None:
        resources = self._upgrader.resources
        resources.tally.handshakes_failed += 1
        resources.refused(error)

    def _upgrade(
        self,
        engine: QuicEngine,
        endpoint: QuicEndpoint,
        endpoints: Endpoints,
        reservation: Reservation,
        finished: Callable[[Outcome], None],
        peer: Address,
    ) -> QuicUpgrade:
        is_near = bool(self._loopback_size) and ipaddress.ip_address(peer[0]).is_loopback
        return QuicUpgrade(
            engine,
            endpoint,
            endpoints,
            upgrader=self._upgrader,
            reservation=reservation,
            finished=finished,
            loopback_datagram_size=self._loopback_size if is_near else None,
        )

    # --- dialing -----------------------------------------------------------------------------------------------------------

    async def dial(self, address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Connection:
        outcome: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

        def finished(result: Outcome) -> None:
            if outcome.done():  # cancelled in this turn
                if isinstance(result, Connection):
                    result.abort()
            elif isinstance(result, Connection):
                outcome.set_result(result)
            else:
                outcome.set_exception(_as_dial_error(result))

        try:
            family, host, port = _parts(address)
            peer = socket_name(family, host, port)
            engine = self._engines(reservation.memory, expected, None)
            endpoint = self._best(family, host) or await self._open("0.0.0.0" if family == socket.AF_INET else "::", 0)
        except BaseException:
            reservation.release()
            raise
        endpoints = Endpoints(local=local_address(endpoint, peer), remote=address, direction="outbound", transport="quic")
        upgrade = self._upgrade(engine, endpoint, endpoints, reservation, finished, peer)
        upgrade.dial(peer)
        try:
            return await outcome
        except BaseException:
            if outcome.done() and not outcome.cancelled() and outcome.exception() is None:
                outcome.result().abort()  # cancelled in the turn in which it succeeded
            outcome.cancel()
            upgrade.fail(given_up())
            raise

    def _best(self, family: int, host: str) -> QuicEndpoint | None:
        """The socket to dial from: one that listens, so that the peer sees its port; loopback has no way out."""
        is_near = ipaddress.ip_address(host).is_loopback
        fitting = [endpoint for endpoint in self._endpoints if endpoint.family == family and _reaches(endpoint, is_near)]
        return max(fitting, key=lambda endpoint: endpoint.on_arrival is not None, default=None)


def _reaches(endpoint: QuicEndpoint, is_near: bool) -> bool:
    bound = ipaddress.ip_address(endpoint.name[0])
    return bound.is_unspecified or bound.is_loopback == is_near


@final
class _Pending:
    """Stands for an upgrade that is about to be made."""

    upgrade: QuicUpgrade

    def fail(self, error: Exception) -> None:
        self.upgrade.fail(error)


@final
class QuicListener:
    """A UDP socket that accepts connections."""

    def __init__(self, endpoint: QuicEndpoint, asked: Multiaddr) -> None:
        self._endpoint = endpoint
        prefix = [component for component in asked.components if component.protocol not in ("udp", "quic-v1")]
        port = Component.of("udp", str(endpoint.name[1]))
        self.address = Multiaddr.from_components([*prefix, port, Component.of("quic-v1")])

    def close(self) -> None:
        """Stop accepting; the socket closes with the last of its connections."""
        self._endpoint.on_arrival = None
        self._endpoint.close_if_unused()


def _as_dial_error(error: Exception) -> Exception:
    return ConnectionRefusedError(errno.ECONNREFUSED, str(error)) if isinstance(error, ConnectionRefused) else error


def _parts(address: Multiaddr) -> tuple[int, str, int]:
    endpoint = address.endpoint
    if endpoint is None:
        raise LocalError(f"{address} is no QUIC address")
    family = socket.AF_INET6 if ":" in endpoint[0] else socket.AF_INET
    return family, *endpoint


def socket_address(name: Address) -> Multiaddr:
    """The multiaddr of a UDP socket's address."""
    host, zone = name[0].partition("%")[::2]
    ip = Component.of("ip6" if ":" in host else "ip4", host)
    end = [ip, Component.of("udp", str(name[1])), Component.of("quic-v1")]
    return Multiaddr.from_components([Component.of("ip6zone", zone), *end] if zone else end)


def local_address(endpoint: QuicEndpoint, peer: Address) -> Multiaddr:
    """Our end of a connection to `peer`; of a socket that is bound to no address, the one that the system sends from."""
    if not ipaddress.ip_address(endpoint.name[0]).is_unspecified:
        return socket_address(endpoint.name)
    try:
        with socket.socket(endpoint.family, socket.SOCK_DGRAM) as probe:
            probe.connect(peer)  # sends nothing
            return socket_address((probe.getsockname()[0], endpoint.name[1]))
    except OSError:
        return socket_address(endpoint.name)

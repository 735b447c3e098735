"""How a node connects: the secure channels, muxers and transports of its settings, each loaded where it is used. A shell."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cortexnet.config import MPLEX, Config, mplex_config, yamux_config
from cortexnet.multiformats.multiaddr_quic import is_quic
from cortexnet.multiformats.multiaddr_websocket import is_websocket
from cortexnet.mux import yamux
from cortexnet.security.channels import certificate_of, secure_channels
from cortexnet.security.session import SecureChannel
from cortexnet.transport.lazy import LazyTransport
from cortexnet.transport.tcp import TcpTransport
from cortexnet.transport.tcp_port import TcpPorts
from cortexnet.transport.transport import Transport
from cortexnet.transport.upgrade import MuxerFactory, UpgradeConfig, Upgrader

if TYPE_CHECKING:
    from datetime import datetime

    from cortexnet.admission.gater import Gater
    from cortexnet.admission.limits import Limits
    from cortexnet.admission.resources import Resources
    from cortexnet.identity.keys import PrivateKey
    from cortexnet.security.certificate import NodeCertificate


def upgrader_and_transports(
    config: Config, key: "PrivateKey", resources: "Resources", gater: "Gater"
) -> tuple[Upgrader, list[Transport]]:
    """What makes connections out of sockets, and the transports that use it, in the order of the settings."""
    limits, certificate = config.limits, certificate_of(key, _today)
    upgrader = Upgrader(
        _channels(config, key, certificate),
        resources,
        UpgradeConfig(
            muxers={name: _MUXERS[name](limits) for name in config.muxers},
            inbound_timeout=limits.upgrade_timeout,
            negotiation_timeout=limits.negotiation_timeout,
            close_timeout=limits.connection_close_timeout,
        ),
        gater,
    )
    return upgrader, _transports(config, upgrader, certificate)


def prefers_tcp(transports: Sequence[str]) -> bool:
    """Whether TCP stands in front of QUIC."""
    return "quic" not in transports or "tcp" in transports[: transports.index("quic")]


def _today() -> "datetime":
    from datetime import UTC, datetime

    return datetime.now(UTC)


def _channels(config: Config, key: "PrivateKey", certificate: "Callable[[], NodeCertificate]") -> list[SecureChannel]:
    """The secure channels that are enabled, in order of preference."""
    # Of several the stacks choose each by a rule of its own: then multistream-select does, inside the channel.
    early_muxers = config.muxers if config.early_muxer and len(config.muxers) == 1 else ()
    return secure_channels(config.security, key, early_muxers, now=_today, certificate=certificate)


def _yamux(limits: "Limits") -> MuxerFactory:
    config = yamux_config(limits)
    return lambda initiator, memory: yamux.Yamux(initiator=initiator, config=config, memory=memory)


def _mplex(limits: "Limits") -> MuxerFactory:
    from cortexnet.mux.mplex import Mplex  # only nodes that ask for it pay for it

    config = mplex_config(limits)
    return lambda initiator, memory: Mplex(initiator=initiator, config=config, memory=memory)


_MUXERS: "dict[str, Callable[[Limits], MuxerFactory]]" = {yamux.NAME: _yamux, MPLEX: _mplex}


def _transports(config: Config, upgrader: Upgrader, certificate: "Callable[[], NodeCertificate]") -> list[Transport]:
    transports: list[Transport] = []
    ports = TcpPorts(upgrader)
    for name in config.transports:
        if name == "tcp":
            transports.append(TcpTransport(upgrader, ports))
        elif name == "ws":
            transports.append(_websocket(config, upgrader, ports))
        elif name == "quic":
            transports.append(_quic(upgrader, certificate))
        elif config.memory_network is not None:
            from cortexnet.transport.in_memory import InMemoryTransport  # only simulations need it: 2 ms of every start less

            transports.append(InMemoryTransport(upgrader, config.memory_network))
    return transports


def _websocket(config: Config, upgrader: Upgrader, ports: TcpPorts) -> Transport:
    def make() -> Transport:
        from cortexnet.transport.websocket import WebSocketTransport

        return WebSocketTransport(upgrader, config.websocket, ports)

    return LazyTransport("ws", is_websocket, "cortexnet.transport.websocket", make)


def _quic(upgrader: Upgrader, certificate: "Callable[[], NodeCertificate]") -> Transport:
    def make() -> Transport:
        from cortexnet.transport.quic import quic_transport

        return quic_transport(upgrader, certificate())

    return LazyTransport("quic", is_quic, "cortexnet.transport.quic", make)

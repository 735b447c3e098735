"""What speaks against listening, found before it begins: no socket is opened for it. A shell."""

from collections.abc import Callable, Iterable, Mapping

from cortexnet.config import Config
from cortexnet.errors import LocalError
from cortexnet.multiformats import multiaddr_websocket
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multiformats.multiaddr_quic import is_quic
from cortexnet.multiformats.multiaddr_websocket import is_websocket
from cortexnet.transport.tcp import is_tcp


def _is_memory(address: Multiaddr) -> bool:
    return address.protocols == ("memory",)


_UNDERSTOOD: Mapping[str, Callable[[Multiaddr], bool]] = {
    "tcp": is_tcp,
    "ws": is_websocket,
    "quic": is_quic,
    "memory": _is_memory,
}


def check_listening(config: Config, addresses: Iterable[Multiaddr]) -> None:
    """Raise LocalError where no enabled transport can listen on one of these, ConfigInvalid where its certificate is useless."""
    for address in addresses:
        if not any(_UNDERSTOOD[name](address) for name in config.transports):
            raise LocalError(f"no enabled transport can listen on {address}: see Config.transports, or use another address")
        where = multiaddr_websocket.parse(address)
        if where is not None and where.is_secure:
            from cortexnet.transport.outer_tls import server_context  # few nodes listen with TLS around WebSockets

            server_context(config.websocket)

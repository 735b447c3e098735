"""What speaks against listening, found before it begins: no socket is opened for it. A shell."""

from collections.abc import Callable, Iterable, Mapping

from cortexnet.config import Config
from cortexnet.errors import ConfigInvalid
from cortexnet.identity.peer_id import PeerId
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


def _is_any_port(address: Multiaddr) -> bool:
    return "0" in (address.value_of("tcp"), address.value_of("udp"), address.value_of("memory"))


def check_listening(config: Config, addresses: Iterable[Multiaddr]) -> None:
    """Raise ConfigInvalid where no enabled transport can listen on one of these, it is there twice, or a certificate is bad."""
    seen: set[Multiaddr] = set()
    for address in addresses:
        if not any(_UNDERSTOOD[name](address) for name in config.transports):
            advice = "see Config.transports, or use another address"
            raise ConfigInvalid(f"no enabled transport can listen on {address}: {advice}", key="listen")
        if address in seen and not _is_any_port(address):
            raise ConfigInvalid(f"{address} is there twice: once is enough", key="listen")
        seen.add(address)
        where = multiaddr_websocket.parse(address)
        if where is not None and where.is_secure:
            from cortexnet.transport.outer_tls import server_context  # few nodes listen with TLS around WebSockets

            server_context(config.websocket)


def check_own(key: str, texts: Iterable[str], owner: PeerId | None) -> None:
    """Raise ConfigInvalid where one of these addresses is of a peer that is not `owner`; None is one that has no key yet."""
    for text in texts:
        where, named = Multiaddr.parse(text).split_peer()
        if where is not None and (named is None or (owner is not None and named == bytes(owner))):
            continue
        who = "whose key is new" if owner is None else f"which is {owner}"
        raise ConfigInvalid(f"{text} is no address of this node, {who}", key=key)

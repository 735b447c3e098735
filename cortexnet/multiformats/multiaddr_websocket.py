"""The multiaddrs of WebSockets: /ws, and with TLS /tls/ws or /tls/sni/NAME/ws; /wss is another way to write /tls/ws.

Spec: libp2p specs, websockets/.
"""

from typing import NamedTuple, final

from cortexnet.multiformats.multiaddr import Component, Multiaddr

_IPS = (["ip4", "tcp"], ["ip6", "tcp"], ["ip6zone", "ip6", "tcp"])
_LONGEST = 32  # components; an address that long leads nowhere, and one with more than 64 is none
_ENDINGS = (["ws"], ["wss"], ["tls", "ws"], ["tls", "sni", "ws"])
_LONGEST_NAME, _LONGEST_LABEL = 253, 63
_IN_NAMES = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_*.")


@final
class WebSocketAddress(NamedTuple):
    """Where a WebSocket is served."""

    tcp: Multiaddr
    """The socket below."""
    is_secure: bool
    server_name: str
    """The name its certificate is for, in ASCII; nothing where none is known."""


def parse(address: Multiaddr) -> WebSocketAddress | None:
    """None for what is no address of a WebSocket at an IP."""
    names = [component.protocol for component in address.components]
    length = next((len(ip) for ip in _IPS if names[: len(ip)] == ip), 0)
    if not length or names[length:] not in _ENDINGS:
        return None
    server_name = address.value_of("sni")
    name = "" if server_name is None else _host_name(server_name)
    if name is None:
        return None
    return WebSocketAddress(Multiaddr.from_components(address.components[:length]), names[length:] != ["ws"], name)


def _host_name(text: str) -> str | None:
    """As it may stand in TLS and HTTP; None for what can't be the name of a host."""
    name = text.removesuffix(".")
    if len(name) > _LONGEST_NAME:
        return None
    try:
        name = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return None
    is_one = _IN_NAMES.issuperset(name) and all(0 < len(label) <= _LONGEST_LABEL for label in name.split("."))
    return name if is_one else None


def is_websocket(address: Multiaddr) -> bool:
    """Whether `parse` finds something."""
    return parse(address) is not None


def over(tcp: Multiaddr, *, is_secure: bool) -> Multiaddr:
    """The address of a WebSocket over a socket there."""
    ending = ("tls", "ws") if is_secure else ("ws",)
    return Multiaddr.from_components([*tcp.components, *(Component.of(name) for name in ending)])


def canonical(address: Multiaddr) -> Multiaddr:
    """The address with /tls/ws for /wss; two that lead to the same place compare equal then."""
    components = address.components
    if len(components) > _LONGEST or all(component.protocol != "wss" for component in components):
        return address
    found: list[Component] = []
    for component in components:
        found += (Component.of("tls"), Component.of("ws")) if component.protocol == "wss" else (component,)
    return Multiaddr.from_components(found)

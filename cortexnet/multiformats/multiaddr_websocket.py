"""The multiaddrs of WebSockets: /ws, and with TLS /tls/ws or /tls/sni/NAME/ws; /wss is another way to write /tls/ws.

Spec: libp2p specs, websockets/.
"""

from dataclasses import dataclass
from typing import final

from cortexnet.multiformats.multiaddr import Component, Multiaddr

_IPS = (["ip4", "tcp"], ["ip6", "tcp"], ["ip6zone", "ip6", "tcp"])
_LONGEST = 32  # components; an address that long leads nowhere, and one with more than 64 is none
_ENDINGS = (["ws"], ["wss"], ["tls", "ws"], ["tls", "sni", "ws"])


@final
@dataclass(frozen=True, slots=True)
class WebSocketAddress:
    """Where a WebSocket is served."""

    tcp: Multiaddr
    """The socket below."""
    is_secure: bool
    server_name: str
    """The name its certificate is for; nothing where none is known."""


def parse(address: Multiaddr) -> WebSocketAddress | None:
    """None for what is no address of a WebSocket at an IP."""
    names = [component.protocol for component in address.components]
    length = next((len(ip) for ip in _IPS if names[: len(ip)] == ip), 0)
    if not length or names[length:] not in _ENDINGS:
        return None
    return WebSocketAddress(
        Multiaddr.from_components(address.components[:length]),
        names[length:] != ["ws"],
        address.value_of("sni") or "",
    )


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

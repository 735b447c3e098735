"""What the machine itself says about sockets: addresses of its interfaces, and how many descriptors a process has. A shell."""

import ipaddress
from typing import TYPE_CHECKING

from cortexnet.multiformats.multiaddr import Component, Multiaddr

if TYPE_CHECKING:
    from collections.abc import Iterable


def interface_addresses(version: int) -> list[str]:
    """The IP addresses of all interfaces, loopback last; IPv6 link-local ones, useless to others, are left out."""
    usable = [ip for ip in _interface_ips() if ip.version == version]
    return [str(ip) for ip in sorted(usable, key=lambda ip: ip.is_loopback)]


def all_addresses() -> frozenset[str]:
    """The same of both versions, without loopback, which never comes or goes. Raises OSError where the system does not say."""
    return frozenset([str(ip) for ip in _interface_ips() if not ip.is_loopback])


def _interface_ips() -> "list[ipaddress.IPv4Address | ipaddress.IPv6Address]":
    import ifaddr  # on first use: only a node that listens everywhere, or lives for a while, needs it

    texts = [ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    found = [ipaddress.ip_address(text) for text in texts]
    return [ip for ip in found if not (ip.version == 6 and ip.is_link_local)]


def specific_addresses(addresses: "Iterable[Multiaddr]") -> list[Multiaddr]:
    """The addresses, 0.0.0.0 and :: replaced by those of the interfaces."""
    specific: dict[Multiaddr, None] = {}
    for address in addresses:
        if not address.is_unspecified:
            specific[address] = None
            continue
        first, *rest = address.components
        for ip in interface_addresses(4 if first.protocol == "ip4" else 6):
            specific[Multiaddr.from_components([Component.of(first.protocol, ip), *rest])] = None
    return list(specific)


def process_descriptor_limit() -> int | None:
    """How many files this process may have open; None where the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft

"""Where an address leads: to this machine, into a private network, or out into the public one.

The ranges are those of go-multiaddr's `manet`, so that we publish and filter what go does. We differ twice, on the safe side: an
IPv4 address mapped into IPv6 is private where the IPv4 address is, and names are compared without case and without a final dot.

Spec: RFC 6890, RFC 6761, RFC 8375; the table is `net/private.go` of go-multiaddr.
"""

from cortexnet.multiformats.multiaddr_protocols import IP4, IP6, NAMES, AddressProtocol
from cortexnet.multiformats.multiaddr_values import ip4_to_bytes, ip6_to_bytes

_Range = tuple[int, int]  # mask, network


def _ranges(*texts: str) -> tuple[_Range, ...]:
    found: list[_Range] = []
    for text in texts:
        network, _, length = text.partition("/")
        raw = ip6_to_bytes(network) if ":" in network else ip4_to_bytes(network)
        bits = 8 * len(raw)
        found.append(((1 << bits) - (1 << bits - int(length)), int.from_bytes(raw, "big")))
    return tuple(found)


_LOOPBACK4 = _ranges("127.0.0.0/8")
_PRIVATE4 = _ranges("127.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
_UNROUTABLE4 = _ranges(
    "0.0.0.0/8",
    "192.0.0.0/26",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
)
_LOOPBACK6 = _ranges("::1/128")
_PRIVATE6 = _ranges("::1/128", "fc00::/7", "fe80::/10")
_MAPPED6 = _ranges("::ffff:0.0.0.0/96")
_DOCUMENTATION6 = _ranges("2001:db8::/32")
# NAT64 counts as public whatever IPv4 address it wraps.
_PUBLIC6 = _ranges("2000::/3", "64:ff9b::/96", "64:ff9b:1::/48")

_LOCAL_NAMES = ("localhost",)
_SPECIAL_NAMES = ("localhost", "local", "home.arpa", "test", "invalid", "in-addr.arpa", "ip6.arpa")


def is_loopback(protocol: AddressProtocol, raw: bytes) -> bool:
    """An IP address of this machine alone. A name never is: /dns/localhost is private."""
    return _is_in(_LOOPBACK4, _LOOPBACK6, protocol, raw)


def is_private(protocol: AddressProtocol, raw: bytes) -> bool:
    """Loopback, link-local, or a private network; of names, `localhost` and what is under it."""
    if protocol in NAMES:
        return _is_under(_LOCAL_NAMES, raw)
    return _is_in(_PRIVATE4, _PRIVATE6, protocol, raw)


def is_public(protocol: AddressProtocol, raw: bytes) -> bool:
    """Routed by everybody. Documentation and multicast ranges and special-use names are neither public nor private."""
    if protocol in NAMES:
        return not _is_under(_SPECIAL_NAMES, raw)
    number = int.from_bytes(raw, "big")
    if protocol is IP4:
        return not _any(_PRIVATE4, number) and not _any(_UNROUTABLE4, number)
    return protocol is IP6 and _any(_PUBLIC6, number) and not _any(_DOCUMENTATION6, number)


def is_unspecified(protocol: AddressProtocol, raw: bytes) -> bool:
    """0.0.0.0 or ::, which as a listening address means every interface."""
    return (protocol is IP4 or protocol is IP6) and not any(raw)


def _is_in(ranges4: tuple[_Range, ...], ranges6: tuple[_Range, ...], protocol: AddressProtocol, raw: bytes) -> bool:
    number = int.from_bytes(raw, "big")
    if protocol is IP4:
        return _any(ranges4, number)
    if protocol is not IP6:
        return False
    return _any(ranges4, number & 0xFFFF_FFFF) if _any(_MAPPED6, number) else _any(ranges6, number)


def _any(ranges: tuple[_Range, ...], number: int) -> bool:
    for mask, network in ranges:  # noqa: SIM110  # asked of each address that anybody names, where a generator takes long
        if number & mask == network:
            return True
    return False


def _is_under(domains: tuple[str, ...], raw: bytes) -> bool:
    name = "." + raw.decode().lower().rstrip(".")
    return name.endswith(tuple("." + domain for domain in domains))

"""Which addresses count as one where connections are limited: a host, and the network around it."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import final

from cortexnet.errors import LocalError


@final
@dataclass(frozen=True, slots=True)
class Subnets:
    """The keys one address is counted under; as text, since errors name them."""

    host: str
    """The IPv4 address, or the IPv6 /56: a household is given that much, a single IPv6 address means nothing."""
    network: str
    """The IPv4 /24 or the IPv6 /48."""
    is_ipv6: bool
    is_loopback: bool


@lru_cache(maxsize=1024)  # asked several times for every connection, and 20 µs each
def subnets_of(ip: str) -> Subnets:
    """The keys of an address. An IPv4-mapped one counts as IPv4, a zone is left out. Raises LocalError for any other text."""
    try:
        address = ip_address(ip)
    except ValueError as error:
        raise LocalError(f"not an IP address: {ip!r}") from error
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    number = int(address)
    if isinstance(address, IPv4Address):
        network = IPv4Network((number, 24), strict=False)
        return Subnets(str(address), str(network), is_ipv6=False, is_loopback=address.is_loopback)
    household = IPv6Network((number, 56), strict=False)
    site = IPv6Network((number, 48), strict=False)
    return Subnets(str(household), str(site), is_ipv6=True, is_loopback=address.is_loopback)

"""Which interfaces multicast DNS uses, what is told on each, and what is believed of what is heard there; a core."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from typing import final

from cortexnet.multiformats.multiaddr import Component, Multiaddr

INTERFACES_LIMIT = 32
"""Interfaces that are used where none are named, two sockets each. A machine full of containers has hundreds, one for each."""

_IPS = ("ip4", "ip6")


@final
@dataclass(frozen=True)
class Interface:
    """A network interface of this machine that is up, with its IP addresses and the networks they are in."""

    name: str
    index: int
    networks: tuple[IPv4Interface | IPv6Interface, ...]
    is_multicast: bool
    """Whether it is made for it."""

    @cached_property
    def ips(self) -> tuple[str, ...]:
        """Its addresses that other machines can use, IPv4 first: one that is link-local means nothing without its link."""
        usable = [each for each in self.networks if each.version == 4 or not each.is_link_local]
        return tuple([str(each.ip) for each in sorted(usable, key=lambda each: each.version)])

    @property
    def is_loopback(self) -> bool:
        """Whether it leads nowhere but to this machine."""
        return bool(self.networks) and all(each.is_loopback for each in self.networks)

    def has(self, ip: str) -> bool:
        """Whether an address belongs to a machine that is connected to it."""
        address = ip_address(ip)
        return any(address in each.network for each in self.networks)


def usable(interfaces: Iterable[Interface], names: Sequence[str], listen: Sequence[Multiaddr]) -> list[Interface]:
    """Those to be used: the ones that are named, or else all that are made for multicast, those with an address to tell first.
    Without `names`, a node that listens on loopback alone stays within the machine."""
    if names:
        return [interface for interface in interfaces if interface.name in names]
    stays = bool(listen) and all(address.is_loopback for address in listen)
    found = [each for each in interfaces if each.is_multicast and (each.is_loopback or not stays)]
    return sorted(found, key=lambda each: not each.ips)[:INTERFACES_LIMIT]


def told(listen: Iterable[Multiaddr], interface: Interface) -> list[Multiaddr]:
    """What a node that listens on these addresses says on an interface: where it can be reached there, and nothing else."""
    found: dict[str, list[Multiaddr]] = {ip: [] for ip in interface.ips}
    for address in listen:
        first, *rest = address.components
        if first.protocol not in _IPS or address.is_relayed:
            continue
        for ip, addresses in found.items():
            if ip == first.value or (address.is_unspecified and _version(ip) == first.protocol):
                addresses.append(Multiaddr.from_components([Component.of(first.protocol, ip), *rest]))
    return [address for addresses in found.values() for address in addresses]


def host_ips(addresses: Iterable[Multiaddr]) -> list[bytes]:
    """The first IP of each version among these addresses, as bytes."""
    found: dict[str, bytes] = {}
    for address in addresses:
        found.setdefault(address.components[0].protocol, address.components[0].raw)
    return list(found.values())


def believed(addresses: Iterable[Multiaddr], source: str, interface: Interface, own: frozenset[str]) -> list[Multiaddr]:
    """Of what a machine at the IP address `source` has said on an interface, what it could know: addresses in the network of the
    interface, and from within a private network in private ones. So nobody here can send us to a third party in the internet;
    nor into this machine, but from within (`own` are its addresses). Names and relays are left out: they may lead anywhere."""
    is_here = interface.is_loopback or source in own
    is_near = is_here or ip_address(source).is_private
    found: dict[Multiaddr, None] = {}
    for address in addresses:
        parts = address.components
        ip, *rest = parts[1:] if parts[0].protocol == "ip6zone" and len(parts) > 1 else parts
        if ip.protocol not in _IPS or address.is_relayed:
            continue
        if address.is_loopback:
            is_good = is_here
        else:
            is_good = (address.is_private and is_near) or str(ip.value) == source or interface.has(str(ip.value))
        if is_good:
            # The zone of a link-local address is what we call the interface, whatever others call it.
            zone = [Component.of("ip6zone", interface.name)] if _is_link_local6(ip) else []
            found[Multiaddr.from_components([*zone, ip, *rest])] = None
    return list(found)


def _is_link_local6(ip: Component) -> bool:
    return ip.protocol == "ip6" and ip.raw[0] == 0xFE and ip.raw[1] & 0xC0 == 0x80


def _version(ip: str) -> str:
    return "ip6" if ":" in ip else "ip4"

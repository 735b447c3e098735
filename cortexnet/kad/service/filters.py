"""Whom and what a DHT takes: the public one what everybody can reach, that of a private network what is in it.

The rules are those of go-libp2p-kad-dht and its dual form, so that both fill their tables with the same peers. Names count as
public where addresses are passed on, and not where peers are chosen.
"""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol, final

from cortexnet.multiformats.multiaddr import Multiaddr

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_SITE_SHIFT = 64


class Filter(Protocol):
    """The rules of one DHT."""

    def admits(self, addresses: Sequence[Multiaddr], remotes: Sequence[Multiaddr]) -> bool:
        """Whether a peer belongs into the routing table, that says it is at `addresses`, and is connected from `remotes`."""

    def asks(self, addresses: Sequence[Multiaddr]) -> bool:
        """Whether a lookup asks a peer that others say is at `addresses`."""

    def keep(self, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
        """Those of anybody's addresses that are believed and passed on."""


@final
class Everything:
    """For a network of one's own, which knows nothing of public and private."""

    def admits(self, addresses: Sequence[Multiaddr], remotes: Sequence[Multiaddr]) -> bool:
        """Everybody."""
        return True

    def asks(self, addresses: Sequence[Multiaddr]) -> bool:
        """Everybody."""
        return True

    def keep(self, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
        """All."""
        return list(addresses)


@final
class Public:
    """For the public network: whoever has an address that everybody can reach without a relay."""

    def admits(self, addresses: Sequence[Multiaddr], remotes: Sequence[Multiaddr]) -> bool:
        """Those with a public IP address of their own."""
        return any(map(_is_directly_public, addresses))

    def asks(self, addresses: Sequence[Multiaddr]) -> bool:
        """The same."""
        return any(map(_is_directly_public, addresses))

    def keep(self, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
        """Public ones; names, and relays there, included."""
        return [address for address in addresses if address.is_public]


@final
class Private:
    """For the networks this machine is in. `own` are the addresses it listens on; `keeps_loopback` whether loopback is one of
    these networks, as for nodes that are all on this machine."""

    def __init__(self, own: Callable[[], Sequence[Multiaddr]], keeps_loopback: Callable[[], bool]) -> None:
        self._own = own
        self._keeps_loopback = keeps_loopback

    def admits(self, addresses: Sequence[Multiaddr], remotes: Sequence[Multiaddr]) -> bool:
        """Those connected, without a relay, from a private address, from our own IP address, or from our IPv6 network."""
        direct = [remote for remote in remotes if not remote.is_relayed]
        if any(map(_is_near, direct)):
            return True
        own = {network for address in self._own() if (network := _network(address)) is not None}
        return any(_network(remote) in own for remote in direct)

    def asks(self, addresses: Sequence[Multiaddr]) -> bool:
        """Those with any address."""
        return bool(addresses)

    def keep(self, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
        """All, but loopback only where it is meant."""
        if self._keeps_loopback():
            return list(addresses)
        return [address for address in addresses if not address.is_loopback]


def is_confined(own: Sequence[Multiaddr], remotes: Sequence[Multiaddr]) -> bool:
    """Whether a node lives on loopback alone: by what it listens on, or, where that is nothing, by whom it is connected to."""
    places = own or remotes
    return bool(places) and all(place.is_loopback for place in places)


def _is_near(address: Multiaddr) -> bool:
    """In a private network, on this machine, or where there are no IP addresses."""
    return address.is_private or not (address.has("ip4") or address.has("ip6"))


def _is_directly_public(address: Multiaddr) -> bool:
    """Of IPv6 go takes all that could ever be routed here, what is set aside for documents included."""
    if address.is_relayed or address.is_named:
        return False
    return address.is_public or ((ip := address.value_of("ip6")) is not None and IPv6Address(ip) in _GLOBAL_UNICAST)


def _network(address: Multiaddr) -> str | int | None:
    """What two machines share that are next to each other: the IPv4 address of their router, or an IPv6 /64."""
    ip4, ip6 = address.value_of("ip4"), address.value_of("ip6")
    if ip4 is not None:
        return ip4
    return None if ip6 is None else int(IPv6Address(ip6)) >> _SITE_SHIFT

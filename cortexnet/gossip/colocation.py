"""How many peers sit behind each IP: many identities are cheap, many addresses less so.

Spec: libp2p/specs gossipsub 1.1, "P6: IP Colocation Factor".
"""

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cortexnet.gossip.score_params import Address, Network
    from cortexnet.identity.peer_id import PeerId

Place = tuple[int, int]
"""An IPv4 address, an IPv6 address, or an IPv6 /64: the length of its prefix (32, 128, 64) and its bits."""


@final
class Colocation:
    """The peers of each IP, and of each IPv6 /64. Networks in `allowed` don't count."""

    __slots__ = ("_allowed", "_counts", "_places", "_threshold")

    def __init__(self, threshold: int, allowed: "Sequence[Network]") -> None:
        self._threshold = threshold
        self._allowed = tuple(allowed)
        self._places: dict[PeerId, tuple[Place, ...]] = {}
        self._counts: dict[Place, int] = {}

    def __len__(self) -> int:
        """Places with peers."""
        return len(self._counts)

    def set_ips(self, peer: "PeerId", ips: "Iterable[Address]") -> None:
        """The peer's connections come from these addresses now, and from no others."""
        places = dict.fromkeys(place for ip in ips for place in self._places_of(ip))
        for place in places:
            self._counts[place] = self._counts.get(place, 0) + 1
        self.remove(peer)
        if places:
            self._places[peer] = tuple(places)

    def remove(self, peer: "PeerId") -> None:
        """The peer is forgotten."""
        for place in self._places.pop(peer, ()):
            self._counts[place] -= 1
            if not self._counts[place]:
                del self._counts[place]

    def factor(self, peer: "PeerId") -> float:
        """P6 before its weight: the squared surplus of peers in each of the peer's places."""
        result = 0
        for place in self._places.get(peer, ()):
            surplus = self._counts[place] - self._threshold
            if surplus > 0:
                result += surplus * surplus
        return float(result)

    def _places_of(self, ip: "Address") -> list[Place]:
        if not isinstance(ip, IPv4Address):
            ip = ip.ipv4_mapped or ip
        if any(ip in network for network in self._allowed):
            return []
        if isinstance(ip, IPv4Address):
            return [(32, int(ip))]
        return [(128, int(ip)), (64, int(ip) >> 64)]

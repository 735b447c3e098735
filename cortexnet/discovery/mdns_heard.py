"""Peers that were heard a moment ago, of whom the rest of the node need not be told again; a core."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from cortexnet.admission.rate_limit import KeyedRateLimit
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

if TYPE_CHECKING:
    from cortexnet.discovery.mdns_config import MdnsConfig

RENEWAL = 30.0
"""Seconds in which a peer is told once. What is told counts for two minutes, and each node says where it is once a minute."""
PEERS_LIMIT = 1024
"""Peers remembered for that; of more the one told longest ago is forgotten, and told again when it is heard again."""
ADDRESSES_LIMIT = 64
"""Addresses remembered of each: it may be heard on several interfaces, and say others on each."""
SOURCES_LIMIT = 256
"""IP addresses whose peers are counted apart; of more the longest silent is forgotten."""


@final
class Heard:
    """The peers that answers have named lately."""

    def __init__(self, own: PeerId, config: "MdnsConfig") -> None:
        self._own = own
        self._told: OrderedDict[PeerId, tuple[float, frozenset[Multiaddr]]] = OrderedDict()
        self._rates: KeyedRateLimit[str] = KeyedRateLimit(config.peer_rate, 10 * config.peer_rate, size_limit=SOURCES_LIMIT)

    def __len__(self) -> int:
        return len(self._told)

    def heard(self, peer: PeerId, addresses: Sequence[Multiaddr], source: str, now: float) -> bool:
        """A packet from an IP address has named a peer: whether to tell that."""
        if peer == self._own or not addresses:
            return False
        self._forget_until(now - RENEWAL)
        _, known = self._told.get(peer, (now, frozenset()))
        if known.issuperset(addresses) or not self._rates.take(source, now):
            return False
        told = known.union(addresses)
        self._told[peer] = (now, told if len(told) <= ADDRESSES_LIMIT else frozenset(addresses))
        self._told.move_to_end(peer)
        while len(self._told) > PEERS_LIMIT:
            self._told.popitem(last=False)
        return True

    def left(self, peer: PeerId) -> None:
        """It has said goodbye, or somebody in its name: once it is heard again, it is back."""
        self._told.pop(peer, None)

    def _forget_until(self, time: float) -> None:
        while self._told and next(iter(self._told.values()))[0] <= time:
            self._told.popitem(last=False)

"""Peers that were found, whoever found them: each once, with its sources; a core."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from cortexnet.admission.rate_limit import KeyedRateLimit
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

if TYPE_CHECKING:
    from cortexnet.discovery.config import DiscoveryConfig

BOOTSTRAP: Final = "bootstrap"
NAMESPACE: Final = "namespace"
EXCHANGE: Final = "exchange"
GOSSIP: Final = "gossip"

SOURCES_LIMIT = 32
"""Sources told apart; a node has half a dozen. What comes from others is not taken."""
ADDRESSES_LIMIT = 16
"""Addresses kept of one peer, the newest: as many as one dial tries."""


@final
@dataclass(frozen=True, slots=True)
class Found:
    """A peer that was found: where, and by what ("bootstrap", "namespace", "exchange", "gossip", "mdns", …)."""

    peer_id: PeerId
    addresses: tuple[Multiaddr, ...]
    source: str


@final
@dataclass(slots=True)
class Known:
    """What is remembered of a peer that was found."""

    peer_id: PeerId
    sources: dict[str, None]
    """The first one first."""
    addresses: tuple[Multiaddr, ...]
    found_at: float
    """When last."""
    is_near: bool
    """Whether somebody in a network of ours has named it: see `Peerstore.private_names`."""
    failures: int = 0
    """Dials in a row that led nowhere."""
    due: float = field(default=float("-inf"))
    """Not to be dialed before."""

    @property
    def first(self) -> Found:
        """The same as it is told."""
        return Found(self.peer_id, self.addresses, next(iter(self.sources)))


@final
class FoundTable:
    """At most `found_peers` of them. Where it is full, the source that has named most loses the one it named longest ago.

    So no source can drive out what others have found. How often each may name peers is limited too: what is more is not taken.
    """

    def __init__(self, own: PeerId, config: "DiscoveryConfig") -> None:
        self._own = own
        self._config = config
        self._peers: dict[PeerId, Known] = {}
        self._by_source: dict[str, OrderedDict[PeerId, None]] = {}  # of each peer the first source; oldest first
        self._rates: KeyedRateLimit[str] = KeyedRateLimit(config.found_rate, config.found_burst, size_limit=SOURCES_LIMIT)
        self.refused = 0
        """How many came too fast, or from too many sources."""

    def __len__(self) -> int:
        return len(self._peers)

    def fresh(self, now: float) -> Iterator[Known]:
        """Those that were found within `found_ttl`, one source after the other, and of each the longest ago first."""
        for peers in self._by_source.values():
            for peer in peers:
                if now - self._peers[peer].found_at <= self._config.found_ttl:
                    yield self._peers[peer]

    def get(self, peer: PeerId) -> Known | None:
        """What is remembered of a peer."""
        return self._peers.get(peer)

    def add(self, peer: PeerId, addresses: Iterable[Multiaddr], source: str, now: float, *, is_near: bool) -> bool:
        """Take what a source has found; whether that is news: nobody has found this peer for a while."""
        if peer == self._own:
            return False
        known = self._peers.get(peer)
        if known is not None and now - known.found_at > self._config.found_ttl:
            self._remove(known)
            known = None
        if not self._may_name(source, now):
            self.refused += 1
            return False
        told = dict.fromkeys(islice(addresses, ADDRESSES_LIMIT))
        if known is None:
            self._peers[peer] = Known(peer, {source: None}, tuple(told), now, is_near)
            self._by_source.setdefault(source, OrderedDict())[peer] = None
            self._make_room()
            return True
        known.sources[source] = None
        known.addresses = tuple(islice({**told, **dict.fromkeys(known.addresses)}, ADDRESSES_LIMIT))
        known.is_near = known.is_near or is_near
        known.found_at = now
        self._by_source[known.first.source].move_to_end(peer)
        return False

    def _may_name(self, source: str, now: float) -> bool:
        is_new = source not in self._by_source
        return (not is_new or len(self._by_source) < SOURCES_LIMIT) and self._rates.take(source, now)

    def _remove(self, known: Known) -> None:
        del self._peers[known.peer_id]
        source = known.first.source
        del self._by_source[source][known.peer_id]
        if not self._by_source[source]:
            del self._by_source[source]

    def _make_room(self) -> None:
        while len(self._peers) > self._config.found_peers:
            largest = max(self._by_source.values(), key=len)
            self._remove(self._peers[next(iter(largest))])

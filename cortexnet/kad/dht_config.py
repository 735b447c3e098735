"""The settings of the DHT's core."""

from dataclasses import dataclass
from typing import final

from cortexnet.documented import documented

HOUR = 3600.0


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class DhtConfig:
    """Settings of `Dht`. Times are seconds. KadConfig, which makes it, has checked them."""

    k: int = 20
    """Peers that keep a record, peers in an answer, contacts in a bucket. The public network's; all nodes of one must agree."""
    alpha: int = 10
    """Requests of one lookup under way at once; go-libp2p's value."""
    beta: int = 3
    """A lookup ends when so many of the nearest have answered; go-libp2p's value."""
    slow_after: float = 1.0
    """A request unanswered for so long gives its turn to the next candidate. An answer takes two or three round trips."""
    request_timeout: float = 10.0
    """From a request, dialing included, to its answer; go-libp2p's read timeout."""
    store_timeout: float = 30.0
    """The same where a record is stored; go-libp2p's value."""
    lookup_timeout: float = 60.0
    """The longest a lookup may take."""
    request_limit: int = 200
    """The most requests of one lookup: ten hops of 20 peers that all send us further."""
    closer_limit: int = 40
    """Closer peers taken of one answer; go-libp2p's value, twice what any honest peer sends."""
    providers_limit: int = 1_000
    """Providers of one key that an operation holds, where it is given no limit: more are in nobody's interest."""
    probe_limit: int = 128
    """Candidates probed at once; more are forgotten, and come again at the next identify. Half of `KadConfig.requests` (go: 256):
    a crowd that answers no probe shall not keep lookups waiting."""
    refresh_interval: float = 600.0
    """Each bucket in use gets a lookup in this time, unless it had one; go-libp2p's value."""
    refresh_depth: int = 15
    """The longest prefix refreshed: 2^16 hashes find a key for it. Deeper ones belong to the lookup of the own id."""
    silence: float = 43 * 60.0
    """A contact that answered nothing for so long is probed; go-libp2p's ln(1/k) / ln(1 - alpha/k) refreshes."""
    sparse: int = 10
    """A table of at most so many contacts is bootstrapped again; go-libp2p's value."""
    sparse_interval: float = 120.0
    """Between bootstraps of a sparse table, less up to half of it at random: a crowd shall not come back at once."""
    empty_first: float = 2.0
    """The same at first where the table is empty, doubling up to `sparse_interval`."""
    provide_interval: float = 22 * HOUR
    """From one announcement of what is provided here to the next. Others forget it after 48 h."""
    value_interval: float = 22 * HOUR
    """The same for values that were put here."""
    own_values_limit: int = 10_000
    """Values kept here to be put again; above it the oldest is put no more."""
    expiry_interval: float = HOUR
    """Between looks for expired records; reads never see one in any case. go-libp2p's interval for providers."""
    optimistic_provide: bool = False
    """Announce to peers that are near enough while the lookup still runs; needs an estimate of the network's size."""
    is_cached: bool = True
    """Whether lookups begin where an earlier one of the same key ended."""
    namespaces: bool = False
    """Whether keys `/cx/…` lie together and LIST_PREFIX is answered; never on the public network."""
    bulk_lookups: int = 10
    """Lookups at once in the calls for many keys, where keys lie so far apart that each takes its own."""
    bulk_regions: int = 4
    """Regions explored at once in these calls, some ten requests under way for each."""
    bulk_peers: int = 20
    """Peers served at once by the calls for many keys; go-libp2p's value."""
    bulk_requests: int = 16
    """Requests under way to one peer in these calls: they share one stream, and none waits for an answer to be sent."""
    bulk_failures: int = 3
    """Failures in a row after which a peer gets no more of such a call; go-libp2p's value."""

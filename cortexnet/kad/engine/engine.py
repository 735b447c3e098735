"""What every operation of the DHT works with: who we are, whom we know, what we keep, what is under way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.requests import Requests
from cortexnet.kad.engine.timers import Timers
from cortexnet.kad.lookup.density import size_by
from cortexnet.kad.lookup.lookup import LookupConfig
from cortexnet.kad.records import namespaces
from cortexnet.kad.records.provider_store import ProviderStore
from cortexnet.kad.records.records import Validators
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing import key as keys
from cortexnet.kad.routing.cache import RoutingCache
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.network_size import MEASUREMENT_AGE, NetworkSize
from cortexnet.kad.routing.routing_table import RoutingTable

if TYPE_CHECKING:
    from random import Random


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a Dht is told about peers by whoever drives it; the defaults let everything pass, and know nothing."""

    accept: Callable[[Contact], bool] | None = None
    """The query filter: whether a contact that was heard of may be asked."""
    groups_of: Callable[[Contact], Sequence[str]] | None = None
    """The IP groups of a contact that was heard of: of one with too many in an answer nobody is asked."""
    admit: Callable[[Contact], Sequence[str] | None] | None = None
    """The IP groups under which a contact that has answered enters the routing table, by its connections; None as the answer
    keeps it out."""
    keep_addresses: Callable[[Contact], Contact] = lambda contact: contact
    """Takes from what a provider announces the addresses that are of no use here."""
    contact_of: Callable[[PeerId], Contact | None] = lambda peer_id: None
    """Peers that are known besides those of the table, and where they are: FIND_NODE tells of anybody who is known."""
    group_of: Callable[[PeerId], str | None] = lambda peer_id: None
    """The network a peer is connected from (`diversity.group_of`): stores are shared among these."""


@final
@dataclass(slots=True, kw_only=True)
class Engine:
    """The parts of one Dht."""

    own: Callable[[], Contact]
    own_id: PeerId
    config: DhtConfig
    random: "Random"
    table: RoutingTable
    values: ValueStore
    providers: ProviderStore
    validators: Validators
    cache: RoutingCache
    size: NetworkSize
    filters: Filters
    lookup_config: LookupConfig
    requests: Requests = field(default_factory=Requests)
    timers: Timers = field(default_factory=Timers)
    now: float = 0.0
    """The time of the call that is going on."""
    unix_offset: float = 0.0
    """Wall time less `now`."""
    refreshed: dict[int, float] = field(default_factory=dict)
    """When a lookup last ended among those that have so many first bits in common with us."""
    most_near: tuple[int, float] = (0, 0.0)
    """The most peers near a key that `expected_near` has seen lately, and when."""

    def unix(self, now: float) -> float:
        """The wall time at `now`."""
        return now + self.unix_offset

    def position(self, key: bytes) -> int:
        """Where a key lies."""
        return namespaces.position(key) if self.config.namespaces else keys.position(key)

    def network_size(self, now: float) -> float | None:
        """How many peers there are: by many lookups, or while there were too few by the peers near us. None: nothing is known."""
        by_lookups = self.size.estimate(now)
        return self._size_by_table() if by_lookups is None else by_lookups

    def network_size_at_most(self, now: float) -> float | None:
        """The larger one of both guesses: what lookups have shown lags behind by up to 2 hours where the network grows."""
        by_table = self._size_by_table()
        return by_table if by_table is None else max(by_table, self.size.estimate(now) or 0.0)

    def expected_near(self, now: float) -> int:
        """How many peers there are to take a record, k at most: the most that were seen in the last 2 hours, so that a node that
        is cut off does not hold the few that it reaches for the network. To be asked now and then, and before they are told:
        who is out of reach leaves the table."""
        near = min(self.config.k, max(len(self.table), int(self.network_size(now) or 0)))
        most, seen = self.most_near
        if near >= most or now - seen >= MEASUREMENT_AGE:
            self.most_near = near, now
        return self.most_near[0]

    def _size_by_table(self) -> float | None:
        near = self.table.nearest(self.table.own, self.config.k)
        return size_by(self.table.own, near) if len(near) >= self.config.k else None

    def lookup_ended(self, target: int, closest: Sequence[Contact], now: float) -> None:
        """A full lookup has found these: a measurement of the network's size, and a refresh of the bucket of the target."""
        if len(closest) >= self.config.k:
            self.size.track(target, [contact.position for contact in closest], now)
        self.refreshed[min(keys.common_prefix_length(self.table.own, target), self.config.refresh_depth)] = now

"""Who has which content, as providers have told this node; and what this node provides itself.

Memory is bounded whatever comes: see `StoreConfig`. The addresses of a provider are kept once, with its latest announcement.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Final, final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.shares import Shares, oldest
from cortexnet.kad.routing.contact import ENCODED_SIZE_LIMIT, Contact
from cortexnet.kad.store_config import StoreConfig
from cortexnet.multiformats.multiaddr import Multiaddr

PROVIDER_COST: Final = 1_000
"""Bytes of memory that a provider takes, besides three times what its contact takes on the wire; measured."""
RECORD_COST: Final = 260
"""Bytes of memory that a record takes, besides its key; measured."""
EXPIRED_AT_ONCE: Final = 2_000
"""Records that one call of `expire` drops, at 3 µs each."""

_ID_ROOM = 46  # bytes of the longest peer id in a message
_ADDRESS_OVERHEAD = 3  # bytes in front of a long address

Changed = Callable[[bytes, PeerId], None]
"""Called with the key and the provider of a record that came, was renewed, or is gone. Must not raise or change the store."""


@final
@dataclass(frozen=True, slots=True)
class ProviderRecord:
    """One record as it is kept. Times are unix seconds."""

    key: bytes
    contact: Contact
    """The provider, with the addresses of its latest announcement of whatever key."""
    group: str | None
    """The network it was met in."""
    announced: float
    addresses_announced: float


@final
@dataclass(slots=True, eq=False)
class _Provider:
    contact: Contact
    group: str | None
    addresses_announced: float
    cost: int
    records: dict[bytes, float] = field(default_factory=dict)
    """When each key was announced; the longest ago comes first."""


@final
class ProviderStore:
    """Provider records by key. What this node provides is kept besides, outside of the limits, until it is withdrawn.

    `on_change` is called for the records of others, and not by `restore`.
    """

    def __init__(self, config: StoreConfig | None = None) -> None:
        self.config = config or StoreConfig()
        self.on_change: Changed | None = None
        self._own: dict[bytes, None] = {}
        self._providers: dict[PeerId, _Provider] = {}
        self._by_key: dict[bytes, list[_Provider]] = {}  # in the order in which they came
        self._shares = Shares()
        self._count = 0
        self._memory = 0

    def __len__(self) -> int:
        """Records of others, those included that are over and not dropped yet."""
        return self._count

    @property
    def memory(self) -> int:
        """Bytes that the records of others take, as it is estimated."""
        return self._memory

    # --- what this node provides

    def provide(self, key: bytes) -> None:
        """This node has the content, until `withdraw`."""
        self._own[key] = None

    def withdraw(self, key: bytes) -> None:
        """This node has it no more; nothing happens where it had not."""
        self._own.pop(key, None)

    def is_own(self, key: bytes) -> bool:
        """Whether this node provides it."""
        return key in self._own

    # --- what others provide

    def add(self, key: bytes, contact: Contact, unix_now: float, *, group: str | None = None) -> None:
        """A provider has announced itself: its record begins anew, its addresses are these from now on.

        `group` is the network it is met in (`diversity.group_of`), None where there is none to speak of: one network has one
        share of the store. Where the store is full, the oldest record of whoever holds most is dropped, maybe this one.
        """
        self._insert(ProviderRecord(key, contact, group, unix_now, unix_now))
        self._tell(key, contact.peer_id)
        self._make_room()

    def get(self, key: bytes, unix_now: float) -> list[Contact]:
        """Providers of a key, this node left out; without addresses where these were announced too long ago."""
        fresh, reachable = unix_now - self.config.provider_ttl, unix_now - self.config.provider_address_ttl
        return [
            provider.contact if provider.addresses_announced > reachable else Contact(provider.contact.peer_id)
            for provider in self._by_key.get(key, ())
            if provider.records[key] > fresh
        ]

    def expire(self, unix_now: float, limit: int = EXPIRED_AT_ONCE) -> int:
        """Drop records that are over; how many. Where it is `limit`, there may be more."""
        fresh, dropped = unix_now - self.config.provider_ttl, 0
        for provider in list(self._providers.values()):
            first = islice(provider.records.items(), limit - dropped)
            over = [key for key, _ in takewhile(lambda record: record[1] <= fresh, first)]
            for key in over:
                self._drop(provider, key)
            dropped += len(over)
        return dropped

    # --- for whoever keeps it on disk

    def record(self, key: bytes, peer_id: PeerId) -> ProviderRecord | None:
        """The record of a key and a provider."""
        provider = self._providers.get(peer_id)
        announced = None if provider is None else provider.records.get(key)
        if provider is None or announced is None:
            return None
        return ProviderRecord(key, provider.contact, provider.group, announced, provider.addresses_announced)

    def records(self) -> Iterator[ProviderRecord]:
        """All of them, by provider. The store must not change meanwhile."""
        for provider in self._providers.values():
            for key, announced in provider.records.items():
                yield ProviderRecord(key, provider.contact, provider.group, announced, provider.addresses_announced)

    def restore(self, record: ProviderRecord, unix_now: float) -> bool:
        """Take back a record of an earlier run; False where it is over, known newer, or one too many.

        To be called in the order in which they were announced, as far as it is known.
        """
        known = self.record(record.key, record.contact.peer_id)
        if record.announced <= unix_now - self.config.provider_ttl or known is not None:
            return False
        # Where the clock was set back, it lives no longer than it had left.
        announced, addresses_announced = (min(time, unix_now) for time in (record.announced, record.addresses_announced))
        self._insert(replace(record, announced=announced, addresses_announced=addresses_announced))
        self._make_room()
        return self.record(record.key, record.contact.peer_id) is not None

    def _insert(self, record: ProviderRecord) -> None:
        key, contact = record.key, record.contact
        provider = self._providers.get(contact.peer_id)
        if provider is None:
            contact = _lean(contact)
            provider = _Provider(contact, record.group, record.addresses_announced, _cost(contact))
            self._providers[contact.peer_id] = provider
            self._memory += provider.cost
        elif record.addresses_announced >= provider.addresses_announced:
            self._renew(provider, contact, record.addresses_announced)
        if provider.records.pop(key, None) is None:
            self._add_to_key(key, provider)
            self._shares.add(contact.peer_id, record.group, 1)
            self._count += 1
            self._memory += RECORD_COST + len(key)
        provider.records[key] = record.announced

    def _renew(self, provider: _Provider, contact: Contact, announced: float) -> None:
        provider.addresses_announced = announced
        if contact is not provider.contact:
            contact = _lean(contact)
            cost = _cost(contact)
            self._memory += cost - provider.cost
            provider.contact, provider.cost = contact, cost

    def _add_to_key(self, key: bytes, provider: _Provider) -> None:
        providers = self._by_key.setdefault(key, [])
        while len(providers) >= self.config.providers_per_key:
            self._drop(self._surplus(key, providers), key)
            providers = self._by_key.setdefault(key, [])
        providers.append(provider)

    def _surplus(self, key: bytes, providers: list[_Provider]) -> _Provider:
        """Of the network with most providers of this key, or of all such, the one of the later half to come that has announced it
        longest ago. So many who come late push out each other, and who comes now is heard of in any case.
        """
        counts: dict[str | PeerId, int] = {}
        groups = [self._shares.group_of(provider.contact.peer_id) for provider in providers]
        for group in groups:
            counts[group] = counts.get(group, 0) + 1
        most = max(counts.values())
        crowd = [provider for provider, group in zip(providers, groups, strict=True) if counts[group] == most]
        return min(crowd[len(crowd) // 2 :], key=lambda provider: provider.records[key])

    def _make_room(self) -> None:
        while self._count > self.config.providers or self._memory > self.config.providers_memory:
            provider = self._providers[self._shares.heaviest()]
            for key in oldest(provider.records):
                self._drop(provider, key)

    def _drop(self, provider: _Provider, key: bytes) -> None:
        peer_id = provider.contact.peer_id
        del provider.records[key]
        providers = self._by_key[key]
        providers.remove(provider)
        if not providers:
            del self._by_key[key]
        self._shares.remove(peer_id, 1)
        self._count -= 1
        self._memory -= RECORD_COST + len(key)
        if not provider.records:
            del self._providers[peer_id]
            self._memory -= provider.cost
        self._tell(key, peer_id)

    def _tell(self, key: bytes, peer_id: PeerId) -> None:
        if self.on_change is not None:
            self.on_change(key, peer_id)


def _lean(contact: Contact) -> Contact:
    """The contact without the addresses that are never sent."""
    kept, room = list[Multiaddr](), ENCODED_SIZE_LIMIT - _ID_ROOM
    for address in contact.addresses:
        room -= len(bytes(address)) + _ADDRESS_OVERHEAD
        if room < 0:
            return contact.with_addresses(kept)
        kept.append(address)
    return contact


def _cost(contact: Contact) -> int:
    return PROVIDER_COST + 3 * len(contact.framed)

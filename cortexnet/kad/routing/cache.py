"""Neighbourhoods found by earlier lookups: where the next one for the same key, or for one of the same region, begins.

What is cached is never a result: a lookup asks the peers anew, only it begins next to its goal. So an entry that is wrong costs a
few requests, and one that somebody has smuggled in costs no more.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import Prefix

CACHE_LIMIT = 1_000
"""Entries: some 4 MiB with 30 contacts each, most of which are shared."""
CACHE_AGE = 600.0
"""Seconds an entry is used: in that time one peer in a hundred goes, with a half-life of hours."""
NEGATIVE_AGE = 30.0
"""Seconds it is remembered that nobody was found: who is alone now may not be so in a minute."""
HINT_LIMIT = 100
"""Entries that outlive the node."""

_SWEPT = 3  # entries that are too old and leave when one comes: with all at once, one lookup would pay for a thousand
_HOPS_WEIGHT = 0.1  # of the newest lookup in the running mean


@final
@dataclass(frozen=True, slots=True)
class Hint:
    """An entry as it is kept over a restart: the key, and who was nearest to it."""

    key: bytes
    contacts: tuple[Contact, ...]


@final
class _Entry:
    __slots__ = ("contacts", "time")

    def __init__(self, contacts: dict[PeerId, Contact], time: float) -> None:
        self.contacts = contacts
        self.time = time


@final
class RoutingCache:
    """Key or region → the contacts nearest to it; a core. The least recently used entry goes first.

    Those that are too old to be used leave as well. Of the keys that left last HINT_LIMIT are kept aside, for hints.
    """

    def __init__(self, *, limit: int = CACHE_LIMIT, age: float = CACHE_AGE, negative_age: float = NEGATIVE_AGE) -> None:
        self._limit = limit
        self._age = age
        self._negative_age = negative_age
        self._entries: OrderedDict[bytes | Prefix, _Entry] = OrderedDict()
        self._entries_of: dict[PeerId, dict[bytes | Prefix, None]] = {}
        self._left: OrderedDict[bytes, dict[PeerId, Contact]] = OrderedDict()
        self._lengths: dict[int, int] = {}
        self._cold_hops: float | None = None
        self.hits = 0
        """Times something was found."""
        self.misses = 0
        """Times nothing was."""
        self.hops_saved = 0.0
        """Hops that lookups would have taken more, going by the mean of those that began with nothing cached."""

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: bytes | Prefix, closest: Sequence[Contact], now: float) -> None:
        """Remember who is nearest; nobody, if it is so."""
        self._forget(key)
        if self._limit < 1:
            return
        self._sweep(now)
        while len(self._entries) >= self._limit:
            self._retire(next(iter(self._entries)))
        if isinstance(key, bytes):
            self._left.pop(key, None)
        self._entries[key] = _Entry({contact.peer_id: contact for contact in closest}, now)
        for contact in closest:
            self._entries_of.setdefault(contact.peer_id, {})[key] = None
        if isinstance(key, Prefix):
            self._lengths[key.length] = self._lengths.get(key.length, 0) + 1

    def get(self, key: bytes | Prefix, now: float, *, position: int | None = None) -> tuple[Contact, ...] | None:
        """Who was nearest: nobody, if that was the outcome, and None where nothing is known.

        With `position`, where the key lies, the smallest cached region around it serves too.
        """
        entry = self._valid(key, now)
        if entry is None and position is not None:
            entry = self._covering(position, now)
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        return tuple(entry.contacts.values())

    def drop(self, peer_id: PeerId) -> None:
        """The peer could not be reached: it leaves every entry, and entries without anybody else go."""
        for key in self._entries_of.pop(peer_id, {}):
            contacts = self._entries[key].contacts
            del contacts[peer_id]
            if not contacts:
                self._forget(key)
        for contacts in self._left.values():
            contacts.pop(peer_id, None)

    def ended(self, *, is_warm: bool, hops: int) -> None:
        """A lookup has ended that began with something cached, or with nothing: counts `hops_saved`."""
        if not is_warm:
            self._cold_hops = hops if self._cold_hops is None else self._cold_hops + _HOPS_WEIGHT * (hops - self._cold_hops)
        elif self._cold_hops is not None:
            self.hops_saved += max(0.0, self._cold_hops - hops)

    def hints(self, limit: int = HINT_LIMIT) -> list[Hint]:
        """What is worth keeping over a restart: the keys used last, the last one first."""
        entries = ((key, entry.contacts) for key, entry in reversed(self._entries.items()) if isinstance(key, bytes))
        every = (
            Hint(key, tuple(contacts.values())) for key, contacts in chain(entries, reversed(self._left.items())) if contacts
        )
        return list(islice(every, limit))

    def restore(self, hints: Iterable[Hint], now: float) -> None:
        """Take in what an earlier run has kept, in the order of `hints`. Used as long as what was found now."""
        for hint in reversed(list(hints)):
            if hint.key not in self._entries:
                self.put(hint.key, hint.contacts, now)

    def _sweep(self, now: float) -> None:
        """Let some go that are too old: a node that is seldom asked for the same twice would end with a thousand of them."""
        for _ in range(min(_SWEPT, len(self._entries))):
            key, entry = next(iter(self._entries.items()))
            if self._is_fresh(entry, now):
                break
            self._retire(key)

    def _retire(self, key: bytes | Prefix) -> None:
        """Nothing looks for it here any more; a hint may still be made of it."""
        contacts = self._entries[key].contacts
        self._forget(key)
        if contacts and isinstance(key, bytes):
            self._left[key] = contacts
            if len(self._left) > HINT_LIMIT:
                self._left.popitem(last=False)

    def _is_fresh(self, entry: _Entry, now: float) -> bool:
        return now - entry.time < (self._age if entry.contacts else self._negative_age)

    def _valid(self, key: bytes | Prefix, now: float) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not self._is_fresh(entry, now):
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def _covering(self, position: int, now: float) -> _Entry | None:
        for length in sorted(self._lengths, reverse=True):
            entry = self._valid(Prefix.of(position, length), now)
            if entry is not None:
                return entry
        return None

    def _forget(self, key: bytes | Prefix) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        for peer_id in entry.contacts:
            entries = self._entries_of[peer_id]
            del entries[key]
            if not entries:
                del self._entries_of[peer_id]
        if isinstance(key, Prefix):
            self._lengths[key.length] -= 1
            if not self._lengths[key.length]:
                del self._lengths[key.length]

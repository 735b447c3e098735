"""Namespaces: related content in one neighbourhood, so that it can be listed. For networks of our own alone.

A key is `/cx/<bits>/<namespace>/<name>`. The first `bits` bits of its position are those of the namespace, the rest is as of any
key: all names of a namespace lie in one region of the keyspace, spread over its peers. `bits` is a part of the key, chosen by
whoever makes the namespace, so that everybody looks in the same place whatever they think of the size of the network: with 0 the
names are spread over all peers, with 16 over one in 65,536, which are the 20 nearest where there are fewer than that.

A listing explores the region once and asks each of its peers for the names that it holds, page by page (`LIST_PREFIX`).
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol, final

from cortexnet.errors import LimitExceeded, LocalError, ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import BITS, Prefix
from cortexnet.kad.routing.key import position as hashed

HEAD = b"/cx/"
"""What every key of a namespace begins with."""
BITS_LIMIT = 16
"""The most bits of a namespace: one in 65,536 of the peers, so that no network is too small or too large."""
NAMESPACE_SIZE_LIMIT = 128
"""Bytes of a namespace."""

PAGE_NAMES = 1_000
"""Names in a page: what a message holds."""
PAGE_SIZE = 128 * 1024
"""Bytes of names in a page, so that a listing costs a server no more than a large value does."""
NAMES_PER_NAMESPACE = 2_000
"""Names of one namespace that a node holds for others, a fifth of all its values: one namespace shall not push out the rest."""
LISTING_LIMIT = 100_000
"""Names that a listing takes in all, 10 MiB of them."""

_SALT = b"cx-ns:"


@final
@dataclass(frozen=True, slots=True)
class Name:
    """A key of a namespace, taken apart. `name` is empty where the namespace as a whole is meant.

    Raises LocalError for what makes no key.
    """

    bits: int
    namespace: bytes
    name: bytes = b""

    def __post_init__(self) -> None:
        if not 0 <= self.bits <= BITS_LIMIT:
            raise LocalError(f"a namespace has 0 to {BITS_LIMIT} bits, not {self.bits}")
        if not 1 <= len(self.namespace) <= NAMESPACE_SIZE_LIMIT or b"/" in self.namespace:
            raise LocalError(f"a namespace is 1 to {NAMESPACE_SIZE_LIMIT} bytes without a slash, not {self.namespace!r}")

    @classmethod
    def parse(cls, key: bytes) -> "Name":
        """The parts of a key; what follows the third slash is the name, slashes included. Raises ProtocolViolation."""
        parts = key.split(b"/", 4)
        if len(parts) != 5 or not key.startswith(HEAD):
            raise ProtocolViolation(f"{key[:64]!r} is no key of a namespace")
        bits = parts[2]
        if not bits.isdigit() or len(bits) > 2 or str(int(bits)).encode() != bits:
            raise ProtocolViolation(f"{bits[:64]!r} is no number of bits")
        try:
            return cls(int(bits), parts[3], parts[4])
        except LocalError as error:
            raise ProtocolViolation(str(error)) from None

    @property
    def key(self) -> bytes:
        """The key of it; of a whole namespace what its keys begin with."""
        return b"/cx/%d/%b/%b" % (self.bits, self.namespace, self.name)

    @property
    def whole(self) -> "Name":
        """The namespace alone."""
        return Name(self.bits, self.namespace)

    @property
    def region(self) -> Prefix:
        """Where all keys of the namespace lie."""
        return Prefix.of(int.from_bytes(sha256(_SALT + self.namespace).digest(), "big"), self.bits)

    @property
    def position(self) -> int:
        """Where the key lies."""
        rest = BITS - self.bits
        return self.region.bits << rest | hashed(self.key) & (1 << rest) - 1


def position(key: bytes) -> int:
    """Where a key lies that may be one of a namespace; of any other as everywhere, by its hash."""
    if not key.startswith(HEAD):
        return hashed(key)
    try:
        return Name.parse(key).position
    except ProtocolViolation:
        return hashed(key)


class Names(Protocol):
    """A store of values, as far as listing is concerned; `value_store.ValueStore`."""

    def names(self, prefix: bytes, unix_now: float, *, after: bytes = b"", limit: int = PAGE_NAMES) -> list[bytes]:
        """Keys that begin with `prefix`, in order, behind `after`."""

    def count(self, prefix: bytes) -> int:
        """How many keys begin with `prefix`."""


@final
@dataclass(frozen=True, slots=True)
class Page:
    """Keys of a namespace, in order. `cursor` is where to go on; empty: there are no more."""

    names: tuple[bytes, ...]
    cursor: bytes


def page(store: Names, key: bytes, cursor: bytes, unix_now: float) -> Page:
    """What a server answers to LIST_PREFIX. The cursor is the last key sent: nothing is kept for who might never come back.

    Raises ProtocolViolation where `key` is no whole namespace, or the cursor none of its keys.
    """
    name = Name.parse(key)
    if name.name:
        raise ProtocolViolation("a listing of a name, and not of a namespace")
    if cursor and not cursor.startswith(key):
        raise ProtocolViolation("the cursor of a listing is outside of its namespace")
    found = store.names(key, unix_now, after=cursor, limit=PAGE_NAMES + 1)
    taken, room = 0, PAGE_SIZE
    for each in found[:PAGE_NAMES]:
        room -= len(each)
        if room < 0 and taken:
            break
        taken += 1
    return Page(tuple(found[:taken]), found[taken - 1] if taken < len(found) else b"")


def check_quota(store: Names, key: bytes, *, limit: int = NAMES_PER_NAMESPACE) -> None:
    """Whether a new key of a peer's may be stored. Raises LimitExceeded where its namespace has its share already.

    Keys of no namespace always may; keys that are held already need not be asked for. Raises ProtocolViolation where the key
    begins as those of namespaces do, and is none.
    """
    if not key.startswith(HEAD):
        return
    count = store.count(Name.parse(key).whole.key)
    if count >= limit:
        raise LimitExceeded("names of one namespace", limit=limit, value=count + 1, setting="kad.store.names_per_namespace")


@final
class Listing:
    """Collects the names of a namespace from the peers of its region; a core.

    `next` gives whom to ask and from where on, `on_page` and `on_failure` take what comes of it. Names that are not of the
    namespace end their peer's part, as does a page that leads nowhere.
    """

    def __init__(self, name: Name, contacts: Iterable[Contact], *, at_once: int = 10, limit: int = LISTING_LIMIT) -> None:
        self.key = name.whole.key
        """What is asked for."""
        self.requests = 0
        self.is_complete = True
        """Whether every peer has told all it holds, and nothing was over `limit`."""
        self._at_once = at_once
        self._limit = limit
        self._to_ask = deque([(contact, b"") for contact in contacts])
        self._waiting: dict[PeerId, tuple[Contact, bytes]] = {}
        self._names: dict[bytes, None] = {}

    @property
    def is_done(self) -> bool:
        """Whether nobody is left to ask or to wait for."""
        return not (self._to_ask or self._waiting)

    @property
    def names(self) -> list[bytes]:
        """The keys found so far, sorted."""
        return sorted(self._names)

    def next(self) -> list[tuple[Contact, bytes]]:
        """Whom to ask now, each with its cursor."""
        chosen = []
        while self._to_ask and len(self._waiting) < self._at_once:
            contact, cursor = self._to_ask.popleft()
            self._waiting[contact.peer_id] = contact, cursor
            self.requests += 1
            chosen.append((contact, cursor))
        return chosen

    def on_page(self, peer_id: PeerId, names: Sequence[bytes], cursor: bytes) -> list[bytes]:
        """A peer has answered. Returns the keys that are new by it."""
        asked = self._waiting.pop(peer_id, None)
        if asked is None:
            return []
        if not self._is_sound(asked[1], names, cursor):
            self.is_complete = False
            return []
        new = [name for name in names if name not in self._names][: self._limit - len(self._names)]
        self._names.update(dict.fromkeys(new))
        if len(self._names) >= self._limit:
            self._to_ask.clear()
            self.is_complete = False
        elif cursor:
            self._to_ask.append((asked[0], cursor))  # behind the others: nobody fills the limit before they were asked
        return new

    def on_failure(self, peer_id: PeerId) -> None:
        """A peer did not answer. The others hold its names too, as a rule."""
        if self._waiting.pop(peer_id, None) is not None:
            self.is_complete = False

    def _is_sound(self, after: bytes, names: Sequence[bytes], cursor: bytes) -> bool:
        """All of the namespace, in order, and going on: so a peer can't answer for ever."""
        last = after or self.key
        for name in names:
            if not name.startswith(self.key) or name <= last:
                return False
            last = name
        return not cursor or (bool(names) and cursor == last)

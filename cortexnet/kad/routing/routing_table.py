"""The peers a node asks first: many near its own position, ever fewer further away, none given up for a newcomer if it answers.

Buckets are go-libp2p-kbucket's: peers are sorted by how many first bits they share with us, and only the last bucket, that of
all who share so many or more, is split. A bucket that is full takes nobody, unless it holds peers that are replaceable. Memory is
bounded by the keyspace: at most `bucket_size` peers for each of 256 prefix lengths, and in a network of n peers for log2(n).

Spec: libp2p/specs kad-dht, "Kademlia Routing Table".
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.diversity import Diversity
from cortexnet.kad.routing.key import BITS, common_prefix_length

BUCKET_SIZE = 20
"""Peers at one distance, and the k of Kademlia."""
SLOWEST = 60.0
"""Seconds of round trip above which nobody is taken in, as go has it: such a peer outlasts every lookup."""
SILENCE = 43 * 60.0
"""Seconds without an answer after which a peer is to be asked whether it is still there. go's: with a refresh of each bucket each
10 min a peer of a full bucket, asked by chance, was asked once in that time."""

Changed = Callable[[Contact, bool], None]
"""Called with who was added (True) or removed (False), once the table is changed; it must not change the table itself."""


@final
@dataclass(slots=True)
class Entry:
    """One peer of the table. Times are those of the clock that is handed in."""

    contact: Contact
    last_success: float
    """When it last answered us; at first, when it was added."""
    is_replaceable: bool
    groups: tuple[str, ...]


@final
class RoutingTable:
    """Peers by their distance from `own`, a position that nobody else has; a core.

    Whoever calls it decides who is worth to be added: a peer that speaks the protocol as a server and has answered.
    """

    def __init__(
        self,
        own: int,
        *,
        bucket_size: int = BUCKET_SIZE,
        diversity: Diversity | None = None,
        worth: Callable[[PeerId], float] | None = None,
    ) -> None:
        """`worth` says who of a full bucket goes first, of those that are replaceable: it never counts beside distance."""
        self.own = own
        self.bucket_size = bucket_size
        self.on_change: list[Changed] = []
        self._diversity = diversity
        self._worth = worth
        self._entries: dict[PeerId, Entry] = {}
        self._replaceable_count = 0  # mostly none, and then no bucket is searched for one
        self._buckets: list[dict[int, Contact]] = [{}]  # by position: sorting bare numbers takes a third of the time

    # --- what is in it

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, peer_id: PeerId) -> bool:
        return peer_id in self._entries

    def __iter__(self) -> Iterator[Contact]:
        """In the order in which they were added. A change of the table ends the iteration with RuntimeError."""
        return (entry.contact for entry in self._entries.values())

    def get(self, peer_id: PeerId) -> Entry | None:
        """What is known of a peer of the table; not to be changed."""
        return self._entries.get(peer_id)

    def counts(self) -> list[int]:
        """How many peers share exactly 0, 1, 2, … first bits with us, as far as there is one."""
        found = [0] * (1 + max([self._prefix_length(contact) for contact in self], default=-1))
        for contact in self:
            found[self._prefix_length(contact)] += 1
        return found

    def count_at(self, prefix_length: int) -> int:
        """How many peers share exactly so many first bits with us."""
        last = len(self._buckets) - 1
        if prefix_length < last:
            return len(self._buckets[prefix_length])
        return sum(self._prefix_length(contact) == prefix_length for contact in self._buckets[last].values())

    def nearest(self, target: int, count: int = BUCKET_SIZE, exclude: Collection[PeerId] = ()) -> list[Contact]:
        """The `count` peers nearest to a position, the nearest first; fewer where there are not so many. Some 10 µs."""
        found: list[Contact] = []
        for bucket in self._from_nearest(target):
            nearest = map(bucket.__getitem__, sorted(bucket, key=target.__xor__))  # no call of Python's for each contact
            found += [contact for contact in nearest if contact.peer_id not in exclude] if exclude else nearest
            if len(found) >= count:
                break
        return found[:count]

    def _from_nearest(self, target: int) -> Iterator[dict[int, Contact]]:
        """The buckets in the order of their distance from a position; no two of them overlap.

        The peers of bucket i differ from us in bit i, and agree in those before. So where the target differs in bit i too, they
        are nearer to it than all in the buckets behind; where it does not, they are further away than all of those.
        """
        last = len(self._buckets) - 1
        differing = (self.own ^ target) >> (BITS - last)
        for index in range(last):
            if differing >> (last - 1 - index) & 1:
                yield self._buckets[index]
        yield self._buckets[last]
        for index in range(last - 1, -1, -1):
            if not differing >> (last - 1 - index) & 1:
                yield self._buckets[index]

    def due_for_check(self, now: float, silence: float = SILENCE) -> list[Contact]:
        """Peers that have not answered for more than so many seconds, in the order in which they were added."""
        return [entry.contact for entry in self._entries.values() if now - entry.last_success > silence]

    # --- who comes and goes

    def wants(self, contact: Contact, groups: tuple[str, ...] = ()) -> bool:
        """Whether `add` might take a peer, so that it is worth to be asked whether it answers. Nothing changes."""
        if contact.peer_id in self._entries or contact.position == self.own:
            return False
        length = self._prefix_length(contact)
        if self._diversity is not None and not self._diversity.allows(length, groups):
            return False
        index = self._index(length)
        bucket = self._buckets[index]
        if len(bucket) < self.bucket_size or self._replaceable(bucket) is not None:
            return True
        return index == len(self._buckets) - 1 and any(self._prefix_length(other) != length for other in bucket.values())

    def add(
        self,
        contact: Contact,
        now: float,
        *,
        replaceable: bool = False,
        groups: tuple[str, ...] = (),
        rtt: float | None = None,
    ) -> bool:
        """Take a peer in that has just answered; whether it is new in the table. One that is in it already stays as it is.

        `groups` (see `diversity.groups_of`) are of the addresses it is connected from; they count only where the table was made
        with a `Diversity`. `replaceable` lets a later one take its place in a full bucket, until `settle`; of several the
        one of least worth goes, or the longest there. `rtt` is how long its answer took, in seconds.
        """
        if contact.peer_id in self._entries or contact.position == self.own or (rtt is not None and rtt > SLOWEST):
            return False
        length = self._prefix_length(contact)
        if self._diversity is not None and not self._diversity.allows(length, groups):
            return False
        bucket = self._bucket_for(length)
        replaced = None
        if len(bucket) >= self.bucket_size:
            replaced = self._replaceable(bucket)
            if replaced is None:
                return False
            self._take_out(replaced, bucket)
        if self._diversity is not None:
            self._diversity.add(length, groups)
        bucket[contact.position] = contact
        self._entries[contact.peer_id] = Entry(contact, now, replaceable, groups)
        self._replaceable_count += replaceable
        if replaced is not None:
            self._tell(replaced, False)
        self._tell(contact, True)
        return True

    def remove(self, peer_id: PeerId) -> bool:
        """Forget a peer that is gone, has failed, or no longer serves; whether it was there."""
        entry = self._entries.get(peer_id)
        if entry is None:
            return False
        self._take_out(entry.contact, self._buckets[self._index(self._prefix_length(entry.contact))])
        self._merge()
        self._tell(entry.contact, False)
        return True

    def settle(self) -> None:
        """Nobody in the table is replaceable any more."""
        for entry in self._entries.values():
            entry.is_replaceable = False
        self._replaceable_count = 0

    def succeeded(self, peer_id: PeerId, now: float) -> None:
        """A peer has answered us; nothing where it is not in the table."""
        entry = self._entries.get(peer_id)
        if entry is not None:
            entry.last_success = max(entry.last_success, now)

    def update_contact(self, contact: Contact) -> bool:
        """A peer has other addresses now; whether it is in the table. Groups stay those it was added with."""
        entry = self._entries.get(contact.peer_id)
        if entry is None:
            return False
        entry.contact = contact
        self._buckets[self._index(self._prefix_length(contact))][contact.position] = contact
        return True

    # --- buckets

    def _prefix_length(self, contact: Contact) -> int:
        return common_prefix_length(self.own, contact.position)

    def _index(self, prefix_length: int) -> int:
        return min(prefix_length, len(self._buckets) - 1)

    def _bucket_for(self, prefix_length: int) -> dict[int, Contact]:
        """The bucket of a newcomer, once the last one is split where it is that, and full."""
        if prefix_length >= len(self._buckets) - 1:
            while len(self._buckets[-1]) >= self.bucket_size:
                self._split()
        return self._buckets[self._index(prefix_length)]

    def _split(self) -> None:
        length = len(self._buckets) - 1
        whole = self._buckets.pop()
        nearer = {contact.position: contact for contact in whole.values() if self._prefix_length(contact) > length}
        self._buckets += [{position: whole[position] for position in whole if position not in nearer}, nearer]

    def _merge(self) -> None:
        """An empty bucket at the end serves nobody, nor one before the end: the last one stands for both."""
        while len(self._buckets) > 1:
            if not self._buckets[-1]:
                self._buckets.pop()
            elif not self._buckets[-2]:
                del self._buckets[-2]
            else:
                return

    def _replaceable(self, bucket: dict[int, Contact]) -> Contact | None:
        if not self._replaceable_count:
            return None
        replaceable = [contact for contact in bucket.values() if self._entries[contact.peer_id].is_replaceable]
        worth = self._worth
        if worth is None or len(replaceable) < 2:
            return replaceable[0] if replaceable else None
        return min(replaceable, key=lambda contact: worth(contact.peer_id))

    def _take_out(self, contact: Contact, bucket: dict[int, Contact]) -> None:
        entry = self._entries.pop(contact.peer_id)
        self._replaceable_count -= entry.is_replaceable
        del bucket[contact.position]
        if self._diversity is not None:
            self._diversity.remove(self._prefix_length(contact), entry.groups)

    def _tell(self, contact: Contact, is_added: bool) -> None:
        for hook in self.on_change:
            hook(contact, is_added)

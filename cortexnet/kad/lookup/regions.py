"""Regions: all peers under a prefix of the keyspace, found with few requests, and the keys that each of them is to hold.

Whoever has a thousand keys to provide or to look for sorts them by region (`regions_of`), explores each region once and gives
each peer all its keys at once (`allocate`). And where the peers nearest to a key seem to be somebody's who made their ids for it,
the region around it is explored (`density`).

Spec: libp2p/specs has none; the sweep of go-libp2p-kad-dht's `provider` explores in this manner.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import log2
from typing import TYPE_CHECKING, final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.lookup.coverage import Coverage, claim
from cortexnet.kad.lookup.hearsay import Hearsay
from cortexnet.kad.lookup.lookup import Lookup, LookupConfig
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import REFRESH_BITS, Prefix, common_prefix_length, position, refresh_key

if TYPE_CHECKING:
    from random import Random

_SEARCHED_BITS = 12  # 2 ms for a key in such a prefix


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorationConfig:
    """The numbers of an exploration. Times are seconds."""

    k: int = 20
    """Peers that the region must have: with fewer it is widened. And what an answer holds."""
    beta: int = 3
    """Peers nearest to a spot that are asked about it: one of three may lie, or know little."""
    spots_at_once: int = 3
    """Spots that are looked into at once."""
    spot_limit: int = 64
    """Spots in all; go-libp2p's value. A region of 30 peers takes 3 to 5."""
    request_limit: int = 400
    """Requests in all, whatever the peers answer."""
    heard_limit: int = 4_000
    """Contacts held."""
    timeout: float = 60.0
    """The whole exploration."""
    slow_after: float = 1.0
    """A request unanswered for so long gives its place to the next candidate, as in a lookup."""
    spot_timeout: float = 20.0
    """One spot."""
    spot_requests: int = 24
    """Requests for one spot: some 4 as a rule."""


@final
@dataclass(frozen=True, slots=True)
class Question:
    """A FIND_NODE: ask `contact` for the nearest to `key`."""

    contact: Contact
    key: bytes


@final
class _Spot:
    """A key somewhere in a gap, and the search for the peers around it."""

    __slots__ = ("claims", "gap", "key", "lookup", "position")

    def __init__(self, gap: Prefix, key: bytes, lookup: Lookup) -> None:
        self.gap = gap
        self.key = key
        self.position = lookup.target
        self.lookup = lookup
        self.claims: dict[PeerId, Prefix | None] = {}


@final
class RegionExploration:
    """Finds the peers under a prefix; a core, driven as a `Lookup` is: `next`, `on_reply`, `on_failure`, `next_timeout`.

    A spot in the region is looked up, and the answers say how far around it they are complete; then one in the largest gap that
    is left, and so on. Where it turns out to have fewer than k peers it is widened: `prefix` gets shorter. `seeds` are contacts
    to begin with, best some of the region or near it. `accept` and `groups_of` are those of a lookup, `accept` for seeds too.
    """

    def __init__(
        self,
        prefix: Prefix,
        seeds: Iterable[Contact],
        *,
        own: PeerId,
        config: ExplorationConfig,
        now: float,
        random: "Random",
        accept: Callable[[Contact], bool] | None = None,
        groups_of: Callable[[Contact], Sequence[Hashable]] | None = None,
    ) -> None:
        self.prefix = prefix
        self.is_done = False
        self.is_complete = True
        """Whether all of the region was covered by answers."""
        self.requests = 0
        self._own = own
        self._config = config
        self._random = random
        self._accept = accept
        self._groups_of = groups_of
        self._deadline = now + config.timeout
        self._seeds = {
            contact.peer_id: contact for contact in seeds if contact.peer_id != own and (accept is None or accept(contact))
        }
        self._hearsay = Hearsay(self._seeds.values(), config.heard_limit)
        self._coverage = Coverage()
        self._spots: list[_Spot] = []
        self._spots_left = config.spot_limit
        self._lookup_config = LookupConfig(
            k=config.beta,
            alpha=config.beta,
            beta=config.beta,
            slow_after=config.slow_after,
            timeout=config.spot_timeout,
            request_limit=config.spot_requests,
        )

    # What is asked.

    def next(self, now: float) -> list[Question]:
        """What to ask now. Ends the exploration where nothing is left to find out."""
        if self.is_done:
            return []
        if now >= self._deadline:
            self.stop()
            return []
        questions: list[Question] = []
        is_moving = True
        while is_moving:
            for spot in list(self._spots):
                questions += [Question(contact, spot.key) for contact in spot.lookup.next(now)]
                if spot.lookup.is_done:
                    self._conclude(spot)
            is_moving = len(self._spots) < self._config.spots_at_once and self._start_spot(now)
        self.requests += len(questions)
        self.is_done = not self._spots
        return questions

    def _start_spot(self, now: float) -> bool:
        gap = self._gap()
        if gap is None:
            return False
        if self._spots_left <= 0 or self.requests >= self._config.request_limit:
            self.is_complete = False
            return False
        self._spots_left -= 1
        key = self._key_in(gap)
        if key is None:
            self._coverage.add(gap)
            return True
        where = position(key)
        lookup = Lookup(
            where,
            self._begin_at(where),
            own=self._own,
            config=self._lookup_config,
            now=now,
            accept=self._accepts,
            groups_of=self._groups_of,
        )
        self._spots.append(_Spot(gap, key, lookup))
        return True

    def _gap(self) -> Prefix | None:
        """The largest gap that nobody looks into; widens the region where it has none left, and too few peers."""
        while True:
            # Where no more than a quarter of a peer is to be expected, nobody is looked for.
            depth = self.prefix.length + max(2.0, log2(4 * max(1, len(self._hearsay.within(self.prefix)))))
            gap = self._coverage.largest_gap(self.prefix, int(depth), [spot.gap for spot in self._spots])
            if gap is not None or self._spots:
                return gap
            if self.prefix.length == 0 or len(self._hearsay.within(self.prefix)) >= self._config.k:
                return None
            self.prefix = self.prefix.parent()

    def _key_in(self, gap: Prefix) -> bytes | None:
        # Anywhere in the gap rather than at a peer, who may have chosen where to be; but a long prefix takes long to be met.
        if gap.length > _SEARCHED_BITS:
            known = self._hearsay.within(gap)
            if known:
                return bytes(known[0].peer_id)
        return refresh_key(gap, self._random) if gap.length <= REFRESH_BITS else None

    def _begin_at(self, where: int) -> list[Contact]:
        """Who is near, and is no hearsay: those that have answered already, and those we began with."""
        known = {**self._seeds, **self._hearsay.answered}
        near = [contact for peer_id, contact in known.items() if peer_id not in self._hearsay.failed]
        return _nearest(near, where, self._config.k // 2)

    def _accepts(self, contact: Contact) -> bool:
        return contact.peer_id not in self._hearsay.failed and (self._accept is None or self._accept(contact))

    # What comes of it.

    def on_reply(self, peer_id: PeerId, key: bytes, closer: Sequence[Contact], now: float) -> None:
        """A question that `next` gave was answered, in time or late."""
        spot = self._spot_of(peer_id, key)
        if spot is None:
            return
        named = spot.lookup.on_reply(peer_id, closer, now)
        taken = [contact for contact in closer[: self._lookup_config.closer_limit] if contact.peer_id != self._own]
        spot.claims[peer_id] = claim(spot.position, [contact.position for contact in taken], self._config.k)
        new = {contact.peer_id for contact in named}
        self._hearsay.tell(peer_id, [c for c in taken if c.peer_id in new or c.peer_id in self._hearsay], self.prefix)

    def on_failure(self, peer_id: PeerId, key: bytes, now: float) -> None:
        """A question that `next` gave has no answer."""
        spot = self._spot_of(peer_id, key)
        if spot is not None:
            spot.lookup.on_failure(peer_id, now)
            self._hearsay.fail(peer_id)

    def _spot_of(self, peer_id: PeerId, key: bytes) -> _Spot | None:
        return next((spot for spot in self._spots if spot.key == key and peer_id in spot.lookup.in_flight), None)

    def _conclude(self, spot: _Spot) -> None:
        """How far around the spot everybody is known: the middle of what its nearest peers claim."""
        self._spots.remove(spot)
        nearest = [contact.peer_id for contact in spot.lookup.answered[: self._config.beta]]
        if not nearest:
            self.is_complete = False
            self._coverage.add(spot.gap)  # nobody answers: there is no use in asking again
            return
        claims = [found for peer_id in nearest if (found := spot.claims[peer_id]) is not None]
        if claims:
            claims.sort(key=lambda prefix: prefix.length)
            self._coverage.add(claims[len(claims) // 2])
        elif len(self._hearsay) < self._config.k:
            self._coverage.add(Prefix(0, 0))  # there are no more in all the network
        else:
            self._coverage.add(self._around(spot))

    def _around(self, spot: _Spot) -> Prefix:
        """No more than where those are who would not tell."""
        nearest = spot.lookup.answered[: self._config.beta]
        farthest = max(contact.position ^ spot.position for contact in nearest)
        return Prefix.of(spot.position, max(common_prefix_length(farthest, 0), spot.gap.length + 1))

    def stop(self) -> None:
        """End it now, with what is known."""
        if not self.is_done:
            self.is_done = True
            self.is_complete = False
            self._spots.clear()

    def next_timeout(self) -> float | None:
        """When `next` must be called, if nothing happens before; None once it is done."""
        if self.is_done:
            return None
        dues = [spot.lookup.next_timeout() for spot in self._spots]
        return min([self._deadline, *(due for due in dues if due is not None)])

    @property
    def contacts(self) -> list[Contact]:
        """The peers of the region: all that have answered or that somebody names who is to be believed, and none that has failed.

        Where it could not be widened enough they are all that were found.
        """
        return self._hearsay.credible(self.prefix)


def prefix_length(size: float, k: int = 20) -> int:
    """The longest prefix under which at least k of so many peers are to be expected; less than 2 k are."""
    return max(0, int(log2(size / k))) if size > k else 0


def regions_of(keys: Mapping[bytes, int], size: float, k: int = 20) -> dict[Prefix, list[bytes]]:
    """Keys, given with their positions, by the region that each lies in; in the order of the keyspace."""
    length = prefix_length(size, k)
    regions: dict[Prefix, list[bytes]] = {}
    for key, where in sorted(keys.items(), key=lambda item: item[1]):
        regions.setdefault(Prefix.of(where, length), []).append(key)
    return regions


def allocate(keys: Mapping[bytes, int], contacts: Sequence[Contact], k: int = 20) -> dict[Contact, list[bytes]]:
    """To each contact the keys, given with their positions, of which it is one of the k nearest; to none none."""
    shares: dict[Contact, list[bytes]] = {}
    for key, where in keys.items():
        for contact in _nearest(contacts, where, k):
            shares.setdefault(contact, []).append(key)
    return shares


def _nearest(contacts: Sequence[Contact], where: int, k: int) -> list[Contact]:
    return nsmallest(k, contacts, key=lambda contact: contact.position ^ where)

"""Whom a lookup has heard of, sorted by distance, and how far it trusts those that told.

What a peer tells may be invented. So of the contacts that one peer alone has named, only a few are asked at first: more with each
that answers, fewer with each that does not, and none for now where that leads below one. Honest peers never notice; a liar
with forty invented contacts costs four requests and not forty.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import final

from cortexnet.kad.routing.contact import Contact

HEARD, WAITING, SLOW, ANSWERED, UNREACHABLE = range(5)
"""Of a candidate: not asked yet; asked; asked so long ago that its place went to another; answered; failed."""

FIRST_CREDIT = 4
"""Contacts of one teller asked at a time before any of them has answered: with half of all contacts dead, four failures in a row
are a matter of one in sixteen, and what they hold back is most often named by others as well."""
_CREDIT_OF_ANSWER = 2  # so a teller keeps its credit where two thirds of its contacts are dead
_TELLERS_KEPT = 4
_ADDRESS_LIMIT = 16


@final
class Candidate:
    """One contact of a lookup, and what came of those it told us of."""

    __slots__ = ("_credit", "_told_waiting", "asked_at", "contact", "depth", "distance", "state", "tellers")

    def __init__(self, contact: Contact, distance: int, teller: "Candidate | None") -> None:
        self.contact = contact
        self.distance = distance
        self.state = HEARD
        self.asked_at = 0.0
        self.tellers: list[Candidate] = [] if teller is None else [teller]
        self.depth: int = 1 if teller is None else teller.depth + 1
        self._credit = FIRST_CREDIT
        self._told_waiting = 0

    @property
    def is_doubtful(self) -> bool:
        """Whether nobody names it whose other contacts were any good. Those we began with are never doubtful."""
        for teller in self.tellers:  # for a lookup looks at a hundred each time, and `all` takes three times as long
            if teller._credit > 0:
                return False
        return bool(self.tellers)

    @property
    def may_be_asked(self) -> bool:
        """Whether a teller has credit left for one more request."""
        for teller in self.tellers:
            if teller._told_waiting < teller._credit:
                return True
        return not self.tellers

    def named_again(self, contact: Contact, teller: "Candidate") -> None:
        """Somebody else names it too, before it was asked: addresses and trust add up, and the way to it is the shorter one."""
        if not self.tellers or teller in self.tellers:
            return
        is_shorter = teller.depth + 1 < self.depth
        self.tellers.insert(0 if is_shorter else len(self.tellers), teller)
        del self.tellers[_TELLERS_KEPT:]
        self.depth = min(self.depth, teller.depth + 1)
        if contact is not self.contact and contact.addresses != self.contact.addresses:
            addresses = tuple(dict.fromkeys(self.contact.addresses + contact.addresses))
            self.contact = Contact(contact.peer_id, addresses[:_ADDRESS_LIMIT])

    def ask(self, now: float) -> None:
        self.state, self.asked_at = WAITING, now
        for teller in self.tellers:
            teller._told_waiting += 1

    def grow_slow(self) -> None:
        self._leave_waiting(SLOW, -1)

    def answer(self) -> None:
        # What it cost its tellers to be slow is given back.
        self._leave_waiting(ANSWERED, _CREDIT_OF_ANSWER + (1 if self.state == SLOW else 0))

    def fail(self) -> None:
        self._leave_waiting(UNREACHABLE, 0 if self.state == SLOW else -1)

    def _leave_waiting(self, state: int, credit: int) -> None:
        for teller in self.tellers:
            teller._credit += credit
            if self.state == WAITING:
                teller._told_waiting -= 1
        self.state = state


@final
class Candidates:
    """The candidates of one lookup, nearest first. Above `limit` the farthest that was not asked is forgotten."""

    __slots__ = ("_by_position", "_distances", "_limit", "_order", "_target")

    def __init__(self, target: int, limit: int) -> None:
        self._target = target
        self._limit = limit
        self._by_position: dict[int, Candidate] = {}  # numbers are found faster than ids
        self._order: list[Candidate] = []
        self._distances: list[int] = []  # of these: bare numbers are searched several times faster

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def hear(self, contacts: Iterable[Contact], teller: Candidate | None) -> list[Contact]:
        """Take contacts in; those of them that are new."""
        by_position = self._by_position
        new: list[Contact] = []
        for contact in contacts:
            known = by_position.get(contact.position)
            if known is None:
                if self._add(contact, teller):
                    new.append(contact)
            elif known.state == HEARD and teller is not None:
                known.named_again(contact, teller)
        return new

    def _add(self, contact: Contact, teller: Candidate | None) -> bool:
        """Whether it is not the farthest of too many."""
        candidate = Candidate(contact, contact.position ^ self._target, teller)
        self._by_position[contact.position] = candidate
        index = bisect_right(self._distances, candidate.distance)
        self._distances.insert(index, candidate.distance)
        self._order.insert(index, candidate)
        if len(self._order) > self._limit:
            self._forget_farthest()
        return contact.position in self._by_position

    def _forget_farthest(self) -> None:
        # There is one: that which has just come.
        index = next(index for index in range(len(self._order) - 1, -1, -1) if self._order[index].state == HEARD)
        del self._by_position[self._order.pop(index).contact.position], self._distances[index]

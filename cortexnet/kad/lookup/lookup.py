"""The lookup: from the contacts we have to the k closest to a position, asking those in between.

Whoever drives one sends what `next` gives, tells it each answer and each failure, and calls `next` then and at `next_timeout`:

    lookup = Lookup(target, table.nearest(target), own=own_id, config=config, now=now)
    while not lookup.is_done:
        for contact in lookup.next(now): ...            # send each the request
        ...                                             # on_reply, on_failure, or the time of next_timeout

It goes on as go-libp2p's does: `alpha` requests at once, always to the closest, until the `beta` closest have answered; then the
rest of the `k` closest at once. Unlike there, whoever is found closer in that last step is asked as well, whoever fails then is
replaced, a request that is not answered for a second gives up its place, and contacts that a liar invents are left for last.

Spec: libp2p/specs kad-dht, "Peer routing".
"""

from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.lookup.candidates import ANSWERED, HEARD, SLOW, UNREACHABLE, WAITING, Candidate, Candidates
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import position

_OVERDUE = 4.0  # times what half of the answers took


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LookupConfig:
    """The numbers of a lookup. Times are seconds."""

    k: int = 20
    """How many closest are looked for; everybody's value."""
    alpha: int = 10
    """Requests at once; go-libp2p's value."""
    beta: int = 3
    """With so many of the closest answered, the rest of the `k` is asked at once; go-libp2p's value."""
    slow_after: float = 1.0
    """A request unanswered for so long gives its place to the next candidate: most peers answer in a third of it."""
    patience: float = 2.5
    """The end waits for a slow peer up to so many times what nine of ten answers took, where that is above `slow_after`: where
    peers are all over the world one in a hundred takes so long, and on a link through a satellite everybody is slow."""
    patience_limit: float = 10.0
    """And at most so long; what a request is given in go-libp2p."""
    timeout: float = 60.0
    """The whole lookup, whatever the peers answer."""
    request_limit: int = 200
    """Requests of it, whatever the peers answer: an honest network of millions takes 40."""
    heard_limit: int = 1_000
    """Contacts held. Those beyond it are the farthest, and never asked in `request_limit` requests."""
    closer_limit: int = 40
    """Contacts taken from one answer: twice what an honest one has; go-libp2p's value."""
    group_limit: int = 3
    """Contacts of one IP group in an answer; of a group with more, none is taken. go-libp2p's value."""


@final
class Lookup:
    """One lookup; a core.

    `target` is a position. `seeds` are where it begins, trusted as our own routing table is. `accept` says which contacts may be
    asked, `groups_of` in which IP groups one is (none: not limited); one at the target itself is taken anyway.
    """

    def __init__(
        self,
        target: int,
        seeds: Iterable[Contact],
        *,
        own: PeerId,
        config: LookupConfig,
        now: float,
        accept: Callable[[Contact], bool] | None = None,
        groups_of: Callable[[Contact], Sequence[Hashable]] | None = None,
    ) -> None:
        self.target = target
        self.is_done = False
        self.asked = 0
        """Requests so far."""
        self.hops = 0
        """The longest chain of requests that each became possible by the answer to the one before."""
        self.is_cut_short = False
        """Whether it ended by `timeout`, `request_limit` or `stop`, and the closest may be others."""
        self._own = position(bytes(own))  # numbers are compared many times faster than ids
        self._config = config
        self._accept = accept
        self._groups_of = groups_of
        self._candidates = Candidates(target, config.heard_limit)
        self._waiting: dict[PeerId, Candidate] = {}
        self._slow: dict[PeerId, Candidate] = {}
        self._now = now
        self._deadline = now + config.timeout
        self._answer_times: list[float] = []
        self._answered = 0
        self._spare = config.k
        self._candidates.hear([contact for contact in seeds if contact.peer_id != own], None)

    # What is asked.

    def next(self, now: float) -> list[Contact]:
        """Those to be asked now. Ends the lookup where nobody is left to ask or to wait for."""
        if self.is_done:
            return []
        self._now = now
        if now >= self._deadline:
            self.stop()
            return []
        self._age(now)
        chosen, is_open = self._choose(now)
        if not chosen and not is_open:
            chosen = self._choose_doubtful(now)
            if not chosen:
                self.is_done = True
                self.is_cut_short = self.asked >= self._config.request_limit
        return [candidate.contact for candidate in chosen]

    def _choose(self, now: float) -> tuple[list[Candidate], bool]:
        """From the nearest on, until k stand firm: ask whom there is room for. And whether something is still open."""
        config = self._config
        chosen: list[Candidate] = []
        firm, is_open, are_closest_answered = 0.0, False, True
        # Where many fail, more than k are asked at once: else each that stays silent costs a second, one after the other.
        reliability, overdue_after = self._reliability(), self._overdue_after()
        for candidate in self._candidates:
            state = candidate.state
            if state == ANSWERED:
                firm += 1.0
                if firm >= config.k:
                    break
                continue
            if state == HEARD:
                if candidate.is_doubtful or self.asked >= config.request_limit:
                    continue
                is_open = True
                if not candidate.may_be_asked:
                    continue
                limit = config.k / reliability if are_closest_answered and firm >= config.beta else config.alpha
                if len(self._waiting) < limit:
                    self._ask(candidate, now)
                    chosen.append(candidate)
            elif state == SLOW:
                is_open = is_open or now < candidate.asked_at + self._patience()
                continue
            elif state == UNREACHABLE:
                continue
            else:  # waiting
                is_open = True
                if now >= candidate.asked_at + overdue_after:
                    continue
            if firm < config.beta:
                are_closest_answered = False
            firm += reliability
            if firm >= config.k:
                break
        return chosen, is_open

    def _reliability(self) -> float:
        """The share of requests that are answered, as far as can be told by now."""
        failed = self.asked - self._answered - len(self._waiting)
        return (self._answered + 1) / (self._answered + failed + 1)

    def _choose_doubtful(self, now: float) -> list[Candidate]:
        """Fewer than k have answered, and only doubtful contacts are left: try some of these too."""
        room = min(self._config.alpha, self._spare, self._config.request_limit - self.asked)
        if room <= 0 or self._answered >= self._config.k:
            return []
        chosen = [candidate for candidate in self._candidates if candidate.state == HEARD][:room]
        self._spare -= len(chosen)
        for candidate in chosen:
            self._ask(candidate, now)
        return chosen

    def _ask(self, candidate: Candidate, now: float) -> None:
        candidate.ask(now)
        self._waiting[candidate.contact.peer_id] = candidate
        self.asked += 1
        self.hops = max(self.hops, candidate.depth)

    # What comes of it.

    def on_reply(self, peer_id: PeerId, closer: Sequence[Contact], now: float) -> list[Contact]:
        """A peer that `next` gave has answered, in time or late. Returns the contacts that are new by it.

        Changes nothing where the lookup is over or did not ask that peer.
        """
        candidate = self._take(peer_id)
        if candidate is None:
            return []
        insort(self._answer_times, now - candidate.asked_at)
        candidate.answer()
        self._answered += 1
        return self._candidates.hear(self._acceptable(closer), candidate)

    def on_failure(self, peer_id: PeerId, now: float) -> None:
        """A peer that `next` gave could not be reached, did not answer, or answered with something that is none."""
        candidate = self._take(peer_id)
        if candidate is not None:
            candidate.fail()

    def _take(self, peer_id: PeerId) -> Candidate | None:
        if self.is_done:
            return None
        return self._waiting.pop(peer_id, None) or self._slow.pop(peer_id, None)

    def _acceptable(self, closer: Sequence[Contact]) -> list[Contact]:
        own, target, accept = self._own, self.target, self._accept
        taken = [contact for contact in closer[: self._config.closer_limit] if contact.position != own]
        crowd = self._crowd(taken)
        if crowd:
            taken = [contact for contact in taken if contact.peer_id not in crowd or contact.position == target]
        if accept is not None:
            taken = [contact for contact in taken if contact.position == target or accept(contact)]
        return taken

    def _crowd(self, contacts: Sequence[Contact]) -> Collection[PeerId]:
        """Those in an IP group with too many of these."""
        groups_of, limit = self._groups_of, self._config.group_limit
        if groups_of is None:
            return ()
        groups = [groups_of(contact) for contact in contacts]
        names = [name for each in groups for name in each]
        if len(names) - len(set(names)) < limit:
            return ()  # nearly always: no name can be there more often than that
        counts = Counter([name for each in groups for name in dict.fromkeys(each)])
        return {
            contact.peer_id for contact, each in zip(contacts, groups, strict=True) if any(counts[name] > limit for name in each)
        }

    def stop(self) -> None:
        """End it now, with what is known."""
        if not self.is_done:
            self.is_done = self.is_cut_short = True

    # Time.

    def next_timeout(self) -> float | None:
        """When `next` must be called, if nothing happens before; None once it is done."""
        if self.is_done:
            return None
        due = self._deadline
        overdue_after, slow_after = self._overdue_after(), self._config.slow_after
        for candidate in self._waiting.values():  # in the order in which they were asked
            overdue = candidate.asked_at + overdue_after
            if overdue > self._now:
                due = min(due, overdue)
                break
            due = min(due, candidate.asked_at + slow_after)
        if not self._slow:
            return due
        patience = self._patience()
        ends = [candidate.asked_at + patience for candidate in self._slow.values()]
        return min([due, *(end for end in ends if end > self._now)])

    def _age(self, now: float) -> None:
        waiting, slow_after = self._waiting, self._config.slow_after
        while waiting:
            peer_id, candidate = next(iter(waiting.items()))  # who was asked first
            if now < candidate.asked_at + slow_after:
                return
            candidate.grow_slow()
            self._slow[peer_id] = waiting.pop(peer_id)

    def _patience(self) -> float:
        """How long after its request a peer may still be expected to answer, by what the others took."""
        config, times = self._config, self._answer_times
        usual = config.patience * times[len(times) * 9 // 10] if times else config.patience_limit
        return min(max(usual, config.slow_after), config.patience_limit)

    def _overdue_after(self) -> float:
        """How long after its request a peer is no longer relied upon: it has its place yet, but others are asked besides."""
        config, times = self._config, self._answer_times
        if not times:
            return config.slow_after
        return min(config.slow_after, max(config.slow_after / 8, _OVERDUE * times[len(times) // 2]))

    # What is known.

    @property
    def closest(self) -> list[Contact]:
        """The k closest that have answered; filled up, where those are fewer, with the closest that still may."""
        found = self._in_states(ANSWERED)[: self._config.k]
        if len(found) < self._config.k:
            may_answer = (HEARD, WAITING) if found else (HEARD, WAITING, SLOW)
            rest = [candidate for candidate in self._in_states(*may_answer) if not candidate.is_doubtful]
            found += rest[: self._config.k - len(found)]
            found.sort(key=lambda candidate: candidate.distance)
        return [candidate.contact for candidate in found]

    @property
    def answered(self) -> list[Contact]:
        """All that have answered, closest first."""
        return [candidate.contact for candidate in self._in_states(ANSWERED)]

    @property
    def nearest_heard(self) -> list[Contact]:
        """The k closest that have not failed, asked or not, as of now."""
        found = [candidate for candidate in self._candidates if candidate.state != UNREACHABLE and not candidate.is_doubtful]
        return [candidate.contact for candidate in found[: self._config.k]]

    @property
    def neighbourhood(self) -> list[Contact]:
        """The closest, and some who are said to be next: whoever begins here is asked in place of one who is slow or gone."""
        config, closest = self._config, self.closest
        known = {contact.peer_id: None for contact in closest}
        heard = [
            candidate.contact
            for candidate in self._candidates
            if candidate.state != UNREACHABLE and not candidate.is_doubtful and candidate.contact.peer_id not in known
        ]
        found = closest + heard[: config.alpha]
        return sorted(found, key=lambda contact: contact.position ^ self.target)

    @property
    def best(self) -> int | None:
        """The distance of the closest that has answered."""
        return next((candidate.distance for candidate in self._candidates if candidate.state == ANSWERED), None)

    @property
    def in_flight(self) -> list[PeerId]:
        """Those whose answer is still out: at the end the requests that can be given up."""
        return [*self._waiting, *self._slow]

    def _in_states(self, *states: int) -> list[Candidate]:
        return [candidate for candidate in self._candidates if candidate.state in states]

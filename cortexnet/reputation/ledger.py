"""The ledger of how peers have behaved: counts that fade, and one score made of them. A core; any steady clock will do.

Peers with a bad score have a table of their own: fresh identities cost nothing, and a crowd of them must not make us forget
anybody who has misbehaved. Nobody is blamed here for what others say: who calls has seen it, from a peer that proved its key.
"""

from array import array
from bisect import bisect_left, insort
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, final

from cortexnet.reputation.entry import Entry, Terms, score_of, terms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cortexnet.identity.peer_id import PeerId
    from cortexnet.reputation.config import ReputationConfig

_LOOKED_AT = 16  # entries that are compared where one has to go
_FEW = 3  # peers: of fewer there is no usual response time
_NOTHING = Terms(0.0, 0.0, 0.0, 0.0)


@final
class Ledger:
    """What is remembered of peers. Of one that is not known the score is 0."""

    def __init__(self, config: "ReputationConfig", *, on_change: "Callable[[PeerId], None] | None" = None) -> None:
        self.on_change = on_change
        """Called with each peer whose entry has changed or is gone; must not raise."""
        self._config = config
        self._good: dict[PeerId, Entry] = {}  # the one that changed, or was compared with others, last stands last; so below
        self._bad: dict[PeerId, Entry] = {}
        self._medians = array("f")  # those of all peers that have response times, in order
        self.median: float | None = None
        """The usual response time in seconds: the median of peers' medians; None where fewer than three are known."""

    def __len__(self) -> int:
        return len(self._good) + len(self._bad)

    def __iter__(self) -> "Iterator[PeerId]":
        return iter([*self._bad, *self._good])

    def __contains__(self, peer: "PeerId") -> bool:
        return peer in self._good or peer in self._bad

    def is_bad(self, peer: "PeerId") -> bool:
        """Whether a peer had a score below 0 when something about it changed last."""
        return peer in self._bad

    def entry(self, peer: "PeerId") -> Entry | None:
        """What is remembered of a peer, not to be changed."""
        return self._good.get(peer) or self._bad.get(peer)

    def faded(self, peer: "PeerId", now: float) -> Entry:
        """What is remembered of a peer, as it has faded by now; a copy. Nothing is remembered of who is not known."""
        entry = self.entry(peer)
        if entry is None:
            return Entry(now, now)
        copied = replace(entry)
        copied.fade(now, self._config.half_life)
        return copied

    def quantile(self, peer: "PeerId", q: float) -> float | None:
        """Of the last 100 response times of a peer, in seconds."""
        entry = self.entry(peer)
        return None if entry is None else entry.times.quantile(q)

    def score(self, peer: "PeerId", now: float) -> float:
        """From -100 to 100."""
        entry = self.entry(peer)
        return 0.0 if entry is None else self._score(entry, now)

    def terms(self, peer: "PeerId", now: float) -> Terms:
        """What the score is the sum of."""
        entry = self.entry(peer)
        return _NOTHING if entry is None else terms_of(entry, now, self.median, self._config)

    def recovers_in(self, peer: "PeerId", level: float, now: float, *, limit: float) -> float:
        """Seconds until the score of a peer that does nothing has risen to `level`; at most `limit`."""
        entry = self.entry(peer)
        if entry is None or self._score(entry, now) >= level:
            return 0.0
        low, high = 0.0, limit
        if self._score(entry, now + high) < level:
            return limit
        while high - low > max(1.0, high / 256):
            middle = (low + high) / 2
            if self._score(entry, now + middle) < level:
                low = middle
            else:
                high = middle
        return high

    # --- what has happened -------------------------------------------------------------------------------------------------

    def report(self, peer: "PeerId", now: float, *, success: bool, response_time: float | None = None) -> None:
        """Something asked of the peer went well or not, in so many seconds."""
        entry = self._open(peer, now)
        entry.count(success=success)
        if success:
            entry.last_seen = now
        if response_time is not None:
            times = entry.times
            before = times.median if times.count else None
            times.add(response_time)
            if times.median != before:
                self._moved(before, times.median)
        self._close(peer, entry, now)

    def violation(self, peer: "PeerId", now: float) -> None:
        """The peer sent what no correct peer sends."""
        entry = self._open(peer, now)
        entry.violations = min(entry.violations + 1, self._config.violations_limit)
        entry.last_seen = now
        self._close(peer, entry, now)

    def shared(self, peer: "PeerId", now: float, *, given: float = 0, taken: float = 0) -> None:
        """The peer gave bytes that were asked for, or asked for some."""
        entry = self._open(peer, now)
        entry.given += given
        entry.taken += taken
        entry.last_seen = now
        self._close(peer, entry, now)

    def restore(self, peer: "PeerId", entry: Entry, now: float) -> bool:
        """Take back what an earlier run knew. False, and nothing changed, where it is known already or there is no room."""
        if peer in self:
            return False
        entry.since, entry.last_seen = min(entry.since, now), min(entry.last_seen, now)  # the time of the last run was lost
        self._moved(None, entry.times.quantile(0.5))
        self._settle(peer, entry, now)
        return peer in self

    def forget(self, peer: "PeerId") -> bool:
        """Drop what is known of a peer; False where that is nothing."""
        entry = self._good.pop(peer, None) or self._bad.pop(peer, None)
        if entry is None:
            return False
        self._moved(entry.times.quantile(0.5), None)
        if self.on_change is not None:
            self.on_change(peer)
        return True

    # --- the tables --------------------------------------------------------------------------------------------------------

    def _score(self, entry: Entry, now: float) -> float:
        return score_of(entry, now, self.median, self._config)

    def _open(self, peer: "PeerId", now: float) -> Entry:
        entry = self._good.pop(peer, None) or self._bad.pop(peer, None)
        if entry is None:
            return Entry(now, now)
        entry.fade(now, self._config.half_life)
        return entry

    def _close(self, peer: "PeerId", entry: Entry, now: float) -> None:
        self._settle(peer, entry, now)
        if self.on_change is not None:
            self.on_change(peer)

    def _settle(self, peer: "PeerId", entry: Entry, now: float) -> None:
        """Put an entry where it belongs by its score; who has to go for that, goes."""
        score = score_of(entry, now, self.median, self._config)
        if score < 0 and self._has_room_for_worse(score, now):
            self._bad[peer] = entry
            return
        self._good[peer] = entry
        if len(self._good) > self._config.peers:
            looked_at = list(islice(self._good, _LOOKED_AT))
            least = min(looked_at, key=lambda each: self._score(self._good[each], now))
            for each in looked_at:  # the others have their turn again, or a crowd of strangers would drive out all but these
                self._good[each] = self._good.pop(each)
            self.forget(least)

    def _has_room_for_worse(self, score: float, now: float) -> bool:
        """Whether there is a place for one with this score among the bad, which one that is milder may have had."""
        bad = self._bad
        if len(bad) < self._config.offenders:
            return True
        looked_at = list(islice(bad, _LOOKED_AT))
        mildest = max(looked_at, key=lambda each: self._score(bad[each], now))
        if self._score(bad[mildest], now) <= score:
            for each in looked_at:  # others are looked at next time
                bad[each] = bad.pop(each)
            return False
        self.forget(mildest)
        return True

    def _moved(self, before: float | None, after: float | None) -> None:
        """The median of a peer is another one."""
        medians = self._medians
        if before is not None:
            del medians[bisect_left(medians, before)]
        if after is not None:
            insort(medians, after)
        self.median = medians[len(medians) // 2] if len(medians) >= _FEW else None

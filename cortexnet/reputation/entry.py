"""What is remembered of one peer, how it fades, and what it comes to. A core."""

from dataclasses import dataclass, field
from math import log2
from typing import TYPE_CHECKING, final

from cortexnet.reputation.times import ResponseTimes

if TYPE_CHECKING:
    from cortexnet.reputation.config import ReputationConfig

EVIDENCE_LIMIT = 1000.0
"""Successes and failures that count together: behind more of them, what a peer does now would not show any more."""
_PRIOR = 4.0  # two successes and two failures that nobody has seen: one of either is not the whole truth
_SURE_OF_TIMES = 10  # response times after which the latency has half its weight
_LATENCY_RANGE = 3.0  # powers of two from the median at which all its points are reached
_FREE = 1 << 20  # bytes; who gives or takes less is as good as nobody


@final
@dataclass(slots=True)
class Entry:
    """One row of the ledger. Counts have faded as far as `since`, and are to be taken as they are at another time by `fade`."""

    since: float
    """When the counts below were as they are, by the caller's clock."""
    last_seen: float
    """When the peer last did something, by the same clock."""
    successes: float = 0.0
    failures: float = 0.0
    violations: float = 0.0
    """Things that no correct peer sends."""
    given: float = 0.0
    """Bytes that it gave us and we wanted."""
    taken: float = 0.0
    """Bytes that it asked us for."""
    times: ResponseTimes = field(default_factory=ResponseTimes)

    def fade(self, now: float, half_life: float) -> None:
        """Bring all counts to `now`; a step back in time changes nothing."""
        if now > self.since:
            left = 0.5 ** ((now - self.since) / half_life)
            self.successes *= left
            self.failures *= left
            self.violations *= left
            self.given *= left
            self.taken *= left
            self.since = now

    def count(self, *, success: bool) -> None:
        """One more success or failure; `fade` comes before."""
        if self.successes + self.failures >= EVIDENCE_LIMIT:
            kept = (EVIDENCE_LIMIT - 1) / (self.successes + self.failures)
            self.successes *= kept
            self.failures *= kept
        if success:
            self.successes += 1
        else:
            self.failures += 1


@final
@dataclass(frozen=True, slots=True)
class Terms:
    """What the score of a peer is the sum of."""

    reliability: float
    latency: float
    validity: float
    sharing: float

    @property
    def score(self) -> float:
        """From -100 to 100."""
        return max(-100.0, min(100.0, self.reliability + self.latency + self.validity + self.sharing))


def terms_of(entry: Entry, now: float, median: float | None, config: "ReputationConfig") -> Terms:
    """What an entry comes to at `now`, where `median` is the usual response time in the network."""
    return Terms(*_weighed(entry, now, median, config))


def score_of(entry: Entry, now: float, median: float | None, config: "ReputationConfig") -> float:
    """The score alone, which is asked for at every step of a peer's."""
    reliability, latency, validity, sharing = _weighed(entry, now, median, config)
    score = reliability + latency + validity + sharing
    return score if -100.0 <= score <= 100.0 else max(-100.0, min(100.0, score))


def _weighed(entry: Entry, now: float, median: float | None, config: "ReputationConfig") -> tuple[float, float, float, float]:
    left = 0.5 ** ((now - entry.since) / config.half_life) if now > entry.since else 1.0
    successes, failures = entry.successes * left, entry.failures * left
    reliability = config.reliability_weight * (successes - failures) / (successes + failures + _PRIOR)
    latency = validity = sharing = 0.0
    if median and entry.times.count:
        latency = config.latency_weight * _quickness(entry.times, median)
    if entry.violations:
        validity = -config.violation_cost * min(entry.violations * left, config.violations_limit)
    if entry.given:
        given = entry.given * left
        sharing = config.sharing_weight * given / (given + entry.taken * left + _FREE)
    return reliability, latency, validity, sharing


def _quickness(times: ResponseTimes, median: float) -> float:
    """From -1, slow, to 1."""
    own, count = times.median, times.count
    if own <= 0:
        return 0.0
    quickness = log2(median / own) / _LATENCY_RANGE
    return max(-1.0, min(1.0, quickness)) * count / (count + _SURE_OF_TIMES)

"""Which of several peers to ask, and when to ask a second one too. A core.

Of two peers drawn at random the cheaper one is taken. That comes close to always taking the cheapest, without everybody's load
falling on it at once: of ten peers, the best one is drawn by every fifth choice. The cost of a peer is the time in which it
usually answers, times one more than it has requests of ours in flight, times a penalty for a bad score. Where both of the drawn
are much slower than is usual, another two are drawn, once.

Response times are kept by purpose, since a peer that answers a look-up in a millisecond may take a minute for a job.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.identity.peer_id import PeerId
from cortexnet.reputation.selection_config import SelectionConfig
from cortexnet.reputation.times import ResponseTimes

if TYPE_CHECKING:
    from random import Random

_UNKNOWN = 0.1
"""Seconds that an answer takes where nothing is known of anybody."""
_HALVING = 50.0
"""Points of the score that halve the cost: between best and worst lies a factor of 16."""
_DIAL = 3.0
"""What a dial costs, in answers: TCP, the secure channel and the choice of a protocol are a round trip each."""
_ALIKE = 0.8
"""Only who costs less than so much of the other is taken for the cheaper one: else chance decides, which spreads the load."""
_SLOW = 3.0
"""Times the usual response time: then another pair is drawn."""
_WEIGHT = 0.25
"""Of a response time in the moving average: a peer that becomes slow is seen to be after a few answers."""
_CENSORED = 2.0
"""Times what a peer had taken when nobody waited any more: what it would have taken, on average, where few take very long."""
_FAILURES = 4
"""Failures in a row that are looked at: each doubles the cost."""
_PURPOSES = 64
"""Purposes whose last response times, whoever answered, are remembered."""
_ENOUGH = 8
"""Response times from which on their 95th percentile says something."""
LATE = 0.95
"""Share of a peer's own response times that is exceeded before a second peer is asked."""
_OVER = 1.25
"""By what factor: of a peer whose answers all take the same, every other one is a little later than 95 % of them."""


@final
@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a peer from elsewhere."""

    score: float = 0.0
    """Its reputation, from -100 to 100."""
    in_flight: int = 0
    """Requests that it has of ours."""
    silence: float = 0.0
    """Seconds for which it has not finished any of these."""
    is_connected: bool = True
    response_time: float | None = None
    """Seconds, the median whatever was asked; None: unknown."""


Know = Callable[[PeerId], Standing]


@final
class Selection:
    """`random` draws. At most `config.remembered` response times by peer and purpose, a kibibyte each."""

    def __init__(self, config: SelectionConfig, random: "Random") -> None:
        self._config = config
        self._random = random
        self._known: OrderedDict[tuple[PeerId, str], _Known] = OrderedDict()
        self._all: OrderedDict[str, ResponseTimes] = OrderedDict()
        self._hedges = float(config.hedge_burst)

    def __len__(self) -> int:
        return len(self._known)

    # --- choosing ----------------------------------------------------------------------------------------------------------

    def pick(self, candidates: Sequence[PeerId], n: int, purpose: str, know: Know) -> list[PeerId]:
        """Up to `n` different ones of them, the first choice first; `know` is asked about those that are drawn."""
        left = list(dict.fromkeys(candidates))
        chosen: list[PeerId] = []
        while left and len(chosen) < n:
            place = self._choose(left, purpose, know)
            left[place], left[-1] = left[-1], left[place]
            chosen.append(left.pop())
        return chosen

    def _choose(self, candidates: Sequence[PeerId], purpose: str, know: Know) -> int:
        count = len(candidates)
        if count == 1 or self._random.random() < self._config.exploration:
            return self._random.randrange(count)
        place, cost = self._cheaper(candidates, purpose, know)
        usual = self._usual(purpose)
        if usual is not None and cost > _SLOW * usual:
            other, other_cost = self._cheaper(candidates, purpose, know)
            if other_cost < cost:
                return other
        return place

    def _cheaper(self, candidates: Sequence[PeerId], purpose: str, know: Know) -> tuple[int, float]:
        """Of two that are drawn, the place of one, and its cost."""
        first, second = self._random.sample(range(len(candidates)), 2)
        first_cost = self._cost(candidates[first], purpose, know(candidates[first]))
        second_cost = self._cost(candidates[second], purpose, know(candidates[second]))
        return (second, second_cost) if second_cost < _ALIKE * first_cost else (first, first_cost)

    def _cost(self, peer: PeerId, purpose: str, standing: Standing) -> float:
        known = self._known.get((peer, purpose))
        seconds = standing.response_time if known is None or known.recent is None else known.recent
        if seconds is None:
            seconds = self._usual(purpose) or _UNKNOWN
        cost: float = max(seconds, standing.silence) * (1 + standing.in_flight) * 2.0 ** (-standing.score / _HALVING)
        if known is not None:
            cost *= 2.0 ** min(known.failures, _FAILURES)
        return cost if standing.is_connected else cost * _DIAL

    # --- a second try ------------------------------------------------------------------------------------------------------

    def asked(self) -> None:
        """A request begins that may have a second try."""
        self._hedges = min(self._hedges + self._config.hedges, float(self._config.hedge_burst))

    def take_hedge(self) -> bool:
        """Whether there may be a second try now: then there is one."""
        if self._hedges < 1:
            return False
        self._hedges -= 1
        return True

    def patience(self, peer: PeerId, purpose: str, late: float | None) -> float:
        """Seconds after which a second peer is to be asked: what this one's answers hardly ever take.

        `late` is the 95th percentile of its response times whatever was asked; None: unknown.
        """
        known = self._known.get((peer, purpose))
        if known is not None and known.times.count >= _ENOUGH:
            late = known.times.quantile(LATE)
        return self._config.hedge_default if late is None else max(_OVER * late, self._config.hedge_least)

    # --- how it went -------------------------------------------------------------------------------------------------------

    def answered(self, peer: PeerId, purpose: str, seconds: float) -> None:
        """It took so long."""
        known = self._of(peer, purpose)
        known.failures = 0
        known.took(seconds)
        times = self._all.get(purpose)
        if times is None:
            if len(self._all) >= _PURPOSES:
                self._all.popitem(last=False)
            times = self._all[purpose] = ResponseTimes()
        self._all.move_to_end(purpose)
        times.add(seconds)

    def failed(self, peer: PeerId, purpose: str) -> None:
        """There was no answer."""
        self._of(peer, purpose).failures += 1

    def abandoned(self, peer: PeerId, purpose: str, seconds: float) -> None:
        """It would have taken longer than that, nobody knows how long.

        Left out altogether, a peer that has become slow would never be seen to: somebody else always answers first. So where it
        has taken longer than it usually does, twice as long counts as its time: who has not answered for so long will, on
        average, need about as long again. Where it has not, it says nothing.
        """
        known = self._of(peer, purpose)
        least = self._usual(purpose) if known.recent is None else known.recent
        if least is not None and seconds > least:
            known.took(_CENSORED * seconds)

    def _usual(self, purpose: str) -> float | None:
        """The median of the last answers, whoever gave them."""
        times = self._all.get(purpose)
        return None if times is None else times.quantile(0.5)

    def _of(self, peer: PeerId, purpose: str) -> "_Known":
        known = self._known.get((peer, purpose))
        if known is not None:
            self._known.move_to_end((peer, purpose))
            return known
        if len(self._known) >= self._config.remembered:
            self._known.popitem(last=False)
        known = self._known[peer, purpose] = _Known()
        return known


@final
class _Known:
    """How a peer has answered to one purpose."""

    __slots__ = ("failures", "recent", "times")

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self.recent: float | None = None
        self.times = ResponseTimes()

    def took(self, seconds: float) -> None:
        self.times.add(seconds)
        self.recent = seconds if self.recent is None else self.recent + _WEIGHT * (seconds - self.recent)

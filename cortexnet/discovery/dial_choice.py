"""Whom of the found peers to dial, and whether more are needed at all; a core.

Enough is enough: who has the peers that were asked for dials nobody more, however many are found.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.admission.rate_limit import TokenBucket
from cortexnet.discovery.found import BOOTSTRAP, NAMESPACE, FoundTable, Known
from cortexnet.identity.peer_id import PeerId

if TYPE_CHECKING:
    from random import Random

    from cortexnet.discovery.config import DiscoveryConfig

DIAL_BURST = 16
"""Found peers dialed in no time at all; then `discovery.dial_rate` decides."""
STEADY = 60.0
"""Seconds that a connection must have lasted, not to count as one that failed: its peer may not want us."""
_DOUBLINGS = 16


@final
@dataclass(frozen=True, slots=True)
class Missing:
    """How many peers are too few: of any kind, and of the configured namespace."""

    peers: int
    members: int

    def __bool__(self) -> bool:
        return bool(self.peers or self.members)


@final
class DialChoice:
    """Chooses from a table of found peers, and notes there what came of it. Scores are those of the node's reputation."""

    def __init__(self, table: FoundTable, config: "DiscoveryConfig", random: "Random", now: float) -> None:
        self._table = table
        self._config = config
        self._random = random
        self._rate = TokenBucket(config.dial_rate, DIAL_BURST, now)

    def missing(self, connected: Iterable[tuple[PeerId, bool]], score: Callable[[PeerId], float]) -> Missing:
        """What lacks, given each connected peer and whether we dialed it.

        Peers of low score don't count. Of those that came by themselves only so many count as are half of what is wanted: else
        one attacker with enough identities, by connecting to us, would keep us from looking for others.
        """
        outbound = inbound = members = 0
        for peer, is_outbound in connected:
            if score(peer) < self._config.least_score:
                continue
            if is_outbound:
                outbound += 1
            else:
                inbound += 1
            known = self._table.get(peer)
            members += known is not None and NAMESPACE in known.sources
        wanted = self._config.peers
        peers = wanted - outbound - min(inbound, wanted // 2)
        return Missing(max(0, peers), max(0, wanted - members) if self._config.namespace else 0)

    def choose(
        self, missing: Missing, now: float, *, room: int, is_met: Callable[[PeerId], bool], score: Callable[[PeerId], float]
    ) -> list[Known]:
        """Up to `room` peers to dial now, the best first; the caller says of each what came of it.

        Not those who are met already, who failed lately, or whose score is low. Members of the namespace come first where those
        are missing, then peers of high score, then who failed least; chance decides between equals, so that a crowd of nodes
        does not dial the same few.
        """
        if room <= 0 or not missing:
            return []
        candidates = [known for known in self.waiting(missing, now, is_met=is_met, score=score) if known.due <= now]
        candidates.sort(key=lambda known: self._rank(known, missing, score))
        chosen = []
        for known in candidates[: min(room, missing.peers + missing.members)]:
            if not self._rate.take(now):
                break
            chosen.append(known)
        return chosen

    def waiting(
        self, missing: Missing, now: float, *, is_met: Callable[[PeerId], bool], score: Callable[[PeerId], float]
    ) -> list[Known]:
        """Found peers that would help against what is missing, those included that must wait after a failure."""
        return [
            known
            for known in self._table.fresh(now)
            if (missing.peers or NAMESPACE in known.sources)
            and BOOTSTRAP not in known.sources  # whom the connection manager dials
            and not is_met(known.peer_id)
            and score(known.peer_id) >= self._config.least_score
        ]

    def next_timeout(self, waiting: Iterable[Known], now: float) -> float | None:
        """When one of these may be dialed."""
        due = min((known.due for known in waiting), default=None)
        return None if due is None else max(due, now + self._rate.delay(now))

    def _rank(self, known: Known, missing: Missing, score: Callable[[PeerId], float]) -> tuple[bool, float, int, float]:
        is_wanted_most = bool(missing.members) and NAMESPACE in known.sources
        return (not is_wanted_most, -score(known.peer_id), known.failures, self._random.random())

    def failed(self, known: Known, now: float) -> float:
        """It could not be reached, or did not stay; the seconds for which it is left alone."""
        known.failures += 1
        longest = min(self._config.retry_longest, self._config.retry_first * 2.0 ** min(known.failures - 1, _DOUBLINGS))
        wait = longest * self._random.uniform(0.5, 1.0)
        known.due = now + wait
        return wait

    def forgive(self, now: float) -> None:
        """The network is another one: failures so far say nothing."""
        for known in self._table.fresh(now):
            known.failures, known.due = 0, now

    def lost(self, peer: PeerId, lasted: float, now: float) -> None:
        """Its connection is gone after so many seconds."""
        known = self._table.get(peer)
        if known is None:
            return
        if lasted >= STEADY:
            known.failures = 0
        self.failed(known, now)

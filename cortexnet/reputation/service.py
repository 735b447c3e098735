"""Reputation as a service of the node: told what peers do, and asked what they are worth. A shell."""

import asyncio
import logging
from math import isfinite
from typing import TYPE_CHECKING, final

from cortexnet.errors import LocalError
from cortexnet.reputation.explanation import Explanation
from cortexnet.reputation.ledger import Ledger

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.reputation.config import ReputationConfig

log = logging.getLogger(__name__)


@final
class Reputation:
    """How peers have behaved towards this node. It is this node's own opinion: nobody else is told, and nobody else is asked."""

    def __init__(self, config: "ReputationConfig") -> None:
        self.config = config
        self._ledger = Ledger(config)
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Begin. Waits for nobody."""

    async def close(self) -> None:
        """End."""

    def score(self, peer: "PeerId") -> float:
        """From -100 to 100, 0 for who is not known. Takes about a microsecond."""
        return self._ledger.score(peer, self._loop.time())

    def explain(self, peer: "PeerId") -> Explanation:
        """Why a peer has the score it has; `str` of it is for people."""
        now = self._loop.time()
        terms, entry = self._ledger.terms(peer, now), self._ledger.entry(peer)
        left = 0.0 if entry is None else 0.5 ** (max(0.0, now - entry.since) / self.config.half_life)
        return Explanation(
            peer_id=peer,
            score=terms.score,
            reliability=terms.reliability,
            latency=terms.latency,
            validity=terms.validity,
            sharing=terms.sharing,
            successes=0.0 if entry is None else entry.successes * left,
            failures=0.0 if entry is None else entry.failures * left,
            response_time=self._ledger.quantile(peer, 0.5),
            usual_response_time=self._ledger.median,
            violations=0.0 if entry is None else entry.violations * left,
            given=0.0 if entry is None else entry.given * left,
            taken=0.0 if entry is None else entry.taken * left,
            last_seen=None if entry is None else max(0.0, now - entry.last_seen),
            consequence="",
        )

    def quantile(self, peer: "PeerId", q: float) -> float | None:
        """Of the last 100 response times of a peer, in seconds: 0.5 is the median, 0.95 what hedging waits for; None: unknown."""
        return self._ledger.quantile(peer, q)

    @property
    def median(self) -> float | None:
        """The usual response time in seconds, the median of peers' medians; None where fewer than three are known."""
        return self._ledger.median

    def report(self, peer: "PeerId", success: bool, response_time: float | None = None) -> None:
        """Something asked of the peer went well or not, in so many seconds. For what the application sees itself.

        Raises LocalError for a time that is none.
        """
        if response_time is not None and not (isfinite(response_time) and response_time >= 0):
            raise LocalError(f"a response time is some seconds, not {response_time!r}")
        self._ledger.report(peer, self._loop.time(), success=success, response_time=response_time)

    def violation(self, peer: "PeerId", what: str) -> None:
        """The peer itself sent what no correct peer sends: `what`, in a few words. Never for what another one says of it."""
        log.debug("%s: %s", peer, what, extra={"peer": peer})
        self._ledger.violation(peer, self._loop.time())

    def shared(self, peer: "PeerId", given: int = 0, taken: int = 0) -> None:
        """The peer gave so many bytes that were asked for, or asked for and got so many."""
        self._ledger.shared(peer, self._loop.time(), given=given, taken=taken)

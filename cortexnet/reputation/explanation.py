"""Why a peer has the score it has, for people and programs. A core."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.reputation.ledger import Ledger
    from cortexnet.reputation.standings import Standing


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The score of a peer, the terms it is the sum of, and the counts behind them, as far as they are not forgotten.

    The sum of the terms is cut at -100 and 100. `str` makes lines for people of it.
    """

    peer_id: "PeerId"
    score: float
    reliability: float
    latency: float
    validity: float
    sharing: float
    successes: float
    failures: float
    response_time: float | None
    """The median of its last 100 response times, in seconds."""
    usual_response_time: float | None
    """The median of peers' medians."""
    violations: float
    given: float
    """Bytes that it gave."""
    taken: float
    """Bytes that it asked for."""
    last_seen: float | None
    """Seconds since it last did something; None where nothing is known of it."""
    standing: "Standing"
    """What follows from the score by itself: "refused", its streams, or "denied"; "good" where that is nothing."""

    def __str__(self) -> str:
        if self.last_seen is None:
            return f"{self.peer_id}: score 0, nothing is known of it"
        own, usual = _milliseconds(self.response_time), _milliseconds(self.usual_response_time)
        head = f"{self.peer_id}: score {_points(self.score)}{_CONSEQUENCES[self.standing]}"
        lines = [
            f"reliability {_points(self.reliability)}: {self.successes:.1f} successes, {self.failures:.1f} failures",
            f"latency {_points(self.latency)}: median {own}, in the network {usual}",
            f"validity {_points(self.validity)}: {self.violations:.1f} violations",
            f"sharing {_points(self.sharing)}: gave {self.given:.0f} bytes, took {self.taken:.0f}",
            f"last seen {self.last_seen:.0f} s ago",
        ]
        return "\n  ".join([head, *lines])


def _points(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # the sum makes 0.0 of a -0.0, which reads like a reproach


_CONSEQUENCES: "dict[Standing, str]" = {"good": "", "refused": ", its streams are refused", "denied": ", it is denied"}


def explain(peer: "PeerId", ledger: "Ledger", now: float, standing: "Standing") -> Explanation:
    """What a ledger knows of a peer at `now`."""
    terms, entry = ledger.terms(peer, now), ledger.faded(peer, now)
    return Explanation(
        peer_id=peer,
        score=terms.score,
        reliability=terms.reliability,
        latency=terms.latency,
        validity=terms.validity,
        sharing=terms.sharing,
        successes=entry.successes,
        failures=entry.failures,
        response_time=entry.times.quantile(0.5),
        usual_response_time=ledger.median,
        violations=entry.violations,
        given=entry.given,
        taken=entry.taken,
        last_seen=max(0.0, now - entry.last_seen) if peer in ledger else None,
        standing=standing,
    )


def _milliseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1000:.1f} ms"

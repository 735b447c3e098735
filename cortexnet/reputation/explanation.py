"""Why a peer has the score it has, for people and programs. A core."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId


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
    consequence: str
    """What follows from the score by itself; nothing where that is nothing."""

    def __str__(self) -> str:
        if self.last_seen is None:
            return f"{self.peer_id}: score 0, nothing is known of it"
        own, usual = _milliseconds(self.response_time), _milliseconds(self.usual_response_time)
        head = f"{self.peer_id}: score {self.score:+.1f}{f', {self.consequence}' if self.consequence else ''}"
        lines = [
            f"reliability {self.reliability:+.1f}: {self.successes:.1f} successes, {self.failures:.1f} failures",
            f"latency {self.latency:+.1f}: median {own}, in the network {usual}",
            f"validity {self.validity:+.1f}: {self.violations:.1f} violations",
            f"sharing {self.sharing:+.1f}: gave {self.given:.0f} bytes, took {self.taken:.0f}",
            f"last seen {self.last_seen:.0f} s ago",
        ]
        return "\n  ".join([head, *lines])


def _milliseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds * 1000:.1f} ms"

"""How long messages are under way: distributions, given by what is known of real networks."""

from dataclasses import dataclass
from math import exp, log
from statistics import NormalDist
from typing import Protocol, final

_Z99 = NormalDist().inv_cdf(0.99)


class Latency(Protocol):
    """Seconds from one end to another, in one direction."""

    def quantile(self, share: float) -> float:
        """The latency that this share of all pairs of ends, above 0 and below 1, stays below."""


@final
@dataclass(frozen=True, slots=True)
class Constant:
    """The same everywhere."""

    seconds: float

    def quantile(self, share: float) -> float:
        """It."""
        return self.seconds


@final
@dataclass(frozen=True, slots=True)
class LogNormal:
    """Most are near and some very far, as on the Internet: half of all below `median`, one in a hundred above `p99`."""

    median: float
    p99: float

    def quantile(self, share: float) -> float:
        """By the inverse of the normal distribution."""
        return self.median * exp(log(self.p99 / self.median) / _Z99 * NormalDist().inv_cdf(share))

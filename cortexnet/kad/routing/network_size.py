"""How many peers there are, judged by how near the nearest ones are to keys that were looked up.

In a network of n peers at random positions the i-th nearest to a key is i / (n + 1) of the keyspace away from it, on average. The
model is go-libp2p-kad-dht's (`netsize`), so that thresholds made for it hold here: measurements of one rank are averaged with
weights, and a line through the origin is fitted to the averages.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from operator import mul
from typing import final

from cortexnet.kad.routing.key import BITS, common_prefix_length
from cortexnet.kad.routing.routing_table import RoutingTable

MEASUREMENT_AGE = 2 * 3600.0
"""Seconds for which a lookup counts; go's value."""
MEASUREMENTS_NEEDED = 5
"""Lookups without which nothing is said; go's value."""
MEASUREMENTS_LIMIT = 150
"""Lookups that are kept, the latest; go's value."""

_RECOMPUTED_AFTER = 1.0  # second; it takes 0.4 ms, and every lookup of a busy node brings a measurement
_KEYSPACE = float((1 << BITS) - 1)


@final
@dataclass(frozen=True, slots=True)
class _Measurement:
    time: float
    weight: float
    distances: "array[float]"  # by rank, as shares of the keyspace


@final
class NetworkSize:
    """The estimate of one node; a core. `table` is its routing table, which says how much of a lookup's outcome is trusted."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._measurements: deque[_Measurement] = deque(maxlen=MEASUREMENTS_LIMIT)
        self._estimate: float | None = None
        self._computed: float | None = None

    def track(self, target: int, closest: Sequence[int], now: float) -> bool:
        """Count the outcome of a lookup: positions of the peers nearest to `target`, the nearest first. Whether it counts.

        It does where there are as many as the table has in a bucket, found by a lookup of its own that ran to its end.
        """
        if len(closest) != self._table.bucket_size:
            return False
        distances = array(
            "d", [float(target ^ position) / _KEYSPACE for position in closest]
        )  # a tuple takes three times as much
        self._measurements.append(_Measurement(now, self._weight(target, closest), distances))
        return True

    def estimate(self, now: float) -> float | None:
        """The number of peers, this node not among them; None while fewer than 5 lookups of the last 2 hours count.

        It is made anew at most once a second.
        """
        if self._computed is not None and 0 <= now - self._computed < _RECOMPUTED_AFTER:
            return self._estimate
        while self._measurements and now - self._measurements[0].time >= MEASUREMENT_AGE:
            self._measurements.popleft()
        if len(self._measurements) < MEASUREMENTS_NEEDED:
            self._computed = None
            return None
        self._computed, self._estimate = now, _fit(list(self._measurements))
        return self._estimate

    def _weight(self, target: int, closest: Sequence[int]) -> float:
        """2^-n where n peers are missing in the bucket of the target: we may know too little of the region to judge it."""
        own = self._table.own
        length = common_prefix_length(own, target)
        level = self._table.count_at(length)
        if level < self._table.bucket_size:
            level = max(level, sum(common_prefix_length(own, position) == length for position in closest))
        return 2.0 ** (level - self._table.bucket_size)


def _fit(measurements: Sequence[_Measurement]) -> float | None:
    """The size by which the average distances are explained best; None where all distances are 0.

    As in go the ranks count by how much their distances vary, and all alike where none does: the same lookup again and again.
    """
    weights = [measurement.weight for measurement in measurements]
    whole = sum(weights)
    count = len(measurements)
    averages, deviations = list[float](), list[float]()
    for distances in zip(*[measurement.distances for measurement in measurements], strict=True):
        average = sum(map(mul, weights, distances)) / whole
        squares = sum([weight * (distance - average) ** 2 for weight, distance in zip(weights, distances, strict=True)])
        averages.append(average)
        deviations.append(sqrt(squares / ((count - 1) / count * whole)))
    if not any(deviations):
        deviations = [1.0] * len(averages)
    xy = sum([deviation * rank * average for rank, (deviation, average) in enumerate(zip(deviations, averages, strict=True), 1)])
    xx = sum([deviation * rank * rank for rank, deviation in enumerate(deviations, 1)])
    return xx / xy - 1 if xy else None

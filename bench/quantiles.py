"""Medians and tails, the same for all who are measured."""

import statistics
from collections.abc import Sequence

from bench.half import Figures


def latencies(seconds: Sequence[float]) -> Figures:
    """The median and the 99th percentile of single durations, in microseconds."""
    ordered = sorted(seconds)
    return {"p50": statistics.median(ordered) * 1e6, "p99": ordered[len(ordered) * 99 // 100] * 1e6}

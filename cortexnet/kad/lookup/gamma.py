"""The gamma distribution, for whole shapes: how far away the a-th nearest of many peers at random positions is."""

from math import exp


def gamma_cdf(shape: int, x: float) -> float:
    """The chance that the sum of so many waits of mean 1 is at most x: that a Poisson process has `shape` events by then."""
    if x <= 0:
        return 0.0
    term = exp(-x)
    fewer = term
    for count in range(1, shape):
        term *= x / count
        fewer += term
    return min(1.0, max(0.0, 1.0 - fewer))


def gamma_quantile(shape: int, chance: float) -> float:
    """The x whose `gamma_cdf` is `chance`, which is above 0 and below 1."""
    low, high = 0.0, float(shape)
    while gamma_cdf(shape, high) < chance:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if gamma_cdf(shape, middle) < chance:
            low = middle
        else:
            high = middle
    return high

import math

import pytest

from cortexnet.kad.lookup.gamma import gamma_cdf, gamma_quantile


@pytest.mark.parametrize(
    ("shape", "chance", "x"),
    [
        (20, 0.1, 14.525269),  # half of chi-squared: of 40 degrees of freedom,
        (11, 0.9, 15.406641),  # of 22,
        (1, 0.5, math.log(2)),
        (20, 0.5, 19.667672),
    ],
)
def test_quantiles_are_those_of_the_tables(shape: int, chance: float, x: float) -> None:
    assert gamma_quantile(shape, chance) == pytest.approx(x, rel=1e-5)
    assert gamma_cdf(shape, x) == pytest.approx(chance, abs=1e-6)


def test_the_chance_goes_from_none_to_certain() -> None:
    assert gamma_cdf(20, 0.0) == gamma_cdf(20, -1.0) == 0.0
    assert gamma_cdf(20, 500.0) == 1.0
    assert gamma_quantile(1, 0.9999) == pytest.approx(-math.log(0.0001), rel=1e-6)

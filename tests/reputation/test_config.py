"""Settings of reputation that are none."""

import pytest

from cortexnet import ConfigInvalid
from cortexnet.reputation.config import ReputationConfig


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"half_life": 0}, "half_life"),
        ({"half_life": "1 d"}, "half_life"),
        ({"half_life": float("nan")}, "half_life"),
        ({"downtime_limit": float("inf")}, "downtime_limit"),
        ({"peers": 0}, "peers"),
        ({"peers": 1.5}, "peers"),
        ({"offenders": True}, "offenders"),
        ({"violation_cost": -1.0}, "violation_cost"),
        ({"refuse_below": 0.0}, "refuse_below"),
        ({"refuse_below": -100.5}, "refuse_below"),
        ({"refuse_below": "low"}, "refuse_below"),
        ({"deny_below": -49.0}, "deny_below"),
        ({"reliability_weight": 40.0}, "reliability_weight"),
        ({"newcomer_burst": 0}, "newcomer_burst"),
    ],
    ids=str,
)
def test_a_setting_that_is_none_is_named(settings: dict[str, float], key: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        ReputationConfig(**settings)  # type: ignore[arg-type]
    assert caught.value.key == f"reputation.{key}"


def test_whole_numbers_do_for_times_and_both_thresholds_may_be_one() -> None:
    config = ReputationConfig(half_life=60, refuse_below=-100, deny_below=-100)
    assert config.deny_below == config.refuse_below

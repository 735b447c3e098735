from dataclasses import FrozenInstanceError, fields

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.swarm.limits import Limits


def test_limits_can_not_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Limits().connections = 5  # type: ignore[misc]


def test_a_count_of_zero_is_a_choice() -> None:
    assert Limits(connections_inbound=0).connections_inbound == 0


def test_a_negative_count_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigInvalid, match=r"limits\.dials: must not be negative"):
        Limits(dials=-1)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_must_be_positive_and_finite(seconds: float) -> None:
    with pytest.raises(ConfigInvalid, match=r"limits\.dial_timeout: must be a positive number") as caught:
        Limits(dial_timeout=seconds)
    assert caught.value.key == "limits.dial_timeout"


def test_every_bound_can_be_set_to_a_value_of_its_own() -> None:
    doubled = {field.name: field.default * 2 for field in fields(Limits) if field.default and field.type is not bool}
    assert Limits(**doubled, limit_loopback=True, file_descriptors=64) != Limits()

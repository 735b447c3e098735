from dataclasses import FrozenInstanceError, fields

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import ConfigInvalid


def test_limits_can_not_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Limits().connections = 5  # type: ignore[misc]


def test_a_count_of_zero_is_a_choice() -> None:
    assert Limits(connections_inbound=0).connections_inbound == 0


@pytest.mark.parametrize("count", [-1, 1.5, "5", None, True])
def test_a_count_is_a_whole_number_that_is_not_negative(count: object) -> None:
    with pytest.raises(ConfigInvalid, match=r"^limits\.connections: must (be a whole number|not be negative), but is "):
        Limits(connections=count)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0.0, 0, -1.0, float("inf"), float("nan"), "5", None, True])
def test_a_time_is_positive_and_finite(seconds: object) -> None:
    with pytest.raises(ConfigInvalid, match=r"limits\.dial_timeout: must be a positive number") as caught:
        Limits(dial_timeout=seconds)  # type: ignore[arg-type]
    assert caught.value.key == "limits.dial_timeout"


def test_a_time_may_be_a_whole_number() -> None:
    assert Limits(dial_timeout=15) == Limits()


def test_a_choice_is_true_or_false() -> None:
    with pytest.raises(ConfigInvalid, match=r"limits\.limit_loopback: must be True or False, but is 1"):
        Limits(limit_loopback=1)  # type: ignore[arg-type]


def test_only_what_is_none_by_default_may_be_none() -> None:
    assert Limits(file_descriptors=None).file_descriptors is None
    with pytest.raises(ConfigInvalid, match=r"limits\.file_descriptors: must be a whole number"):
        Limits(file_descriptors="many")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "least"),
    [
        *[(name, 1) for name in ("dials", "dials_per_peer", "streams_outbound_per_connection", "stream_open_rate")],
        *[(name, 1) for name in ("rate_table_size", "ping_queue", "identify_message", "identify_parts", "identify_total")],
        ("stream_window", 262_144),
    ],
)
def test_no_bound_is_so_small_that_a_node_would_stand_still(name: str, least: int) -> None:
    Limits(**{name: least})  # type: ignore[arg-type]
    with pytest.raises(ConfigInvalid, match=rf"limits\.{name}: must be at least {least}, but is {least - 1}"):
        Limits(**{name: least - 1})  # type: ignore[arg-type]


def test_a_window_is_counted_in_32_bits() -> None:
    Limits(stream_window=(1 << 32) - 1)
    with pytest.raises(ConfigInvalid, match=r"limits\.stream_window: must be at most 4294967295"):
        Limits(stream_window=1 << 32)


def test_every_bound_can_be_set_to_a_value_of_its_own() -> None:
    doubled = {field.name: field.default * 2 for field in fields(Limits) if field.default and field.type is not bool}
    assert Limits(**doubled, limit_loopback=True, file_descriptors=64) != Limits()

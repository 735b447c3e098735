"""Settings of the connection manager: defaults that follow the limits, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.limits import Limits
from cortexnet.config import Config
from cortexnet.errors import ConfigInvalid
from cortexnet.swarm.manager_config import ConnectionManagerConfig, Watermarks


@pytest.mark.parametrize(
    ("limits", "low", "high"),
    [
        (Limits(), 160, 192),
        (Limits(connections=1000, connections_inbound=800), 500, 600),
        (Limits(connections_inbound=0), 240, 288),
        (Limits(connections=1), 1, 1),
        (Limits(connections=3), 3, 3),
        (Limits(connections=0), 1, 1),
    ],
)
def test_the_watermarks_follow_the_limits(limits: Limits, low: int, high: int) -> None:
    assert ConnectionManagerConfig().watermarks(limits) == Watermarks(low, high)


def test_one_mark_alone_settles_the_other() -> None:
    assert ConnectionManagerConfig(high=60).watermarks(Limits()) == Watermarks(50, 60)
    assert ConnectionManagerConfig(low=100).watermarks(Limits()) == Watermarks(100, 192)
    assert ConnectionManagerConfig(low=200).watermarks(Limits()) == Watermarks(200, 200)


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_by_themselves_the_watermarks_fit_the_limits(connections: int, inbound: int) -> None:
    marks = ConnectionManagerConfig().watermarks(Limits(connections=connections, connections_inbound=inbound))
    assert 1 <= marks.low <= marks.high <= max(1, connections)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("low", 0),
        ("high", -1),
        ("high", 1.5),
        ("low", True),
        ("grace", -1),
        ("silence", float("inf")),
        ("idle_timeout", float("nan")),
        ("retry_first", 0),
        ("retry_longest", 0.0),
        ("watch_interval", "5"),
        ("grace", True),
        ("best_peers", -1),
        ("best_peers", 1.0),
        ("best_peers", None),
    ],
)
def test_a_setting_that_is_none_is_refused_by_its_name(key: str, value: object) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        ConnectionManagerConfig(**{key: value})  # type: ignore[arg-type]
    assert caught.value.key == f"manager.{key}"


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match=r"manager\.low: must not be above manager\.high, which is 10, but is 11"):
        ConnectionManagerConfig(low=11, high=10)
    with pytest.raises(ConfigInvalid, match=r"manager\.retry_first: must not be above"):
        ConnectionManagerConfig(retry_first=61)


def test_a_watermark_that_is_never_passed_is_refused_with_the_limit() -> None:
    with pytest.raises(ConfigInvalid, match=r"manager\.high: is 385, which limits\.connections, 384"):
        Config(manager=ConnectionManagerConfig(high=385))
    with pytest.raises(ConfigInvalid, match=r"manager\.low: is 400"):
        Config(manager=ConnectionManagerConfig(low=400))
    assert Config(manager=ConnectionManagerConfig(high=384)).manager.high == 384

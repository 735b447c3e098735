"""Which score parameters are taken: what go takes, unless silence in the mesh would go unpunished."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.gossip.score_params import ScoreParams, Thresholds, TopicScoreParams, decay_factor

NAN, INFINITE = float("nan"), float("inf")
TOPIC = TopicScoreParams(mesh_deliveries_weight=-1.0)
PARAMS = ScoreParams(topics={"t": TOPIC})


@pytest.mark.parametrize(
    "wrong",
    [
        {"gossip": 0.1},
        {"gossip": NAN},
        {"gossip": -20.0, "publish": -10.0},
        {"publish": -INFINITE},
        {"publish": -100.0, "graylist": -90.0},
        {"graylist": NAN},
        {"accept_px": -0.1},
        {"accept_px": INFINITE},
        {"opportunistic_graft": -0.1},
        {"opportunistic_graft": True},
    ],
)
def test_thresholds_in_a_wrong_order_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigInvalid, match=r"gossip\.score\.thresholds"):
        Thresholds(**wrong)


def test_thresholds_may_be_equal() -> None:
    Thresholds(gossip=0.0, publish=0.0, graylist=0.0, accept_px=0.0, opportunistic_graft=0.0)
    Thresholds(gossip=-1.0, publish=-1.0, graylist=-1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic_weight": -1.0},
        {"topic_weight": NAN},
        {"time_in_mesh_weight": -1.0},
        {"time_in_mesh_quantum": 0.0},
        {"time_in_mesh_quantum": -1.0},
        {"time_in_mesh_cap": 0.0},
        {"first_deliveries_weight": -1.0},
        {"first_deliveries_decay": 0.0},
        {"first_deliveries_decay": 1.0},
        {"first_deliveries_cap": -1.0},
        {"mesh_deliveries_weight": 1.0},
        {"mesh_deliveries_decay": 2.0},
        {"mesh_deliveries_cap": 19.0},
        {"mesh_deliveries_threshold": 0.0},
        {"mesh_deliveries_window": -1.0},
        {"mesh_deliveries_activation": 0.9},
        {"mesh_failure_weight": 1.0},
        {"mesh_failure_decay": -1.0},
        {"invalid_weight": 1.0},
        {"invalid_decay": NAN},
        {"invalid_decay": "much"},
    ],
)
def test_topic_parameters_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match=f"gossip.score.topics.{next(iter(wrong))}"):
        replace(TOPIC, **wrong)


@pytest.mark.parametrize(
    ("settings", "is_punished"),
    [
        ({}, False),
        ({"mesh_deliveries_weight": -1.0}, True),
        ({"mesh_deliveries_weight": -1.0, "time_in_mesh_weight": 1.0, "time_in_mesh_cap": 399.0}, True),
        ({"mesh_deliveries_weight": -1.0, "time_in_mesh_weight": 1.0, "time_in_mesh_cap": 400.0}, False),
        ({"mesh_deliveries_weight": -1.0, "time_in_mesh_weight": 1.0, "time_in_mesh_cap": 3600.0}, False),  # rust's defaults
        ({"topic_weight": 0.0}, True),
        ({"allow_silence": True}, True),
    ],
)
def test_a_silent_mesh_peer_must_lose_in_the_end(settings: dict[str, Any], is_punished: bool) -> None:
    if is_punished:
        TopicScoreParams(**settings)
    else:
        with pytest.raises(ConfigInvalid, match="silent in the mesh"):
            TopicScoreParams(**settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic_cap": -1.0},
        {"app_weight": NAN},
        {"colocation_weight": 1.0},
        {"colocation_threshold": 0},
        {"colocation_allowed": ["10.0.0.1/8"]},
        {"behaviour_weight": 1.0},
        {"behaviour_threshold": -1.0},
        {"behaviour_decay": 1.0},
        {"decay_interval": 0.5},
        {"decay_to_zero": 0.0},
        {"retain": -1.0},
        {"retained_limit": -1},
        {"seen_ttl": 0.0},
        {"delivery_limit": 0},
    ],
)
def test_parameters_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match=f"gossip.score.{next(iter(wrong))}"):
        replace(PARAMS, **wrong)


def test_loopback_is_allowed_by_default() -> None:
    assert PARAMS.allowed_networks() == (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def test_the_default_decay_of_misbehaviour_takes_ten_minutes() -> None:
    assert PARAMS.behaviour_decay == pytest.approx(decay_factor(600.0), rel=1e-8)


def test_a_decay_takes_an_interval_at_least() -> None:
    assert decay_factor(20.0, 2.0, 0.01) == decay_factor(10.0)
    with pytest.raises(ConfigInvalid, match="at least one interval"):
        decay_factor(0.9)

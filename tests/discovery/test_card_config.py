"""What a node can be told to say, and what not; and how it asks."""

from typing import Any

import pytest

from cortexnet import CardConfig, Config, ConfigInvalid
from cortexnet.identity.card import LIFETIME_LIMIT, CardDetails


def test_by_default_a_node_has_nothing_to_say() -> None:
    assert Config().card == CardConfig()
    assert CardConfig().details.is_blank


def test_what_is_configured_is_what_the_card_says() -> None:
    capabilities, metadata = ["gpu"], {"name": "x"}
    config = CardConfig(capabilities=capabilities, region="u33d", metadata=metadata, limits={"requests/s": 5})
    capabilities.clear()
    metadata.clear()
    said = CardDetails(capabilities=["gpu"], region="u33d", metadata={"name": "x"}, limits={"requests/s": 5})
    assert config.details == said
    assert hash(config) == hash(CardConfig(capabilities=("gpu",), region="u33d"))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"capabilities": ["GPU"]}, "card.capabilities"),
        ({"region": "u33db"}, "card.region"),
        ({"metadata": {"x": 1}}, "card.metadata"),
        ({"limits": {"x": "1"}}, "card.limits"),
        ({"lifetime": 0}, "card.lifetime"),
        ({"lifetime": 1.5}, "card.lifetime"),
        ({"lifetime": LIFETIME_LIMIT + 1}, "card.lifetime"),
        ({"clock_skew": "300"}, "card.clock_skew"),
        ({"clock_skew": float("inf")}, "card.clock_skew"),
        ({"timeout": 0}, "card.timeout"),
        ({"timeout": float("nan")}, "card.timeout"),
        ({"cache_time": True}, "card.cache_time"),
        ({"cache_size": 0}, "card.cache_size"),
        ({"request_rate": -1}, "card.request_rate"),
        ({"request_burst": 1.5}, "card.request_burst"),
        ({"find_peers": None}, "card.find_peers"),
        ({"find_at_once": False}, "card.find_at_once"),
    ],
)
def test_a_setting_that_is_none_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        CardConfig(**settings)
    assert caught.value.key == key


def test_the_longest_lifetime_is_one() -> None:
    assert CardConfig(lifetime=LIFETIME_LIMIT).lifetime == LIFETIME_LIMIT

"""What a node looks for by itself, and what it can't be told to look for."""

from typing import Any

import pytest

from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.errors import ConfigInvalid


def test_by_itself_nothing_is_looked_for() -> None:
    assert DiscoveryConfig().namespace == ""


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"namespace": None}, "discovery.namespace"),
        ({"namespace": "\ud800"}, "discovery.namespace"),
        ({"peers": 0}, "discovery.peers"),
        ({"peers": True}, "discovery.peers"),
        ({"peers": 1.5}, "discovery.peers"),
        ({"interval": 0.5}, "discovery.interval"),
        ({"interval": True}, "discovery.interval"),
        ({"interval": "60"}, "discovery.interval"),
        ({"interval": float("inf")}, "discovery.interval"),
        ({"interval": float("nan")}, "discovery.interval"),
    ],
)
def test_a_setting_that_is_none_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        DiscoveryConfig(**settings)
    assert caught.value.key == key

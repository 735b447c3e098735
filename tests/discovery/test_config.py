"""What a node looks for by itself, and what it can't be told to look for."""

from typing import Any

import pytest

from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.errors import ConfigInvalid


def test_by_itself_no_namespace_is_looked_for_and_peers_are_exchanged() -> None:
    assert DiscoveryConfig().namespace == ""
    assert DiscoveryConfig().exchange
    assert DiscoveryConfig(peers=0, least_score=-100).peers == 0


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"namespace": None}, "discovery.namespace"),
        ({"namespace": "\ud800"}, "discovery.namespace"),
        ({"peers": -1}, "discovery.peers"),
        ({"peers": True}, "discovery.peers"),
        ({"peers": 1.5}, "discovery.peers"),
        ({"interval": 0.5}, "discovery.interval"),
        ({"interval": True}, "discovery.interval"),
        ({"interval": "60"}, "discovery.interval"),
        ({"interval": float("inf")}, "discovery.interval"),
        ({"interval": float("nan")}, "discovery.interval"),
        ({"dials": 0}, "discovery.dials"),
        ({"dial_rate": 0}, "discovery.dial_rate"),
        ({"dial_rate": float("inf")}, "discovery.dial_rate"),
        ({"retry_first": 0.0}, "discovery.retry_first"),
        ({"retry_first": 100.0, "retry_longest": 60.0}, "discovery.retry_first"),
        ({"retry_longest": float("nan")}, "discovery.retry_longest"),
        ({"least_score": 1.0}, "discovery.least_score"),
        ({"least_score": -101.0}, "discovery.least_score"),
        ({"least_score": "low"}, "discovery.least_score"),
        ({"exchange": 1}, "discovery.exchange"),
        ({"exchange_peers": 65}, "discovery.exchange_peers"),
        ({"exchange_asked": 0}, "discovery.exchange_asked"),
        ({"exchange_interval": 0.5}, "discovery.exchange_interval"),
        ({"found_peers": 0}, "discovery.found_peers"),
        ({"found_ttl": None}, "discovery.found_ttl"),
        ({"found_rate": -1.0}, "discovery.found_rate"),
        ({"found_burst": 2.5}, "discovery.found_burst"),
    ],
)
def test_a_setting_that_is_none_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        DiscoveryConfig(**settings)
    assert caught.value.key == key

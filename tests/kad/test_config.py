"""What a node is told about the DHT, and what it can't be told."""

from typing import Any

import pytest

from cortexnet.errors import ConfigInvalid
from cortexnet.kad.config import AMINO_BOOTSTRAP, KadConfig
from cortexnet.kad.dht_config import DhtConfig


class Anything:
    """Takes every value."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None: ...

    def select(self, key: bytes, values: object) -> int:
        return 0


def test_the_default_speaks_what_ipfs_speaks_and_knows_nobody() -> None:
    config = KadConfig()
    assert (config.protocol, config.lan_protocol) == ("/ipfs/kad/1.0.0", "/ipfs/lan/kad/1.0.0")
    assert config.bootstrap == ()


def test_one_switch_joins_the_public_network() -> None:
    assert KadConfig.amino().bootstrap == AMINO_BOOTSTRAP
    assert KadConfig.amino().prefix == "/ipfs"


def test_a_network_of_ones_own_has_its_own_namespaces() -> None:
    validator = Anything()
    given = {"news": validator}
    config = KadConfig(prefix="/cortex", validators=given, dht=DhtConfig(k=8, namespaces=True))
    given.clear()
    assert config.validators == {"news": validator}
    assert config.protocol == "/cortex/kad/1.0.0"


@pytest.mark.parametrize("prefix", ["", "cortex", "/cortex/", "/", "/cor tex", "/cörtex", "/" + "x" * 64, 7, "/a\n"])
def test_a_prefix_is_the_beginning_of_a_protocol_id(prefix: Any) -> None:
    with pytest.raises(ConfigInvalid, match="like /cortex") as caught:
        KadConfig(prefix=prefix)
    assert caught.value.key == "kad.prefix"


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        ({"mode": "leech"}, "kad.mode", "auto, client, server"),
        ({"loopback": 1}, "kad.loopback", "true, false or nothing"),
        ({"lan": "no"}, "kad.lan", "true or false"),
        ({"filter_addresses": 1}, "kad.filter_addresses", "true or false"),
        ({"requests": 0}, "kad.requests", "above 0"),
        ({"requests": True}, "kad.requests", "above 0"),
        ({"requests": "9"}, "kad.requests", "above 0"),
        ({"requests": 1.5}, "kad.requests", "whole number"),
        ({"stream_idle": float("inf")}, "kad.stream_idle", "above 0"),
        ({"dht": DhtConfig(alpha=0)}, "kad.dht.alpha", "above 0"),
        ({"dht": DhtConfig(slow_after=-1.0)}, "kad.dht.slow_after", "above 0"),
        ({"bootstrap": "/ip4/127.0.0.1/tcp/1"}, "kad.bootstrap", "a list"),
        ({"bootstrap": 7}, "kad.bootstrap", "a list"),
        ({"bootstrap": ["nonsense"]}, "kad.bootstrap", "slash"),
        ({"bootstrap": ["/ip4/127.0.0.1/tcp/1"]}, "kad.bootstrap", "names no peer"),
        ({"validators": [1]}, "kad.validators", "for each namespace"),
        ({"validators": {"": Anything()}}, "kad.validators", "no namespace"),
        ({"validators": {"a/b": Anything()}}, "kad.validators", "no namespace"),
        ({"validators": {7: Anything()}}, "kad.validators", "no namespace"),
        ({"validators": {"news": Anything}}, "kad.validators", r"give an object for 'news', such as Anything\(\), not the class"),
        ({"validators": {"news": None}}, "kad.validators", "'news' has to `validate` and to `select`, which a NoneType can't"),
        ({"validators": {"news": print}}, "kad.validators", "'news' has to `validate` and to `select`"),
    ],
)
def test_a_setting_that_is_none_is_named(settings: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says) as caught:
        KadConfig(**settings)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"dht": DhtConfig(k=8)}, "kad.dht.k"),
        ({"dht": DhtConfig(namespaces=True)}, "kad.dht.namespaces"),
        ({"validators": {"news": Anything()}}, "kad.validators"),
    ],
)
def test_on_the_public_prefix_nothing_may_differ_from_everybody(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid, match="prefix of your own") as caught:
        KadConfig(**settings)
    assert caught.value.key == key


def test_validators_of_the_built_in_namespaces_may_be_replaced_everywhere() -> None:
    assert list(KadConfig(validators={"pk": Anything()}).validators) == ["pk"]


def test_a_dnsaddr_may_stand_for_several_nodes() -> None:
    assert KadConfig(bootstrap=["/dnsaddr/bootstrap.example.org"]).bootstrap == ("/dnsaddr/bootstrap.example.org",)

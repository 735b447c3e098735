"""What mDNS can be told, and what not."""

from typing import Any

import pytest

from cortexnet.discovery.mdns_config import MdnsConfig
from cortexnet.errors import ConfigInvalid


def test_by_default_it_is_libp2ps_service_on_all_interfaces() -> None:
    assert (MdnsConfig().service, tuple(MdnsConfig().interfaces)) == ("_p2p._udp", ())


@pytest.mark.parametrize("service", ["loreum-cortex", "_a._b._c", "x", "_P2P._udp", "a" * 63, ".".join(["a" * 42] * 3)])
def test_a_service_has_any_form_that_dns_knows(service: str) -> None:
    assert MdnsConfig(service=service).service == service


def test_interfaces_are_kept_as_they_were() -> None:
    names = ["eth0"]
    config = MdnsConfig(interfaces=names)
    names.append("eth1")
    assert config.interfaces == ("eth0",)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"service": None}, "service"),
        ({"service": ""}, "service"),
        ({"service": "_p2p."}, "service"),
        ({"service": "a..b"}, "service"),
        ({"service": "ä"}, "service"),
        ({"service": "a b"}, "service"),
        ({"service": "a" * 64}, "service"),
        ({"service": ".".join(["a" * 42] * 3) + ".b"}, "service"),
        ({"service": "_p2p._udp.local"}, "service"),
        ({"service": "local"}, "service"),
        ({"interfaces": "eth0"}, "interfaces"),
        ({"interfaces": 1}, "interfaces"),
        ({"interfaces": [""]}, "interfaces"),
        ({"interfaces": [1]}, "interfaces"),
        ({"query_interval": 0.5}, "query_interval"),
        ({"query_interval": float("inf")}, "query_interval"),
        ({"watch_interval": "10"}, "watch_interval"),
        ({"watch_interval": True}, "watch_interval"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": 1.5}, "ttl"),
        ({"ttl": True}, "ttl"),
        ({"ttl": 1 << 31}, "ttl"),
        ({"packet_rate": 0.5}, "packet_rate"),
        ({"source_packet_rate": float("nan")}, "source_packet_rate"),
        ({"peer_rate": None}, "peer_rate"),
    ],
)
def test_a_setting_that_is_none_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        MdnsConfig(**settings)
    assert caught.value.key == f"mdns.{key}"

"""What the machine says about its addresses and descriptors."""

import builtins
from types import SimpleNamespace

import ifaddr
import pytest

from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.interfaces import interface_addresses, process_descriptor_limit, specific_addresses

ADAPTERS = [
    SimpleNamespace(ips=[SimpleNamespace(ip="127.0.0.1"), SimpleNamespace(ip=("::1", 0, 0))]),
    SimpleNamespace(
        ips=[
            SimpleNamespace(ip="192.0.2.7"),
            SimpleNamespace(ip=("2001:db8::7", 0, 0)),
            SimpleNamespace(ip=("fe80::7", 0, 2)),
        ]
    ),
]


@pytest.fixture(autouse=True)
def _two_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: ADAPTERS)


def test_loopback_comes_last_and_link_local_addresses_not_at_all() -> None:
    assert interface_addresses(4) == ["192.0.2.7", "127.0.0.1"]
    assert interface_addresses(6) == ["2001:db8::7", "::1"]


def test_unspecified_addresses_become_those_of_the_interfaces() -> None:
    addresses = [Multiaddr.parse(text) for text in ("/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/2", "/ip4/192.0.2.7/tcp/1", "/memory/3")]
    assert [str(address) for address in specific_addresses(addresses)] == [
        "/ip4/192.0.2.7/tcp/1",
        "/ip4/127.0.0.1/tcp/1",
        "/ip6/2001:db8::7/tcp/2",
        "/ip6/::1/tcp/2",
        "/memory/3",
    ]


def test_the_limit_of_descriptors_is_known_where_the_system_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    assert process_descriptor_limit() == 1_024
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert process_descriptor_limit() is None
    original = builtins.__import__

    def without_resource(name: str, *arguments: object) -> object:
        if name == "resource":
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_resource)
    assert process_descriptor_limit() is None

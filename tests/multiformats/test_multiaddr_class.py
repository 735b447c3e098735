import json
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.multiformats import multiaddr_class
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multiformats.multiaddr_protocols import BY_NAME, IP4, IP6

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "multiaddr.json").read_text("utf-8"))


def class_of(text: str) -> str:
    address = Multiaddr.parse(text)
    assert not (address.is_private and address.is_public)
    return "public" if address.is_public else "private" if address.is_private else "neither"


@pytest.mark.parametrize(("text", "expected"), VECTORS["classes"])
def test_addresses_are_classed_as_go_does(text: str, expected: str) -> None:
    assert class_of(text) == expected


# First and last address of every range, and the neighbours outside.
EDGES = {
    "private": """127.0.0.0 127.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 172.16.0.0 172.31.255.255
        192.168.0.0 192.168.255.255 169.254.0.0 169.254.255.255 ::1 fc00:: fdff:: fe80:: febf::""",
    "neither": """0.0.0.0 0.255.255.255 192.0.0.0 192.0.0.63 192.0.2.0 192.0.2.255 192.88.99.0 192.88.99.255 198.18.0.0
        198.19.255.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255
        :: ::2 ff00:: ff02::1 2001:db8:: 2001:db8:ffff:: 1fff:: 4000:: fec0:: 64:ff9b:0:0:0:1:: 64:ff9b:2:: 64:ff9a::""",
    "public": """1.0.0.0 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0
        172.15.255.255 172.32.0.0 191.255.255.255 192.0.0.64 192.0.1.0 192.0.3.0 192.88.98.0 192.88.100.0 192.167.255.255
        192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.0 198.51.101.0 203.0.112.0 203.0.114.0 223.255.255.255
        2000:: 3fff:: 2001:db7:: 2001:db9:: 64:ff9b:: 64:ff9b::10.0.0.1 64:ff9b:1:: 64:ff9b:1:ffff::""",
}


@pytest.mark.parametrize(("expected", "host"), [(name, host) for name, hosts in EDGES.items() for host in hosts.split()])
def test_ranges_end_where_they_should(expected: str, host: str) -> None:
    assert class_of(f"/ip{6 if ':' in host else 4}/{host}") == expected


@pytest.mark.parametrize(
    ("host", "private", "loopback"), [("127.0.0.1", True, True), ("10.0.0.1", True, False), ("1.1.1.1", False, False)]
)
def test_a_mapped_address_is_private_with_its_ipv4_and_never_public(host: str, private: bool, loopback: bool) -> None:
    address = Multiaddr.parse(f"/ip6/::ffff:{host}")
    assert (address.is_private, address.is_loopback, address.is_public) == (private, loopback, False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost", "private"),
        ("LocalHost.", "private"),
        ("a.b.localhost", "private"),
        ("notlocalhost", "public"),
        ("localhost.example", "public"),
        ("printer.local", "neither"),
        ("local", "neither"),
        ("router.home.arpa", "neither"),
        ("x.test", "neither"),
        ("x.invalid", "neither"),
        ("1.2.0.192.in-addr.arpa", "neither"),
        ("ip6.arpa", "neither"),
        ("arpa", "public"),
        (".", "public"),
    ],
)
@pytest.mark.parametrize("protocol", ["dns", "dns4", "dns6", "dnsaddr"])
def test_special_use_names_are_not_public(protocol: str, name: str, expected: str) -> None:
    assert class_of(f"/{protocol}/{name}") == expected


def test_names_are_never_loopback_and_other_protocols_have_no_class() -> None:
    assert not Multiaddr.parse("/dns/localhost").is_loopback
    for judge in (
        multiaddr_class.is_loopback,
        multiaddr_class.is_private,
        multiaddr_class.is_public,
        multiaddr_class.is_unspecified,
    ):
        assert not judge(BY_NAME["tcp"], b"\0\0")


def test_only_the_zero_addresses_are_unspecified() -> None:
    assert multiaddr_class.is_unspecified(IP4, bytes(4))
    assert multiaddr_class.is_unspecified(IP6, bytes(16))
    assert not multiaddr_class.is_unspecified(IP4, b"\0\0\0\1")
    assert not multiaddr_class.is_unspecified(BY_NAME["memory"], bytes(8))


@given(st.ip_addresses())
def test_loopback_is_a_part_of_private_and_nothing_is_private_and_public(host: object) -> None:
    raw = ip_address(str(host)).packed
    protocol = IP4 if len(raw) == 4 else IP6
    loopback, private, public = (
        judge(protocol, raw) for judge in (multiaddr_class.is_loopback, multiaddr_class.is_private, multiaddr_class.is_public)
    )
    assert private >= loopback
    assert not (private and public)

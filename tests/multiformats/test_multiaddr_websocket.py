"""Addresses of WebSockets, and which of them are the same."""

import pytest

from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multiformats.multiaddr_websocket import canonical, over, parse

TCP = "/ip4/1.2.3.4/tcp/443"


@pytest.mark.parametrize(
    ("text", "tcp", "is_secure", "name"),
    [
        (f"{TCP}/ws", TCP, False, ""),
        (f"{TCP}/wss", TCP, True, ""),
        (f"{TCP}/tls/ws", TCP, True, ""),
        (f"{TCP}/tls/sni/node.example/ws", TCP, True, "node.example"),
        (f"{TCP}/tls/sni/Node_1.example./ws", TCP, True, "Node_1.example"),
        (f"{TCP}/tls/sni/{'a' * 63}.example/ws", TCP, True, f"{'a' * 63}.example"),
        (f"{TCP}/tls/sni/bücher.example/ws", TCP, True, "xn--bcher-kva.example"),
        (f"{TCP}/tls/sni/*.node.example/ws", TCP, True, "*.node.example"),
        ("/ip6/::1/tcp/1/ws", "/ip6/::1/tcp/1", False, ""),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1/wss", "/ip6zone/eth0/ip6/fe80::1/tcp/1", True, ""),
    ],
)
def test_an_address_says_where_the_socket_is_and_whom_the_certificate_is_for(
    text: str, tcp: str, is_secure: bool, name: str
) -> None:
    where = parse(Multiaddr.parse(text))
    assert where is not None
    assert (str(where.tcp), where.is_secure, where.server_name) == (tcp, is_secure, name)


@pytest.mark.parametrize(
    "text",
    [
        TCP,
        f"{TCP}/tls",
        f"{TCP}/sni/node.example/ws",
        f"{TCP}/ws/ws",
        f"{TCP}/tls/wss",
        f"{TCP}/tls/sni/a.example/sni/b.example/ws",
        "/ip4/1.2.3.4/udp/443/ws",
        "/ip4/1.2.3.4/ws",
        "/dns4/node.example/tcp/443/wss",
        "/ip4/1.2.3.4/udp/1/quic-v1",
        "/memory/1",
    ],
)
def test_what_is_no_websocket_at_an_ip_is_none(text: str) -> None:
    assert parse(Multiaddr.parse(text)) is None


@pytest.mark.parametrize(
    "name",
    ["a..b", ".a", ".", "a" * 64, "b" * 63 + (".c" * 96), "ü..b", "ü" * 64, "a b", "a:443", "a\0b", "a\r\nX: b", "ü\r\nX: b"],
)
def test_what_can_not_be_the_name_of_a_host_is_no_websocket(name: str) -> None:
    """It would end up in TLS, which has errors of its own for it, and in the head of an HTTP request."""
    assert parse(Multiaddr.parse(f"{TCP}/tls/sni/{name}/ws")) is None


def test_two_ways_to_write_the_same_place_become_one() -> None:
    assert str(canonical(Multiaddr.parse(f"{TCP}/wss"))) == f"{TCP}/tls/ws"
    whole = "/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
    assert str(canonical(Multiaddr.parse(f"/dns/node.example/tcp/443/wss{whole}"))) == f"/dns/node.example/tcp/443/tls/ws{whole}"
    for text in (f"{TCP}/ws", f"{TCP}/tls/ws", f"{TCP}/tls/sni/node.example/ws", TCP, "/memory/1"):
        assert str(canonical(Multiaddr.parse(text))) == text


def test_an_address_of_many_parts_stays_one() -> None:
    """With /tls/ws for each /wss it would have more parts than an address may."""
    address = Multiaddr.parse("/wss" * 64)
    assert canonical(address) == address


def test_a_socket_becomes_a_websocket() -> None:
    tcp = Multiaddr.parse(TCP)
    assert str(over(tcp, is_secure=False)) == f"{TCP}/ws"
    assert str(over(tcp, is_secure=True)) == f"{TCP}/tls/ws"

"""Which interfaces are used, what is said on each, and what is believed there."""

from ipaddress import ip_interface

import pytest

from cortexnet.discovery.mdns_addresses import INTERFACES_LIMIT, Interface, believed, host_ips, told, usable
from cortexnet.multiformats.multiaddr import Multiaddr

RELAY = "12D3KooWT3McK9DpaNQafoKgUQ9Rf4GZuDEuLqGE4BrCPUXbhN86"


def interface(name: str, *networks: str, is_multicast: bool = True) -> Interface:
    return Interface(name, len(name), tuple([ip_interface(network) for network in networks]), is_multicast)


LO = interface("lo", "127.0.0.1/8", "::1/128", is_multicast=False)
ETH0 = interface("eth0", "fe80::1/64", "fd00::2/64", "192.168.1.5/24", "2001:db8:1::5/64")
WLAN0 = interface("wlan0", "10.0.0.5/8")
TUN0 = interface("tun0", "10.9.0.1/32", is_multicast=False)
ALL = [LO, ETH0, WLAN0, TUN0]


def at(*texts: str) -> list[Multiaddr]:
    return [Multiaddr.parse(text) for text in texts]


# --- which interfaces ---


def test_those_made_for_multicast_are_used() -> None:
    assert usable(ALL, (), at("/ip4/0.0.0.0/tcp/1")) == [ETH0, WLAN0]
    assert usable(ALL, (), at("/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.5/tcp/1")) == [ETH0, WLAN0]


def test_who_listens_on_nothing_may_still_look_for_others() -> None:
    assert usable(ALL, (), []) == [ETH0, WLAN0]


def test_who_listens_on_loopback_alone_stays_within_the_machine() -> None:
    listen = at("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1")
    assert usable(ALL, (), listen) == []
    willing = interface("lo", "127.0.0.1/8")
    assert usable([willing, ETH0], (), listen) == [willing]


def test_those_that_are_named_are_used_whatever_they_are() -> None:
    assert usable(ALL, ("lo", "tun0", "nothing"), at("/ip4/127.0.0.1/tcp/1")) == [LO, TUN0]


def test_of_too_many_those_with_addresses_of_their_own_are_used() -> None:
    many = [interface(f"veth{number}", "fe80::1/64") for number in range(INTERFACES_LIMIT)]
    assert usable([*many, ETH0], (), []) == [ETH0, *many[:-1]]
    names = [each.name for each in many] + ["eth0"]
    assert usable([*many, ETH0], names, []) == [*many, ETH0]


def test_an_interface_without_addresses_is_no_loopback() -> None:
    assert not interface("eth1").is_loopback
    assert LO.is_loopback
    assert not ETH0.is_loopback


# --- what is said ---


def test_on_each_interface_its_own_addresses_are_said_ipv4_first() -> None:
    listen = at("/ip4/0.0.0.0/tcp/1", "/ip4/0.0.0.0/udp/2/quic-v1", "/ip6/::/tcp/3")
    assert told(listen, ETH0) == at(
        "/ip4/192.168.1.5/tcp/1", "/ip4/192.168.1.5/udp/2/quic-v1", "/ip6/fd00::2/tcp/3", "/ip6/2001:db8:1::5/tcp/3"
    )
    assert told(listen, WLAN0) == at("/ip4/10.0.0.5/tcp/1", "/ip4/10.0.0.5/udp/2/quic-v1")
    assert told(listen, LO) == at("/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/2/quic-v1", "/ip6/::1/tcp/3")


def test_what_is_listened_on_elsewhere_is_not_said() -> None:
    listen = at("/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.5/tcp/2", "/ip6/fd00::2/tcp/3", "/memory/4", "/dns4/x.example/tcp/5")
    assert told(listen, WLAN0) == at("/ip4/10.0.0.5/tcp/2")
    assert told(listen, ETH0) == at("/ip6/fd00::2/tcp/3")
    assert told(listen, LO) == at("/ip4/127.0.0.1/tcp/1")
    assert told([], ETH0) == []


def test_relays_and_link_local_addresses_are_not_said() -> None:
    assert told(at(f"/ip4/10.0.0.5/tcp/2/p2p/{RELAY}/p2p-circuit", "/ip6/fe80::1/tcp/3"), WLAN0) == []
    assert told(at("/ip6/fe80::1/tcp/3"), ETH0) == []


def test_a_host_has_one_address_of_each_version() -> None:
    listen = at("/ip4/10.0.0.5/tcp/1", "/ip4/10.0.0.6/tcp/1", "/ip6/fd00::2/tcp/3")
    assert host_ips(listen) == [bytes([10, 0, 0, 5]), bytes.fromhex("fd00" + "00" * 13 + "02")]


# --- what is believed ---


@pytest.mark.parametrize(
    ("address", "source", "expected"),
    [
        ("/ip4/192.168.1.7/tcp/1", "192.168.1.7", True),
        ("/ip4/192.168.1.8/tcp/1", "192.168.1.7", True),
        ("/ip4/10.3.2.1/tcp/1", "192.168.1.7", True),  # another private network: there may be a way
        ("/ip4/10.3.2.1/tcp/1", "8.8.8.8", False),  # into our own network, from outside
        ("/ip4/127.0.0.1/tcp/1", "192.168.1.7", False),
        ("/ip6/::1/tcp/1", "192.168.1.7", False),
        ("/ip4/127.0.0.1/tcp/1", "192.168.1.5", True),  # by ourselves, or who is on this machine
        ("/ip4/127.0.0.1/tcp/1", "10.0.0.5", True),
        ("/ip4/8.8.8.8/tcp/1", "192.168.1.7", False),  # a third party
        ("/ip4/8.8.8.8/tcp/1", "8.8.8.8", True),  # itself
        ("/ip6/2001:db8:1::77/tcp/1", "fe80::7", True),  # in the network of the interface
        ("/ip6/2001:db8:2::77/tcp/1", "fe80::7", False),
        ("/ip4/0.0.0.0/tcp/1", "192.168.1.7", False),
        ("/ip4/224.0.0.251/udp/5353", "192.168.1.7", False),
        ("/ip6/ff02::fb/udp/5353", "fe80::7", False),
        ("/dns4/printer.local/tcp/1", "192.168.1.7", False),
        ("/memory/1", "192.168.1.7", False),
        (f"/ip4/192.168.1.7/tcp/1/p2p/{RELAY}/p2p-circuit", "192.168.1.7", False),
        ("/ip6zone/eth9", "192.168.1.7", False),
        ("/ip6zone/eth9/dns4/x/tcp/1", "192.168.1.7", False),
    ],
)
def test_a_neighbour_is_believed_what_it_could_know(address: str, source: str, expected: bool) -> None:
    own = frozenset({"127.0.0.1", "192.168.1.5", "10.0.0.5"})
    assert believed(at(address), source, ETH0, own) == (at(address) if expected else [])


def test_on_the_loopback_interface_there_are_only_our_own_kind() -> None:
    assert believed(at("/ip4/127.0.0.1/tcp/1"), "0.0.0.0", LO, frozenset()) == at("/ip4/127.0.0.1/tcp/1")


def test_a_link_local_address_gets_our_name_of_the_link() -> None:
    heard = at("/ip6/fe80::7/tcp/1", "/ip6zone/en7/ip6/fe80::7/tcp/2", "/ip6zone/x/ip6/fd00::9/tcp/3", "/ip4/169.254.1.1/tcp/4")
    assert believed(heard, "fe80::7", ETH0, frozenset()) == at(
        "/ip6zone/eth0/ip6/fe80::7/tcp/1", "/ip6zone/eth0/ip6/fe80::7/tcp/2", "/ip6/fd00::9/tcp/3", "/ip4/169.254.1.1/tcp/4"
    )

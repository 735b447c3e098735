"""Groups of addresses, and how many peers of one are too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.kad.routing.diversity import Diversity, group_of, groups_of
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.testing.strategies import multiaddrs


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("/ip4/192.0.2.1/tcp/4001", "192.0.0.0/16"),
        ("/ip4/192.0.77.1/udp/1/quic-v1", "192.0.0.0/16"),
        ("/ip4/12.34.5.6/tcp/4001", "12.0.0.0/8"),
        ("/ip6/2001:db8:1::7/tcp/4001", "2001:db8::/32"),
        ("/ip6/2a00:1450::1/tcp/4001", "2a00:1450::/32"),
        ("/ip6zone/eth0/ip6/2a00:1450::1/tcp/4001", "2a00:1450::/32"),
        ("/ip6/64:ff9b::192.0.2.1/tcp/4001", "192.0.0.0/16"),
        ("/ip6/::ffff:192.0.2.1/tcp/4001", "192.0.0.0/16"),
        ("/ip4/192.0.2.1/tcp/1/p2p/QmRN6wdp1S2A5EtjW9A3M1vKSBuQQGcgvuhoMUoEz4iiT5/p2p-circuit", "192.0.0.0/16"),
        ("/ip4/127.0.0.1/tcp/4001", None),
        ("/ip4/10.1.2.3/tcp/4001", None),
        ("/ip4/169.254.1.1/tcp/4001", None),
        ("/ip6/::1/tcp/4001", None),
        ("/ip6/fe80::1/tcp/4001", None),
        ("/ip6zone/eth0", None),
        ("/dns4/example.org/tcp/4001", None),
        ("/memory/7", None),
    ],
)
def test_addresses_are_grouped_by_the_network_they_begin_in(address: str, group: str | None) -> None:
    assert group_of(Multiaddr.parse(address)) == group


@given(st.lists(multiaddrs(), max_size=5))
def test_every_address_has_a_group_or_none(addresses: list[Multiaddr]) -> None:
    groups = groups_of(addresses)
    assert len(set(groups)) == len(groups)
    assert set(groups) == {group_of(address) for address in addresses} - {None}


def test_two_peers_of_a_group_fit_into_a_bucket_and_three_into_the_table() -> None:
    diversity = Diversity()
    for length in (0, 0, 4):
        assert diversity.allows(length, ["a"])
        diversity.add(length, ["a"])
        assert diversity.allows(0, ["b"])
    assert not diversity.allows(0, ["a"])
    assert not diversity.allows(9, ["a"])
    diversity.remove(4, ["a"])
    assert not diversity.allows(0, ["a"])
    assert diversity.allows(9, ["a"])


def test_one_group_that_is_full_is_enough_to_refuse() -> None:
    diversity = Diversity(per_bucket=1, in_all=1)
    diversity.add(0, ["a"])
    assert not diversity.allows(1, ["b", "a"])
    assert diversity.allows(0, [])
    assert diversity.allows(0, ["b"])


def test_what_was_removed_leaves_nothing() -> None:
    diversity = Diversity()
    for _ in range(2):
        diversity.add(3, ["a", "b"])
    for _ in range(2):
        diversity.remove(3, ["a", "b"])
    for length in (3, 4):
        diversity.add(length, ["a", "b"])
        assert diversity.allows(length, ["a", "b"])

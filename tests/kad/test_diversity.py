"""Groups of addresses, and how many peers of one are too many."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.contact import Contact
from cortexnet.kad.diversity import Diversity, group_of, groups_of, without_crowds
from cortexnet.multiformats import multihash
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.testing.strategies import multiaddrs


def contact(number: int, *addresses: str) -> Contact:
    return Contact(PeerId(multihash.sha2_256(b"%d" % number)), map(Multiaddr.parse, addresses))


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
    assert not diversity.allows(9, ["b", "a"]) or diversity.counts() == {"a": 2}


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
    assert diversity.counts() == {}
    assert diversity.allows(3, ["a", "b"])


def test_networks_that_an_answer_names_too_often_are_left_out_of_it() -> None:
    crowd = [contact(number, f"/ip4/11.1.0.{number}/tcp/1") for number in range(1, 5)]
    others = [contact(number, f"/ip4/11.2.0.{number}/tcp/1") for number in range(5, 8)]
    local = [contact(number, f"/ip4/10.0.0.{number}/tcp/1") for number in range(10, 20)]
    both = contact(8, "/ip4/11.2.0.1/tcp/1", "/ip4/11.1.9.9/tcp/1")
    assert without_crowds([*crowd, *others, *local]) == [*others, *local]
    assert without_crowds([*crowd[:3], *others, *local]) == [*crowd[:3], *others, *local]
    assert without_crowds([*crowd[:3], both, *others[:2]]) == others[:2]
    assert without_crowds(crowd, limit=4) == crowd


def test_a_peer_that_is_named_twice_is_no_crowd() -> None:
    twice = contact(1, "/ip4/11.1.0.1/tcp/1", "/ip4/11.1.0.1/udp/1/quic-v1")
    assert without_crowds([twice] * 5) == [twice] * 5

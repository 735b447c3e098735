"""Peers behind one address."""

from ipaddress import IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.colocation import Colocation
from cortexnet.gossip.score_params import ScoreParams
from cortexnet.identity.peer_id import PeerId

PEERS = [PeerId(b"\x00\x01" + bytes([number])) for number in range(20)]
ALLOWED = ScoreParams().allowed_networks()


def crowd(*addresses: str, threshold: int = 2) -> Colocation:
    """One peer on each address."""
    known = Colocation(threshold, ALLOWED)
    for peer, address in zip(PEERS, addresses, strict=False):
        known.set_ips(peer, [ip_address(address)])
    return known


def test_peers_above_the_threshold_count_squared() -> None:
    assert crowd(*["192.0.2.1"] * 2).factor(PEERS[0]) == 0
    assert crowd(*["192.0.2.1"] * 5).factor(PEERS[0]) == 9
    assert crowd(*["192.0.2.1"] * 5, "192.0.2.2").factor(PEERS[5]) == 0


def test_an_ipv6_address_counts_with_its_subnet() -> None:
    known = crowd("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
    assert [known.factor(peer) for peer in PEERS[:4]] == [1, 1, 1, 0]
    assert crowd(*["2001:db8::1"] * 4).factor(PEERS[0]) == 4 + 4


def test_a_mapped_address_is_the_one_it_maps() -> None:
    known = crowd("192.0.2.1", "192.0.2.1")
    known.set_ips(PEERS[9], [IPv6Address("::ffff:192.0.2.1")])
    assert known.factor(PEERS[0]) == known.factor(PEERS[9]) == 1


def test_loopback_never_counts() -> None:
    assert crowd(*["127.0.0.1"] * 9, *["::1"] * 9).factor(PEERS[0]) == 0
    assert crowd(*["::ffff:127.0.0.1"] * 9).factor(PEERS[0]) == 0
    assert len(crowd(*["127.0.0.1"] * 9)) == 0


def test_a_peer_counts_where_it_is_now() -> None:
    known = crowd(*["192.0.2.1"] * 3)
    known.set_ips(PEERS[0], [ip_address("192.0.2.1")] * 2)
    assert known.factor(PEERS[1]) == 1
    known.set_ips(PEERS[0], [ip_address("192.0.2.9")])
    assert known.factor(PEERS[1]) == 0
    assert known.factor(PEERS[7]) == 0
    for peer in PEERS:
        known.remove(peer)
    assert len(known) == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(0, 3), max_size=3)), max_size=40))
def test_counts_are_those_of_a_recount(moves: list[tuple[int, list[int]]]) -> None:
    known, where = Colocation(1, ALLOWED), dict[int, set[int]]()
    for peer, hosts in moves:
        known.set_ips(PEERS[peer], [ip_address(f"192.0.2.{host}") for host in hosts])
        where[peer] = set(hosts)
    for peer, hosts in where.items():
        crowds = [sum(host in others for others in where.values()) for host in hosts]
        assert known.factor(PEERS[peer]) == sum((count - 1) ** 2 for count in crowds)
    assert len(known) == len(set().union(*where.values()))

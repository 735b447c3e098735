"""Who is told to the rest of the node, and how often."""

from cortexnet.discovery.mdns_config import MdnsConfig
from cortexnet.discovery.mdns_heard import ADDRESSES_LIMIT, PEERS_LIMIT, RENEWAL, Heard
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

HERE = [Multiaddr.parse("/ip4/10.0.0.1/tcp/1")]
THERE = [Multiaddr.parse("/ip4/10.0.1.1/tcp/1")]
NEIGHBOUR = "10.0.0.1"


def peer(number: int) -> PeerId:
    return PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big"))


def heard(**settings: float) -> Heard:
    return Heard(peer(0), MdnsConfig(**settings))  # type: ignore[arg-type]


def test_a_peer_is_told_once_and_again_before_its_addresses_are_forgotten() -> None:
    table = heard()
    assert table.heard(peer(1), HERE, NEIGHBOUR, 0.0)
    assert not table.heard(peer(1), HERE, NEIGHBOUR, 0.0)
    assert not table.heard(peer(1), HERE, NEIGHBOUR, RENEWAL - 0.1)
    assert table.heard(peer(1), HERE, NEIGHBOUR, RENEWAL)


def test_new_addresses_are_news_and_known_ones_are_not() -> None:
    table = heard()
    assert table.heard(peer(1), HERE, NEIGHBOUR, 0.0)
    assert table.heard(peer(1), THERE, NEIGHBOUR, 1.0)
    assert not table.heard(peer(1), HERE + THERE, NEIGHBOUR, 2.0)


def test_each_is_told_again_in_its_own_time() -> None:
    table = heard()
    assert table.heard(peer(1), HERE, NEIGHBOUR, 0.0)
    assert table.heard(peer(2), HERE, NEIGHBOUR, 1.0)
    assert table.heard(peer(1), THERE, NEIGHBOUR, 29.0)
    assert table.heard(peer(2), HERE, NEIGHBOUR, 1.0 + RENEWAL)
    assert not table.heard(peer(1), HERE, NEIGHBOUR, 1.0 + RENEWAL)


def test_we_and_who_is_nowhere_are_not_told() -> None:
    table = heard()
    assert not table.heard(peer(0), HERE, NEIGHBOUR, 0.0)
    assert not table.heard(peer(1), [], NEIGHBOUR, 0.0)
    assert len(table) == 0


def test_who_left_is_news_when_it_is_back() -> None:
    table = heard()
    assert table.heard(peer(1), HERE, NEIGHBOUR, 0.0)
    table.left(peer(1))
    table.left(peer(2))
    assert table.heard(peer(1), HERE, NEIGHBOUR, 0.1)


def test_one_address_names_ten_peers_a_second_and_hides_nobody_else() -> None:
    table = heard()
    told = [table.heard(peer(number + 1), HERE, NEIGHBOUR, 0.0) for number in range(101)]
    assert told == [True] * 100 + [False]
    assert table.heard(peer(1000), HERE, "10.0.0.2", 0.0)
    assert [table.heard(peer(number + 101), HERE, NEIGHBOUR, 1.0) for number in range(11)] == [True] * 10 + [False]


def test_the_table_is_bounded_and_empties_by_itself() -> None:
    table = heard(peer_rate=10_000.0)
    for number in range(1, PEERS_LIMIT + 1):
        assert table.heard(peer(number), HERE, NEIGHBOUR, 0.0)
    assert len(table) == PEERS_LIMIT
    assert not table.heard(peer(1), HERE, NEIGHBOUR, 1.0)
    assert table.heard(peer(PEERS_LIMIT + 1), HERE, NEIGHBOUR, 1.0)
    assert len(table) == PEERS_LIMIT
    assert table.heard(peer(1), HERE, NEIGHBOUR, 1.0)  # the longest ago, so forgotten
    assert table.heard(peer(2000), HERE, NEIGHBOUR, RENEWAL)
    assert len(table) == 3  # who was told at 1 s, and this one


def test_the_addresses_of_a_peer_are_bounded() -> None:
    table = heard(peer_rate=10_000.0)
    several = [Multiaddr.parse(f"/ip4/10.0.0.1/tcp/{port}") for port in range(1, ADDRESSES_LIMIT + 1)]
    assert table.heard(peer(1), several, NEIGHBOUR, 0.0)
    assert not table.heard(peer(1), several, NEIGHBOUR, 0.0)
    assert table.heard(peer(1), THERE, NEIGHBOUR, 0.0)
    assert not table.heard(peer(1), THERE, NEIGHBOUR, 0.0)
    assert table.heard(peer(1), several[:1], NEIGHBOUR, 0.0)  # one too many: those before are forgotten

"""The estimate of how many peers there are."""

from heapq import nsmallest
from random import Random

import pytest

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import BITS, position
from cortexnet.kad.routing.network_size import MEASUREMENT_AGE, MEASUREMENTS_LIMIT, NetworkSize
from cortexnet.kad.routing.routing_table import RoutingTable

OWN = position(b"own")


def network(count: int, seed: int = 1) -> list[int]:
    random = Random(seed)
    return [random.getrandbits(BITS) for _ in range(count)]


def lookup(peers: list[int], target: int, count: int = 20) -> list[int]:
    return nsmallest(count, peers, key=lambda where: where ^ target)


def full_table(seed: int = 2) -> RoutingTable:
    random = Random(seed)
    table = RoutingTable(OWN)
    for _ in range(2_000):
        table.add(Contact(PeerId(b"\x12\x20" + random.randbytes(32))), 0.0)
    return table


@pytest.mark.parametrize("size", [200, 2_000, 10_000])
def test_the_number_of_peers_is_estimated_from_a_few_lookups(size: int) -> None:
    peers, random = network(size), Random(3)
    estimate = NetworkSize(full_table())
    for _ in range(60):
        target = random.getrandbits(BITS)
        assert estimate.track(target, lookup(peers, target), 0.0)
    found = estimate.estimate(0.0)
    assert found is not None
    assert size * 0.85 < found < size * 1.15


def test_exact_distances_give_the_exact_number() -> None:
    # The i-th nearest is i / 1000 of the keyspace away: there are 999 peers.
    estimate = NetworkSize(full_table())
    for number in range(5):
        target = number << 200
        estimate.track(target, [target ^ (rank << BITS) // 1_000 for rank in range(1, 21)], 0.0)
    assert estimate.estimate(0.0) == pytest.approx(999)


def test_ranks_count_by_how_much_they_vary() -> None:
    # Worked out by hand with one rank near 1/10 that varies, and one at 1/4 that does not: the first alone decides.
    estimate = NetworkSize(RoutingTable(OWN, bucket_size=2))
    for share in (8, 9, 10, 11, 12):
        assert estimate.track(0, [(share << BITS) // 100, 1 << BITS - 2], 0.0)
    assert estimate.estimate(0.0) == pytest.approx(1 / 0.1 - 1)


def test_fewer_than_five_lookups_say_nothing() -> None:
    peers, estimate = network(500), NetworkSize(full_table())
    assert estimate.estimate(0.0) is None
    for number in range(4):
        estimate.track(number, lookup(peers, number), 0.0)
        assert estimate.estimate(0.0) is None
    estimate.track(4, lookup(peers, 4), 0.0)
    assert estimate.estimate(0.0) is not None


@pytest.mark.parametrize("count", [0, 19, 21])
def test_a_lookup_counts_if_it_found_as_many_as_a_bucket_holds(count: int) -> None:
    estimate = NetworkSize(full_table())
    assert not estimate.track(0, lookup(network(500), 0, count), 0.0)


def test_lookups_count_for_two_hours() -> None:
    peers, estimate = network(500), NetworkSize(full_table())
    for number in range(6):
        estimate.track(number, lookup(peers, number), float(10 * number))
    assert estimate.estimate(MEASUREMENT_AGE - 1) is not None
    assert estimate.estimate(MEASUREMENT_AGE + 1) is not None  # five of them are left
    assert estimate.estimate(MEASUREMENT_AGE + 11) is None


def test_the_estimate_is_made_anew_once_a_second() -> None:
    estimate = NetworkSize(full_table())
    for number in range(5):
        estimate.track(number, lookup(network(500), number), 0.0)
    first = estimate.estimate(0.0)
    estimate.track(9, lookup(network(50), 9), 0.5)
    assert estimate.estimate(0.5) == first
    assert estimate.estimate(1.0) != first


def test_only_the_latest_lookups_are_kept() -> None:
    estimate, large, small = NetworkSize(full_table()), network(5_000), network(100)
    for number in range(20):
        estimate.track(number << 240, lookup(large, number << 240), 0.0)
    for number in range(MEASUREMENTS_LIMIT):
        estimate.track(number << 240, lookup(small, number << 240), 0.0)
    found = estimate.estimate(0.0)
    assert found is not None
    assert found < 200


def test_a_lookup_where_the_table_has_gaps_hardly_counts() -> None:
    random = Random(5)
    table = RoutingTable(OWN)
    opposite = OWN ^ 1 << BITS - 1  # where the table has nobody
    while len(table) < 20:
        contact = Contact(PeerId(b"\x12\x20" + random.randbytes(32)))
        if (contact.position ^ OWN) >> (BITS - 1) == 0:
            table.add(contact, 0.0)
    estimate = NetworkSize(table)
    trusted = [(rank << BITS) // 1_000 for rank in range(1, 21)]
    for number in range(10):
        target = opposite ^ number
        # Nearest peers that lie beside ourselves: of that region nobody was found.
        estimate.track(target, [target ^ (1 << BITS - 1) ^ rank for rank in range(20)], 0.0)
        estimate.track(opposite ^ number, [opposite ^ number ^ distance for distance in trusted], 0.0)
    found = estimate.estimate(0.0)
    assert found is not None
    assert found == pytest.approx(999, rel=0.05)


def test_the_same_lookup_again_and_again_is_taken_as_it_is() -> None:
    estimate = NetworkSize(full_table())
    for _ in range(5):
        estimate.track(0, [(rank << BITS) // 100 for rank in range(1, 21)], 0.0)
    assert estimate.estimate(0.0) == pytest.approx(99)


def test_distances_of_nothing_give_no_estimate() -> None:
    estimate = NetworkSize(full_table())
    for _ in range(5):
        estimate.track(7, [7] * 20, 0.0)
    assert estimate.estimate(0.0) is None

from random import Random

import pytest

from cortexnet.kad.operations.optimistic import OptimisticProvide, mean_threshold, near_threshold
from tests.kad.lookup_network import Network, contact


def test_the_thresholds_are_those_of_go_libp2p() -> None:
    assert near_threshold(1_000.0) == pytest.approx(14.525269 / 1_000)
    assert mean_threshold(1_000.0) == pytest.approx(15.406641 / 1_000)


def test_who_is_near_enough_is_stored_with_while_the_lookup_runs_and_once_only() -> None:
    random = Random(1)
    network = Network(random, 1_000)
    target = random.getrandbits(256)
    nearest = network.closest(target)
    provide = OptimisticProvide(target, 1_000.0)
    begun = provide.on_progress(nearest[5:])
    assert 5 <= len(begun) <= 14
    assert begun == nearest[5 : 5 + len(begun)]
    assert not provide.may_stop, "fewer than 20 are known"
    again = provide.on_progress(nearest)
    assert again == nearest[:5]
    rest = provide.on_end(nearest)
    assert begun + again + rest == nearest[5 : -len(rest)] + nearest[:5] + rest
    assert provide.on_end(nearest) == []


def test_it_may_stop_where_the_nearest_are_as_near_as_can_be_expected() -> None:
    random = Random(1)
    network = Network(random, 1_000)
    target = random.getrandbits(256)
    nearest = network.closest(target, 100)
    provide = OptimisticProvide(target, 1_000.0)
    provide.on_progress(nearest[80:])
    assert not provide.may_stop
    provide.on_progress(nearest)
    assert provide.may_stop
    provide.on_progress(nearest[80:])
    assert provide.may_stop, "what was seen once is seen"


def test_it_may_stop_where_twenty_have_it_or_are_about_to() -> None:
    random = Random(1)
    provide = OptimisticProvide(0, 1.0)
    for _ in range(2):
        for each in provide.on_progress([contact(random) for _ in range(9)]):
            provide.on_stored(each.peer_id, is_stored=True)
    assert not provide.may_stop
    for each in provide.on_progress([contact(random)]):
        provide.on_stored(each.peer_id, is_stored=False)
    provide.on_progress([contact(random)])
    assert not provide.may_stop, "one has failed"
    provide.on_progress([contact(random)])
    assert provide.may_stop


def test_fifteen_of_twenty_are_enough_for_the_caller() -> None:
    random = Random(1)
    provide = OptimisticProvide(0, 1.0)
    stored = provide.on_end([contact(random) for _ in range(25)])
    assert len(stored) == 20
    for each in stored[:14]:
        provide.on_stored(each.peer_id, is_stored=True)
    provide.on_stored(stored[15].peer_id, is_stored=False)
    assert not provide.is_enough
    provide.on_stored(stored[14].peer_id, is_stored=True)
    assert provide.is_enough

from collections.abc import Callable, Sequence
from random import Random
from statistics import median

import pytest

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.lookup.density import at_most, is_too_dense, outside_crowd, region_of, size_by
from cortexnet.kad.lookup.regions import ExplorationConfig, RegionExploration
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import BITS, Prefix
from tests.kad.lookup_network import OWN, Exploration, Network, contact, ground


def neighbourhood(network: Network, target: int, size: float) -> tuple[dict[PeerId, None], dict[PeerId, None]]:
    """Whom a provide stores with, and whom a find asks."""
    lookup = network.lookup(target).lookup
    stored = {each.peer_id: None for each in lookup.closest}
    asked = {each.peer_id: None for each in lookup.answered}
    if is_too_dense(target, lookup.closest, size):
        exploration = RegionExploration(
            region_of(target, size),
            [*lookup.answered, *network.table_at(network.random.getrandbits(BITS))],
            own=OWN,
            config=ExplorationConfig(),
            now=0.0,
            random=network.random,
            accept=outside_crowd(target, lookup.closest, size),
        )
        Exploration(network, exploration)
        assert exploration.requests + lookup.asked <= 200
        found = {each.peer_id: None for each in at_most(exploration.contacts, target)}
        stored.update(found)
        asked.update(found)
    return stored, asked


def only_each_other(sybils: Sequence[Contact]) -> Callable[[int], Sequence[Contact]]:
    return lambda target: sybils


def nobody(sybils: Sequence[Contact]) -> Callable[[int], Sequence[Contact]]:
    return lambda target: []


@pytest.mark.parametrize("size", [100, 500])
@pytest.mark.parametrize("amount", [10, 20, 40])
@pytest.mark.parametrize("answer", [only_each_other, nobody])
def test_ids_made_for_a_key_do_not_hide_its_provider(
    size: int, amount: int, answer: Callable[[Sequence[Contact]], Callable[[int], Sequence[Contact]]]
) -> None:
    random = Random(3)
    network = Network(random, size)
    honest = dict(network.nodes)
    estimates = [size_by(target, network.closest(target)) or 0.0 for target in [random.getrandbits(256) for _ in range(6)]]
    for _ in range(10):
        network.nodes = dict(honest)
        target = random.getrandbits(256)
        sybils = ground(random, target, amount, 20 * size)
        network.join(sybils)
        network.behaviour = {each.peer_id: answer(sybils) for each in sybils}
        stored, _ = neighbourhood(network, target, median(estimates) * 0.8)
        _, asked = neighbourhood(network, target, median(estimates) * 1.2)
        assert any(peer_id in asked for peer_id in stored if peer_id in honest)


def test_an_honest_neighbourhood_is_rarely_taken_for_a_crowded_one() -> None:
    random = Random(3)
    network = Network(random, 500)
    targets = [random.getrandbits(256) for _ in range(300)]
    assert sum(is_too_dense(target, network.closest(target), 500.0) for target in targets) <= 2


def test_few_peers_are_never_too_dense() -> None:
    found = [contact(Random(seed)) for seed in range(20)]
    assert not is_too_dense(0, found[:19], 1e9)
    assert not is_too_dense(0, found, 20.0)


def test_the_region_is_the_one_that_twenty_are_to_be_expected_in() -> None:
    assert region_of(3 << 254, 10_000.0) == Prefix(8, 0b11000000)
    assert region_of(3 << 254, 15.0) == Prefix(0, 0)


def test_of_too_many_the_farthest_are_taken() -> None:
    random = Random(1)
    found = sorted([contact(random) for _ in range(12)], key=lambda each: each.position)
    assert at_most(found, 0, 5) == found[:6:-1]
    assert len(at_most(found, 0)) == 12


def test_the_size_follows_from_how_far_the_nearest_are() -> None:
    random = Random(1)
    network = Network(random, 2_000)
    sizes = [size_by(target, network.closest(target)) for target in [random.getrandbits(256) for _ in range(30)]]
    assert 1_700 < median([size for size in sizes if size is not None]) < 2_300
    assert size_by(0, network.closest(0, 1)) is None

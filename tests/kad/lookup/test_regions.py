from collections.abc import Sequence
from random import Random

import pytest

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.lookup.regions import (
    ExplorationConfig,
    Question,
    RegionExploration,
    allocate,
    prefix_length,
    regions_of,
)
from cortexnet.kad.records import namespaces
from cortexnet.kad.records.namespaces import Listing, Name, page
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import Prefix, position
from tests.kad.lookup_network import OWN, Exploration, Network, Refuses, contact, ground

ALL = Prefix(0, 0)


@pytest.fixture
def random() -> Random:
    return Random(5)


def exploration_of(prefix: Prefix, seeds: Sequence[Contact], **settings: float) -> RegionExploration:
    config = ExplorationConfig(**settings)  # type: ignore[arg-type]
    return RegionExploration(prefix, seeds, own=OWN, config=config, now=0.0, random=Random(1))


def inside(network: Network, prefix: Prefix) -> set[PeerId]:
    return {each.peer_id for each in network.nodes.values() if prefix.contains(each.position)}


def found(exploration: RegionExploration) -> set[PeerId]:
    return {each.peer_id for each in exploration.contacts}


def test_a_region_is_found_in_full_with_few_requests(random: Random) -> None:
    network = Network(random, 500)
    requests = 0
    for bits in range(16):
        run = network.explore(Prefix(4, bits))
        assert found(run.exploration) == inside(network, run.exploration.prefix)
        assert run.exploration.is_complete
        assert run.now < 1.0
        requests += run.exploration.requests
    assert requests < 300


def test_a_thousand_keys_need_less_than_a_twentieth_of_the_requests_of_one_lookup_each(random: Random) -> None:
    network = Network(random, 500)
    keys = {key: position(key) for key in [b"key %d" % number for number in range(1_000)]}
    one_by_one = 0
    for where in list(keys.values())[:20]:
        one_by_one += network.lookup(where).lookup.asked * 50
    network.requests, placed = 0, dict[bytes, dict[PeerId, None]]()
    for prefix, part in regions_of(keys, 480.0).items():
        run = network.explore(prefix)
        for peer, its_keys in allocate({key: keys[key] for key in part}, run.exploration.contacts).items():
            for key in its_keys:
                placed.setdefault(key, {})[peer.peer_id] = None
    assert network.requests <= one_by_one / 20
    for key in list(keys)[::25]:
        assert set(placed[key]) == {each.peer_id for each in network.closest(keys[key])}


@pytest.mark.parametrize("size", [1, 3, 12, 30])
def test_a_region_of_few_peers_is_widened_to_the_whole_network_if_need_be(random: Random, size: int) -> None:
    network = Network(random, size)
    run = network.explore(Prefix(6, 17), seeds=network.closest(0, 3))
    assert len(found(run.exploration)) >= min(size, 20)
    assert found(run.exploration) == inside(network, run.exploration.prefix)
    assert run.exploration.prefix.length <= 1


def test_dead_peers_are_left_out(random: Random) -> None:
    network = Network(random, 300)
    dead = network.kill(0.3)
    run = network.explore(Prefix(2, 1))
    assert inside(network, run.exploration.prefix) - set(dead) <= found(run.exploration)
    assert run.now < 10.0


def test_contacts_that_liars_invent_are_not_believed_in(random: Random) -> None:
    network = Network(random, 400)

    def lie(target: int) -> Sequence[Contact]:
        return ground(random, target, 20, 1_000)

    network.behaviour.update((peer_id, lie) for peer_id in random.sample(list(network.nodes), 100))
    for bits in range(4):
        run = network.explore(Prefix(3, bits))
        missing = inside(network, run.exploration.prefix) - found(run.exploration)
        assert len(missing) <= 5
        assert len(found(run.exploration) - set(network.nodes)) <= 3


def test_peers_that_tell_nothing_do_not_end_it_early(random: Random) -> None:
    network = Network(random, 400)
    network.behaviour.update((peer_id, lambda _: []) for peer_id in random.sample(list(network.nodes), 100))
    run = network.explore(Prefix(3, 2))
    missing = inside(network, run.exploration.prefix) - found(run.exploration)
    assert len(missing) <= 5


def test_where_nobody_tells_anything_it_ends(random: Random) -> None:
    network = Network(random, 60)
    network.behaviour.update((peer_id, lambda _: []) for peer_id in network.nodes)
    run = network.explore(Prefix(1, 0), seeds=list(network.nodes.values()))
    assert run.exploration.is_done
    assert run.exploration.requests < 400


def test_where_nobody_answers_it_ends_and_says_that_it_is_not_complete(random: Random) -> None:
    network = Network(random, 60)
    network.kill(1.0)
    run = network.explore(Prefix(1, 0))
    assert not run.exploration.is_complete
    assert run.exploration.contacts == []
    assert run.now <= 60.0


def test_without_anybody_to_ask_it_is_over_at_once() -> None:
    exploration = exploration_of(ALL, [Contact(OWN)])
    assert exploration.next(0.0) == []
    assert exploration.is_done
    assert exploration.next(0.0) == []
    assert exploration.next_timeout() is None
    assert exploration.contacts == []


def test_it_ends_with_its_spots_and_with_its_requests(random: Random) -> None:
    network = Network(random, 400)
    few = network.explore(ALL, config=ExplorationConfig(spot_limit=4)).exploration
    assert not few.is_complete
    assert 20 < len(few.contacts) < 300
    short = network.explore(ALL, config=ExplorationConfig(request_limit=20)).exploration
    assert not short.is_complete
    assert short.requests <= 30


def test_it_ends_at_its_time(random: Random) -> None:
    seeds = [contact(random) for _ in range(5)]
    exploration = exploration_of(ALL, seeds, timeout=2.0, spot_timeout=30.0)
    assert len(exploration.next(0.0)) == 3
    assert exploration.next_timeout() == 1.0
    exploration.next(1.0)
    assert exploration.next_timeout() == 2.0
    assert exploration.next(2.0) == []
    assert exploration.is_done
    assert not exploration.is_complete
    exploration.stop()


def test_what_was_not_asked_changes_nothing(random: Random) -> None:
    seeds = [contact(random) for _ in range(5)]
    exploration = exploration_of(ALL, seeds)
    asked = exploration.next(0.0)
    assert all(isinstance(each, Question) for each in asked)
    stranger = contact(random)
    exploration.on_reply(stranger.peer_id, asked[0].key, [stranger], 0.1)
    exploration.on_reply(asked[0].contact.peer_id, b"another key", [stranger], 0.1)
    exploration.on_failure(stranger.peer_id, asked[0].key, 0.1)
    assert exploration.contacts == seeds


def test_whom_the_filter_refuses_is_neither_asked_nor_found(random: Random) -> None:
    network = Network(random, 200)
    refused = random.sample(list(network.nodes), 50)
    exploration = RegionExploration(
        Prefix(1, 1),
        network.seeds(0),
        own=OWN,
        config=ExplorationConfig(),
        now=0.0,
        random=random,
        accept=lambda each: each.peer_id not in refused,
    )
    Exploration(network, exploration)
    assert found(exploration) == inside(network, exploration.prefix) - set(refused)


def test_a_long_prefix_is_looked_for_at_a_peer_in_it_and_given_up_where_there_is_none(random: Random) -> None:
    network = Network(random, 300)
    known = random.choice(list(network.nodes.values()))
    run = network.explore(Prefix.of(known.position, 14), seeds=[*network.seeds(0), known])
    assert len(found(run.exploration)) >= 20
    for length in (15, 40):
        run = network.explore(Prefix.of(known.position ^ 1 << 242, length))
        assert found(run.exploration) == inside(network, run.exploration.prefix)
        assert len(found(run.exploration)) >= 20


def test_the_same_seed_gives_the_same_course() -> None:
    def course() -> tuple[int, float, list[Contact]]:
        random = Random(8)
        network = Network(random, 300)
        network.kill(0.3)
        run = network.explore(Prefix(3, 3))
        return run.exploration.requests, run.now, run.exploration.contacts

    assert course() == course()


def test_a_prefix_is_as_long_as_twenty_peers_allow() -> None:
    assert [prefix_length(size) for size in (0, 5, 20, 39, 40, 500, 10_000)] == [0, 0, 0, 0, 1, 4, 8]


def test_keys_are_sorted_by_region_and_each_goes_to_the_nearest(random: Random) -> None:
    keys = {b"%d" % number: position(b"%d" % number) for number in range(100)}
    regions = regions_of(keys, 100.0)
    assert list(regions) == [Prefix(2, bits) for bits in range(4)]
    assert sorted(key for part in regions.values() for key in part) == sorted(keys)
    contacts = [contact(random) for _ in range(30)]
    shares = allocate(keys, contacts, 5)
    for key, where in keys.items():
        nearest = sorted(contacts, key=lambda each: each.position ^ where)[:5]
        assert [each for each in contacts if key in shares.get(each, [])] == [each for each in contacts if each in nearest]
    assert allocate(keys, []) == {}


@pytest.mark.parametrize("bits", [0, 2, 4, 9])
def test_a_namespace_is_listed_in_full_with_few_requests(random: Random, bits: int) -> None:
    network = Network(random, 200)
    stores = {peer_id: ValueStore() for peer_id in network.nodes}
    keys = [Name(bits, b"news", b"%04d" % number).key for number in range(1_000)]
    for key in keys:
        for each in network.closest(namespaces.position(key)):
            stores[each.peer_id].put(key, b"value", 0.0)
    run = network.explore(Name(bits, b"news").region)
    peers = len(run.exploration.contacts)
    listing = Listing(Name(bits, b"news"), run.exploration.contacts)
    while not listing.is_done:
        for each, cursor in listing.next():
            answer = page(stores[each.peer_id], listing.key, cursor, 0.0)
            listing.on_page(each.peer_id, answer.names, answer.cursor)
    assert listing.names == keys
    assert run.exploration.requests + listing.requests <= 3 * peers


def test_a_peer_that_refuses_first_and_answers_another_question_is_back(random: Random) -> None:
    network = Network(random, 60)
    moody = random.choice(list(network.nodes))
    calls = [0]

    def answer(target: int) -> Sequence[Contact]:
        calls[0] += 1
        if calls[0] == 1:
            raise Refuses
        return network.nearest(moody, target)

    network.behaviour[moody] = answer
    run = network.explore(ALL)
    assert run.exploration.is_complete

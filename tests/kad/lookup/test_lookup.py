from collections.abc import Sequence
from random import Random

import pytest

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.lookup.lookup import Lookup, LookupConfig
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import position
from tests.kad.lookup_network import OWN, Network, Refuses, Run, contact, ground

TARGET = 1 << 255


@pytest.fixture
def random() -> Random:
    return Random(5)


def near(random: Random, amount: int, target: int = TARGET) -> list[Contact]:
    """Contacts, nearest first."""
    return sorted([contact(random) for _ in range(amount)], key=lambda each: each.position ^ target)


def lookup_of(seeds: Sequence[Contact], **settings: float) -> Lookup:
    return Lookup(TARGET, seeds, own=OWN, config=LookupConfig(**settings), now=0.0)  # type: ignore[arg-type]


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def test_it_finds_the_true_twenty_closest_in_few_hops(random: Random) -> None:
    network = Network(random, 600)
    hops = []
    for _ in range(60):
        target = random.getrandbits(256)
        run = network.lookup(target)
        assert run.lookup.closest == network.closest(target)
        assert not run.lookup.is_cut_short
        assert run.lookup.asked <= 40
        hops.append(run.lookup.hops)
    assert percentile(hops, 0.5) <= 4
    assert max(hops) <= 6


def test_from_the_neighbourhood_that_was_found_before_it_is_one_hop(random: Random) -> None:
    network = Network(random, 600)
    for _ in range(20):
        target = random.getrandbits(256)
        found = network.lookup(target).lookup.closest
        again = network.lookup(target, seeds=[*network.seeds(target), *found]).lookup
        assert again.closest == found
        assert again.hops == 1
        assert again.asked == 20


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_dead_contacts_cost_little_time_and_are_not_among_the_closest(random: Random, share: float) -> None:
    network = Network(random, 600)
    dead = network.kill(share)
    times = []
    for _ in range(60):
        target = random.getrandbits(256)
        run = network.lookup(target)
        nearest_alive = next(each for each in network.closest(target, 100) if each.peer_id not in dead)
        assert run.lookup.closest[0] == nearest_alive
        assert not any(each.peer_id in dead for each in run.lookup.answered)
        times.append(run.now)
    assert percentile(times, 0.99) <= 5.0


@pytest.mark.parametrize("is_silent", [True, False])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_contacts_that_liars_invent_do_not_stand_in_the_way(random: Random, share: float, is_silent: bool) -> None:
    network = Network(random, 400)

    def lie(target: int) -> Sequence[Contact]:
        return ground(random, target, 20, 4_000)

    def of_invented(peer_id: PeerId) -> None:
        if not is_silent:
            raise Refuses

    network.answer_of_strangers = of_invented
    network.behaviour.update((peer_id, lie) for peer_id in random.sample(list(network.nodes), int(400 * share)))
    for _ in range(8):
        target = random.getrandbits(256)
        run = network.lookup(target)
        assert run.lookup.closest == network.closest(target)
        assert run.now < 20.0


@pytest.mark.parametrize("round_trip", [0.001, 0.05, 0.9, 9.0])
def test_a_liar_that_always_knows_somebody_closer_ends_with_the_requests_or_the_time(random: Random, round_trip: float) -> None:
    network = Network(random, 50)
    network.round_trip = round_trip
    distance = [1 << 255]

    def closer_ever(target: int) -> Sequence[Contact]:
        distance[0] -= 1 << 240
        new = ground(random, target, 20, 60)
        network.nodes.update((each.peer_id, each) for each in new)
        network.behaviour.update((each.peer_id, closer_ever) for each in new)
        return new * 3

    network.behaviour.update((peer_id, closer_ever) for peer_id in network.nodes)
    run = network.lookup(random.getrandbits(256))
    assert run.lookup.asked <= 200
    assert run.now <= 60.0


def test_a_network_that_is_slow_as_a_whole_is_waited_for(random: Random) -> None:
    network = Network(random, 300)
    network.round_trip = 1.5
    target = random.getrandbits(256)
    run = network.lookup(target)
    assert run.lookup.closest == network.closest(target)
    assert run.now < 20.0


def test_the_same_seed_gives_the_same_course() -> None:
    def course() -> tuple[float, int, int]:
        random = Random(8)
        network = Network(random, 300)
        network.kill(0.4)
        run = network.lookup(random.getrandbits(256))
        return run.now, run.lookup.asked, network.requests

    assert course() == course()


def test_without_anybody_to_ask_it_is_over_at_once() -> None:
    lookup = lookup_of([Contact(OWN)])
    assert lookup.next(0.0) == []
    assert lookup.is_done
    assert lookup.closest == []
    assert lookup.best is None
    assert lookup.next_timeout() is None
    assert lookup.next(1.0) == []
    assert not lookup.is_cut_short


def test_the_closest_are_asked_first_alpha_at_once_and_then_the_rest_of_the_k_closest(random: Random) -> None:
    known = near(random, 30)
    lookup = lookup_of(known[::-1])
    assert lookup.next(0.0) == known[:10]
    for each in known[:2]:
        lookup.on_reply(each.peer_id, [], 0.1)
    assert lookup.next(0.1) == known[10:12]
    lookup.on_reply(known[2].peer_id, [], 0.1)
    assert lookup.next(0.1) == known[12:20]
    for each in known[3:20]:
        assert not lookup.is_done
        lookup.on_reply(each.peer_id, [], 0.2)
        assert lookup.next(0.2) == []
    assert lookup.is_done
    assert lookup.closest == lookup.answered == known[:20]
    assert lookup.best == known[0].position ^ TARGET
    assert lookup.hops == 1


def test_a_silent_peer_gives_up_its_place_after_a_second_and_its_late_reply_still_counts(random: Random) -> None:
    known = near(random, 4)
    lookup = lookup_of(known[1:], alpha=2, k=3)
    assert lookup.next(0.0) == known[1:3]
    assert lookup.next(0.9) == []
    assert lookup.next_timeout() == 1.0
    assert lookup.next(1.0) == known[3:]
    assert lookup.in_flight == [known[3].peer_id, known[1].peer_id, known[2].peer_id]
    assert lookup.on_reply(known[1].peer_id, [known[0]], 1.4) == [known[0]]
    assert lookup.next(1.4) == known[:1]
    lookup.on_reply(known[0].peer_id, [], 1.5)
    lookup.on_reply(known[3].peer_id, [], 1.5)
    assert lookup.closest == [known[0], known[1], known[3]]


def test_the_end_waits_for_slow_peers_as_long_as_the_others_let_expect(random: Random) -> None:
    known = near(random, 3)
    lookup = lookup_of(known)
    lookup.next(0.0)
    lookup.on_reply(known[1].peer_id, [], 0.5)
    lookup.next(1.0)
    lookup.on_reply(known[2].peer_id, [], 1.0)
    assert lookup.next(1.0) == []
    assert lookup.next_timeout() == 2.5, "two and a half times the second that nine of ten took"
    assert not lookup.is_done
    lookup.next(2.5)
    assert lookup.is_done
    assert lookup.closest == known[1:], "one that was waited for in vain is none of the closest"


def test_a_peer_at_the_other_end_of_the_world_is_waited_for_where_others_are_far_away_too(random: Random) -> None:
    known = near(random, 20)
    lookup = lookup_of(known)
    assert lookup.next(0.0) == known[:10]
    for number, each in enumerate(known[1:10]):
        lookup.on_reply(each.peer_id, [], 0.7 if number > 5 else 0.2)
    for each in (*lookup.next(0.7), *lookup.next(1.0)):
        lookup.on_reply(each.peer_id, [], 1.0)
    assert lookup.next(1.1) == []
    assert not lookup.is_done
    lookup.on_reply(known[0].peer_id, [], 1.7)
    assert lookup.next(1.7) == []
    assert lookup.is_done
    assert lookup.closest == known, "half of them answered eight times as fast, but a few did not"


def test_with_no_answer_at_all_it_waits_for_ten_seconds(random: Random) -> None:
    lookup = lookup_of(near(random, 3))
    lookup.next(0.0)
    assert lookup.next_timeout() == 1.0
    lookup.next(1.0)
    assert lookup.next_timeout() == 10.0
    lookup.next(10.0)
    assert lookup.is_done
    assert lookup.closest == lookup.nearest_heard
    assert len(lookup.closest) == 3


def test_a_peer_slower_than_the_others_is_no_longer_relied_upon_before_its_second_is_over(random: Random) -> None:
    known = near(random, 8)
    lookup = lookup_of(known, alpha=5, k=5)
    assert lookup.next(0.0) == known[:5]
    for each in known[1:5]:
        lookup.on_reply(each.peer_id, [], 0.05)
    assert lookup.next(0.05) == []
    assert lookup.next_timeout() == 0.2
    assert lookup.next(0.2) == known[5:6]


def test_who_has_failed_is_replaced_and_never_named(random: Random) -> None:
    known = near(random, 6)
    lookup = lookup_of(known, k=5)
    assert lookup.next(0.0) == known[:5]
    lookup.on_failure(known[0].peer_id, 0.1)
    assert lookup.next(0.1) == known[5:]
    for each in known[1:]:
        lookup.on_reply(each.peer_id, [], 0.2)
    lookup.next(0.2)
    assert lookup.is_done
    assert lookup.closest == known[1:]
    assert lookup.nearest_heard == known[1:]


def test_what_nobody_asked_for_changes_nothing(random: Random) -> None:
    known = near(random, 3)
    lookup = lookup_of(known[:2])
    lookup.next(0.0)
    assert lookup.on_reply(known[2].peer_id, known, 0.1) == []
    lookup.on_failure(known[2].peer_id, 0.1)
    lookup.on_failure(known[0].peer_id, 0.1)
    assert lookup.on_reply(known[0].peer_id, known, 0.1) == [], "its failure was its answer"
    lookup.stop()
    lookup.stop()
    assert lookup.is_done
    assert lookup.is_cut_short
    assert lookup.on_reply(known[1].peer_id, known, 0.1) == []
    lookup.on_failure(known[1].peer_id, 0.1)
    assert lookup.closest == known[1:2]


def test_it_ends_at_its_time_whatever_is_still_out(random: Random) -> None:
    known = near(random, 30)
    lookup = lookup_of(known, timeout=5.0, slow_after=4.0)
    lookup.next(0.0)
    lookup.next(4.0)
    assert lookup.next_timeout() == 5.0
    assert lookup.next(5.0) == []
    assert lookup.is_done
    assert lookup.is_cut_short
    assert len(lookup.in_flight) == 20


def test_it_ends_with_its_requests(random: Random) -> None:
    known = near(random, 30)
    lookup = lookup_of(known, request_limit=12)
    first = lookup.next(0.0)
    for each in first:
        lookup.on_failure(each.peer_id, 0.1)
    for each in lookup.next(0.1):
        lookup.on_failure(each.peer_id, 0.2)
    assert lookup.next(0.2) == []
    assert lookup.is_done
    assert lookup.is_cut_short
    assert lookup.asked == 12


def test_hops_are_the_longest_chain_of_requests_(random: Random) -> None:
    d, c, b, a = near(random, 4)
    lookup = lookup_of([a], k=2)
    for asker, found in ((a, [b]), (b, [c]), (c, [d, b])):
        assert lookup.next(0.0) == [asker]
        lookup.on_reply(asker.peer_id, found, 0.0)
    assert lookup.next(0.0) == [d]
    assert lookup.hops == 4


def test_the_neighbourhood_is_the_closest_and_who_is_next(random: Random) -> None:
    known = near(random, 20)
    lookup = lookup_of(known, k=5, alpha=5)
    asked = lookup.next(0.0)
    lookup.on_failure(asked[0].peer_id, 0.1)
    for each in (*asked[1:], *lookup.next(0.1)):
        lookup.on_reply(each.peer_id, [], 0.1)
    lookup.next(0.1)
    assert lookup.is_done
    assert lookup.closest == known[1:6]
    assert lookup.neighbourhood == known[1:11]


def test_seeds_are_not_doubted_for_who_else_names_them(random: Random) -> None:
    known = near(random, 12)
    lookup = lookup_of(known, alpha=1, beta=1)
    assert lookup.next(0.0) == known[:1]
    lookup.on_reply(known[0].peer_id, known, 0.0)
    assert lookup.next(0.0) == known[1:], "all at once, which nobody's word alone is worth"


def test_of_one_teller_few_contacts_are_asked_before_any_of_them_has_answered(random: Random) -> None:
    *invented, liar = near(random, 21)
    lookup = lookup_of([liar])
    assert lookup.next(0.0) == [liar]
    assert len(lookup.on_reply(liar.peer_id, invented, 0.1)) == 20
    asked = lookup.next(0.1)
    assert asked == invented[:4]
    lookup.on_reply(asked[0].peer_id, [], 0.2)
    assert lookup.next(0.2) == invented[4:7], "one that answers is worth two more at once"
    assert not lookup.is_done


def test_doubtful_contacts_come_last_and_only_a_few(random: Random) -> None:
    *invented, liar = near(random, 31)
    lookup = lookup_of([liar])
    lookup.next(0.0)
    lookup.on_reply(liar.peer_id, invented, 0.1)
    for each in lookup.next(0.1):
        lookup.on_failure(each.peer_id, 0.1)
    assert lookup.nearest_heard == lookup.closest == [liar], "the rest is doubtful by now"
    rest = lookup.next(0.2)
    assert rest == invented[4:14], "but there is nobody else"
    for each in rest:
        lookup.on_failure(each.peer_id, 0.3)
    for each in lookup.next(0.3):
        lookup.on_failure(each.peer_id, 0.4)
    assert lookup.next(0.4) == []
    assert lookup.is_done
    assert lookup.asked == 1 + 4 + 20


def test_a_slow_contact_costs_its_teller_credit_until_it_answers(random: Random) -> None:
    *told, teller = near(random, 11)
    lookup = lookup_of([teller])
    lookup.next(0.0)
    lookup.on_reply(teller.peer_id, told, 0.0)
    asked = lookup.next(0.0)
    assert asked == told[:4]
    late = lookup.next(1.0)
    assert late == told[4:], "all four are slow, the rest is doubtful, and there is nobody else"
    lookup.on_reply(asked[0].peer_id, [], 1.1)
    lookup.on_failure(asked[1].peer_id, 1.1)
    assert lookup.nearest_heard[:1] == told[:1]


def test_too_many_contacts_of_one_answer_are_not_taken(random: Random) -> None:
    *told, teller = near(random, 101)
    lookup = lookup_of([teller])
    lookup.next(0.0)
    assert len(lookup.on_reply(teller.peer_id, [*told, Contact(OWN)], 0.1)) == 40


def test_the_farthest_that_were_not_asked_are_forgotten(random: Random) -> None:
    known = near(random, 30)
    lookup = lookup_of(known[9:19], heard_limit=10)
    assert lookup.next(0.0) == known[9:19]
    assert lookup.on_reply(known[9].peer_id, known[19:], 0.1) == [], "all are asked, and nearer"
    assert lookup.on_reply(known[10].peer_id, known[:3], 0.1) == [], "there is no room, and none that could be forgotten"


def test_a_filter_keeps_contacts_out_but_never_the_target_itself(random: Random) -> None:
    wanted, other, teller = contact(random), contact(random), contact(random)
    lookup = Lookup(wanted.position, [teller], own=OWN, config=LookupConfig(), now=0.0, accept=lambda _: False)
    lookup.next(0.0)
    assert lookup.on_reply(teller.peer_id, [other, wanted], 0.1) == [wanted]


@pytest.mark.parametrize(("crowd", "taken"), [(1, 8), (3, 8), (4, 4)])
def test_up_to_three_of_an_ip_group_are_no_crowd_however_often_each_names_it(crowd: int, taken: int, random: Random) -> None:
    told, teller = [contact(random) for _ in range(8)], contact(random)
    groups = {each.peer_id: ("one", "one") if number < crowd else (str(number),) for number, each in enumerate(told)}
    lookup = Lookup(
        TARGET, [teller], own=OWN, config=LookupConfig(), now=0.0, groups_of=lambda each: groups.get(each.peer_id, ())
    )
    lookup.next(0.0)
    assert len(lookup.on_reply(teller.peer_id, told, 0.1)) == taken


def test_of_a_crowded_ip_group_none_is_taken(random: Random) -> None:
    teller, *told = [contact(random) for _ in range(9)]
    groups = {each.peer_id: ("crowd" if number < 4 else number,) for number, each in enumerate(told)}
    lookup = Lookup(
        TARGET, [teller], own=OWN, config=LookupConfig(), now=0.0, groups_of=lambda each: groups.get(each.peer_id, ())
    )
    lookup.next(0.0)
    assert lookup.on_reply(teller.peer_id, told, 0.1) == told[4:]


def test_a_lookup_in_a_network_of_few_finds_all_of_them(random: Random) -> None:
    network = Network(random, 7)
    run: Run = network.lookup(position(b"any"), seeds=network.closest(0, 1))
    assert run.lookup.closest == network.closest(position(b"any"))

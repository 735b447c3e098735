from random import Random

from cortexnet.kad.lookup.candidates import ANSWERED, Candidate, Candidates
from cortexnet.kad.routing.contact import Contact
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.kad.lookup_network import contact

FIRST, SECOND = Multiaddr.parse("/ip4/192.0.2.1/tcp/1"), Multiaddr.parse("/ip4/192.0.2.1/tcp/2")


def tellers(candidates: Candidates, random: Random, amount: int) -> list[Candidate]:
    told = [contact(random) for _ in range(amount)]
    candidates.hear(told, None)
    return [known(candidates, each) for each in told]


def known(candidates: Candidates, wanted: Contact) -> Candidate:
    return next(candidate for candidate in candidates if candidate.contact.peer_id == wanted.peer_id)


def test_of_several_ways_to_a_peer_the_shortest_counts() -> None:
    random = Random(1)
    candidates = Candidates(0, 100)
    near, far, *others = tellers(candidates, random, 6)
    far.depth = 3
    wanted = contact(random)
    assert candidates.hear([wanted], far)
    candidate = known(candidates, wanted)
    assert candidate.depth == 4
    for teller in others:
        assert not candidates.hear([wanted], teller)
    assert candidate.depth == 2
    assert not candidates.hear([wanted], near)
    assert candidate.tellers == [others[0], far, *others[1:3]], "no more than four are remembered"


def test_what_several_say_of_where_a_peer_is_adds_up() -> None:
    random = Random(1)
    candidates = Candidates(0, 100)
    one, two, three = tellers(candidates, random, 3)
    wanted = contact(random)
    candidates.hear([wanted.with_addresses([FIRST])], one)
    candidate = known(candidates, wanted)
    candidates.hear([wanted.with_addresses([SECOND, FIRST])], two)
    candidates.hear([wanted.with_addresses([FIRST, SECOND])], three)
    assert candidate.contact.addresses == (FIRST, SECOND)
    candidates.hear([wanted.with_addresses([FIRST])], three)
    assert len(candidate.tellers) == 3


def test_once_it_was_asked_nothing_of_it_changes() -> None:
    random = Random(1)
    candidates = Candidates(0, 100)
    one, two = tellers(candidates, random, 2)
    wanted = contact(random)
    candidates.hear([wanted], one)
    candidate = known(candidates, wanted)
    candidate.ask(0.0)
    candidate.answer()
    assert not candidates.hear([wanted.with_addresses([FIRST])], two)
    assert candidate.state == ANSWERED
    assert candidate.tellers == [one]
    assert candidate.contact == wanted
    assert len(candidates) == 3


def test_they_stand_in_the_order_of_their_distance_and_the_farthest_is_forgotten() -> None:
    random = Random(1)
    candidates = Candidates(7, 50)
    told = [contact(random) for _ in range(80)]
    new = candidates.hear(told, None)
    nearest = sorted(told, key=lambda each: each.position ^ 7)[:50]
    assert [candidate.contact for candidate in candidates] == nearest
    assert new[:50] == told[:50]
    assert set(nearest) <= set(new)
    assert candidates.hear(nearest, None) == []

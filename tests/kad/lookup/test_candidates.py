from random import Random

from cortexnet.kad.lookup.candidates import ANSWERED, Candidate, Candidates
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.kad.lookup_network import contact

FIRST, SECOND = Multiaddr.parse("/ip4/192.0.2.1/tcp/1"), Multiaddr.parse("/ip4/192.0.2.1/tcp/2")


def tellers(candidates: Candidates, random: Random, amount: int) -> list[Candidate]:
    told = [contact(random) for _ in range(amount)]
    for each in told:
        candidates.hear(each, None)
    return [found for each in told if (found := candidates.get(each.peer_id)) is not None]


def test_of_several_ways_to_a_peer_the_shortest_counts() -> None:
    random = Random(1)
    candidates = Candidates(0, 100)
    near, far, *others = tellers(candidates, random, 6)
    far.depth = 3
    wanted = contact(random)
    assert candidates.hear(wanted, far)
    candidate = candidates.get(wanted.peer_id)
    assert candidate is not None
    assert candidate.depth == 4
    for teller in others:
        assert not candidates.hear(wanted, teller)
    assert candidate.depth == 2
    assert not candidates.hear(wanted, near)
    assert candidate.tellers == [others[0], far, *others[1:3]], "no more than four are remembered"


def test_what_several_say_of_where_a_peer_is_adds_up() -> None:
    random = Random(1)
    candidates = Candidates(0, 100)
    one, two, three = tellers(candidates, random, 3)
    wanted = contact(random)
    candidates.hear(wanted.with_addresses([FIRST]), one)
    candidate = candidates.get(wanted.peer_id)
    assert candidate is not None
    candidates.hear(wanted.with_addresses([SECOND, FIRST]), two)
    candidates.hear(wanted.with_addresses([FIRST, SECOND]), three)
    assert candidate.contact.addresses == (FIRST, SECOND)
    candidates.hear(wanted.with_addresses([FIRST]), three)
    assert len(candidate.tellers) == 3


def test_once_it_was_asked_nothing_of_it_changes() -> None:
    random = Random(1)
    candidates = Candidates(0, 100)
    one, two = tellers(candidates, random, 2)
    wanted = contact(random)
    candidates.hear(wanted, one)
    candidate = candidates.get(wanted.peer_id)
    assert candidate is not None
    candidate.ask(0.0)
    candidate.answer()
    assert not candidates.hear(wanted.with_addresses([FIRST]), two)
    assert candidate.state == ANSWERED
    assert candidate.tellers == [one]
    assert candidate.contact == wanted
    assert len(candidates) == 3

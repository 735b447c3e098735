from random import Random

from cortexnet.kad.lookup.hearsay import Hearsay
from cortexnet.kad.routing.key import Prefix
from tests.kad.lookup_network import contact

ALL = Prefix(0, 0)
CONTACTS = [contact(Random(seed)) for seed in range(40)]
SEED, OTHER, *REST = CONTACTS


def test_who_has_answered_or_was_there_from_the_start_is_believed_in() -> None:
    hearsay = Hearsay([SEED], 100)
    hearsay.tell(SEED.peer_id, [OTHER], ALL)
    assert hearsay.credible(ALL) == [SEED]
    hearsay.tell(OTHER.peer_id, [], ALL)
    assert hearsay.credible(ALL) == [SEED, OTHER]
    assert list(hearsay.answered) == [SEED.peer_id, OTHER.peer_id]


def test_whose_word_is_borne_out_by_others_is_believed_and_who_invents_is_not() -> None:
    hearsay = Hearsay([SEED, OTHER, REST[0]], 100)
    honest, invented = REST[1:11], REST[11:31]
    hearsay.tell(SEED.peer_id, honest[:8], ALL)
    hearsay.tell(OTHER.peer_id, honest[2:], ALL)
    hearsay.tell(REST[0].peer_id, invented, ALL)
    assert hearsay.credible(ALL) == [SEED, OTHER, REST[0], *honest]
    assert len(hearsay.within(ALL)) == 33


def test_of_those_that_name_a_peer_four_are_remembered_once_each() -> None:
    hearsay = Hearsay(REST[:6], 100)
    for each in [*REST[:6], REST[0]]:
        hearsay.tell(each.peer_id, [OTHER], ALL)
    assert hearsay._tellers[OTHER.peer_id] == [each.peer_id for each in REST[:4]]


def test_who_has_failed_is_left_out_until_it_answers() -> None:
    hearsay = Hearsay([SEED, OTHER], 100)
    hearsay.fail(OTHER.peer_id)
    assert hearsay.within(ALL) == [SEED]
    hearsay.tell(OTHER.peer_id, [], ALL)
    assert hearsay.within(ALL) == [SEED, OTHER]
    hearsay.fail(OTHER.peer_id)
    assert hearsay.within(ALL) == [SEED, OTHER], "it has answered once: it is there"


def test_beyond_the_limit_only_those_of_the_region_are_taken_in_and_not_without_end() -> None:
    region = Prefix(1, 1)
    inside = [each for each in REST if region.contains(each.position)]
    outside = [each for each in REST if not region.contains(each.position)]
    hearsay = Hearsay([SEED], 4)
    hearsay.tell(SEED.peer_id, outside, region)
    assert len(hearsay) == 4
    hearsay.tell(SEED.peer_id, inside, region)
    assert len(hearsay) == 8
    assert len(hearsay.within(region)) in (4, 5)
    assert inside[0].peer_id in hearsay
    assert outside[-1].peer_id not in hearsay

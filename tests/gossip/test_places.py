"""Places of validation: bounded together, and no sender takes all."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.places import PER_FREE, Places
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId

SENDERS = [Identity.generate().peer_id for _ in range(4)]
NEWCOMER = Identity.generate().peer_id


@given(st.integers(1, 40), st.lists(st.tuples(st.sampled_from(SENDERS), st.booleans()), max_size=200))
def test_places_are_bounded_and_a_newcomer_gets_one_while_any_is_free(limit: int, moves: list[tuple[PeerId, bool]]) -> None:
    places, held = Places(limit), Counter[PeerId]()
    for sender, comes in moves:
        if comes and places.has_room(sender):
            places.take(sender)
            held[sender] += 1
            assert held[sender] <= PER_FREE * limit / (PER_FREE + 1) + 1
        elif not comes and held[sender]:
            places.leave(sender)
            held[sender] -= 1
        assert len(places) == held.total() <= limit
        free = limit - len(places)
        for waiting in range(limit):
            assert places.has_room(NEWCOMER, waiting) == (waiting < free)


def test_alone_a_sender_gets_four_fifths_and_ten_leave_some() -> None:
    places = Places(1_000)
    for sender, most in ((SENDERS[0], 800), (SENDERS[1], 160)):
        while places.has_room(sender):
            places.take(sender)
        assert places._held[sender] == most
    assert not Places(0).has_room(NEWCOMER)

"""Places of validation: bounded together, and no sender takes all."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.places import PER_FREE, Places
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId

SENDERS = [Identity.generate().peer_id for _ in range(4)]
NEWCOMER = Identity.generate().peer_id


@given(st.integers(1, 40), st.lists(st.tuples(st.sampled_from(SENDERS), st.booleans()), max_size=200))
def test_places_are_bounded_and_a_newcomer_gets_one(limit: int, moves: list[tuple[PeerId, bool]]) -> None:
    places, numbers = Places[int](limit), count()
    held: dict[PeerId, list[int]] = {sender: [] for sender in SENDERS}
    for sender, comes in moves:
        own = held[sender]
        if comes and not places.has_room(sender) and (surplus := places.surplus(sender)) is not None:
            loser = next(each for each in SENDERS if surplus in held[each])
            assert len(own) < PER_FREE <= len(held[loser])
            assert held[loser].pop() == surplus  # the newest
            places.leave(loser, surplus)
            assert len(held[loser]) >= len(own) + 1
            assert places.has_room(sender)
        if comes and places.has_room(sender):
            own.append(next(numbers))
            places.take(sender, own[-1])
            assert len(own) <= PER_FREE * limit / (PER_FREE + 1) + 1
        elif not comes and own:
            places.leave(sender, own.pop(0))
        assert len(places) == sum(map(len, held.values())) <= limit
        free = limit - len(places)
        is_greedy = any(len(items) >= PER_FREE for items in held.values())
        for waiting in range(limit + 1):
            assert places.has_room(NEWCOMER, waiting) == (waiting < free)
            assert (places.surplus(NEWCOMER, waiting) is not None) == (waiting <= free and is_greedy)


def test_alone_a_sender_gets_four_fifths_and_another_as_much_of_the_rest() -> None:
    places, numbers = Places[int](1_000), count()
    for sender, most in ((SENDERS[0], 800), (SENDERS[1], 160)):
        before = len(places)
        while places.has_room(sender):
            places.take(sender, next(numbers))
        assert len(places) - before == most
    assert not Places[int](0).has_room(NEWCOMER)
    assert Places[int](0).surplus(NEWCOMER) is None

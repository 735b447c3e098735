"""Who is kept connected for a good score, and that it does not change to and fro: the core alone."""

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.identity.peer_id import PeerId
from cortexnet.reputation.favourites import LEAST, MARGIN, STAY, Favourites

PEERS = [PeerId.from_bytes(b"\x00\x02" + number.to_bytes(2)) for number in range(12)]
A, B, C = PEERS[:3]


def test_the_best_get_the_places_that_are_free() -> None:
    best = Favourites(2)
    assert best.look({A: 20, B: 60, C: 40}, 0) == ([B, C], [])
    assert (list(best), len(best), A in best, B in best) == ([B, C], 2, False, True)


def test_a_peer_needs_some_points() -> None:
    best = Favourites(2)
    assert best.look({A: LEAST - 0.1, B: LEAST}, 0) == ([B], [])


def test_one_that_becomes_bad_goes_not_one_that_becomes_a_little_worse() -> None:
    best = Favourites(2)
    best.look({A: 20, B: 20}, 0)
    assert best.look({A: LEAST - MARGIN, B: LEAST - MARGIN - 0.1}, 1) == ([], [B])


def test_one_of_whom_nothing_is_said_goes() -> None:
    best = Favourites(1)
    best.look({A: 20}, 0)
    assert best.look({B: 20}, 1) == ([B], [A])


def test_only_a_clearly_better_one_takes_a_place_and_not_from_a_newcomer() -> None:
    best = Favourites(2)
    best.look({A: 30, B: 20}, 0)
    assert best.look({A: 30, B: 20, C: 90}, STAY - 1) == ([], [])
    assert best.look({A: 30, B: 20, C: 20 + MARGIN}, STAY) == ([], [])
    assert best.look({A: 30, B: 20, C: 20.1 + MARGIN}, STAY) == ([C], [B])
    assert best.look({A: 30, B: 99, C: 30.1}, STAY + 1) == ([B], [A]), "A has been there long enough"
    assert best.look({A: 99, B: 99, C: 30.1}, STAY + 2) == ([], [])


def test_what_is_dropped_is_none_any_more() -> None:
    best = Favourites(1)
    best.look({A: 30}, 0)
    best.drop(A)
    best.drop(A)
    assert best.look({B: 20}, 1) == ([B], [])


@given(
    count=st.integers(0, 4),
    rounds=st.lists(st.dictionaries(st.sampled_from(PEERS), st.floats(-100, 100), max_size=12), max_size=20),
    step=st.sampled_from([1.0, STAY]),
)
def test_whatever_the_scores_are_the_places_suffice(count: int, rounds: list[dict[PeerId, float]], step: float) -> None:
    best, kept = Favourites(count), set[PeerId]()
    for number, scores in enumerate(rounds):
        new, gone = best.look(scores, number * step)
        assert kept.isdisjoint(new)
        assert kept.issuperset(gone)
        kept = kept - set(gone) | set(new)
        assert kept == set(best)
        assert len(best) == len(kept) <= count
        assert all(scores[peer] >= LEAST - MARGIN for peer in kept)

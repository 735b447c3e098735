"""Who stays in a mesh, and who is told by gossip."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.mesh import gossip_count, is_proven, median, pick, surplus


def test_of_a_pick_nobody_is_in_twice() -> None:
    assert sorted(pick(range(5), 9, Random(1))) == [0, 1, 2, 3, 4]
    assert len(set(pick(range(100), 9, Random(1)))) == 9
    assert pick(range(5), 0, Random(1)) == []
    assert pick(range(5), -1, Random(1)) == []


def test_the_best_stay() -> None:
    for seed in range(20):
        leaving = surplus(range(12), float, lambda _: False, target=6, best=4, outbound=0, random=Random(seed))
        assert len(leaving) == 6
        assert max(leaving) < 8


def test_the_others_are_drawn_by_lot() -> None:
    seen = {tuple(surplus(range(12), float, lambda _: False, target=6, best=4, outbound=0, random=Random(n))) for n in range(9)}
    assert len(seen) > 1


def test_peers_that_we_dialed_stay_though_their_score_is_the_lowest() -> None:
    for seed in range(20):
        leaving = surplus(range(12), float, lambda peer: peer < 2, target=6, best=4, outbound=2, random=Random(seed))
        assert len(leaving) == 6
        assert not {0, 1} & set(leaving)
        assert not {8, 9, 10, 11} & set(leaving)


def test_where_all_that_stay_were_dialed_no_more_is_done() -> None:
    leaving = surplus(range(4), float, lambda _: True, target=1, best=1, outbound=2, random=Random(1))
    assert sorted(leaving) == [0, 1, 2]


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.booleans()), max_size=30),
    st.integers(0, 12),
    st.integers(0, 6),
    st.integers(0, 4),
    st.integers(),
)
def test_as_many_stay_as_are_wanted_and_enough_of_them_were_dialed(
    peers: list[tuple[int, bool]], target: int, best: int, outbound: int, seed: int
) -> None:
    leaving = surplus(
        range(len(peers)),
        lambda peer: float(peers[peer][0]),
        lambda peer: peers[peer][1],
        target=target,
        best=best,
        outbound=outbound,
        random=Random(seed),
    )
    staying = [peer for peer in range(len(peers)) if peer not in leaving]
    assert len(leaving) == len(set(leaving))
    assert len(staying) == min(target, len(peers))
    dialed = sum(dialed for _, dialed in peers)
    assert sum(peers[peer][1] for peer in staying) >= min(outbound, dialed, target)


@pytest.mark.parametrize(("scores", "middle"), [([1.0], 1.0), ([3.0, 1.0], 3.0), ([5.0, 1.0, 3.0], 3.0)])
def test_the_median_is_the_upper_one_of_two(scores: list[float], middle: float) -> None:
    assert median(scores) == middle


@pytest.mark.parametrize(
    ("score", "best", "proven"),
    [(3.0, 12.0, True), (2.9, 12.0, False), (12.0, 3.0, True), (0.0, 12.0, False), (0.0, 0.0, False), (0.1, 0.0, True)],
)
def test_who_has_a_quarter_of_the_best_score_is_proven(score: float, best: float, proven: bool) -> None:
    assert is_proven(score, best) is proven


@pytest.mark.parametrize(("candidates", "count"), [(0, 0), (3, 3), (6, 6), (20, 6), (27, 6), (28, 7), (100, 25)])
def test_gossip_goes_to_a_quarter_and_to_six_at_least(candidates: int, count: int) -> None:
    assert gossip_count(candidates, lazy=6, factor=0.25) == count

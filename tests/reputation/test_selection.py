"""Which peer is chosen of several, how load spreads, and when a second one is asked: the core alone."""

import statistics
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.identity.peer_id import PeerId
from cortexnet.reputation.selection import Selection, Standing
from cortexnet.reputation.selection_config import SelectionConfig

ASK = "/test/ask/1.0.0"
PEERS = [PeerId.from_bytes(b"\x00\x02" + number.to_bytes(2)) for number in range(40)]
A, B = PEERS[:2]
NEVER = SelectionConfig(exploration=0.0)


def selection(config: SelectionConfig = NEVER, seed: int = 7) -> Selection:
    return Selection(config, Random(seed))


def share_of(chosen: PeerId, selection: Selection, know: dict[PeerId, Standing], purpose: str = ASK) -> float:
    """How often it is the one of all who are known."""
    picks = [selection.pick(list(know), 1, purpose, know.__getitem__) for _ in range(400)]
    return sum(pick == [chosen] for pick in picks) / len(picks)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Standing(response_time=0.05), Standing(response_time=0.1)),
        (Standing(response_time=0.05), Standing()),  # nobody's time is known: a tenth of a second
        (Standing(), Standing(in_flight=1)),
        (Standing(response_time=0.05, in_flight=1), Standing(response_time=0.05, in_flight=2)),
        (Standing(in_flight=1), Standing(in_flight=1, silence=0.2)),
        (Standing(response_time=0.2, in_flight=1, silence=0.1), Standing(response_time=0.3, in_flight=1, silence=0.1)),
        (Standing(score=80), Standing(score=40)),
        (Standing(), Standing(score=-30)),
        (Standing(), Standing(is_connected=False)),
        (Standing(response_time=0.1, is_connected=False), Standing(response_time=0.5)),
        (Standing(score=100, response_time=0.2), Standing(response_time=0.1)),
    ],
)
def test_of_two_the_cheaper_one_is_taken(better: Standing, worse: Standing) -> None:
    assert share_of(A, selection(), {A: better, B: worse}) == 1
    assert share_of(A, selection(), {B: worse, A: better}) == 1


def test_between_two_that_are_alike_chance_decides() -> None:
    assert 0.4 < share_of(A, selection(), {A: Standing(response_time=0.1), B: Standing(response_time=0.11)}) < 0.6


def test_response_times_that_were_seen_count_before_what_is_told() -> None:
    choice = selection()
    choice.answered(A, ASK, 0.5)
    choice.answered(B, ASK, 0.01)
    know = {A: Standing(response_time=0.001), B: Standing(response_time=1)}
    assert share_of(A, choice, know) == 0
    assert share_of(A, choice, know, purpose="another") == 1, "each purpose has times of its own"


def test_a_peer_that_becomes_slow_is_avoided_after_a_few_answers() -> None:
    choice = selection()
    for _ in range(100):
        choice.answered(A, ASK, 0.01)
        choice.answered(B, ASK, 0.02)
    choice.answered(A, ASK, 1.0)
    assert share_of(A, choice, {A: Standing(), B: Standing()}) == 0
    for _ in range(20):
        choice.answered(A, ASK, 0.01)
    assert share_of(A, choice, {A: Standing(), B: Standing()}) == 1


def test_failures_in_a_row_double_the_cost_and_an_answer_ends_them() -> None:
    choice = selection()
    for peer in (A, B):
        choice.answered(peer, ASK, 0.1)
    choice.failed(A, ASK)
    assert share_of(A, choice, {A: Standing(), B: Standing(in_flight=0)}) == 0
    choice.answered(A, ASK, 0.1)
    assert 0.4 < share_of(A, choice, {A: Standing(), B: Standing()}) < 0.6
    for _ in range(50):
        choice.failed(A, ASK)
    assert share_of(A, choice, {A: Standing(), B: Standing(in_flight=30)}) == 1, "four doublings at most"


def test_a_draw_of_two_slow_ones_is_drawn_again() -> None:
    """Of ten with three slow ones, 1 of 15 draws has two of these: more than one in twenty, so the p95 would be theirs."""
    choice, counts = selection(), Counter[PeerId]()
    for number, peer in enumerate(PEERS[:10]):
        choice.answered(peer, ASK, 1.0 if number < 3 else 0.1)
    for _ in range(4_000):
        counts.update(choice.pick(PEERS[:10], 1, ASK, lambda _: Standing()))
    slow = sum(counts[peer] for peer in PEERS[:3])
    assert slow < 0.015 * 4_000
    assert max(counts.values()) < 0.25 * 4_000


def test_some_choices_fall_on_anybody() -> None:
    choice = selection(SelectionConfig(exploration=0.2))
    know = {A: Standing(response_time=0.01), B: Standing(response_time=9.0)}
    assert 0.05 < share_of(B, choice, know) < 0.15


def test_several_are_chosen_each_once() -> None:
    choice = selection()
    assert choice.pick([], 1, ASK, lambda _: Standing()) == []
    assert choice.pick([A], 3, ASK, lambda _: Standing()) == [A]
    assert choice.pick([A, B], 0, ASK, lambda _: Standing()) == []
    chosen = choice.pick([*PEERS, *PEERS], 100, ASK, lambda _: Standing())
    assert sorted(map(bytes, chosen)) == sorted(map(bytes, PEERS))


@given(
    count=st.integers(0, 12),
    n=st.integers(0, 14),
    seed=st.integers(0, 1_000),
    exploration=st.sampled_from([0.0, 0.5, 1.0]),
    standings=st.lists(
        st.builds(
            Standing,
            score=st.floats(-100, 100),
            in_flight=st.integers(0, 5_000),
            is_connected=st.booleans(),
            response_time=st.none() | st.floats(0, 1e6),
        ),
        min_size=12,
        max_size=12,
    ),
)
def test_whatever_is_known_as_many_are_chosen_as_there_are(
    count: int, n: int, seed: int, exploration: float, standings: list[Standing]
) -> None:
    know = dict(zip(PEERS, standings, strict=False))
    chosen = selection(SelectionConfig(exploration=exploration), seed).pick(PEERS[:count], n, ASK, know.__getitem__)
    assert len(chosen) == len(set(chosen)) == min(n, count)
    assert set(chosen) <= set(PEERS[:count])


@pytest.mark.parametrize("count", [10, 20, 40])
@pytest.mark.parametrize("slow", [5, 10, 50])
def test_with_three_tenths_slow_the_tail_is_half_of_chance_and_nobody_has_a_quarter(count: int, slow: int) -> None:
    """Goal of the design: p95 at most half of random choice's, no peer above 25 % of the load. Slow ones take `slow` times."""
    random, choice, peers = Random(11), selection(SelectionConfig()), PEERS[:count]
    usual = {peer: random.uniform(0.02, 0.08) * (slow if number < 0.3 * count else 1) for number, peer in enumerate(peers)}

    def take(peer: PeerId) -> float:
        return usual[peer] * random.uniform(0.8, 1.6)

    by_chance = sorted(take(random.choice(peers)) for _ in range(2_000))
    chosen, times = Counter[PeerId](), list[float]()
    for _ in range(2_000):
        (peer,) = choice.pick(peers, 1, ASK, lambda _: Standing())
        times.append(take(peer))
        chosen[peer] += 1
        choice.answered(peer, ASK, times[-1])
    assert statistics.quantiles(times, n=20)[-1] <= statistics.quantiles(by_chance, n=20)[-1] / 2
    assert max(chosen.values()) <= 0.25 * 2_000


# --- a second try


def test_second_tries_are_a_share_of_the_requests() -> None:
    choice = selection(SelectionConfig(hedges=0.1, hedge_burst=3))
    taken = 0
    for _ in range(1_000):
        choice.asked()
        taken += choice.take_hedge()
    assert 100 <= taken <= 103
    for _ in range(1_000):
        choice.asked()
    assert [choice.take_hedge() for _ in range(5)] == [True, True, True, False, False], "no more is saved up than that"


def test_patience_is_a_little_more_than_a_peer_hardly_ever_needs() -> None:
    choice = selection(SelectionConfig(hedge_default=1.0, hedge_least=0.01))
    assert choice.patience(A, ASK, None) == 1.0
    assert choice.patience(A, ASK, 0.4) == 0.5
    for number in range(7):
        choice.answered(A, ASK, 0.1)
        assert choice.patience(A, ASK, 0.4) == 0.5, f"{number + 1} answers do not say much"
    choice.answered(A, ASK, 0.1)
    assert choice.patience(A, ASK, 0.4) == pytest.approx(0.125)
    for _ in range(100):
        choice.answered(A, ASK, 0.0001)
    assert choice.patience(A, ASK, 0.4) == 0.01


def test_a_time_that_nobody_waited_for_counts_only_where_it_says_something() -> None:
    choice = selection()
    choice.abandoned(A, ASK, 5.0)  # nothing to compare it with
    assert choice.patience(A, ASK, None) == 1.0
    for _ in range(20):
        choice.answered(B, ASK, 0.1)
    choice.abandoned(A, ASK, 0.05)  # it may have been about to answer
    assert share_of(A, choice, {A: Standing(response_time=0.01), B: Standing()}) == 1
    choice.abandoned(A, ASK, 0.5)
    assert share_of(A, choice, {A: Standing(response_time=0.01), B: Standing()}) == 0
    choice.abandoned(A, ASK, 0.4)
    for number in range(1, 8):
        choice.abandoned(A, ASK, 5.0 * 4**number)
    assert choice.patience(A, ASK, None) == pytest.approx(1.25 * 2 * 5.0 * 4**7), "it would have gone on, nobody knows how long"


def test_what_is_remembered_is_bounded() -> None:
    choice = selection(SelectionConfig(remembered=3, exploration=0.0))
    for peer in PEERS[:3]:
        choice.failed(peer, ASK)
    choice.failed(PEERS[0], ASK)
    choice.answered(PEERS[3], ASK, 0.1)
    assert len(choice) == 3
    know = {PEERS[0]: Standing(), PEERS[1]: Standing()}
    assert share_of(PEERS[1], choice, know) == 1, "it was least recently used, and is forgotten"
    for number in range(200):
        choice.answered(A, f"purpose {number}", 0.1)
    assert len(choice) == 3

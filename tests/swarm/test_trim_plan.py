"""Trimming: who is closed first, who never is, and how many; idle connections."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.swarm.manager_config import Watermarks
from cortexnet.swarm.trim_plan import Held, idle, next_idle, next_trim, surplus, trim

GRACE = 20.0
NOW = 1000.0
OLD = Held(value=0.0, opened=0.0, used=0.0)
PROTECTED = replace(OLD, is_protected=True)
YOUNG = Held(value=0.0, opened=NOW - 1, used=NOW - 1)

held = st.builds(
    Held,
    value=st.sampled_from([-1.0, 0.0, 0.5, 7.0]),
    is_needed=st.booleans(),
    opened=st.floats(0, NOW),
    used=st.floats(0, NOW),
    streams=st.integers(0, 3),
    is_inbound=st.booleans(),
    is_relayed=st.booleans(),
    is_protected=st.booleans(),
)
marks = st.tuples(st.integers(1, 12), st.integers(0, 12)).map(lambda pair: Watermarks(pair[0], pair[0] + pair[1]))


def is_young(one: Held) -> bool:
    return one.opened + GRACE > NOW


def test_up_to_the_high_watermark_nothing_is_closed() -> None:
    assert trim([OLD] * 6, NOW, Watermarks(3, 6), grace=GRACE) == []
    assert len(trim([OLD] * 7, NOW, Watermarks(3, 6), grace=GRACE)) == 4


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (replace(OLD, value=-1.0, streams=3), OLD),
        (replace(OLD, value=1.0), replace(OLD, value=2.0)),
        (OLD, replace(OLD, streams=1, is_inbound=True, is_relayed=True)),
        (replace(OLD, is_relayed=True), replace(OLD, is_inbound=True)),
        (replace(OLD, is_inbound=True), OLD),
        (replace(OLD, streams=1, opened=5.0), replace(OLD, streams=2, opened=6.0)),
        (replace(OLD, opened=6.0), replace(OLD, opened=5.0)),
    ],
    ids=["of low value", "of lower value", "idle", "relayed", "inbound", "with few streams", "the youngest"],
)
def test_what_is_closed_first(first: Held, then: Held) -> None:
    assert surplus([then, first], NOW, 1, grace=GRACE) == [1]
    assert surplus([first, then], NOW, 1, grace=GRACE) == [0]


def test_of_equals_the_one_that_was_named_first_is_closed_first() -> None:
    assert surplus([OLD, OLD, OLD], NOW, 1, grace=GRACE) == [0, 1]


def test_a_crowd_of_newcomers_pushes_nobody_out() -> None:
    crowd = [YOUNG] * 50
    assert trim([*crowd, *[OLD] * 3], NOW, Watermarks(3, 6), grace=GRACE) == []
    assert trim([*crowd, *[OLD] * 4], NOW, Watermarks(3, 6), grace=GRACE) == [50]


def test_the_end_of_a_grace_is_to_the_instant() -> None:
    settled, young = replace(OLD, opened=NOW - GRACE), replace(OLD, opened=NOW - GRACE + 0.5)
    assert trim([settled, young], NOW, Watermarks(0, 1), grace=GRACE) == [0]
    assert trim([young, young], NOW, Watermarks(0, 1), grace=GRACE) == []
    assert next_trim([young, replace(young, opened=NOW)], NOW, Watermarks(0, 1), grace=GRACE) == NOW + 0.5


def test_where_no_grace_is_left_to_end_no_time_is_known() -> None:
    assert next_trim([OLD, PROTECTED], NOW, Watermarks(1, 1), grace=GRACE) is None
    assert next_trim([replace(YOUNG, is_protected=True)] * 2, NOW, Watermarks(1, 1), grace=GRACE) is None
    assert next_trim([YOUNG], NOW, Watermarks(1, 1), grace=GRACE) is None


@given(st.lists(held, max_size=20), marks)
def test_a_trim_closes_what_it_may_and_no_more_than_it_must(connections: list[Held], marks: Watermarks) -> None:
    closed = trim(connections, NOW, marks, grace=GRACE)
    assert len(set(closed)) == len(closed)
    assert not any(connections[number].is_protected or is_young(connections[number]) for number in closed)
    settled = sum(one.is_protected or not is_young(one) for one in connections)
    open_to_choice = sum(not (one.is_protected or is_young(one)) for one in connections)
    if len(connections) <= marks.high:
        assert closed == []
    else:
        assert len(closed) == min(open_to_choice, max(0, settled - marks.low))
        assert len(connections) - len(closed) >= marks.low


@given(st.lists(held, max_size=20), marks)
def test_none_that_stays_is_worth_less_than_one_that_goes(connections: list[Held], marks: Watermarks) -> None:
    closed = trim(connections, NOW, marks, grace=GRACE)
    stayed = [one for number, one in enumerate(connections) if number not in closed]
    worth = [one.value for one in stayed if not (one.is_protected or is_young(one))]
    assert all(connections[number].value <= least for number in closed for least in worth)
    values = [(connections[number].value, connections[number].streams > 0) for number in closed]
    assert values == sorted(values)


@given(st.lists(held, max_size=20, unique_by=lambda one: one.opened), marks, st.randoms())
def test_the_order_in_which_they_are_named_changes_nothing(connections: list[Held], marks: Watermarks, random: object) -> None:
    shuffled = list(connections)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = [connections[number] for number in trim(connections, NOW, marks, grace=GRACE)]
    other = [shuffled[number] for number in trim(shuffled, NOW, marks, grace=GRACE)]
    assert one == other


@given(st.lists(held, max_size=20), marks)
def test_there_is_something_new_to_trim_when_it_says_so(connections: list[Held], marks: Watermarks) -> None:
    due = next_trim(connections, NOW, marks, grace=GRACE)
    if due is not None:
        before, after = (surplus(connections, when, 0, grace=GRACE) for when in (NOW, due))
        assert due > NOW
        assert len(after) > len(before)


# --- idle


def test_a_connection_without_streams_is_idle_at_its_time_and_not_before() -> None:
    assert idle([OLD], 29.9, 30.0) == []
    assert idle([OLD], 30.0, 30.0) == [0]
    assert next_idle([OLD, replace(OLD, used=5.0)], 30.0) == 30.0


@pytest.mark.parametrize(
    "one", [replace(OLD, streams=1), PROTECTED, replace(OLD, value=0.5, is_needed=True)], ids=["busy", "protected", "tagged"]
)
def test_what_is_in_use_or_worth_something_is_not_idle(one: Held) -> None:
    assert idle([one], NOW, 30.0) == []
    assert next_idle([one], 30.0) is None


def test_a_name_keeps_no_connection_be_it_good_or_bad() -> None:
    assert idle([replace(OLD, value=-1.0), replace(OLD, value=6.0)], NOW, 30.0) == [0, 1]


@given(st.lists(held, max_size=10), st.floats(0.1, 2000))
def test_idle_connections_are_found_at_the_time_that_was_told(connections: list[Held], timeout: float) -> None:
    due = next_idle(connections, timeout)
    if due is not None:
        assert idle(connections, due, timeout)
        earlier = [number for number in idle(connections, due, timeout) if connections[number].used + timeout < due]
        assert earlier == []

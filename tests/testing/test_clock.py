"""SimClock: order, ties, time that never goes back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError
from cortexnet.testing.clock import SimClock


@given(st.lists(st.floats(0, 100)))
def test_actions_run_in_the_order_of_their_times_and_ties_in_the_order_they_were_made(times: list[float]) -> None:
    clock = SimClock()
    seen: list[tuple[float, int]] = []
    for index, when in enumerate(times):
        clock.call_at(when, lambda now, index=index: seen.append((now, index)))
    clock.run_until(100)
    assert seen == sorted((when, index) for index, when in enumerate(times))
    assert clock.now == 100


def test_what_is_due_after_the_deadline_waits() -> None:
    clock = SimClock()
    seen: list[float] = []
    clock.call_at(1, seen.append)
    clock.call_at(2, seen.append)
    clock.run_until(1)
    assert (seen, clock.now, len(clock), clock.next_time()) == ([1], 1, 1, 2)
    clock.run_until(1.5)
    assert (seen, clock.now) == ([1], 1.5)


def test_an_action_may_add_actions_that_are_due_in_the_same_run() -> None:
    clock = SimClock(start=10)
    seen: list[float] = []

    def again(now: float) -> None:
        seen.append(now)
        if now < 13:
            clock.call_later(1, again)

    clock.call_later(1, again)
    clock.run_until(20)
    assert seen == [11, 12, 13]


def test_a_time_that_has_passed_means_now() -> None:
    clock = SimClock(start=5)
    seen: list[float] = []
    clock.call_at(1, seen.append)
    clock.run_until(3)
    assert clock.now == 5
    assert seen == []
    clock.run_until(5)
    assert seen == [5]


def test_nan_is_refused() -> None:
    with pytest.raises(LocalError):
        SimClock().call_at(math.nan, print)


def test_an_error_of_an_action_comes_out_and_the_rest_stays() -> None:
    clock = SimClock()
    seen: list[float] = []

    def fail(now: float) -> None:
        raise ZeroDivisionError

    clock.call_at(1, fail)
    clock.call_at(2, seen.append)
    with pytest.raises(ZeroDivisionError):
        clock.run_until(3)
    assert clock.now == 1
    clock.run_until(3)
    assert seen == [2]


def test_running_until_idle_ends_where_nothing_is_left() -> None:
    clock = SimClock()
    seen: list[float] = []
    clock.call_at(1000, seen.append)
    clock.run_until_idle()
    assert (seen, clock.now, clock.next_time(), clock.step()) == ([1000], 1000, None, False)


def test_running_until_idle_gives_up_on_what_re_arms_itself() -> None:
    clock = SimClock()

    def again(now: float) -> None:
        clock.call_later(1, again)

    clock.call_later(1, again)
    with pytest.raises(LocalError, match="not idle after 10 actions"):
        clock.run_until_idle(limit=10)


def test_a_limit_that_is_just_enough_is_enough() -> None:
    clock = SimClock()
    clock.call_at(1, lambda now: None)
    clock.run_until_idle(limit=1)
    assert len(clock) == 0

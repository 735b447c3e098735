"""ReceiveWindow: when credit is due, how much, and when the window grows."""

import pytest

from cortexnet.mux.window import INITIAL_WINDOW, ReceiveWindow

MIB = 1024 * 1024
HALF = INITIAL_WINDOW // 2


def window(limit: int = 16 * MIB) -> ReceiveWindow:
    return ReceiveWindow(limit, 0.0)


def test_a_stream_starts_with_256_kib_that_need_no_credit() -> None:
    fresh = window()
    assert (fresh.credit, fresh.target, fresh.promised) == (262_144, 262_144, 262_144)
    assert not fresh.is_due(0)
    assert fresh.grant(0, 0.0) == 0


@pytest.mark.parametrize(
    ("used", "unread", "is_due"), [(HALF - 1, 0, False), (HALF, 0, True), (HALF, 1, False), (HALF + 1, 1, True)]
)
def test_credit_is_due_once_half_a_window_was_read(used: int, unread: int, is_due: bool) -> None:
    half_used = window()
    half_used.credit -= used
    assert half_used.is_due(unread) is is_due


def test_credit_is_returned_up_to_what_is_unread() -> None:
    used = window()
    used.credit = 1_000
    assert used.grant(50_000, 1.0) == INITIAL_WINDOW - 51_000
    assert used.credit + 50_000 == INITIAL_WINDOW


@pytest.mark.parametrize(
    ("now", "round_trip", "unread", "growth"),
    [
        (0.39, 0.1, 0, INITIAL_WINDOW),
        (0.40, 0.1, 0, 0),
        (0.39, None, 0, 0),
        (0.39, 0.1, INITIAL_WINDOW // 4, INITIAL_WINDOW),
        (0.39, 0.1, INITIAL_WINDOW // 4 + 1, 0),
    ],
    ids=["in time", "after four round trips", "not measured", "a reader that keeps up", "a reader that does not"],
)
def test_a_window_doubles_where_it_held_the_sender_back(now: float, round_trip: float | None, unread: int, growth: int) -> None:
    assert window().wants_growth(unread, now, round_trip) == growth


@pytest.mark.parametrize(
    ("limit", "growth"), [(INITIAL_WINDOW, 0), (INITIAL_WINDOW + 1, 1), (3 * INITIAL_WINDOW, INITIAL_WINDOW)]
)
def test_a_window_grows_to_its_limit_and_no_further(limit: int, growth: int) -> None:
    assert window(limit).wants_growth(0, 0.0, 1.0) == growth


def test_time_is_counted_from_the_last_return() -> None:
    grown = window()
    grown.grant(0, 10.0)
    assert grown.wants_growth(0, 10.3, 0.1)
    assert not grown.wants_growth(0, 10.5, 0.1)


def test_a_demand_raises_what_is_granted_and_what_is_promised() -> None:
    demanded = window()
    demanded.demand = MIB
    assert demanded.promised == MIB
    assert demanded.grant(100, 0.0) == 0
    assert demanded.grant_demand(100, 0.0) == MIB - 100 - INITIAL_WINDOW
    demanded.credit = 0
    assert demanded.grant(0, 0.0) == INITIAL_WINDOW
    demanded.demand = 0
    assert demanded.promised == INITIAL_WINDOW
    assert demanded.grant(100, 0.0) == 0
    assert not demanded.is_due(0)


@pytest.mark.parametrize(
    ("credit", "unread", "target"),
    [(4 * MIB, 0, 4 * MIB), (MIB, 2 * MIB, 3 * MIB), (1_000, 2_000, INITIAL_WINDOW), (8 * MIB, 0, 4 * MIB)],
)
def test_growth_can_be_given_back_as_far_as_it_was_not_granted(credit: int, unread: int, target: int) -> None:
    grown = window()
    grown.target, grown.credit = 4 * MIB, credit
    grown.stop_growth(unread)
    assert grown.target == target

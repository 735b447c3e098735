"""Liveness: when to ping, what a pong says, and when silence is death."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.mux.liveness import Liveness


def taken(liveness: Liveness, *, until: float) -> list[tuple[float, int]]:
    """The pings that are due until then, each answered at once."""
    pings: list[tuple[float, int]] = []
    now = 0.0
    while now <= until:
        value = liveness.take_ping(now)
        if value is not None:
            pings.append((now, value))
            liveness.receive_pong(value, now)
        now = liveness.next_timeout()
    return pings


def test_pings_go_out_at_the_start_soon_again_and_then_in_each_interval() -> None:
    assert taken(Liveness(30.0, 40.0), until=70.0) == [(0.0, 1), (0.1, 2), (1.0, 3), (31.0, 4), (61.0, 5)]


def test_a_ping_is_not_sent_while_another_is_under_way() -> None:
    liveness = Liveness(30.0, 40.0)
    assert liveness.take_ping(0.0) == 1
    assert liveness.take_ping(0.1) is None
    assert liveness.take_ping(1.0) is None
    assert liveness.receive_pong(1, 5.0) == 5.0
    assert liveness.take_ping(30.9) is None
    assert liveness.take_ping(31.0) == 2


def test_only_the_pong_that_was_asked_for_counts_and_only_once() -> None:
    liveness = Liveness(30.0, 40.0)
    assert liveness.receive_pong(1, 0.0) is None
    liveness.take_ping(0.0)
    assert liveness.receive_pong(2, 0.1) is None
    assert liveness.receive_pong(1, 0.2) == pytest.approx(0.2)
    assert liveness.receive_pong(1, 0.3) is None


def test_the_round_trip_is_the_least_of_the_last_four() -> None:
    liveness = Liveness(1.0, 40.0)
    seen = []
    now = 0.0
    for seconds in (0.5, 0.25, 0.75, 0.5, 0.5, 0.625):
        value = liveness.take_ping(now)
        assert value is not None
        assert liveness.receive_pong(value, now + seconds) == seconds
        seen.append(liveness.round_trip)
        now += 1.0
    assert seen == [0.5, 0.25, 0.25, 0.25, 0.25, 0.5]


def test_a_clock_that_stands_still_measures_zero() -> None:
    liveness = Liveness(30.0, 40.0)
    liveness.take_ping(5.0)
    assert liveness.receive_pong(1, 4.0) == 0.0


def test_values_wrap_at_32_bits() -> None:
    liveness = Liveness(0.0, 40.0)
    liveness._value = 0xFFFF_FFFE
    assert [value for _, value in taken(liveness, until=0.1)][:2] == [0xFFFF_FFFF, 0]


def test_the_clock_of_silence_starts_with_the_first_look() -> None:
    liveness = Liveness(30.0, 40.0)
    assert liveness.next_timeout() == float("-inf")
    assert not liveness.is_silent(1_000.0)
    assert not liveness.is_silent(1_039.9)
    assert liveness.is_silent(1_040.0)


def test_a_byte_ends_the_silence() -> None:
    liveness = Liveness(100.0, 40.0)
    assert not liveness.is_silent(0.0)
    liveness.take_ping(0.0)
    liveness.heard = 39.0
    assert not liveness.is_silent(78.9)
    assert liveness.is_silent(79.0)


@given(st.floats(0, 1e9), st.floats(0.001, 1e3))
def test_silence_is_seen_at_the_very_time_that_was_asked_for(heard: float, limit: float) -> None:
    """A core that is too early by a rounding error would be called at that same time for ever, where time is virtual."""
    liveness = Liveness(1e9, limit)
    liveness.take_ping(heard)
    liveness.receive_pong(1, heard)
    liveness.take_ping(heard + 0.1)
    liveness.take_ping(heard + 1.1)
    liveness.heard = heard
    assert liveness.is_silent(heard + limit)


# --- doubt


def test_a_probe_is_a_ping_at_once_and_without_a_byte_the_connection_is_dead_in_time() -> None:
    liveness = Liveness(30.0, 40.0)
    taken(liveness, until=5.0)
    liveness.heard = 5.0
    liveness.probe(5.0, 10.0)
    assert liveness.next_timeout() == 10.0
    assert liveness.take_ping(10.0) == 4
    assert liveness.next_timeout() == 15.0
    assert not liveness.is_silent(14.9)
    assert liveness.is_silent(15.0)
    assert liveness.reason == "not a byte after the network had changed"


def test_any_byte_answers_a_probe() -> None:
    liveness = Liveness(30.0, 40.0)
    taken(liveness, until=5.0)
    liveness.probe(5.0, 10.0)
    liveness.heard = 12.0
    assert not liveness.is_silent(15.0)
    assert not liveness.is_silent(51.9)
    assert liveness.is_silent(52.0)
    assert liveness.reason == "not a byte for 40 s"


def test_a_byte_before_the_probe_is_no_answer_but_one_at_the_same_time_is() -> None:
    liveness = Liveness(30.0, 40.0)
    liveness.is_silent(10.0)
    liveness.probe(5.0, 10.0)
    assert liveness.is_silent(15.0)
    liveness.heard = 10.0
    assert not liveness.is_silent(15.0)


def test_a_second_probe_gives_nobody_more_time() -> None:
    liveness = Liveness(30.0, 40.0)
    liveness.is_silent(0.0)
    liveness.probe(5.0, 10.0)
    liveness.probe(5.0, 14.0)
    assert liveness.is_silent(15.0)
    liveness.heard = 14.0
    liveness.probe(5.0, 14.5)
    assert not liveness.is_silent(19.4)
    assert liveness.is_silent(19.5)


def test_a_session_that_was_never_looked_at_can_be_probed() -> None:
    liveness = Liveness(30.0, 40.0)
    liveness.probe(5.0, 10.0)
    assert not liveness.is_silent(14.9)
    assert liveness.is_silent(15.0)


def test_a_probe_sends_no_second_ping() -> None:
    liveness = Liveness(30.0, 40.0)
    assert liveness.take_ping(0.0) == 1
    liveness.probe(5.0, 0.05)
    assert liveness.take_ping(0.05) is None

"""Tags: what peers are worth, how it fades, who is protected, and how all of it stays bounded."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cortexnet.admission.limits import Limits
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.swarm.tags import FORGET_AFTER, LARGEST, STANDING, FixedSteps, HalfLife, Tags

PEERS = [PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in range(12)]
A, B, C, D = PEERS[:4]


def tags(**limits: int) -> Tags:
    return Tags(Limits(**limits))


# --- values


def test_a_peer_is_worth_the_sum_of_its_tags() -> None:
    table = tags()
    assert (table.value(A, 0.0), table.of(A, 0.0), len(table)) == (0, {}, 0)
    table.set(A, "dht", 5, 0.0)
    table.set(A, "gossip", 20.5, 0.0)
    table.set(A, "bad", -3, 0.0)
    table.set(A, "dht", 7, 0.0)
    assert table.of(A, 0.0) == {"dht": 7, "gossip": 20.5, "bad": -3}
    assert (table.value(A, 0.0), table.value(B, 0.0)) == (24.5, 0)
    table.remove(A, "gossip", 0.0)
    table.remove(A, "gossip", 0.0)
    assert table.value(A, 0.0) == 4


def test_a_good_name_is_worth_something_and_no_need() -> None:
    table = tags()
    assert table.need(A, 0.0) == 0
    table.set(A, STANDING, 7, 0.0)
    assert (table.value(A, 0.0), table.need(A, 0.0)) == (7, 0)
    table.set(A, "dht", 5, 0.0)
    table.set(A, STANDING, -9, 0.0)
    assert (table.value(A, 0.0), table.need(A, 0.0)) == (-4, 5)


def test_a_peer_without_tags_takes_no_place() -> None:
    table = tags()
    table.connected(B, 0.0)
    for peer in (A, B):
        table.set(peer, "dht", 5, 0.0)
        table.remove(peer, "dht", 0.0)
        table.remove(peer, "dht", 0.0)
    assert len(table) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), "20", None])
def test_a_value_is_a_finite_number(value: Any) -> None:
    table = tags()
    table.declare("fades", HalfLife(1))
    with pytest.raises(LocalError, match="finite"):
        table.set(A, "dht", value, 0.0)
    with pytest.raises(LocalError, match="finite"):
        table.bump(A, "fades", value, 0.0)
    assert len(table) == 0


def test_a_value_is_cut_where_a_sum_could_become_infinite() -> None:
    table = tags()
    table.set(A, "dht", 1e300, 0.0)
    table.set(A, "bad", -1e300, 0.0)
    assert table.of(A, 0.0) == {"dht": LARGEST, "bad": -LARGEST}


# --- what fades


def test_by_half_life_half_is_left_after_each() -> None:
    table = tags()
    table.declare("seen", HalfLife(60))
    table.bump(A, "seen", 8, 0.0)
    assert [table.value(A, now) for now in (0.0, 60.0, 120.0, 180.0)] == [8, 4, 2, 1]
    table.bump(A, "seen", 3, 180.0)
    assert table.value(A, 240.0) == 2


def test_by_fixed_steps_as_much_goes_after_each_interval_and_nothing_between() -> None:
    table = tags()
    table.declare("seen", FixedSteps(3, interval=10))
    table.bump(A, "seen", 8, 0.0)
    assert [table.value(A, now) for now in (0.0, 9.9, 10.0, 20.0, 29.9)] == [8, 8, 5, 2, 2]
    table.bump(A, "seen", 4, 15.0)
    assert [table.value(A, now) for now in (19.9, 20.0)] == [9, 6], "an interval that had begun goes on"


def test_a_bad_name_fades_too() -> None:
    table = tags()
    table.declare("bad", FixedSteps(3, interval=10))
    table.bump(A, "bad", -8, 0.0)
    assert [table.value(A, now) for now in (10.0, 20.0, 30.0)] == [-5, -2, 0]


def test_what_has_faded_away_takes_no_place() -> None:
    table = tags()
    table.declare("seen", HalfLife(1))
    table.bump(A, "seen", 1, 0.0)
    table.set(B, "dht", 1, 0.0)
    table.declare("other", FixedSteps(1, interval=1))
    table.bump(B, "other", 1, 0.0)
    table.bump(B, "seen", 1e6, 0.0)
    assert table.of(A, 10.0) == {}
    assert table.of(B, 10.0) == {"dht": 1, "seen": pytest.approx(976.5625)}
    assert len(table) == 1


def test_how_a_tag_is_bumped_is_its_owners_business() -> None:
    table = tags()
    table.declare("capped", HalfLife(60), lambda value, amount: min(10, value + amount))
    for _ in range(5):
        table.bump(A, "capped", 4, 0.0)
    assert table.value(A, 0.0) == 10


def test_a_clock_that_goes_back_changes_nothing() -> None:
    table = tags()
    table.declare("seen", HalfLife(60))
    table.bump(A, "seen", 8, 100.0)
    assert table.value(A, 0.0) == 8


def test_a_tag_fades_or_is_set_but_not_both() -> None:
    table = tags()
    table.declare("seen", HalfLife(60))
    with pytest.raises(LocalError, match="declared already"):
        table.declare("seen", HalfLife(60))
    with pytest.raises(LocalError, match="bump it"):
        table.set(A, "seen", 1, 0.0)
    with pytest.raises(LocalError, match="does not fade"):
        table.bump(A, "dht", 1, 0.0)


@pytest.mark.parametrize("number", [0, -1, 0.0001, float("inf"), float("nan"), "60", None])
def test_fading_needs_positive_numbers(number: Any) -> None:
    for make in (lambda: HalfLife(number), lambda: FixedSteps(number, 1), lambda: FixedSteps(1, number)):
        with pytest.raises(LocalError, match="fading needs"):
            make()


@given(st.floats(-1e9, 1e9), st.floats(0, 1e12), st.floats(0.001, 1e12), st.floats(0.001, 1e12))
def test_fading_never_overshoots(value: float, elapsed: float, step: float, interval: float) -> None:
    for fading in (HalfLife(interval), FixedSteps(step, interval)):
        left, took = fading.fade(value, elapsed)
        assert abs(left) <= abs(value)
        assert left * value >= 0
        assert 0 <= took <= elapsed * (1 + 1e-9)


def test_the_clock_starts_with_the_node() -> None:
    table = tags()
    table.declare("seen", HalfLife(60))
    table.bump(A, "seen", 8, 0.0)
    table.protect(B, "friend", 0.0)
    table.bump(B, "seen", 8, 0.0)
    table.begin(1e6)
    assert (table.value(A, 1e6), table.value(B, 1e6)) == (8, 8)
    assert table.value(A, 1e6 + 60) == 4
    assert table.value(A, 1e6 + FORGET_AFTER) == 0


# --- protection


def test_a_peer_is_protected_until_each_name_is_taken_back() -> None:
    table = tags()
    assert not table.is_protected(A)
    table.protect(A, "gossip", 0.0)
    table.protect(A, "relay", 0.0)
    table.protect(A, "relay", 0.0)
    assert table.is_protected(A)
    assert table.is_protected(A, "relay")
    assert not table.is_protected(A, "dht")
    assert table.unprotect(A, "relay", 0.0)
    assert table.unprotect(A, "relay", 0.0), "the other name stands"
    assert not table.unprotect(A, "gossip", 0.0)
    assert not table.unprotect(A, "gossip", 0.0)
    assert not table.is_protected(A)


# --- bounds


def test_without_a_connection_tags_are_forgotten_after_a_while() -> None:
    table = tags()
    table.set(A, "dht", 5, 0.0)
    assert table.value(A, FORGET_AFTER - 1) == 5
    assert table.value(A, FORGET_AFTER) == 0
    assert len(table) == 0


def test_a_tag_that_is_set_again_lasts_as_long_again() -> None:
    table = tags()
    table.set(A, "dht", 5, 0.0)
    table.set(A, "dht", 6, 500.0)
    assert table.value(A, 500.0 + FORGET_AFTER - 1) == 6
    table.set(A, "other", 1, 2000.0)
    assert table.of(A, 2000.0) == {"other": 1}, "what was forgotten does not come back"


def test_tags_last_as_long_as_the_connection_and_a_while_longer() -> None:
    table = tags()
    table.set(A, "dht", 5, 0.0)
    table.connected(A, 10.0)
    table.set(A, "gossip", 1, 10.0)
    assert table.value(A, 1e6) == 6
    table.disconnected(A, 1e6)
    assert table.value(A, 1e6 + FORGET_AFTER - 1) == 6
    assert table.value(A, 1e6 + FORGET_AFTER) == 0


def test_who_comes_back_too_late_finds_nothing() -> None:
    table = tags()
    table.set(A, "dht", 5, 0.0)
    table.connected(A, FORGET_AFTER)
    table.connected(B, FORGET_AFTER)
    table.disconnected(B, FORGET_AFTER)
    table.disconnected(B, FORGET_AFTER)
    assert (table.value(A, FORGET_AFTER), len(table)) == (0, 0)


def test_tags_of_a_protected_peer_are_not_forgotten() -> None:
    table = tags()
    table.set(A, "dht", 5, 0.0)
    table.protect(A, "friend", 0.0)
    table.connected(A, 0.0)
    table.disconnected(A, 0.0)
    assert table.value(A, 1e6) == 5
    table.unprotect(A, "friend", 1e6)
    assert table.value(A, 1e6 + FORGET_AFTER - 1) == 5
    assert table.value(A, 1e6 + FORGET_AFTER) == 0


def test_a_connected_peer_that_is_protected_no_more_keeps_its_tags() -> None:
    table = tags()
    table.connected(A, 0.0)
    table.protect(A, "friend", 0.0)
    table.set(A, "dht", 5, 0.0)
    table.unprotect(A, "friend", 0.0)
    assert table.value(A, 1e6) == 5


def test_above_the_limit_whose_tags_were_set_longest_ago_is_forgotten() -> None:
    table = tags(tagged_peers=2)
    table.connected(D, 0.0)
    for number, peer in enumerate((A, B, A, D, C)):
        table.set(peer, "dht", 1, float(number))
    assert [table.value(peer, 5.0) for peer in (A, B, C, D)] == [1, 0, 1, 1]


def test_without_room_for_strangers_they_have_no_tags() -> None:
    table = tags(tagged_peers=0)
    table.set(A, "dht", 1, 0.0)
    assert (table.value(A, 0.0), len(table)) == (0, 0)


def test_those_whose_time_is_over_leave_as_others_come() -> None:
    table = tags()
    for peer in (A, B, C):
        table.set(peer, "dht", 1, 0.0)
    table.set(D, "dht", 1, FORGET_AFTER)
    assert len(table) == 2


@pytest.mark.parametrize("room", [1, 2])
def test_a_peer_has_so_many_tags_and_names_and_not_one_more(room: int) -> None:
    table = tags(tags_per_peer=room)
    for number in range(room):
        table.set(A, f"tag {number}", 1, 0.0)
        table.protect(A, f"name {number}", 0.0)
    table.set(A, "tag 0", 2, 0.0)
    table.declare("seen", HalfLife(60))
    with pytest.raises(LimitExceeded, match=r"limits\.tags_per_peer"):
        table.set(A, "one more", 1, 0.0)
    with pytest.raises(LimitExceeded, match=r"limits\.tags_per_peer"):
        table.bump(A, "seen", 1, 0.0)
    with pytest.raises(LimitExceeded, match=r"limits\.tags_per_peer"):
        table.protect(A, "one more", 0.0)


def test_so_many_peers_are_protected_and_not_one_more() -> None:
    table = tags(protected_peers=2)
    table.protect(A, "friend", 0.0)
    table.protect(B, "friend", 0.0)
    table.protect(B, "relay", 0.0)
    with pytest.raises(LimitExceeded, match=r"limits\.protected_peers"):
        table.protect(C, "friend", 0.0)
    table.unprotect(A, "friend", 0.0)
    table.protect(C, "friend", 0.0)


class TagsMachine(RuleBasedStateMachine):
    """Any course of calls: nothing grows past its bounds, and what is held is held by somebody."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tags(tagged_peers=3, tags_per_peer=2, protected_peers=2)
        self.table.declare("seen", HalfLife(100))
        self.now = 0.0
        self.connected: set[PeerId] = set()

    @rule(peer=st.sampled_from(PEERS), name=st.sampled_from("abc"), value=st.integers(-3, 3))
    def set(self, peer: PeerId, name: str, value: int) -> None:
        try:
            self.table.set(peer, name, value, self.now)
        except LimitExceeded:
            assert len(self.table.of(peer, self.now)) <= 2
        else:
            assert self.table.of(peer, self.now)[name] == value

    @rule(peer=st.sampled_from(PEERS), value=st.integers(-3, 3))
    def bump(self, peer: PeerId, value: int) -> None:
        with suppress(LimitExceeded):
            self.table.bump(peer, "seen", value, self.now)

    @rule(peer=st.sampled_from(PEERS), name=st.sampled_from(["a", "b", "c", "seen"]))
    def remove(self, peer: PeerId, name: str) -> None:
        self.table.remove(peer, name, self.now)
        assert name not in self.table.of(peer, self.now)

    @rule(peer=st.sampled_from(PEERS))
    def protect(self, peer: PeerId) -> None:
        try:
            self.table.protect(peer, "friend", self.now)
        except LimitExceeded:
            assert not self.table.is_protected(peer)

    @rule(peer=st.sampled_from(PEERS))
    def unprotect(self, peer: PeerId) -> None:
        assert not self.table.unprotect(peer, "friend", self.now)

    @rule(peer=st.sampled_from(PEERS))
    def connect(self, peer: PeerId) -> None:
        self.table.connected(peer, self.now)
        self.connected.add(peer)

    @rule(peer=st.sampled_from(PEERS))
    def disconnect(self, peer: PeerId) -> None:
        self.table.disconnected(peer, self.now)
        self.connected.discard(peer)

    @rule(seconds=st.sampled_from([1.0, 100.0, FORGET_AFTER]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def nothing_is_over_its_bounds(self) -> None:
        protected = [peer for peer in PEERS if self.table.is_protected(peer)]
        assert len(protected) <= 2
        assert len(self.table) <= 3 + len(self.connected | set(protected))
        assert len(self.table._others) <= 3
        assert set(self.table._held) <= self.connected | set(protected)
        assert not set(self.table._held) & set(self.table._others)


TestTagsMachine = TagsMachine.TestCase

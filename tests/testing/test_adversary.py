"""AdversarialWire and CorePair: what arrives, in which order, and what counts as damage."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError
from cortexnet.testing.adversary import AdversarialWire, CorePair, mutations


class Talker:
    """Says its words, and answers every byte with one until it has answered `answers` of them."""

    def __init__(self, *words: bytes, answers: int = 0, backlog: int = 0) -> None:
        self.out = list(words)
        self.answers = answers
        self.backlog = backlog
        self.heard = b""
        self.times: list[float] = []

    def receive(self, data: bytes, now: float) -> Sequence[object]:
        self.heard += data
        self.times.append(now)
        reply = min(len(data), self.answers)
        self.answers -= reply
        if reply:
            self.out.append(b"!" * reply)
        if self.backlog and not data:
            self.backlog -= 1
            return ["late"]
        return [data] if data else []

    def data_to_send(self) -> list[bytes | bytearray | memoryview]:
        out, self.out = self.out, []
        return list(out)


def wire_with(data: bytes) -> AdversarialWire:
    wire = AdversarialWire()
    wire.send(data)
    return wire


@given(st.lists(st.binary(max_size=50)), st.integers(0, 2**32))
def test_bytes_arrive_in_order_in_any_pieces(words: list[bytes], seed: int) -> None:
    wire, random, arrived = AdversarialWire(), Random(seed), b""
    for word in words:
        wire.send(memoryview(word))
        arrived += wire.deliver_some(random)
    while len(wire):
        piece = wire.deliver_some(random)
        assert piece
        arrived += piece
    assert wire.deliver_some(random) == wire.deliver(5) == b""
    assert arrived == b"".join(words)
    assert not wire.is_damaged


def test_a_truncated_stream_keeps_only_its_front() -> None:
    wire = wire_with(b"abcdef")
    wire.truncate(2)
    wire.send(b"vanishes")
    assert (wire.deliver(10), wire.is_ended, wire.is_damaged) == (b"ab", True, True)


def test_a_truncation_behind_everything_is_no_damage_until_more_is_sent() -> None:
    wire = wire_with(b"ab")
    wire.truncate(2)
    wire.send(b"")
    assert not wire.is_damaged
    wire.send(b"c")
    assert wire.is_damaged


def test_a_flipped_bit_counts_round() -> None:
    wire = wire_with(b"\x00\x00\x00")
    wire.flip_bit(4, 9)
    assert wire.is_damaged
    assert wire.deliver(3) == b"\x00\x02\x00"
    empty = AdversarialWire()
    empty.flip_bit(0)
    assert not empty.is_damaged


def test_an_attacker_drops_repeats_and_inserts() -> None:
    wire = wire_with(b"abcdef")
    wire.drop(1, 2)
    assert wire.is_damaged
    wire.repeat(0, 2)
    wire.insert(6, b"XY")
    assert wire.deliver(100) == b"adadefXY"


def test_what_changes_nothing_is_no_damage() -> None:
    wire = wire_with(b"abc")
    wire.drop(3, 5)
    wire.repeat(7, 2)
    wire.insert(0, b"")
    assert not wire.is_damaged


@given(st.integers(0, 2**32))
def test_a_pair_settles_with_everything_delivered(seed: int) -> None:
    left, right = Talker(b"hello", b" right", answers=3), Talker(b"hello left", answers=7)
    pair = CorePair(left, right)
    pair.settle(Random(seed))
    assert sorted(right.heard) == sorted(b"hello right!!!")
    assert sorted(left.heard) == sorted(b"hello left!!!!!!!")
    assert b"".join(event for event in pair.right_events if isinstance(event, bytes)) == right.heard
    assert b"".join(event for event in pair.left_events if isinstance(event, bytes)) == left.heard


def test_a_pair_settles_without_chance_in_whole_deliveries() -> None:
    left, right = Talker(b"abc", b"def"), Talker(answers=2)
    pair = CorePair(left, right, now=7)
    pair.settle()
    assert pair.right_events == [b"abcdef"]
    assert pair.left_events == [b"!!"]
    assert set(right.times) == {7}


def test_the_time_of_a_pair_is_handed_to_its_cores() -> None:
    left, right = Talker(b"abcd"), Talker()
    pair = CorePair(left, right)
    pair.now = 1.5
    assert pair.deliver_right(2) == [b"ab"]
    pair.now = 2.5
    assert pair.deliver_right(9) == [b"cd"]
    assert right.times == [1.5, 2.5]


def test_a_core_that_stopped_at_its_share_goes_on_when_given_nothing() -> None:
    pair = CorePair(Talker(), Talker(b"x", backlog=3))
    pair.settle(Random(0))
    assert pair.right_events == ["late"] * 3
    assert pair.left_events == [b"x"]


@pytest.mark.parametrize("random", [None, Random(1)])
def test_cores_that_never_come_to_rest_are_given_up(random: Random | None) -> None:
    pair = CorePair(Talker(b"x", answers=10**9), Talker(answers=10**9))
    with pytest.raises(LocalError, match="not at rest after 50 steps"):
        pair.settle(random, limit=50)


def test_nothing_under_way_is_no_step() -> None:
    assert not CorePair(Talker(), Talker()).step(Random(0))


@given(st.binary(max_size=100), st.integers(0, 2**32))
def test_mutations_are_repeatable_and_as_many_as_asked_for(data: bytes, seed: int) -> None:
    first, again = list(mutations(data, Random(seed), 20)), list(mutations(data, Random(seed), 20))
    assert first == again
    assert len(first) == 20


def test_most_mutations_differ_from_the_original() -> None:
    data = bytes(range(200))
    assert sum(mutated != data for mutated in mutations(data, Random(3), 100)) > 90

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.admission.memory_budget import ConnectionMemory, NodeMemory

if TYPE_CHECKING:
    from cortexnet.mux.muxer import MemoryBudget


def test_a_connections_part_is_a_budget_for_a_muxer() -> None:
    budget: MemoryBudget = NodeMemory(100).open(10)
    assert budget.limit == 10


def test_reserving_stops_at_the_connections_cap() -> None:
    connection = NodeMemory(100).open(10)
    assert connection.reserve(9)
    assert connection.reserve(1)
    assert not connection.reserve(1)
    assert connection.used == 10


def test_reserving_stops_at_the_nodes_cap() -> None:
    node = NodeMemory(10)
    first, second = node.open(10), node.open(10)
    assert first.reserve(9)
    assert second.reserve(1)
    assert not second.reserve(1)
    assert (node.used, second.used) == (10, 1)


def test_charging_goes_past_a_cap_and_says_so() -> None:
    connection = NodeMemory(100).open(10)
    connection.charge(10)
    assert not connection.is_over()
    connection.charge(1)
    assert connection.is_over()
    connection.release(1)
    assert not connection.is_over()


def test_past_the_nodes_cap_only_the_heaviest_connection_of_the_heaviest_peer_is_over() -> None:
    node = NodeMemory(20)
    a_small, a_large, b, idle = (node.open(100) for _ in range(4))
    for memory, owner in ((a_small, "A"), (a_large, "A"), (b, "B")):
        memory.belong_to(owner, 100)
    a_small.charge(4)
    a_large.charge(7)
    b.charge(9)
    assert not node.is_over()
    assert not any(memory.is_over() for memory in (a_small, a_large, b, idle))
    a_small.charge(1)
    assert node.is_over()
    assert [memory.is_over() for memory in (a_small, a_large, b, idle)] == [False, True, False, False]


def test_nobody_is_heaviest_where_nothing_is_held() -> None:
    node = NodeMemory(1)
    node.open(1)
    assert node.heaviest() is None


def test_closing_gives_back_all_that_is_left_once() -> None:
    node = NodeMemory(100)
    first, second = node.open(10), node.open(10)
    first.charge(7)
    second.charge(5)
    first.close()
    first.close()
    assert node.used == 5


def test_a_reader_that_drains_after_the_end_does_not_touch_the_node() -> None:
    node = NodeMemory(100)
    connection = node.open(10)
    connection.charge(7)
    connection.close()
    connection.release(4)
    connection.charge(2)
    assert connection.reserve(5)
    assert not connection.reserve(1)
    assert (node.used, connection.used) == (0, 10)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 8))))
def test_the_total_is_the_sum_of_its_parts(steps: list[tuple[int, int]]) -> None:
    node = NodeMemory(20)
    parts: list[ConnectionMemory] = [node.open(9) for _ in range(3)]
    for index, size in steps:
        part = parts[index]
        if size >= 0:
            before = part.used
            assert part.reserve(size) == (before + size <= 9 and node.used <= 20 and part.used == before + size)
        else:
            part.release(min(-size, part.used))
        assert node.used == sum(part.used for part in parts) <= 20
    for part in parts:
        part.close()
    assert node.used == 0


@pytest.mark.parametrize(("size", "fits"), [(9, True), (10, True), (11, False)])
def test_reserving_stops_at_the_cap_of_the_peer(size: int, fits: bool) -> None:
    node = NodeMemory(100, peer_limit=20)
    first, second, other = (node.open(15) for _ in range(3))
    for memory, owner in ((first, "A"), (second, "A"), (other, "B")):
        memory.belong_to(owner, 15)
    assert first.reserve(10)
    assert second.reserve(size) == fits
    assert (second.used, node.peers["A"].used, node.used) == ((size, 10 + size, 10 + size) if fits else (0, 10, 10))
    assert other.reserve(15)


def test_past_the_cap_of_the_peer_whichever_connection_asks_is_over() -> None:
    node = NodeMemory(100, peer_limit=10)
    first, second = node.open(10), node.open(10)
    first.belong_to("A", 10)
    second.belong_to("A", 10)
    first.charge(5)
    second.charge(5)
    assert not first.is_over()
    second.charge(1)
    assert first.is_over()
    assert second.is_over()
    first.release(1)
    assert not second.is_over()


def test_a_connection_may_have_no_more_than_its_peer() -> None:
    connection = NodeMemory(100, peer_limit=7).open(3)
    connection.belong_to("A", 10)
    assert connection.limit == 7


def test_what_was_held_before_the_peer_was_known_becomes_its_own() -> None:
    node = NodeMemory(100, peer_limit=50)
    connection = node.open(10)
    connection.charge(4)
    connection.belong_to("A", 20)
    assert (node.peers["A"].used, node.used, connection.limit) == (4, 4, 20)


def test_a_peer_is_forgotten_with_its_last_connection() -> None:
    node = NodeMemory(100, peer_limit=50)
    first, second, unknown = node.open(10), node.open(10), node.open(10)
    first.belong_to("A", 10)
    second.belong_to("A", 10)
    first.charge(3)
    second.charge(4)
    unknown.charge(1)
    first.close()
    assert node.peers["A"].used == 4
    second.close()
    unknown.close()
    first.release(3)
    assert (node.peers, node.used) == ({}, 0)


def test_which_cap_was_passed_is_known_afterwards() -> None:
    node = NodeMemory(30, peer_limit=12)
    first, second = node.open(5), node.open(5)
    first.belong_to("A", 10)
    second.belong_to("A", 10)
    assert not first.is_over()
    assert first.passed is None
    first.charge(11)
    assert first.is_over()
    assert first.passed is not None
    assert (first.passed.limit, first.passed.value) == (10, 11)
    assert first.passed.setting == "limits.connection_memory and limits.peer_memory"
    second.charge(2)
    assert second.is_over()
    assert second.passed is not None
    assert (second.passed.limit, second.passed.value) == (12, 13)
    first.release(11)
    other = node.open(100)
    other.charge(29)
    assert other.is_over()
    assert other.passed is not None
    assert (other.passed.limit, other.passed.value, other.passed.setting) == (30, 31, "limits.memory")

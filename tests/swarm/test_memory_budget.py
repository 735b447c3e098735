from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.swarm.memory_budget import ConnectionMemory, NodeMemory

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
    a_small.owner = a_large.owner = "A"
    b.owner = "B"
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

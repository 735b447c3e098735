"""What ended connections held goes back to the system, seldom and when it is worth it."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cortexnet.admission.memory_budget import NodeMemory
from cortexnet.swarm import heap
from cortexnet.swarm.heap import INTERVAL, SETTLING, WORTH, Heap, trim


class Counted:
    """A heap, and when memory was given back."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.heap = Heap(lambda _: self.times.append(asyncio.get_running_loop().time()))


async def test_little_is_left_to_the_allocator() -> None:
    counted = Counted()
    counted.heap.freed(WORTH - 1)
    await asyncio.sleep(100)
    assert counted.times == []


async def test_many_that_held_a_little_are_as_good_as_one_that_held_much() -> None:
    counted = Counted()
    began = asyncio.get_running_loop().time()
    for _ in range(16):
        counted.heap.freed(WORTH // 16)
    await asyncio.sleep(100)
    assert counted.times == [began + SETTLING]


async def test_a_flood_of_comers_and_goers_does_not_make_it_frequent() -> None:
    counted = Counted()
    began = asyncio.get_running_loop().time()
    for _ in range(200):
        counted.heap.freed(WORTH)
        await asyncio.sleep(0.1)
    await asyncio.sleep(100)
    assert counted.times == pytest.approx([began + SETTLING + number * INTERVAL for number in range(5)])


async def test_a_stopped_one_does_nothing_more() -> None:
    counted = Counted()
    counted.heap.freed(WORTH)
    counted.heap.stop()
    counted.heap.freed(WORTH)
    counted.heap.stop()
    await asyncio.sleep(100)
    assert counted.times == []


def test_a_budget_tells_what_a_connection_held_at_its_end_and_no_more() -> None:
    told: list[int] = []
    node = NodeMemory(1 << 20)
    node.on_dropped = told.append
    first, second = node.open(1 << 20), node.open(1 << 20)
    first.charge(300)
    first.release(200)
    first.close()
    first.release(100)
    first.close()
    second.close()
    assert told == [100]


def test_a_budget_tells_what_goes_unread_with_a_stream_and_not_again_with_its_connection() -> None:
    told: list[int] = []
    node = NodeMemory(1 << 20)
    node.on_dropped = told.append
    connection = node.open(1 << 20)
    connection.charge(300)
    connection.dropped(200)
    connection.release(200)
    assert told == [200]
    connection.close()
    connection.dropped(100)
    connection.release(100)
    assert told == [200, 100]


def next_time() -> float:
    """When the process may give memory back again."""
    return heap._last_trim + INTERVAL + 1 if heap._last_trim > 0 else 1.0


def test_the_nodes_of_a_process_have_one_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    library = SimpleNamespace(malloc_trim=asked.append)
    monkeypatch.setitem(sys.modules, "ctypes", SimpleNamespace(CDLL=lambda _: library))
    now = next_time()
    for later in (0.0, 0.1, INTERVAL - 0.1, INTERVAL, INTERVAL + 0.1):
        trim(now + later)
    assert asked == [0, 0]


def test_where_nobody_can_be_asked_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    trim(next_time())
    monkeypatch.setitem(sys.modules, "ctypes", SimpleNamespace(CDLL=lambda _: SimpleNamespace()))
    trim(next_time())


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_memory_that_nobody_uses_goes_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4_096

    before = resident()
    held = [bytes([number % 251]) * 60_000 for number in range(2_000)]  # below what comes straight from the system
    pinned = [bytes(60_000)]
    held.clear()
    trim(next_time())
    assert pinned
    assert resident() - before < 40 << 20

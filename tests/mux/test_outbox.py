"""Outbox: bytes leave in the order they came, cut wherever a record ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.mux.outbox import SMALL_WRITE, TIGHT_SHARE, Outbox, OutboxPool

WRITES = st.lists(st.one_of(st.binary(min_size=1, max_size=50), st.integers(SMALL_WRITE, 20_000).map(bytes)), max_size=20)

POOL = OutboxPool(1 << 30)


def moved(outbox: Outbox, size: int) -> list[bytes | bytearray | memoryview]:
    parts: list[bytes | bytearray | memoryview] = []
    outbox.move(size, parts)
    return parts


def test_small_writes_leave_as_one_part() -> None:
    outbox = Outbox(POOL)
    for _ in range(10):
        outbox.append(b"0123456789")
    assert outbox.size == 100
    assert moved(outbox, 100) == [bytearray(b"0123456789" * 10)]
    assert outbox.size == 0


def test_a_large_write_is_not_copied() -> None:
    outbox, large = Outbox(POOL), bytes(SMALL_WRITE)
    outbox.append(large)
    (part,) = moved(outbox, SMALL_WRITE)
    assert part is large


def test_order_is_kept_between_small_and_large_writes() -> None:
    outbox = Outbox(POOL)
    large = bytes(range(256)) * 20
    for data in (b"a", large, b"b", b"c", large):
        outbox.append(data)
    assert b"".join(moved(outbox, outbox.size)) == b"a" + large + b"bc" + large


def test_a_part_that_left_never_changes() -> None:
    outbox = Outbox(POOL)
    outbox.append(b"abcdef")
    first = moved(outbox, 4)
    outbox.append(b"ghi")
    second = moved(outbox, 5)
    outbox.append(b"jkl")
    assert (first, second, moved(outbox, 3)) == ([b"abcd"], [bytearray(b"efghi")], [bytearray(b"jkl")])


def test_a_view_is_cut_without_a_copy() -> None:
    outbox, large = Outbox(POOL), bytes(10_000)
    outbox.append(memoryview(large))
    (part,) = moved(outbox, 6_000)
    assert isinstance(part, memoryview)
    assert part.obj is large
    assert b"".join(moved(outbox, 4_000)) == large[:4_000]


def test_clearing_drops_everything() -> None:
    outbox = Outbox(POOL)
    outbox.append(b"abc")
    outbox.append(bytes(5_000))
    outbox.append(b"abc")
    outbox.clear()
    outbox.append(b"new")
    assert (outbox.size, moved(outbox, 3)) == (3, [bytearray(b"new")])


@given(WRITES, st.lists(st.integers(1, 30_000)))
def test_what_leaves_is_what_was_written(writes: list[bytes], sizes: list[int]) -> None:
    outbox, left = Outbox(POOL), b""
    for number, data in enumerate(writes):
        outbox.append(memoryview(data) if number % 2 else data)
        if sizes:
            left += b"".join(moved(outbox, min(sizes.pop(), outbox.size)))
    left += b"".join(moved(outbox, outbox.size))
    assert left == b"".join(writes)


def test_what_is_queued_counts_in_the_pool_until_it_leaves_or_is_dropped() -> None:
    pool = OutboxPool(100)
    first, second = Outbox(pool), Outbox(pool)
    first.append(b"a" * 10)
    first.append(b"b" * SMALL_WRITE)
    second.append(b"c" * 7)
    assert pool.queued == 17 + SMALL_WRITE
    first.move(4, [])
    assert pool.queued == 13 + SMALL_WRITE
    first.clear()
    first.clear()
    assert pool.queued == 7
    second.move(7, [])
    assert pool.queued == 0


@pytest.mark.parametrize(
    ("size", "share", "room"),
    [
        (0, 1 << 17, TIGHT_SHARE),
        (TIGHT_SHARE - 1, 1 << 17, 1),
        (TIGHT_SHARE, 1 << 17, 0),
        (TIGHT_SHARE + 1, 1 << 17, 0),
        (0, 10, 10),
    ],
)
def test_a_tight_share_is_never_below_nothing(size: int, share: int, room: int) -> None:
    outbox = Outbox(OutboxPool(0))
    outbox.append(bytes(size))
    assert outbox.tight_room(share) == room

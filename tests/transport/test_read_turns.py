"""Turns of reading: a budget for all connections of a loop, and who was put off comes first."""

import asyncio
import gc
import itertools
import socket
import weakref

from cortexnet.testing.loop import VirtualTimeLoop
from cortexnet.transport.read_turns import _CHANGES, _HALF_TURN, CHUNK_SIZE, ReadTurns, turns_of
from tests.support.pairs import settle


async def test_a_loop_has_one_and_a_buffer_that_all_share() -> None:
    turns = turns_of(asyncio.get_running_loop())
    assert turns is turns_of(asyncio.get_running_loop())
    assert turns.buffer() is turns.buffer()
    assert len(turns.buffer()) > CHUNK_SIZE + 65_536


class ForeignLoop:
    """As a proactor loop or uvloop: not asyncio's selector loop."""


def test_where_a_loop_reads_in_the_background_each_has_a_buffer_of_its_own() -> None:
    turns = ReadTurns(ForeignLoop())
    assert turns.buffer() is not turns.buffer()


async def test_the_time_of_a_turn_is_renewed_in_the_next() -> None:
    turns = ReadTurns(asyncio.get_running_loop())
    turns.spend(0.02)
    assert turns.is_over
    await settle(2)
    assert not turns.is_over


async def test_a_little_time_is_carried_over() -> None:
    turns = ReadTurns(asyncio.get_running_loop())
    for _ in range(9):
        turns.spend(0.0001)
    assert not turns._renewing
    turns.spend(0.95 * _HALF_TURN)
    assert turns.is_over


async def test_who_was_put_off_comes_in_order_and_only_as_far_as_the_time_reaches() -> None:
    turns = ReadTurns(asyncio.get_running_loop())
    served: list[int] = []

    def work(number: int) -> None:
        served.append(number)
        turns.spend(0.6 * _HALF_TURN)

    for number in range(5):
        turns.defer(lambda number=number: work(number))
    counts = []
    while len(served) < 5:
        await asyncio.sleep(0)
        counts.append(len(served))
    assert served == [0, 1, 2, 3, 4]
    assert sorted({count for count in counts if count}) == [2, 4, 5]


async def test_who_brought_little_waits_for_one_at_a_time_of_those_who_brought_much() -> None:
    turns = ReadTurns(asyncio.get_running_loop())
    served: list[str] = []

    def work(name: str) -> None:
        served.append(name)
        turns.spend(_HALF_TURN / 10)

    for name in ("much 1", "much 2", "much 3"):
        turns.defer(lambda name=name: work(name))
    for name in ("little 1", "little 2"):
        turns.defer(lambda name=name: work(name), is_light=True)
    await settle(2)
    assert served == ["little 1", "much 1", "little 2", "much 2", "much 3"]


async def test_what_was_just_read_comes_before_what_was_put_off_and_has_time_of_its_own() -> None:
    turns, loop, served = ReadTurns(asyncio.get_running_loop()), asyncio.get_running_loop(), []

    def read() -> None:
        served.append(f"read, {'put off' if turns.is_over else 'worked on'}")

    def work() -> None:
        served.append("put off")
        turns.spend(_HALF_TURN)

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"x")
        turns.spend(_HALF_TURN)
        turns.defer(work)
        turns.defer(work)
        loop.add_reader(theirs, read)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.remove_reader(theirs)
    assert served[:4] == ["read, put off", "put off", "read, worked on", "put off"]


async def test_who_is_put_off_again_waits_for_another_turn() -> None:
    turns = ReadTurns(asyncio.get_running_loop())
    served = []

    def again() -> None:
        served.append(True)
        if len(served) < 3:
            turns.defer(again)

    turns.defer(again)
    await settle(2)
    assert len(served) == 1
    await settle(5)
    assert len(served) == 3


async def test_an_error_of_one_does_not_stop_the_others() -> None:
    turns, loop = ReadTurns(asyncio.get_running_loop()), asyncio.get_running_loop()
    errors, served = [], []
    loop.set_exception_handler(lambda _loop, context: errors.append(context["exception"]))

    def fail() -> None:
        raise ValueError("a bug")

    turns.defer(fail)
    turns.defer(lambda: served.append(True))
    await settle(5)
    assert (len(errors), served) == (1, [True])


def test_a_loop_that_is_gone_takes_its_turns_along() -> None:
    async def main() -> "weakref.ref[object]":
        turns = turns_of(asyncio.get_running_loop())
        turns.spend(1)
        return weakref.ref(turns)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        turns = runner.run(main())
    del runner
    gc.collect()
    assert turns() is None


async def test_a_turn_with_its_share_of_handshakes_is_followed_by_one_without() -> None:
    """So who is connected already waits for one step of a handshake at most, however many peers arrive."""
    turns = ReadTurns(asyncio.get_running_loop())
    turn, begun = 0, []

    def work() -> None:
        begun.append(turn)
        turns.spend_on_change(_CHANGES)

    work()
    assert turns.is_over_for_changes
    assert not turns.is_over
    for _ in range(3):
        turns.defer_change(work)
    while len(begun) < 4:
        turn += 1
        await asyncio.sleep(0)
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(begun))
    await settle(3)
    assert not turns.is_over_for_changes


async def test_short_steps_of_handshakes_share_a_turn() -> None:
    turns = ReadTurns(asyncio.get_running_loop())
    turns.spend_on_change(0.4 * _CHANGES)
    assert not turns.is_over_for_changes
    turns.spend_on_change(0.7 * _CHANGES)
    assert turns.is_over_for_changes


async def test_handshakes_have_no_time_that_reading_has_used_up() -> None:
    turns = ReadTurns(asyncio.get_running_loop())
    turns.spend(_HALF_TURN)
    assert turns.is_over_for_changes


async def test_who_defers_again_waits_for_another_turn_also_where_others_are_more() -> None:
    turns = ReadTurns(asyncio.get_running_loop())
    served = []

    def again() -> None:
        served.append(len(served))
        turns.defer(again)

    turns.defer(again)
    for _ in range(20):
        turns.defer(lambda: None, is_light=True)
    await settle(2)
    assert served == [0]

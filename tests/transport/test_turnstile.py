"""The turnstile: first come, first served, whoever gives up."""

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.testing.loop import run
from cortexnet.transport.turnstile import Turnstile
from tests.support.pairs import settle


class Room:
    """A number of places, and who took one in which order."""

    def __init__(self, places: int = 0) -> None:
        self.places = places
        self.turnstile = Turnstile(lambda: self.places > 0)
        self.entered: list[int] = []

    async def enter(self, number: int) -> None:
        await self.turnstile.enter()
        self.places -= 1
        assert self.places >= 0, "two were let in for one place"
        self.entered.append(number)
        self.turnstile.wake()

    def leave(self) -> None:
        self.places += 1
        self.turnstile.wake()


async def test_with_room_nobody_waits() -> None:
    room = Room(2)
    await room.enter(1)
    await room.enter(2)
    assert (room.entered, len(room.turnstile.waiting)) == ([1, 2], 0)


async def test_they_enter_in_the_order_they_came() -> None:
    room = Room()
    tasks = [asyncio.ensure_future(room.enter(number)) for number in range(5)]
    await settle()
    assert len(room.turnstile.waiting) == 5
    for _ in range(5):
        room.leave()
    await asyncio.gather(*tasks)
    assert room.entered == [0, 1, 2, 3, 4]


async def test_a_newcomer_does_not_pass_one_who_was_called_and_has_not_run_yet() -> None:
    room = Room()
    first = asyncio.ensure_future(room.enter(1))
    await settle()
    room.leave()  # the first is called, and runs in the next turn
    second = asyncio.ensure_future(room.enter(2))
    await first
    assert room.entered == [1]
    room.leave()
    await second


async def test_whose_turn_it_was_when_cancelled_passes_it_on() -> None:
    room = Room()
    first, second = (asyncio.ensure_future(room.enter(number)) for number in (1, 2))
    await settle()
    room.leave()
    first.cancel()
    await second
    assert (room.entered, first.cancelled(), len(room.turnstile.waiting)) == ([2], True, 0)


async def test_who_gives_up_leaves_the_queue() -> None:
    room = Room()
    first, second = (asyncio.ensure_future(room.enter(number)) for number in (1, 2))
    await settle()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert len(room.turnstile.waiting) == 1
    room.leave()
    await first


async def test_once_removed_it_lets_all_go_on() -> None:
    turnstile = Turnstile(lambda: False)
    tasks = [asyncio.ensure_future(turnstile.enter()) for _ in range(3)]
    await settle()
    tasks[1].cancel()
    turnstile.remove()
    await asyncio.wait(tasks)
    assert [task.cancelled() for task in tasks] == [False, True, False]
    await turnstile.enter()
    assert len(turnstile.waiting) == 0


@given(st.lists(st.sampled_from(["come", "leave", "cancel", "turn"]), max_size=40), st.randoms())
def test_however_they_come_and_go_nobody_is_passed_and_no_place_stays_empty(steps: list[str], random: Random) -> None:
    async def main() -> None:
        room = Room(1)
        tasks: list[asyncio.Task[None]] = []
        for step in steps:
            if step == "come":
                tasks.append(asyncio.ensure_future(room.enter(len(tasks))))
                await asyncio.sleep(0)
            elif step == "leave":
                room.leave()
            elif step == "cancel" and tasks:
                random.choice(tasks).cancel()
            else:
                await asyncio.sleep(0)
        await settle()
        assert room.entered == sorted(room.entered)
        assert room.places == 0 or not len(room.turnstile.waiting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(room.turnstile.waiting) == 0

    run(main())

"""Steps that take long: in order, a few milliseconds of them in each turn of the loop. Time moves when a step says so."""

import asyncio

import pytest

from cortexnet.host.step_turns import SHARE, StepTurns, step_turns
from cortexnet.testing.loop import VirtualTimeLoop


class Bench:
    """Runs steps, and notes in which turn of the loop each ran."""

    def __init__(self) -> None:
        self.turns = StepTurns()
        self.turn = 0
        self.ran: list[tuple[int, int]] = []

    async def run(self, number: int, seconds: float) -> int:
        def step() -> int:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualTimeLoop)
            loop._now += seconds
            self.ran.append((number, self.turn))
            return number

        return await self.turns.run(step)

    async def together(self, *seconds: float) -> list[list[int]]:
        """Begin one step of each length at the same time; which ran in each turn that ran any."""
        tasks = [asyncio.create_task(self.run(number, length)) for number, length in enumerate(seconds)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            self.turn += 1
        assert [task.result() for task in tasks] == list(range(len(seconds)))
        turns = sorted({turn for _, turn in self.ran})
        return [[number for number, turn in self.ran if turn == one] for one in turns]


async def test_steps_that_take_no_time_run_at_once() -> None:
    assert await Bench().together(0, 0, 0, 0) == [[0, 1, 2, 3]]


async def test_a_turn_ends_when_its_time_is_used_up() -> None:
    ran = await Bench().together(*[SHARE / 2] * 6)
    assert ran[0] == [0, 1]
    assert [number for turn in ran for number in turn] == list(range(6)), "in the order of asking"
    assert max(len(turn) for turn in ran) <= 2


async def test_a_step_that_takes_longer_has_its_turn_alone() -> None:
    assert await Bench().together(*[3 * SHARE] * 4) == [[0], [1], [2], [3]]


async def test_short_steps_share_a_turn() -> None:
    ran = await Bench().together(*[SHARE / 10] * 200)
    assert [number for turn in ran for number in turn] == list(range(200))
    assert max(len(turn) for turn in ran) <= 11
    assert len(ran) <= 21


async def test_long_steps_do_not_share_a_turn_though_short_ones_came_before() -> None:
    ran = await Bench().together(*[SHARE / 10] * 40, *[3 * SHARE] * 5)
    assert [number for turn in ran for number in turn] == list(range(45))
    assert all(sum(number >= 40 for number in turn) <= 1 for turn in ran)


async def test_who_is_cancelled_while_it_waits_is_not_run_and_holds_up_nobody() -> None:
    bench = Bench()
    first, second, third = (asyncio.create_task(bench.run(number, 2 * SHARE)) for number in range(3))
    await asyncio.sleep(0)
    second.cancel()
    assert (await first, await third) == (0, 2)
    assert [number for number, _ in bench.ran] == [0, 2]


async def test_what_a_step_raises_is_raised_and_costs_its_time() -> None:
    bench = Bench()

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bench.turns.run(fail)
    assert await bench.run(1, 0) == 1


async def test_all_on_one_loop_share_its_turns() -> None:
    assert step_turns() is step_turns()

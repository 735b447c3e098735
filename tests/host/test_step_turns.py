"""Steps that take long: one of each party in turn, a few milliseconds of them in each turn of the loop. Time moves when a step
says so."""

import asyncio
from collections.abc import Hashable

import pytest

from cortexnet.host.step_turns import SHARE, StepTurns, step_turns
from cortexnet.testing.loop import VirtualTimeLoop


class Bench:
    """Runs steps, and notes in which turn of the loop each ran."""

    def __init__(self) -> None:
        self.turns = StepTurns()
        self.turn = 0
        self.ran: list[tuple[int, int]] = []

    async def run(self, number: int, seconds: float, of: Hashable = None) -> int:
        def step() -> int:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualTimeLoop)
            loop._now += seconds
            self.ran.append((number, self.turn))
            return number

        return await self.turns.run(step, of=of)

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


async def test_who_has_one_step_waits_for_one_of_each_who_has_hundreds() -> None:
    bench = Bench()
    tasks = [asyncio.create_task(bench.run(number, 2 * SHARE, of=number % 4)) for number in range(400)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(bench.run(400, 2 * SHARE, of="late")))
    await tasks[-1]
    assert [number for number, _ in bench.ran] == [0, 1, 2, 3, 4, 400], "the first ran at once, all others have stood in line"
    await asyncio.gather(*tasks)
    assert [number for number, _ in bench.ran if number % 4 == 1] == list(range(1, 400, 4))


async def test_a_step_of_ones_own_stands_in_line_as_a_party() -> None:
    bench = Bench()
    tasks = [asyncio.create_task(bench.run(number, 2 * SHARE, of="peer")) for number in range(100)]
    tasks += [asyncio.create_task(bench.run(number, 2 * SHARE)) for number in (100, 101)]
    await asyncio.gather(*tasks)
    assert [number for number, _ in bench.ran][:6] == [0, 1, 100, 2, 101, 3]


async def test_who_is_cancelled_loses_no_turn_of_its_party() -> None:
    bench = Bench()
    tasks = [asyncio.create_task(bench.run(number, 2 * SHARE, of=of)) for number, of in enumerate("xaabb")]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [number for number, _ in bench.ran] == [0, 2, 3, 4]


async def test_what_a_step_raises_is_raised_and_costs_its_time() -> None:
    bench = Bench()

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bench.turns.run(fail, of=None)
    assert await bench.run(1, 0) == 1


async def test_who_waits_behind_steps_that_raise_has_its_turn() -> None:
    bench = Bench()

    async def fail() -> None:
        with pytest.raises(ZeroDivisionError):
            await bench.turns.run(lambda: 1 // 0, of="a")

    tasks = [asyncio.create_task(bench.run(0, 2 * SHARE, of="a")), *(asyncio.create_task(fail()) for _ in range(3))]
    last = asyncio.create_task(bench.run(1, 0, of="b"))
    await asyncio.gather(*tasks, last)
    assert [number for number, _ in bench.ran] == [0, 1]


async def test_all_on_one_loop_share_its_turns() -> None:
    assert step_turns() is step_turns()

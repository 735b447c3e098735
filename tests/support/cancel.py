"""A driver that cancels a coroutine at each of its suspensions in turn, or at each turn of the loop, or each moment of time.

    for point in points("early"):
        reached = await run_until(point, node.dial(address))
        assert_nothing_is_left()
        if not reached:
            break

`await`ing something that is there already does not suspend, and can't be cancelled; every other await is a point.
"""

import asyncio
from collections.abc import Coroutine, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

How = Literal["early", "late", "turn", "moment"]
"""At a suspension: as soon as it waits, or when what it waits for has come and before it goes on. Or after so many turns of the
loop, or after so many steps of time, whatever other tasks do for it meanwhile."""
HOWS: tuple[How, ...] = ("early", "late", "turn", "moment")
STEP = 0.0037
"""Seconds between two moments."""


@dataclass(frozen=True)
class Point:
    """The n-th of a kind, counted from 1."""

    number: int
    how: How


def points(how: How) -> Iterator[Point]:
    """One after the other; whoever asks stops when the coroutine came through."""
    for number in range(1, 2_000):
        yield Point(number, how)
    raise AssertionError("it does not come to an end")


class _Counted:
    """Runs a coroutine, counting its suspensions, and cancels the task that does at one of them."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], point: Point) -> None:
        self.is_reached = False
        self._suspensions = 0
        self._coroutine = coroutine
        self._point = point

    def __await__(self) -> Generator[Any, Any, Any]:
        error: BaseException | None = None
        while True:
            try:
                waits_for = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
            except StopIteration as stop:
                return stop.value
            self._suspend(waits_for)
            error = None
            try:
                yield waits_for
            except BaseException as thrown:
                error = thrown

    def _suspend(self, waits_for: Any) -> None:
        self._suspensions += 1
        if self._suspensions != self._point.number or self._point.how not in ("early", "late"):
            return
        self.is_reached = True
        task = asyncio.current_task()
        assert task is not None
        if self._point.how == "late" and waits_for is not None:
            waits_for.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)


async def run_until(point: Point, coroutine: Coroutine[Any, Any, Any]) -> bool:
    """Run it in a task of its own, cancelled at the point; whether that was reached. What the coroutine raises is raised."""
    counted = _Counted(coroutine, point)

    async def main() -> Any:
        return await counted

    task = asyncio.ensure_future(main())
    if point.how == "turn":
        for _ in range(point.number):
            await asyncio.sleep(0)
    elif point.how == "moment":
        await asyncio.wait([task], timeout=point.number * STEP)
    if point.how in ("turn", "moment") and not task.done():
        counted.is_reached = True
        task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return counted.is_reached

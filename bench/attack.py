"""An honest peer's round trips on an open stream, first calm, then while somebody attacks the node at the other end.

Three processes: the node (`bench.attacked`), the honest peer (the same), the attacker (`bench.attacker`).
"""

import asyncio
import sys
from dataclasses import replace
from typing import Final

from bench.half import Figures, Task
from bench.process import Process

SETTLING: Final = 0.5
"""Seconds from the beginning of an attack to the first round trip that counts."""


async def measure_attack(task: Task) -> Figures:
    """One attack of the task's name; both measurements last `task.amount` seconds. Raises MeasurementFailed."""
    async with Process(python("bench.attacked")) as server:
        server.send_line(task.to_line())
        task = replace(task, address=(await server.receive())["address"])
        async with Process(python("bench.attacked")) as honest:
            honest.send_line(task.to_line())
            await honest.receive()
            calm = await answer(honest, b"measure\n")
            await be_attacked(task)
            await answer(server, b"weigh\n")
            attacked, rate = await measure_under_attack(honest, task)
            await answer(honest, b"end\n")
        left = await answer(server, b"rest\n")
    return {
        "calm_p50": calm["p50"],
        "calm_p99": calm["p99"],
        **attacked,
        "times": attacked["p99"] / calm["p99"],
        "lost": calm["lost"] + attacked["lost"],
        "rate": rate,
        **left,
    }


async def be_attacked(task: Task) -> None:
    """The same attack once before: it pays for what is allocated once and kept for use again. What leaks, leaks twice."""
    async with Process(python("bench.attacker")) as attacker:
        attacker.send_line(task.to_line())
        await attacker.receive()
        await asyncio.sleep(SETTLING + task.amount)
        await answer(attacker, b"end\n")


async def measure_under_attack(honest: Process, task: Task) -> tuple[Figures, float]:
    """What the honest peer has measured, and the attacks a second. The attacker is gone on return."""
    async with Process(python("bench.attacker")) as attacker:
        attacker.send_line(task.to_line())
        await attacker.receive()
        await asyncio.sleep(SETTLING)
        attacked = await answer(honest, b"measure\n")
        return attacked, (await answer(attacker, b"end\n"))["attacks"]


async def answer(process: Process, line: bytes) -> Figures:
    process.send_line(line)
    return await process.receive()


def python(module: str) -> list[str]:
    return [sys.executable, "-m", module]

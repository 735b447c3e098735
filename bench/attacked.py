"""The node that is attacked, and the honest peer that uses it meanwhile: two of the processes of `bench.attack`.

The server logs as an application does, to a file, which is none: what the log costs belongs to the node. Both halves are told
what to do next by lines on stdin (see `bench.half`).
"""

import asyncio
import gc
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from bench.cortexnet_peer import ECHO, LISTEN, MESSAGE, discard, echo, resident
from bench.half import Driver, Figures, Task, main
from bench.quantiles import latencies
from cortexnet import CortexError, Node, Stream

RAISE: Final = "/bench/raise/1.0.0"
DISCARD: Final = "/bench/discard/1.0.0"
PATIENCE: Final = 10.0
"""Seconds after which a round trip is lost, and after which a node that is left alone must be as it was."""
LOOK: Final = 0.01
"""Seconds between two looks at whether it is."""
WARM_UP: Final = 200
"""Round trips before the first that counts."""
DESCRIPTORS: Final = Path("/proc/self/fd")


async def fail(stream: Stream) -> None:
    raise ValueError("the handler's own bug")


async def throw_away(stream: Stream) -> None:
    await discard(stream)


async def serve(task: Task, driver: Driver) -> None:
    logging.basicConfig(filename=os.devnull)
    node = Node(listen=[LISTEN])
    node.handle(ECHO, echo)
    node.handle(RAISE, fail)
    node.handle(DISCARD, throw_away)
    async with node:
        idle, descriptors, memory = node.counters, count_descriptors(), 0
        driver.send({"address": str(node.addresses[0])})
        while line := await driver.next_line():
            gc.collect()
            if line == b"weigh\n":
                memory = resident() or 0
                driver.send({})
            elif line == b"rest\n":
                driver.send(await left_behind(node, idle, descriptors, memory))


async def left_behind(node: Node, idle: Mapping[str, int], descriptors: int | None, memory: int) -> Figures:
    """What is still counted, open and allocated beyond what was there at first, once nothing of it becomes less any more."""
    for _ in range(round(PATIENCE / LOOK)):
        if node.counters == idle and count_descriptors() == descriptors:
            break
        await asyncio.sleep(LOOK)
    gc.collect()
    left: Figures = {"counters": sum(abs(count - idle[name]) for name, count in node.counters.items())}
    now = count_descriptors()
    if descriptors is not None and now is not None:
        left["descriptors"] = now - descriptors
    weight = resident()
    if weight is not None:
        left["growth"] = (weight - memory) / (1 << 20)
    return left


def count_descriptors() -> int | None:
    """Open files of this process, None where the system has no /proc."""
    try:
        return len(list(DESCRIPTORS.iterdir()))
    except OSError:
        return None


@final
class Honest:
    """Round trips on one stream, as long as it lives; each that fails is counted, and the next one has a new stream."""

    def __init__(self, node: Node, address: str) -> None:
        self._node = node
        self._address = address
        self._stream: Stream | None = None
        self._times: list[float] = []
        self._lost = 0

    async def measure(self, seconds: float) -> Figures:
        """For so many seconds: medians and tails in µs, how many round trips there were, and how many failed."""
        self._times, self._lost = [], 0
        try:
            async with asyncio.timeout(seconds + PATIENCE):
                await self._work(time.perf_counter() + seconds)
        except TimeoutError:
            self._lost += 1
        return {**latencies(self._times), "lost": self._lost}

    async def _work(self, end: float) -> None:
        while (started := time.perf_counter()) < end:
            try:
                await self._exchange()
            except CortexError:
                self._lost += 1
                self._stream = None
            else:
                self._times.append(time.perf_counter() - started)

    async def _exchange(self) -> None:
        if self._stream is None:
            self._stream = await self._node.stream(await self._node.dial(self._address), ECHO)
        await self._stream.write(MESSAGE)
        await self._stream.read_exactly(len(MESSAGE))

    async def warm_up(self) -> None:
        for _ in range(WARM_UP):
            await self._exchange()


async def run(task: Task, driver: Driver) -> Figures:
    async with Node(listen=[]) as node:
        honest = Honest(node, task.address)
        await honest.warm_up()
        driver.send({})
        while await driver.next_line() == b"measure\n":
            driver.send(await honest.measure(task.amount))
    return {}


if __name__ == "__main__":
    main(serve, run)

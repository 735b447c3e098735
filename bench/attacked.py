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
from bench.raw_peer import RawPeer, opening, target_of
from cortexnet import Config, CortexError, Limits, Node, Stream
from cortexnet.mux.yamux_frames import DATA, TYPE_MASK, pack

RAISE: Final = "/bench/raise/1.0.0"
DISCARD: Final = "/bench/discard/1.0.0"
HOLD: Final = "/bench/hold/1.0.0"
PATIENCE: Final = 10.0
"""Seconds after which a round trip is lost, and after which a node that is left alone must be as it was."""
ALLOCATED: Final = 2 << 20
"""Bytes that may stay with a process that had to work."""
LOOK: Final = 0.01
"""Seconds between two looks at whether it is."""
FLOOD: Final = "flood_"
"""How the workloads begin in which limits by address hold on loopback, and honest peers dial."""
WARM_UP: Final = 200
"""Round trips before the first that counts."""
DESCRIPTORS: Final = Path("/proc/self/fd")


async def fail(stream: Stream) -> None:
    raise ValueError("the handler's own bug")


async def throw_away(stream: Stream) -> None:
    await discard(stream)


async def hold(stream: Stream) -> None:
    await asyncio.Event().wait()


async def serve(task: Task, driver: Driver) -> None:
    logging.basicConfig(filename=os.devnull)
    node = Node(listen=[LISTEN], config=Config(limits=Limits(limit_loopback=task.workload.startswith(FLOOD))))
    node.handle(ECHO, echo)
    node.handle(RAISE, fail)
    node.handle(DISCARD, throw_away)
    node.handle(HOLD, hold)
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
    """What is still counted, open and allocated beyond what was there at first: once all is as it was, or after 10 s."""
    for _ in range(round(PATIENCE / LOOK)):
        if node.counters == idle and count_descriptors() == descriptors and (resident() or 0) <= memory + ALLOCATED:
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


@final
class Dialers:
    """Honest peers, each from a network of its own: dial, shake hands, one round trip, hang up; one after the other."""

    def __init__(self, address: str) -> None:
        self._target = target_of(address)
        self._number = 0

    def measure(self, seconds: float) -> Figures:
        """As `Honest.measure`, of dials."""
        times, lost = [], 0
        end = time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            try:
                self._dial()
            except OSError:
                lost += 1
            else:
                times.append(time.perf_counter() - started)
        return {**latencies(times or [PATIENCE]), "lost": lost}

    def _dial(self) -> None:
        self._number += 1
        host = f"127.{1 + self._number // 250 % 250}.{self._number % 250}.1"
        peer = RawPeer(self._target, source=(host, 0))
        try:
            peer.send(opening(1, ECHO) + pack(DATA, 1, len(MESSAGE)) + MESSAGE)
            received = 0
            while received < len(MESSAGE):  # the echo; what comes before it is the protocol's confirmation
                received += sum(
                    length for word, stream_id, length in peer.read_headers() if stream_id == 1 and word & TYPE_MASK == DATA
                )
        finally:
            peer.close()


async def run(task: Task, driver: Driver) -> Figures:
    if task.workload.startswith(FLOOD):
        dialers = Dialers(task.address)
        dialers.measure(0.2)
        driver.send({})
        while await driver.next_line() == b"measure\n":
            driver.send(dialers.measure(task.amount))
        return {}
    async with Node(listen=[]) as node:
        honest = Honest(node, task.address)
        await honest.warm_up()
        driver.send({})
        while await driver.next_line() == b"measure\n":
            driver.send(await honest.measure(task.amount))
    return {}


if __name__ == "__main__":
    main(serve, run)

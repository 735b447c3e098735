"""How cost grows with the number of connections into one node: summed bulk, summed round trips, what idle ones cost.

    python -m bench.scale

One process is the node, another holds all its peers, each a node of its own. For each number of connections: bulk to the node
on all of them at once, then 100-byte round trips on all of them at once. Then connections that do nothing: memory of the
node for each, and its share of a core. A table goes to stdout, the same as JSON and a plot (SVG) to bench/results.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final, TypeAlias

from bench.cortexnet_peer import (
    ECHO,
    LISTEN,
    MESSAGE,
    MESSAGE_SIZE,
    PERF,
    PLAIN,
    SETTLING,
    discard,
    echo,
    perf,
    resident,
    write_zeros,
)
from bench.half import Driver, Figures, Task, main
from bench.plot import Curve, plot
from bench.process import ROOT, Process
from bench.run import environment, revision
from cortexnet import Limits, Node, PeerId, Stream
from cortexnet.swarm.manager_config import ConnectionManagerConfig

COUNTS: Final = (1, 10, 100, 500)
IDLE: Final = 1_000
IDLE_SECONDS: Final = 20.0
ROUNDS: Final = 3
BULK: Final = 1 << 31
"""Bytes on all connections together."""
ROUND_TRIPS: Final = 50_000
"""On all connections together."""
WARM_UP: Final = 1 << 20
"""Bytes on each connection before they count: windows grow meanwhile."""
MOST_LOST: Final = 0.3
"""Share of the summed rate that 500 connections may lose against 10."""
Ready: TypeAlias = Callable[[], Awaitable[None]]
CONFIG: Final = replace(
    PLAIN,
    limits=Limits(connections=2_000, connections_inbound=2_000, connections_outbound=2_000, unauthenticated=2_000),
    manager=ConnectionManagerConfig(low=1_800, high=1_900),
)


async def serve(task: Task, driver: Driver) -> None:
    """The node: a line on stdin is answered with its memory, its processor time and how many connections it has."""
    node = Node(listen=[LISTEN], config=CONFIG)
    node.handle(PERF, perf)
    node.handle(ECHO, echo)
    async with node:
        driver.send({"address": str(node.addresses[0])})
        while await driver.next_line():
            driver.send({"resident": resident() or 0, "seconds": time.process_time(), "connections": len(node.connections)})


async def run(task: Task, driver: Driver) -> Figures:
    """All the peers: each line on stdin is a task, the number of connections first."""
    async with AsyncExitStack() as stack:
        peers: list[tuple[Node, PeerId]] = []
        driver.send({})
        while line := await driver.next_line():
            asked = Task(**json.loads(line))
            if asked.workload == "connect":
                while len(peers) < asked.amount:
                    node = await stack.enter_async_context(Node(listen=[], config=PLAIN))
                    peers.append((node, await node.dial(task.address)))
                await asyncio.sleep(SETTLING)
                driver.send({})
            elif asked.workload == "bulk":
                driver.send({"rate": await bulk(peers, asked.amount) / 1e6})
            else:
                driver.send({"rate": await round_trips(peers, asked.amount)})
    return {}


async def bulk(peers: Sequence[tuple[Node, PeerId]], amount: int) -> float:
    """Bytes a second on all connections together."""
    each = amount // len(peers)

    async def upload(node: Node, peer: PeerId, ready: Ready) -> None:
        async with node.stream(peer, PERF) as stream:
            await stream.write(bytes(8))
            await write_zeros(stream, WARM_UP)
            await ready()
            await write_zeros(stream, each)
            await stream.close_write()
            await discard(stream)

    return each * len(peers) / await timed(upload, peers)


async def round_trips(peers: Sequence[tuple[Node, PeerId]], amount: int) -> float:
    """Round trips a second on all connections together, one at a time on each."""
    each = max(amount // len(peers), 1)

    async def talk(node: Node, peer: PeerId, ready: Ready) -> None:
        async with node.stream(peer, ECHO) as stream:
            await exchange(stream)
            await ready()
            for _ in range(each):
                await exchange(stream)

    return each * len(peers) / await timed(talk, peers)


async def exchange(stream: Stream) -> None:
    await stream.write(MESSAGE)
    await stream.read_exactly(MESSAGE_SIZE)


async def timed(work: Callable[[Node, PeerId, Ready], Coroutine[Any, Any, None]], peers: Sequence[tuple[Node, PeerId]]) -> float:
    """Seconds from where all are ready, their streams open and warm, to where all have ended."""
    barrier = asyncio.Barrier(len(peers) + 1)

    async def ready() -> None:
        await barrier.wait()

    async with asyncio.TaskGroup() as tasks:
        for node, peer in peers:
            tasks.create_task(work(node, peer, ready))
        await barrier.wait()
        began = time.perf_counter()
    return time.perf_counter() - began


async def measure() -> dict[str, object]:
    """All figures, by name; those of each count are lists, one a round."""
    bulks: dict[int, list[float]] = {count: [] for count in COUNTS}
    trips: dict[int, list[float]] = {count: [] for count in COUNTS}
    for number in range(ROUNDS):
        for count in COUNTS if number % 2 == 0 else COUNTS[::-1]:
            print(f"round {number + 1} of {ROUNDS}: {count} connections", file=sys.stderr)
            async with Process(half()) as server, Process(half()) as client:
                await connected(server, client, count)
                for workload, amount, rates in (("bulk", BULK, bulks), ("round_trips", ROUND_TRIPS, trips)):
                    client.send_line(Task(workload, amount).to_line())
                    rates[count].append((await client.receive())["rate"])
    print(f"{IDLE} idle connections", file=sys.stderr)
    return {"bulk": bulks, "round_trips": trips, "idle": await idle()}


async def idle() -> dict[str, float]:
    """What a connection costs that does nothing: KiB of the node each, and the share of a core of all."""
    async with Process(half()) as server, Process(half()) as client:
        await connected(server, client, 100)  # what is made once and kept is made by then
        first = await asked(server)
        client.send_line(Task("connect", 100 + IDLE).to_line())
        await client.receive()
        await asyncio.sleep(SETTLING)
        second = await asked(server)
        await asyncio.sleep(IDLE_SECONDS)
        third = await asked(server)
    if third["connections"] != 100 + IDLE:
        raise ValueError(f"{third['connections']} connections are left of {100 + IDLE}")
    return {
        "each": (second["resident"] - first["resident"]) / IDLE / 1_024,
        "core": (third["seconds"] - second["seconds"]) / IDLE_SECONDS * IDLE / (100 + IDLE),
    }


async def connected(server: Process, client: Process, count: int) -> None:
    server.send_line(Task("scale", 0).to_line())
    address = (await server.receive())["address"]
    client.send_line(Task("scale", 0, address).to_line())
    await client.receive()
    client.send_line(Task("connect", count).to_line())
    await client.receive()


async def asked(server: Process) -> dict[str, float]:
    server.send_line(b"state\n")
    return await server.receive()


def half() -> list[str]:
    return [sys.executable, "-m", "bench.scale", "half"]


def report(figures: Mapping[str, object]) -> str:
    """The table, with the goals."""
    bulks, trips, idle = figures["bulk"], figures["round_trips"], figures["idle"]
    assert isinstance(bulks, dict)  # as `measure` made them
    assert isinstance(trips, dict)
    assert isinstance(idle, dict)
    lines = ["connections   bulk, MB/s, all together   round trips /s, all together"]
    lines += [f"{count:>11}   {median(bulks[count]):>24,.0f}   {median(trips[count]):>28,.0f}" for count in COUNTS]
    for name, rates in (("bulk", bulks), ("round trips", trips)):
        lost = 1 - median(rates[500]) / median(rates[10])
        lines.append(f"{name}: {lost:.0%} lost from 10 to 500 connections; goal ≤ {MOST_LOST:.0%}: {mark(lost <= MOST_LOST)}")
    each, core = idle["each"], idle["core"]
    lines.append(f"{IDLE:,} idle connections: {each:.1f} KiB each; goal ≤ 40: {mark(each <= 40)}")
    lines.append(f"{IDLE:,} idle connections: {core:.1%} of a core; goal ≤ 2%: {mark(core <= 0.02)}")
    return "\n".join(lines)


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def mark(is_met: bool) -> str:
    return "pass" if is_met else "MISSED"


def show() -> None:
    """Measure, print and keep."""
    figures = asyncio.run(measure())
    title = f"cortexnet ({revision()}), {environment()}, medians of {ROUNDS} rounds"
    print(f"{title}\n\n{report(figures)}")
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "scale.json").write_text(json.dumps({"title": title, **figures}, indent=1))
    curves = []
    for name, key in (("bulk, MB/s", "bulk"), ("round trips /s", "round_trips")):
        rates = figures[key]
        assert isinstance(rates, dict)  # as `measure` made them
        curves.append(Curve(name, [(count, median(rates[count])) for count in COUNTS]))
    (results / "scale.svg").write_text(plot("All connections together, by their number", curves))


if __name__ == "__main__":
    if sys.argv[1:] == ["half"]:
        main(serve, run)
    else:
        show()

"""How cost grows with the number of connections into one node: summed bulk, summed round trips, what idle ones cost.

    python -m bench.scale

One process is the node, another holds all its peers, which cost so little that the node is what is measured (`light_peer`). For
each number of connections: bulk to the node on all of them at once, then 100-byte round trips on all of them at once. Then
connections of whole nodes that do nothing: memory of the node for each, and its share of a core. A table goes to stdout, the same
as JSON and a plot (SVG) to bench/results.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final, TypeAlias

from bench.cortexnet_peer import (
    ECHO,
    LISTEN,
    MESSAGE,
    PERF,
    PLAIN,
    SETTLING,
    echo,
    perf,
    resident,
)
from bench.half import Driver, Figures, Task, main
from bench.light_peer import LightPeer
from bench.plot import Curve, plot
from bench.process import ROOT, Process
from bench.raw_peer import Target, target_of
from bench.run import environment, revision
from cortexnet import Limits, Node
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
Work: TypeAlias = Callable[[LightPeer], Awaitable[None]]
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
    target = target_of(task.address)
    async with AsyncExitStack() as stack:
        nodes: list[Node] = []
        driver.send({})
        while line := await driver.next_line():
            asked = Task(**json.loads(line))
            if asked.workload == "connect":
                while len(nodes) < asked.amount:
                    nodes.append(await stack.enter_async_context(Node(listen=[], config=PLAIN)))
                    await nodes[-1].dial(task.address)
                await asyncio.sleep(SETTLING)
                driver.send({})
            elif asked.workload == "bulk":
                driver.send({"rate": await bulk(target, asked) / 1e6})
            else:
                driver.send({"rate": await round_trips(target, asked)})
    return {}


async def bulk(target: Target, task: Task) -> float:
    """Bytes a second on all connections together."""
    each = task.amount // task.connections

    async def warm_up(peer: LightPeer) -> None:
        await peer.upload(WARM_UP)  # zeros; the first eight say that nothing is wanted back

    async def upload(peer: LightPeer) -> None:
        await peer.upload(each)
        await peer.finish()

    return task.connections * each / await timed(target, PERF, task.connections, warm_up, upload)


async def round_trips(target: Target, task: Task) -> float:
    """Round trips a second on all connections together, one at a time on each."""
    each = max(task.amount // task.connections, 1)

    async def warm_up(peer: LightPeer) -> None:
        await peer.round_trips(MESSAGE, 10)

    async def talk(peer: LightPeer) -> None:
        await peer.round_trips(MESSAGE, each)

    return task.connections * each / await timed(target, ECHO, task.connections, warm_up, talk)


async def timed(target: Target, protocol: str, count: int, warm_up: Work, work: Work) -> float:
    """Seconds of the work on so many connections, all of them open and warm before."""
    peers = [await LightPeer.connect(target, protocol) for _ in range(count)]
    await asyncio.gather(*map(warm_up, peers))
    began = time.perf_counter()
    await asyncio.gather(*map(work, peers))
    seconds = time.perf_counter() - began
    for peer in peers:
        peer.close()
    return seconds


async def measure() -> dict[str, object]:
    """All figures, by name; those of each count are lists, one a round."""
    bulks: dict[int, list[float]] = {count: [] for count in COUNTS}
    trips: dict[int, list[float]] = {count: [] for count in COUNTS}
    for number in range(ROUNDS):
        for count in COUNTS if number % 2 == 0 else COUNTS[::-1]:
            print(f"round {number + 1} of {ROUNDS}: {count} connections", file=sys.stderr)
            async with Process(half()) as server, Process(half()) as client:
                await meet(server, client)
                for workload, amount, rates in (("bulk", BULK, bulks), ("round_trips", ROUND_TRIPS, trips)):
                    client.send_line(Task(workload, amount, connections=count).to_line())
                    rates[count].append((await client.receive())["rate"])
    print(f"{IDLE} idle connections", file=sys.stderr)
    return {"bulk": bulks, "round_trips": trips, "idle": await idle()}


async def idle() -> dict[str, float]:
    """What a connection costs that does nothing: KiB of the node each, and the share of a core of all."""
    async with Process(half()) as server, Process(half()) as client:
        await meet(server, client)
        client.send_line(Task("connect", 100).to_line())  # what is made once and kept is made by then
        await client.receive()
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


async def meet(server: Process, client: Process) -> None:
    """Start both, and tell the one where the other is."""
    server.send_line(Task("scale", 0).to_line())
    client.send_line(Task("scale", 0, (await server.receive())["address"]).to_line())
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

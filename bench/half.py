"""One half of a measured pair: a process of its own that speaks JSON lines on stdin and stdout.

The driver (`bench.process`) sends a `Task`; a server half answers with its address and stays until its stdin closes, a client
half answers with its figures. Each program hands its two coroutines to `main`, which does the talking.
"""

import asyncio
import dataclasses
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, final

from bench.functions import FunctionProfile
from bench.shares import CLOCKS

Figures: TypeAlias = dict[str, float]


class Meter(Protocol):
    """Looks on while a half runs its task."""

    def start(self) -> None: ...

    def stop(self) -> dict[str, Any]:
        """What it found."""


@final
@dataclass(frozen=True, slots=True)
class Task:
    """What this half is to do: the workload's name and its size, in bytes for bulk and as a count for the others."""

    workload: str
    amount: int
    address: str = ""
    """Where the server half listens; empty says that this half is the server."""
    stack: str = ""
    """What connections are made of, by its name in `bench.stacks`; empty: a node's defaults over TCP."""
    connections: int = 1
    """Between how many it is shared, where there may be several."""
    meter: str = ""
    """"shares" or "functions": answer with what `bench.shares` or `bench.functions` found instead of with the figures."""

    def to_line(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"


@final
class Driver:
    """The process that started this half, at the far end of stdin and stdout."""

    def __init__(self, stdin: asyncio.StreamReader) -> None:
        self._stdin = stdin

    @classmethod
    async def attach(cls) -> "Driver":
        """Take over stdin. No thread: a second thread would take turns with the measured one."""
        stdin = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        return cls(stdin)

    async def next_line(self) -> bytes:
        """The driver's next line, or `b""` once it has closed our stdin."""
        return await self._stdin.readline()

    def send(self, message: Mapping[str, object]) -> None:
        print(json.dumps(message), flush=True)


Server: TypeAlias = Callable[[Task, Driver], Awaitable[None]]
"""Serves one task: announces `{"address": …}` when it listens, returns at the driver's next line that is none of its own."""
Client: TypeAlias = Callable[[Task, Driver], Awaitable[Figures]]
"""Runs one task against `task.address` and returns what it measured."""


def main(server: Server, client: Client) -> None:
    """Be the half that the first line on stdin asks for."""
    asyncio.run(_serve_driver(server, client))


async def _serve_driver(server: Server, client: Client) -> None:
    driver = await Driver.attach()
    task = Task(**json.loads(await driver.next_line()))
    meters: dict[str, Meter] = {"shares": CLOCKS, "functions": FunctionProfile()}
    meter = meters.get(task.meter)
    if meter is not None:
        meter.start()
    figures: Figures = {}
    if task.address:
        figures = await client(task, driver)
    else:
        await server(task, driver)
    if meter is not None:
        driver.send(meter.stop())
    elif task.address:
        driver.send(figures)

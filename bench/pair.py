"""The two halves of a measurement as the driver uses them, whatever they are written in, and those written in Python."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, final

from bench.half import Figures, Task
from bench.process import MeasurementFailed, Process


class Server(Protocol):
    """The half that listens."""

    @property
    def address(self) -> str:
        """What its client dials; for stacks a multiaddr that ends in the peer id."""

    async def resident(self) -> int:
        """Bytes of memory it has in use, after a collection of its garbage."""

    async def metered(self) -> dict[str, Any]:
        """End the workload; what the meter of its task has found."""


class Client(Protocol):
    """The half that measures."""

    async def measure(self, task: Task) -> dict[str, Any]:
        """Run the workload against `task.address`. Raises MeasurementFailed."""

    async def hold(self, task: Task) -> None:
        """Return once `task.amount` connections in all are open to the address, each from a node of its own, and idle."""


@final
@dataclass(frozen=True, slots=True)
class Kind:
    """Something to measure: how to start either half of it for a task."""

    name: str
    start_server: Callable[[Task], AbstractAsyncContextManager[Server]]
    start_client: Callable[[Task], AbstractAsyncContextManager[Client]]


async def measure_pair(kind: Kind, task: Task) -> Figures:
    """One workload between two fresh processes of a kind; idle connections are weighed, everything else is timed."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(kind.start_client(task))  # it starts up while the server does
        server = await stack.enter_async_context(kind.start_server(task))
        task = replace(task, address=server.address)
        return await weigh(server, client, task) if task.workload == "idle" else await client.measure(task)


WARM_UP = 20
"""Connections opened before the first weighing: they pay for what is loaded and allocated once."""


async def weigh(server: Server, client: Client, task: Task) -> Figures:
    await client.hold(replace(task, amount=WARM_UP))
    before = await server.resident()
    await client.hold(replace(task, amount=WARM_UP + task.amount))
    return {"each": (await server.resident() - before) / task.amount / 1024}


async def meter_pair(kind: Kind, task: Task, meter: str) -> dict[str, dict[str, Any]]:
    """What a meter finds in each half while it runs the task: "shares" (`bench.shares`) or "functions" (`bench.functions`)."""
    task = replace(task, meter=meter)
    async with kind.start_client(task) as client, kind.start_server(task) as server:
        return {"client": await client.measure(replace(task, address=server.address)), "server": await server.metered()}


# --- halves written in Python ---


@final
class PythonServer:
    def __init__(self, process: Process, address: str) -> None:
        self._process = process
        self.address = address

    async def resident(self) -> int:
        self._process.send_line(b"resident\n")
        resident = (await self._process.receive())["resident"]
        if not isinstance(resident, int):
            raise MeasurementFailed("the server cannot tell its memory here")
        return resident

    async def metered(self) -> dict[str, Any]:
        self._process.send_line(b"end\n")
        return await self._process.receive()


@final
class PythonClient:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def measure(self, task: Task) -> dict[str, Any]:
        self._process.send_line(task.to_line())
        return await self._process.receive()

    async def hold(self, task: Task) -> None:
        """Each call sends a task; the process keeps what the tasks before it opened."""
        self._process.send_line(task.to_line())
        held = (await self._process.receive())["held"]
        if held != task.amount:
            raise MeasurementFailed(f"{held} of {task.amount} connections are open")


def python_kind(name: str, module_of: Callable[[Task], str]) -> Kind:
    """A kind whose halves are `python -m module`, both made with `bench.half.main`."""

    def command(task: Task) -> list[str]:
        clocks = ["-m", "bench.shares"] if task.meter == "shares" else ["-m"]
        return [sys.executable, *clocks, module_of(task)]

    @asynccontextmanager
    async def start_server(task: Task) -> AsyncIterator[Server]:
        async with Process(command(task)) as process:
            process.send_line(task.to_line())
            yield PythonServer(process, (await process.receive())["address"])

    @asynccontextmanager
    async def start_client(task: Task) -> AsyncIterator[Client]:
        async with Process(command(task)) as process:
            yield PythonClient(process)

    return Kind(name, start_server, start_client)


def ceiling_of(task: Task) -> str:
    """What there is at best, for what is measured."""
    if task.stack == "quic":
        return "bench.quic_ceiling"
    return "bench.dial_floor" if task.workload == "dials" else "bench.ceiling"


CEILING = python_kind("ceiling", ceiling_of)
CORTEXNET = python_kind(
    "cortexnet", lambda task: "bench.dht_peer" if task.workload.startswith("dht_") else "bench.cortexnet_peer"
)

"""py-libp2p as a measured pair: `py_libp2p.py`, in an environment of its own that is made where it is missing."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, Final, final

from bench.at_once import AT_ONCE
from bench.half import Figures, Task
from bench.pair import Client, Kind, Server
from bench.process import ROOT, MeasurementFailed, Process

VERSION: Final = "0.8.1"
PLACE: Final = ROOT / "interop" / "build" / f"py-libp2p-{VERSION}"
PYTHON: Final = PLACE / "bin" / "python"
COMMAND: Final = (str(PYTHON), "-P", str(ROOT / "bench" / "py_libp2p.py"))
SHARE: Final = 20
"""It gets so many times fewer requests: it would take longer than all others together."""


async def install() -> str:
    """Make the environment, where it is not there yet; the version. Raises MeasurementFailed where that can't be done."""
    name = f"py-libp2p {VERSION}"
    if not PYTHON.exists():
        print(f"{name} is installed into {PLACE.relative_to(ROOT)}", file=sys.stderr)
        try:
            await _run(sys.executable, "-m", "venv", str(PLACE))
            await _run(str(PYTHON), "-m", "pip", "install", "--quiet", f"libp2p=={VERSION}")
        except BaseException:
            shutil.rmtree(PLACE, ignore_errors=True)  # half of one would be taken for a whole one
            raise
    return name


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise MeasurementFailed(f"{' '.join(command)} failed:\n{output.decode(errors='replace')[-2000:]}")


@final
class PyHalf:
    """Either half."""

    def __init__(self, process: Process, address: str = "") -> None:
        self._process = process
        self.address = address

    async def measure(self, task: Task) -> Figures:
        line = {**asdict(task), "amount": task.amount // SHARE, "at_once": AT_ONCE}
        self._process.send_line(json.dumps(line).encode() + b"\n")
        figures: Figures = await self._process.receive()
        if figures.pop("connections") != 1:
            raise MeasurementFailed("more connections than one")
        return figures

    async def hold(self, task: Task) -> None:
        raise MeasurementFailed("py-libp2p is measured in requests alone")

    async def resident(self) -> int:
        raise MeasurementFailed("py-libp2p is measured in requests alone")

    async def metered(self) -> dict[str, Any]:
        raise MeasurementFailed("only halves of ours have meters")


@asynccontextmanager
async def start_server(task: Task) -> AsyncIterator[Server]:
    async with Process(COMMAND) as process:
        process.send_line(task.to_line())
        yield PyHalf(process, (await process.receive())["address"])


@asynccontextmanager
async def start_client(task: Task) -> AsyncIterator[Client]:
    async with Process(COMMAND) as process:
        yield PyHalf(process)


PY: Final = Kind("py", start_server, start_client)

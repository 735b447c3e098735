"""A worker process, as the director of the demonstration sees it."""

import asyncio
import contextlib
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any, final

import cortexnet
from cortexnet.cli.demo.services import DemoFailed
from cortexnet.transport.scope import Scope

START_TIMEOUT = 30.0
"""Seconds; a cold start on a slow machine takes some."""
CALL_TIMEOUT = 35.0
"""Seconds; the worker itself gives up earlier, and says why."""
STOP_TIMEOUT = 8.0
"""Seconds; a node closes within five."""

_LINE_LIMIT = 1 << 20
_LOG_TAIL = 2000


@final
class Worker:
    """Starts a process and asks it to do things. It must be ended by `close` on every way out."""

    def __init__(self, name: str, node_count: int, folder: Path, bootstrap: str = "") -> None:
        """Nodes that are told of `bootstrap` meet others by themselves."""
        self.name = name
        self._bootstrap = bootstrap
        self.nodes: list[dict[str, str]] = []
        """Name, peer id and address of each."""
        self.is_killed = False
        self._count = node_count
        self._folder = folder
        self._log = folder / f"{name}.log"
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._scope = Scope()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._running.pid

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise DemoFailed(f"process {self.name} has not been started")
        return self._process

    async def start(self) -> None:
        """Start the process and wait until its nodes listen. Raises DemoFailed."""
        arguments = ["-m", "cortexnet.cli.demo.worker", self.name, str(self._count), str(self._folder)]
        arguments += [self._bootstrap] if self._bootstrap else []
        with open(self._log, "wb") as log:  # noqa: ASYNC230 (a new file in a temporary folder)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=_LINE_LIMIT,
                env=os.environ | {"PYTHONPATH": _python_path()},
            )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                self.nodes = (await self._read())["nodes"]
        except TimeoutError:
            raise DemoFailed(f"process {self.name} did not start within {START_TIMEOUT:g} s") from None
        self._scope.spawn(self._read_answers(), name=f"answers of {self.name}")

    async def call(self, node: str, do: str, **arguments: Any) -> dict[str, Any]:
        """Have one of its nodes do something; what came of it. Raises DemoFailed."""
        stdin = self._running.stdin
        assert stdin is not None  # it was asked for
        number = next(self._numbers)
        pending = self._pending[number] = asyncio.get_running_loop().create_future()
        stdin.write(json.dumps({"id": number, "node": node, "do": do, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                result: dict[str, Any] = await pending
                return result
        except TimeoutError:
            raise DemoFailed(f"process {self.name} did not answer within {CALL_TIMEOUT:g} s") from None
        finally:
            del self._pending[number]

    async def _read(self) -> dict[str, Any]:
        stdout = self._running.stdout
        assert stdout is not None  # it was asked for
        line = await stdout.readline()
        if not line:
            raise DemoFailed(f"process {self.name} has ended; its last words: {self.last_words() or '(none)'}")
        message: dict[str, Any] = json.loads(line)
        return message

    async def _read_answers(self) -> None:
        while True:
            try:
                message = await self._read()
            except DemoFailed as error:
                for waiting in self._pending.values():
                    if not waiting.done():
                        waiting.set_exception(error)
                return
            pending = self._pending.get(message["id"])
            if pending is None or pending.done():
                continue  # given up meanwhile
            if "error" in message:
                pending.set_exception(DemoFailed(message["error"]))
            else:
                pending.set_result(message["result"])

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        try:
            return self._log.read_text(errors="replace")[-_LOG_TAIL:].strip()
        except OSError:
            return ""

    def kill(self) -> None:
        """End it now, without a farewell: SIGKILL, or what the system has for that."""
        self.is_killed = True
        with contextlib.suppress(ProcessLookupError):
            self._running.kill()

    async def close(self) -> None:
        """End it and wait for that; it is killed where it takes too long, and where this is cancelled."""
        process = self._process
        if process is None:
            return
        try:
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await process.wait()
        finally:
            if process.returncode is None:
                self.kill()
                await process.wait()
            await self._scope.close()

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it runs."""
        return None if self._process is None else self._process.returncode


def _python_path() -> str:
    """Where this very package is found, also if it is not installed."""
    here = str(Path(cortexnet.__file__).parent.parent)
    return os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))

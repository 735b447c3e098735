"""Processes that are measured, as their driver sees them: started, spoken to in JSON lines, always ended."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, final

ROOT: Final = Path(__file__).resolve().parent.parent
PATIENCE: Final = 120.0
"""Seconds that one answer may take: many times what the longest workload needs on a slow machine."""
GRACE: Final = 5.0
"""Seconds that a process has to end by itself once its stdin is closed."""


class MeasurementFailed(Exception):
    """A measured process died, refused or did not answer in time; its own words are on stderr."""


@final
class Process:
    """A child process in JSON lines. Leaving the block closes its stdin, waits a little, and kills what is still there."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Process":
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        process = self._running()
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(GRACE):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                process.kill()
        await process.wait()

    def send_line(self, line: bytes) -> None:
        """Hand it a line. A process that has ended shows at the next `receive`."""
        stdin = self._running().stdin
        if stdin is not None:
            stdin.write(line)

    async def receive(self) -> dict[str, Any]:
        """The next line of its stdout. Raises MeasurementFailed if none comes."""
        stdout = self._running().stdout
        if stdout is None:
            raise MeasurementFailed(f"no output from {self._command[-1]}")
        try:
            async with asyncio.timeout(PATIENCE):
                line = await stdout.readline()
        except TimeoutError:
            raise MeasurementFailed(f"no answer within {PATIENCE:.0f} s from {self._command[-1]}") from None
        if not line:
            raise MeasurementFailed(f"{self._command[-1]} ended without an answer")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise MeasurementFailed(f"{self._command[-1]} was not started")
        return self._process

"""A running peer: its process, the control protocol with it, and the log of both."""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, final

from interop.harness.peers import PeerKind

LOG_LINES = 5_000  # kept of each peer; a scenario needs a few dozen, a peer gone wild must not fill the memory
LINE_LIMIT = 1 << 20
GRACE = 5.0  # seconds between "stop" and the end of the process, then it is killed

Answer = Mapping[str, Any]


class OperationFailed(Exception):
    """The peer answered that an operation failed; `kind` and `code` as in the control protocol."""

    def __init__(self, peer: str, operation: str, answer: Answer) -> None:
        self.kind: str = answer.get("kind", "failed")
        self.code: int = answer.get("code", 0)
        super().__init__(f"{peer}: {operation} failed ({self.kind}): {answer.get('error', '')}")


class PeerDied(Exception):
    """The process ended, or wrote something that is not the control protocol."""


@final
class PeerProcess:
    """One peer program for the time of an `async with`; leaving stops it, by force if need be.

    Requests may run concurrently. `log` holds requests (>), answers (<) and what the program printed to stderr (!).
    """

    def __init__(self, kind: PeerKind, role: str, prefix: tuple[str, ...] = ()) -> None:
        """`prefix` is a command that runs the program, such as one that puts it into a network of its own."""
        self.kind, self.role = kind, role
        self._prefix = prefix
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._last_id = 0
        self._begin = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._prefix, *self.kind.run, cwd=self.kind.root, stdin=pipe, stdout=pipe, stderr=pipe, limit=LINE_LIMIT
        )
        out, errors, into = self._process.stdout, self._process.stderr, self._process.stdin
        if out is None or errors is None or into is None:
            raise PeerDied("a process without pipes")
        self._input = into
        self._tasks = [asyncio.create_task(self._read_answers(out)), asyncio.create_task(self._read_errors(errors))]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with contextlib.suppress(PeerDied, OperationFailed, TimeoutError):
                await self.request("stop", timeout=GRACE)
            self._input.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), GRACE)
        finally:
            if self._process.returncode is None:
                self._note("!", "did not stop, killed")
                self._process.kill()
            await self._process.wait()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def request(self, operation: str, *, timeout: float = 60.0, **fields: object) -> Answer:
        """Send one request and wait for its answer.

        Raises OperationFailed, PeerDied, or TimeoutError where the peer does not keep the deadline it was told.
        """
        if self._tasks[0].done():
            raise PeerDied(f"{self.role} {self.kind.name}: the process is gone")
        self._last_id += 1
        request_id = self._last_id
        line = json.dumps({"id": request_id, "op": operation, "timeout": timeout, **fields})
        self._waiting[request_id] = asyncio.get_running_loop().create_future()
        self._note(">", line)
        try:
            self._input.write(line.encode() + b"\n")
            with contextlib.suppress(ConnectionError):  # a dead process shows as the end of its answers
                await self._input.drain()
            answer = await asyncio.wait_for(self._waiting[request_id], timeout + GRACE)
        finally:
            del self._waiting[request_id]
        if not answer.get("ok"):
            raise OperationFailed(f"{self.role} {self.kind.name}", operation, answer)
        return answer

    async def _read_answers(self, out: asyncio.StreamReader) -> None:
        reason = "the process ended"
        try:
            while line := await out.readline():
                self._note("<", line.decode(errors="replace").rstrip())
                answer = json.loads(line)
                future = self._waiting.get(answer["id"])
                if future is not None and not future.done():
                    future.set_result(answer)
        except (ValueError, KeyError, TypeError) as error:
            reason = f"not the control protocol: {error!r}"
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(PeerDied(f"{self.role} {self.kind.name}: {reason}"))

    async def _read_errors(self, errors: asyncio.StreamReader) -> None:
        while not errors.at_eof():
            with contextlib.suppress(ValueError):  # a line over the limit is dropped: reading on matters, or the peer blocks
                if line := await errors.readline():
                    self._note("!", line.decode(errors="replace").rstrip())

    def _note(self, mark: str, text: str) -> None:
        self.log.append(f"{time.monotonic() - self._begin:9.4f} {mark} {text}")

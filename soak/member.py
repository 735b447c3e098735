"""A node of a soak, as its director sees it: a process that is started, told things, stopped, killed and started again."""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from cortexnet import Identity
from cortexnet.transport.scope import Scope
from soak.clock import Speed
from soak.network import PORT, Network, address_of

ROOT: Final = Path(__file__).resolve().parent.parent
START_TIMEOUT: Final = 180.0
"""Seconds; it takes one, but thirty start at once, on a machine that has other work."""
CALL_TIMEOUT: Final = 90.0
"""Seconds; an operation of the DHT takes a minute at most, and a process may just be stopped."""
STOP_TIMEOUT: Final = 15.0
"""Seconds of ours, whatever the speed; a node closes within five, but thirty processes end at once."""
_LOG_SIZE = 4 * 1024 * 1024
_LINE_LIMIT = 1 << 20
_BUG = re.compile(r"ERROR|CRITICAL|Traceback|.*(Runtime|Resource)Warning")
"""What a node never logs, unless it has a bug."""


class CallFailed(Exception):
    """What it was told to do was not done; says why."""


@final
class Member:
    """One of them. `close` ends it on every way out."""

    def __init__(
        self, number: int, folder: Path, network: Network, elapsed: Callable[[], float], *, pace: float, speed: Speed
    ) -> None:
        """`elapsed` gives the time for the log; `pace` and `speed` are those of the run."""
        self.number = number
        self.name = f"node {number}"
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.peer_id = str(Identity.load_or_create(folder / "identity.key").peer_id)
        self.announce = network.multiaddr(number)
        self.bootstrap: list[str] = []
        self.on_trouble: Callable[[str], None] = lambda what: None
        """Called where the process has ended, and nobody has told it to; and where it logs a bug."""
        self.rest: dict[str, int] | None = None
        """What was left when its node was closed; None where it has not said."""
        self.is_away = False
        """Whether nobody should ask anything of it now."""
        self.is_to_end = False
        """Whether its process was told to end, or killed: what was asked of it then may stay without an answer."""
        self._network = network
        self._elapsed = elapsed
        self._pace = pace
        self._speed = speed
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._scope = Scope()
        self._readers: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()

    @property
    def multiaddr(self) -> str:
        """Where it is reached, and who it is."""
        return f"{self.announce}/p2p/{self.peer_id}"

    @property
    def is_up(self) -> bool:
        """Whether its process runs and is ready."""
        return self._ready.is_set()

    @property
    def pid(self) -> int | None:
        """Of the process that runs."""
        return None if self._process is None else self._process.pid

    # --- life --------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process, and wait until its node listens. Raises CallFailed."""
        await self._scope.close()
        self._scope, self.is_to_end, self.is_away = Scope(), False, False
        settings = {
            "address": address_of(self.number),
            "port": PORT,
            "folder": str(self.folder),
            "announce": self.announce,
            "bootstrap": self.bootstrap,
            "pace": self._pace,
            "speed": self._speed.factor,
            "since": self._speed.since,
        }
        await self._network.up(self.number)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "soak.worker", json.dumps(settings)),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,  # not a file: a full disk is not to keep it silent
            limit=_LINE_LIMIT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self._process = process
        self.log(f"process {process.pid} is started")
        readers = self._read_log(process), self._read_answers(process)
        self._readers = [self._scope.spawn(reader, name=f"reader of {self.name}") for reader in readers]
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._ready.wait()
        except TimeoutError:
            raise CallFailed(f"it did not start within {START_TIMEOUT:g} s; its last words: {self.last_words()}") from None

    async def call(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Have it do something; what came of that. Raises CallFailed."""
        process = self._process
        if process is None or process.stdin is None or not self.is_up:
            raise CallFailed("it does not run")
        number = next(self._numbers)
        pending = self._pending[number] = asyncio.get_running_loop().create_future()
        process.stdin.write(json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                result: dict[str, Any] = await pending
                return result
        except TimeoutError:
            raise CallFailed(f"{do} was not answered within {CALL_TIMEOUT:g} s") from None
        finally:
            del self._pending[number]

    async def kill(self) -> None:
        """End it without a farewell."""
        process = self._process
        if process is not None:
            self.is_to_end = True
            self._network.down(self.number)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def stop(self) -> None:
        """Let it stand still."""
        self._signal(signal.SIGSTOP)
        self.is_away = True

    def go_on(self) -> None:
        """After `stop`."""
        self._signal(signal.SIGCONT)
        self.is_away = False

    def _signal(self, number: int) -> None:
        if self._process is not None and self.is_up:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def close(self) -> None:
        """Let it close its node and end; it is killed where that takes too long. Raises CallFailed where it does, or fails."""
        process = self._process
        if process is None:
            return
        if process.returncode is not None:  # it was killed, or its end was told
            await self._scope.close()
            return
        self.is_to_end = True
        try:
            self._signal(signal.SIGCONT)
            if process.stdin is not None:
                process.stdin.close()
            async with asyncio.timeout(STOP_TIMEOUT * self._speed.factor):
                await process.wait()
        except TimeoutError:
            raise CallFailed(f"it did not end within {STOP_TIMEOUT:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await asyncio.wait(self._readers, timeout=STOP_TIMEOUT)  # they read to the end
            await self._scope.close()
            self._process = None
        if process.returncode:
            raise CallFailed(f"it ended with {process.returncode}; its last words: {self.last_words()}")

    # --- what it says ------------------------------------------------------------------------------------------------------

    async def _read_answers(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # it was asked for
        while line := await process.stdout.readline():
            message = json.loads(line)
            if "ready" in message:
                self._ready.set()
            elif "rest" in message:
                self.rest = message["rest"]
            else:
                self._answered(message)
        self._ready.clear()
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(CallFailed("it has ended"))
        if not self.is_to_end:
            await process.wait()
            self.on_trouble(f"it ended by itself, with {process.returncode}; its last words: {self.last_words()}")

    def _answered(self, message: dict[str, Any]) -> None:
        pending = self._pending.get(message["id"])
        if pending is None or pending.done():
            return  # given up meanwhile
        if "error" in message:
            pending.set_exception(CallFailed(message["error"]))
        else:
            pending.set_result(message["result"])

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # it was asked for
        while line := await process.stderr.readline():
            text = line.decode(errors="replace").rstrip()
            self.log(text)
            if _BUG.match(text):
                self.on_trouble(f"it has logged: {text}")

    @property
    def log_file(self) -> Path:
        """What it has logged; what is much older is in a file of the same name with .1 behind it."""
        return self.folder / "log"

    def log(self, text: str) -> None:
        """A line into its log."""
        with self.log_file.open("a") as file:
            file.write(f"{self._elapsed():8.2f} {text}\n")
            is_full = file.tell() > _LOG_SIZE
        if is_full:
            self.log_file.replace(self.log_file.with_suffix(".1"))

    def last_words(self) -> str:
        """The end of its log."""
        try:
            return self.log_file.read_text()[-2_000:].strip()
        except OSError:
            return ""

    def memory(self) -> int | None:
        """Its resident memory in bytes; None where it does not run."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
        return 1024 * int(sizes[0]) if sizes and self.is_up else None

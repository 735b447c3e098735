"""A network namespace for the peers of a cell: a loopback interface on which their multicast reaches nobody else."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self, final

WIRE = "10.77.0.1"
"""The address of one end of the wire."""

_LOOPBACK = "ip link set lo up && ip link set lo multicast on"
_WIRE = "ip link add wire type veth peer name end && ip link set end up && ip link set wire up"
_PLACE = f"ip address add {WIRE}/24 dev wire && ip route add 224.0.0.0/4 dev wire"
_HOLD = "echo ready && exec cat"
_GRACE = 5.0  # seconds until what holds the namespace is killed


class NoNamespaces(Exception):
    """This machine, or this user, can't have one."""


@final
class PrivateNetwork:
    """One for the time of an `async with`; entering raises NoNamespaces. Commands behind `prefix` run within it.

    `wire`: it has one more interface, a wire that leads nowhere, for those who make no use of loopback.
    """

    prefix: tuple[str, ...]

    def __init__(self, *, wire: bool = False) -> None:
        self._commands = " && ".join((_LOOPBACK, *([_WIRE, _PLACE] if wire else ()), _HOLD))

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        command = ("unshare", "--map-root-user", "--net", "sh", "-c", self._commands)
        try:
            self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise NoNamespaces(f"no network namespaces here: {error}") from None
        try:
            await self._ready()
        except BaseException:
            await self._end()
            raise
        self.prefix = ("nsenter", f"--target={self._process.pid}", "--user", "--net", "--preserve-credentials")
        return self

    async def _ready(self) -> None:
        out, errors = self._process.stdout, self._process.stderr
        assert out is not None
        assert errors is not None
        if await out.readline() != b"ready\n":
            raise NoNamespaces(f"no network namespaces here: {(await errors.read()).decode(errors='replace').strip()}")

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._end()

    async def _end(self) -> None:
        """It ends with what it reads."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _GRACE)
        finally:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

"""What a service manager is told and finds: sd_notify(3), its watchdog, a file that says that the node is ready; and what the
system is asked for.

Spec: the protocol of sd_notify(3): datagrams of lines `NAME=value` to the unix socket that NOTIFY_SOCKET names.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.errors import StorageFailed
from cortexnet.transport.scope import Scope

log = logging.getLogger(__name__)

_OTHER_SOCKETS = 64  # that listen, or are accepted and not authenticated yet


@final
class ServiceManager:
    """The one that has started this process; nobody where the environment names none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._watchdog = _watchdog(environment)

    def ready(self, status: str) -> None:
        """The node accepts connections."""
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Settings are being read again; `ready` follows."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def watch(self, scope: Scope) -> None:
        """Say regularly that the event loop turns, where somebody wants to hear it; who hears it no more starts us again."""
        if self._address and self._watchdog:
            scope.spawn(self._keep_telling(self._watchdog / 2), name="watchdog")

    async def _keep_telling(self, interval: float) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(interval)

    def _tell(self, message: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.sendto(message.encode(), address)
        except OSError as error:  # the node is well all the same
            log.warning("the service manager could not be told %s: %s", message.partition("=")[0], error)


def _watchdog(environment: Mapping[str, str]) -> float:
    """Seconds within which it wants to hear of this process; 0: it does not."""
    microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    is_ours = not process or process == str(os.getpid())
    return int(microseconds) / 1e6 if microseconds.isdecimal() and len(microseconds) < 19 and is_ours else 0.0


def raise_descriptor_limit(limits: Limits) -> None:
    """Let this process open the files that its limits take, half of which are sockets, as far as the system lets it do that.

    The usual 1,024 are there for programs that use select(), which asyncio does not.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    wanted = 2 * (limits.connections + limits.dials + _OTHER_SOCKETS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS has a limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft < wanted:
        log.warning(
            "%d connections want %d open files, and this process may have %d: raise its limit (ulimit -n, LimitNOFILE)",
            limits.connections,
            wanted,
            soft,
        )


@contextlib.contextmanager
def ready_file(path: str, **facts: object) -> Iterator[None]:
    """Have a file there for the block, whole at once, with these facts in JSON; for no path nothing. Raises StorageFailed."""
    if not path:
        yield
        return
    fresh = f"{path}.{os.getpid()}"
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            file.write(json.dumps({"pid": os.getpid(), **facts}) + "\n")
        os.replace(fresh, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise StorageFailed(f"can't say there that the node is ready: {error.strerror or error}", path=path) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)

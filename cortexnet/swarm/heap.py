"""Gives the system back what streams and connections held unread at their end. A shell.

An allocator keeps what is freed, for use again, wherever anything that is still in use lies behind it: after a flood of unread
data a process had 17 MiB more than before, for good. glibc gives it back when it is asked to.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, final

WORTH: Final = 4 << 20
"""Bytes that must have gone unread, together, before it is worth the milliseconds."""
SETTLING: Final = 1.0
"""Seconds until their readers have let go of them, too."""
INTERVAL: Final = 5.0
"""Seconds between two times, whoever comes and goes."""

_last_trim = float("-inf")  # of this process, whose heap it is


def trim(now: float) -> None:
    """Give back all the heap that nobody uses; nothing happens where that was done in the last INTERVAL (`now` in seconds).

    Takes some 7 ms for each hundred MB of a heap full of holes. Other C libraries than glibc can't be asked.
    """
    global _last_trim
    if now < _last_trim + INTERVAL:
        return
    _last_trim = now
    try:
        import ctypes  # most processes never need it

        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (ImportError, AttributeError, OSError, TypeError):  # Windows has no library without a name
        return
    malloc_trim(0)


@final
class Heap:
    """One of each node. `freed` is called with what each stream and connection held at its end, in bytes."""

    def __init__(self, give_back: Callable[[float], None] = trim) -> None:
        self._give_back = give_back
        self._loop = asyncio.get_running_loop()
        self._freed = 0  # since it was given back last
        self._not_before = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopped = False

    def freed(self, size: int) -> None:
        """A stream or a connection has ended, and held so many bytes that nobody has read."""
        self._freed += size
        if self._freed >= WORTH and self._timer is None and not self._is_stopped:
            self._timer = self._loop.call_at(max(self._loop.time() + SETTLING, self._not_before), self._due)

    def stop(self) -> None:
        """Give back nothing more."""
        self._is_stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._freed = 0
        self._not_before = self._loop.time() + INTERVAL
        self._give_back(time.monotonic())

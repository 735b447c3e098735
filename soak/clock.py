"""Time in a soak: the time of day, which is set forward and back, and how fast it all goes by.

A soak at a speed of 4 is one in which four seconds pass in each: for the nodes, their timers and records, for the faults and the
checks. What takes the processor its time takes it as long as ever.
"""

import asyncio
import selectors
import time
from dataclasses import dataclass
from typing import Final, final

_NANOSECONDS: Final = 1_000_000_000


@final
@dataclass(frozen=True, slots=True)
class Speed:
    """How many seconds pass in one, and since when, in unix seconds: all processes of a run have the same time of day."""

    factor: int
    since: int

    def loop(self) -> asyncio.SelectorEventLoop:
        """An event loop whose time passes so fast."""
        return _Loop(self.factor)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, factor: int) -> None:
        super().__init__(_Selector(factor))
        self._factor = factor

    def time(self) -> float:
        return self._factor * super().time()


class _Selector(selectors.DefaultSelector):
    """Waits for as long as an event loop says, by its time."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self._factor = factor

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout and timeout / self._factor)


@final
class WallClock:
    """Stands before `time.time` and `time.time_ns` of one process once installed. `offset` is seconds."""

    def __init__(self, speed: Speed) -> None:
        self.offset = 0
        self.speed: Final = speed.factor
        self._since = speed.since
        self._time = time.time
        self._time_ns = time.time_ns

    def install(self) -> None:
        """From now on everybody who asks for the time of day gets this one: before modules are loaded that keep the function."""
        time.time = self.time
        time.time_ns = self.time_ns

    def time(self) -> float:
        """Seconds since 1970, as this process believes."""
        return self._since + self.speed * (self._time() - self._since) + self.offset

    def time_ns(self) -> int:
        """The same in nanoseconds."""
        since = self._since * _NANOSECONDS
        return since + self.speed * (self._time_ns() - since) + self.offset * _NANOSECONDS

"""The time of day of one process, which a soak sets forward and back. Monotonic time is left alone."""

import time
from typing import final

_NANOSECONDS = 1_000_000_000


@final
class WallClock:
    """Stands before `time.time` and `time.time_ns` once installed. `offset` is seconds."""

    def __init__(self) -> None:
        self.offset = 0
        self._time = time.time
        self._time_ns = time.time_ns

    def install(self) -> None:
        """From now on everybody who asks for the time of day gets this one: before modules are loaded that keep the function."""
        time.time = self.time
        time.time_ns = self.time_ns

    def time(self) -> float:
        """Seconds since 1970, as this process believes."""
        return self._time() + self.offset

    def time_ns(self) -> int:
        """The same in nanoseconds."""
        return self._time_ns() + self.offset * _NANOSECONDS

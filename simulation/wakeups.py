"""The timers of cores: each has one event at a time for the earliest of its timeouts."""

from collections.abc import Callable
from typing import final

from simulation.engine import Simulation


@final
class Wakeups:
    """Wakes one core. `wake` is called when the time told last to `set` has come."""

    __slots__ = ("_at", "_simulation", "_wake")

    def __init__(self, simulation: Simulation, wake: Callable[[], None]) -> None:
        self._simulation = simulation
        self._wake = wake
        self._at: float | None = None

    def set(self, due: float | None) -> None:
        """To be told a core's `next_timeout` after each call of it. A later time is found out when the earlier one has come."""
        if due is None or (self._at is not None and self._at <= due):
            return
        time = max(due, self._simulation.now)
        self._at = time
        self._simulation.at(time, lambda: self._ring(time))

    def _ring(self, time: float) -> None:
        if self._at == time:
            self._at = None
            self._wake()

    def clear(self) -> None:
        """Wake nobody any more, unless it is set again."""
        self._at = None

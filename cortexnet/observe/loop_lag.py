"""How late the event loop is. A shell."""

import asyncio
from collections import deque
from typing import final

_INTERVAL = 1.0  # seconds between two looks: a timer a second is nothing, and what holds a loop up does so again and again
_KEPT = 60


@final
class LoopLag:
    """Looks once a second whether a timer comes in time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lags: deque[float] = deque(maxlen=_KEPT)
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def worst(self) -> float:
        """Seconds, the most in the last minute."""
        return max(self._lags, default=0.0)

    def start(self) -> None:
        """Look from now on, until `stop`."""
        self.stop()
        self._due = self._loop.time() + _INTERVAL
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._lags.append(max(self._loop.time() - self._due, 0.0))
        self.start()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

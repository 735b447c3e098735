"""Virtual time without asyncio: a heap of things to do, for simulations of thousands of cores in one process."""

import math
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import final

from cortexnet.errors import LocalError

Action = Callable[[float], None]


@final
class SimClock:
    """Runs actions in the order of their times; nothing sleeps, `now` jumps. Ties run in the order they were made.

    A core is driven by it through its `next_timeout()` and `handle_timeout(now)`. There is no way to take an action back: an
    action that may have become pointless asks its core whether it is due (which `handle_timeout` does anyway).
    """

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self.ran = 0
        """Actions so far."""
        self._queue: list[tuple[float, int, Action]] = []
        self._order = count()

    def __len__(self) -> int:
        """How many actions are waiting."""
        return len(self._queue)

    def call_at(self, when: float, action: Action) -> None:
        """Run `action(now)` at `when`, in seconds; a time that has passed means as soon as possible. Raises LocalError on NaN."""
        if math.isnan(when):
            raise LocalError("an action needs a time, not NaN")
        heappush(self._queue, (when if when > self.now else self.now, next(self._order), action))

    def call_later(self, delay: float, action: Action) -> None:
        """Run `action(now)` after `delay` seconds."""
        self.call_at(self.now + delay, action)

    def next_time(self) -> float | None:
        """When the next action is due; None where there is none."""
        return self._queue[0][0] if self._queue else None

    def step(self) -> bool:
        """Go to the next action and run it; False where there is none. What it raises comes out, and the rest stays queued."""
        if not self._queue:
            return False
        self.now, _, action = heappop(self._queue)
        self.ran += 1
        action(self.now)
        return True

    def run_until(self, deadline: float) -> None:
        """Run all that is due until `deadline` (also what those actions add), then let it be that time."""
        queue = self._queue
        while queue and queue[0][0] <= deadline:
            self.now, _, action = heappop(queue)
            self.ran += 1
            action(self.now)
        self.now = max(self.now, deadline)

    def run_until_idle(self, *, limit: int = 1_000_000) -> None:
        """Run until no action is left. Raises LocalError after `limit` actions: something re-arms itself for ever."""
        for _ in range(limit):
            if not self.step():
                return
        if self._queue:
            raise LocalError(f"not idle after {limit} actions")

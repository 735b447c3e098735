"""What is to be done when: a heap of calls, out of which a core's `next_timeout` comes."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import final

_SWEEP_FROM = 64


@final
class Timer:
    """A call that is to come. Cancelled, it stays in the heap as an empty entry until its time, or until the heap is swept."""

    __slots__ = ("call", "owner", "time")

    def __init__(self, time: float, call: Callable[[float], None], owner: "Timers") -> None:
        self.time = time
        self.call: Callable[[float], None] | None = call
        self.owner = owner

    def cancel(self) -> None:
        """It will not be called; without effect where it was."""
        if self.call is not None:
            self.call = None
            self.owner.on_cancelled()


@final
class Timers:
    """Calls at times, earliest first, equal times in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._set = 0
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def at(self, time: float, call: Callable[[float], None]) -> Timer:
        """Have `call(now)` called at `time`, or as soon after as `run` is."""
        timer = Timer(time, call, self)
        self._set += 1
        heappush(self._heap, (time, self._set, timer))
        return timer

    def next_timeout(self) -> float | None:
        """When `run` is to be called."""
        heap = self._heap
        while heap and heap[0][2].call is None:
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def run(self, now: float) -> None:
        """Call what is due. What is set meanwhile waits for the next `run`: a call can't keep this one from ending."""
        last = self._set
        while self._heap and self._heap[0][0] <= now and self._heap[0][1] <= last:
            timer = heappop(self._heap)[2]
            call, timer.call = timer.call, None
            if call is None:
                self._cancelled -= 1
            else:
                call(now)

    def clear(self) -> None:
        """Forget them all."""
        for _, _, timer in self._heap:
            timer.call = None
        self._heap.clear()
        self._cancelled = 0

    def on_cancelled(self) -> None:
        """An entry has become empty. Empty ones never outnumber the others for long."""
        self._cancelled += 1
        if self._cancelled > _SWEEP_FROM and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].call is not None]
            heapify(self._heap)
            self._cancelled = 0

"""What the streams of a session hold in memory, and the readers who wait for more than a window."""

from collections.abc import Mapping
from typing import final

from cortexnet.errors import LimitExceeded
from cortexnet.mux.muxer import MemoryBudget
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.mux.yamux_stream import YamuxStream


@final
class Holdings:
    """The account of one session; a core.

    A stream stands for what it holds (bytes and their pieces), or for the growth of its window that was granted, whichever is
    more: what was granted may arrive at any time.
    """

    def __init__(self, memory: MemoryBudget, streams: Mapping[int, YamuxStream]) -> None:
        self._memory = memory
        self._streams = streams
        self.is_over = memory.is_over
        """Whether the session holds more than it may."""
        self.grew = False
        """Whether something was charged since this was last set to False."""
        self._demands: dict[int, None] = {}  # in the order they were made

    def arrived(self, stream: YamuxStream) -> None:
        """The stream's inbox has grown."""
        held = stream.inbox.charge
        if held > stream.charged:
            self._memory.charge(held - stream.charged)
            stream.charged = held
            self.grew = True

    def settle(self, stream: YamuxStream) -> list[YamuxStream]:
        """The stream's inbox or demand has shrunk: give back what it no longer stands for; demands that can be granted now."""
        if stream.discarding:
            due = 0
        elif stream.id in self._demands:  # not granted, so not charged
            due = max(stream.inbox.charge, stream.window.target - INITIAL_WINDOW)
        else:
            due = max(stream.inbox.charge, stream.window.grown)
        if due >= stream.charged:
            return []
        self._memory.release(stream.charged - due)
        stream.charged = due
        return self.grantable() if self._demands else []

    def grow(self, stream: YamuxStream, round_trip: float | None, now: float) -> None:
        """Let the window grow, if it was what held the sender back and there is memory for it."""
        growth = stream.window.wants_growth(now, round_trip)
        if growth and self._memory.reserve(growth):
            stream.charged += growth
            stream.window.target += growth

    def demand(self, stream: YamuxStream, size: int) -> list[YamuxStream]:
        """A reader waits for `size` bytes; the streams whose demand is granted now. Raises LimitExceeded for the impossible."""
        if size - INITIAL_WINDOW > self._memory.limit:
            raise LimitExceeded("one read", limit=self._memory.limit, value=size, setting="limits.connection_memory")
        stream.window.demand = size
        self._demands[stream.id] = None
        return self.grantable()

    def end_demand(self, stream: YamuxStream) -> list[YamuxStream]:
        """The read has ended; its share goes to the next."""
        self._demands.pop(stream.id, None)
        stream.window.demand = 0
        return self.settle(stream)

    def grantable(self) -> list[YamuxStream]:
        """Demands that fit now, whole and in order; they are charged and no longer wait."""
        granted: list[YamuxStream] = []
        for stream_id in list(self._demands):
            stream = self._streams[stream_id]
            missing = stream.window.grown - stream.charged
            if missing > 0:
                if not self._memory.reserve(missing):
                    break
                stream.charged += missing
            del self._demands[stream_id]
            granted.append(stream)
        return granted

    def remove(self, stream: YamuxStream) -> list[YamuxStream]:
        """The stream is gone; demands that can be granted now."""
        self._demands.pop(stream.id, None)
        self._memory.release(stream.charged)
        stream.charged = 0
        return self.grantable() if self._demands else []

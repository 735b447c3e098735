"""One direction of an in-memory link: bytes that are under way, for as long and in such pieces as its conditions say.

It does what two sockets and the network between them do: bounded buffers, bytes in order, an end (FIN), a reset (RST). All
of it is driven by the running loop's clock and a `Random` that was handed in, so that one seed gives one course of events.
"""

import asyncio
import contextvars
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Literal, Protocol, final

from cortexnet.errors import LocalError

_SLICE_MIN, _SLICE_MAX = 1_460, 16_384  # bytes that arrive at once under a bandwidth: 10 ms worth within these bounds


class _Mark(Enum):
    END = "end"


_END = _Mark.END
_Item = memoryview | asyncio.Future[None] | Literal[_Mark.END]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConditions:
    """What one direction of a link is like. Raises LocalError for values that no link can have.

    The defaults are those of a loopback: no delay, no limit but the capacity, reads as large as the reader's buffer.
    """

    latency: float | Callable[[Random], float] = 0.0
    """Seconds from write to arrival, fixed or drawn for each piece. Order is kept: a late piece delays those behind it."""
    bandwidth: float | None = None
    """Bytes per second that can be put on the link; None is unlimited."""
    piece_size: Callable[[Random], int] | None = None
    """Draws the size of the next piece, at least 1; each piece is read on its own. None cuts nothing, and joins what is there."""
    capacity: int = 262_144
    """Bytes that are under way or unread, at most (a socket's two buffers). Where it is full, the writer waits. It also bounds
    the throughput of a slow link, to capacity / latency."""

    def __post_init__(self) -> None:
        fixed = 0.0 if callable(self.latency) else self.latency
        if not 0 <= fixed < math.inf:
            raise LocalError(f"a latency is 0 or more seconds, not {self.latency}")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise LocalError(f"a bandwidth is above 0 bytes/s, not {self.bandwidth}")
        if self.capacity < 1:
            raise LocalError(f"a link carries at least 1 byte at a time, not {self.capacity}")

    def draw_latency(self, random: Random) -> float:
        """Seconds that the next piece is under way; what was drawn below 0 counts as 0."""
        latency = self.latency
        return max(0.0, latency(random)) if callable(latency) else latency

    def draw_piece_size(self, random: Random) -> int | None:
        """Bytes of the next piece; None where nothing is to be cut."""
        if self.piece_size is not None:
            return max(1, self.piece_size(random))
        if self.bandwidth is not None:
            return max(_SLICE_MIN, min(_SLICE_MAX, int(self.bandwidth / 100)))
        return None


class LinkEnd(Protocol):
    """What a direction asks of the transports at its two sides."""

    context: contextvars.Context
    is_gone: bool
    """Whether it has been closed for good: what arrives is refused."""

    def is_reading(self) -> bool: ...
    def room_came(self) -> None: ...
    def bytes_arrived(self) -> None: ...
    def end_arrived(self) -> None: ...
    def reset_arrived(self, *, is_drained: bool) -> None: ...
    def refuse(self) -> None: ...


@final
class LinkDirection:
    """One direction of a link. `conditions` may be replaced at any time: they hold for what is written from then on.

    The faults of a network are `silence`, `heal`, `end`, and `MemoryLink.cut`; everything else is for the two ends.
    """

    def __init__(self, conditions: LinkConditions, random: Random, loop: asyncio.AbstractEventLoop) -> None:
        self.conditions = conditions
        self.is_silent = False
        self.is_reset = False
        self.bytes_read = 0
        self._random = random
        self._loop = loop
        self._writer: LinkEnd | None = None
        self._reader: LinkEnd | None = None
        self._queue: deque[tuple[float, _Item]] = deque()
        self._handle: asyncio.Handle | None = None
        self._reset_at: float | None = None
        self._reset_handle: asyncio.Handle | None = None
        self._held = 0
        self._free_at = 0.0
        self._last_arrival = 0.0
        self._is_ended = False
        self._is_closed = False

    # --- faults

    def silence(self) -> None:
        """From now on nothing arrives, not even what is under way: a black hole. Nobody is told.

        Writers notice as they would on a network that lost its route: nothing comes back, and once the capacity is full
        they have to wait.
        """
        self.is_silent = True
        self._disarm()

    def heal(self) -> None:
        """End the silence: what was held up arrives now, in order, as TCP would send it again."""
        self.is_silent = False
        self._arm()
        self._arm_reset()

    def end(self) -> None:
        """Half-close by the network: the reader sees the end after what is under way; what is written later vanishes."""
        self.send_end()

    # --- the writer's side

    def attach_writer(self, writer: LinkEnd) -> None:
        """From now on `writer` is told when there is room again."""
        self._writer = writer

    def send(self, data: memoryview) -> int:
        """Put immutable bytes on the link; how many were taken, which is what the capacity allows."""
        if self._is_ended or self._is_closed:
            return len(data)
        size = min(len(data), max(0, self.conditions.capacity - self._held))
        position = 0
        while position < size:
            piece = data[position : min(size, position + (self.conditions.draw_piece_size(self._random) or size))]
            self._put(piece, len(piece))
            position += len(piece)
        self._held += size
        self._arm()
        return size

    def send_end(self) -> None:
        """The end of the stream, behind all bytes (a FIN); a second one does nothing."""
        if not self._is_ended:
            self._is_ended = True
            self._put(_END, 0)
            self._arm()

    def send_reset(self) -> None:
        """Tell the reader that its bytes found nobody (a RST); what arrived before it can still be read."""
        if self._reset_at is None and not self._is_closed:
            self._reset_at = self._arrival(0)
            self._arm_reset()

    async def travel(self) -> None:
        """Wait as long as an empty packet is under way. Raises ConnectionResetError when the link is cut meanwhile."""
        arrived: asyncio.Future[None] = self._loop.create_future()
        self._put(arrived, 0)
        self._arm()
        await arrived
        if self._is_closed:  # cut after the arrival, but before this task ran
            raise ConnectionResetError("the link is closed")

    # --- the reader's side

    def attach_reader(self, reader: LinkEnd) -> None:
        """From now on `reader` gets what arrives."""
        self._reader = reader
        self.reader_changed()
        if self.is_reset:
            self._loop.call_soon(self._reset_arrived, context=reader.context)

    def reader_changed(self) -> None:
        """The reader was resumed, or left: what waited for that can go on."""
        self._arm()

    def read_into(self, buffer: memoryview) -> int:
        """Move what has arrived into `buffer`: one piece where the link cuts, else all that fits. How many bytes it was."""
        now, filled = self._loop.time(), 0
        while self._queue and filled < len(buffer):
            arrival, item = self._queue[0]
            if not isinstance(item, memoryview) or (filled and (arrival > now or self.conditions.piece_size is not None)):
                break
            part = item[: len(buffer) - filled]
            buffer[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) == len(item):
                self._queue.popleft()
            else:
                self._queue[0] = arrival, item[len(part) :]
        self.bytes_read += filled
        self._release(filled)
        return filled

    def has_unread(self) -> bool:
        """Whether bytes have arrived that nobody read."""
        if not self._queue or self.is_silent:
            return False
        arrival, item = self._queue[0]
        return isinstance(item, memoryview) and arrival <= self._loop.time()

    def close(self, error: Exception | None = None) -> None:
        """Throw away everything; whoever travels gets `error`."""
        self._is_closed = True
        self._disarm()
        for _, item in self._queue:
            if isinstance(item, asyncio.Future) and not item.done():
                item.set_exception(error or ConnectionResetError("the link is closed"))
        self._queue.clear()
        self._held = 0
        self._reader = self._writer = None

    # --- inside

    def _arrival(self, size: int) -> float:
        departure = max(self._loop.time(), self._free_at)
        if self.conditions.bandwidth is not None:
            self._free_at = departure = departure + size / self.conditions.bandwidth
        self._last_arrival = max(self._last_arrival, departure + self.conditions.draw_latency(self._random))
        return self._last_arrival

    def _put(self, item: _Item, size: int) -> None:
        if not self._is_closed:
            self._queue.append((self._arrival(size), item))
        elif isinstance(item, asyncio.Future):
            item.set_exception(ConnectionResetError("the link is closed"))

    def _release(self, size: int) -> None:
        self._held -= size
        if self._writer is not None:
            self._writer.room_came()

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._reset_handle is not None:
            self._reset_handle.cancel()
            self._reset_handle = None

    def _arm(self) -> None:
        """See to it that what is at the head of the queue is delivered when it is due."""
        if self._handle is not None or self.is_silent:
            return
        reader = self._reader
        if not self._queue:
            if self.is_reset and reader is not None and reader.is_reading():
                self._loop.call_soon(self._reset_arrived, context=reader.context)
        elif self._is_deliverable(self._queue[0][1]):
            context = reader.context if reader is not None else None
            when = self._queue[0][0]
            if when <= self._loop.time():
                self._handle = self._loop.call_soon(self._deliver, context=context)
            else:
                self._handle = self._loop.call_at(when, self._deliver, context=context)

    def _arm_reset(self) -> None:
        if self._reset_at is not None and self._reset_handle is None and not self.is_silent:
            self._reset_handle = self._loop.call_at(self._reset_at, self._reset_arrived)

    def _is_deliverable(self, item: _Item) -> bool:
        if isinstance(item, asyncio.Future):
            return True
        return self._reader is not None and (self._reader.is_gone or self._reader.is_reading())

    def _deliver(self) -> None:
        self._handle = None
        item = self._queue[0][1]
        if not self._is_deliverable(item):  # paused or closed since
            return
        if isinstance(item, asyncio.Future):
            self._queue.popleft()
            if not item.done():
                item.set_result(None)
        elif self._reader is not None:
            self._deliver_to(self._reader, item)
        self._arm()

    def _deliver_to(self, reader: LinkEnd, item: memoryview | Literal[_Mark.END]) -> None:
        if not reader.is_gone and isinstance(item, memoryview):
            reader.bytes_arrived()
            return
        self._queue.popleft()
        if not reader.is_gone:
            reader.end_arrived()
        elif isinstance(item, memoryview):
            self._release(len(item))
            reader.refuse()

    def _reset_arrived(self) -> None:
        self.is_reset = True
        if self._reader is not None:
            self._reader.reset_arrived(is_drained=not self._queue)

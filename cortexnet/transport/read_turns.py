"""How long the connections of one loop may work on what they received before everybody else has a turn. A shell."""

import asyncio
from asyncio.selector_events import BaseSelectorEventLoop
from collections import deque
from collections.abc import Callable
from typing import final
from weakref import WeakKeyDictionary

CHUNK_SIZE = 196_608
"""Bytes one connection takes in at a time: three of the largest Noise frames. What is made of more leaves the second cache."""
LATE_CHUNK_SIZE = 266_240
"""Bytes of one that had to wait: a fresh window of yamux, with the frames and records around it.

What belongs to a connection is in no cache when its turn comes among hundreds, which costs 60 µs: few turns are good."""
_KEPT_SIZE = 65_537  # of an incomplete record: the longest Noise frame and its length
# Seconds a turn of the loop may spend on what was just read, and again on what was put off. What handlers are to read has left
# the caches if much comes in between: with 2.5 ms, 100 connections and more were a tenth slower.
_HALF_TURN = 0.0004
_CHANGES = 0.0002  # seconds of connections that come or go, after which a turn has none; a step takes up to half a millisecond
_LARGEST_PIECE = 1 << 20  # bytes of memory that are kept for use again
_CARRIED = 0.001  # below this, spent time is carried over: a call to begin a new turn costs more than it is worth


@final
class ReadTurns:
    """One of each loop: the shared read buffer, and the time its connections have used up in this turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop itself is not kept: it would keep its own entry in `_turns` alive for ever.
        self._spent = self._spent_on_changes = 0.0
        self._renewing = False
        self._changes: deque[Callable[[], None]] = deque()
        self._changes_rest = False  # this turn, for the last one had its share of them
        self._light: deque[Callable[[], None]] = deque()
        self._heavy: deque[Callable[[], None]] = deque()
        # glibc fetches pieces of 128 KiB and more from the system anew each time, until a larger one was given back once: with
        # chunks of that size it was left to chance whether bulk over TLS ran at 1,000 or at 650 MB/s.
        bytearray(_LARGEST_PIECE)
        self._buffer: memoryview | None = None
        self._outer: dict[int, memoryview] = {}
        if isinstance(loop, BaseSelectorEventLoop):
            self._buffer = memoryview(bytearray(LATE_CHUNK_SIZE + _KEPT_SIZE))

    def buffer(self) -> memoryview:
        """A buffer for one connection's reads.

        A selector loop reads and hands over in one call, so all connections share one: 192 KiB each would be most of what an
        idle connection costs. Other loops read into it in the background.
        """
        return memoryview(bytearray(CHUNK_SIZE + _KEPT_SIZE)) if self._buffer is None else self._buffer

    def outer_buffer(self, layer: int = 0) -> memoryview:
        """A buffer for what is wrapped around connections, such as WebSockets; shared as the other one, but not with it.

        Layer 0 is what comes from the socket, a chunk; above it are plaintexts of one, which has a record's part in front.
        """
        buffer = self._outer.get(layer)
        if buffer is None:
            buffer = memoryview(bytearray(CHUNK_SIZE + (_KEPT_SIZE if layer else 0)))
            if self._buffer is not None:
                self._outer[layer] = buffer
        return buffer

    @property
    def is_over(self) -> bool:
        """Whether this turn's time is used up: leave the rest where it is, pause, and `defer`."""
        return self._spent >= _HALF_TURN

    def spend(self, seconds: float) -> None:
        """Time that went into one chunk."""
        self._spent += seconds
        if self._spent > _CARRIED:
            self._renew_soon()

    @property
    def is_crowded(self) -> bool:
        """Whether others that brought much wait for a later turn."""
        return bool(self._heavy)

    @property
    def is_over_for_changes(self) -> bool:
        """Whether no connection should come or go any further in this turn: see `defer_change`.

        What they do in one turn brings about more in the next: a turn with its share is followed by one without.
        """
        return self._spent_on_changes >= _CHANGES or self.is_over

    def spend_on_change(self, seconds: float) -> None:
        """Time that went into a step of a handshake, or the end of a connection."""
        self._spent_on_changes += seconds
        self.spend(seconds)
        if self._spent_on_changes >= _CHANGES:
            self._renew_soon()

    def defer_change(self, resume: Callable[[], None]) -> None:
        """Call `resume` in a later turn, after those that came before."""
        self._changes.append(resume)
        self._renew_soon()

    def defer(self, resume: Callable[[], None], *, is_light: bool = False) -> None:
        """Call `resume` in a later turn, after those that came before; it spends time in its turn.

        Light is what brought little: it does not wait for all that brought much, but for one at a time.
        """
        (self._light if is_light else self._heavy).append(resume)
        self._renew_soon()

    def _renew_soon(self) -> None:
        if not self._renewing:
            self._renewing = True
            # A timer that is due runs after what was just read, call_soon before it: who has not been put off comes first.
            asyncio.get_running_loop().call_later(0, self._renew)

    def _renew(self) -> None:
        self._renewing = False
        self._spent = 0.0
        self._changes_rest = self._spent_on_changes >= _CHANGES and not self._changes_rest
        if not self._changes_rest:
            self._spent_on_changes = 0.0
        try:
            # Who comes again meanwhile waits for another turn, also where others are more.
            light, heavy, changes = len(self._light), len(self._heavy), len(self._changes)
            for number in range(max(light, heavy, changes)):
                if self.is_over or not (self._light or self._heavy or not self.is_over_for_changes):
                    break  # hundreds may wait, for whom this turn has nothing
                for waiting, count in ((self._light, light), (self._heavy, heavy)):
                    if number < count and not self.is_over:
                        waiting.popleft()()
                if number < changes and not self.is_over_for_changes:
                    self._changes.popleft()()
        finally:  # an error of one must not stop the others for ever
            self._spent = 0.0
            if self._light or self._heavy or self._changes or self._spent_on_changes >= _CHANGES:
                self._renew_soon()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, ReadTurns] = WeakKeyDictionary()


def turns_of(loop: asyncio.AbstractEventLoop) -> ReadTurns:
    """The turns of a loop."""
    turns = _turns.get(loop)
    if turns is None:
        turns = _turns[loop] = ReadTurns(loop)
    return turns

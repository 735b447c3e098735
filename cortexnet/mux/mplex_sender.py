"""What an mplex session sends: control frames first, then its streams in turn."""

from collections import deque
from typing import final

from cortexnet.multiformats import varint
from cortexnet.mux.mplex_frames import LONGEST_HEADER
from cortexnet.mux.mplex_stream import MplexStream
from cortexnet.mux.outbox import RECORD_SIZE

FRAME_SIZE = RECORD_SIZE - LONGEST_HEADER
"""Bytes of one stream that fill a record. All stacks take 1 MiB in a frame; this keeps turns short."""
_LENGTH_SIZE = 3  # of a body that fits into a record
_SLIVER = 4_096  # a frame is not cut to fill less than this of a record


@final
class MplexSender:
    """The outgoing queues of one session; a core. Bounded by its session: control frames by count, streams by their share."""

    def __init__(self) -> None:
        self.control: deque[bytes] = deque()
        self._ready: deque[MplexStream] = deque()
        self.drained: dict[int, None] = {}
        """Streams whose full share has room again; whoever reads it clears it."""

    @property
    def has_output(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.control or self._ready)

    def add(self, stream: MplexStream) -> None:
        """The stream's outbox is not empty any more."""
        self._ready.append(stream)

    def drop(self, stream: MplexStream) -> None:
        """Forget what a stream has queued."""
        if stream.outbox.size:
            stream.outbox.clear()
            self._ready.remove(stream)
        self.drained.pop(stream.id, None)

    def clear(self) -> None:
        """Forget everything."""
        self.control.clear()
        self._ready.clear()
        self.drained.clear()

    def take_record(self, ended: list[MplexStream], *, full_frames_only: bool) -> list[bytes | bytearray | memoryview]:
        """Buffers for one record; streams whose last byte is among them, and that end with it, go to `ended`."""
        parts: list[bytes | bytearray | memoryview] = []
        room = self._take_control(parts, RECORD_SIZE)
        ready = self._ready
        for _ in range(len(ready)):
            stream = ready[0]
            size = stream.outbox.size
            if full_frames_only and size < FRAME_SIZE:
                ready.rotate(-1)
                continue
            fits = room - len(stream.data_prefix) - _LENGTH_SIZE
            if size > fits:
                size = fits
                if size < _SLIVER:
                    break
            room -= self._take_data(stream, size, parts)
            if stream.outbox.size:
                ready.rotate(-1)
                continue
            ready.popleft()
            if stream.closing:
                room = self._take_end(stream, parts, room)
                ended.append(stream)
        return parts

    def _take_data(self, stream: MplexStream, size: int, parts: list[bytes | bytearray | memoryview]) -> int:
        """The bytes of one frame; how many they are."""
        header = stream.data_prefix + varint.encode(size)
        parts.append(header)
        stream.outbox.move(size, parts)
        if stream.stopped:
            stream.stopped = False
            self.drained[stream.id] = None
        return len(header) + size

    def _take_end(self, stream: MplexStream, parts: list[bytes | bytearray | memoryview], room: int) -> int:
        end = stream.end_frame()
        if len(end) > room:
            self.control.append(end)
            return room
        parts.append(end)
        return room - len(end)

    def _take_control(self, parts: list[bytes | bytearray | memoryview], room: int) -> int:
        control = self.control
        while control and room >= len(control[0]):
            room -= len(control[0])
            parts.append(control.popleft())
        return room

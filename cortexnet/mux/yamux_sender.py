"""What a yamux session sends: control frames first, then its streams in turn."""

from collections import deque
from typing import final

from cortexnet.mux.yamux_frames import ACK, DATA, FIN, FRAME_SIZE, HEADER_SIZE, PING, RECORD_SIZE, WINDOW_UPDATE, pack
from cortexnet.mux.yamux_stream import YamuxStream

_SLIVER = 4_096  # a frame is not cut to fill less than this of a record


def fin(stream_id: int) -> bytes:
    """The end of a stream: a frame of its own, without a body, as js drops the body of a frame that carries FIN."""
    return pack(WINDOW_UPDATE | FIN, stream_id, 0)


@final
class Sender:
    """The outgoing queues of one session; a core. Bounded by its session: control frames by count, streams by their share."""

    def __init__(self, pong_backlog: int) -> None:
        self.control: deque[bytes] = deque()
        self._pongs: deque[int] = deque(maxlen=pong_backlog)
        self._ready: deque[YamuxStream] = deque()
        self.drained: dict[int, None] = {}
        """Streams whose full share has room again; whoever reads it clears it."""
        self.returns: dict[int, YamuxStream] = {}
        """Streams whose window is to be returned with the next record: their session puts that into words when it leaves."""
        self.frames_sent = 0
        """Data frames, since the session began."""

    @property
    def has_output(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.control or self._ready or self._pongs or self.returns)

    def pong(self, value: int) -> None:
        """Answer a ping; over the backlog the oldest goes unanswered."""
        self._pongs.append(value)

    def add(self, stream: YamuxStream) -> None:
        """The stream's outbox is not empty any more."""
        self._ready.append(stream)

    def drop(self, stream: YamuxStream) -> None:
        """Forget what a stream has queued."""
        if stream.outbox.size:
            stream.outbox.clear()
            self._ready.remove(stream)
        self.drained.pop(stream.id, None)
        self.returns.pop(stream.id, None)

    def clear(self) -> None:
        """Forget everything."""
        self.control.clear()
        self._pongs.clear()
        self._ready.clear()
        self.returns.clear()
        self.drained.clear()

    def take_record(self, ended: list[YamuxStream], *, full_frames_only: bool) -> list[bytes | bytearray | memoryview]:
        """Buffers for one record; streams whose last byte is among them, and that end with it, go to `ended`."""
        parts: list[bytes | bytearray | memoryview] = []
        room = RECORD_SIZE
        if self.control or self._pongs:
            room = self._take_control(parts, room)
        ready = self._ready
        for _ in range(len(ready)):
            stream = ready[0]
            size = stream.outbox.size
            if full_frames_only and size < FRAME_SIZE:
                ready.rotate(-1)
                continue
            if size > room - HEADER_SIZE:
                size = room - HEADER_SIZE
                if size < _SLIVER:
                    break
            parts.append(pack(DATA, stream.id, size))
            self.frames_sent += 1
            stream.outbox.move(size, parts)
            room -= size + HEADER_SIZE
            if stream.outbox.size:
                ready.rotate(-1)
            else:
                ready.popleft()
                if stream.closing:
                    if room >= HEADER_SIZE:
                        parts.append(fin(stream.id))
                        room -= HEADER_SIZE
                    else:
                        self.control.append(fin(stream.id))
                    ended.append(stream)
            if stream.stopped and stream.send_window:
                stream.stopped = False
                self.drained[stream.id] = None
        return parts

    def _take_control(self, parts: list[bytes | bytearray | memoryview], room: int) -> int:
        while self._pongs and room >= HEADER_SIZE:
            parts.append(pack(PING | ACK, 0, self._pongs.popleft()))
            room -= HEADER_SIZE
        while self.control and room >= HEADER_SIZE:
            parts.append(self.control.popleft())
            room -= HEADER_SIZE
        return room

"""The seam of stream muxers: their events, and the verbs the connection's shell uses."""

from dataclasses import dataclass
from typing import Protocol, final

from cortexnet.errors import CortexError


@final
@dataclass(slots=True)
class StreamOpened:
    """The peer opened a stream."""

    stream_id: int


@final
@dataclass(slots=True)
class StreamReadable:
    """A stream has bytes to read or has come to the end of them; a level, at most once a `receive`."""

    stream_id: int


@final
@dataclass(slots=True)
class StreamWritable:
    """Credit came for a stream whose writer had been stopped by the peer's window."""

    stream_id: int


@final
@dataclass(slots=True)
class StreamWasReset:
    """A stream is gone: the peer reset it, or it broke one of our limits (`by_peer` is False then)."""

    stream_id: int
    code: int
    by_peer: bool


@final
@dataclass(slots=True)
class StreamFinished:
    """Both directions of a stream ended in order, or it was reset: its id is forgotten."""

    stream_id: int


@final
@dataclass(slots=True)
class OpenPossible:
    """The peer accepted streams: `open_stream` would succeed again."""


@final
@dataclass(slots=True)
class RoundTripMeasured:
    """A ping of the muxer's own came back after `seconds`."""

    seconds: float


@final
@dataclass(slots=True)
class ConnectionFailed:
    """The last event: the peer said goodbye, or broke the protocol. `data_to_send` may still have a farewell."""

    error: CortexError


MuxEvent = (
    StreamOpened
    | StreamReadable
    | StreamWritable
    | StreamWasReset
    | StreamFinished
    | OpenPossible
    | RoundTripMeasured
    | ConnectionFailed
)


class MemoryBudget(Protocol):
    """Where a muxer charges the bytes it holds for its readers."""

    def reserve(self, size: int) -> bool:
        """Charge `size` more bytes; False (and nothing charged) where a cap would be passed."""

    def charge(self, size: int) -> None:
        """Charge what has arrived already, even past the cap (`is_over` tells then)."""

    def release(self, size: int) -> None:
        """Give back what was charged."""

    def is_over(self) -> bool:
        """Whether a cap is passed: the largest unread stream must go."""


class Muxer(Protocol):
    """Streams over one byte stream; a core. See `mux.yamux.Yamux` for the contract of each verb."""

    name: str

    def open_stream(self) -> int: ...
    def can_open(self) -> bool: ...
    def send(self, stream_id: int, data: bytes | memoryview) -> int: ...
    def read(self, stream_id: int, max_bytes: int) -> bytes | None: ...
    def read_exactly(self, stream_id: int, size: int) -> bytes | None: ...
    def read_message(self, stream_id: int, size_limit: int) -> bytes | None: ...
    def readable_bytes(self, stream_id: int) -> int: ...
    def expect(self, stream_id: int, size: int) -> None: ...
    def close_write(self, stream_id: int) -> None: ...
    def discard_reads(self, stream_id: int) -> None: ...
    def reset(self, stream_id: int, code: int = 0) -> None: ...
    def receive(self, data: bytes, now: float) -> list[MuxEvent]: ...
    def data_to_send(self, *, full_frames_only: bool = False) -> list[bytes | memoryview]: ...
    def close(self, code: int = 0) -> None: ...
    def next_timeout(self) -> float | None: ...
    def handle_timeout(self, now: float) -> list[MuxEvent]: ...

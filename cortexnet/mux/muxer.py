"""The seam of stream muxers: their events, and the verbs the connection's shell uses."""

from dataclasses import dataclass
from typing import Protocol, final

from cortexnet.errors import CortexError
from cortexnet.mux.outbox import OutboxPool


@final
@dataclass(slots=True)
class StreamOpened:
    """The peer opened a stream."""

    stream_id: int


@final
@dataclass(slots=True)
class StreamReadable:
    """A stream has bytes to read, or came to the end of them; a level, at most once in a `receive`."""

    stream_id: int


@final
@dataclass(slots=True)
class StreamWritable:
    """Credit came for a stream whose `send` had been stopped by the peer's window."""

    stream_id: int


@final
@dataclass(slots=True)
class StreamWasReset:
    """A stream can't be written any more, and be read only where its peer had finished before.

    `by_peer` is False where one of our own limits ended it.
    """

    stream_id: int
    code: int
    by_peer: bool


@final
@dataclass(slots=True)
class StreamWriteStopped:
    """The peer reads no more of a stream: it can't be written any more; what the peer sends is read on. QUIC has that."""

    stream_id: int
    code: int


@final
@dataclass(slots=True)
class RoundTripMeasured:
    """A ping of the muxer's own came back after `seconds`."""

    seconds: float


@final
@dataclass(slots=True)
class ConnectionFailed:
    """The last event: the peer said goodbye or broke the protocol. `data_to_send` may still have a farewell."""

    error: CortexError


MuxEvent = (
    StreamOpened | StreamReadable | StreamWritable | StreamWasReset | StreamWriteStopped | RoundTripMeasured | ConnectionFailed
)


class MemoryBudget(Protocol):
    """Where a muxer charges the bytes it holds for its readers, and counts those that wait to be sent."""

    outgoing: OutboxPool
    """What all connections together have queued to send."""
    limit: int
    """The cap in bytes: more can never be reserved at a time."""
    setting: str
    """What the cap is raised with."""

    def reserve(self, size: int) -> bool:
        """Charge `size` more bytes; False, and nothing charged, where a cap would be passed."""

    def charge(self, size: int) -> None:
        """Charge what has arrived already, even past the cap (`is_over` tells then)."""

    def release(self, size: int) -> None:
        """Give back what was charged."""

    def dropped(self, size: int) -> None:
        """Of what is charged, and given back next, so much goes unread."""

    def is_over(self) -> bool:
        """Whether the cap of this connection is passed: its largest unread stream must go."""


class StreamMuxer(Protocol):
    """The streams of one connection, whatever carries them; a core.

    Commands act now, or raise a LocalError or Ended and change nothing. `handle_timeout` never raises for the peer's bytes.
    After every call, what there is to send is sent when the socket takes more.
    """

    name: str
    """The protocol id, such as "/yamux/1.0.0"."""
    drained: dict[int, None]
    """Streams whose full share of the outbox has room again; the shell wakes their writers, and clears it."""
    has_output: bool
    """Whether there is something to send."""
    takes_early_end: bool
    """Whether our end of a stream may arrive while the peer still negotiates it: js-libp2p would never close its half then."""
    timeout_moved: bool
    """Whether `next_timeout` may be earlier than when it was asked last."""

    def open_stream(self) -> int:
        """A new stream's id. Raises LimitExceeded where `can_open` is False."""

    def can_open(self) -> bool:
        """Whether the peer's backlog and our own limit leave room for another stream."""

    def knows(self, stream_id: int) -> bool:
        """Whether the stream still exists: both directions of a stream that ended are forgotten."""

    def send(self, stream_id: int, data: bytes | memoryview) -> int:
        """Queue as much as the peer's window and the stream's share of the outbox allow; the number of bytes that were taken.

        The rest is to be offered again after StreamWritable, or once `drained` has the stream.
        A memoryview must be one of bytes that never change. Raises StreamClosed after `close_write`.
        """

    def queued(self, stream_id: int) -> int:
        """Bytes of this stream that wait to be sent."""

    def read(self, stream_id: int, max_bytes: int) -> bytes | None:
        """1 to `max_bytes` bytes; b"" at the end; None where nothing is there yet, or ever will be: see `knows`.

        Taking bytes out grants credit.
        """

    def read_exactly(self, stream_id: int, size: int) -> bytes | None:
        """`size` bytes, or None where fewer are there."""

    def read_message(self, stream_id: int, size_limit: int) -> bytes | None:
        """One varint-length-prefixed message, or None where it is not whole yet. Raises MessageTooLarge, ProtocolViolation."""

    def readable_bytes(self, stream_id: int) -> int:
        """Bytes that wait to be read."""

    def is_finished(self, stream_id: int) -> bool:
        """Whether nothing more will come of the stream than what can be read already."""

    def expect(self, stream_id: int, size: int) -> None:
        """A reader waits for `size` bytes in all: grant credit for them, if need be over the window. 0 ends the wait.

        Raises LimitExceeded where that could never fit into memory.
        """

    def message_wanted(self, stream_id: int) -> int:
        """How many bytes, its prefix included, the message in front has; 0 where its prefix is not whole."""

    def close_write(self, stream_id: int) -> None:
        """No more will be written: FIN goes after the last queued byte."""

    def discard_reads(self, stream_id: int) -> None:
        """Nobody reads any more: drop what is there and what comes, without credit."""

    def reset(self, stream_id: int, code: int = 0) -> None:
        """End both directions now; queued and unread bytes are gone."""

    def reset_largest_unread(self) -> list[MuxEvent]:
        """Over a cap of memory: end the stream that holds most of it unread."""

    def close(self, code: int = 0) -> None:
        """Say goodbye, the last there is to send; every stream is gone."""

    def probe(self, patience: float, now: float) -> None:
        """Doubt that the peer is there: ask now, and fail unless a byte comes within `patience` seconds.

        Nothing happens where the protocol has no way to ask.
        """

    def next_timeout(self) -> float | None:
        """When `handle_timeout` wants to be called."""

    def handle_timeout(self, now: float) -> list[MuxEvent]:
        """Do what is due."""


class Muxer(StreamMuxer, Protocol):
    """Streams over one byte stream; a core. `receive` never raises for the peer's bytes."""

    record_size: int
    """Bytes of one stream that fill a record of the channel below: once they are queued, it can be sent."""

    @property
    def has_backlog(self) -> bool:
        """Whether `receive` stopped at its share of frames: what it is given then waits; call it with b"" to go on."""

    def receive(self, data: bytes, now: float) -> list[MuxEvent]:
        """Take in bytes of the peer's, cut anywhere."""

    def data_to_send(self, *, full_frames_only: bool = False) -> list[bytes | bytearray | memoryview]:
        """Buffers for one record of the channel below, control frames first; [] where there is nothing (or no full frame)."""


@final
class Unlimited:
    """A MemoryBudget without a cap, for single cores in tests and tools."""

    limit = 1 << 62
    setting = "nothing"

    def __init__(self) -> None:
        self.outgoing = OutboxPool(self.limit)

    def reserve(self, size: int) -> bool:
        return True

    def charge(self, size: int) -> None:
        return None

    def release(self, size: int) -> None:
        return None

    def dropped(self, size: int) -> None:
        return None

    def is_over(self) -> bool:
        return False

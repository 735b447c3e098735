"""perf: how fast bytes go there and back. A shell.

Spec: libp2p/specs perf.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import EndOfStream, LocalError, ProtocolViolation
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream

PROTOCOL = "/perf/1.0.0"
_HEADER_SIZE = 8
_BLOCK = bytes(65_536)
_READ_SIZE = 4 * len(_BLOCK)

Progress = Callable[[int, int], None]
"""Gets the bytes sent and received so far, after each block. Must not raise."""


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class PerfResult:
    """What was moved, and in how many seconds."""

    uploaded: int
    """Bytes sent."""
    downloaded: int
    """Bytes received."""
    upload_seconds: float
    """From the start to the first sign of the peer's that it has all of it: the first byte of its answer, or the end."""
    download_seconds: float
    """From there to the end of its answer."""


async def serve_perf(stream: Stream) -> None:
    """The handler of /perf/1.0.0: take everything up to the end, then send as much as was asked for.

    Whoever may use it can make this node send at full speed.
    """
    wanted = int.from_bytes(await stream.read_exactly(_HEADER_SIZE), "big")
    while await stream.read(_READ_SIZE):
        pass
    while wanted:
        size = min(wanted, len(_BLOCK))
        await stream.write(_BLOCK if size == len(_BLOCK) else _BLOCK[:size])
        wanted -= size


async def perf(connection: Connection, *, upload: int, download: int, progress: Progress | None = None) -> PerfResult:
    """Send `upload` bytes, then fetch `download` bytes.

    Raises LocalError for sizes that are none, NegotiationFailed where the peer does not serve it, EndOfStream where it sends
    less, ProtocolViolation where it sends more, StreamReset, ConnectionClosed. Cancelled: the stream is reset.
    """
    if upload < 0 or not 0 <= download < 1 << 64:
        raise LocalError("sizes are not negative, and a download is below 2^64 bytes")
    report = progress or _ignore
    loop = connection.loop
    async with await connection.open_stream([PROTOCOL]) as stream:
        begin = loop.time()
        await stream.write(download.to_bytes(_HEADER_SIZE, "big"))
        for sent in range(0, upload, len(_BLOCK)):
            size = min(len(_BLOCK), upload - sent)
            await stream.write(_BLOCK if size == len(_BLOCK) else _BLOCK[:size])
            report(sent + size, 0)
        await stream.close_write()
        data = await stream.read(_READ_SIZE)
        middle = loop.time()
        received = 0
        while data:
            received += len(data)
            if received > download:
                raise ProtocolViolation(f"{stream.peer_id} sends more than the {download} bytes that were asked for")
            report(upload, received)
            data = await stream.read(_READ_SIZE)
        end = loop.time()
        if received < download:
            raise EndOfStream(f"{stream.peer_id} sent {received} of {download} bytes")
    return PerfResult(uploaded=upload, downloaded=received, upload_seconds=middle - begin, download_seconds=end - middle)


def _ignore(_sent: int, _received: int) -> None:
    """No progress is wanted."""

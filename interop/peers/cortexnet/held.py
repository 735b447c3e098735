"""Streams that the runner steers one operation at a time."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any, final

from cortexnet import Stream
from interop.harness.payload import PERIOD, payload
from interop.peers.cortexnet.failures import BadRequest

Request = Mapping[str, Any]
Answer = dict[str, Any]

BLOCK = 65_536
MESSAGE_LIMIT = 64 << 20


def block_size(request: Request) -> int:
    """Bytes of one write or read, at most a period of the payload."""
    return min(int(request.get("block") or BLOCK), PERIOD)


@final
class HeldStream:
    """One stream, with how far each direction has come."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.written = 0
        self.seen = 0
        self.released = asyncio.Event()

    async def write(self, size: int, block: int) -> None:
        """The next `size` bytes of the payload."""
        end = self.written + size
        while self.written < end:
            piece = payload(self.written, min(block, end - self.written))
            await self.stream.write(piece)
            self.written += len(piece)

    async def read(self, size: int, block: int) -> Answer:
        """`size` bytes, or fewer up to the end of the stream."""
        checksum, taken = hashlib.sha256(), 0
        while taken < size:
            data = await self.stream.read(min(block, size - taken))
            if not data:
                break
            checksum.update(data)
            taken += len(data)
            self.seen += len(data)
        return {"size": taken, "sha256": checksum.hexdigest(), "ended": taken < size}


@final
class HeldStreams:
    """All steered streams of this node, numbered in the order they came, outbound and inbound alike."""

    def __init__(self) -> None:
        self._streams: dict[int, HeldStream] = {}
        self._arrived: asyncio.Queue[int] = asyncio.Queue()

    def add(self, stream: Stream) -> int:
        number = len(self._streams) + 1
        self._streams[number] = HeldStream(stream)
        return number

    async def handler(self, stream: Stream) -> None:
        """Keeps an inbound stream until the runner lets go of it, as a handler's end closes its stream."""
        number = self.add(stream)
        self._arrived.put_nowait(number)
        await self._streams[number].released.wait()

    def get(self, request: Request) -> HeldStream:
        try:
            return self._streams[request["stream"]]
        except KeyError:
            raise BadRequest(f"no stream {request.get('stream')!r}") from None

    async def accept(self, request: Request) -> Answer:
        number = await self._arrived.get()
        stream = self._streams[number].stream
        return {"stream": number, "peer": str(stream.peer_id), "protocol": stream.protocol}

    async def write(self, request: Request) -> Answer:
        held = self.get(request)
        await held.write(request["size"], block_size(request))
        return {"written": held.written}

    async def read(self, request: Request) -> Answer:
        return await self.get(request).read(request["size"], block_size(request))

    async def progress(self, request: Request) -> Answer:
        held = self.get(request)
        return {"written": held.written, "read": held.seen}

    async def write_message(self, request: Request) -> Answer:
        held = self.get(request)
        await held.stream.write_message(payload(held.written, request["size"]))
        held.written += request["size"]
        return {"written": held.written}

    async def read_message(self, request: Request) -> Answer:
        held = self.get(request)
        message = await held.stream.read_message(limit=MESSAGE_LIMIT)
        held.seen += len(message)
        return {"size": len(message), "sha256": hashlib.sha256(message).hexdigest()}

    async def close_write(self, request: Request) -> Answer:
        await self.get(request).stream.close_write()
        return {}

    async def close(self, request: Request) -> Answer:
        held = self.get(request)
        await held.stream.close()
        held.released.set()
        return {}

    async def reset(self, request: Request) -> Answer:
        held = self.get(request)
        held.stream.reset(request.get("code", 0))
        held.released.set()
        return {}

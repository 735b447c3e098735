"""The server's side of the operations: the protocols this peer handles besides the node's own."""

import json
import struct

from cortexnet import Stream
from cortexnet.errors import EndOfStream
from cortexnet.messaging.request import Request
from interop.peers.cortexnet.held import MESSAGE_LIMIT

ECHO = "/interop/echo/1.0.0"
HOLD = "/interop/hold/1.0.0"
JSON = "/interop/json/1.0.0"
MESSAGES = "/interop/messages/1.0.0"


async def echo(stream: Stream) -> None:
    """Everything back, up to the end."""
    async for chunk in stream:
        await stream.write(chunk)


async def count_messages(stream: Stream) -> None:
    """Count varint-framed messages up to the end, answer with their number in eight bytes, big-endian."""
    count = 0
    try:
        while True:
            await stream.read_message(limit=MESSAGE_LIMIT)
            count += 1
    except EndOfStream as end:
        if end.partial:
            raise
    await stream.write(struct.pack(">Q", count))


async def answer(request: Request) -> bytes:
    """An object that has the question in it, as JSON."""
    return json.dumps({"answer to": json.loads(request.data)}).encode()

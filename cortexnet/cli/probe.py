"""One handshake over a plain socket, with an ear for what the other side says when it is no libp2p at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar, final

from cortexnet.errors import ConnectionClosed
from cortexnet.handshake import ByteQueue, Driver, Handshake
from cortexnet.multistream import HEADER

T = TypeVar("T")

_GREETING = bytes([len(HEADER) + 1]) + HEADER.encode()
_CHUNK = 4096
_HEARD_LIMIT = 64
_SIGNS = (
    (b"HTTP/", "That is a web server."),
    (b"<", "That looks like a web server or another service with texts."),
    (b"SSH-", "That is an SSH server."),
    (b"220 ", "That is a mail or file server."),
    (b"RFB ", "That is a remote desktop."),
    (b"\x15\x03", "That is a TLS server: plain TLS, perhaps a secure WebSocket (/tls/ws), not libp2p over TCP."),
)


@final
class Probe:
    """A socket, and the first bytes that came over it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._received = ByteQueue()
        self.heard = b""

    async def run(self, handshake: Handshake[T]) -> T:
        """Run the handshake; what comes behind it is there for the next one. Raises RemoteError, ConnectionClosed, OSError."""
        driver = Driver(handshake, self._received.take)
        while True:
            driver.advance()
            self._writer.write(driver.data_to_send())
            if driver.error is not None:
                raise driver.error
            if driver.done:
                return driver.result
            chunk = await self._reader.read(_CHUNK)
            if not chunk:
                raise ConnectionClosed("the other side closed the connection", by="remote")
            self.heard = (self.heard + chunk)[:_HEARD_LIMIT]
            self._received.append(chunk)

    @property
    def speaks_libp2p(self) -> bool:
        """Whether it has begun as every libp2p node does."""
        return self.heard.startswith(_GREETING)

    def guess(self) -> str:
        """What the other side seems to be, if it is something else than libp2p."""
        if not self.heard:
            return (
                "It took the connection, but has said nothing: libp2p speaks at once. A proxy without its node looks like this."
            )
        for sign, meaning in _SIGNS:
            if self.heard.startswith(sign):
                return meaning
        return ""


@contextlib.asynccontextmanager
async def connected(host: str, port: int) -> AsyncIterator[Probe]:
    """A probe of that port; its socket is closed with the block. Raises OSError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield Probe(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

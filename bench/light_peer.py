"""A peer that costs little: the real handshake, real yamux with one stream, and nothing above.

With hundreds of such peers in one process it is still the node at their other end that is measured.
"""

import asyncio
from typing import Final, final

from bench.raw_peer import RawPeer, Target, opening
from cortexnet.mux.yamux_frames import (
    ACK,
    DATA,
    FIN,
    FRAME_SIZE,
    HEADER_SIZE,
    PING,
    RST,
    SYN,
    TYPE_MASK,
    WINDOW_UPDATE,
    pack,
    unpack_from,
)

STREAM: Final = 1
WINDOW: Final = 1 << 18
"""Bytes that either side may send at first."""
ZEROS: Final = memoryview(bytes(FRAME_SIZE))
BUFFER: Final = memoryview(bytearray(1 << 18))
"""What every peer of this process reads into. (`asyncio.Protocol` has 256 KiB allocated for each read, which may be a piece from
the system that goes back to it at once: 64 page faults, and half of all that a round trip cost a peer.)"""


@final
class LightPeer(asyncio.BufferedProtocol):
    """One connection and its stream. Streams that the node opens are refused, its pings answered."""

    def __init__(self, raw: RawPeer) -> None:
        self._session = raw.session
        self._ciphertext = b""  # the part of a record that has come
        self._plaintext = bytearray()
        self._transport: asyncio.Transport | None = None
        self._credit = WINDOW
        self._owed = 0  # bytes that were taken, and whose credit was not given back yet
        self._count = 0  # bytes that have come on the stream
        self._has_ended = False
        self._may_write, self._moved = asyncio.Event(), asyncio.Event()
        self._may_write.set()
        self._message, self._trips = b"", 0

    @classmethod
    async def connect(cls, target: Target, protocol: str) -> "LightPeer":
        """A peer whose stream is open and its protocol agreed on."""
        raw = RawPeer(target)
        peer = cls(raw)
        socket, received = raw.detach()
        await asyncio.get_running_loop().create_connection(lambda: peer, sock=socket)
        peer._receive(received)
        proposal = opening(STREAM, protocol)
        size = len(proposal) - 2 * HEADER_SIZE
        peer._credit -= size
        peer._write(proposal)
        while peer._count < size:  # the answer is the same again
            await peer._wait()
        return peer

    async def upload(self, amount: int) -> None:
        """Send zeros, as fast as the node takes them."""
        while amount:
            while not self._credit:
                await self._wait()
            size = min(amount, self._credit, FRAME_SIZE)
            self._credit -= size
            amount -= size
            self._write(pack(DATA, STREAM, size), ZEROS[:size])
            await self._may_write.wait()

    async def finish(self) -> None:
        """End our side, and wait for the end of the other."""
        self._write(pack(DATA | FIN, STREAM, 0))
        while not self._has_ended:
            await self._wait()

    async def round_trips(self, message: bytes, count: int) -> None:
        """Have a message echoed so many times, one at a time."""
        self._message, self._count, self._trips = message, 0, count
        self._say()
        while self._trips:
            await self._wait()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # --- what the loop calls -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # it is one of TCP
        self._transport = transport

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended = True
        self._moved.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(self._ciphertext + BUFFER[:nbytes] if self._ciphertext else BUFFER[:nbytes])

    def _receive(self, data: bytes | memoryview) -> None:
        while True:
            plaintexts, used = self._session.decrypt(data)
            data = data[used:]
            for plaintext in plaintexts:
                self._plaintext += plaintext
            if not self._session.has_backlog:
                break
        self._ciphertext = bytes(data)
        self._take_frames()

    def _take_frames(self) -> None:
        data, at = self._plaintext, 0
        while len(data) - at >= HEADER_SIZE:
            word, stream_id, length = unpack_from(data, at)
            is_data = word & TYPE_MASK == DATA
            stop = at + HEADER_SIZE + (length if is_data else 0)
            if stop > len(data):
                break
            at = stop
            self._take(word, stream_id, length)
        del data[:at]
        self._moved.set()

    def _take(self, word: int, stream_id: int, length: int) -> None:
        kind = word & TYPE_MASK
        if kind == PING and word & SYN:
            self._write(pack(PING | ACK, 0, length))
        elif stream_id == STREAM:
            self._has_ended = self._has_ended or bool(word & (FIN | RST))
            if kind == WINDOW_UPDATE:
                self._credit += length
            elif length:
                self._came(length)
        elif word & SYN:
            self._write(pack(WINDOW_UPDATE | RST, stream_id, 0))

    def _came(self, size: int) -> None:
        self._count += size
        self._owed += size
        if self._owed >= WINDOW // 2:
            self._write(pack(WINDOW_UPDATE, STREAM, self._owed))
            self._owed = 0
        if self._trips and self._count >= len(self._message):
            self._count = 0
            self._trips -= 1
            if self._trips:
                self._say()

    def _say(self) -> None:
        if len(self._message) > self._credit:
            raise ValueError("the node gives no credit for what it has read")
        self._credit -= len(self._message)
        self._write(pack(DATA, STREAM, len(self._message)), self._message)

    def _write(self, *parts: bytes | memoryview) -> None:
        assert self._transport is not None  # from `connect` on
        self._transport.write(self._session.encrypt(parts))

    async def _wait(self) -> None:
        """For anything that comes."""
        if self._has_ended:
            raise ConnectionError("the node has ended the stream")
        self._moved.clear()
        await self._moved.wait()

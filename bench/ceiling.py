"""The ceiling: as fast as CPython moves bytes through TCP, Noise's cipher and a multiplexer's headers.

Not a libp2p stack and not meant to become one: no handshake (the keys are fixed), one stream, no closing, no limits. What is
there is what every stack pays for: ChaCha20-Poly1305 frames with a two-byte length, a twelve-byte header before each piece of
data, a receive window that the reader's progress refills, and a stream whose `write` waits for that window and for the socket.
It takes the fast way at each turn: buffered protocol, encryption straight into the output buffer, full frames, no copies of
bulk data, small writes gathered into one frame per turn of the loop.

Run as one half of a pair (see `bench.half`); workloads `bulk_up`, `bulk_down`, `messages`, `round_trip`.
"""

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Final, cast, final

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bench.half import Client, Driver, Figures, Server, Task, main
from bench.quantiles import latencies

TAG: Final = 16
FRAME: Final = 65_535 - TAG
"""Most plaintext in one Noise message."""
BATCH: Final = 4 * 65_536
"""Encrypted bytes that are gathered before they are handed to the transport."""
SMALL: Final = 4_096
"""Writes below this are gathered; from here on the copy costs more than a frame of its own."""
WINDOW: Final = 1 << 20
READ_BUFFER: Final = 256 * 1024
WRITE_SIZE: Final = 65_536
"""The size of the application's writes in bulk, here and for every stack that is compared."""
MESSAGE_SIZE: Final = 100

DATA: Final = 0
CREDIT: Final = 1
HEADER: Final = struct.Struct(">BBHII")
LENGTH: Final = struct.Struct(">H")
COUNTER: Final = struct.Struct("<Q")
KEY: Final = bytes(32)


@final
class Sealer:
    """Encrypts into one buffer, frame after frame, until `take` hands the whole batch to the transport."""

    def __init__(self) -> None:
        self._encrypt_into = ChaCha20Poly1305(KEY).encrypt_into
        self._nonce = bytearray(12)
        self._count = 0
        self._buffer = memoryview(bytearray(BATCH + 2 * (FRAME + TAG + 2)))
        self.used = 0

    def seal(self, plaintext: bytes | bytearray | memoryview) -> None:
        """Append one frame: at most `FRAME` bytes of plaintext."""
        start = self.used
        size = len(plaintext) + TAG
        end = start + size + 2
        COUNTER.pack_into(self._nonce, 4, self._count)
        self._count += 1
        LENGTH.pack_into(self._buffer, start, size)
        self._encrypt_into(self._nonce, plaintext, None, self._buffer[start + 2 : end])
        self.used = end

    def take(self) -> memoryview:
        """The batch; valid until the next `seal` unless `keep` is called."""
        batch = self._buffer[: self.used]
        self.used = 0
        return batch

    def keep(self) -> None:
        """Leave the last batch to whoever holds it, and go on in a new buffer."""
        self._buffer = memoryview(bytearray(len(self._buffer)))


@final
class Stream:
    """One stream: chunks as they were decrypted, a send window, and at most one waiter for each."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._chunks: deque[bytes | memoryview] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._window = WINDOW
        self._unacknowledged = 0

    def feed(self, chunk: bytes | memoryview) -> None:
        self._chunks.append(chunk)
        wake(self._reader)

    def credit(self, size: int) -> None:
        self._window += size
        wake(self._writer)

    async def read(self) -> bytes | memoryview:
        """The next chunk, uncopied; half a window read gives the peer its credit back."""
        while not self._chunks:
            self._reader = self._connection.loop.create_future()
            await self._reader
        chunk = self._chunks.popleft()
        self._unacknowledged += len(chunk)
        if self._unacknowledged >= WINDOW // 2:
            self._connection.send_credit(self._unacknowledged)
            self._unacknowledged = 0
        return chunk

    async def write(self, data: bytes) -> None:
        connection = self._connection
        if connection.is_paused:
            await connection.drained()
        if len(data) <= self._window:
            self._window -= len(data)
            connection.send_data(data)
            return
        rest = memoryview(data)
        while rest:
            while not self._window:
                self._writer = connection.loop.create_future()
                await self._writer
            size = min(self._window, len(rest))
            self._window -= size
            connection.send_data(rest[:size])
            rest = rest[size:]
            if connection.is_paused:
                await connection.drained()


@final
class Connection(asyncio.BufferedProtocol):
    """The socket's two ends: frames out of `Stream.write`, chunks into `Stream.read`."""

    def __init__(self, opened: Callable[["Connection"], None] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.stream = Stream(self)
        self.is_paused = False
        self._opened = opened
        self._drained: asyncio.Future[None] | None = None
        self._sealer = Sealer()
        self._small = bytearray()
        self._is_flush_due = False
        self._decrypt = ChaCha20Poly1305(KEY).decrypt
        self._nonce = bytearray(12)
        self._count = 0
        self._buffer = memoryview(bytearray(READ_BUFFER))
        self._start = self._end = 0
        self._body_left = 0
        self._cut_header = b""

    # --- the socket ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=65_536)
        if self._opened is not None:
            self._opened(self)

    def pause_writing(self) -> None:
        self.is_paused = True

    def resume_writing(self) -> None:
        self.is_paused = False
        wake(self._drained)

    async def drained(self) -> None:
        while self.is_paused:
            self._drained = self.loop.create_future()
            await self._drained

    # --- out ---

    def send_data(self, data: bytes | memoryview) -> None:
        if len(data) < SMALL:
            self._gather(data)
            return
        self._flush_small()
        sealer = self._sealer
        sealer.seal(HEADER.pack(0, DATA, 0, 1, len(data)))
        if len(data) <= FRAME:
            sealer.seal(data)
        else:
            view = memoryview(data)
            for start in range(0, len(view), FRAME):
                sealer.seal(view[start : start + FRAME])
                if sealer.used >= BATCH:
                    self._transmit()
        self._transmit()

    def send_credit(self, size: int) -> None:
        self._flush_small()
        self._sealer.seal(HEADER.pack(0, CREDIT, 0, 1, size))
        self._transmit()

    def _gather(self, data: bytes | memoryview) -> None:
        small = self._small
        small += HEADER.pack(0, DATA, 0, 1, len(data))
        small += data
        if len(small) >= FRAME - SMALL - HEADER.size:
            self._flush_small()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self.loop.call_soon(self._flush_small)

    def _flush_small(self) -> None:
        self._is_flush_due = False
        if self._small:
            self._sealer.seal(self._small)
            self._small = bytearray()
            self._transmit()

    def _transmit(self) -> None:
        if not self._sealer.used:
            return
        self.transport.write(self._sealer.take())
        if self.transport.get_write_buffer_size():
            self._sealer.keep()  # from Python 3.12 on the transport keeps a view of what it could not send, not a copy

    # --- in ---

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        buffer, start, end = self._buffer, self._start, self._end + nbytes
        while end - start > LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer, start)
            stop = start + LENGTH.size + size
            if stop > end:
                break
            COUNTER.pack_into(self._nonce, 4, self._count)
            self._count += 1
            self._receive(self._decrypt(self._nonce, buffer[start + LENGTH.size : stop], None))
            start = stop
        if start == end:
            start = end = 0
        elif len(buffer) - start < FRAME + TAG + LENGTH.size or end == len(buffer):
            buffer[: end - start] = buffer[start:end]
            start, end = 0, end - start
        self._start, self._end = start, end

    def _receive(self, plaintext: bytes) -> None:
        if len(plaintext) <= self._body_left:  # bulk: the frame is all payload, so it is the chunk
            self._body_left -= len(plaintext)
            self.stream.feed(plaintext)
            return
        if self._cut_header:
            plaintext, self._cut_header = self._cut_header + plaintext, b""
        view, size, position = memoryview(plaintext), len(plaintext), self._body_left
        if position:
            self.stream.feed(view[:position])
            self._body_left = 0
        while size - position >= HEADER.size:
            _, kind, _, _, length = HEADER.unpack_from(plaintext, position)
            position += HEADER.size
            if kind == CREDIT:
                self.stream.credit(length)
                continue
            stop = position + length
            if stop > size:
                self._body_left = stop - size
                if position < size:
                    self.stream.feed(view[position:])
                return
            self.stream.feed(view[position:stop])
            position = stop
        self._cut_header = plaintext[position:]


def wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


# --- workloads: each a coroutine at the server's end of the stream and one at the client's ---


async def take(stream: Stream, amount: int) -> None:
    while amount > 0:
        amount -= len(await stream.read())


async def give(stream: Stream, amount: int) -> None:
    block = bytes(WRITE_SIZE)
    for _ in range(amount // len(block)):
        await stream.write(block)


async def serve_bulk_up(stream: Stream, amount: int) -> None:
    await take(stream, amount)
    await stream.write(b"k")


async def serve_bulk_down(stream: Stream, amount: int) -> None:
    await stream.read()
    await give(stream, amount)


async def serve_messages(stream: Stream, amount: int) -> None:
    """Cut varint-framed messages out of the stream and make each an object of its own, as `read_message` would."""
    rest = b""
    while amount:
        chunk = rest + await stream.read() if rest else await stream.read()
        position, size = 0, len(chunk)
        rest = b""
        while position < size:
            stop = position + 1 + chunk[position]
            if stop > size:
                rest = bytes(chunk[position:])
                break
            bytes(chunk[position + 1 : stop])
            amount -= 1
            position = stop
    await stream.write(b"k")


async def serve_round_trip(stream: Stream, amount: int) -> None:
    for _ in range(amount):
        await stream.write(bytes(await stream.read()))


async def bulk_up(stream: Stream, amount: int) -> Figures:
    started = time.perf_counter()
    await give(stream, amount)
    await stream.read()
    return {"rate": amount / (time.perf_counter() - started) / 1e6}


async def bulk_down(stream: Stream, amount: int) -> Figures:
    started = time.perf_counter()
    await stream.write(b"g")
    await take(stream, amount)
    return {"rate": amount / (time.perf_counter() - started) / 1e6}


async def messages(stream: Stream, amount: int) -> Figures:
    message = bytes([MESSAGE_SIZE]) + bytes(MESSAGE_SIZE)
    started = time.perf_counter()
    for _ in range(amount):
        await stream.write(message)
    await stream.read()
    return {"rate": amount / (time.perf_counter() - started)}


async def round_trip(stream: Stream, amount: int) -> Figures:
    message, times = bytes(MESSAGE_SIZE), []
    for _ in range(amount):
        started = time.perf_counter()
        await stream.write(message)
        await stream.read()
        times.append(time.perf_counter() - started)
    return latencies(times)


SERVERS: Final = {
    "bulk_up": serve_bulk_up,
    "bulk_down": serve_bulk_down,
    "messages": serve_messages,
    "round_trip": serve_round_trip,
}
CLIENTS: Final = {"bulk_up": bulk_up, "bulk_down": bulk_down, "messages": messages, "round_trip": round_trip}


async def serve(task: Task, driver: Driver) -> None:
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Connection] = loop.create_future()
    server = await loop.create_server(lambda: Connection(accepted.set_result), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    driver.send({"address": f"{host}:{port}"})
    await SERVERS[task.workload]((await accepted).stream, task.amount)
    await driver.next_line()


async def run(task: Task, driver: Driver) -> Figures:
    host, port = task.address.rsplit(":", 1)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, int(port))
    return await CLIENTS[task.workload](connection.stream, task.amount)


if __name__ == "__main__":
    server_half: Server = serve
    client_half: Client = run
    main(server_half, client_half)

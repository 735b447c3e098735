"""A protocol that writes down what happens to it, and pairs of them over memory and over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from cortexnet.testing.loop import run
from cortexnet.transport.memory import MemoryNetwork


class Recorder(asyncio.BufferedProtocol):
    """Collects bytes and callbacks; `until(text)` waits for a callback, `until_bytes(n)` for bytes."""

    def __init__(self, *, buffer_size: int = 65_536, keep_open: bool = True) -> None:
        self.events: list[str] = []
        self.data = bytearray()
        self.reads: list[int] = []
        self.error: Exception | None = None
        self.on_read: Callable[[], None] = lambda: None
        self.transport: asyncio.Transport
        self._buffer = bytearray(buffer_size)
        self._keep_open = keep_open
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._note("made")

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self._buffer[:nbytes]
        self.reads.append(nbytes)
        self._news.set()
        self.on_read()

    def eof_received(self) -> bool:
        self._note("eof")
        return self._keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._note(f"lost {type(exc).__name__}")

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, event: str) -> None:
        await self._until(lambda: any(e.startswith(event) for e in self.events))

    async def until_bytes(self, size: int) -> None:
        await self._until(lambda: len(self.data) >= size)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._news.clear()
            await self._news.wait()


Pair = tuple[Recorder, Recorder]
MakePair = Callable[[Recorder, Recorder], AbstractAsyncContextManager[Pair]]
Scenario = Callable[[MakePair], Coroutine[object, object, None]]


@asynccontextmanager
async def memory_pair(dialer: Recorder, listener: Recorder) -> AsyncIterator[Pair]:
    """The two, joined by a link without delay."""
    network = MemoryNetwork()
    server = await network.listen(0, lambda: listener)
    await network.connect(server.number, lambda: dialer)
    yield dialer, listener
    server.close()
    await _end(dialer, listener)
    assert network.links == ()


@asynccontextmanager
async def socket_pair(dialer: Recorder, listener: Recorder) -> AsyncIterator[Pair]:
    """The two, joined by TCP over loopback."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: listener, "127.0.0.1", 0)
    await loop.create_connection(lambda: dialer, *server.sockets[0].getsockname())
    await listener.until("made")
    yield dialer, listener
    server.close()
    await _end(dialer, listener)


async def _end(*recorders: Recorder) -> None:
    for recorder in recorders:
        if not recorder.events[-1].startswith("lost"):  # asyncio's abort() fails on a closed transport
            recorder.transport.abort()
    for recorder in recorders:
        await recorder.until("lost")


def run_memory(scenario: Scenario) -> None:
    run(scenario(memory_pair))


def run_socket(scenario: Scenario) -> None:
    asyncio.run(_in_time(scenario(socket_pair)))


async def _in_time(main: Awaitable[None]) -> None:
    async with asyncio.timeout(30):  # a guard against hanging, no test waits for it
        await main

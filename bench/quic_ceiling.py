"""aioquic alone: its own endpoints over asyncio, one connection, one stream, bulk. What QUIC of ours could reach on this engine.

Datagrams are as large as ours on loopback, the sender hands everything over at once, and nothing is kept of what arrives.
"""

import asyncio
import ssl
import time
from datetime import UTC, datetime
from typing import Any, Final

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived

from bench.half import Driver, Figures, Task, main
from cortexnet.identity.identity import Identity
from cortexnet.quic.engine import QuicConfig
from cortexnet.security.certificate import create_certificate

ALPN: Final = ["bulk"]
STREAM: Final = 0


class Half(QuicConnectionProtocol):
    """Counts what comes on its stream, up to the end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.size = 0
        self.ended = asyncio.Event()

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self.size += len(event.data)
            if event.end_stream:
                self.ended.set()
                self.at_end()

    def at_end(self) -> None:
        """Everything came."""

    def send_all(self, data: bytes) -> None:
        """Hand over a whole stream."""
        self._quic.send_stream_data(STREAM, data, end_stream=True)
        self.transmit()


class Listener(Half):
    """Answers an upload with a byte, and a number with as many bytes."""

    amount = 0
    is_down = False

    def at_end(self) -> None:
        self.send_all(bytes(self.amount) if self.is_down else b".")


def configuration(*, is_client: bool) -> QuicConfiguration:
    certificate = create_certificate(Identity.generate().private_key, now=datetime.now(UTC))
    return QuicConfiguration(
        alpn_protocols=ALPN,
        certificate=certificate.certificate,
        is_client=is_client,
        max_datagram_size=QuicConfig().loopback_datagram_size,
        private_key=certificate.private_key,
        verify_mode=ssl.CERT_NONE,
    )


async def serve_task(task: Task, driver: Driver) -> None:
    Listener.amount, Listener.is_down = task.amount, task.workload == "bulk_down"
    server = await serve("127.0.0.1", 0, configuration=configuration(is_client=False), create_protocol=Listener)
    assert server._transport is not None  # it listens
    port = server._transport.get_extra_info("sockname")[1]
    driver.send({"address": f"127.0.0.1:{port}"})
    await driver.next_line()
    server.close()


async def run_task(task: Task, driver: Driver) -> Figures:
    host, _, port = task.address.partition(":")
    async with connect(host, int(port), configuration=configuration(is_client=True), create_protocol=Half) as half:
        assert isinstance(half, Half)  # as it was asked for
        data = b"." if task.workload == "bulk_down" else bytes(task.amount)
        begin = time.perf_counter()
        half.send_all(data)
        await half.ended.wait()
        seconds = time.perf_counter() - begin
        expected = task.amount if task.workload == "bulk_down" else 1
        if half.size != expected:
            raise ValueError(f"{half.size} bytes came instead of {expected}")
    return {"rate": task.amount / seconds / 1e6}


if __name__ == "__main__":
    main(serve_task, run_task)

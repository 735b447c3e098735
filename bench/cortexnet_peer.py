"""cortexnet as one half of a measured pair, by its public API alone.

The protocols are those of the interop harness (`/perf/1.0.0`, echo, counted messages), so that either half can also be paired
with another stack's. Run as one half of a pair (see `bench.half`).
Spec: libp2p perf; interop/README.md, "Protocols".
"""

import asyncio
import gc
import json
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench.at_once import AT_ONCE
from bench.half import Driver, Figures, Task, main
from bench.quantiles import latencies
from bench.stacks import STACKS
from cortexnet import Config, Node, PeerId, Stream
from cortexnet.testing.host_certificates import make_host_certificate
from cortexnet.transport.websocket_config import WebSocketConfig

PERF: Final = "/perf/1.0.0"
ECHO: Final = "/interop/echo/1.0.0"
MESSAGES: Final = "/interop/messages/1.0.0"
LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
WRITE_SIZE: Final = 65_536
READ_SIZE: Final = 4 * WRITE_SIZE
MESSAGE_SIZE: Final = 100
MESSAGE: Final = bytes(MESSAGE_SIZE)
CROWD: Final = 5
"""Bulk streams beside the one whose round trips are measured."""
ENDLESS: Final = 1 << 40
"""Bytes of a transfer that is to last until its process is ended."""
DIALLERS: Final = 8
"""Nodes that take turns at dialling."""
PLAIN: Final = Config(kad=None, gossip=None)
"""A host without services, as go-libp2p's is that stands beside it."""
WSS_CLIENT: Final = replace(PLAIN, transports=["ws"], security=["noise"], websocket=WebSocketConfig(verify=False))
SETTLING: Final = 0.3
"""Seconds that bulk streams get to open their windows, and new connections to finish what they do at first."""


# --- the server's half ---


async def perf(stream: Stream) -> None:
    """How much is wanted back, eight bytes big-endian; everything up to the end thrown away; then what was wanted."""
    wanted = int.from_bytes(await stream.read_exactly(8), "big")
    await discard(stream)
    await write_zeros(stream, wanted)


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def count_messages(stream: Stream) -> None:
    """Count messages up to the end and answer with their number, eight bytes big-endian."""
    count = 0
    try:
        while True:
            await stream.read_message(limit=MESSAGE_SIZE)
            count += 1
    except EOFError:
        await stream.write(count.to_bytes(8, "big"))


async def discard(stream: Stream) -> int:
    size = 0
    while chunk := await stream.read(READ_SIZE):
        size += len(chunk)
    return size


async def write_zeros(stream: Stream, size: int) -> None:
    block = bytes(WRITE_SIZE)
    while size >= WRITE_SIZE:
        await stream.write(block)
        size -= WRITE_SIZE
    if size:
        await stream.write(block[:size])


def config_for(name: str, folder: Path) -> Config:
    """Nothing but this stack; `folder` takes the certificate of a WebSocket with TLS."""
    if not name:
        return PLAIN
    stack = STACKS[name]
    websocket = make_host_certificate(folder) if name.startswith("wss") else WebSocketConfig()
    return replace(PLAIN, transports=[stack.transport], security=stack.security or ("noise",), websocket=websocket)


async def serve(task: Task, driver: Driver) -> None:
    with tempfile.TemporaryDirectory() as folder:
        listen = STACKS[task.stack].listen if task.stack else LISTEN
        await serve_node(Node(listen=[listen], config=config_for(task.stack, Path(folder))), driver)


async def serve_node(node: Node, driver: Driver) -> None:
    node.handle(PERF, perf)
    node.handle(ECHO, echo)
    node.handle(MESSAGES, count_messages)
    async with node:
        driver.send({"address": str(node.addresses[0])})
        while await driver.next_line() == b"resident\n":
            gc.collect()
            driver.send({"resident": resident()})


def resident() -> int | None:
    """Bytes of memory in use now, None where the system has no /proc."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * resource.getpagesize()


# --- the client's half ---


async def bulk_up(node: Node, peer: PeerId, amount: int) -> Figures:
    started = time.perf_counter()
    async with node.stream(peer, PERF) as stream:
        await stream.write(bytes(8))
        await write_zeros(stream, amount)
        await stream.close_write()
        await discard(stream)
    return {"rate": amount / (time.perf_counter() - started) / 1e6}


async def bulk_down(node: Node, peer: PeerId, amount: int) -> Figures:
    started = time.perf_counter()
    async with node.stream(peer, PERF) as stream:
        await stream.write(amount.to_bytes(8, "big"))
        await stream.close_write()
        received = await discard(stream)
    return {"rate": received / (time.perf_counter() - started) / 1e6}


async def messages(node: Node, peer: PeerId, amount: int) -> Figures:
    started = time.perf_counter()
    async with node.stream(peer, MESSAGES) as stream:
        for _ in range(amount):
            await stream.write_message(MESSAGE)
        await stream.close_write()
        counted = int.from_bytes(await stream.read_exactly(8), "big")
    return {"rate": counted / (time.perf_counter() - started)}


async def round_trip(node: Node, peer: PeerId, amount: int) -> Figures:
    times = []
    async with node.stream(peer, ECHO) as stream:
        for _ in range(amount):
            started = time.perf_counter()
            await stream.write(MESSAGE)
            await stream.read_exactly(MESSAGE_SIZE)
            times.append(time.perf_counter() - started)
    return latencies(times)


async def requests(node: Node, peer: PeerId, amount: int) -> Figures:
    """A stream for each exchange, timed from its opening to the end of the answer."""
    times = []
    for _ in range(amount):
        started = time.perf_counter()
        async with node.stream(peer, ECHO) as stream:
            await stream.write(MESSAGE)
            await stream.close_write()
            answer = await stream.read_all(limit=MESSAGE_SIZE)
        times.append(time.perf_counter() - started)
        if len(answer) != MESSAGE_SIZE:
            raise ValueError(f"an answer of {len(answer)} bytes")
    return latencies(times)


async def requests_at_once(node: Node, peer: PeerId, amount: int) -> Figures:
    """Requests by the public API, `AT_ONCE` under way at any time; one connection carries them all."""
    times, left = list[float](), iter(range(amount))

    async def work() -> None:
        for _ in left:
            started = time.perf_counter()
            answer = await node.request(peer, ECHO, MESSAGE, framing="eof")
            times.append(time.perf_counter() - started)
            if len(answer) != MESSAGE_SIZE:
                raise ValueError(f"an answer of {len(answer)} bytes")

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    elapsed = time.perf_counter() - started
    if node.tally.connections_outbound != 1:
        raise ValueError(f"{node.tally.connections_outbound} connections where one is enough")
    return {"rate": amount / elapsed, **latencies(times)}


async def crowded_up(node: Node, peer: PeerId, amount: int) -> Figures:
    async def upload() -> None:
        async with node.stream(peer, PERF) as stream:
            await stream.write(bytes(8))
            await write_zeros(stream, ENDLESS)

    return await beside(upload, node, peer, amount)


async def crowded_down(node: Node, peer: PeerId, amount: int) -> Figures:
    async def download() -> None:
        async with node.stream(peer, PERF) as stream:
            await stream.write(ENDLESS.to_bytes(8, "big"))
            await stream.close_write()
            await discard(stream)

    return await beside(download, node, peer, amount)


async def beside(transfer: Callable[[], Awaitable[None]], node: Node, peer: PeerId, amount: int) -> Figures:
    """Round trips while the same connection carries a crowd of transfers."""
    crowd = [asyncio.ensure_future(transfer()) for _ in range(CROWD)]
    try:
        await asyncio.sleep(SETTLING)
        figures = await round_trip(node, peer, amount)
        for finished in (bulk for bulk in crowd if bulk.done()):
            finished.result()  # a transfer that ended too soon has failed, and the round trips were not crowded
        return figures
    finally:
        for bulk in crowd:
            bulk.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


def client_node(task: Task) -> Node:
    return Node(listen=[], config=config_for(task.stack, Path()) if not task.stack.startswith("wss") else WSS_CLIENT)


async def dials(task: Task) -> Figures:
    """Dial one after the other, from nodes that take turns, each of which hangs up when its turn comes again.

    Nobody waits for identify, yet each connection lives long enough for it to run to its end, in both directions: a node that
    hung up at once would hardly ever begin it.
    """
    times = []
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(client_node(task)) for _ in range(DIALLERS)]
        begun = time.perf_counter()
        for number in range(task.amount):
            node = nodes[number % DIALLERS]
            for connected in node.peers:
                await node.disconnect(connected)
            started = time.perf_counter()
            await node.dial(task.address)
            times.append(time.perf_counter() - started)
        elapsed = time.perf_counter() - begun
    return {"rate": task.amount / elapsed, **latencies(times)}


async def hold(task: Task, driver: Driver) -> None:
    """Connections from nodes of their own, as many as the task and the later ones on stdin ask for; until stdin closes."""
    nodes: list[Node] = []
    async with AsyncExitStack() as stack:
        while True:
            while len(nodes) < task.amount:
                node = await stack.enter_async_context(Node(listen=[], config=PLAIN))
                nodes.append(node)
                await node.dial(task.address)
            await asyncio.sleep(SETTLING)
            driver.send({"held": sum(len(node.connections) for node in nodes)})
            line = await driver.next_line()
            if not line:
                return
            task = Task(**json.loads(line))


ON_ONE_CONNECTION: Final[dict[str, Callable[[Node, PeerId, int], Awaitable[Figures]]]] = {
    "bulk_up": bulk_up,
    "bulk_down": bulk_down,
    "messages": messages,
    "round_trip": round_trip,
    "requests": requests,
    "requests_at_once": requests_at_once,
    "crowded_up": crowded_up,
    "crowded_down": crowded_down,
}


async def run(task: Task, driver: Driver) -> Figures:
    if task.workload == "idle":
        await hold(task, driver)
        return {}
    if task.workload == "dials":
        return await dials(task)
    async with client_node(task) as node:
        peer = await node.dial(task.address)
        return await ON_ONE_CONNECTION[task.workload](node, peer, task.amount)


if __name__ == "__main__":
    main(serve, run)

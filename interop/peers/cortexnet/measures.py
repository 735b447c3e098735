"""Transfers and measurements, the client's side."""

import asyncio
import gc
import hashlib
import json
import os
import struct
import time
from collections.abc import Awaitable, Callable

from cortexnet import Node, Stream
from interop.harness.payload import payload
from interop.peers.cortexnet.failures import BadRequest
from interop.peers.cortexnet.held import BLOCK, Answer, Request, block_size
from interop.peers.cortexnet.served import ECHO, JSON, MESSAGES


async def echo(node: Node, request: Request) -> Answer:
    """Send and read back at the same time, with a checksum of each direction."""
    size, block = request["size"], block_size(request)
    sent, received, count = hashlib.sha256(), hashlib.sha256(), 0
    begin = time.perf_counter()

    async def write(stream: Stream) -> None:
        offset = 0
        while offset < size:
            piece = payload(offset, min(block, size - offset))
            sent.update(piece)
            await stream.write(piece)
            offset += len(piece)
        await stream.close_write()

    async with node.stream(request["peer"], ECHO) as stream, asyncio.TaskGroup() as both:
        both.create_task(write(stream))
        async for chunk in stream:
            received.update(chunk)
            count += len(chunk)
    return {
        "sent": size,
        "received": count,
        "sha256_sent": sent.hexdigest(),
        "sha256_received": received.hexdigest(),
        "seconds": time.perf_counter() - begin,
    }


async def streams(node: Node, request: Request) -> Answer:
    """`count` echo streams in rounds of `at_once`; in each round all are open and answered before any is closed."""
    begin, done, rounds = time.perf_counter(), 0, 0
    while done < request["count"]:
        size = min(request["at_once"], request["count"] - done)
        answered = asyncio.Barrier(size)
        async with asyncio.TaskGroup() as group:
            for _ in range(size):
                group.create_task(_one_of_many(node, request, answered))
        done += size
        rounds += 1
    return {"count": done, "rounds": rounds, "seconds": time.perf_counter() - begin}


async def _one_of_many(node: Node, request: Request, answered: asyncio.Barrier) -> None:
    async with node.stream(request["peer"], ECHO) as stream:
        await exchange(stream, payload(0, request["size"]))
        await answered.wait()
        await stream.close_write()
        rest = await stream.read_all(limit=BLOCK)
        if rest:
            raise BadRequest(f"{len(rest)} bytes more than were sent")


async def exchange(stream: Stream, block: bytes) -> None:
    """One block to an echo stream and back."""
    await stream.write(block)
    await stream.read_exactly(len(block))


async def perf(node: Node, request: Request) -> Answer:
    """The node's own client of /perf/1.0.0."""
    begin = time.perf_counter()
    result = await node.perf(request["peer"], upload=request.get("upload", 0), download=request.get("download", 0))
    return {"received": result.downloaded, "seconds": time.perf_counter() - begin}


async def messages(node: Node, request: Request) -> Answer:
    """`count` varint-framed messages one way, one write each; the answer is how many arrived."""
    message = payload(0, request["size"])
    begin = time.perf_counter()
    async with node.stream(request["peer"], MESSAGES) as stream:
        for _ in range(request["count"]):
            await stream.write_message(message)
        await stream.close_write()
        (acknowledged,) = struct.unpack(">Q", await stream.read_exactly(8))
    return {"acknowledged": acknowledged, "seconds": time.perf_counter() - begin}


async def round_trips(node: Node, request: Request) -> Answer:
    """`count` blocks over one echo stream, each after the answer to the one before."""
    block = payload(0, request["size"])
    async with node.stream(request["peer"], ECHO) as stream:
        return percentiles(await timed(request["count"], lambda: exchange(stream, block)))


async def requests(node: Node, request: Request) -> Answer:
    """A new echo stream for each of `count` exchanges, timed from the opening to the end of the answer; `at_once` at a time."""
    block, at_once = payload(0, request["size"]), request.get("at_once", 1)

    async def one() -> None:
        async with node.stream(request["peer"], ECHO) as stream:
            await stream.write(block)
            await stream.close_write()
            if await stream.read_all(limit=2 * len(block)) != block:
                raise BadRequest("the echo is not what was sent")

    begin = time.perf_counter()
    shares = [(request["count"] + worker) // at_once for worker in range(at_once)]
    times = await asyncio.gather(*(timed(share, one) for share in shares))
    seconds = time.perf_counter() - begin
    connections = sum(str(connection.peer_id) == request["peer"] for connection in node.connections)
    return {**percentiles([one for part in times for one in part]), "seconds": seconds, "connections": connections}


async def dials(node: Node, request: Request) -> Answer:
    """Connect, identify and close `count` times, one after the other."""

    async def one() -> None:
        peer = await node.dial(request["address"])
        await node.identify(peer)
        await node.disconnect(peer)

    return percentiles(await timed(request["count"], one))


async def timed(count: int, act: Callable[[], Awaitable[None]]) -> list[float]:
    """The seconds that each of `count` runs took."""
    times, clock = [], time.perf_counter
    for _ in range(count):
        begin = clock()
        await act()
        times.append(clock() - begin)
    return times


def percentiles(times: list[float]) -> Answer:
    """Microseconds, of the sorted times at the rank below."""
    ordered = sorted(times)
    if not ordered:
        return {"count": 0, "seconds": 0.0}

    def at(share: float) -> float:
        return ordered[int(share * (len(ordered) - 1))] * 1e6

    return {"count": len(ordered), "seconds": sum(ordered), "p50_us": at(0.50), "p99_us": at(0.99)}


def resident_bytes() -> int | None:
    """The resident set after a collection, as the operating system counts it; None where there is no /proc."""
    gc.collect()
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return None


async def ask(node: Node, request: Request) -> Answer:
    """One question and its answer, both ended by the end of their direction."""
    question = json.dumps(request["question"]).encode()
    return {"answer": json.loads(await node.request(request["peer"], JSON, question, framing="eof"))}

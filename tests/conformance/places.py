"""What the suites run over: every transport, and what a network may do to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random

from cortexnet.mux import mplex
from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_wire import LinkConditions
from tests.support.pairs import Net, network, settle


async def arrive(net: Net) -> None:
    """Let everything arrive that is under way."""
    if net.memory is None:
        await settle(500)  # loopback sockets: a turn or two are enough
    else:
        await asyncio.sleep(1)  # of virtual time


Place = Callable[[], AbstractAsyncContextManager[Net]]


def _memory(conditions: LinkConditions, security: str = "noise") -> Place:
    @asynccontextmanager
    async def place() -> AsyncIterator[Net]:
        async with network(security=security) as net:
            net.memory = MemoryNetwork(conditions=conditions, random=Random(7))
            yield net

    return place


def _sockets(over: str) -> Place:
    return lambda: network(over=over)


PLACES: dict[str, Place] = {
    "tcp": _sockets("tcp"),
    "ws": _sockets("ws"),
    "wss": _sockets("wss"),
    "tcp with tls": lambda: network(over="tcp", security="tls"),
    "quic": _sockets("quic"),
    "memory": _memory(LinkConditions()),
    "memory with latency": _memory(LinkConditions(latency=0.05)),
    "memory in small pieces": _memory(LinkConditions(piece_size=lambda random: random.randint(1, 900))),
    "memory that holds little": _memory(LinkConditions(latency=0.001, capacity=3_000)),
    "memory with tls, in small pieces": _memory(LinkConditions(piece_size=lambda random: random.randint(1, 900)), security="tls"),
}
WITHOUT_WINDOWS: dict[str, Place] = {
    "mplex over tcp": lambda: network(over="tcp", muxer=mplex.NAME),
    "mplex over memory": lambda: network(muxer=mplex.NAME),
    "mplex with latency": lambda: network(latency=0.05, muxer=mplex.NAME),
}
"""Where no reader can hold its writer back, and no reset has a code."""

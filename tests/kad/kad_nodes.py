"""Networks of whole nodes with a DHT, in memory and in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from cortexnet import Config, InvalidRecord, KadConfig, Node
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions

LATENCY = 0.01
"""Seconds of a link, one way."""
LAN = "/ipfs/lan/kad/1.0.0"


class Longest:
    """Takes every value that is text; the longest is the best."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        if not value.isascii():
            raise InvalidRecord("no text")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return max(range(len(values)), key=lambda index: len(values[index]))


PRIVATE = KadConfig(prefix="/test", lan=False, filter_addresses=False, validators={"news": Longest()})
"""A network of one's own."""


def node(
    network: SimulatedNetwork,
    name: str,
    kad: KadConfig | None = PRIVATE,
    *,
    listen: Sequence[str] = ("/memory/0",),
    bootstrap: Sequence[Any] = (),
    **settings: Any,
) -> Node:
    """One node, not started."""
    config = Config(transports=["memory"], memory_network=network.host(name), kad=kad, **settings)
    return Node(listen=listen, bootstrap=bootstrap, config=config)


def simulated(seed: int = 0) -> SimulatedNetwork:
    return SimulatedNetwork(seed, LinkConditions(latency=LATENCY))


@asynccontextmanager
async def nodes(count: int, kad: KadConfig | None = PRIVATE, **options: Any) -> AsyncIterator[list[Node]]:
    """So many nodes that know the first, and by now each other; nothing is left of them."""
    network = simulated()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(node(network, "0", kad, **options))
        started = [first]
        for number in range(1, count):
            made = node(network, str(number), kad, bootstrap=first.addresses, **options)
            started.append(await stack.enter_async_context(made))
        await asyncio.sleep(30)
        yield started
    assert [count for one in started for count in one.counters.values() if count] == []


QUIET = replace(PRIVATE, dht=replace(PRIVATE.dht, refresh_interval=86_400.0, sparse_interval=86_400.0))
"""The same for tests of many hours: its upkeep has longer breaks."""

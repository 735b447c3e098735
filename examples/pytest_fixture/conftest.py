"""Fixtures for tests of your own protocols: connected nodes, in memory, in virtual time. Copy what you need.

Nothing here opens a socket or waits: a test that lets an hour pass is over at once, and runs the same way every time.
Needs pytest-asyncio with `asyncio_mode = "auto"`.
"""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from cortexnet import Config, Node
from cortexnet.testing.loop import VirtualTimeLoop
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> dict[str, Callable[[], VirtualTimeLoop]]:
    return {"virtual": VirtualTimeLoop}


@pytest.fixture
def network() -> SimulatedNetwork:
    """What lies between the nodes: 20 ms one way, and whatever a test does to it."""
    return SimulatedNetwork(seed=1, conditions=LinkConditions(latency=0.020))


@pytest_asyncio.fixture
async def pair(network: SimulatedNetwork) -> AsyncIterator[tuple[Node, Node]]:
    """Alice and Bob; Alice has dialed Bob."""

    def node(name: str) -> Node:
        return Node(listen=["/memory/0"], config=Config(transports=("memory",), memory_network=network.host(name)))

    async with node("alice") as alice, node("bob") as bob:
        await alice.dial(bob.addresses)
        yield alice, bob

"""Two nodes without DHT, to try the streams of the DHT between."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from cortexnet import Config, Limits, Node, Stream
from cortexnet.kad.config import KadConfig
from cortexnet.kad.service.peer_streams import PeerStreams
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions
from cortexnet.transport.scope import Scope

PROTOCOL = "/test/kad/1.0.0"


@dataclass
class Pair:
    """Alice serves, bob asks her by `streams`; a link between them takes 10 ms."""

    alice: Node
    bob: Node
    streams: PeerStreams
    network: SimulatedNetwork


@asynccontextmanager
async def pair(
    serve: Callable[[Stream], Awaitable[None]] | None, config: KadConfig | None = None, limits: Limits | None = None
) -> AsyncIterator[Pair]:
    """Both nodes, connected; nothing is left of them."""
    network = SimulatedNetwork(conditions=LinkConditions(latency=0.01))

    def settings(name: str) -> Config:
        plain = Config(transports=["memory"], memory_network=network.host(name), limits=limits or Limits())
        return replace(plain, kad=None)

    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(Node(listen=["/memory/0"], config=settings("alice")))
        bob = await stack.enter_async_context(Node(config=settings("bob")))
        if serve is not None:
            alice.handle(PROTOCOL, serve)
        await bob.dial(alice.addresses)
        streams = PeerStreams(bob._run.host, PROTOCOL, config=config or KadConfig(), scope=Scope())
        bob.watch(disconnected=streams.disconnected)
        try:
            yield Pair(alice, bob, streams, network)
        finally:
            await streams.close()
    assert [count for count in (*alice.counters.values(), *bob.counters.values()) if count] == []

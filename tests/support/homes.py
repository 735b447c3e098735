"""Swarms on a network in memory, with what a node puts around them, and a transport that plays the relay."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from cortexnet.admission.limits import Limits
from cortexnet.admission.resources import Reservation, Resources
from cortexnet.errors import CortexError
from cortexnet.host.host import Protocols
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.security.noise import NoiseChannel, NoiseKeys
from cortexnet.swarm.peerstore import Peerstore
from cortexnet.swarm.swarm import Swarm
from cortexnet.transport.connection import Connection, Endpoints
from cortexnet.transport.in_memory import InMemoryListener, InMemoryTransport
from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_wire import LinkConditions
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream
from cortexnet.transport.tcp import TcpTransport
from cortexnet.transport.transport import Accept, Listener
from cortexnet.transport.upgrade import Outcome, Upgrade, UpgradeConfig, Upgrader, dial_over
from tests.support.pairs import settle

RELAY = PeerId(bytes([0x12, 32]) + b"r" * 32)
CIRCUIT = Multiaddr.parse(f"/p2p/{RELAY}/p2p-circuit")


class RelayedTransport:
    """`/memory/N/p2p/…/p2p-circuit`: a link in memory that says it leads through a relay. Both ends need it."""

    name = "relayed"

    def __init__(self, upgrader: Upgrader, network: MemoryNetwork) -> None:
        self._upgrader = upgrader
        self._network = network

    def can_dial(self, address: Multiaddr) -> bool:
        return address.matches("/memory/p2p/p2p-circuit")

    can_listen = can_dial

    async def dial(self, address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Connection:
        async def create(factory: Callable[[], Upgrade]) -> None:
            await self._network.connect(int(address.value_of("memory") or 0), factory)

        return await dial_over(create, self._upgrader, functools.partial(relayed, address, "outbound"), reservation, expected)

    async def listen(self, address: Multiaddr, accept: Accept) -> Listener:
        def finished(outcome: Outcome) -> None:
            if isinstance(outcome, Connection):
                accept(outcome)

        def upgrade() -> Upgrade:
            return Upgrade(self._upgrader, functools.partial(relayed, CIRCUIT, "inbound"), finished)

        return InMemoryListener(await self._network.listen(int(address.value_of("memory") or 0), upgrade))


def relayed(remote: Multiaddr, direction: str, _: asyncio.Transport) -> Endpoints:
    """The two ends of a connection through the relay."""
    return Endpoints(local=CIRCUIT, remote=remote, direction=direction, transport="relayed")


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def hang(stream: Stream) -> None:
    await asyncio.Event().wait()


class Home:
    """A swarm, and what a node puts around it."""

    def __init__(self, network: MemoryNetwork, limits: Limits | None = None, identity: Identity | None = None) -> None:
        limits = limits or Limits()
        self.identity = identity or Identity.generate()
        self.peer_id = self.identity.peer_id
        self.resources = Resources(limits)
        self.peerstore = Peerstore(limits)
        self.protocols = Protocols()
        self.protocols.handle("/echo", echo)
        self.protocols.handle("/hang", hang)
        self.scope = Scope()
        self.log: list[str] = []
        self.names: dict[Multiaddr, list[Multiaddr] | CortexError] = {}
        channel = NoiseChannel(NoiseKeys.create(self.identity.private_key, ["/yamux/1.0.0"]))
        upgrader = Upgrader([channel], self.resources, UpgradeConfig())
        self.upgrader = upgrader
        self.swarm = Swarm(
            self.peer_id,
            upgrader=upgrader,
            transports=[InMemoryTransport(upgrader, network), RelayedTransport(upgrader, network), TcpTransport(upgrader)],
            resources=self.resources,
            peerstore=self.peerstore,
            resolve=self.resolve,
            acceptor=self.protocols,
            scope=self.scope,
        )
        self.swarm.on_connected.append(lambda connection: self.log.append("connected"))
        self.swarm.on_disconnected.append(lambda connection: self.log.append("disconnected"))

    async def resolve(
        self, addresses: Iterable[Multiaddr], expected: PeerId | None
    ) -> dict[Multiaddr, list[Multiaddr] | CortexError]:
        return {address: self.names[address] for address in addresses}

    async def listen(self, place: str = "/memory/0") -> Multiaddr:
        return await self.swarm.listen(Multiaddr.parse(place))

    async def listen_through_relay(self, number: int) -> Multiaddr:
        """Where it can be reached through the relay."""
        address = Multiaddr.parse(f"/memory/{number}").encapsulate(CIRCUIT)
        await self.swarm.listen(address)
        return address

    @property
    def held(self) -> dict[str, int]:
        return {name: count for name, count in self.resources.snapshot().items() if count}

    async def close(self) -> None:
        await self.swarm.close()
        await self.scope.close()


@asynccontextmanager
async def homes(count: int, limits: Limits | None = None, *, latency: float = 0.0) -> AsyncIterator[tuple[Home, ...]]:
    """Swarms on one memory network; at the end nothing may be left of any."""
    network = MemoryNetwork(conditions=LinkConditions(latency=latency))
    made = tuple(Home(network, limits) for _ in range(count))
    yield made
    for home in made:
        await home.close()
        assert home.held == {}
        assert (home.swarm.connections, home.swarm._dials, home.swarm._unclaimed, len(home.swarm._pruner)) == ([], {}, {}, 0)
        assert len(home.scope) == 0
        assert home.log.count("connected") == home.log.count("disconnected")
    await settle()
    assert network.links == ()

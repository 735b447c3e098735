"""The network goes away and comes back: what dies is noticed soon, what lives is left alone, and who must stay is found again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from cortexnet import Config, Connection, ConnectionClosed, DialFailed, Multiaddr, Node, Stream
from cortexnet.swarm.manager_events import ManagerEvent, NetworkChanged
from cortexnet.testing.network import SimulatedNetwork
from cortexnet.transport.memory_wire import LinkConditions
from cortexnet.transport.network_watch import NetworkWatch

HOME, CAFE = "192.0.2.7", "198.51.100.9"
ECHO = "/test/echo/1.0.0"


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


def now() -> float:
    return asyncio.get_running_loop().time()


def node(network: SimulatedNetwork, name: str, *, listen: tuple[str, ...] = ("/memory/0",)) -> Node:
    made = Node(listen=listen, config=Config(transports=["memory"], memory_network=network.host(name)))
    made.handle(ECHO, echo)
    return made


def at(connection: Connection, ip: str) -> None:
    """Let a connection run from this address of ours."""
    connection.endpoints = replace(connection.endpoints, local=Multiaddr.parse(f"/ip4/{ip}/tcp/4001"))


class Laptop:
    """A node on a machine that a test carries around; its network is looked at each five seconds."""

    def __init__(self, network: SimulatedNetwork, made: Node) -> None:
        self.network = network
        self.node = made
        self.ips = frozenset({HOME})
        self.ahead = 0.0
        self.events: list[ManagerEvent] = []
        self.ended: list[tuple[float, Connection]] = []
        made.manager.observers.append(self.events.append)
        made.watch(disconnected=lambda connection: self.ended.append((now(), connection)))

    def wall(self) -> float:
        return now() + self.ahead


@asynccontextmanager
async def laptop(latency: float = 0.05) -> AsyncIterator[Laptop]:
    network = SimulatedNetwork(conditions=LinkConditions(latency=latency))
    async with node(network, "laptop") as made:
        carried = Laptop(network, made)
        assert made._running is not None
        watch = NetworkWatch(made._running._network_changed, interval=5.0, addresses=lambda: carried.ips, wall=carried.wall)
        task = asyncio.create_task(watch.run())
        await asyncio.sleep(5.1)
        yield carried
        task.cancel()
    assert not any(made.counters.values())


async def test_connections_from_an_address_that_is_gone_end_and_others_do_not() -> None:
    async with laptop() as carried, node(carried.network, "bob") as bob, node(carried.network, "carol") as carol:
        await carried.node.dial(bob.addresses)
        await carried.node.dial(carol.addresses)
        one, other = carried.node.connections
        at(one, HOME)
        at(other, "127.0.0.1")
        carried.ips = frozenset({CAFE})
        await asyncio.sleep(20)
        assert carried.node.connections == [other]
        assert isinstance(one.error, ConnectionClosed)
        assert one.error.by == "network"
        assert str(one.error) == f"its local address {HOME} is gone"
        assert carried.events == [NetworkChanged(gone=frozenset({HOME}), new=frozenset({CAFE}))]


async def test_after_a_sleep_a_dead_connection_ends_within_seconds_and_a_living_one_stays() -> None:
    async with laptop() as carried, node(carried.network, "bob") as bob, node(carried.network, "carol") as carol:
        await carried.node.dial(bob.addresses)
        await carried.node.dial(carol.addresses)
        await asyncio.sleep(3)
        carried.network.silence("laptop", "bob")
        carried.ahead += 3600
        await asyncio.sleep(0.1)
        woken = now()
        await asyncio.sleep(12)
        assert carried.node.peers == [carol.peer_id]
        [(ended, connection)] = carried.ended
        assert ended - woken <= 10 + 1, "5 s until the next look, 5 s for the probe"
        assert str(connection.error) == "not a byte after the network had changed"
        await asyncio.sleep(100)
        assert carried.node.peers == [carol.peer_id]
        carried.network.heal()


async def test_a_bulk_transfer_over_a_living_connection_survives_the_doubt() -> None:
    async with laptop() as carried, node(carried.network, "bob") as bob:
        peer = await carried.node.dial(bob.addresses)
        async with carried.node.stream(peer, ECHO) as stream:
            for _ in range(3):
                carried.node.manager.network_changed()
                await stream.write(bytes(100_000))
                assert len(await stream.read_exactly(100_000)) == 100_000
        assert carried.ended == []


async def test_kept_peers_are_found_again_as_soon_as_the_network_is_back() -> None:
    async with laptop() as carried, node(carried.network, "bob") as bob:
        carried.node.manager.keep(bob.peer_id, bob.addresses)
        await asyncio.sleep(3)
        at(carried.node.connections[0], HOME)
        carried.network.partition(["laptop"])
        carried.ips = frozenset()
        await asyncio.sleep(600)
        assert carried.node.peers == []
        carried.network.heal()
        carried.ips = frozenset({CAFE})
        await asyncio.sleep(6)
        assert carried.node.peers == [bob.peer_id]


async def test_who_could_not_be_dialed_before_can_be_right_after() -> None:
    async with laptop() as carried:
        async with node(carried.network, "bob", listen=("/memory/40",)) as bob:
            peer, addresses = bob.peer_id, bob.addresses
        with pytest.raises(DialFailed, match="refused"):
            await carried.node.dial(addresses)
        with pytest.raises(DialFailed, match="left alone"):
            await carried.node.dial(peer)
        carried.node.manager.network_changed(NetworkChanged(new=frozenset({CAFE})))
        with pytest.raises(DialFailed, match="refused"):
            await carried.node.dial(peer)


async def test_peers_are_told_of_new_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with laptop() as carried, node(carried.network, "bob") as bob:
        peer = await bob.dial(carried.node.addresses)
        await asyncio.sleep(1)
        before = (await bob.identify(peer)).addresses
        new = [Multiaddr.parse(f"/ip4/{CAFE}/tcp/4001")]
        monkeypatch.setattr("cortexnet.running.specific_addresses", lambda addresses: new)
        carried.ips = frozenset({HOME, CAFE})
        await asyncio.sleep(6)
        after = (await bob.identify(peer)).addresses
        assert list(before) != new
        assert list(after) == new

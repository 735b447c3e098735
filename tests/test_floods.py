"""Floods from some addresses, with limits by address in force: an honest peer at another address keeps its dials.

Real sockets; all of 127.0.0.0/8 is loopback on Linux, and `limit_loopback` makes each of its addresses one that counts.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from cortexnet import Config, Limits, Multiaddr, Node, Stream
from cortexnet.multiformats import varint
from cortexnet.multistream import propose
from tests.support.pairs import settle
from tests.support.raw_peer import RawPeer, credit, data, opened
from tests.transport.recorder import Recorder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address only")

ECHO = "/test/echo"
ATTACKERS = [f"127.0.0.{number}" for number in range(2, 10)]
DIALS = 10  # of the honest peer, within what its address may do at once
_HELLO = propose("/noise")


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


class Flood:
    """A node, an honest peer at 127.0.0.1, and sockets from everywhere else."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.port = int(node.addresses[0].value_of("tcp") or 0)
        self.sockets: list[Recorder] = []
        self.peers: list[RawPeer] = []

    async def knock(self, address: str) -> Recorder:
        """A socket of an attacker's that says nothing of its own."""
        stranger = Recorder(keep_open=False)
        await self._connect(lambda: stranger, address)
        self.sockets.append(stranger)
        return stranger

    async def enter(self, address: str) -> RawPeer:
        """An attacker that has done its handshake."""
        peer = RawPeer()
        await self._connect(lambda: peer, address)
        self.peers.append(peer)
        await peer.until(lambda: peer.is_ready or peer.is_lost)
        return peer

    async def _connect(self, factory: Callable[[], asyncio.BaseProtocol], address: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(factory, "127.0.0.1", self.port, local_addr=(address, 0))

    async def honest_dials(self) -> None:
        """One after the other, each with a round trip over it. Raises what a dial raises."""
        async with Node() as honest:
            for _ in range(DIALS):
                peer = await honest.dial(self.node.addresses)
                async with honest.stream(peer, ECHO) as stream:
                    await stream.write(b"hello")
                    assert await stream.read_exactly(5) == b"hello"
                await honest.disconnect(peer)

    async def leave(self) -> None:
        for stranger in self.sockets:
            stranger.transport.abort() if not stranger.transport.is_closing() else None
            await stranger.until("lost")
        for peer in self.peers:
            if not peer.is_lost:
                peer.io.abort()
            await peer.lost()


@asynccontextmanager
async def flood(**limits: int) -> AsyncIterator[Flood]:
    """At the end nothing may be left of anybody."""
    node = Node(listen=["/ip4/127.0.0.1/tcp/0"], config=Config(limits=Limits(limit_loopback=True, **limits)))
    node.handle(ECHO, echo)
    async with asyncio.timeout(60), node:  # a guard against hanging, no test waits for it
        besieged = Flood(node)
        yield besieged
        await besieged.leave()
        while node.counters["connections"] or node.counters["unauthenticated"]:
            await settle(1)
        assert node.counters["memory"] == node.counters["peers"] == 0
    assert not any(node.counters.values())


async def silent(besieged: Flood) -> None:
    for _ in range(25):
        for address in ATTACKERS:
            await besieged.knock(address)


async def slow_handshakes(besieged: Flood) -> None:
    for turn in range(len(_HELLO)):
        for address in ATTACKERS:
            stranger = await besieged.knock(address)
            stranger.transport.write(_HELLO[:turn])
        for stranger in besieged.sockets:
            if not stranger.transport.is_closing():
                stranger.transport.write(_HELLO[turn : turn + 1])


async def oversized_prefixes(besieged: Flood) -> None:
    promises = [varint.encode(1 << 40), varint.encode(1025), _HELLO + b"\xff\xff", b"\xff" * 20]
    for promise in promises * 5:
        for address in ATTACKERS:
            stranger = await besieged.knock(address)
            stranger.transport.write(promise)


async def stream_opens(besieged: Flood) -> None:
    for address in ATTACKERS:
        attacker = await besieged.enter(address)
        for first in range(1, 4000, 200):
            attacker.send(*(opened(number) for number in range(first, first + 200, 2)))


async def stream_opens_with_data(besieged: Flood) -> None:
    for address in ATTACKERS:
        attacker = await besieged.enter(address)
        for first in range(1, 2000, 100):
            attacker.send(
                *(opened(number) + data(number, propose(ECHO) + bytes(1000)) for number in range(first, first + 100, 2))
            )


@pytest.mark.parametrize("attack", [silent, slow_handshakes, oversized_prefixes, stream_opens, stream_opens_with_data])
async def test_an_honest_peer_at_another_address_keeps_its_dials(attack: Callable[[Flood], Awaitable[None]]) -> None:
    async with flood() as besieged:
        attacking = asyncio.create_task(attack(besieged))
        await besieged.honest_dials()
        await attacking
        assert besieged.node.counters["unauthenticated"] <= Limits().unauthenticated


@pytest.mark.parametrize(
    "limits", [{"connections_per_ipv4": 3, "unauthenticated_per_address": 3}, {"connect_burst_per_address": 3}]
)
async def test_an_address_that_has_used_up_its_share_is_refused_and_its_neighbour_is_not(limits: dict[str, int]) -> None:
    async with flood(**limits) as besieged:
        held = [await besieged.enter("127.0.0.2") for _ in range(3)]
        assert not any(peer.is_lost for peer in held)
        refused = await besieged.enter("127.0.0.2")
        await refused.lost()
        neighbour = await besieged.enter("127.0.0.3")
        assert neighbour.is_ready


async def test_a_denied_network_is_refused_before_a_byte_and_its_neighbour_is_not() -> None:
    async with flood() as besieged:
        besieged.node.gater.deny("127.0.0.2/31")
        for address in ("127.0.0.2", "127.0.0.3"):
            refused = await besieged.knock(address)
            await refused.until("lost")
            assert refused.data == b""
        neighbour = await besieged.enter("127.0.0.4")
        assert neighbour.is_ready
        assert besieged.node.gater.refused["accept"] == 2
        assert besieged.node.gater.explain(Multiaddr.parse("/ip4/127.0.0.2/tcp/1")).rule is not None


async def test_peers_that_do_not_read_take_no_more_than_the_pool_and_leave_others_going() -> None:
    async with flood(outbox_memory=256 * 1024) as besieged:
        for address in ATTACKERS[:3]:
            attacker = await besieged.enter(address)
            attacker.io.pause_reading()
            for number in range(1, 129, 2):
                attacker.send(opened(number), data(number, propose(ECHO) + bytes(200_000)), credit(number, 1 << 24))
        await besieged.honest_dials()
        most = 256 * 1024 + 131_072 + 3 * 64 * 4096
        assert besieged.node.counters["outbox_memory"] <= most

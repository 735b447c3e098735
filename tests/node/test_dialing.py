"""Dials as an application meets them: each way to fail has an error of its own that says what to do, and two nodes that dial
each other at the same moment end up with one connection."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import pytest

from cortexnet import (
    Config,
    ConnectionCode,
    CortexError,
    DialFailed,
    ListenFailed,
    LocalError,
    Node,
    NotRunning,
    PeerId,
    Stream,
)
from cortexnet.errors import PeerIdMismatch
from cortexnet.observe.events import DialEnded
from cortexnet.swarm.pruner import GRACE
from cortexnet.testing.network import SimulatedNetwork, jitter
from cortexnet.transport.memory_wire import LinkConditions

ECHO = "/test/echo/1.0.0"
SOMEBODY = PeerId.parse("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


def node(network: SimulatedNetwork, name: str, *, listen: tuple[str, ...] = ("/memory/0",)) -> Node:
    made = Node(listen=listen, config=Config(transports=["memory"], memory_network=network.host(name)))
    made.handle(ECHO, echo)
    return made


# --- errors that say what to do


@pytest.fixture
async def alice() -> AsyncIterator[Node]:
    async with node(SimulatedNetwork(), "alice") as made:
        yield made


async def why(made: Node, target: object) -> CortexError:
    """What a dial raises."""
    with pytest.raises(CortexError) as caught:
        await made.dial(target)
    return caught.value


async def why_not(made: Node, target: object) -> BaseException:
    """Why the one attempt of a dial failed."""
    error = await why(made, target)
    assert isinstance(error, DialFailed)
    ((_, reason),) = error.attempts
    return reason


async def test_a_dial_of_our_own_id_says_that_it_is_ours(alice: Node) -> None:
    for target in (alice.peer_id, str(alice.peer_id), alice.addresses, f"/memory/77/p2p/{alice.peer_id}"):
        error = await why(alice, target)
        assert type(error) is LocalError
        assert "that is our own peer id: a node does not dial itself; to try things out, start a second one" in str(error)


async def test_a_dial_of_our_own_address_says_that_it_is_ours(alice: Node) -> None:
    (own,) = alice.listen_addresses()
    for target in (own, own.with_peer(bytes(SOMEBODY))):
        reason = await why_not(alice, target)
        assert type(reason) is LocalError
        assert "is an address of our own: a node does not dial itself" in str(reason)


async def test_an_address_that_leads_back_to_us_says_so() -> None:
    """As behind a router that forwards a port to this machine: only who answers shows it."""
    network = SimulatedNetwork()
    async with node(network, "alice") as alice:
        alice._running.swarm._dialer._own_addresses = set
        async with alice.events(DialEnded) as events:
            error = await why(alice, "/memory/1")
            assert type(error) is LocalError
            assert "/memory/1 is this node itself: dial an address of another one" in str(error)
            assert await anext(events) == DialEnded(None, str(error)), "it has led to nobody, as others that fail"
        await asyncio.sleep(1)
        assert alice.connections == []
        assert (alice.tally.dials, alice.tally.dials_failed) == (1, 1)


async def test_a_peer_without_addresses_is_to_be_found_first(alice: Node) -> None:
    error = await why(alice, SOMEBODY)
    assert isinstance(error, DialFailed)
    assert "no address is known: dial one, or find the peer first" in str(error)
    reason = await why_not(alice, f"/p2p/{SOMEBODY}/p2p/{SOMEBODY}")
    assert isinstance(reason, LocalError)


async def test_before_its_start_a_node_says_how_to_use_it_and_after_its_end_that_it_is_over() -> None:
    made = node(SimulatedNetwork(), "alice")
    error = await why(made, "/memory/1")
    assert type(error) is NotRunning
    assert "use it inside `async with node`" in str(error)
    async with made:
        swarm = made._running.swarm
    error = await why(made, "/memory/1")
    assert type(error) is NotRunning
    assert "the node is closed; a node is started once: make a new one" in str(error)
    with pytest.raises(NotRunning, match="make a new one"):
        await swarm.dial(SOMEBODY)


async def test_a_transport_that_is_not_enabled_is_named_with_the_setting(alice: Node) -> None:
    for target in ("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/udp/4001/quic-v1", "/unix/%2Ftmp%2Fsocket"):
        reason = await why_not(alice, target)
        assert type(reason) is LocalError
        assert "is not for any transport that is enabled: see Config.transports, or use another address" in str(reason)
    with pytest.raises(LocalError, match=r"no enabled transport can listen on .*: see Config\.transports"):
        async with node(SimulatedNetwork(), "bob", listen=("/ip4/127.0.0.1/tcp/0",)):
            pass


async def test_who_is_somebody_else_is_named(alice: Node) -> None:
    network = alice.config.memory_network
    bob = Node(listen=["/memory/0"], config=Config(transports=["memory"], memory_network=network))
    async with bob:
        reason = await why_not(alice, bob.listen_addresses()[0].with_peer(bytes(SOMEBODY)))
        assert isinstance(reason, PeerIdMismatch)
        assert (
            str(reason) == f"expected peer {SOMEBODY}, but {bob.peer_id} answered: if that is whom you mean, dial it by that id"
        )
        assert await alice.dial(bob.addresses) == bob.peer_id


# --- errors of listening


async def test_a_port_that_is_in_use_is_named_and_nothing_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        made = Node(listen=["/ip4/127.0.0.1/tcp/0", address])
        with pytest.raises(ListenFailed) as caught:
            await made.__aenter__()
    assert isinstance(caught.value, OSError)
    assert (caught.value.address, caught.value.errno) == (address, errno.EADDRINUSE)
    assert str(caught.value).startswith(f"can't listen on {address}: address already in use; another program has that port")
    assert not any(made.counters.values())


async def test_an_address_the_machine_does_not_have_is_named() -> None:
    made = Node(listen=["/ip4/192.0.2.1/tcp/0"])
    with pytest.raises(ListenFailed, match="this machine has no such address") as caught:
        await made.__aenter__()
    assert (caught.value.address, caught.value.errno) == ("/ip4/192.0.2.1/tcp/0", errno.EADDRNOTAVAIL)
    assert not any(made.counters.values())


# --- at the same moment


@pytest.mark.parametrize("seed", range(20))
async def test_nodes_that_dial_each_other_at_the_same_moment_end_with_one_connection(seed: int) -> None:
    """With identify running, with streams open on both, over links on which nothing comes when it is expected."""
    network = SimulatedNetwork(seed, LinkConditions(latency=jitter(0.01, 0.3)))
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        nodes = (alice, bob)
        at = [made.addresses for made in nodes]
        await asyncio.gather(alice.dial(at[1]), bob.dial(at[0]))
        streams = [await made.stream(other.peer_id, ECHO) for made, other in (nodes, nodes[::-1])]
        streams += [await connection.open_stream([ECHO]) for connection in (*alice.connections, *bob.connections)]
        await asyncio.sleep(3 * GRACE)
        for stream in streams:
            await stream.write(b"not lost")
            assert await stream.read_exactly(8) == b"not lost"
            await stream.close()
        await asyncio.sleep(3 * GRACE)
        (kept,), (same,) = alice.connections, bob.connections
        assert kept.direction == ("outbound" if bytes(alice.peer_id) < bytes(bob.peer_id) else "inbound")
        assert kept.direction != same.direction
        for made, other in (nodes, nodes[::-1]):
            assert (await made.identify(other.peer_id)).protocols
            async with made.stream(other.peer_id, ECHO) as stream:
                await stream.write(b"still there")
                assert await stream.read_exactly(11) == b"still there"


async def test_nobody_notices_the_collapse_but_who_watches_connections() -> None:
    """Requests without a pause, from both sides, over it all."""
    network = SimulatedNetwork(1, LinkConditions(latency=0.05))
    async with node(network, "alice") as alice, node(network, "bob") as bob:
        ended: list[int] = []
        alice.watch(disconnected=lambda connection: ended.append(code_of(connection.error)))
        await asyncio.gather(alice.dial(bob.addresses), bob.dial(alice.addresses))
        deadline = asyncio.get_running_loop().time() + 5 * GRACE

        async def talk(made: Node, other: Node) -> None:
            while asyncio.get_running_loop().time() < deadline:
                async with made.stream(other.peer_id, ECHO) as stream:
                    await stream.write(b"hello")
                    assert await stream.read_exactly(5) == b"hello"

        await asyncio.gather(talk(alice, bob), talk(bob, alice))
        assert ended == [ConnectionCode.GARBAGE_COLLECTED]
        assert len(alice.connections) == len(bob.connections) == 1


def code_of(error: CortexError | None) -> int:
    return error.code


async def test_an_address_without_a_peer_id_that_is_connected_already_is_not_dialed_again() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice") as alice, node(network, "bob", listen=[]) as bob:
        (address,) = alice.listen_addresses()
        for _ in range(10):
            assert await bob.dial(address) == alice.peer_id
        assert len(bob.connections) == 1
        await bob.disconnect(alice.peer_id)
        assert await bob.dial(address) == alice.peer_id
        assert bob.tally.connections_outbound == 2

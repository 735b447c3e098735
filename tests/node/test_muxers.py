"""Which muxer two nodes agree on: yamux wherever both can, mplex where it was asked for and nothing else will do."""

from collections.abc import Sequence

import pytest

from cortexnet import Config, DialFailed, Node, Stream
from cortexnet.testing.network import SimulatedNetwork

ECHO = "/test/echo/1.0.0"
YAMUX, MPLEX = "/yamux/1.0.0", "/mplex/6.7.0"


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


def node(network: SimulatedNetwork, name: str, muxers: Sequence[str], *, security: str = "noise") -> Node:
    config = Config(transports=["memory"], memory_network=network.host(name), muxers=muxers, security=[security])
    made = Node(listen=["/memory/0"], config=config)
    made.handle(ECHO, echo)
    return made


@pytest.mark.parametrize("security", ["noise", "tls"])
@pytest.mark.parametrize(
    ("dialer", "listener", "agreed"),
    [
        ([YAMUX, MPLEX], [YAMUX, MPLEX], YAMUX),
        ([YAMUX, MPLEX], [YAMUX], YAMUX),
        ([YAMUX], [MPLEX, YAMUX], YAMUX),
        ([YAMUX, MPLEX], [MPLEX, YAMUX], YAMUX),
        ([YAMUX, MPLEX], [MPLEX], MPLEX),
        ([MPLEX], [YAMUX, MPLEX], MPLEX),
        ([MPLEX], [MPLEX], MPLEX),
    ],
)
async def test_two_nodes_take_the_first_muxer_of_the_dialer_that_the_listener_speaks(
    dialer: list[str], listener: list[str], agreed: str, security: str
) -> None:
    network = SimulatedNetwork()
    async with (
        node(network, "alice", dialer, security=security) as alice,
        node(network, "bob", listener, security=security) as bob,
    ):
        peer = await alice.dial(bob.addresses)
        assert [connection.muxer for connection in alice.connections] == [agreed]
        assert [connection.muxer for connection in bob.connections] == [agreed]
        async with alice.stream(peer, ECHO) as stream:
            await stream.write(b"hello")
            await stream.close_write()
            assert await stream.read_all(limit=100) == b"hello"
        assert await alice.ping(peer) >= 0
        assert (await bob.identify(alice.peer_id)).agent_version.startswith("cortexnet/")
    assert not any(alice.counters.values())
    assert not any(bob.counters.values())


async def test_two_nodes_without_a_muxer_in_common_do_not_connect() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", [YAMUX]) as alice, node(network, "bob", [MPLEX]) as bob:
        with pytest.raises(DialFailed):
            await alice.dial(bob.addresses)
        assert not alice.connections
        assert not bob.connections

"""Nodes with one secure channel or several, and what passes between them."""

import asyncio
from collections.abc import Sequence

import pytest

from cortexnet import Config, DialFailed, NegotiationFailed, Node, Stream
from cortexnet.testing.network import SimulatedNetwork

ECHO = "/test/echo/1.0.0"


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


def node(network: SimulatedNetwork, name: str, security: Sequence[str] | None, *, early_muxer: bool = True) -> Node:
    settings = {} if security is None else {"security": security}
    made = Node(
        listen=["/memory/0"],
        config=Config(transports=["memory"], memory_network=network.host(name), early_muxer=early_muxer, kad=None, **settings),
    )
    made.handle(ECHO, echo)
    return made


@pytest.mark.parametrize("early_muxer", [True, False])
@pytest.mark.parametrize(
    ("dialer", "listener", "taken"),
    [
        (["tls"], ["tls"], "/tls/1.0.0"),
        (["tls"], None, "/tls/1.0.0"),
        (None, ["tls"], "/tls/1.0.0"),
        (["tls", "noise"], None, "/tls/1.0.0"),
        (["noise"], None, "/noise"),
        (None, ["noise"], "/noise"),
        (None, None, "/noise"),
    ],
)
async def test_nodes_take_the_first_channel_of_the_dialers_that_both_have(
    dialer: Sequence[str] | None, listener: Sequence[str] | None, taken: str, early_muxer: bool
) -> None:
    network = SimulatedNetwork()
    data = bytes(range(256)) * 800
    async with node(network, "alice", listener) as alice, node(network, "bob", dialer, early_muxer=early_muxer) as bob:
        peer = await bob.dial(alice.addresses)
        assert [connection.security for connection in bob.connections] == [taken]
        for here, there in ((bob, peer), (alice, bob.peer_id)):
            async with here.stream(there, ECHO) as stream:
                await stream.write(data)
                await stream.close_write()
                assert await stream.read_all(limit=len(data)) == data


@pytest.mark.parametrize(("dialer", "listener"), [(["noise"], ["tls"]), (["tls"], ["noise"])])
async def test_nodes_without_a_channel_in_common_say_so(dialer: Sequence[str], listener: Sequence[str]) -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", listener) as alice, node(network, "bob", dialer) as bob:
        with pytest.raises(DialFailed) as caught:
            await bob.dial(alice.addresses)
        ((_, error),) = caught.value.attempts
        assert isinstance(error, NegotiationFailed)
    assert [count for count in (*alice.counters.values(), *bob.counters.values()) if count] == []


async def test_a_tls_connection_that_one_side_ends_ends_for_the_other() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", ["tls"]) as alice, node(network, "bob", ["tls"]) as bob:
        await bob.dial(alice.addresses)
        assert len(alice.connections) == 1
        await bob.disconnect(alice.peer_id)
        await asyncio.sleep(3)  # of virtual time
        assert alice.connections == bob.connections == []

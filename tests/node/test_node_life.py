"""Where nodes live: in fixtures, in web applications, in tasks that begin and end elsewhere; and how they end."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from cortexnet import Config, DialFailed, KadConfig, NegotiationFailed, Node, NotRunning, Stream
from cortexnet.testing.network import SimulatedNetwork
from tests.support.pairs import settle

ECHO = "/test/echo/1.0.0"


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


def node(network: SimulatedNetwork, name: str, *, listen: tuple[str, ...] = ("/memory/0",)) -> Node:
    made = Node(listen=listen, config=Config(transports=["memory"], memory_network=network.host(name), kad=None))
    made.handle(ECHO, echo)
    return made


def now() -> float:
    return asyncio.get_running_loop().time()


# --- never ended


def test_a_node_that_is_never_left_ends_with_its_loop_and_begins_nothing_then(caplog: pytest.LogCaptureFixture) -> None:
    async def forget() -> None:
        network = SimulatedNetwork()
        config = Config(transports=["memory"], memory_network=network.host("alice"), kad=KadConfig(mode="server"))
        alice, bob = Node(listen=["/memory/0"], config=config), node(network, "bob")
        await alice.__aenter__()
        await bob.__aenter__()
        await bob.dial(alice.addresses)
        assert "/ipfs/kad/1.0.0" in alice.protocols

    asyncio.run(forget())
    gc.collect()
    assert caplog.text == ""


# --- begun and ended in different tasks


@pytest.fixture
def network() -> SimulatedNetwork:
    return SimulatedNetwork()


@pytest_asyncio.fixture
async def alice(network: SimulatedNetwork) -> AsyncIterator[Node]:
    async with node(network, "alice") as made:
        yield made
    assert not any(made.counters.values())


@pytest_asyncio.fixture
async def bob(network: SimulatedNetwork) -> AsyncIterator[Node]:
    async with node(network, "bob") as made:
        yield made
    assert not any(made.counters.values())


async def test_a_node_can_be_a_fixture(alice: Node, bob: Node) -> None:
    peer = await alice.dial(bob.addresses)
    async with alice.stream(peer, ECHO) as stream:
        await stream.write(b"hello")
        assert await stream.read_exactly(5) == b"hello"
    await alice.stream(peer, ECHO)  # left open: the fixture closes it


async def test_a_node_can_live_as_long_as_a_web_application(network: SimulatedNetwork, bob: Node) -> None:
    fastapi, httpx = pytest.importorskip("fastapi"), pytest.importorskip("httpx")
    nodes: list[Node] = []

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        async with node(network, "web") as made:
            await made.dial(bob.addresses)
            nodes.append(made)
            yield

    app = fastapi.FastAPI(lifespan=lifespan)

    @app.get("/echo/{text}")
    async def ask(text: str) -> dict[str, str]:
        async with nodes[0].stream(bob.peer_id, ECHO) as stream:
            await stream.write(text.encode())
            await stream.close_write()
            return {"answer": (await stream.read_all(limit=100)).decode()}

    context = app.router.lifespan_context(app)
    await asyncio.create_task(context.__aenter__())
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        responses = await asyncio.gather(*(client.get(f"/echo/{number}") for number in range(5)))
    assert [response.json() for response in responses] == [{"answer": str(number)} for number in range(5)]
    await asyncio.create_task(context.__aexit__(None, None, None))
    assert not any(nodes[0].counters.values())


async def test_a_task_group_of_the_application_does_not_disturb_a_node(alice: Node, bob: Node) -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError("of the application")

    async def use() -> None:
        async with alice.stream(bob.peer_id, ECHO) as stream:
            await stream.read()

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(use())

    await alice.dial(bob.addresses)
    with pytest.raises(ExceptionGroup):
        await both()
    await settle()
    assert alice.peers == [bob.peer_id]
    assert alice.connections[0].stream_count <= 1, "the one of ping or identify at most"


# --- outside of its life


async def test_before_the_start_and_after_the_end_nothing_runs(network: SimulatedNetwork, bob: Node) -> None:
    made = node(network, "carol")
    for _ in range(2):
        calls = [
            made.dial(bob.addresses),
            made.dial(bob.peer_id),
            made.disconnect(bob.peer_id),
            made.ping(bob.peer_id),
            made.identify(bob.peer_id),
            made.request(bob.peer_id, ECHO, b""),
            made.perf(bob.peer_id),
            made.ready(),
        ]
        for call in calls:
            with pytest.raises(NotRunning):
                await call
        with pytest.raises(NotRunning):
            made.stream(bob.peer_id, ECHO)
        for name in ("peers", "connections", "addresses"):
            with pytest.raises(NotRunning):
                type(made).__dict__[name].fget(made)
        if made._ended is None:
            async with made:
                pass


# --- dials


async def test_a_dial_goes_on_to_the_next_address_while_the_first_hangs(network: SimulatedNetwork, alice: Node) -> None:
    async with node(network, "bob", listen=("/memory/0", "/memory/0")) as bob, node(network, "carol") as carol:
        network.silence("alice", "carol")
        addresses = [carol.listen_addresses()[0].with_peer(bytes(bob.peer_id)), bob.addresses[1]]
        begin = now()
        assert await alice.dial(addresses) == bob.peer_id
        assert now() == begin, "addresses that have no rank start together"
        assert str(alice.connections[0].remote_address) == str(bob.listen_addresses()[1])
        network.heal()


async def test_a_peer_that_could_not_be_reached_is_left_alone_for_a_while(network: SimulatedNetwork, alice: Node) -> None:
    async with node(network, "bob") as bob:
        addresses, peer = bob.addresses, bob.peer_id
    with pytest.raises(DialFailed, match="refused"):
        await alice.dial(addresses)
    with pytest.raises(DialFailed, match="left alone"):
        await alice.dial(peer)
    await asyncio.sleep(6)
    with pytest.raises(DialFailed, match="refused"):
        await alice.dial(peer)


async def test_streams_are_opened_by_any_name_of_a_peer_and_for_any_of_several_protocols(alice: Node, bob: Node) -> None:
    await alice.dial(bob.addresses)
    for peer in (bob.peer_id, str(bob.peer_id)):
        for protocols in (ECHO, [ECHO], ["/test/none", ECHO]):
            async with alice.stream(peer, protocols) as stream:
                assert stream.protocol == ECHO
                await stream.write(b"x")
                assert await stream.read_exactly(1) == b"x"
    with pytest.raises(NegotiationFailed):
        await alice.stream(bob.peer_id, "/test/none", confirm=True)
    lazy = await alice.stream(bob.peer_id, "/test/none")
    await lazy.write(b"x")
    with pytest.raises(NegotiationFailed):
        await lazy.read()


async def test_a_stream_dials_a_peer_whose_address_is_known(alice: Node, bob: Node) -> None:
    await alice.dial(bob.addresses)
    await alice.disconnect(bob.peer_id)
    assert alice.peers == []
    stream = await alice.stream(bob.peer_id, ECHO)
    assert alice.peers == [bob.peer_id]
    await stream.close()


# --- the end


async def test_a_node_that_leaves_lets_its_peers_know_at_once(network: SimulatedNetwork, alice: Node) -> None:
    async with node(network, "bob") as bob:
        await bob.dial(alice.addresses)
    await settle()
    assert alice.peers == []


async def test_a_peer_that_is_not_there_any_more_costs_a_closing_node_two_seconds(network: SimulatedNetwork, alice: Node) -> None:
    bob = node(network, "bob")
    async with bob:
        await bob.dial(alice.addresses)
        await asyncio.sleep(1)
        network.silence("alice", "bob")
        begin = now()
    assert now() - begin == pytest.approx(2)
    assert not any(bob.counters.values())
    network.heal()


async def test_a_handler_that_does_not_want_to_end_is_waited_for(
    network: SimulatedNetwork, alice: Node, caplog: pytest.LogCaptureFixture
) -> None:
    steps: list[str] = []

    async def stubborn(stream: Stream) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(60)
            steps.append("ended")

    bob = node(network, "bob")
    bob.handle("/test/stubborn", stubborn)
    async with bob:
        await alice.dial(bob.addresses)
        await alice.stream(bob.peer_id, "/test/stubborn", confirm=True)
        begin = now()
        caplog.set_level(logging.WARNING)
    assert steps == ["ended"]
    assert now() - begin == pytest.approx(60)
    assert "did not close in time" in caplog.text
    assert not any(bob.counters.values())


async def test_an_error_in_the_block_passes_and_the_node_is_closed(network: SimulatedNetwork) -> None:
    made = node(network, "bob")

    async def fail() -> None:
        async with made:
            raise ValueError("of the application")

    with pytest.raises(ValueError, match="of the application"):
        await fail()
    assert not any(made.counters.values())
    await made.wait_closed()


async def test_an_error_in_the_block_comes_before_one_of_the_node(
    network: SimulatedNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    made = node(network, "bob")

    async def fail() -> None:
        async with made:
            made._scope.spawn(bug())
            await made.wait_closed()
            raise ValueError("of the application")

    async def bug() -> None:
        raise ZeroDivisionError("a bug of ours")

    with pytest.raises(ValueError, match="of the application"):
        await fail()
    assert "the node failed" in caplog.text


async def test_who_waits_for_the_end_may_stop_waiting(network: SimulatedNetwork) -> None:
    made = node(network, "bob")
    async with made:
        waiting = [asyncio.ensure_future(made.wait_closed()) for _ in range(2)]
        await settle()
        waiting[0].cancel()
        await settle()
    await waiting[1]
    assert waiting[0].cancelled()

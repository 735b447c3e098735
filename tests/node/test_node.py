"""The node as its users meet it: life, addresses, names, dials, requests, and what happens to those who misuse it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from operator import attrgetter
from typing import Any

import pytest

from cortexnet import (
    Config,
    Connection,
    DialFailed,
    Identity,
    Limits,
    LocalError,
    Message,
    Multiaddr,
    NegotiationFailed,
    Node,
    NotRunning,
    PeerId,
    PeerTimeout,
    Receipt,
    Refuse,
    Request,
    RequestFailed,
    Stream,
)
from cortexnet.testing.network import SimulatedNetwork

ECHO = "/test/echo/1.0.0"
SOMEBODY = PeerId.parse("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


def node(network: SimulatedNetwork, name: str, *, listen: Sequence[str] = ("/memory/0",), **options: Any) -> Node:
    config = Config(transports=["memory"], memory_network=network.host(name))
    return Node(listen=listen, **{"config": config, **options})


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Node, Node]]:
    """Alice, who listens, and bob, who is connected to her; nothing is left of either."""
    network = SimulatedNetwork()
    async with AsyncExitStack() as stack:
        alice = await stack.enter_async_context(node(network, "alice"))
        bob = await stack.enter_async_context(node(network, "bob", listen=[]))
        await bob.dial(alice.addresses)
        yield alice, bob
    assert [count for count in (*alice.counters.values(), *bob.counters.values()) if count] == []


# --- life


async def test_a_node_is_started_once_and_works_in_its_block() -> None:
    alice = node(SimulatedNetwork(), "alice")
    for use in (lambda: alice.addresses, lambda: alice.peers, lambda: alice.stream(SOMEBODY, ECHO)):
        with pytest.raises(NotRunning, match="async with"):
            use()
    async with alice:
        assert [str(address) for address in alice.addresses] == [f"/memory/1/p2p/{alice.peer_id}"]
        with pytest.raises(NotRunning, match="started once"):
            await alice.__aenter__()
        assert alice.peers == []
    await alice.wait_closed()
    with pytest.raises(NotRunning):
        await alice.dial(SOMEBODY)
    with pytest.raises(NotRunning, match="started once"):
        await alice.__aenter__()


async def test_an_address_that_is_in_use_stops_the_start_and_leaves_nothing() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice"):
        second = node(network, "bob", listen=["/memory/0", "/memory/1"])
        with pytest.raises(OSError, match="can't listen on /memory/1: address already in use"):
            await second.__aenter__()
        assert [count for count in second.counters.values() if count] == []


async def test_nobody_waits_for_the_end_of_what_was_not_started() -> None:
    with pytest.raises(NotRunning):
        await Node().wait_closed()


@pytest.mark.parametrize("turns", range(12))
async def test_wherever_a_start_is_cancelled_nothing_is_left(turns: int) -> None:
    alice = node(SimulatedNetwork(), "alice", bootstrap=["/memory/77"])
    starting = asyncio.create_task(alice.__aenter__())
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await alice.__aexit__(None, None, None)
    assert [count for count in alice.counters.values() if count] == []


# --- addresses


async def test_the_addresses_a_node_prints_are_good_to_listen_on_again() -> None:
    network, identity = SimulatedNetwork(), Identity.generate()
    async with node(network, "alice", identity=identity, listen=[f"/memory/9/p2p/{identity.peer_id}"]) as alice:
        assert [str(address) for address in alice.listen_addresses()] == ["/memory/9"]


@pytest.mark.parametrize("address", [f"/ip4/127.0.0.1/tcp/0/p2p/{SOMEBODY}", f"/p2p/{SOMEBODY}"])
def test_an_address_of_somebody_else_is_none_to_listen_on_or_to_announce(address: str) -> None:
    with pytest.raises(LocalError, match="is no address of this node"):
        Node(listen=[address])
    with pytest.raises(LocalError, match="is no address of this node"):
        Node(config=Config(announce=[address]))


def test_what_is_no_address_is_refused_before_the_start() -> None:
    with pytest.raises(LocalError, match=r"'localhost:80' is no address: write it like /ip4/192\.0\.2\.7/tcp/4001"):
        Node(listen=["localhost:80"])
    with pytest.raises(LocalError):
        Node(bootstrap=["localhost:80"])
    with pytest.raises(LocalError, match=r"'/ip4/300\.0\.2\.7/tcp/1': .*; write it like /ip4/192\.0\.2\.7/tcp/4001"):
        Node(bootstrap=["/ip4/300.0.2.7/tcp/1"])


async def test_what_is_announced_takes_the_place_of_what_is_listened_on() -> None:
    network, identity = SimulatedNetwork(), Identity.generate()
    announce = ["/ip4/11.0.0.1/tcp/4001", f"/dns4/example.org/tcp/4001/p2p/{identity.peer_id}"]
    config = Config(transports=["memory"], memory_network=network.host("alice"), announce=announce)
    async with node(network, "alice", identity=identity, config=config) as alice:
        addresses = [str(address) for address in alice.addresses]
        assert addresses == [f"{address.partition('/p2p/')[0]}/p2p/{alice.peer_id}" for address in announce]


async def test_the_system_is_asked_for_its_interfaces_once_in_a_while_however_often_peers_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To ask takes a millisecond on a small machine, and a peer may open thousands of identify streams a second."""
    asked: list[float] = []
    loop = asyncio.get_running_loop()

    def addresses(listening: list[Multiaddr]) -> list[Multiaddr]:
        asked.append(loop.time())
        return listening

    monkeypatch.setattr("cortexnet.running.specific_addresses", addresses)
    async with two() as (alice, bob):
        for _ in range(30):
            async with bob.stream(alice.peer_id, "/ipfs/id/1.0.0") as stream:
                assert await stream.read_message()
        assert len(asked) == 2, "each node once"
        await asyncio.sleep(60)
        assert len(alice.addresses) == 1
        assert len(asked) == 3


# --- dialing


async def test_a_peer_is_dialed_by_all_the_names_it_has() -> None:
    async with two() as (alice, bob):
        for target in (alice.peer_id, str(alice.peer_id), alice.addresses[0], str(alice.addresses[0]), alice.addresses):
            assert await bob.dial(target) == alice.peer_id
        assert len(bob.connections) == 1
        assert bob.peers == [alice.peer_id]
        await bob.disconnect(str(alice.peer_id))
        assert bob.peers == []


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ([], "name at least one address"),
        (["/memory/1", "/memory/2"], "could be of different peers"),
        ([f"/memory/1/p2p/{SOMEBODY}", "/memory/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"], "different peers"),
    ],
    ids=["none", "without ids", "two peers"],
)
async def test_a_dial_is_of_one_peer(target: list[str], says: str) -> None:
    async with node(SimulatedNetwork(), "alice") as alice:
        with pytest.raises(LocalError, match=says):
            await alice.dial(target)


async def test_what_can_not_be_dialed_is_refused_in_words() -> None:
    async with node(SimulatedNetwork(), "alice") as alice:
        with pytest.raises(LocalError, match=r"'127\.0\.0\.1:4001' is neither an address, .*, nor a whole peer id"):
            await alice.dial("127.0.0.1:4001")
        wrong: tuple[Any, ...] = (None, alice, 4001, (SOMEBODY, ["/memory/1"]))
        for target in wrong:
            with pytest.raises(LocalError, match=r"can be dialed, not a (NoneType|Node|int)|an address is a .* not a PeerId"):
                await alice.dial(target)


async def test_a_node_does_not_dial_itself() -> None:
    async with node(SimulatedNetwork(), "alice") as alice:
        with pytest.raises(LocalError, match="our own peer id"):
            await alice.dial(alice.addresses)
        with pytest.raises(DialFailed, match="an address of our own"):
            await alice.dial(alice.listen_addresses()[0])


async def test_who_is_not_there_is_a_failed_dial_that_names_each_address() -> None:
    async with node(SimulatedNetwork(), "alice") as alice:
        with pytest.raises(DialFailed, match="no address is known"):
            await alice.dial(SOMEBODY)
        with pytest.raises(DialFailed, match="/memory/5: connection refused"):
            await alice.dial([f"/memory/5/p2p/{SOMEBODY}", f"/memory/6/p2p/{SOMEBODY}"])


async def test_a_dead_bootstrap_peer_is_tried_again_and_holds_up_nobody() -> None:
    network, identity = SimulatedNetwork(), Identity.generate()
    place = f"/memory/40/p2p/{identity.peer_id}"
    async with node(network, "bob", listen=[], bootstrap=[place]) as bob:
        await bob.ready()
        assert bob.peers == []
        config = Config(transports=["memory"], memory_network=network.host("alice"))
        async with Node(identity, listen=[place], config=config):
            await asyncio.sleep(61)
            assert bob.peers == [identity.peer_id]


async def test_a_bootstrap_peer_that_is_named_twice_is_waited_for_once() -> None:
    async with node(SimulatedNetwork(), "alice", bootstrap=["/memory/40", "/memory/40"]) as alice:
        await asyncio.wait_for(alice.ready(), 10)


async def test_a_bug_on_the_way_to_a_bootstrap_peer_is_not_the_end_of_the_node(caplog: pytest.LogCaptureFixture) -> None:
    bugs = [ZeroDivisionError("a bug")]

    def observe(_: Connection) -> None:
        if bugs:
            raise bugs.pop()

    network = SimulatedNetwork()
    async with node(network, "alice") as alice:
        bob = node(network, "bob", listen=[], bootstrap=alice.addresses)
        bob._on_connected.append(observe)
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with bob:
            await bob.ready()
            assert bob.peers == []
            await asyncio.sleep(61)
            assert bob.peers == [alice.peer_id]
    assert "can't be used now: ZeroDivisionError('a bug')" in caplog.text


async def test_a_bug_that_a_peer_brings_out_when_it_identifies_itself_costs_its_connection(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bug(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    network = SimulatedNetwork()
    async with node(network, "alice") as alice, node(network, "bob", listen=[]) as bob:
        assert alice._running is not None
        monkeypatch.setattr(alice._running.identify, "identify", bug)
        await bob.dial(alice.addresses)
        await asyncio.sleep(1)
        assert (alice.peers, bob.peers) == ([], [])
        assert "failed: ZeroDivisionError('a bug')" in caplog.text
        monkeypatch.undo()
        await bob.dial(alice.addresses)
        assert alice.peers == [bob.peer_id]


# --- streams and requests


async def test_a_stream_is_closed_by_its_block_and_reset_by_an_exception() -> None:
    async with two() as (alice, bob):
        alice.handle(ECHO, echo)
        async with bob.stream(alice.peer_id, ECHO) as stream:
            await stream.write(b"hello")
            assert await stream.read_exactly(5) == b"hello"
        with pytest.raises(ZeroDivisionError):
            async with bob.stream(str(alice.peer_id), [ECHO]):
                raise ZeroDivisionError
        assert bob.counters["streams_outbound"] == 0
        kept = await bob.stream(alice.peer_id, ECHO)
        await kept.close()


async def test_a_request_is_answered_refused_or_given_up() -> None:
    async def answer(request: Request) -> bytes:
        if request.data == b"wait":
            await asyncio.sleep(100)
        if request.data == b"no":
            raise Refuse(77)
        return request.data.upper()

    async with two() as (alice, bob):
        alice.respond("/query", answer)
        assert await bob.request(alice.peer_id, "/query", b"hello", timeout=5) == b"HELLO"
        with pytest.raises(RequestFailed) as refused:
            await bob.request(alice.peer_id, "/query", b"no")
        assert refused.value.code == 77
        with pytest.raises(PeerTimeout, match=r"a request to 12D3KooW\w+ took longer than 0\.5 s"):
            await bob.request(alice.peer_id, "/query", b"wait", timeout=0.5)
        alice.unhandle("/query")
        with pytest.raises(NegotiationFailed):
            await bob.request(alice.peer_id, "/query", b"hello")


async def test_a_request_to_nobody_fails_as_the_dial_does() -> None:
    async with node(SimulatedNetwork(), "alice") as alice:
        with pytest.raises(DialFailed):
            await alice.request(SOMEBODY, "/query", b"", timeout=5)


async def test_identify_and_ping_work_between_nodes() -> None:
    async with two() as (alice, bob):
        alice.handle(ECHO, echo)
        told = await bob.identify(alice.peer_id)
        assert told.public_key == alice.identity.public_key
        await asyncio.sleep(1)
        assert ECHO in (await bob.identify(alice.peer_id)).protocols
        assert await bob.ping(alice.peer_id) >= 0


async def test_a_message_is_answered_by_a_receipt_that_can_be_shown_to_others() -> None:
    heard: list[bytes] = []

    async def hear(message: Message) -> bytes:
        heard.append(message.data)
        return b"thanks"

    async with two() as (alice, bob):
        alice.on_message(hear)
        receipt = await bob.send(alice.peer_id, b"hello", timeout=5)
        assert (heard, receipt.data, receipt.sender) == ([b"hello"], b"thanks", alice.peer_id)
        assert receipt.proof is not None
        assert Receipt.open_proof(receipt.proof).digest == receipt.digest
        outcomes = await bob.broadcast([alice.peer_id, str(SOMEBODY)], b"to all")
        assert isinstance(outcomes[alice.peer_id], Receipt)
        assert isinstance(outcomes[SOMEBODY], DialFailed)
        with pytest.raises(LocalError, match="has a handler already"):
            alice.on_message(hear)


async def test_a_node_measures_throughput_where_the_peer_allows_it() -> None:
    network = SimulatedNetwork()
    config = Config(transports=["memory"], memory_network=network.host("alice"), perf=True)
    async with node(network, "alice", config=config) as alice, node(network, "bob") as bob:
        await bob.dial(alice.addresses)
        result = await bob.perf(alice.peer_id, upload=100_000, download=50_000)
        assert (result.uploaded, result.downloaded) == (100_000, 50_000)
        with pytest.raises(NegotiationFailed):
            await alice.perf(bob.peer_id, download=1)


# --- who watches


async def test_watchers_see_connections_come_and_go() -> None:
    network, seen = SimulatedNetwork(), list[str]()
    alice, bob = node(network, "alice"), node(network, "bob", listen=[])
    alice.watch(connected=lambda connection: seen.append(f"+{connection.peer_id}"))
    alice.watch(disconnected=lambda connection: seen.append(f"-{connection.peer_id} {connection.error is not None}"))
    async with alice:
        async with bob:
            await bob.dial(alice.addresses)
        await asyncio.sleep(1)
    assert seen == [f"+{bob.peer_id}", f"-{bob.peer_id} True"]


async def test_an_observer_that_raises_costs_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def raises(_: Connection) -> None:
        raise ZeroDivisionError("a bug of the application")

    seen: list[str] = []
    network = SimulatedNetwork()
    async with node(network, "alice") as alice, node(network, "bob", listen=[]) as bob:
        for each in (alice, bob):
            each.watch(connected=raises, disconnected=raises)
            each.watch(connected=lambda _: seen.append("+"), disconnected=lambda _: seen.append("-"))
        await bob.dial(alice.addresses)
        assert await bob.ping(alice.peer_id) >= 0
        await bob.disconnect(alice.peer_id)
        await asyncio.sleep(1)
        for each in (alice, bob):
            assert each.connections == []
            assert {name: count for name, count in each.counters.items() if count} == {}
    assert sorted(seen) == ["+", "+", "-", "-"]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4
    assert "an observer of connections failed: ZeroDivisionError('a bug of the application')" in caplog.text


async def test_a_task_of_the_node_that_fails_ends_the_node() -> None:
    async def bug() -> None:
        raise ZeroDivisionError("a bug of ours")

    network = SimulatedNetwork()
    async with node(network, "alice") as alice:
        bob = node(network, "bob", listen=[])
        await bob.__aenter__()
        await bob.dial(alice.addresses)
        assert bob._scope is not None
        bob._scope.spawn(bug())
        await bob.wait_closed()
        with pytest.raises(NotRunning):
            await bob.dial(alice.peer_id)
        with pytest.raises(ZeroDivisionError):
            await bob.__aexit__(None, None, None)
        await asyncio.sleep(1)
        assert alice.peers == []


# --- limits


async def test_a_node_that_accepts_nobody_still_dials() -> None:
    network = SimulatedNetwork()
    limits = Limits(connections_inbound=0)
    config = Config(transports=["memory"], memory_network=network.host("alice"), limits=limits)
    async with node(network, "alice", config=config) as alice, node(network, "bob") as bob:
        with pytest.raises(DialFailed):
            await bob.dial(alice.addresses)
        assert await alice.dial(bob.addresses) == bob.peer_id


@pytest.mark.parametrize("name", ["listen", "bootstrap"])
def test_one_address_in_place_of_a_list_is_refused_in_words(name: str) -> None:
    with pytest.raises(LocalError, match=rf"{name} takes a list of addresses: {name}=\['/ip4/192\.0\.2\.1/tcp/1'\]"):
        Node(**{name: "/ip4/192.0.2.1/tcp/1"})


@pytest.mark.parametrize("name", ["listen", "bootstrap"])
def test_what_is_no_list_of_addresses_is_refused_in_words(name: str) -> None:
    for wrong in (None, 4001):
        with pytest.raises(LocalError, match=f"{name} takes a list of addresses, not a {type(wrong).__name__}"):
            Node(**{name: wrong})
    with pytest.raises(LocalError, match=r"an address is a Multiaddr or the text of one, .* not a tuple"):
        Node(**{name: [("127.0.0.1", 4001)]})


def test_what_is_no_identity_or_config_is_refused_where_the_node_is_made() -> None:
    wrong: tuple[Any, ...] = (["/ip4/127.0.0.1/tcp/0"], "identity.key", SOMEBODY)
    for identity in wrong:
        with pytest.raises(LocalError, match=f"its Identity, not a {type(identity).__name__}: .*addresses go to `listen`"):
            Node(identity)
    for config in ({"limits": {}}, Limits()):
        with pytest.raises(LocalError, match=f"a Config, such as .*, not a {type(config).__name__}"):
            Node(config=config)  # type: ignore[arg-type]


async def test_one_peer_in_place_of_a_list_is_refused_in_words() -> None:
    async with two() as (alice, bob):
        for one in (alice.peer_id, str(alice.peer_id)):
            for call in (bob.broadcast(one, b"hello"), bob.request_any(one, ECHO, b"hello")):  # type: ignore[arg-type]
                with pytest.raises(LocalError, match="a list of peers is wanted"):
                    await call


async def test_what_is_wrong_with_a_broadcast_is_not_the_outcome_of_each() -> None:
    node, somebody = Node(), [SOMEBODY]
    with pytest.raises(NotRunning):
        await node.broadcast(somebody, b"hello")
    async with node:
        for timeout in ("5", float("nan")):
            with pytest.raises(LocalError, match="a timeout is a number"):
                await node.broadcast(somebody, b"hello", timeout=timeout)  # type: ignore[arg-type]


def test_an_observer_is_a_function() -> None:
    for name in ("connected", "disconnected"):
        with pytest.raises(LocalError, match="an observer is a function, not a int"):
            Node().watch(**{name: 5})  # type: ignore[arg-type]


async def test_a_text_in_place_of_bytes_is_refused_in_words() -> None:
    async with two() as (alice, bob):
        text: Any = "hello"
        peer = alice.peer_id
        for call in (
            bob.request(peer, ECHO, text),
            bob.request_any([peer], ECHO, text),
            bob.send(peer, text),
            bob.broadcast([peer], text),
        ):
            with pytest.raises(LocalError, match="is bytes, not str: encode the text"):
                await call


async def test_what_names_no_protocol_opens_no_stream() -> None:
    async with two() as (alice, bob):
        wrong: Any = alice.peer_id
        with pytest.raises(LocalError, match="not by a PeerId"):
            bob.stream(alice.peer_id, wrong)
        with pytest.raises(LocalError, match="a protocol is named by a text"):
            async with bob.stream(alice.peer_id, b"/echo"):  # type: ignore[arg-type]
                pytest.fail("it was opened")


async def test_a_stream_that_was_not_entered_says_how() -> None:
    async with two() as (alice, bob):
        opening: Any = bob.stream(alice.peer_id, ECHO)
        for verb in ("read", "read_all", "write", "write_message", "close_write", "reset", "protocol", "peer_id"):
            with pytest.raises(LocalError, match=rf"no `{verb}` before it is open: `async with node\.stream\(…\) as stream`"):
                attrgetter(verb)(opening)
        with pytest.raises(LocalError, match="before it is open"):
            await opening.write(b"hello")
        with pytest.raises(AttributeError, match="wirte"):
            await opening.wirte(b"hello")
        async with opening as stream:
            await stream.write(b"hello")


def test_a_handler_that_can_not_be_called_is_refused_where_it_is_named() -> None:
    alice, wrong = Node(), list[Any]([None, "handler"])
    for handler in wrong:
        for call in (lambda h: alice.handle(ECHO, h), lambda h: alice.respond(ECHO, h), alice.on_message):
            with pytest.raises(LocalError, match="is a function, not a"):
                call(handler)
    assert alice.protocols == []


async def test_a_node_is_used_in_the_loop_it_was_started_in() -> None:
    async with two() as (alice, bob):
        await bob.dial(alice.addresses)
        calls = [
            lambda: bob.dial(alice.addresses),
            lambda: bob.ping(alice.peer_id),
            lambda: bob.request(alice.peer_id, ECHO, b""),
            lambda: bob.ready(),
            lambda: bob.gossip.publish("topic", b"data"),
            lambda: bob.kad.find_peer(alice.peer_id),
            lambda: bob.find_peers("namespace"),
            lambda: bob.send(alice.peer_id, b"data"),
            lambda: bob.card(alice.peer_id),
            lambda: bob.disconnect(alice.peer_id),
        ]

        def elsewhere() -> None:
            async def use(call: Callable[[], Any]) -> None:
                with pytest.raises(LocalError, match="in the event loop that it was started in"):
                    await call()

            for call in calls:
                asyncio.run(use(call))
            assert bob.peers == [alice.peer_id]  # without a loop nobody can tell

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert await bob.dial(alice.addresses) == alice.peer_id

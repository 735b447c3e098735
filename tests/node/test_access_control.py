"""Who may connect to a node, and whom it may dial: `node.gater` with everything around it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from cortexnet import Config, ConnectionClosed, ConnectionCode, DialFailed, Limits, Node, Stream
from cortexnet.errors import Denied
from cortexnet.testing.network import SimulatedNetwork
from tests.admission.test_gater import Recorder as Gate
from tests.support.pairs import settle

HANG = "/test/hang/1.0.0"


@asynccontextmanager
async def nodes(*names: str, limits: Limits | None = None) -> AsyncIterator[Sequence[Node]]:
    """Nodes that listen; nothing may be left of any."""
    network = SimulatedNetwork()
    made = [
        Node(
            listen=["/memory/0"],
            config=Config(transports=["memory"], memory_network=network.host(name), limits=limits or Limits()),
        )
        for name in names
    ]
    for node in made:
        await node.__aenter__()
    yield made
    for node in made:
        await node.__aexit__(None, None, None)
        assert [count for count in node.counters.values() if count] == []


def denials(error: DialFailed) -> list[str]:
    return [reason.rule for _, reason in error.attempts if isinstance(reason, Denied)]


async def test_a_denied_peer_is_not_dialed() -> None:
    async with nodes("alice", "bob") as (alice, bob):
        alice.gater.deny(bob.peer_id, "no")
        with pytest.raises(DialFailed) as failed:
            await alice.dial(bob.addresses)
        assert denials(failed.value) == [f"deny {bob.peer_id} - no"]
        assert bob.gater.refused == {"dial": 0, "accept": 0, "secured": 0, "upgraded": 0}
        alice.gater.remove(bob.peer_id)
        assert await alice.dial(bob.addresses) == bob.peer_id  # a refusal leaves no back-off behind


async def test_a_denied_peer_that_dials_hears_why() -> None:
    async with nodes("alice", "bob") as (alice, bob):
        alice.gater.deny(bob.peer_id)
        gone: asyncio.Queue[object] = asyncio.Queue()
        bob.watch(disconnected=lambda connection: gone.put_nowait(connection.error))
        try:
            await bob.dial(alice.addresses)
        except DialFailed as failed:
            gone.put_nowait(failed.attempts[0][1])
        error = await gone.get()
        assert isinstance(error, ConnectionClosed)
        assert (error.by, error.code) == ("remote", ConnectionCode.GATED)
        assert alice.peers == []


async def test_a_rule_that_comes_closes_what_is_open() -> None:
    async with nodes("alice", "bob", "carol") as (alice, bob, carol):
        ended = asyncio.Event()

        async def hang(stream: Stream) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        alice.handle(HANG, hang)
        await bob.dial(alice.addresses)
        await carol.dial(alice.addresses)
        gone: asyncio.Queue[object] = asyncio.Queue()
        bob.watch(disconnected=lambda connection: gone.put_nowait(connection.error))
        async with bob.stream(alice.peer_id, HANG, confirm=True):
            (ours,) = [connection for connection in alice.connections if connection.peer_id == bob.peer_id]
            alice.gater.deny(bob.peer_id, "enough")
            assert isinstance(ours.error, Denied)
            await ended.wait()
        error = await gone.get()
        assert isinstance(error, ConnectionClosed)
        assert error.code == ConnectionCode.GATED
        await settle()
        assert alice.peers == [carol.peer_id]


async def test_a_handler_may_deny_the_peer_it_serves() -> None:
    async with nodes("alice", "bob") as (alice, bob):

        async def deny(stream: Stream) -> None:
            alice.gater.deny(stream.peer_id)
            await asyncio.sleep(0)

        alice.handle(HANG, deny)
        async with bob.stream(await bob.dial(alice.addresses), HANG) as stream:
            with pytest.raises(ConnectionClosed):
                await stream.read()
        await settle()
        assert alice.peers == []


async def test_with_allow_only_strangers_go_and_do_not_come_back() -> None:
    async with nodes("alice", "bob", "carol") as (alice, bob, carol):
        await bob.dial(alice.addresses)
        await carol.dial(alice.addresses)
        alice.gater.allow(bob.peer_id)
        alice.gater.allow_only = True
        await asyncio.sleep(1)
        assert alice.peers == [bob.peer_id]
        await bob.disconnect(alice.peer_id)
        await bob.dial(alice.addresses)
        with pytest.raises(DialFailed) as failed:
            await alice.dial(carol.addresses)
        assert denials(failed.value) == ["allow only"]


async def test_a_rule_may_be_made_before_the_start_and_outlives_nothing() -> None:
    async with nodes("alice") as (alice,):
        bob = Node(listen=["/memory/0"], config=alice.config)
        bob.gater.deny(alice.peer_id)
        async with bob:
            with pytest.raises(DialFailed):
                await bob.dial(alice.addresses)
        bob.gater.deny("192.0.2.0/24")
        assert len(bob.gater.rules) == 2


async def test_a_rule_that_is_over_lets_the_peer_in_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("cortexnet.node.time.time", lambda: now)
    async with nodes("alice", "bob") as (alice, bob):
        alice.gater.deny(bob.peer_id, seconds=60)
        with pytest.raises(DialFailed):
            await alice.dial(bob.addresses)
        now += 60
        assert await alice.dial(bob.addresses) == bob.peer_id


async def test_the_application_can_decide_itself() -> None:
    async with nodes("alice", "bob") as (alice, bob):
        alice.gater.gate = gate = Gate("dial")
        with pytest.raises(DialFailed) as failed:
            await alice.dial(bob.addresses)
        assert denials(failed.value) == ["gate"]
        assert [(question[0], question[1]) for question in gate.asked] == [("dial", bob.peer_id)]
        gate.against = ""
        await alice.dial(bob.addresses)
        assert [question[0] for question in gate.asked] == ["dial", "dial", "secured", "upgraded"]
        assert gate.asked[-1][1] in alice.connections


async def test_a_gate_that_fails_refuses_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Gate):
        def secured(self, *question: object) -> bool:
            raise ZeroDivisionError("a bug")

    async with nodes("alice", "bob") as (alice, bob):
        alice.gater.gate = Broken()
        with pytest.raises(DialFailed):
            await alice.dial(bob.addresses)
    assert "the gate failed, and refused: ZeroDivisionError('a bug')" in caplog.text

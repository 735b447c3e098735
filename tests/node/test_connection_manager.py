"""`node.manager` at work: trimming, idle connections, and peers that stay connected whatever happens."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from cortexnet import (
    Config,
    Connection,
    ConnectionClosed,
    ConnectionCode,
    Identity,
    LimitExceeded,
    Limits,
    LocalError,
    Multiaddr,
    Node,
    NotRunning,
    Stream,
)
from cortexnet.swarm import trim_plan
from cortexnet.swarm.manager_config import ConnectionManagerConfig
from cortexnet.swarm.manager_events import ConnectionTrimmed, KeptPeerReached, KeptPeerUnreachable, ManagerEvent
from cortexnet.swarm.tags import FixedSteps, HalfLife
from cortexnet.testing.network import SimulatedNetwork
from tests.support.pairs import settle

ECHO = "/test/echo/1.0.0"


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


def now() -> float:
    return asyncio.get_running_loop().time()


def node(
    network: SimulatedNetwork,
    name: str,
    *,
    manager: ConnectionManagerConfig | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> Node:
    config = Config(
        transports=["memory"],
        memory_network=network.host(name),
        manager=manager or ConnectionManagerConfig(),
        limits=limits or Limits(),
        kad=None,  # its streams count, and it dials peers again
    )
    made = Node(config=config, **({"listen": ["/memory/0"]} | options))
    made.handle(ECHO, echo)
    return made


class Crowd:
    """A node in the middle, and peers that dial it."""

    def __init__(self, network: SimulatedNetwork, middle: Node, stack: AsyncExitStack) -> None:
        self.network = network
        self.middle = middle
        self.events: list[ManagerEvent] = []
        self.ended: list[Connection] = []
        self._stack = stack
        middle.manager.observers.append(self.events.append)
        middle.watch(disconnected=self.ended.append)

    async def come(self, count: int) -> list[Node]:
        """So many more, connected."""
        nodes = [node(self.network, f"peer {len(self.middle.peers) + number}", listen=[]) for number in range(count)]
        for one in nodes:
            await self._stack.enter_async_context(one)
            await one.dial(self.middle.addresses)
        await asyncio.sleep(0)
        return nodes


@asynccontextmanager
async def crowd(**settings: Any) -> AsyncIterator[Crowd]:
    network = SimulatedNetwork()
    async with AsyncExitStack() as stack:
        middle = await stack.enter_async_context(node(network, "middle", manager=ConnectionManagerConfig(**settings)))
        yield Crowd(network, middle, stack)
    assert not any(middle.counters.values())


# --- trimming


async def test_a_newcomer_above_the_high_watermark_has_the_least_valuable_trimmed() -> None:
    async with crowd(low=3, high=5) as party:
        old = await party.come(5)
        middle = party.middle
        for value, peer in enumerate(old):
            middle.manager.tag(peer.peer_id, "value", -value)
        await asyncio.sleep(60)
        assert len(middle.peers) == 5, "up to the high watermark nothing happens"
        new = await party.come(1)
        await asyncio.sleep(0.1)
        assert middle.peers == [old[0].peer_id, old[1].peer_id, old[2].peer_id, new[0].peer_id]
        assert [type(event) for event in party.events] == [ConnectionTrimmed] * 2
        first = party.events[0]
        assert isinstance(first, ConnectionTrimmed)
        assert first.peer_id == old[4].peer_id
        assert first.reason.startswith("6 connections are above the high watermark of 5; its peer is worth -4, it is idle")
        assert [type(end.error) for end in party.ended] == [ConnectionClosed] * 2
        assert old[4].peers == []


async def test_the_peer_is_told_why() -> None:
    async with crowd(low=1, high=1, grace=0.0) as party:
        ended: list[Connection] = []
        (first,) = await party.come(1)
        first.watch(disconnected=ended.append)
        party.middle.manager.tag(first.peer_id, "bad", -1)
        await asyncio.sleep(1)
        await party.come(1)
        await asyncio.sleep(1)
        assert isinstance(ended[0].error, ConnectionClosed)
        assert (ended[0].error.by, ended[0].error.code) == ("remote", ConnectionCode.GARBAGE_COLLECTED)


async def test_newcomers_have_their_grace_and_are_trimmed_right_after() -> None:
    async with crowd(low=2, high=3, grace=20.0) as party:
        begin = now()
        await party.come(5)
        await asyncio.sleep(19.9 - (now() - begin))
        assert len(party.middle.peers) == 5
        await asyncio.sleep(1.2)
        assert len(party.middle.peers) == 2


async def test_between_two_trims_there_is_silence() -> None:
    async with crowd(low=2, high=3, grace=0.0, silence=10.0) as party:
        begin = now()
        await party.come(4)
        await asyncio.sleep(0.5)
        assert len(party.middle.peers) == 2
        await party.come(3)
        await asyncio.sleep(8 - (now() - begin))
        assert len(party.middle.peers) == 5
        await asyncio.sleep(3)
        assert len(party.middle.peers) == 2


async def test_a_connection_in_use_outlives_idle_ones_and_a_protected_one_all() -> None:
    async with crowd(low=2, high=3, grace=0.0) as party:
        middle = party.middle
        protected, busy, *_ = await party.come(3)
        middle.manager.protect(protected.peer_id, "friend")
        middle.manager.tag(protected.peer_id, "bad", -100)
        stream = await busy.stream(middle.peer_id, ECHO, confirm=True)
        await asyncio.sleep(1)
        await party.come(1)
        await asyncio.sleep(1)
        assert middle.peers == [protected.peer_id, busy.peer_id]
        await stream.close()


async def test_a_trim_that_is_asked_for_goes_to_the_low_watermark() -> None:
    async with crowd(low=2, high=10, grace=5.0) as party:
        await party.come(5)
        assert await party.middle.manager.trim() == 0, "all are in their grace"
        await asyncio.sleep(6)
        assert await party.middle.manager.trim() == 3
        assert len(party.middle.peers) == 2
        assert await party.middle.manager.trim() == 0


async def test_where_nothing_can_be_trimmed_the_node_goes_on() -> None:
    async with crowd(low=1, high=1, grace=0.0) as party:
        nodes = await party.come(1)
        party.middle.manager.protect(nodes[0].peer_id, "friend")
        for more in await party.come(2):
            party.middle.manager.protect(more.peer_id, "friend")
        await asyncio.sleep(100)
        assert len(party.middle.peers) >= 1
        assert nodes[0].peer_id in party.middle.peers


async def test_room_is_made_before_newcomers_are_refused() -> None:
    network = SimulatedNetwork()
    settings = ConnectionManagerConfig(grace=0.0, silence=1.0)
    async with AsyncExitStack() as stack:
        limits = Limits(connections_inbound=8)
        middle = await stack.enter_async_context(node(network, "middle", manager=settings, limits=limits))
        party = Crowd(network, middle, stack)
        first = (await party.come(1))[0]
        middle.manager.tag(first.peer_id, "good", 1)
        for _ in range(20):
            await party.come(1)
            await asyncio.sleep(2)
            assert 5 <= len(middle.peers) <= 6 or len(party.events) == 0
        assert first.peer_id in middle.peers


async def test_a_peer_that_does_not_answer_its_farewell_holds_up_no_trim() -> None:
    async with crowd(low=1, high=2, grace=0.0, silence=1.0) as party:
        nodes = await party.come(2)
        await asyncio.sleep(2)
        party.network.silence("middle", "peer 0")
        party.middle.manager.tag(nodes[1].peer_id, "good", 1)
        await party.come(1)
        await asyncio.sleep(1.5)
        await party.come(2)
        await asyncio.sleep(0.5)
        assert [connection.peer_id for connection in party.middle.connections if connection.is_open] == [nodes[1].peer_id]
        await asyncio.sleep(2)
        assert party.middle.peers == [nodes[1].peer_id]
        party.network.heal()


# --- idle


async def test_idle_connections_are_looked_for_once_a_second_however_many_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    idle = trim_plan.idle
    monkeypatch.setattr(trim_plan, "idle", lambda *args: looks.append(now()) or idle(*args))
    async with crowd(idle_timeout=10.0) as party:
        for _ in range(20):
            await party.come(1)
            await asyncio.sleep(0.1)
        await asyncio.sleep(12)
        assert party.middle.peers == []
        assert min(later - look for look, later in pairwise(looks)) >= 1


async def test_an_idle_connection_is_closed_at_its_time_unless_its_peer_is_worth_something() -> None:
    async with crowd(idle_timeout=30.0) as party:
        middle = party.middle
        plain, good, friend, kept = await party.come(4)
        middle.manager.tag(good.peer_id, "good", 1)
        middle.manager.protect(friend.peer_id, "friend")
        middle.manager.keep(kept.peer_id)
        await asyncio.sleep(29)
        assert len(middle.peers) == 4
        await asyncio.sleep(2)
        assert middle.peers == [good.peer_id, friend.peer_id, kept.peer_id]
        (event,) = party.events
        assert isinstance(event, ConnectionTrimmed)
        assert (event.peer_id, event.reason) == (plain.peer_id, "no stream for 30 s")


async def test_streams_keep_a_connection_and_pings_do_not() -> None:
    async with crowd(idle_timeout=30.0) as party:
        middle = party.middle
        pinging, busy = await party.come(2)
        stream = await busy.stream(middle.peer_id, ECHO)
        for _ in range(9):
            await asyncio.sleep(4)
            if middle.peer_id in pinging.peers:
                await pinging.ping(middle.peer_id)
        assert middle.peers == [busy.peer_id]
        await stream.close()
        await asyncio.sleep(29)
        assert middle.peers == [busy.peer_id], "its time begins when the stream has ended"
        await asyncio.sleep(2)
        assert middle.peers == []
        await party.come(1)
        await asyncio.sleep(31)
        assert middle.peers == []


async def test_a_connection_that_is_slow_to_close_is_chosen_once() -> None:
    async with crowd(idle_timeout=10.0) as party:
        middle = party.middle
        (slow,) = await party.come(1)
        await asyncio.sleep(9)
        await party.come(1)
        party.network.silence("middle", "peer 0")
        await asyncio.sleep(1.5)
        assert len(middle.connections) == 2, "its peer has 2 s to end its side"
        assert await middle.manager.trim() == 0
        await asyncio.sleep(30)
        assert middle.connections == []
        assert [event.peer_id for event in party.events if isinstance(event, ConnectionTrimmed)].count(slow.peer_id) == 1
        party.network.heal()


# --- values


async def test_tags_can_be_set_before_the_start_and_fade_from_then_on() -> None:
    network = SimulatedNetwork()
    await asyncio.sleep(1000)
    other = Identity.generate().peer_id
    alice = node(network, "alice")
    alice.manager.fading("seen", HalfLife(60))
    alice.manager.fading("steps", FixedSteps(1, interval=10), lambda value, amount: min(5, value + amount))
    alice.manager.bump(other, "seen", 8)
    alice.manager.bump(str(other), "steps", 9)
    alice.manager.tag(other, "fixed", 2)
    async with alice:
        assert alice.manager.tags(other) == {"fixed": 2, "seen": 8, "steps": 5}
        await asyncio.sleep(60)
        assert alice.manager.value(other) == 2 + 4
        alice.manager.untag(other, "fixed")
        assert alice.manager.value(other) == 4
        assert alice.manager.protect(other, "friend") is None
        assert alice.manager.is_protected(other, "friend")
        assert not alice.manager.unprotect(other, "friend")
        with pytest.raises(LocalError, match="declared already"):
            alice.manager.fading("seen", HalfLife(1))
    assert alice.manager.value(other) >= 0


async def test_outside_of_its_life_a_node_trims_nothing_and_notices_no_network() -> None:
    alice = node(SimulatedNetwork(), "alice")
    for _ in range(2):
        with pytest.raises(NotRunning):
            await alice.manager.trim()
        with pytest.raises(NotRunning):
            alice.manager.network_changed()
        if alice._ended is None:
            async with alice:
                pass


# --- peers that stay connected


@asynccontextmanager
async def away(network: SimulatedNetwork, identity: Identity, place: str) -> AsyncIterator[Node]:
    """The peer that comes and goes, at a place of its own."""
    async with node(network, "bob", identity=identity, listen=[place]) as bob:
        yield bob


async def test_a_kept_peer_is_dialed_at_the_start_and_again_whenever_it_is_lost() -> None:
    network, identity, place = SimulatedNetwork(), Identity.generate(), "/memory/40"
    alice = node(network, "alice", listen=[])
    events: list[ManagerEvent] = []
    alice.manager.observers.append(events.append)
    alice.manager.keep(identity.peer_id, [place])
    async with away(network, identity, place) as bob, alice:
        await asyncio.sleep(0.1)
        assert alice.peers == [bob.peer_id]
        assert alice.manager.is_protected(bob.peer_id)
        await asyncio.sleep(100)
        network.cut("alice", "bob")
        await settle()
        assert alice.peers == []
        await asyncio.sleep(1.1)
        assert alice.peers == [bob.peer_id]
        assert events == [KeptPeerReached(bob.peer_id, bob.peer_id)] * 2


async def test_a_kept_peer_that_was_away_is_found_within_a_minute_of_its_return(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    network, identity, place = SimulatedNetwork(), Identity.generate(), "/memory/40"
    async with node(network, "alice", listen=[]) as alice:
        events: list[ManagerEvent] = []
        alice.manager.observers.append(events.append)
        alice.manager.keep(identity.peer_id, [Multiaddr.parse(place)])
        await asyncio.sleep(3600)
        failures = [event for event in events if isinstance(event, KeptPeerUnreachable)]
        assert 60 <= len(failures) <= 130
        assert all(0.5 <= event.retry_in <= 60 for event in failures)
        async with away(network, identity, place):
            await asyncio.sleep(61)
            assert alice.peers == [identity.peer_id]
    said = [record for record in caplog.records if "kept peer" in record.message]
    assert [record.levelname for record in said] == ["WARNING", "INFO"], "once that it is away, once that it is back"


async def test_a_kept_peer_that_comes_by_itself_is_back_as_well() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice") as alice, node(network, "bob", listen=[]) as bob:
        alice.manager.keep(bob.peer_id)
        await asyncio.sleep(100)
        assert alice._running is not None
        assert alice._running.upkeep.unreachable == [bob.peer_id]
        await bob.dial(alice.addresses)
        await asyncio.sleep(0.1)
        assert alice._running.upkeep.unreachable == []
        assert len(alice.connections) == 1


async def test_a_peer_that_is_kept_while_it_is_connected_is_dialed_when_it_leaves_and_not_before() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", listen=[]) as alice, node(network, "bob") as bob:
        await alice.dial(bob.addresses)
        alice.manager.keep(str(bob.peer_id), bob.addresses)
        assert alice.manager.kept == [bob.peer_id]
        await asyncio.sleep(100)
        assert len(alice.connections) == 1
        await alice.disconnect(bob.peer_id)
        await asyncio.sleep(1.1)
        assert alice.peers == [bob.peer_id]


async def test_a_peer_that_is_forgotten_stays_connected_and_is_not_dialed_again() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", listen=[]) as alice, node(network, "bob") as bob:
        alice.manager.keep(bob.peer_id, bob.addresses)
        await asyncio.sleep(1)
        alice.manager.forget(bob.peer_id)
        alice.manager.forget(bob.peer_id)
        assert alice.peers == [bob.peer_id]
        assert not alice.manager.is_protected(bob.peer_id)
        network.cut("alice", "bob")
        await asyncio.sleep(1000)
        assert alice.peers == []


async def test_who_is_forgotten_while_it_is_dialed_may_still_come() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", listen=[]) as alice, node(network, "bob") as bob:
        alice.manager.keep(bob.peer_id, bob.addresses)
        await asyncio.sleep(0)
        alice.manager.forget(bob.peer_id)
        await asyncio.sleep(10)
        network.cut("alice", "bob")
        await asyncio.sleep(1000)
        assert alice.peers == []


async def test_a_peer_that_throws_us_out_is_not_dialed_each_second() -> None:
    network = SimulatedNetwork()
    dials = 0

    def count(connection: Connection) -> None:
        nonlocal dials
        dials += 1
        connection.loop.call_later(0.1, connection.abort)

    bob = node(network, "bob")
    bob.watch(connected=count)
    async with node(network, "alice", listen=[]) as alice, bob:
        alice.manager.keep(bob.peer_id, bob.addresses)
        await asyncio.sleep(600)
    assert 10 <= dials <= 30


async def test_our_own_id_and_one_too_many_are_not_kept() -> None:
    alice = node(SimulatedNetwork(), "alice", limits=Limits(kept_peers=1))
    with pytest.raises(LocalError, match="our own"):
        alice.manager.keep(alice.peer_id)
    alice.manager.keep(Identity.generate().peer_id)
    other = Identity.generate().peer_id
    with pytest.raises(LimitExceeded, match=r"limits\.kept_peers"):
        alice.manager.keep(other)
    assert not alice.manager.is_protected(other)


async def test_no_task_waits_for_each_of_those_who_are_kept() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice", listen=[], manager=ConnectionManagerConfig(retry_first=60.0)) as alice:
        before = len(asyncio.all_tasks())
        for _ in range(50):
            alice.manager.keep(Identity.generate().peer_id, ["/memory/77"])
        await asyncio.sleep(10)
        assert len(asyncio.all_tasks()) == before


# --- bootstrap


async def test_bootstrap_nodes_are_kept_by_id_or_by_address_and_we_are_none_of_them() -> None:
    network, identity = SimulatedNetwork(), Identity.generate()
    async with node(network, "bob", listen=["/memory/40"]) as bob, node(network, "carol", listen=["/memory/41"]) as carol:
        places = ["/memory/40", f"/memory/41/p2p/{carol.peer_id}", f"/memory/42/p2p/{identity.peer_id}"]
        async with node(network, "alice", identity=identity, listen=["/memory/42"], bootstrap=places) as alice:
            await alice.ready()
            assert set(alice.peers) == {bob.peer_id, carol.peer_id}
            assert alice.manager.kept == [carol.peer_id]
            assert alice.manager.is_protected(bob.peer_id)
            await asyncio.sleep(100)
            network.cut("alice", "bob")
            network.cut("alice", "carol")
            await asyncio.sleep(1.1)
            assert set(alice.peers) == {bob.peer_id, carol.peer_id}


async def test_of_too_many_bootstrap_nodes_the_rest_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    network = SimulatedNetwork()
    options: dict[str, Any] = {"limits": Limits(kept_peers=1), "bootstrap": ["/memory/50", "/memory/51"]}
    async with node(network, "alice", **options) as alice:
        await alice.ready()
    assert "bootstrap peer /memory/51 is left out" in caplog.text


async def test_who_waits_for_bootstrap_peers_of_a_node_that_ends_waits_no_longer() -> None:
    network = SimulatedNetwork()
    async with node(network, "bob") as bob:
        network.silence("alice", "bob")
        async with node(network, "alice", bootstrap=bob.addresses) as alice:
            waiting = asyncio.create_task(alice.ready())
            await asyncio.sleep(1)
        await asyncio.wait_for(waiting, 1)
        network.heal()

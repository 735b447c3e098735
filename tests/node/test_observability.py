"""What a node tells about itself: events while it runs, its health, its totals, and their export."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from cortexnet import Config, DialFailed, Limits, Multiaddr, NegotiationFailed, Node, NotRunning, Stream
from cortexnet.observe.events import AddressesChanged, ConnectionEnded, ConnectionOpened, DialEnded, PeerIdentified, Refused
from cortexnet.observe.metrics import NodeCollector
from cortexnet.testing.network import SimulatedNetwork
from tests.node.test_node import ECHO, SOMEBODY, echo, node, two
from tests.support.pairs import settle


async def test_a_connection_comes_is_identified_and_goes_in_events() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice") as alice, alice.events() as events:
        async with node(network, "bob", listen=[]) as bob:
            await bob.dial(alice.addresses)
            opened, identified = await anext(events), await anext(events)
        ended = await anext(events)
    assert isinstance(opened, ConnectionOpened)
    assert (opened.peer_id, opened.direction, opened.is_first) == (bob.peer_id, "inbound", True)
    assert (opened.transport, opened.security, opened.muxer) == ("memory", "/noise", "/yamux/1.0.0")
    assert isinstance(identified, PeerIdentified)
    assert identified.peer_id == bob.peer_id
    assert "/ipfs/ping/1.0.0" in identified.protocols
    assert isinstance(ended, ConnectionEnded)
    assert (ended.peer_id, ended.is_last) == (bob.peer_id, True)
    assert ended.reason
    assert [event async for event in events] == [], "the end of the node is the end of its events"


async def test_a_dial_that_led_to_nobody_is_an_event_too() -> None:
    network = SimulatedNetwork()
    async with node(network, "alice") as alice, alice.events(DialEnded) as events:
        with pytest.raises(DialFailed):
            await alice.dial(f"/memory/999/p2p/{SOMEBODY}")
        event = await anext(events)
        assert isinstance(event, DialEnded)
        assert event.peer_id == SOMEBODY
        assert "/memory/999" in event.reason
        assert (alice.tally.dials, alice.tally.dials_failed) == (1, 1)


async def test_other_addresses_are_an_event_and_the_same_ones_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    network = SimulatedNetwork()
    async with node(network, "alice") as alice, alice.events(AddressesChanged) as events:
        assert alice._running is not None
        alice._running._network_changed(frozenset(), frozenset(), 20.0)  # it has slept, and is where it was
        elsewhere = Multiaddr.parse("/memory/77")
        monkeypatch.setattr(alice._running, "listen_addresses", lambda: [elsewhere])
        alice._running.observer.listen_addresses = alice._running.listen_addresses
        alice._running._network_changed(frozenset({"192.0.2.1"}), frozenset({"192.0.2.2"}), 0.0)
        alice._running._network_changed(frozenset(), frozenset({"192.0.2.3"}), 0.0)
    assert [event async for event in events] == [AddressesChanged((elsewhere,))]


async def test_what_is_over_a_limit_is_an_event_and_counted_by_its_setting() -> None:
    network = SimulatedNetwork()
    config = Config(transports=["memory"], memory_network=network.host("alice"), limits=Limits(connections_inbound=0))
    async with Node(listen=["/memory/0"], config=config) as alice, alice.events(Refused) as events:
        async with node(network, "bob", listen=[]) as bob:
            with pytest.raises(DialFailed):
                await bob.dial(alice.addresses)
        event = await anext(events)
        assert isinstance(event, Refused)
        assert event.remedy == "limits.connections_inbound"
        assert alice.tally.refusals == {"limits.connections_inbound": 1}
        assert alice.tally.handshakes_failed == 1


async def test_totals_count_connections_streams_and_failures_of_handlers() -> None:
    async def fail(stream: Stream) -> None:
        raise ValueError("a bug")

    async with two() as (alice, bob):
        alice.handle(ECHO, echo)
        alice.handle("/test/fail/1.0.0", fail)
        await bob.identify(alice.peer_id)
        await alice.identify(bob.peer_id)
        await settle(200)
        before = alice.tally.totals()
        assert (before["connections_opened_inbound"], before["connections_opened_outbound"]) == (1, 0)
        async with bob.stream(alice.peer_id, ECHO) as stream:
            await stream.write(b"x")
            assert await stream.read() == b"x"
        stream = await bob.stream(alice.peer_id, "/test/fail/1.0.0")
        with pytest.raises(Exception, match="reset"):
            await stream.read()
        with pytest.raises(NegotiationFailed):
            await bob.stream(alice.peer_id, "/test/unknown", confirm=True)
        after = alice.tally.totals()
        assert after["streams_opened_inbound"] - before["streams_opened_inbound"] == 3
        assert after["handlers_failed"] == 1
    assert alice.tally.connections_ended == 1


async def test_health_says_what_is_wrong_while_the_node_runs() -> None:
    network = SimulatedNetwork()
    nobody = f"/memory/999/p2p/{SOMEBODY}"
    alice = node(network, "alice", bootstrap=[nobody])
    with pytest.raises(NotRunning):
        alice.health()
    async with alice:
        await alice.ready()
        health = alice.health()
        assert health.status == "failing", "nobody else is connected"
        (problem,) = health.problems
        assert "1 of 1 peers that are to be connected can't be reached" in problem.what
        await asyncio.sleep(7)
        assert alice.health().uptime >= 7
    async with node(network, "bob") as bob:
        assert bob.health().status == "ok"
        assert bob.health().addresses == tuple(str(address) for address in bob.listen_addresses())


async def test_the_numbers_can_be_scraped() -> None:
    async with two() as (alice, bob):
        await bob.ping(alice.peer_id)
        registry = CollectorRegistry()
        registry.register(NodeCollector(alice))
        alice.tally.refusals["limits.connections"] = 2
        page = generate_latest(registry).decode()
        assert "\ncortexnet_connections 1.0\n" in page
        assert "\ncortexnet_connections_opened_inbound_total 1.0\n" in page
        assert f"\ncortexnet_bytes_received_total {float(alice.totals['bytes_received'])}\n" in page
        assert alice.totals["bytes_received"] > 100
        assert '\ncortexnet_refusals_total{setting="limits.connections"} 2.0\n' in page

"""Of several connections to a peer one is left: after simultaneous dials, and where a direct one comes beside a relayed one."""

import asyncio

import pytest

from cortexnet.errors import ConnectionCode, DialFailed
from cortexnet.swarm.pruner import GRACE, RELAY_LIMIT
from tests.support.homes import Home, homes
from tests.support.pairs import settle


def by_id(*both: Home) -> list[Home]:
    """The one with the smaller peer id first."""
    return sorted(both, key=lambda home: bytes(home.peer_id))


async def dial_each_other(alice: Home, bob: Home) -> None:
    """At the same moment; both end up with two connections."""
    addresses = [await home.listen() for home in (alice, bob)]
    await asyncio.gather(alice.swarm.dial(bob.peer_id, [addresses[1]]), bob.swarm.dial(alice.peer_id, [addresses[0]]))
    await asyncio.sleep(1)
    assert len(alice.swarm.connections) == len(bob.swarm.connections) == 2


async def test_of_two_simultaneous_dials_both_sides_keep_the_same_one() -> None:
    async with homes(2, latency=0.1) as made:
        small, large = by_id(*made)
        await dial_each_other(small, large)
        assert [small.swarm.connection_to(large.peer_id).direction, large.swarm.connection_to(small.peer_id).direction] == [
            "outbound",
            "inbound",
        ]
        await asyncio.sleep(GRACE - 2)
        assert len(small.swarm.connections) == len(large.swarm.connections) == 2, "the peer may be about to use it"
        (going,) = [connection for connection in small.swarm.connections if connection.direction == "inbound"]
        await asyncio.sleep(3)
        assert [connection.direction for connection in small.swarm.connections] == ["outbound"]
        assert [connection.direction for connection in large.swarm.connections] == ["inbound"]
        assert going.error.code == ConnectionCode.GARBAGE_COLLECTED
        stream = await small.swarm.connections[0].open_stream(["/echo"])
        await stream.write(b"still there")
        assert await stream.read() == b"still there"
        await stream.close()


@pytest.mark.parametrize("opener", ["the smaller", "the larger"])
async def test_streams_on_the_other_one_are_let_finish(opener: str) -> None:
    async with homes(2, latency=0.1) as made:
        small, large = by_id(*made)
        await dial_each_other(small, large)
        home, direction = (small, "inbound") if opener == "the smaller" else (large, "outbound")
        (going,) = [connection for connection in home.swarm.connections if connection.direction == direction]
        stream = await going.open_stream(["/echo"])
        for _ in range(10):
            await stream.write(b"on and on")
            assert await stream.read() == b"on and on"
            await asyncio.sleep(GRACE)
        await stream.close()
        await asyncio.sleep(GRACE - 1)
        assert going.is_open
        await asyncio.sleep(GRACE + 2)
        assert not going.is_open
        assert len(small.swarm.connections) == len(large.swarm.connections) == 1


async def test_a_handler_that_works_on_after_its_stream_is_let_finish() -> None:
    async with homes(2, latency=0.1) as made:
        small, large = by_id(*made)
        steps: list[str] = []

        async def work(stream: object) -> None:
            try:
                await asyncio.sleep(3 * GRACE)
                steps.append("done")
            except asyncio.CancelledError:
                steps.append("cancelled")
                raise

        large.protocols.handle("/work", work)
        await dial_each_other(small, large)
        (going,) = [connection for connection in small.swarm.connections if connection.direction == "inbound"]
        stream = await going.open_stream(["/work"], confirm=True)
        stream.reset()
        small.swarm._pruner.stop()  # it knows of no handler over there, and would close its side
        await asyncio.sleep(5 * GRACE)
        assert steps == ["done"]
        assert not going.is_open


async def test_what_stays_is_not_closed_when_the_other_one_ends_by_itself() -> None:
    async with homes(2, latency=0.1) as made:
        small, large = by_id(*made)
        await dial_each_other(small, large)
        (staying,) = [connection for connection in small.swarm.connections if connection.direction == "outbound"]
        (going,) = [connection for connection in small.swarm.connections if connection.direction == "inbound"]
        staying.abort()
        await asyncio.sleep(5 * GRACE)
        assert going.is_open
        assert small.swarm.connections == [going]
        assert small.swarm.connection_to(large.peer_id) is going


async def test_who_dialed_a_peer_twice_closes_the_older_one_the_other_side_none() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        for _ in range(2):
            await alice.swarm.dial_unknown(await bob.listen())
        newest = alice.swarm.connections[1]
        assert (len(alice.swarm._pruner), len(bob.swarm._pruner)) == (1, 0)
        await asyncio.sleep(2 * GRACE)
        assert alice.swarm.connections == [newest]
        assert len(bob.swarm.connections) == 1


async def test_a_swarm_that_closes_waits_for_no_grace() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        await dial_each_other(alice, bob)
        assert (len(alice.swarm._pruner), len(bob.swarm._pruner)) == (1, 1)


# --- relays


async def relayed_pair(alice: Home, bob: Home) -> None:
    """Connected through the relay, which both sides know."""
    await alice.swarm.dial(bob.peer_id, [await bob.listen_through_relay(7)])
    await asyncio.sleep(1)
    for home in (alice, bob):
        assert [connection.is_relayed for connection in home.swarm.connections] == [True]


async def test_a_direct_connection_takes_over_from_a_relayed_one() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        await relayed_pair(alice, bob)
        (through_relay,) = alice.swarm.connections
        old = await through_relay.open_stream(["/echo"])
        direct = await alice.swarm.dial(bob.peer_id, [await bob.listen()], direct=True)
        assert not direct.is_relayed
        assert await alice.swarm.dial(bob.peer_id) is direct
        assert await alice.swarm.dial(bob.peer_id, direct=True) is direct
        await asyncio.sleep(1)
        assert not bob.swarm.connection_to(alice.peer_id).is_relayed
        await asyncio.sleep(3 * GRACE)
        await old.write(b"not lost")
        assert await old.read() == b"not lost"
        await old.close()
        await asyncio.sleep(3 * GRACE)
        for home in (alice, bob):
            assert [connection.is_relayed for connection in home.swarm.connections] == [False]


async def test_a_relayed_connection_is_not_kept_for_ever_for_a_stream_that_does_not_end() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        await relayed_pair(alice, bob)
        (through_relay,) = alice.swarm.connections
        await through_relay.open_stream(["/hang"])
        await alice.swarm.dial(bob.peer_id, [await bob.listen()], direct=True)
        await asyncio.sleep(RELAY_LIMIT - 2)
        assert through_relay.is_open
        await asyncio.sleep(5)
        assert [connection.is_relayed for connection in alice.swarm.connections] == [False]
        assert [connection.is_relayed for connection in bob.swarm.connections] == [False]


async def test_a_direct_dial_uses_no_relay_and_joins_no_dial_that_may() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        through_relay, direct = await bob.listen_through_relay(7), await bob.listen()
        either = asyncio.ensure_future(alice.swarm.dial(bob.peer_id, [through_relay]))
        await settle()
        with pytest.raises(DialFailed, match="leads through a relay, and a direct connection was asked for"):
            await alice.swarm.dial(bob.peer_id, direct=True)
        assert not (await alice.swarm.dial(bob.peer_id, [direct], direct=True)).is_relayed
        assert (await either).is_relayed
        await asyncio.sleep(3 * GRACE)
        assert [connection.is_relayed for connection in alice.swarm.connections] == [False]


async def test_two_relayed_connections_are_left_to_the_relay() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        addresses = [await alice.listen_through_relay(8), await bob.listen_through_relay(7)]
        await asyncio.gather(alice.swarm.dial(bob.peer_id, [addresses[1]]), bob.swarm.dial(alice.peer_id, [addresses[0]]))
        await asyncio.sleep(RELAY_LIMIT * 2)
        assert len(alice.swarm.connections) == len(bob.swarm.connections) == 2

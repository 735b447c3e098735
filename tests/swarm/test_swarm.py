"""The swarm: listeners, connections, dials that are shared, relief of memory, and the end of it all."""

import asyncio

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import (
    ConnectionClosed,
    DialFailed,
    LocalError,
    NotRunning,
    PeerIdMismatch,
    StreamCode,
    StreamReset,
)
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream
from tests.support.homes import Home, homes
from tests.support.pairs import settle

# --- listening


async def test_it_listens_where_a_transport_can() -> None:
    async with homes(1) as (home,):
        address = await home.listen()
        assert home.swarm.listen_addresses == [address]
        with pytest.raises(LocalError, match="no enabled transport"):
            await home.listen("/ip4/127.0.0.1/udp/0/quic-v1")
        with pytest.raises(OSError, match="already"):
            await home.listen(str(address))


async def test_a_listener_that_is_bound_while_the_swarm_closes_is_closed() -> None:
    """Binding takes turns of the loop: it must not come back to a swarm that is gone."""
    async with homes(1) as (home,):
        listening = asyncio.ensure_future(home.listen("/ip4/127.0.0.1/tcp/0"))
        await asyncio.sleep(0)
        await home.swarm.close()
        with pytest.raises(NotRunning):
            await listening
        with pytest.raises(NotRunning):
            await home.listen()
        assert home.swarm.listen_addresses == []


# --- connections


async def test_a_dial_connects_both_sides() -> None:
    async with homes(2) as (alice, bob):
        address = await bob.listen()
        connection = await alice.swarm.dial(bob.peer_id, [address])
        assert (connection.peer_id, connection.is_open) == (bob.peer_id, True)
        assert alice.swarm.peers == [bob.peer_id]
        await settle()
        assert bob.swarm.peers == [alice.peer_id]
        assert (alice.log, bob.log) == (["connected"], ["connected"])
        assert alice.peerstore.is_connected(bob.peer_id)
        assert await alice.swarm.dial(bob.peer_id) is connection
        await alice.swarm.disconnect(bob.peer_id)
        await settle()
        assert (alice.swarm.peers, bob.swarm.peers) == ([], [])
        assert not alice.peerstore.is_connected(bob.peer_id)
        assert await alice.swarm.dial(bob.peer_id) is not connection, "the address is remembered"
        await alice.swarm.disconnect(alice.peer_id)


async def test_of_several_connections_who_dialed_uses_the_newest_the_other_side_the_busiest_before_that() -> None:
    async with homes(2) as (alice, bob):
        first = await alice.swarm.dial_unknown(await bob.listen())
        second = await alice.swarm.dial_unknown(await bob.listen())
        await settle()
        bobs_first, bobs_second = bob.swarm.connections
        assert alice.swarm.connection_to(bob.peer_id) is second
        assert bob.swarm.connection_to(alice.peer_id) is bobs_second
        await bobs_first.open_stream(["/hang"])
        assert alice.swarm.connection_to(bob.peer_id) is second
        assert bob.swarm.connection_to(alice.peer_id) is bobs_first
        second.abort()
        assert alice.swarm.connection_to(bob.peer_id) is first
        first.abort()
        assert alice.swarm.connection_to(bob.peer_id) is None
        assert len(alice.swarm.connections) == 2
        await settle()
        assert alice.swarm.connections == []


async def test_a_handler_may_disconnect_its_peer_and_go_on() -> None:
    """It is one of the tasks that end with the connection, and must not be ended by its own wish."""
    async with homes(2) as (alice, bob):
        steps: list[str] = []

        async def disconnect(stream: Stream) -> None:
            await bob.swarm.disconnect(stream.peer_id)
            steps.append("disconnected")
            await asyncio.sleep(1)
            steps.append("went on")

        bob.protocols.handle("/disconnect", disconnect)
        connection = await alice.swarm.dial(bob.peer_id, [await bob.listen()])
        other = await connection.open_stream(["/hang"])
        await connection.open_stream(["/disconnect"])
        with pytest.raises(StreamReset) as caught:
            await other.read()
        assert caught.value.code == StreamCode.SHUTDOWN
        await asyncio.sleep(0.5)
        assert steps == ["disconnected"]
        assert bob.swarm.connections == []
        await asyncio.sleep(1)
        assert steps == ["disconnected", "went on"]


async def test_a_cancelled_disconnect_aborts_all_connections_to_the_peer() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        for _ in range(2):
            await alice.swarm.dial_unknown(await bob.listen())
        assert len(alice.swarm.connections) == 2
        closing = asyncio.ensure_future(alice.swarm.disconnect(bob.peer_id))
        await settle()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await settle()
        assert alice.swarm.connections == []


# --- dialing


async def test_dials_of_one_peer_at_the_same_time_are_one() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        address = await bob.listen()
        connections = await asyncio.gather(*(alice.swarm.dial(bob.peer_id, [address]) for _ in range(5)))
        assert len(set(connections)) == 1
        other = await bob.listen()
        unknown = await asyncio.gather(*(alice.swarm.dial_unknown(other) for _ in range(5)))
        assert len(set(unknown)) == 1
        assert len(alice.swarm.connections) == 2
        assert await alice.swarm.dial_unknown(address) is connections[0]


async def test_a_caller_with_another_address_has_it_tried_when_the_common_dial_fails() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        right, wrong = await bob.listen(), Multiaddr.parse("/memory/77")
        first = asyncio.ensure_future(alice.swarm.dial(bob.peer_id, [wrong]))
        await settle()
        same = asyncio.ensure_future(alice.swarm.dial(bob.peer_id, [wrong]))
        others = [asyncio.ensure_future(alice.swarm.dial(bob.peer_id, [right])) for _ in range(3)]
        await asyncio.wait([first, same, *others])
        assert isinstance(first.exception(), DialFailed)
        assert same.exception() is first.exception()
        assert len({task.result() for task in others}) == 1
        assert len(alice.swarm.connections) == 1


async def test_nobody_joins_a_dial_that_is_being_given_up() -> None:
    async with homes(2, latency=0.1) as (alice, bob):
        address = await bob.listen()
        first = asyncio.ensure_future(alice.swarm.dial(bob.peer_id, [address]))
        await asyncio.sleep(0.15)
        first.cancel()
        await asyncio.sleep(0)  # it is on its way out
        assert (await alice.swarm.dial(bob.peer_id, [address])).is_open
        assert first.cancelled()


async def test_a_name_of_the_applications_leads_anywhere_a_name_of_a_peers_to_public_addresses() -> None:
    async with homes(2) as (alice, bob):
        inside = await bob.listen("/ip4/127.0.0.1/tcp/0")
        name = Multiaddr.parse("/dns4/bob.example/tcp/1")
        alice.names[name] = [inside]
        alice.peerstore.add_addresses(bob.peer_id, [name], 60, 0)  # as a peer out there has told
        with pytest.raises(DialFailed, match="not public"):
            await alice.swarm.dial(bob.peer_id)
        alice.peerstore.add_addresses(bob.peer_id, [name], 60, 0, is_near=True)  # as a peer in our network has
        await alice.swarm.dial(bob.peer_id)
        await alice.swarm.disconnect(bob.peer_id)
        alice.peerstore.forget(bob.peer_id)
        await alice.swarm.dial(bob.peer_id, [name.with_peer(bytes(bob.peer_id))])
        await alice.swarm.disconnect(bob.peer_id)
        assert (await alice.swarm.dial_unknown(name)).peer_id == bob.peer_id


async def test_a_dial_of_ourselves_is_refused() -> None:
    async with homes(1) as (home,):
        address = await home.listen()
        with pytest.raises(LocalError, match="does not dial itself"):
            await home.swarm.dial(home.peer_id, [address])
        with pytest.raises(DialFailed, match="our own"):
            await home.swarm.dial_unknown(address)


async def test_somebody_with_our_identity_is_never_a_peer() -> None:
    async with homes(1) as (home,):
        twin = Home(home.swarm._transports[0]._network, identity=home.identity)
        address = await twin.listen()
        with pytest.raises(LocalError, match="is this node itself"):
            await home.swarm.dial_unknown(address)
        await settle()
        assert (home.log, twin.log) == ([], [])
        await twin.close()
        assert twin.held == {}


async def test_who_is_somebody_else_than_was_dialed_is_refused() -> None:
    async with homes(3) as (alice, bob, carol):
        address = await bob.listen()
        with pytest.raises(DialFailed) as caught:
            await alice.swarm.dial(carol.peer_id, [address])
        assert isinstance(caught.value.attempts[0][1], PeerIdMismatch)
        assert alice.peerstore.addresses(carol.peer_id, 0) == [], "the address has proved wrong"
        with pytest.raises(DialFailed, match="left alone"):
            await alice.swarm.dial(carol.peer_id, [address])
        assert (await alice.swarm.dial(bob.peer_id, [address])).is_open


async def test_a_connection_that_ends_at_once_is_a_failed_dial() -> None:
    async with homes(2) as (alice, bob):
        address = await bob.listen()
        dial = alice.swarm._dialer.dial

        async def dial_and_lose(*arguments: object, **options: object) -> Connection:
            connection = await dial(*arguments, **options)
            connection.abort()
            return connection

        alice.swarm._dialer.dial = dial_and_lose
        with pytest.raises(DialFailed, match="ended at once"):
            await alice.swarm.dial(bob.peer_id, [address])


async def test_a_connection_nobody_waits_for_any_more_is_not_kept_one_somebody_got_is() -> None:
    async with homes(2) as (alice, bob):
        address = await bob.listen()
        got: list[Connection] = []

        def cancel(connection: Connection) -> None:
            asyncio.get_running_loop().call_soon(dial.cancel)

        async def get() -> None:
            got.append(await alice.swarm.dial(bob.peer_id))

        alice.swarm.on_connected.append(cancel)
        for expected in (0, 1):
            dial = asyncio.ensure_future(alice.swarm.dial(bob.peer_id, [address]))
            with pytest.raises(asyncio.CancelledError):
                await dial
            await settle()
            assert len(alice.swarm.connections) == len(got) == expected
            alice.swarm.on_connected.append(lambda _: alice.scope.spawn(get()))


# --- memory


async def test_over_the_nodes_memory_the_peer_that_holds_most_loses_its_largest_stream() -> None:
    async with homes(3, Limits(memory=600_000)) as (server, light, heavy):
        address = await server.listen()
        streams: dict[str, Stream] = {}
        for home, sizes in ((light, [100_000]), (heavy, [90_000, 200_000, 150_000, 150_000])):
            connection = await home.swarm.dial(server.peer_id, [address])
            for index, size in enumerate(sizes):
                stream = await connection.open_stream(["/hang"], confirm=True)
                await stream.write(bytes(size))
                streams[f"{'light' if home is light else 'heavy'} {index}"] = stream
                await settle()
        failed = {name: stream.failure for name, stream in streams.items() if stream.failure is not None}
        assert list(failed) == ["heavy 1"]
        assert isinstance(failed["heavy 1"], StreamReset)
        assert failed["heavy 1"].code == StreamCode.LIMIT_EXCEEDED
        assert server.resources.memory.used < 600_000


async def test_it_is_not_who_comes_last_that_loses_but_who_holds_most() -> None:
    async with homes(3, Limits(memory=600_000)) as (server, light, heavy):
        address = await server.listen()
        heavy_connection, light_connection = [await home.swarm.dial(server.peer_id, [address]) for home in (heavy, light)]
        streams = [await heavy_connection.open_stream(["/hang"], confirm=True) for _ in range(2)]
        for stream, size in zip(streams, (220_000, 230_000), strict=True):
            await stream.write(bytes(size))
        await settle()
        last = await light_connection.open_stream(["/hang"], confirm=True)
        await last.write(bytes(200_000))
        await settle()
        assert [stream.failure is None for stream in (*streams, last)] == [True, False, True]
        assert server.resources.memory.used < 600_000


async def test_memory_that_no_stream_holds_is_not_waited_for() -> None:
    async with homes(2, Limits(memory=100_000)) as (alice, bob):
        connection = await alice.swarm.dial(bob.peer_id, [await bob.listen()])
        stream = await connection.open_stream(["/echo"])
        with alice.resources.admit_inbound(None) as unproven:
            unproven.memory.charge(200_000)
            await stream.write(b"still works")
            assert await stream.read() == b"still works"


# --- the end


async def test_after_its_end_a_swarm_does_nothing() -> None:
    async with homes(2) as (alice, bob):
        address = await bob.listen()
        await alice.swarm.close()
        with pytest.raises(NotRunning):
            await alice.swarm.dial(bob.peer_id, [address])
        with pytest.raises(NotRunning):
            await alice.swarm.dial_unknown(address)
        await alice.swarm.close()
        await alice.swarm.drop()


async def test_who_waits_for_a_dial_learns_that_the_swarm_closes() -> None:
    for turns in range(8):
        async with homes(2, latency=0.1) as (alice, bob):
            address = await bob.listen()
            dials = [
                asyncio.ensure_future(alice.swarm.dial(bob.peer_id, [address])),
                asyncio.ensure_future(alice.swarm.dial_unknown(address)),
            ]
            await settle(turns)
            closing = asyncio.ensure_future(alice.swarm.close())
            await asyncio.wait([closing, *dials])
            for dial in dials:
                assert isinstance(dial.exception(), NotRunning)


async def test_a_connection_that_comes_while_the_swarm_closes_is_not_kept() -> None:
    async with homes(3, latency=0.1) as (alice, bob, carol):
        address = await bob.listen()
        await alice.swarm.dial(bob.peer_id, [address])
        await asyncio.sleep(1)
        made = bob.upgrader.connection
        closing: list[asyncio.Future[None]] = []

        def make(*arguments: object) -> Connection:
            closing.append(asyncio.ensure_future(bob.swarm.close()))
            bob.swarm._closing = True
            return made(*arguments)

        bob.upgrader.connection = make
        connection = await carol.swarm.dial(bob.peer_id, [address])
        await connection.closed
        await closing[0]
        assert bob.swarm.connections == []


async def test_a_dial_that_succeeds_while_the_swarm_closes_is_not_kept() -> None:
    async with homes(2) as (alice, bob):
        address = await bob.listen()
        dial = alice.swarm._dialer.dial

        async def dial_then_close(*arguments: object, **options: object) -> Connection:
            connection = await dial(*arguments, **options)
            alice.swarm._closing = True
            return connection

        alice.swarm._dialer.dial = dial_then_close
        with pytest.raises(NotRunning):
            await alice.swarm.dial(bob.peer_id, [address])


async def test_a_close_that_is_cancelled_aborts_and_the_rest_goes_by_itself() -> None:
    async with homes(3, latency=0.1) as (alice, bob, carol):
        for home in (bob, carol):
            await alice.swarm.dial(home.peer_id, [await home.listen()])
        closing = asyncio.ensure_future(alice.swarm.close())
        await settle()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await settle()
        assert alice.swarm.connections == []
        assert alice.held == {}


async def test_what_is_dropped_is_gone_on_return() -> None:
    async with homes(2) as (alice, bob):
        await alice.swarm.dial(bob.peer_id, [await bob.listen()])
        await alice.swarm.drop()
        assert alice.held == {}


async def test_an_observer_with_a_bug_costs_the_connection_alone() -> None:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context["exception"]))

    def fail(connection: Connection) -> None:
        raise ValueError("a bug")

    async with homes(2) as (alice, bob):
        address = await bob.listen()
        for swarm in (bob.swarm, alice.swarm):
            swarm.on_connected.append(fail)
            with pytest.raises((ValueError, ConnectionClosed)):
                await (await alice.swarm.dial_unknown(address)).open_stream(["/echo"], confirm=True)
            await settle()
            assert alice.swarm.connections == bob.swarm.connections == []
            swarm.on_connected.remove(fail)
        assert (await alice.swarm.dial(bob.peer_id, [address])).is_open
    assert [str(problem) for problem in problems] == ["a bug", "a bug"]

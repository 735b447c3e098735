"""Bandwidth as back-pressure: connections that may move only so many bytes a second, in virtual time."""

import asyncio

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import Denied
from cortexnet.transport.stream import Stream
from tests.support.pairs import Station, network, settle

KIB = 1024
RATE = 100 * KIB
SIZE = 10 * RATE  # bytes that take ten seconds
SLACK = 256 * KIB / RATE  # seconds: what a burst, a chunk and the socket hold


async def _send(connection: object, size: int) -> Stream:
    stream = await connection.open_stream(["/sink"])
    await stream.write(bytes(size))
    await stream.close_write()
    return stream


def sink(station: Station) -> asyncio.Queue[tuple[float, int]]:
    """Streams that were read to their end: when, and how long they were."""
    done: asyncio.Queue[tuple[float, int]] = asyncio.Queue()

    async def read(stream: Stream) -> None:
        size = 0
        async for chunk in stream:
            size += len(chunk)
        await done.put((asyncio.get_running_loop().time(), size))

    station.handle("/sink", read)
    return done


@pytest.mark.parametrize(
    ("dialer", "listener"),
    [
        ({"bandwidth_out": RATE}, {}),
        ({"bandwidth_out_per_peer": RATE}, {}),
        ({}, {"bandwidth_in": RATE}),
        ({}, {"bandwidth_in_per_peer": RATE}),
        ({"bandwidth_out": RATE}, {"bandwidth_in": RATE}),
    ],
)
async def test_a_transfer_takes_the_time_its_cap_asks_for_and_loses_nothing(
    dialer: dict[str, int], listener: dict[str, int]
) -> None:
    async with network() as net:
        alice, bob = net.station(Limits(**dialer)), net.station(Limits(**listener))
        done = sink(bob)
        connection, _ = await net.connect(alice, bob)
        begin = connection.loop.time()
        await _send(connection, SIZE)
        end, size = await done.get()
        assert size == SIZE
        assert 10 - SLACK <= end - begin <= 10 + SLACK


async def test_two_peers_share_the_cap_of_the_node_and_not_that_of_a_peer() -> None:
    async with network() as net:
        for setting, seconds in (("bandwidth_in", 20), ("bandwidth_in_per_peer", 10)):
            server = net.station(Limits(**{setting: RATE}))
            done = sink(server)
            connections = [(await net.connect(net.station(), server))[0] for _ in range(2)]
            begin = connections[0].loop.time()
            await asyncio.gather(*(_send(connection, SIZE) for connection in connections))
            ends = [(await done.get())[0] for _ in connections]
            assert seconds - 2 * SLACK <= max(ends) - begin <= seconds + 2 * SLACK
            assert max(ends) - min(ends) <= 2 * SLACK  # and equally


async def test_two_connections_of_a_peer_share_its_cap() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station(Limits(bandwidth_in_per_peer=RATE))
        done = sink(bob)
        connections = [(await net.connect(alice, bob))[0] for _ in range(2)]
        begin = connections[0].loop.time()
        await asyncio.gather(*(_send(connection, SIZE) for connection in connections))
        end = max([await done.get() for _ in connections])[0]
        assert 20 - 2 * SLACK <= end - begin <= 20 + 2 * SLACK


async def test_what_is_capped_in_one_direction_is_free_in_the_other() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station(Limits(bandwidth_in=RATE))
        done = sink(alice)
        _, theirs = await net.connect(alice, bob)
        begin = theirs.loop.time()
        await _send(theirs, SIZE)
        end, size = await done.get()
        assert size == SIZE
        assert end - begin < 1


async def test_timers_are_set_once_a_chunk_and_not_once_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station(Limits(bandwidth_in=RATE))
        done = sink(bob)
        connection, theirs = await net.connect(alice, bob)
        rests = []
        rest = theirs.link._end_read_rest
        monkeypatch.setattr(theirs.link, "_end_read_rest", lambda: (rests.append(1), rest()))
        stream = await connection.open_stream(["/sink"])
        for _ in range(2 * RATE // 64):
            await stream.write(bytes(64))
        await stream.close_write()
        assert (await done.get())[1] == 2 * RATE
        assert len(rests) <= 20


async def test_a_connection_that_has_to_wait_closes_at_once_and_leaves_no_timer() -> None:
    async with network() as net:
        limits = Limits(bandwidth_in=16 * KIB, bandwidth_out=16 * KIB)
        alice, bob = net.station(limits), net.station(limits)
        done = sink(bob)
        connection, theirs = await net.connect(alice, bob)
        stream = await connection.open_stream(["/sink"])
        writing = asyncio.create_task(stream.write(bytes(SIZE)))
        await asyncio.sleep(1)
        assert theirs.link._read_rest or connection.link._write_rest
        begin = connection.loop.time()
        connection.abort()
        await connection.closed
        await theirs.closed
        assert connection.loop.time() - begin <= 5
        await asyncio.wait([writing])
        assert writing.exception() is not None
        assert (theirs.link._read_rest, connection.link._write_rest) == (None, None)
        assert done.empty()


async def test_a_farewell_does_not_wait_for_bandwidth() -> None:
    async with network() as net:
        alice, bob = net.station(Limits(bandwidth_out=16 * KIB)), net.station()
        done = sink(bob)
        connection, theirs = await net.connect(alice, bob)
        await _send(connection, 128 * KIB)
        await settle()
        assert connection.link._write_rest is not None
        connection.turn_out(Denied("somebody", rule="enough"), 0x1007)
        await theirs.closed
        assert (theirs.error.code, theirs.error.by) == (0x1007, "remote")
        assert done.empty()


async def test_bytes_are_counted_by_peer_on_both_ends() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        done = sink(bob)
        connection, _ = await net.connect(alice, bob)
        await _send(connection, SIZE)
        await done.get()
        await settle()
        sent = alice.resources.of_peer(bob.peer_id)["bytes_sent"]
        assert SIZE < sent < SIZE * 1.01
        received, answered = bob.resources.traffic()
        assert received == sent
        assert answered == alice.resources.traffic()[0] > 0


@pytest.mark.parametrize("over", ["tcp", "quic"])
@pytest.mark.parametrize(("dialer", "listener"), [({"bandwidth_out": 1024 * KIB}, {}), ({}, {"bandwidth_in": 1024 * KIB})])
async def test_over_real_sockets_nothing_is_faster_than_its_cap_and_nothing_is_lost(
    over: str, dialer: dict[str, int], listener: dict[str, int]
) -> None:
    async with network(over=over) as net:
        alice, bob = net.station(Limits(**dialer)), net.station(Limits(**listener))
        done = sink(bob)
        connection, theirs = await net.connect(alice, bob)
        begin = connection.loop.time()
        await _send(connection, 512 * KIB)
        end, size = await done.get()
        assert size == 512 * KIB
        assert end - begin >= (512 - 103 - 128) / 1024  # less a burst, and what was on its way
        assert alice.resources.of_peer(bob.peer_id)["bytes_sent"] > 512 * KIB
        assert bob.resources.of_peer(alice.peer_id)["bytes_received"] > 512 * KIB
        await connection.close()
        await theirs.closed
        for link in (connection.link, theirs.link):
            assert (link._read_rest, link._write_rest) == (None, None)


async def test_quic_says_farewell_while_it_waits_for_bandwidth() -> None:
    async with network(over="quic") as net:
        alice, bob = net.station(Limits(bandwidth_out=16 * KIB)), net.station()
        done = sink(bob)
        connection, theirs = await net.connect(alice, bob)
        await _send(connection, 100 * KIB)
        for _ in range(1000):
            if connection.link._write_rest is None:
                await asyncio.sleep(0.01)  # time stands still while nobody waits for it
        connection.abort()
        await theirs.closed
        assert connection.link._write_rest is None
        assert done.empty()

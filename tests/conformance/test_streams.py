"""What every stream does, whatever transport is below it. After trio's check_two_way_stream and go-libp2p's muxer suite."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from cortexnet.errors import Busy, ConnectionClosed, EndOfStream, NegotiationFailed, StreamClosed, StreamReset
from cortexnet.transport.stream import Stream
from tests.conformance.places import PLACES, WITHOUT_WINDOWS, Place, arrive
from tests.support.pairs import settle

EVERYWHERE = PLACES | WITHOUT_WINDOWS


@pytest.fixture(params=EVERYWHERE)
def place(request: pytest.FixtureRequest) -> Place:
    return EVERYWHERE[request.param]


@pytest.fixture(params=PLACES)
def place_with_windows(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param]


@pytest.fixture(params=WITHOUT_WINDOWS)
def place_without_windows(request: pytest.FixtureRequest) -> Place:
    return WITHOUT_WINDOWS[request.param]


@asynccontextmanager
async def two_ends(place: Place) -> AsyncIterator[tuple[Stream, Stream]]:
    """Both ends of a stream whose protocol is settled; the handler's end lives as long as the block."""
    async with place() as net:
        alice, bob = net.station(), net.station()
        handed: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        over = asyncio.Event()

        async def handle(stream: Stream) -> None:
            handed.set_result(stream)
            await over.wait()

        bob.handle("/any", handle)
        ours, _ = await net.connect(alice, bob)
        stream = await ours.open_stream(["/any"], confirm=True)
        yield stream, await handed
        over.set()
        if stream.failure is None:
            stream.reset()


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def flood(stream: Stream) -> None:
    """Write and write."""
    for _ in range(1_000):
        await stream.write(bytes(100_000))
        await asyncio.sleep(0.001)


async def digest(stream: Stream) -> None:
    """The handler of a protocol that answers with the hash of all it got."""
    hashed = hashlib.sha256()
    async for chunk in stream:
        hashed.update(chunk)
    await stream.write(hashed.digest())


async def test_bytes_arrive_whole_and_in_order_in_both_directions_at_once(place: Place) -> None:
    async with two_ends(place) as (ours, theirs):
        random = Random(1)
        there, back = random.randbytes(400_000), random.randbytes(300_000)

        async def write(stream: Stream, data: bytes, seed: int) -> None:
            sizes, position = Random(seed), 0
            while position < len(data):
                size = sizes.choice([1, 2, 100, 1_000, 65_024, 65_536, 100_000])
                await stream.write(data[position : position + size])
                position += size
            await stream.close_write()

        results = await asyncio.gather(
            write(ours, there, 2), write(theirs, back, 3), ours.read_all(limit=1 << 20), theirs.read_all(limit=1 << 20)
        )
        assert results[2:] == [back, there]


async def test_one_end_closes_its_direction_and_the_other_goes_on(place: Place) -> None:
    async with two_ends(place) as (ours, theirs):
        await ours.write(b"question")
        await ours.close_write()
        assert await theirs.read_all(limit=100) == b"question"
        assert await theirs.read() == b""
        for _ in range(3):
            await theirs.write(b"answer")
            assert await ours.read_exactly(6) == b"answer"
        await theirs.close()
        assert await ours.read() == b""
        with pytest.raises(StreamClosed):
            await ours.write(b"more")


async def test_a_reset_is_told_to_who_reads_and_who_writes(place_with_windows: Place) -> None:
    async with two_ends(place_with_windows) as (ours, theirs):
        reading = asyncio.ensure_future(theirs.read_exactly(10))
        writing = asyncio.ensure_future(theirs.write(bytes(1_000_000)))
        await settle()
        ours.reset(0x42)
        for task in (reading, writing):
            with pytest.raises(StreamReset) as caught:
                await task
            assert (caught.value.code, caught.value.by) == (0x42, "remote")


async def test_a_reader_that_is_slow_holds_the_writer_back(place_with_windows: Place) -> None:
    async with two_ends(place_with_windows) as (ours, theirs):
        writing = asyncio.ensure_future(ours.write(bytes(2_000_000)))
        received = 0
        while received < 2_000_000:
            held = theirs.connection.mux.readable_bytes(theirs._id)
            assert held <= 262_144 * 8
            received += len(await theirs.read(30_000))
            await asyncio.sleep(0)
        await writing
        assert received == 2_000_000


async def test_without_windows_a_reset_is_told_to_who_reads_and_to_later_writes(place_without_windows: Place) -> None:
    async with two_ends(place_without_windows) as (ours, theirs):
        reading = asyncio.ensure_future(theirs.read_exactly(10))
        await settle()
        ours.reset(0x42)
        with pytest.raises(StreamReset) as caught:
            await reading
        assert (caught.value.code, caught.value.by) == (0, "remote")
        with pytest.raises(StreamReset):
            await theirs.write(b"x")


async def test_without_windows_what_is_not_read_costs_the_stream_and_no_other(place_without_windows: Place) -> None:
    async with two_ends(place_without_windows) as (ours, theirs):
        with pytest.raises(StreamReset):
            await flood(ours)
        with pytest.raises(StreamReset) as caught:
            await theirs.read()
        assert (caught.value.code, caught.value.by) == (0x1002, "local")
        assert theirs.connection.is_open
        assert ours.connection.is_open


async def test_without_windows_a_reader_may_wait_for_more_than_may_lie_unread(place_without_windows: Place) -> None:
    async with two_ends(place_without_windows) as (ours, theirs):
        reading = asyncio.ensure_future(theirs.read_exactly(6_000_000))
        await settle()
        await ours.write(bytes(7_000_000))
        assert await reading == bytes(6_000_000)
        assert await theirs.read_exactly(1_000_000) == bytes(1_000_000)


async def test_a_cancelled_read_leaves_every_byte(place: Place) -> None:
    async with two_ends(place) as (ours, theirs):
        data = Random(4).randbytes(60_000)
        writing = asyncio.ensure_future(ours.write(data))
        received = b""
        for turns in range(400):
            read = theirs.read(500) if turns % 2 else theirs.read_exactly(300)
            reading = asyncio.ensure_future(read)
            await settle(turns % 5)
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                received += reading.result()
        await writing
        await ours.close_write()
        assert received + await theirs.read_all(limit=60_000) == data


async def test_messages_keep_their_borders(place: Place) -> None:
    async with two_ends(place) as (ours, theirs):
        random = Random(5)
        messages = [random.randbytes(random.choice([0, 1, 127, 128, 5_000, 70_000])) for _ in range(60)]

        async def write() -> None:
            for message in messages:
                await ours.write_message(message)
            await ours.close()

        writing = asyncio.ensure_future(write())
        assert [await theirs.read_message(limit=70_000) for _ in messages] == messages
        with pytest.raises(EndOfStream):
            await theirs.read_message()
        await writing


async def test_there_is_one_reader_and_one_writer(place_with_windows: Place) -> None:
    async with two_ends(place_with_windows) as (ours, theirs):
        reading = asyncio.ensure_future(ours.read())
        writing = asyncio.ensure_future(ours.write(bytes(1_000_000)))
        await settle()
        with pytest.raises(Busy):
            await ours.read()
        with pytest.raises(Busy):
            await ours.write(b"x")
        await theirs.write(b"x")
        assert await reading == b"x"
        await theirs.read_exactly(1_000_000)
        await writing


async def test_a_closed_stream_keeps_what_was_written_also_when_the_connection_is_closed_right_behind_it(place: Place) -> None:
    async with place() as net:
        alice, bob = net.station(), net.station()
        received: list[int] = []

        async def count(stream: Stream) -> None:
            received.append(sum([len(chunk) async for chunk in stream]))

        bob.handle("/count", count)
        ours, theirs = await net.connect(alice, bob)
        async with await ours.open_stream(["/count"], confirm=True) as stream:
            await stream.write(bytes(300_000))
        await ours.close()
        await theirs.closed
        await settle()
        assert received == [300_000]


async def test_hundreds_of_streams_share_a_connection(place: Place) -> None:
    async with place() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/digest", digest)
        ours, theirs = await net.connect(alice, bob)

        async def ask(number: int) -> None:
            data = Random(number).randbytes(number * 37 % 5_000)
            async with await ours.open_stream(["/digest"]) as stream:
                await stream.write(data)
                await stream.close_write()
                assert await stream.read_exactly(32) == hashlib.sha256(data).digest()

        await asyncio.gather(*(ask(number) for number in range(400)))
        await arrive(net)
        assert (ours.stream_count, theirs.stream_count) == (0, 0)
        assert ours.mux.stream_count() == theirs.mux.stream_count() == 0


async def test_both_sides_may_open_streams(place: Place) -> None:
    async with place() as net:
        alice, bob = net.station(), net.station()
        for station in (alice, bob):
            station.handle("/echo", echo)
        connections = await net.connect(alice, bob)
        for connection in connections:
            async with await connection.open_stream(["/echo"]) as stream:
                await stream.write(b"hello")
                assert await stream.read_exactly(5) == b"hello"


async def test_a_protocol_nobody_speaks_shows_at_the_first_read(place: Place) -> None:
    async with place() as net:
        ours, _ = await net.connect(net.station(), net.station())
        stream = await ours.open_stream(["/none"])
        await stream.write(b"optimism")
        with pytest.raises(NegotiationFailed):
            await stream.read()


async def test_the_end_of_the_connection_is_the_end_of_its_streams(place_with_windows: Place) -> None:
    async with two_ends(place_with_windows) as (ours, theirs):
        reading = asyncio.ensure_future(ours.read())
        writing = asyncio.ensure_future(ours.write(bytes(2_000_000)))
        await settle()
        theirs.connection.abort()
        for task in (reading, writing):
            with pytest.raises(ConnectionClosed):
                await task

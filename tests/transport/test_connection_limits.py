"""What a peer may send for nothing, and how much a connection holds for its readers."""

import asyncio

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import ConnectionCode, LimitExceeded, ProtocolViolation, StreamCode, StreamReset
from cortexnet.multistream import propose
from cortexnet.transport.stream import Stream
from tests.support.hosted import hang, hosted
from tests.support.pairs import network, settle
from tests.support.raw_peer import credit, data, ended, opened, pinged, reset

# --- what a peer may send for nothing


@pytest.mark.parametrize(
    "frame", [pinged(1), data(1, b""), credit(1, 0), reset(9), ended(9)], ids=["ping", "empty", "credit", "reset", "end"]
)
async def test_too_many_useless_frames_end_the_connection_with_a_goodbye_that_says_so(frame: bytes) -> None:
    async with hosted() as (peer, connection, _):
        peer.send(opened(1), data(1, propose("/hang")))
        await settle()
        peer.send(*[frame] * 900)
        await settle()
        assert connection.is_open
        peer.send(*[frame] * 200)
        await peer.lost()
        assert peer.farewells() == [ConnectionCode.MUXER_VIOLATION]
        assert isinstance(connection.error, ProtocolViolation)


async def test_what_does_not_decrypt_ends_the_connection() -> None:
    async with hosted() as (peer, connection, _):
        peer.send(opened(1), data(1, propose("/echo") + b"before"))
        peer.io.write(b"\x00\x20" + bytes(32))
        await peer.lost()
        assert isinstance(connection.error, ProtocolViolation)


async def test_a_peer_that_sends_more_than_it_was_granted_is_cut_off_and_one_that_sends_all_of_it_is_not() -> None:
    proposal = propose("/hang")
    for size, is_open in ((262_144 - len(proposal), True), (262_145 - len(proposal), False)):
        async with hosted() as (peer, connection, _):
            peer.send(opened(1), data(1, proposal))
            await peer.until(lambda peer=peer: peer.body(1))
            for start in range(0, size, 60_000):
                peer.send(data(1, bytes(min(60_000, size - start))))
            await settle(200)
            assert connection.is_open is is_open
            assert peer.farewells() == ([] if is_open else [ConnectionCode.MUXER_VIOLATION])


# --- memory


async def test_a_slow_reader_holds_its_window_and_no_more() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/hang", hang)
        ours, theirs = await net.connect(alice, bob)
        stream = await ours.open_stream(["/hang"])
        writing = asyncio.ensure_future(stream.write(bytes(10_000_000)))
        await asyncio.sleep(1)
        assert not writing.done()
        held = bob.resources.snapshot()["memory"]
        assert 262_144 - 100 < held < 262_144 + 64 * 300
        assert theirs.is_open
        writing.cancel()


async def test_over_the_memory_of_a_connection_its_largest_unread_stream_is_reset() -> None:
    limits = Limits(connection_memory=400_000)
    failures: list[Exception] = []

    async def wait(stream: Stream) -> None:
        try:
            await stream.read_exactly(262_000)
        except StreamReset as error:
            failures.append(error)
            raise

    async with hosted(limits) as (peer, connection, station):
        station.handle("/hang", wait)
        for stream_id, size in ((1, 100_000), (3, 200_000), (5, 150_000)):
            peer.send(opened(stream_id), data(stream_id, propose("/hang")))
            await settle()
            for start in range(0, size, 50_000):
                peer.send(data(stream_id, bytes(min(50_000, size - start))))
                await settle()
        assert peer.resets(3) == [StreamCode.LIMIT_EXCEEDED]
        assert not peer.resets(1)
        (failure,) = failures
        assert "raise it with limits.connection_memory and limits.peer_memory" in str(failure)
        assert isinstance(failure.__cause__, LimitExceeded)
        assert connection.is_open
        assert station.resources.snapshot()["memory"] < 300_000

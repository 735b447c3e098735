"""perf: bytes there and back, and what is made of peers that send other amounts."""

import asyncio

import pytest

from cortexnet.errors import EndOfStream, LocalError, NegotiationFailed, ProtocolViolation, StreamReset
from cortexnet.host.perf import PROTOCOL, perf, serve_perf
from cortexnet.transport.stream import Stream
from tests.support.pairs import network, settle


@pytest.mark.parametrize(("upload", "download"), [(0, 0), (1, 0), (0, 1), (65_536, 65_536), (200_001, 300_001)])
@pytest.mark.parametrize("tcp", [False, True])
async def test_as_much_as_was_asked_for_goes_each_way(upload: int, download: int, tcp: bool) -> None:
    async with network(tcp=tcp) as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_perf)
        connection, _ = await net.connect(alice, bob)
        reports: list[tuple[int, int]] = []
        result = await perf(connection, upload=upload, download=download, progress=lambda *done: reports.append(done))
        assert (result.uploaded, result.downloaded) == (upload, download)
        assert reports == sorted(reports)
        assert (reports or [(0, 0)])[-1] == (upload, download)
        await perf(connection, upload=1, download=1)


async def test_the_two_times_add_up_to_all_of_it() -> None:
    async with network(latency=1.0) as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_perf)
        connection, _ = await net.connect(alice, bob)
        begin = connection.loop.time()
        result = await perf(connection, upload=100, download=100)
        # The end of the upload leaves only when the peer has settled on the protocol: one round trip more.
        assert (result.upload_seconds, result.download_seconds) == (4.0, 0.0)
        assert connection.loop.time() == begin + 4


@pytest.mark.parametrize(("upload", "download"), [(-1, 0), (0, -1), (0, 1 << 64)])
async def test_impossible_sizes_are_refused_before_anything_is_sent(upload: int, download: int) -> None:
    async with network() as net:
        connection, theirs = await net.connect(net.station(), net.station())
        with pytest.raises(LocalError):
            await perf(connection, upload=upload, download=download)
        await settle()
        assert theirs.stream_count == 0


async def test_a_peer_that_does_not_serve_it_says_so() -> None:
    async with network() as net:
        connection, _ = await net.connect(net.station(), net.station())
        with pytest.raises(NegotiationFailed):
            await perf(connection, upload=1_000_000, download=1)


@pytest.mark.parametrize(("sent", "error"), [(9, EndOfStream), (11, ProtocolViolation)])
async def test_a_peer_that_sends_another_amount_is_found_out(sent: int, error: type[Exception]) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()

        async def serve(stream: Stream) -> None:
            await stream.read_all(limit=100)
            await stream.write(bytes(sent))

        bob.handle(PROTOCOL, serve)
        connection, theirs = await net.connect(alice, bob)
        with pytest.raises(error):
            await perf(connection, upload=10, download=10)
        await settle()
        assert (connection.stream_count, theirs.stream_count) == (0, 0)


async def test_a_request_cut_short_resets_the_stream() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_perf)
        connection, _ = await net.connect(alice, bob)
        async with await connection.open_stream([PROTOCOL]) as stream:
            await stream.write(bytes(7))
            await stream.close_write()
            with pytest.raises(StreamReset):
                await stream.read()


async def test_cancelled_both_ways_it_leaves_no_stream() -> None:
    async with network(latency=0.5) as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_perf)
        connection, theirs = await net.connect(alice, bob)
        for upload, download in ((50_000_000, 0), (0, 50_000_000)):
            task = asyncio.ensure_future(perf(connection, upload=upload, download=download))
            await asyncio.sleep(3.2)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(5)
            assert (connection.stream_count, theirs.stream_count) == (0, 0)

"""Every way a connection can end, and what is left of it then."""

import asyncio

import pytest

from cortexnet.errors import ConnectionClosed, ConnectionCode, StreamClosed, StreamCode
from cortexnet.multistream import propose
from cortexnet.mux.yamux_frames import SYN
from cortexnet.transport.stream import Stream
from tests.support.hosted import ANSWER, counts, echo, hang, hosted, sink
from tests.support.pairs import network, settle
from tests.support.raw_peer import acked, data, ended, farewell, opened, raw_accept, raw_dial

# --- the end


async def test_a_close_sends_what_was_written_then_says_goodbye_and_waits_for_the_peers_end() -> None:
    async with hosted() as (peer, connection, station):
        peer.send(opened(1), data(1, propose("/hang")))
        await peer.until(lambda: peer.body(1))
        (stream,) = connection.streams
        await stream.write(bytes(100_000))
        closing = asyncio.ensure_future(connection.close(ConnectionCode.SHUTDOWN))
        await peer.until(lambda: peer.farewells())
        assert peer.farewells() == [ConnectionCode.SHUTDOWN]
        assert len(peer.body(1)) > 100_000
        assert peer.resets(1) == [StreamCode.SHUTDOWN]
        await closing
        assert peer.has_ended
        assert connection.error.by == "local"
        assert counts(station) == {}


async def test_a_goodbye_destroys_nothing_that_is_still_under_way() -> None:
    """A socket that is closed with bytes unread is reset by the system, and what the peer has not taken yet is gone."""
    size = 8 << 20
    for _ in range(5):
        async with network(tcp=True) as net:
            alice, bob = net.station(), net.station()
            written = asyncio.Event()

            async def give(stream: Stream, written: asyncio.Event = written) -> None:
                await stream.write(bytes(size))
                await stream.close()
                written.set()

            alice.handle("/give", give)
            ours, theirs = await net.connect(alice, bob)
            stream = await theirs.open_stream(["/give"])
            await stream.write(b"")
            closing, received = None, 0
            while chunk := await stream.read(2_000):
                received += len(chunk)
                if closing is None and written.is_set():
                    closing = asyncio.ensure_future(ours.close())
            assert received == size
            await closing


async def test_a_peer_that_does_not_end_its_side_is_aborted_after_two_seconds() -> None:
    async with hosted() as (peer, connection, station):
        peer.io.pause_reading()
        begin = connection.loop.time()
        await connection.close()
        assert connection.loop.time() - begin == pytest.approx(2)
        assert connection.closed.done()
        assert counts(station) == {}


async def test_what_a_peer_sends_after_our_goodbye_is_dropped() -> None:
    async with hosted() as (peer, connection, station):
        peer.io.pause_reading()
        closing = asyncio.ensure_future(connection.close())
        await settle()
        peer.send(opened(1), data(1, propose("/echo") + b"hello"))
        peer.io.write(b"\x00\x20" + bytes(32))
        await settle()
        assert not closing.done()
        assert counts(station).get("streams_inbound") is None
        peer.io.resume_reading()
        await closing


async def test_a_peer_that_reads_nothing_can_not_delay_the_close_for_ever() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/hang", hang)
        ours, _ = await net.connect(alice, bob)
        streams = [await ours.open_stream(["/hang"]) for _ in range(4)]
        await settle()
        (link,) = net.memory.links
        link.silence()
        writes = [asyncio.ensure_future(stream.write(bytes(200_000))) for stream in streams]
        await settle()
        begin = ours.loop.time()
        await ours.close()
        assert ours.loop.time() - begin == pytest.approx(2)
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert any(isinstance(result, ConnectionClosed) for result in results)


async def test_two_may_close_a_connection_at_the_same_time() -> None:
    async with network(latency=0.1) as net:
        alice, bob = net.station(), net.station()
        bob.handle("/sink", sink)
        ours, _ = await net.connect(alice, bob)
        stream = await ours.open_stream(["/sink"])
        writing = asyncio.ensure_future(stream.write(bytes(250_000)))
        await asyncio.sleep(0)
        begin = ours.loop.time()
        await asyncio.gather(ours.close(), ours.close(), writing)
        assert ours.loop.time() - begin < 1
        await ours.close()


async def test_a_cancelled_close_aborts() -> None:
    async with hosted() as (peer, connection, station):
        peer.io.pause_reading()
        closing = asyncio.ensure_future(connection.close())
        await settle()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await settle()
        assert connection.closed.done()
        assert counts(station) == {}


async def test_an_abort_is_heard_by_everybody_at_once() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/hang", hang)
        ours, theirs = await net.connect(alice, bob)
        stream = await ours.open_stream(["/hang"])
        reading = asyncio.ensure_future(stream.read())
        await settle()
        ours.abort()
        ours.abort()
        with pytest.raises(ConnectionClosed) as caught:
            await reading
        assert caught.value.by == "local"
        await settle()
        assert theirs.error.by == "network"
        ours.abort()
        for call in (stream.write(b"x"), stream.read(), stream.close_write()):
            with pytest.raises(ConnectionClosed):
                await call
        await stream.close()


async def test_the_peers_goodbye_and_its_code_are_told() -> None:
    async with hosted() as (peer, connection, _):
        peer.send(farewell(0x1006))
        await peer.lost()
        assert (connection.error.by, connection.error.code) == ("remote", 0x1006)
        assert not connection.is_open


async def test_a_socket_that_ends_without_a_goodbye_is_the_networks_end() -> None:
    async with hosted() as (peer, connection, _):
        peer.io.write_eof()
        await peer.lost()
        assert connection.error.by == "network"


async def test_forty_seconds_without_a_byte_are_the_end() -> None:
    async with network() as net:
        ours, _ = await net.connect(net.station(), net.station())
        await asyncio.sleep(100)
        assert ours.is_open, "pings keep it alive"
        (link,) = net.memory.links
        link.silence()
        begin = ours.loop.time()
        await ours.closed
        assert 30 <= ours.loop.time() - begin <= 41
        assert ours.error.by == "network"


async def test_what_a_peer_left_that_went_in_peace_can_be_read_to_its_end() -> None:
    """A client may write, close its stream and go; the handler is not to lose what had all come."""
    received: list[bytes] = []

    async def collect(stream: Stream) -> None:
        while chunk := await stream.read(1_000):
            await asyncio.sleep(0)
            received.append(chunk)
        received.append(b"the end")

    async with hosted() as (peer, _, station):
        station.handle("/collect", collect)
        peer.send(opened(1), data(1, propose("/collect") + bytes(50_000)), ended(1), farewell())
        await peer.lost()
        await settle(200)
        assert (sum(map(len, received)), received[-1]) == (50_007, b"the end")
        assert counts(station) == {}


async def test_a_stream_that_was_finished_reads_as_finished_and_one_that_was_not_fails() -> None:
    async with network() as net:
        station = net.station()
        peer, connection = await raw_accept(net, station)
        streams = [await connection.open_stream(["/any"]) for _ in range(4)]
        answer = ANSWER + b"\x05/any\n"
        peer.send(
            *(acked(stream_id) + data(stream_id, answer) for stream_id in (1, 3, 5, 7)),
            data(1, b"whole") + ended(1),
            data(3, b"half"),
            ended(5),
            farewell(),
        )
        await connection.closed
        whole, half, empty, open_ = streams
        assert await whole.read() == b"whole"
        assert await whole.read() == b""
        assert await half.read() == b"half"
        for stream in (half, open_):
            with pytest.raises(ConnectionClosed):
                await stream.read()
        assert await empty.read() == b""
        assert await empty.read_exactly(0) == b""
        for stream in streams:
            await stream.close()
            with pytest.raises(ConnectionClosed):
                await stream.read()


async def test_handlers_that_have_nothing_to_read_any_more_end_two_seconds_after_the_connection() -> None:
    ends: list[float] = []

    async def wait(stream: Stream) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(asyncio.get_running_loop().time())

    async with hosted() as (peer, connection, station):
        station.handle("/wait", wait)
        peer.send(opened(1), data(1, propose("/wait")))
        await settle()
        peer.send(farewell())
        await peer.lost()
        gone = connection.loop.time()
        assert ends == []
        await asyncio.sleep(3)
        assert ends == [pytest.approx(gone + 2)]
        assert counts(station) == {}


async def test_a_handler_may_close_or_abort_its_own_connection() -> None:
    after: list[str] = []

    async def close(stream: Stream) -> None:
        await stream.connection.close()
        after.append("closed")

    async def abort(stream: Stream) -> None:
        stream.connection.abort()
        await asyncio.sleep(1)
        after.append("aborted")

    for protocol in ("/close", "/abort"):
        async with hosted() as (peer, _, station):
            station.handle("/close", close)
            station.handle("/abort", abort)
            peer.send(opened(1), data(1, propose("/hang")), opened(3), data(3, propose(protocol)))
            await peer.lost()
            await asyncio.sleep(2)
            assert counts(station) == {}
    assert after == ["closed", "aborted"]


async def test_streams_that_are_opened_while_we_close_are_refused_and_not_counted_for_ever() -> None:
    async with network() as net:
        station = net.station()
        station.handle("/echo", echo)
        peer, connection = await raw_dial(net, station)
        peer.send(opened(1), data(1, propose("/echo")))
        await settle()
        (link,) = net.memory.links
        link.backward.silence()  # so that there is something left to be sent
        (stream,) = connection.streams
        writing = asyncio.ensure_future(stream.write(bytes(260_000)))
        await settle()
        closing = asyncio.ensure_future(connection.close())
        await settle()
        peer.send(opened(3), data(3, propose("/echo")), opened(5))
        await settle()
        await closing
        await asyncio.gather(writing, return_exceptions=True)
        await settle()
        assert counts(station) == {}
        peer.io.abort()


async def test_a_connection_that_was_never_started_can_be_closed() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.started = lambda connection: None
        ours, theirs = await net.connect(alice, bob)
        await theirs.close()
        await ours.closed
        assert counts(bob) == {}
        theirs.start(bob, bob.scope)
        assert len(bob.scope) == 0


async def test_a_socket_that_fails_while_we_say_goodbye_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with network() as net:
        ours, theirs = await net.connect(net.station(), net.station())

        def fail() -> None:
            raise OSError("not connected")

        monkeypatch.setattr(ours.link._io, "write_eof", fail)
        monkeypatch.setattr(theirs.link._io, "can_write_eof", lambda: False)
        await asyncio.gather(ours.close(), theirs.close())


async def test_no_timer_outlives_a_connection() -> None:
    """An armed one would keep everything the connection holds for half a minute."""
    async with network() as net:
        ours, theirs = await net.connect(net.station(), net.station())
        stream = await ours.open_stream(["/none"])
        await stream.write(b"x")
        ours.abort()
        await theirs.closed
        await settle()
        timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]
        assert timers == []


async def test_writers_that_wait_for_the_socket_go_on_when_it_takes_more() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/sink", sink)
        ours, _ = await net.connect(alice, bob)
        stream = await ours.open_stream(["/sink"])
        (link,) = net.memory.links
        await settle()
        link.forward.silence()
        ours.link._io.set_write_buffer_limits(high=1_000)
        await stream.write(bytes(64_000))
        writing = asyncio.ensure_future(stream.write(bytes(150_000)))
        await settle()
        link.heal()
        await writing
        await stream.close()


async def test_frames_go_out_with_syn_first() -> None:
    async with network() as net:
        peer, connection = await raw_accept(net, net.station())
        stream = await connection.open_stream(["/any"])
        await stream.write(b"hello")
        await settle()
        of_stream = [frame for frame in peer.frames if frame.stream_id == 1]
        assert of_stream[0].flags & SYN
        assert peer.body(1) == propose("/any") + b"hello"
        with pytest.raises(StreamClosed):
            stream.connection.mux.close_write(1) or stream.connection.mux.send(1, b"more")
        stream.reset()


async def test_connections_that_are_lost_at_once_end_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a process with many connections that is killed does not hold up everybody else's."""
    async with network(tcp=True) as net:
        alice, bob = net.station(), net.station()
        connections = [(await net.connect(alice, bob))[1] for _ in range(4)]
        turns = connections[0].link._turns
        spend = turns.spend_on_change
        monkeypatch.setattr(turns, "spend_on_change", lambda seconds: spend(1))  # each takes long
        ended: list[int] = []
        turn = 0
        for connection in connections:
            connection.closed.add_done_callback(lambda _: ended.append(turn))
            connection.link._io.abort()
        while len(ended) < 4:
            turn += 1
            await asyncio.sleep(0)
        assert len(set(ended)) == 4
        assert bob.resources.snapshot()["connections"] == 0

"""ping: the echo, round trips, and the one stream of each connection."""

import asyncio

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import (
    ConnectionClosed,
    EndOfStream,
    NegotiationFailed,
    PeerTimeout,
    ProtocolViolation,
    StreamClosed,
    StreamReset,
)
from cortexnet.host.ping import IDLE_TIMEOUT, PROTOCOL, STREAM_AGE, Pinger, serve_ping
from cortexnet.transport.stream import Stream
from tests.support.pairs import network, settle


async def test_a_ping_takes_a_round_trip() -> None:
    async with network(latency=0.05) as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, _ = await net.connect(alice, bob)
        pinger = Pinger(Limits())
        assert [await pinger.ping(connection) for _ in range(3)] == pytest.approx([0.1, 0.1, 0.1])


async def test_over_tcp_it_works_the_same() -> None:
    async with network(tcp=True) as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, _ = await net.connect(alice, bob)
        assert await Pinger(Limits()).ping(connection) > 0


async def test_pings_one_after_the_other_use_one_stream_which_is_closed_when_it_is_old() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        opened = []

        async def count(stream: Stream) -> None:
            opened.append(stream)
            await serve_ping(stream)

        bob.handle(PROTOCOL, count)
        connection, theirs = await net.connect(alice, bob)
        pinger = Pinger(Limits())
        for _ in range(5):
            await pinger.ping(connection)
        assert (len(opened), connection.stream_count) == (1, 1)
        await asyncio.sleep(STREAM_AGE + 0.1)
        assert (connection.stream_count, theirs.stream_count) == (0, 0)
        assert isinstance(opened[0].failure, StreamClosed), "it was closed in peace, not reset"
        await pinger.ping(connection)
        assert len(opened) == 2


async def test_over_quic_each_ping_has_a_stream_as_some_peers_overlook_the_second_ping_of_one() -> None:
    async with network(over="quic") as net:
        alice, bob = net.station(), net.station()
        opened = []

        async def one_ping(stream: Stream) -> None:
            opened.append(stream)
            await stream.write(await stream.read_exactly(32))
            await asyncio.Event().wait()  # whatever else comes

        bob.handle(PROTOCOL, one_ping)
        connection, _ = await net.connect(alice, bob)
        pinger = Pinger(Limits())
        for _ in range(3):
            await pinger.ping(connection)
            assert connection.stream_count == 0, "it does not wait for the peer's end"
        assert len(opened) == 3


async def test_pings_at_the_same_time_wait_for_each_other() -> None:
    async with network(latency=1.0) as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, theirs = await net.connect(alice, bob)
        pinger = Pinger(Limits())
        pings = asyncio.gather(*(pinger.ping(connection) for _ in range(3)))
        await asyncio.sleep(2.5)
        assert theirs.stream_count == 1
        assert await pings == [2.0, 2.0, 2.0]


async def test_a_stream_that_grows_old_under_a_ping_ends_behind_it() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()

        async def late(stream: Stream) -> None:
            while True:
                data = await stream.read_exactly(32)
                await asyncio.sleep(5)
                await stream.write(data)

        bob.handle(PROTOCOL, late)
        connection, _ = await net.connect(alice, bob)
        pinger = Pinger(Limits())
        assert await pinger.ping(connection) == 5
        assert connection.stream_count == 1
        assert await pinger.ping(connection) == 5
        assert connection.stream_count == 0


async def test_a_stream_the_peer_has_ended_meanwhile_is_replaced() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()

        async def once(stream: Stream) -> None:
            await stream.write(await stream.read_exactly(32))

        async def once_rudely(stream: Stream) -> None:
            await once(stream)
            await asyncio.sleep(1)
            stream.reset()

        connection, _ = await net.connect(alice, bob)
        pinger = Pinger(Limits())
        for handler in (once, once_rudely):
            bob.handle(PROTOCOL, handler)
            await pinger.ping(connection)
            await asyncio.sleep(2)
            await pinger.ping(connection)


async def test_a_peer_that_only_ends_streams_is_no_reason_to_go_on_for_ever() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()

        async def end(stream: Stream) -> None:
            await stream.read_exactly(32)

        bob.handle(PROTOCOL, end)
        connection, _ = await net.connect(alice, bob)
        with pytest.raises(EndOfStream):
            await Pinger(Limits()).ping(connection)


async def test_a_wrong_echo_is_a_violation_and_ends_the_stream() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()

        async def lie(stream: Stream) -> None:
            while True:
                await stream.read_exactly(32)
                await stream.write(bytes(32))

        bob.handle(PROTOCOL, lie)
        connection, theirs = await net.connect(alice, bob)
        with pytest.raises(ProtocolViolation):
            await Pinger(Limits()).ping(connection)
        await settle()
        assert (connection.stream_count, theirs.stream_count) == (0, 0)


async def test_a_peer_that_does_not_answer_is_too_late_and_the_next_ping_starts_afresh() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        answers = asyncio.Event()

        async def slow(stream: Stream) -> None:
            data = await stream.read_exactly(32)
            await answers.wait()
            await stream.write(data)

        bob.handle(PROTOCOL, slow)
        connection, _ = await net.connect(alice, bob)
        pinger = Pinger(Limits(ping_timeout=3.0))
        begin = connection.loop.time()
        with pytest.raises(PeerTimeout):
            await pinger.ping(connection)
        assert connection.loop.time() == begin + 3
        with pytest.raises(PeerTimeout):
            await pinger.ping(connection, timeout=1)
        assert connection.loop.time() == begin + 4
        answers.set()
        await pinger.ping(connection)


async def test_a_peer_that_does_not_speak_it_says_so() -> None:
    async with network() as net:
        connection, _ = await net.connect(net.station(), net.station())
        with pytest.raises(NegotiationFailed):
            await Pinger(Limits()).ping(connection)


async def test_a_cancelled_ping_leaves_no_stream() -> None:
    async with network(latency=1.0) as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, theirs = await net.connect(alice, bob)
        pinger = Pinger(Limits())
        for delay in (0.0, 0.5, 1.5, 1.999):
            task = asyncio.ensure_future(pinger.ping(connection))
            await asyncio.sleep(delay)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert connection.stream_count == 0
            await asyncio.sleep(3)
            assert theirs.stream_count == 0
        assert await pinger.ping(connection) == 2


async def test_after_the_end_of_a_connection_nothing_is_kept() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        pinger = Pinger(Limits())
        alice.on_lost.append(pinger.disconnected)
        connection, theirs = await net.connect(alice, bob)
        unused, _ = await net.connect(alice, bob)
        await pinger.ping(connection)
        await unused.close()
        await connection.close()
        with pytest.raises(ConnectionClosed):
            await pinger.ping(connection)
        assert pinger._lines == {}
        del theirs


async def test_a_connection_that_breaks_under_a_ping_raises_that() -> None:
    async with network(latency=1.0) as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, theirs = await net.connect(alice, bob)
        task = asyncio.ensure_future(Pinger(Limits()).ping(connection))
        await asyncio.sleep(0.5)
        theirs.abort()
        with pytest.raises(ConnectionClosed):
            await task


async def test_pings_may_come_in_pieces_and_several_at_once() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, _ = await net.connect(alice, bob)
        sent = bytes(range(96))
        async with await connection.open_stream([PROTOCOL]) as stream:
            for piece in (sent[:10], sent[10:33], sent[33:]):
                await stream.write(piece)
                await settle()
            assert await stream.read_exactly(96) == sent
            await stream.close_write()
            assert await stream.read() == b""


async def test_who_sends_thousands_of_pings_leaves_others_their_turns() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, _ = await net.connect(alice, bob)
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        stream = await connection.open_stream([PROTOCOL])
        others = asyncio.ensure_future(other())
        pings = bytes(range(256)) * 1_024
        writing = asyncio.ensure_future(stream.write(pings))
        assert await stream.read_exactly(len(pings)) == pings
        await writing
        others.cancel()
        assert turns > 40, "of 64 batches hardly any two were in one turn"
        await stream.close()


async def test_a_ping_cut_short_resets_the_stream() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, _ = await net.connect(alice, bob)
        async with await connection.open_stream([PROTOCOL]) as stream:
            await stream.write(b"half")
            await stream.close_write()
            with pytest.raises(StreamReset) as caught:
                await stream.read()
            assert caught.value.code == ProtocolViolation.code


async def test_a_silent_ping_stream_is_closed_after_a_while_and_each_ping_gives_it_more() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle(PROTOCOL, serve_ping)
        connection, _ = await net.connect(alice, bob)
        async with await connection.open_stream([PROTOCOL]) as stream:
            for _ in range(5):
                await stream.write(bytes(32))
                await stream.read_exactly(32)
                await asyncio.sleep(IDLE_TIMEOUT - 1)
            begin = connection.loop.time()
            assert await stream.read() == b""
            assert connection.loop.time() == pytest.approx(begin + 1)

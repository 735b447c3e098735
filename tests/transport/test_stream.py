"""Streams as applications see them: reading, writing, closing, and what cancellation leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import (
    Busy,
    ConnectionClosed,
    EndOfStream,
    LimitExceeded,
    LocalError,
    MessageTooLarge,
    NegotiationFailed,
    PeerTimeout,
    ProtocolViolation,
    StreamClosed,
    StreamCode,
    StreamReset,
)
from cortexnet.multiformats import varint
from cortexnet.multistream import propose
from cortexnet.mux.yamux_frames import FIN, RST
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream
from tests.support.hosted import ANSWER, counts
from tests.support.pairs import Station, network, settle
from tests.support.raw_peer import RawPeer, acked, credit, data, ended, raw_accept, reset

ACCEPTED = ANSWER + b"\x05/any\n"
REFUSED = ANSWER + b"\x03na\n"


@asynccontextmanager
async def two_ends(
    *, limits: Limits | None = None, tcp: bool = False, latency: float = 0.0
) -> AsyncIterator[tuple[Stream, Stream]]:
    """Both ends of one stream: who opened it, and the handler's, which lives as long as the block."""
    async with network(tcp=tcp, latency=latency) as net:
        alice, bob = net.station(limits), net.station(limits)
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
        await settle()
        if stream.failure is None:
            stream.reset()


@asynccontextmanager
async def proposed() -> AsyncIterator[tuple[RawPeer, Connection, Stream, Station]]:
    """A stream that was opened to a raw peer, which has not answered the proposal."""
    async with network() as net:
        station = net.station()
        peer, connection = await raw_accept(net, station)
        yield peer, connection, await connection.open_stream(["/any"]), station
        peer.io.abort()
        await settle()


def soon(coroutine) -> asyncio.Task:
    return asyncio.ensure_future(coroutine)


# --- reading


async def test_reads_return_what_is_there_up_to_the_size_asked_for_then_the_end() -> None:
    async with two_ends() as (ours, theirs):
        await theirs.write(b"hello world")
        assert await ours.read(5) == b"hello"
        assert await ours.read() == b" world"
        reading = soon(ours.read())
        await settle()
        assert not reading.done()
        await theirs.write(b"!")
        assert await reading == b"!"
        await theirs.close_write()
        assert await ours.read() == b""
        assert await ours.read() == b""
        assert [chunk async for chunk in ours] == []


async def test_a_loop_over_a_stream_gives_all_of_it() -> None:
    async with two_ends() as (ours, theirs):
        await theirs.write(b"a")
        await settle()
        await theirs.write(b"b" * 100_000)
        await theirs.close()
        assert b"".join([chunk async for chunk in ours]) == b"a" + b"b" * 100_000


async def test_exact_reads_wait_for_all_and_tell_what_came_of_a_longer_one() -> None:
    async with two_ends() as (ours, theirs):
        reading = soon(ours.read_exactly(6))
        await theirs.write(b"abc")
        await settle()
        assert not reading.done()
        await theirs.write(b"defgh")
        assert await reading == b"abcdef"
        assert await ours.read_exactly(0) == b""
        await theirs.close_write()
        with pytest.raises(EndOfStream) as caught:
            await ours.read_exactly(3)
        assert caught.value.partial == b"gh"
        with pytest.raises(EndOfStream) as caught:
            await ours.read_exactly(3)
        assert caught.value.partial == b""
        assert isinstance(caught.value, EOFError)


async def test_sizes_that_are_none_are_refused() -> None:
    async with two_ends() as (ours, _):
        for call in (ours.read(0), ours.read(-1), ours.read_exactly(-1)):
            with pytest.raises(LocalError):
                await call


async def test_a_read_of_more_than_a_window_is_granted_what_it_waits_for() -> None:
    async with two_ends() as (ours, theirs):
        writing = soon(theirs.write(bytes(3_000_000)))
        assert len(await ours.read_exactly(3_000_000)) == 3_000_000
        await writing
        held = ours.connection.reservation.memory.used
        assert held < 1_000_000, "the share of a demand is given back when the read ends"


async def test_a_read_that_can_never_fit_says_so_at_once() -> None:
    async with two_ends() as (ours, theirs):
        with pytest.raises(LimitExceeded) as caught:
            await ours.read_exactly(32 << 20)
        assert caught.value.setting == "limits.connection_memory and limits.peer_memory"
        await theirs.write(b"still usable")
        assert await ours.read() == b"still usable"


async def test_read_all_takes_everything_up_to_the_end() -> None:
    async with two_ends() as (ours, theirs):
        writing = soon(theirs.write(bytes(1_000_000)))
        reading = soon(ours.read_all(limit=2_000_000))
        await writing
        await theirs.close_write()
        assert len(await reading) == 1_000_000
        assert await ours.read_all(limit=5) == b""


async def test_read_all_over_its_limit_loses_nothing() -> None:
    async with two_ends() as (ours, theirs):
        writing = soon(theirs.write(b"x" * 5_000))
        with pytest.raises(MessageTooLarge):
            await ours.read_all(limit=4_999)
        await writing
        assert await ours.read_exactly(5_000) == b"x" * 5_000
        await theirs.close_write()
        assert await ours.read_all(limit=0) == b""


async def test_read_all_with_a_limit_that_does_not_fit_reads_what_fits() -> None:
    """The limit says what is acceptable, not what comes."""
    async with two_ends() as (ours, theirs):
        writing = soon(theirs.write(bytes(12 << 20)))
        reading = soon(ours.read_all(limit=1 << 30))
        await writing
        await theirs.close_write()
        assert len(await reading) == 12 << 20


async def test_messages_have_their_length_in_front() -> None:
    async with two_ends() as (ours, theirs):
        await theirs.write_message(b"one")
        await theirs.write_message(b"")
        await theirs.write_message(bytearray(b"x" * 1_000))
        assert [await ours.read_message() for _ in range(3)] == [b"one", b"", b"x" * 1_000]
        reading = soon(ours.read_message(limit=2_000_000))
        await theirs.write(varint.encode(1_500_000)[:1])
        await settle()
        await theirs.write(varint.encode(1_500_000)[1:] + b"12")
        await settle()
        writing = soon(theirs.write(bytes(1_499_998)))
        assert len(await reading) == 1_500_000
        await writing
        await theirs.close_write()
        with pytest.raises(EndOfStream) as caught:
            await ours.read_message()
        assert caught.value.partial == b""
        with pytest.raises(EndOfStream):
            await ours.read_message(limit=0)


async def test_a_message_that_is_cut_short_is_told_with_what_came() -> None:
    async with two_ends() as (ours, theirs):
        await theirs.write(b"\x05abc")
        await theirs.close_write()
        with pytest.raises(EndOfStream) as caught:
            await ours.read_message()
        assert caught.value.partial == b"\x05abc"


async def test_a_message_over_the_limit_stays_to_be_read_otherwise() -> None:
    async with two_ends() as (ours, theirs):
        await theirs.write_message(b"x" * 101)
        for _ in range(2):
            with pytest.raises(MessageTooLarge) as caught:
                await ours.read_message(limit=100)
        assert (caught.value.size, caught.value.limit) == (101, 100)
        assert await ours.read_message(limit=101) == b"x" * 101


async def test_a_length_that_is_none_is_a_violation() -> None:
    async with two_ends() as (ours, theirs):
        await theirs.write(b"\x80\x00")
        with pytest.raises(ProtocolViolation):
            await ours.read_message()


async def test_a_second_reader_is_busy() -> None:
    async with two_ends() as (ours, theirs):
        reading = soon(ours.read())
        await settle()
        for call in (ours.read(), ours.read_exactly(1), ours.read_all(limit=1), ours.read_message()):
            with pytest.raises(Busy):
                await call
        await theirs.write(b"for the first")
        with pytest.raises(Busy):
            await ours.read()  # also in the turn in which the first one wakes
        assert await reading == b"for the first"


async def test_a_read_with_a_timeout_loses_no_byte() -> None:
    """`wait_for` around every read, which cancels most of them; then read on."""
    async with two_ends(latency=0.03) as (ours, theirs):
        sent = bytes(range(256)) * 400

        async def write() -> None:
            for start in range(0, len(sent), 700):
                await theirs.write(sent[start : start + 700])
                await asyncio.sleep(0.013)
            await theirs.close_write()

        writing, received, timeouts = soon(write()), b"", 0
        reads = [lambda: ours.read(300), lambda: ours.read_exactly(100), lambda: ours.read(10_000)]
        while True:
            try:
                chunk = await asyncio.wait_for(reads[timeouts % 3](), timeout=0.002 * (timeouts % 4))
            except TimeoutError:
                timeouts += 1
                continue
            except EndOfStream as end:
                received += end.partial
                break
            timeouts += 1
            received += chunk
            if not chunk:
                break
        await writing
        assert received == sent
        assert timeouts > 300


async def test_a_cancelled_demand_gives_its_share_back_at_once() -> None:
    """Also to another reader, whose demand did not fit beside it."""
    async with network() as net:
        limits = Limits(connection_memory=1 << 20)
        alice, bob = net.station(limits), net.station()
        streams: list[Stream] = []

        async def give(stream: Stream) -> None:
            streams.append(stream)
            await stream.write(bytes(600_000))

        bob.handle("/give", give)
        ours, _ = await net.connect(alice, bob)
        first, second = [await ours.open_stream(["/give"], confirm=True) for _ in range(2)]
        hungry = soon(first.read_exactly(700_000))
        await settle()
        waiting = soon(second.read_exactly(600_000))
        await settle(300)
        assert not waiting.done()
        hungry.cancel()
        await settle(300)
        assert waiting.done()
        first.reset()
        second.reset()


# --- writing


async def test_a_write_waits_for_the_peers_window_as_long_as_it_takes() -> None:
    async with two_ends() as (ours, theirs):
        writing = soon(ours.write(bytes(300_000)))
        await asyncio.sleep(3_600)
        assert not writing.done()
        assert len(await theirs.read_exactly(200_000)) == 200_000
        await writing
        assert len(await theirs.read_exactly(100_000)) == 100_000


async def test_the_caller_may_use_its_buffer_again_after_a_write() -> None:
    async with two_ends() as (ours, theirs):
        buffer = bytearray(b"a" * 100_000)
        await ours.write(buffer)
        buffer[:] = b"b" * 100_000
        await ours.write(memoryview(buffer)[:10])
        await ours.write(b"")
        assert await theirs.read_exactly(100_010) == b"a" * 100_000 + b"b" * 10


async def test_what_is_not_bytes_is_not_written() -> None:
    async with two_ends() as (ours, theirs):
        for write in (ours.write, ours.write_message):
            for wrong in ("text", 5, None, [1]):
                with pytest.raises(LocalError, match="is bytes, not"):
                    await write(wrong)  # type: ignore[arg-type]
        await ours.write(b"bytes")
        assert await theirs.read_exactly(5) == b"bytes"


async def test_a_second_writer_is_busy_and_so_is_the_end() -> None:
    async with two_ends() as (ours, theirs):
        writing = soon(ours.write(bytes(300_000)))
        await settle()
        for call in (ours.write(b"x"), ours.write_message(b"x"), ours.close_write()):
            with pytest.raises(Busy):
                await call
        await theirs.read_exactly(300_000)
        await writing
        await ours.write(b"x")


async def test_many_streams_write_at_the_same_time() -> None:
    async with network(tcp=True) as net:
        alice, bob = net.station(), net.station()
        totals: list[int] = []

        async def count(stream: Stream) -> None:
            totals.append(sum([len(chunk) async for chunk in stream]))

        bob.handle("/count", count)
        ours, _ = await net.connect(alice, bob)

        async def send(size: int) -> None:
            async with await ours.open_stream(["/count"]) as stream:
                await stream.write(bytes(size))

        sizes = [1, 100, 64_000, 65_024, 65_536, 300_000, 1_000_000, 1_000_001]
        await asyncio.gather(*(send(size) for size in sizes))
        await ours.close()
        await settle()
        assert sorted(totals) == sizes


async def test_a_write_that_was_cancelled_before_a_byte_went_changes_nothing() -> None:
    async with two_ends() as (ours, theirs):
        await ours.write(bytes(262_144 - len(propose("/any"))))
        writing = soon(ours.write(b"lost"))
        await settle()
        writing.cancel()
        await asyncio.wait([writing])
        await theirs.read_exactly(200_000)
        await ours.write(b"kept")
        await ours.close_write()
        assert (await theirs.read_all(limit=1 << 20))[-4:] == b"kept"


async def test_a_write_that_was_cancelled_after_a_part_had_gone_spoils_the_write_side() -> None:
    async with two_ends() as (ours, theirs):
        writing = soon(ours.write(bytes(300_000)))
        await settle()
        writing.cancel()
        await asyncio.wait([writing])
        for call in (ours.write(b"x"), ours.write_message(b"x"), ours.close_write()):
            with pytest.raises(LocalError, match="cancelled"):
                await call
        await theirs.write(b"the other direction is as good as ever")
        assert await ours.read() == b"the other direction is as good as ever"
        await ours.close()
        await settle()
        with pytest.raises(StreamReset):
            await theirs.read_exactly(300_000)


async def test_after_its_end_the_write_side_is_closed_and_reading_goes_on() -> None:
    async with two_ends() as (ours, theirs):
        await ours.close_write()
        await ours.close_write()
        with pytest.raises(StreamClosed):
            await ours.write(b"x")
        assert await theirs.read() == b""
        await theirs.write(b"answer")
        assert await ours.read() == b"answer"


# --- closing


async def test_a_close_finishes_what_was_written_and_drops_what_comes() -> None:
    async with two_ends() as (ours, theirs):
        await theirs.write(b"unread")
        await ours.write(b"last words")
        reading = soon(ours.read_exactly(100))
        await settle()
        await ours.close()
        await ours.close()
        assert ours.connection.stream_count == 0
        with pytest.raises(StreamClosed):
            await reading
        for call in (ours.read(), ours.read_message(), ours.read_all(limit=1), ours.write(b"x"), ours.close_write()):
            with pytest.raises(StreamClosed):
                await call
        assert await theirs.read_all(limit=100) == b"last words"


async def test_a_peer_that_sends_on_after_our_end_is_reset_after_two_seconds_a_silent_one_after_sixty() -> None:
    async with proposed() as (peer, connection, stream, _):
        peer.send(acked(1), data(1, ACCEPTED))
        await settle()
        silent = await connection.open_stream(["/any"])
        peer.send(acked(3), data(3, ACCEPTED))
        await settle()
        await stream.close()
        await silent.close()
        await settle()
        peer.send(data(1, b"still here"))
        await asyncio.sleep(1.9)
        assert not peer.of(1, RST)
        await asyncio.sleep(0.2)
        assert peer.of(1, RST)
        assert connection.mux.knows(3)
        for _ in range(3):
            await asyncio.sleep(19)
            peer.send(credit(3, 1))
        assert not peer.of(3, RST)
        await asyncio.sleep(5)
        assert peer.of(3, RST)


async def test_leaving_the_block_closes_and_an_error_in_it_resets() -> None:
    async with two_ends() as (ours, theirs):
        async with ours:
            await ours.write(b"fine")
        assert await theirs.read_all(limit=10) == b"fine"
    async with two_ends() as (ours, theirs):

        async def fail() -> None:
            async with ours:
                await ours.write(b"not fine")
                raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            await fail()
        await settle()
        assert isinstance(theirs.failure, StreamReset)


async def test_a_reset_ends_both_directions_with_its_code() -> None:
    async with two_ends() as (ours, theirs):
        reading, writing = soon(theirs.read()), soon(theirs.write(bytes(300_000)))
        await settle()
        ours.reset(0x1234)
        ours.reset(0x9999)
        for task in (reading, writing):
            with pytest.raises(StreamReset) as caught:
                await task
            assert (caught.value.code, caught.value.by) == (0x1234, "remote")
        for call in (ours.read(), ours.write(b"x"), ours.close_write(), ours.read_exactly(1), ours.read_all(limit=1)):
            with pytest.raises(StreamReset) as caught:
                await call
            assert caught.value.by == "local"
        await ours.close()


async def test_closing_while_another_task_writes_resets() -> None:
    async with two_ends() as (ours, theirs):
        writing = soon(ours.write(bytes(300_000)))
        await settle()
        await ours.close()
        with pytest.raises(StreamReset):
            await writing
        await settle()
        assert isinstance(theirs.failure, StreamReset)


async def test_whoever_works_for_a_stream_learns_of_its_end_once() -> None:
    async with two_ends() as (ours, theirs):
        calls = []
        theirs.on_failure = lambda: calls.append(theirs.failure)
        ours.reset(7)
        await settle()
        theirs.reset()
        assert [type(failure) for failure in calls] == [StreamReset]


async def test_a_reset_behind_the_end_leaves_what_came_to_be_read() -> None:
    async with proposed() as (peer, _, stream, _):
        peer.send(acked(1), data(1, ACCEPTED))
        await settle()
        peer.send(data(1, b"all of it"), ended(1), reset(1, 5))
        await settle()
        assert stream.failure.code == 5
        with pytest.raises(StreamReset):
            await stream.write(b"x")
        assert await stream.read() == b"all of it"
        assert await stream.read() == b""
        with pytest.raises(EndOfStream):
            await stream.read_message()
        await stream.close()


async def test_a_stream_says_what_it_is() -> None:
    async with two_ends() as (ours, theirs):
        assert (ours.protocol, theirs.protocol) == ("/any", "/any")
        assert (ours.direction, theirs.direction) == ("outbound", "inbound")
        assert ours.peer_id == ours.connection.peer_id
        assert "/any" in repr(ours)
        assert "outbound" in repr(ours)


# --- the choice of the protocol


async def test_what_is_written_goes_out_before_the_protocol_is_confirmed() -> None:
    async with proposed() as (peer, _, stream, _):
        assert stream.is_negotiating
        await stream.write(b"early")
        await settle()
        assert peer.body(1) == propose("/any") + b"early"
        reading = soon(stream.read())
        await settle()
        peer.send(acked(1), data(1, ACCEPTED + b"answer"))
        assert await reading == b"answer"
        assert not stream.is_negotiating
        await stream.close()


async def test_an_unsupported_protocol_shows_at_the_first_read() -> None:
    async with proposed() as (peer, _, stream, _):
        await stream.write(b"early")
        peer.send(acked(1), data(1, REFUSED))
        with pytest.raises(NegotiationFailed) as caught:
            await stream.read()
        assert caught.value.protocols == ("/any",)
        for call in (stream.read_exactly(1), stream.read_message(), stream.read_all(limit=1), stream.write(b"x")):
            with pytest.raises(NegotiationFailed):
                await call
        await settle()
        assert peer.resets(1) == [StreamCode.NEGOTIATION_FAILED]


@pytest.mark.parametrize("cut", range(len(ANSWER + ACCEPTED) + 1))
@pytest.mark.parametrize("answer", [ACCEPTED, ANSWER + ACCEPTED], ids=["once", "greeted twice"])
async def test_an_answer_is_the_same_however_it_is_cut(answer: bytes, cut: int) -> None:
    async with proposed() as (peer, _, stream, _):
        peer.send(acked(1), data(1, answer[:cut]))
        await settle()
        peer.send(data(1, answer[cut:] + b"hello"))
        assert await stream.read_exactly(5) == b"hello"
        assert (stream.protocol, stream.is_negotiating) == ("/any", False)


@pytest.mark.parametrize("cut", range(len(REFUSED) + 4))
@pytest.mark.parametrize("answer", [REFUSED + b"more", ANSWER + b"\x05/yes\n"], ids=["no", "something else"])
async def test_another_answer_of_the_same_length_is_none_however_it_is_cut(answer: bytes, cut: int) -> None:
    async with proposed() as (peer, _, stream, _):
        peer.send(acked(1), data(1, answer[:cut]))
        await settle()
        peer.send(data(1, answer[cut:]))
        with pytest.raises((NegotiationFailed, ProtocolViolation)):
            await stream.read()


@pytest.mark.parametrize("code", [StreamCode.NONE, StreamCode.NEGOTIATION_FAILED])
async def test_a_reset_instead_of_an_answer_is_a_refusal(code: int) -> None:
    async with proposed() as (peer, _, stream, _):
        peer.send(acked(1), reset(1, code))
        with pytest.raises(NegotiationFailed) as caught:
            await stream.read()
        assert caught.value.protocols == ("/any",)


async def test_a_reset_right_behind_a_part_of_an_answer_is_a_refusal_too() -> None:
    async with proposed() as (peer, _, stream, _):
        peer.send(acked(1), data(1, ACCEPTED[:22]), reset(1))
        with pytest.raises(NegotiationFailed):
            await stream.read()


async def test_a_reset_for_another_reason_is_that() -> None:
    async with proposed() as (peer, _, stream, _):
        peer.send(acked(1), reset(1, StreamCode.LIMIT_EXCEEDED))
        with pytest.raises(StreamReset) as caught:
            await stream.read()
        assert caught.value.code == StreamCode.LIMIT_EXCEEDED


async def test_several_proposals_that_a_peer_resets_are_refused_too() -> None:
    async with network() as net:
        peer, connection = await raw_accept(net, net.station())
        opening = soon(connection.open_stream(["/a", "/b"]))
        await peer.until(lambda: peer.body(1))
        peer.send(acked(1), reset(1))
        with pytest.raises(NegotiationFailed):
            await opening
        assert "a protocol" in str(opening.exception())


@pytest.mark.parametrize("answer", [ended(1), data(1, ACCEPTED[:22]) + ended(1), data(1, b"\x01\n"), data(1, b"\x80" * 9)])
async def test_an_answer_that_is_none_ends_the_stream(answer: bytes) -> None:
    async with proposed() as (peer, connection, stream, station):
        peer.send(acked(1), answer)
        with pytest.raises((NegotiationFailed, ProtocolViolation)):
            await stream.read()
        await settle()
        assert peer.of(1, RST)
        assert connection.is_open
        assert counts(station).get("streams_outbound") is None


async def test_the_end_is_held_back_until_the_protocol_is_confirmed() -> None:
    """js-libp2p would never close its half of a stream whose end came while it was still choosing the protocol."""
    async with proposed() as (peer, _, stream, _):
        await stream.write(b"question")
        await stream.close_write()
        await settle()
        assert not peer.of(1, FIN)
        peer.send(acked(1), data(1, ACCEPTED))
        await settle()
        assert peer.of(1, FIN)
        peer.send(data(1, b"answer"), ended(1))
        assert await stream.read_all(limit=10) == b"answer"


async def test_a_close_waits_for_the_answer_to_the_proposal_alone() -> None:
    async with proposed() as (peer, connection, stream, _):
        await stream.write(b"fire and forget")
        closing = [soon(stream.close()), soon(stream.close())]
        await asyncio.sleep(5)
        assert not any(task.done() for task in closing)
        peer.send(acked(1), data(1, ACCEPTED))
        await asyncio.gather(*closing)
        await settle()
        assert peer.of(1, FIN)
        assert not peer.of(1, RST)
        assert connection.stream_count == 0


@pytest.mark.parametrize("answer", [data(1, REFUSED), reset(1), b""], ids=["refused", "reset", "nothing for ten seconds"])
async def test_a_close_never_raises_for_the_peers_doing(answer: bytes) -> None:
    async with proposed() as (peer, connection, stream, station):
        begin = connection.loop.time()
        closing = soon(stream.close())
        await settle()
        peer.send(acked(1), answer)
        await closing
        assert connection.loop.time() - begin == pytest.approx(0 if answer else 10)
        assert counts(station).get("streams_outbound") is None
        assert isinstance(stream.failure, NegotiationFailed | PeerTimeout)


async def test_a_close_over_a_dead_connection_returns() -> None:
    async with proposed() as (_, connection, stream, _):
        closing = soon(stream.close())
        await settle()
        connection.abort()
        await closing
        assert isinstance(stream.failure, ConnectionClosed)


async def test_a_cancelled_close_resets() -> None:
    async with proposed() as (peer, _, stream, station):
        closing = soon(stream.close())
        await settle()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await settle()
        assert peer.of(1, RST)
        assert counts(station).get("streams_outbound") is None


async def test_an_answer_that_comes_too_late_is_a_timeout_for_who_reads() -> None:
    async with proposed() as (_, connection, stream, _):
        begin = connection.loop.time()
        with pytest.raises(PeerTimeout):
            await stream.read()
        assert connection.loop.time() - begin == pytest.approx(10)
        stream.answer_timed_out()

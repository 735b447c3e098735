"""Streams of a connection: their handlers, their places, and who waits for one."""

import asyncio
import logging

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import (
    ConnectionClosed,
    LocalError,
    NegotiationFailed,
    PeerTimeout,
    ProtocolViolation,
    Refuse,
    StreamCode,
    StreamReset,
)
from cortexnet.multistream import propose
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import FIN, RST
from cortexnet.transport.stream import Stream
from cortexnet.transport.upgrade import UpgradeConfig
from tests.support.hosted import ANSWER, counts, echo, hang, hosted, yamux_of
from tests.support.pairs import network, settle
from tests.support.raw_peer import acked, data, ended, farewell, opened, pinged, raw_accept, reset

# --- streams that peers open


async def test_a_handler_gets_the_stream_and_its_return_closes_it() -> None:
    async with hosted() as (peer, connection, station):
        station.handle("/twice", twice)
        peer.send(opened(1), data(1, propose("/twice") + b"ab"), ended(1))
        await peer.until(lambda: peer.of(1, FIN))
        assert peer.body(1) == ANSWER + b"\x07/twice\n" + b"abab"
        await settle()
        assert connection.stream_count == 0
        assert counts(station).get("streams_inbound") is None


async def twice(stream: Stream) -> None:
    await stream.write(2 * await stream.read_exactly(2))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("a bug"), StreamCode.NONE),
        (Refuse(77), 77),
        (ProtocolViolation("nonsense"), StreamCode.PROTOCOL_VIOLATION),
        (StreamReset(code=5), StreamCode.NONE),
        (LocalError("misuse"), StreamCode.NONE),
        (asyncio.CancelledError(), StreamCode.SHUTDOWN),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
async def test_what_a_handler_raises_resets_its_stream_alone(
    error: BaseException, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: Stream) -> None:
        raise error

    async with hosted() as (peer, connection, station):
        station.handle("/fail", fail)
        with caplog.at_level(logging.WARNING):
            peer.send(opened(1), data(1, propose("/fail")))
            await peer.until(lambda: peer.resets(1))
        assert peer.resets(1) == [code]
        assert peer.body(1).endswith(b"\x06/fail\n"), "the answer to the proposal must come before the reset"
        bugs = [record for record in caplog.records if "handler of /fail failed" in record.getMessage()]
        assert len(bugs) == isinstance(error, ValueError | LocalError) - isinstance(error, Refuse)
        peer.send(opened(3), data(3, propose("/echo") + b"still here"))
        await peer.until(lambda: peer.body(3).endswith(b"still here"))
        assert connection.is_open


async def test_a_protocol_without_a_handler_is_refused() -> None:
    async with hosted() as (peer, _, station):
        peer.send(opened(1), data(1, propose("/none")))
        await peer.until(lambda: peer.body(1).endswith(b"\x03na\n"))
        peer.send(data(1, b"\x06/echo\n" + b"then this"))
        await peer.until(lambda: peer.body(1).endswith(b"then this"))
        peer.send(opened(3), data(3, propose("/none")), ended(3))
        await peer.until(lambda: peer.resets(3))
        assert peer.resets(3) == [StreamCode.NEGOTIATION_FAILED]
        assert counts(station)["streams_inbound"] == 1


@pytest.mark.parametrize(
    "frames",
    [
        [opened(1), data(1, propose("/echo")), ended(1), reset(1)],
        [opened(1), data(1, propose("/echo") + b"more"), ended(1), reset(1)],
        [opened(1), data(1, propose("/echo")[:20]), ended(1), reset(1)],
        [opened(1), data(1, propose("/echo")[:22]), ended(1), reset(1)],
        [opened(1), data(1, propose("/none") * 3), ended(1), reset(1)],
        [opened(1), data(1, propose("/echo")), reset(1)],
        [opened(1), data(1, b"\xff" * 20), ended(1), reset(1)],
        [opened(1), data(1, propose("/echo")), farewell()],
        [opened(1), data(1, propose("/echo") + b"more"), farewell()],
        [opened(1), data(1, propose("/echo") + b"more"), ended(1), farewell()],
        [opened(1), data(1, propose("/none") + b"more"), farewell()],
        [opened(1), data(1, propose("/hang")), farewell()],
        [opened(1), data(1, propose("/hang")), ended(1), farewell()],
        [opened(1), data(1, propose("/echo")), data(1, b"")] + [pinged(1)] * 2_000,
    ],
    ids=range(14),
)
async def test_frames_that_overtake_each_other_in_one_record_surprise_nobody(frames: list[bytes]) -> None:
    """What is dispatched late finds its stream ended, reset or forgotten: that is never an error of ours."""
    for cut in (False, True):
        async with hosted() as (peer, _, station):
            if cut:
                peer.send_records(*frames)
            else:
                peer.send(*frames)
            await settle()
            if not peer.is_lost:
                peer.send(farewell())
            await peer.lost()
            await asyncio.sleep(3)
            assert counts(station) == {}


async def test_an_answer_to_the_proposal_comes_in_time_or_the_stream_is_reset() -> None:
    async with hosted() as (peer, _, station):
        peer.send(opened(1), opened(3), data(3, propose("/echo")[:25]))
        await asyncio.sleep(5)
        peer.send(opened(5))
        await asyncio.sleep(4.9)
        assert not peer.resets(1)
        await asyncio.sleep(0.2)
        assert peer.resets(1) == peer.resets(3) == [StreamCode.PROTOCOL_VIOLATION]
        assert not peer.resets(5)
        assert counts(station)["streams_negotiating"] == 1
        await asyncio.sleep(5)
        assert peer.resets(5) == [StreamCode.PROTOCOL_VIOLATION]


async def test_streams_above_the_limit_of_those_that_negotiate_are_refused() -> None:
    async with hosted(Limits(streams_negotiating_per_connection=3)) as (peer, _, _):
        peer.send(*(opened(stream_id) for stream_id in (1, 3, 5, 7)))
        await peer.until(lambda: peer.resets(7))
        assert peer.resets(7) == [StreamCode.LIMIT_EXCEEDED]
        assert not peer.resets(5)
        peer.send(data(1, propose("/hang")))
        await settle()
        peer.send(opened(9))
        await settle()
        assert not peer.resets(9)


async def test_streams_above_the_limit_of_handlers_are_refused_but_others_have_room() -> None:
    limits = Limits(streams_inbound_per_connection=2, streams_inbound_extended=1, streams_inbound_control=1)
    async with hosted(limits) as (peer, _, station):
        station.handle("/ipfs/ping/1.0.0", hang)
        station.handle("/many", hang, extended=True)
        protocols = ["/hang", "/hang", "/hang", "/many", "/many", "/ipfs/ping/1.0.0", "/ipfs/ping/1.0.0"]
        for number, protocol in enumerate(protocols):
            peer.send(opened(2 * number + 1), data(2 * number + 1, propose(protocol)))
        await settle()
        refused = [number for number in range(7) if peer.resets(2 * number + 1)]
        assert refused == [2, 4, 6]
        assert peer.resets(5) == [StreamCode.LIMIT_EXCEEDED]
        peer.send(reset(1), reset(3))
        await settle()
        assert counts(station)["streams_inbound"] == 4, "a stream counts until its handler has ended"


async def test_the_node_has_a_limit_of_inbound_streams_too() -> None:
    async with hosted(Limits(streams_inbound=2)) as (peer, _, _):
        peer.send(opened(1), opened(3), opened(5))
        await peer.until(lambda: peer.resets(5))
        assert peer.resets(5) == [StreamCode.LIMIT_EXCEEDED]


# --- streams that we open


async def test_streams_are_opened_in_the_order_they_were_asked_for() -> None:
    async with network() as net:
        limits = Limits(streams_outbound_per_connection=2)
        alice, bob = net.station(limits), net.station()
        bob.handle("/hang", hang)
        ours, _ = await net.connect(alice, bob)
        first, second = [await ours.open_stream(["/hang"]) for _ in range(2)]
        order: list[int] = []

        async def ask(number: int) -> Stream:
            stream = await ours.open_stream(["/hang"])
            order.append(number)
            return stream

        waiting = [asyncio.ensure_future(ask(number)) for number in range(4)]
        await settle()
        assert order == []
        waiting[1].cancel()
        first.reset()
        late = asyncio.ensure_future(ask(4))
        await settle()
        assert order == [0]
        second.reset()
        await settle()
        assert order == [0, 2]
        (await waiting[0]).reset()
        (await waiting[2]).reset()
        await settle()
        assert order == [0, 2, 3, 4]
        assert waiting[1].cancelled()
        assert late.done()


async def test_a_place_that_its_owner_gives_back_late_is_given_to_who_waits() -> None:
    """The muxer has long forgotten the stream: nothing else happens that would call the next one."""
    async with network() as net:
        alice, bob = net.station(Limits(streams_outbound_per_connection=1)), net.station()
        bob.handle("/echo", echo)
        ours, _ = await net.connect(alice, bob)
        stream = await ours.open_stream(["/echo"])
        await stream.close_write()
        assert await stream.read() == b""
        await settle()
        waiting = asyncio.ensure_future(ours.open_stream(["/echo"]))
        await settle()
        assert not waiting.done()
        await stream.close()
        await settle()
        assert waiting.done()


async def test_nobody_waits_for_streams_that_only_linger() -> None:
    """Closed here, and the peer does not end its side: they would stand in the way for a minute."""
    async with network() as net:
        station = net.station()
        peer, connection = await raw_accept(net, station)
        for number in range(300):
            stream_id = 2 * number + 1
            stream = await connection.open_stream(["/any"])
            peer.send(acked(stream_id), data(stream_id, ANSWER + b"\x05/any\n"))
            await settle(5)
            await stream.close()
        await settle()
        assert peer.of(1, RST)
        assert not peer.of(599, RST)
        assert connection.loop.time() < 1
        peer.io.abort()


async def test_a_connection_whose_stream_ids_are_used_up_says_so() -> None:
    async with network() as net:
        station = net.station()
        peer, connection = await raw_accept(net, station)
        connection.mux._table._next_id = (1 << 32) + 1
        with pytest.raises(ConnectionClosed, match="used up"):
            await connection.open_stream(["/any"])
        assert counts(station).get("streams_outbound") is None
        peer.io.abort()


async def test_who_waits_to_open_a_stream_learns_of_the_end() -> None:
    async with network() as net:
        alice, bob = net.station(Limits(streams_outbound_per_connection=1)), net.station()
        bob.handle("/hang", hang)
        ours, theirs = await net.connect(alice, bob)
        await ours.open_stream(["/hang"])
        waiting = [asyncio.ensure_future(ours.open_stream(["/hang"])) for _ in range(2)]
        await settle()
        theirs.abort()
        for error in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(error, ConnectionClosed)
        with pytest.raises(ConnectionClosed):
            await ours.open_stream(["/hang"])


async def test_at_the_peers_backlog_opening_waits_for_acknowledgements() -> None:
    async with network() as net:
        station = net.station(Limits(streams_outbound_per_connection=1_000))
        station.transport._upgrader.config = UpgradeConfig(
            muxers={"/yamux/1.0.0": yamux_of(YamuxConfig(max_outbound_streams=1_000))}
        )
        peer, connection = await raw_accept(net, station)
        streams = [await connection.open_stream(["/any"]) for _ in range(256)]
        waiting = asyncio.ensure_future(connection.open_stream(["/any"]))
        await settle()
        assert not waiting.done()
        peer.send(acked(1))
        await settle()
        assert waiting.done()
        for stream in [*streams, await waiting]:
            stream.reset()


@pytest.mark.parametrize("answer", [b"", ANSWER, ANSWER[:5], ANSWER + b"\x05/any\n"], ids=["nothing", "header", "half", "yes"])
@pytest.mark.parametrize("together", [True, False])
async def test_a_stream_that_is_reset_for_a_limit_says_so_whatever_came_before(answer: bytes, together: bool) -> None:
    """It looked like a peer that does not speak the protocol, where header and reset came in one record."""
    async with network() as net:
        station = net.station()
        peer, connection = await raw_accept(net, station)
        stream = await connection.open_stream(["/any"])
        frames = [acked(1), *([data(1, answer)] if answer else []), reset(1, StreamCode.LIMIT_EXCEEDED)]
        if together:
            peer.send(*frames)
        else:
            for frame in frames:
                peer.send(frame)
                await settle()
        with pytest.raises(StreamReset) as caught:
            await stream.read()
        assert caught.value.code == StreamCode.LIMIT_EXCEEDED
        stream.reset()
        peer.io.abort()


async def test_an_unsupported_protocol_shows_at_once_where_it_is_asked_for() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/b", echo)
        bob.handle("/c", echo)
        ours, _ = await net.connect(alice, bob)
        with pytest.raises(NegotiationFailed):
            await ours.open_stream(["/a"], confirm=True)
        with pytest.raises(NegotiationFailed) as caught:
            await ours.open_stream(["/x", "/y"])
        assert caught.value.protocols == ("/x", "/y")
        stream = await ours.open_stream(["/a", "/c", "/b"])
        assert stream.protocol == "/c"
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        confirmed = await ours.open_stream(["/b"], confirm=True)
        assert confirmed.protocol == "/b"
        assert ours.stream_count == 2


@pytest.mark.parametrize("protocols", [[], ["noslash"], ["/half\ud800"], ["/a", "/b\n"], ["/many"] * 65], ids=len)
async def test_names_that_are_none_are_refused_before_a_stream_is_made(protocols: list[str]) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        connection, _ = await net.connect(alice, bob)
        with pytest.raises(LocalError, match=r"a protocol is named|a negotiation has"):
            await connection.open_stream(protocols)
        assert connection.stream_count == 0
        assert counts(alice).get("streams_outbound") is None


async def test_a_peer_that_does_not_answer_a_proposal_is_too_late_after_ten_seconds() -> None:
    async with network() as net:
        station = net.station()
        peer, connection = await raw_accept(net, station)
        begin = connection.loop.time()
        with pytest.raises(PeerTimeout):
            await connection.open_stream(["/any"], confirm=True)
        assert connection.loop.time() - begin == pytest.approx(10)
        await settle()
        assert peer.resets(1) == [StreamCode.PROTOCOL_VIOLATION]
        assert counts(station).get("streams_outbound") is None

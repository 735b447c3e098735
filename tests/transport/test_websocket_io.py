"""What a WebSocket does in place of a socket: flow in both directions, the end, and what came before it. In virtual time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_wire import LinkConditions
from cortexnet.transport.outer_tls import OuterTls, client_context, server_context
from cortexnet.transport.read_turns import turns_of
from cortexnet.transport.websocket_frames import FrameWriter
from cortexnet.transport.websocket_http import ClientHandshake, ServerHandshake
from cortexnet.transport.websocket_io import WebSocketIo
from cortexnet.transport.websocket_wire import WebSocketWire
from tests.support.tls_hosts import NAME, websocket_config
from tests.transport.recorder import Recorder

SECURE = pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])


def dialing(upper: Recorder, *, secure: bool) -> WebSocketIo:
    handshake = ClientHandshake(NAME, 443, is_secure=secure, random=bytes)
    tls = OuterTls(client_context(websocket_config()), server_side=False, server_name=NAME) if secure else None
    return WebSocketIo(upper, WebSocketWire(handshake, useless_frames=100, mask_key=lambda: b"mask"), tls)


def listening(upper: Recorder, *, secure: bool) -> WebSocketIo:
    tls = OuterTls(server_context(websocket_config()), server_side=True) if secure else None
    return WebSocketIo(upper, WebSocketWire(ServerHandshake(), useless_frames=100), tls)


@asynccontextmanager
async def pair(*, secure: bool = False, conditions: LinkConditions | None = None) -> AsyncIterator[tuple[Recorder, Recorder]]:
    """Two ends, joined by a link."""
    network = MemoryNetwork(conditions=conditions, random=Random(1))
    dialer, listener = Recorder(keep_open=False), Recorder(keep_open=False)
    server = await network.listen(0, lambda: listening(listener, secure=secure))
    await network.connect(server.number, lambda: dialing(dialer, secure=secure))
    await listener.until("made")
    yield dialer, listener
    server.close()
    for end in (dialer, listener):
        if not end.events[-1].startswith("lost"):
            end.transport.abort()
        await end.until("lost")
        assert sum(event.startswith("lost") for event in end.events) == 1
    assert network.links == ()


def io_of(end: Recorder) -> WebSocketIo:
    assert isinstance(end.transport, WebSocketIo)
    return end.transport


async def open_both(dialer: Recorder, listener: Recorder) -> None:
    for one, other in ((dialer, listener), (listener, dialer)):
        one.transport.write(b"?")
        await other.until_bytes(1)
        other.data.clear()


@SECURE
async def test_bytes_arrive_whole_whatever_pieces_the_link_makes(secure: bool) -> None:
    conditions = LinkConditions(latency=0.01, piece_size=lambda random: random.randint(1, 700))
    async with pair(secure=secure, conditions=conditions) as (dialer, listener):
        data = Random(2).randbytes(300_000)
        for one, other in ((dialer, listener), (listener, dialer)):
            for start in range(0, len(data), 70_000):
                one.transport.write(data[start : start + 70_000])
            await other.until_bytes(len(data))
            assert bytes(other.data) == data


@SECURE
async def test_who_is_not_read_from_has_to_wait(secure: bool) -> None:
    """Little more is taken in than one chunk, and the socket of the writer says when it is full."""
    async with pair(secure=secure, conditions=LinkConditions(capacity=20_000)) as (dialer, listener):
        await open_both(dialer, listener)
        listener.on_read = listener.transport.pause_reading
        dialer.transport.write(bytes(500_000))
        await dialer.until("pause")
        await asyncio.sleep(1)
        assert len(listener.data) <= 150_000
        assert dialer.transport.get_write_buffer_size() > 300_000
        assert not io_of(listener).is_reading()
        listener.on_read = lambda: None
        listener.transport.resume_reading()
        listener.transport.resume_reading()
        await listener.until_bytes(500_000)
        await dialer.until("resume")
        assert io_of(listener).is_reading()


@SECURE
async def test_the_end_comes_behind_what_was_sent_before_it_and_waits_for_a_reader_that_pauses(secure: bool) -> None:
    async with pair(secure=secure) as (dialer, listener):
        await open_both(dialer, listener)
        listener.transport.pause_reading()
        dialer.transport.write(b"last words")
        dialer.transport.close()
        dialer.transport.close()
        dialer.transport.write(b"too late")
        await asyncio.sleep(1)
        assert "eof" not in listener.events
        listener.transport.resume_reading()
        await listener.until("lost")
        assert bytes(listener.data) == b"last words"
        assert listener.events[-2:] == ["eof", "lost NoneType"]
        assert "eof" not in dialer.events
        assert dialer.transport.is_closing()


@SECURE
async def test_goodbye_may_be_said_while_the_other_end_still_sends(secure: bool) -> None:
    async with pair(secure=secure) as (dialer, listener):
        assert not dialer.transport.can_write_eof()
        await open_both(dialer, listener)
        assert dialer.transport.can_write_eof()
        dialer.transport.write(b"last words")
        dialer.transport.write_eof()
        await listener.until("lost")
        await dialer.until("lost")
        assert bytes(listener.data) == b"last words"
        assert listener.error is None


async def test_what_had_come_when_the_socket_was_lost_is_handed_over_first() -> None:
    async with pair(secure=True) as (dialer, listener):
        await open_both(dialer, listener)
        listener._buffer = bytearray(10)
        listener.on_read = listener.transport.pause_reading
        dialer.transport.write(b"0123456789abcdef")
        await listener.until_bytes(10)
        io_of(listener).connection_lost(ConnectionResetError())
        assert bytes(listener.data) == b"0123456789abcdef"
        listener.events.clear()
        listener.transport.abort()


async def test_what_waited_for_its_turn_when_the_socket_was_lost_is_handed_over_first() -> None:
    async with pair(secure=True) as (dialer, listener):
        await open_both(dialer, listener)
        tls, io = io_of(dialer)._tls, io_of(listener)
        assert tls is not None
        tls.send(b"".join(FrameWriter(lambda: b"mask").message(b"abc")))
        data = tls.data_to_send()
        turns_of(asyncio.get_running_loop()).spend(1.0)
        io.get_buffer(-1)[: len(data)] = data
        io.buffer_updated(len(data))
        assert not listener.data
        io.connection_lost(ConnectionResetError())
        assert bytes(listener.data) == b"abc"
        listener.events.clear()
        listener.transport.abort()


async def test_an_upper_protocol_without_room_does_not_hold_up_the_end() -> None:
    """A connection that waits for its turn takes in only so much."""
    async with pair(secure=True) as (dialer, listener):
        await open_both(dialer, listener)
        listener._buffer = bytearray(10)
        listener.on_read = listener.transport.pause_reading
        dialer.transport.write(bytes(40))
        await listener.until_bytes(10)

        def no_room() -> None:
            listener._buffer = bytearray()
            assert len(listener.reads) < 20

        listener.on_read = no_room
        io_of(listener).connection_lost(None)
        assert len(listener.data) == 20
        listener.events.clear()
        listener.transport.abort()


async def test_what_came_when_the_turn_was_over_waits_for_the_next() -> None:
    async with pair(secure=True) as (dialer, listener):
        await open_both(dialer, listener)
        turns_of(asyncio.get_running_loop()).spend(1.0)
        dialer.transport.write(b"abc")
        await listener.until_bytes(3)
        turns_of(asyncio.get_running_loop()).spend(1.0)
        dialer.transport.write(b"def")
        await asyncio.sleep(0)
        listener.transport.abort()
        await listener.until("lost")


@SECURE
async def test_many_small_frames_take_several_turns(secure: bool) -> None:
    async with pair(secure=secure) as (dialer, listener):
        await open_both(dialer, listener)
        raw, tls = io_of(dialer)._io, io_of(dialer)._tls
        assert raw is not None
        frames = b"".join(FrameWriter(lambda: b"mask").message(b"a")) * 5_000
        if tls is not None:
            tls.send(frames)
            frames = tls.data_to_send()
        raw.write(frames)
        await listener.until_bytes(5_000)
        assert len(listener.reads) > 5


async def test_answers_to_pings_wait_where_nobody_reads_them() -> None:
    async with pair(conditions=LinkConditions(capacity=1_000)) as (dialer, listener):
        await open_both(dialer, listener)
        dialer.transport.pause_reading()
        listener.transport.write(bytes(200_000))
        await listener.until("pause")
        before = listener.transport.get_write_buffer_size()
        raw = io_of(dialer)._io
        assert raw is not None
        raw.write((bytes((0x89, 0x80 | 125)) + b"mask" + bytes(125)) * 50)
        await asyncio.sleep(1)
        assert listener.transport.get_write_buffer_size() <= before
        dialer.transport.resume_reading()
        await dialer.until_bytes(200_000)
        await listener.until("resume")


async def test_who_asks_for_new_keys_and_never_reads_is_cut_off() -> None:
    """TLS 1.3 answers each wish; a peer that sends nothing else would fill our memory with the answers."""
    async with pair(secure=True, conditions=LinkConditions(capacity=1_000)) as (dialer, listener):
        await open_both(dialer, listener)
        dialer.transport.pause_reading()
        listener.transport.write(bytes(200_000))
        await listener.until("pause")
        tls = io_of(listener)._tls
        assert tls is not None
        tls.send(bytes(100_000))  # as many answers would
        dialer.transport.write(b"one more wish")
        await listener.until("lost")
        assert "new keys" in str(listener.error)


async def test_it_says_what_the_socket_below_says() -> None:
    async with pair() as (dialer, listener):
        assert dialer.transport.get_extra_info("peername") == listener.transport.get_extra_info("sockname")
        assert dialer.transport.get_extra_info("nothing", 7) == 7
        assert io_of(dialer).get_protocol() is dialer
        assert not io_of(dialer).is_secure
    fresh = dialing(Recorder(), secure=False)
    assert fresh.get_extra_info("peername", "none") == "none"
    assert fresh.is_closing()
    fresh.abort()
    fresh.close()

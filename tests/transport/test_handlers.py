"""Handlers of inbound streams, and the counts of their streams, when connections end around them."""

import asyncio

import pytest

from cortexnet.errors import StreamCode, StreamReset
from cortexnet.swarm.limits import Limits
from cortexnet.transport.stream import Stream
from tests.support.pairs import network, settle


@pytest.mark.parametrize("turns", range(6))
async def test_a_stream_is_counted_no_longer_when_the_connection_ends_before_its_handler_has_begun(turns: int) -> None:
    began = False

    async def handle(stream: Stream) -> None:
        nonlocal began
        began = True
        await stream.read()

    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/app/1", handle)
        connection, theirs = await net.connect(alice, bob)
        await connection.open_stream(["/app/1"])
        await settle(turns)
        closing = asyncio.gather(connection.close(), theirs.close())
        await closing
        await settle()
        assert bob.resources.streams.inbound == 0, f"handler began: {began}"


async def test_streams_that_come_too_often_are_reset_as_such() -> None:
    async with network(tcp=True) as net:
        limits = Limits(limit_loopback=True, stream_burst_per_protocol=2, stream_rate_per_protocol=0)
        alice, bob = net.station(), net.station(limits)
        bob.handle("/app/1", _hang)
        bob.handle("/app/2", _hang)
        connection, _ = await net.connect(alice, bob)
        streams = [await connection.open_stream(["/app/1"], confirm=True) for _ in range(2)]
        late = await connection.open_stream(["/app/1"])
        with pytest.raises(StreamReset) as caught:
            await late.read()
        assert caught.value.code == StreamCode.RATE_LIMITED
        await connection.open_stream(["/app/2"], confirm=True)
        assert not any(stream.failure for stream in streams)


@pytest.mark.parametrize("setting", ["streams_inbound_per_peer", "streams_inbound_per_protocol", "streams_negotiating"])
async def test_streams_over_a_limit_are_reset_as_such(setting: str) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station(Limits(**{setting: 0}))
        bob.handle("/app/1", _hang)
        connection, _ = await net.connect(alice, bob)
        stream = await connection.open_stream(["/app/1"])
        with pytest.raises(StreamReset) as caught:
            await stream.read()
        assert caught.value.code == StreamCode.LIMIT_EXCEEDED


async def _hang(stream: Stream) -> None:
    await stream.read()

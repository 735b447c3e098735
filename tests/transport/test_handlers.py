"""Handlers of inbound streams, and the counts of their streams, when connections end around them."""

import asyncio

import pytest

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

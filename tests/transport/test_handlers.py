"""Handlers of inbound streams, and the counts of their streams, when connections end around them."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import StreamCode, StreamReset
from cortexnet.transport.stream import Stream
from tests.support.pairs import network, settle

if TYPE_CHECKING:
    from cortexnet.transport.connection import Connection


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


async def test_who_has_many_requests_that_do_not_end_loses_the_newest_to_one_who_has_none() -> None:
    cleaned: list[Stream] = []

    async def begin(stream: Stream) -> None:
        try:
            stream.on_failure = lambda: pytest.fail("the handler is cancelled already")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)  # cancelled no second time, whoever ends it
            cleaned.append(stream)

    async with network() as net:
        alice, carol, dave, bob = net.station(), net.station(), net.station(), net.station(Limits(streams_inbound_per_protocol=5))
        bob.handle("/app/1", begin)
        greedy, theirs = await net.connect(alice, bob)
        streams = [await greedy.open_stream(["/app/1"], confirm=True) for _ in range(4)]
        modest, _ = await net.connect(carol, bob)
        only = await modest.open_stream(["/app/1"], confirm=True)
        late, _ = await net.connect(dave, bob)
        newcomer = await late.open_stream(["/app/1"], confirm=True)
        with pytest.raises(StreamReset) as caught:
            await streams[3].read()
        assert caught.value.code == StreamCode.LIMIT_EXCEEDED
        assert bob.resources.tally.refusals == {"limits.streams_inbound_per_protocol": 1}
        assert bob.resources.streams.by_protocol == {"/app/1": 5}
        assert not any(stream.failure for stream in (*streams[:3], only, newcomer))
        assert theirs.is_open
        bob.scope.cancel()
        await asyncio.sleep(2)
        assert len(cleaned) == 6


@pytest.mark.parametrize("setting", ["streams_inbound", "streams_negotiating"])
async def test_who_names_no_protocol_on_many_streams_loses_the_newest_to_one_who_has_none(setting: str) -> None:
    async with network() as net:
        alice, carol, dave, bob = net.station(), net.station(), net.station(), net.station(Limits(**{setting: 5}))
        bob.handle("/app/1", _hang)
        accepted: list[Connection] = []
        for peer, count in ((alice, 4), (carol, 1)):
            silent, theirs = await net.connect(peer, bob)
            accepted.append(theirs)
            for _ in range(count):
                silent.mux.open_stream()
            silent.link.flush_soon()
        await settle()
        held = [stream for connection in accepted for stream in connection.streams]
        late, _ = await net.connect(dave, bob)
        await late.open_stream(["/app/1"], confirm=True)
        assert [stream.failure is None for stream in held] == [True, True, True, False, True]
        assert [connection.stream_count for connection in accepted] == [3, 1]
        assert bob.resources.tally.refusals == {f"limits.{setting}": 1}


async def _hang(stream: Stream) -> None:
    await stream.read()

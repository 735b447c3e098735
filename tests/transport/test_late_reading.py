"""Over TCP what waits for its turn waits in the socket, and is read from there when the turn has come."""

import asyncio
import os
from array import array
from collections.abc import Callable
from fcntl import ioctl
from random import Random
from termios import FIONREAD
from typing import TYPE_CHECKING, cast

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.multistream import propose
from cortexnet.mux.yamux_frames import HEADER_SIZE
from cortexnet.security.noise_session import CUT
from cortexnet.transport.byte_link import _SMALL_CHUNK, ByteLink
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream
from tests.support.hosted import hosted
from tests.support.no_time import out_of_time
from tests.support.pairs import Station, settle
from tests.support.raw_peer import RawPeer, data, ended, opened, pinged

if TYPE_CHECKING:
    from cortexnet.transport.read_turns import ReadTurns

MUCH = 100_000
"""Bytes: more than a large chunk, and less than a socket holds before it grows."""


class Collector:
    """A handler of one stream that keeps what comes on it."""

    def __init__(self, station: Station) -> None:
        self.received = b""
        self.has_ended = False
        station.handle("/collect", self._collect)

    async def _collect(self, stream: Stream) -> None:
        async for chunk in stream:
            self.received += chunk
        self.has_ended = True


async def collecting(peer: RawPeer, station: Station) -> Collector:
    collector = Collector(station)
    peer.send(opened(1), data(1, propose("/collect")))
    await peer.until(lambda: peer.body(1))
    return collector


async def until(is_so: Callable[[], object]) -> None:
    """The kernel brings bytes from one socket to the other when it likes."""
    for _ in range(1_000_000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise TimeoutError


def waiting(link: ByteLink) -> int:
    """Bytes in the socket."""
    assert link._socket is not None
    size = array("i", [0])
    ioctl(link._socket.fileno(), FIONREAD, size)
    return size[0]


async def all_waits(link: ByteLink, size: int) -> None:
    """Until the socket has all that `size` bytes of plaintext are on the wire, but for what was read of them."""
    wire = size + 18 * -(-size // CUT)
    await until(lambda: waiting(link) == wire - _SMALL_CHUNK)


def link_of(connection: Connection) -> ByteLink:
    return cast("ByteLink", connection.link)


async def test_what_a_turn_has_no_time_for_stays_in_the_socket_until_its_own() -> None:
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        link, turns = link_of(connection), out_of_time(connection)
        peer.send(data(1, b"x" * MUCH))
        await until(lambda: turns.deferred)
        assert not link._io.is_reading()
        assert len(link._kept) == _SMALL_CHUNK
        while len(collector.received) < MUCH:
            await until(lambda: turns.deferred)
            turns.resume()
            await settle()
        assert collector.received == b"x" * MUCH
        await until(lambda: link._io.is_reading())


async def test_a_small_chunk_is_whole_and_stops_no_reading() -> None:
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        link, turns = link_of(connection), out_of_time(connection)
        peer.send(data(1, b"little"))
        await until(lambda: turns.deferred)
        assert link._io.is_reading()
        turns.resume()
        await until(lambda: collector.received == b"little")


async def test_who_had_much_looks_again_at_each_turn_while_others_wait_and_reads_as_ever_when_there_is_nothing() -> None:
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        link, turns = link_of(connection), out_of_time(connection)
        turns.is_crowded = True
        peer.send(data(1, b"x" * MUCH))
        await until(lambda: turns.deferred)
        await all_waits(link, MUCH + HEADER_SIZE)
        turns.resume()
        await until(lambda: len(collector.received) == MUCH)
        assert not link._io.is_reading()
        assert len(turns.deferred) == 1, "it looks again"
        turns.resume()
        assert link._io.is_reading(), "there was nothing"
        assert not turns.deferred
        peer.send(data(1, b"y"))
        await until(lambda: turns.deferred)
        turns.resume()
        await until(lambda: collector.received.endswith(b"xy"))


@pytest.mark.parametrize("is_crowded", [False, True])
async def test_the_end_of_a_peer_is_seen_behind_what_it_sent(is_crowded: bool) -> None:
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        turns = out_of_time(connection)
        turns.is_crowded = is_crowded
        peer.send(data(1, b"x" * MUCH) + ended(1))
        peer.io.close()
        while connection.is_open:
            turns.resume()
            await asyncio.sleep(0)
        await until(lambda: collector.has_ended)
        assert collector.received == b"x" * MUCH


@pytest.mark.parametrize("has_turn", [False, True])
async def test_what_waits_in_the_socket_of_a_write_that_failed_is_not_lost_with_it(has_turn: bool) -> None:
    """The transport closes, and its socket is open until the loop has told us so; the turn may come before that."""
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        link, turns = link_of(connection), out_of_time(connection)
        peer.send(data(1, b"x" * MUCH) + ended(1))
        await until(lambda: turns.deferred)
        await all_waits(link, MUCH + 2 * HEADER_SIZE)
        link._io.abort()
        if has_turn:
            turns.resume()
        await connection.closed
        await until(lambda: collector.has_ended)
        assert collector.received == b"x" * MUCH


async def test_one_waits_once_also_where_what_waited_went_along_with_what_came_after_it() -> None:
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        turns = out_of_time(connection)
        for number in range(5):
            turns.is_over = True
            peer.send(data(1, b"1"))
            await until(lambda: link_of(connection)._is_put_off)
            turns.is_over = False
            peer.send(data(1, b"2"))
            await until(lambda number=number: len(collector.received) == 2 * number + 2)
        assert len(turns.deferred) == 1


async def test_a_connection_that_closes_while_it_waits_reads_no_more_and_says_goodbye() -> None:
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        link, turns = link_of(connection), out_of_time(connection)
        turns.is_crowded = True
        peer.send(data(1, b"x" * MUCH))
        await until(lambda: turns.deferred)
        closing = asyncio.ensure_future(connection.close())
        await settle(5)
        turns.resume()
        assert not turns.deferred
        assert link._kept == b""
        assert len(link.get_buffer(-1)) > MUCH, "what is dropped is dropped fast"
        await peer.lost()
        await closing
        assert len(collector.received) == 0


async def test_an_error_of_the_socket_is_left_to_the_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        turns = out_of_time(connection)
        peer.send(data(1, b"x" * MUCH))
        await until(lambda: turns.deferred)

        def fail(fd: int, buffers: list[memoryview]) -> int:
            raise ConnectionResetError

        with monkeypatch.context() as patch:
            patch.setattr(os, "readv", fail)
            turns.resume()
        while len(collector.received) < MUCH:
            turns.resume()
            await asyncio.sleep(0)
        assert collector.received == b"x" * MUCH


async def test_a_cap_holds_also_for_who_waits_for_its_turn() -> None:
    async with hosted(Limits(bandwidth_in=1_000_000), tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        link, turns = link_of(connection), out_of_time(connection)
        traffic = connection.reservation.traffic
        traffic.wait_to_read(1_000_000, connection.loop.time())  # others have used it up
        peer.send(data(1, b"x" * MUCH))
        await until(lambda: turns.deferred)
        counted = traffic.received
        turns.resume()
        await settle()
        assert traffic.received == counted
        assert not link._io.is_reading()
        link._end_read_rest()
        while len(collector.received) < MUCH:
            await until(lambda: turns.deferred)
            turns.resume()
            await settle()
            assert traffic.received - counted <= 65_536 + _SMALL_CHUNK
            counted = traffic.received
            if link._read_rest is not None:
                link._end_read_rest()
        assert collector.received == b"x" * MUCH


class Fickle:
    """Turns that are over, or crowded, as chance has it."""

    def __init__(self, random: Random) -> None:
        self._random = random

    @property
    def is_over(self) -> bool:
        return self._random.random() < 0.6

    is_over_for_changes = is_crowded = is_over

    def spend(self, seconds: float) -> None:
        pass

    spend_on_change = spend

    def defer(self, resume: Callable[[], None], *, is_light: bool = False) -> None:
        if self._random.random() < 0.3:
            asyncio.get_running_loop().call_soon(resume)
        else:
            asyncio.get_running_loop().call_soon(self.defer, resume)

    def defer_change(self, resume: Callable[[], None]) -> None:
        self.defer(resume)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_turns_there_are_all_comes_once_and_in_order(seed: int) -> None:
    random = Random(seed)
    async with hosted(tcp=True) as (peer, connection, station):
        collector = await collecting(peer, station)
        link_of(connection)._turns = cast("ReadTurns", Fickle(random))
        sent = b""
        while len(sent) < 200_000:
            piece = random.randbytes(random.choice((1, 50, 600, 20_000, 60_000)))
            sent += piece
            peer.send(data(1, piece))
            if random.random() < 0.3:
                peer.send(pinged(random.getrandbits(32)))
            await asyncio.sleep(0)
        peer.send(ended(1))
        await until(lambda: collector.has_ended)
        assert collector.received == sent

"""Connections: bytes in and out, and how much is worked on at a time."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.admission.resources import Resources
from cortexnet.multistream import propose
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import ACK, PING
from cortexnet.transport.byte_link import _FIRST_CHUNKS, _SMALL_CHUNK
from cortexnet.transport.read_turns import CHUNK_SIZE
from cortexnet.transport.stream import Stream
from tests.support.hosted import echo, hosted
from tests.support.no_time import NoTimeLeft, out_of_time
from tests.support.pairs import network, settle
from tests.support.raw_peer import RawPeer, data, ended, opened, pinged

# --- what a connection is


async def test_a_connection_says_what_it_is() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        ours, theirs = await net.connect(alice, bob)
        assert (ours.direction, theirs.direction) == ("outbound", "inbound")
        assert (ours.peer_id, theirs.peer_id) == (bob.peer_id, alice.peer_id)
        assert ours.remote_key == bob.identity.public_key
        assert (ours.transport, ours.security, ours.muxer) == ("memory", "/noise", "/yamux/1.0.0")
        assert ours.remote_address == theirs.local_address
        assert ours.local_address == theirs.remote_address
        assert (ours.is_relayed, ours.is_open, ours.error) == (False, True, None)
        assert str(bob.peer_id) in repr(ours)
        stream = await ours.open_stream(["/none"])
        assert (ours.streams, ours.stream_count) == ([stream], 1)


@pytest.mark.parametrize(
    ("ip", "host"), [("10.1.2.3", "10.1.2.3"), ("2001:db8::1", "2001:db8::/56"), ("127.0.0.1", None), (None, None)]
)
async def test_what_is_shared_out_fairly_goes_by_host_or_by_peer_where_there_are_none(ip: str | None, host: str | None) -> None:
    async with network() as net:
        _, theirs = await net.connect(net.station(), net.station())
        assert theirs.origin == theirs.peer_id
        theirs.reservation.subnets = Resources(Limits()).admit_inbound(ip).subnets
        assert theirs.origin == (host or theirs.peer_id)


async def test_the_round_trip_is_measured_at_the_start_and_every_half_minute() -> None:
    async with network(latency=0.1) as net:
        ours, _ = await net.connect(net.station(), net.station())
        assert ours.rtt is None
        await asyncio.sleep(0.3)
        assert ours.rtt == pytest.approx(0.2)
        for link in net.memory.links:
            link.forward.conditions = link.backward.conditions = type(link.forward.conditions)(latency=0.3)
        await asyncio.sleep(31)
        assert ours.rtt == pytest.approx(0.6)


async def test_bytes_behind_the_handshake_are_not_lost() -> None:
    greeting = opened(1) + data(1, propose("/echo") + b"early")
    for early_muxer in (True, False):
        async with hosted(peer=RawPeer(greeting=greeting, early_muxer=early_muxer)) as (peer, _, _):
            await peer.until(lambda peer=peer: peer.body(1).endswith(b"early"))


async def test_bytes_that_come_before_the_start_wait_for_it() -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/echo", echo)
        started, bob.started = bob.started, lambda connection: None
        ours, theirs = await net.connect(alice, bob)
        stream = await ours.open_stream(["/echo"])
        await stream.write(b"early")
        await settle()
        started(theirs)
        assert await stream.read() == b"early"


# --- how much is worked on at a time


async def test_one_callback_takes_in_a_thousand_frames_at_most() -> None:
    """256 KiB of one-byte frames in one record or in thousands must not stop the loop; the rest waits, unread."""
    frames = [data(1, b"x")] * 20_000
    for records in (
        [b"".join(frames[start : start + 5_000]) for start in range(0, 20_000, 5_000)],
        [b"".join(frames[start : start + 10]) for start in range(0, 20_000, 10)],
        frames,
    ):
        async with hosted() as (peer, connection, _):
            peer.send(opened(1), data(1, propose("/hang")))
            await peer.until(lambda peer=peer: peer.body(1))
            peer.send_records(*records)
            sizes, mux = [0], connection.mux
            while sizes[-1] < 20_000:
                await asyncio.sleep(0)
                sizes.append(mux.readable_bytes(1))
            most = max(after - before for before, after in pairwise(sizes))
            assert most <= 1_000


async def test_a_small_chunk_that_waits_for_its_turn_is_not_lost_where_the_peer_ends_right_behind_it() -> None:
    received = []

    async def collect(stream: Stream) -> None:
        received.append(await stream.read_all(limit=10_000))

    async with hosted() as (peer, connection, station):
        station.handle("/collect", collect)
        peer.send(opened(1), data(1, propose("/collect")))
        await peer.until(lambda: peer.body(1))
        out_of_time(connection)
        peer.send(data(1, b"the last words") + ended(1))
        await settle()
        assert connection.link._kept
        peer.io.close()
        await connection.closed
        await settle()
        assert received == [b"the last words"]


async def test_what_was_kept_for_its_turn_goes_when_a_connection_closes() -> None:
    """Else all that the peer sends until it has seen our goodbye would be read behind it, in small pieces."""
    async with hosted() as (peer, connection, _):
        peer.send(opened(1), data(1, propose("/hang")))
        await peer.until(lambda: peer.body(1))
        out_of_time(connection)
        peer.send(data(1, b"x" * 60_000))
        await settle()
        assert connection.link._kept
        closing = asyncio.ensure_future(connection.close())
        await settle(10)
        assert connection.link._is_over
        assert not connection.link._kept
        assert len(connection.link.get_buffer(-1)) == CHUNK_SIZE
        await closing


async def test_frames_that_wait_keep_more_from_being_read_also_where_the_time_of_the_turn_is_over() -> None:
    """What waits must not grow with every turn that others have used up: that was unbounded memory."""
    async with hosted(yamux=YamuxConfig(frames_at_once=500)) as (peer, connection, _):
        peer.send(opened(1), data(1, propose("/sink")))
        await peer.until(lambda: peer.body(1))
        turns = out_of_time(connection)
        waiting = []
        for _ in range(30):
            peer.send_records(*[data(1, b"x") * 4_000] * 4)
        peer.send(pinged(7))
        while not [frame for frame in peer.frames if frame.kind == PING and frame.flags & ACK]:
            await settle(3)
            turns.resume()
            waiting.append(len(connection.mux._backlog) + len(connection.link._kept))
        assert max(waiting) < 300_000


def empty_record(peer: RawPeer) -> bytes:
    session = peer.session
    nonce = bytes(4) + session._sent.to_bytes(8, "little")
    session._sent += 1
    return b"\x00\x10" + session._encrypt(nonce, b"", None)


async def test_empty_records_take_a_thousand_a_turn_and_what_follows_is_not_lost() -> None:
    """128 KiB hold 7,000 of them, which take 13 ms to decrypt and bring nothing."""
    async with hosted() as (peer, connection, _):
        peer.send(opened(1), data(1, propose("/echo")))
        await peer.until(lambda: peer.body(1))
        shares: list[int] = []
        decrypt = connection.link._session.decrypt

        def count(chunk: memoryview) -> tuple[list[bytes], int]:
            plaintexts, used = decrypt(chunk)
            shares.append(used // 18)
            return plaintexts, used

        connection.link._session.decrypt = count  # type: ignore[method-assign]
        peer.io.write(b"".join([empty_record(peer) for _ in range(20_000)]))
        peer.send(data(1, b"hello"))
        await peer.until(lambda: peer.body(1).endswith(b"hello"))
        assert max(shares) <= 1_000
        assert connection.link._io.is_reading()


async def test_records_that_waited_for_their_turn_are_not_lost_with_the_socket() -> None:
    received = []

    async def collect(stream: Stream) -> None:
        received.append(await stream.read_all(limit=10_000))

    async with hosted() as (peer, connection, station):
        station.handle("/collect", collect)
        peer.send(opened(1), data(1, propose("/collect")))
        await peer.until(lambda: peer.body(1))
        peer.send_records(*[data(1, b"x")] * 3_000, data(1, b"the last words") + ended(1))
        out_of_time(connection)
        await settle()
        assert connection.link._kept
        connection.link._io.abort()
        await connection.closed
        await settle()
        assert received == [b"x" * 3_000 + b"the last words"]


async def test_a_chunk_for_which_the_turn_has_no_time_left_is_taken_in_later() -> None:
    async with hosted() as (peer, connection, _):
        peer.send(opened(1), data(1, propose("/echo") + bytes(1_000)))
        turns = out_of_time(connection)
        await settle()
        assert not connection.link._io.is_reading()
        turns.resume()
        await peer.until(lambda: peer.body(1).endswith(bytes(1_000)))
        assert connection.link._io.is_reading()


async def test_small_chunks_wait_in_one_place_and_more_is_read_until_they_are_no_longer_small() -> None:
    """To stop reading and go on takes as long as to work on a small chunk; what waits must stay bounded all the same."""
    async with hosted() as (peer, connection, _):
        peer.send(opened(1), data(1, propose("/echo") + b"1"))
        turns = out_of_time(connection)
        await settle()
        peer.send(data(1, b"2"))
        await settle()
        assert connection.link._io.is_reading()
        assert len(turns.deferred) == 1
        peer.send(data(1, bytes(_SMALL_CHUNK) + b"3"))
        await settle()
        assert not connection.link._io.is_reading()
        assert len(turns.deferred) == 1
        turns.resume()
        await peer.until(lambda: peer.body(1).endswith(b"3"))
        assert peer.body(1).endswith(b"12" + bytes(_SMALL_CHUNK) + b"3")
        assert connection.link._io.is_reading()


async def test_a_small_chunk_that_waited_goes_along_with_the_next_where_that_finds_time() -> None:
    async with hosted() as (peer, connection, _):
        peer.send(opened(1), data(1, propose("/echo") + b"1"))
        turns = out_of_time(connection)
        await settle()
        turns.is_over = False
        peer.send(data(1, b"2"))
        await peer.until(lambda: peer.body(1).endswith(b"12"))
        turns.resume()
        peer.send(data(1, b"3"))
        await peer.until(lambda: peer.body(1).endswith(b"123"))


async def test_what_waited_for_its_turn_is_not_lost_with_the_socket() -> None:
    received = []

    async def collect(stream: Stream) -> None:
        received.append(await stream.read_all(limit=10_000))

    async with hosted() as (peer, connection, station):
        station.handle("/collect", collect)
        peer.send(opened(1), data(1, propose("/collect")))
        await peer.until(lambda: peer.body(1))
        peer.send(data(1, b"x") * 5_000 + data(1, b"the last words") + ended(1))
        out_of_time(connection)
        await settle()
        assert connection.link._kept
        connection.link._io.abort()
        await connection.closed
        await settle()
        assert received == [b"x" * 5_000 + b"the last words"]


async def test_a_flood_of_streams_that_waited_for_its_turn_does_not_hold_the_loop_when_the_socket_is_lost() -> None:
    async with hosted() as (peer, connection, _):
        out_of_time(connection)
        peer.send(b"".join(opened(stream_id) for stream_id in range(1, 10_001, 2)))
        await settle()
        assert connection.link._kept
        accepted: list[int] = []
        connection._accept_stream = accepted.append
        connection.link._io.abort()
        await connection.closed
        assert len(accepted) == 256, "as many as a connection may have, and not the 5,000 that came"


class NoTimeForNewcomers(NoTimeLeft):
    """Others have just come or gone; who is there already has time."""

    is_over = False
    is_over_for_changes = True

    def defer_change(self, resume: Callable[[], None]) -> None:
        self.deferred.append(resume)


async def test_the_first_chunks_of_a_connection_wait_as_its_handshake_does_and_later_ones_do_not() -> None:
    """Sixteen peers that come together and open a stream each held up everybody else for a millisecond."""
    async with hosted() as (peer, connection, _):
        usual = connection.link._turns
        turns = connection.link._turns = NoTimeForNewcomers()
        peer.send(opened(1), data(1, propose("/echo") + b"first"))
        await settle()
        assert not peer.body(1).endswith(b"first")
        assert len(turns.deferred) == 1
        turns.resume()
        await peer.until(lambda: peer.body(1).endswith(b"first"))
        for _ in range(_FIRST_CHUNKS):
            peer.send(data(1, b"more"))
            await settle()
            turns.resume()
        peer.send(data(1, b"last"))
        await peer.until(lambda: peer.body(1).endswith(b"last"))
        assert not turns.deferred
        connection.link._turns = usual

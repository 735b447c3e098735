"""Reads of more than a window, several on one connection: each gets the memory it needs, one after the other if need be."""

import asyncio

import pytest

from cortexnet.errors import EndOfStream, MessageTooLarge
from cortexnet.transport.stream import Stream
from tests.support.pairs import network

MIB = 1024 * 1024


async def send_much(stream: Stream) -> None:
    """As many MiB as the first byte says, as one message."""
    (size,) = await stream.read_exactly(1)
    await stream.write_message(bytes(size * MIB))


async def test_long_reads_wait_for_each_other_where_both_together_do_not_fit() -> None:
    """The demand of the first used to be given up whenever a part of it came, and the memory was promised twice."""
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/much", send_much)
        connection, _ = await net.connect(alice, bob)

        async def read(size: int) -> int:
            async with await connection.open_stream(["/much"]) as stream:
                await stream.write(bytes([size]))
                return len(await stream.read_message(limit=16 * MIB))

        assert await asyncio.gather(read(10), read(10), read(9)) == [10 * MIB, 10 * MIB, 9 * MIB]
        assert alice.resources.snapshot()["memory"] == 0


@pytest.mark.parametrize("way", ["exactly", "all", "message", "cancelled"])
async def test_a_long_read_that_fails_gives_back_what_it_was_promised(way: str) -> None:
    async with network() as net:
        alice, bob = net.station(), net.station()
        bob.handle("/much", send_much)
        connection, _ = await net.connect(alice, bob)
        stream = await connection.open_stream(["/much"])
        await stream.write(b"\x02")
        if way == "exactly":
            with pytest.raises(EndOfStream):
                await stream.read_exactly(3 * MIB)
        elif way == "all":
            with pytest.raises(MessageTooLarge):
                await stream.read_all(limit=MIB)
        elif way == "message":
            with pytest.raises(MessageTooLarge):
                await stream.read_message(limit=MIB)
        else:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await stream.read_exactly(14 * MIB)
        other = await connection.open_stream(["/much"])
        await other.write(b"\x0a")
        assert len(await other.read_message(limit=10 * MIB)) == 10 * MIB
        await other.close()
        await stream.close()

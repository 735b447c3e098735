"""What a connection held is freed when it is lost, without a collection: else those of sixty peers are freed in one turn."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from cortexnet import Config, ConnectionClosed, Node
from cortexnet.transport.stream import Stream

if TYPE_CHECKING:
    from cortexnet.transport.connection import Connection

HOLD = "/test/hold/1.0.0"


@pytest.fixture
def without_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def turns_until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  # there is no event for what is freed
            await asyncio.sleep(0)


@pytest.mark.usefixtures("without_collections")
@pytest.mark.parametrize("security", ["noise", "tls"])
async def test_a_lost_connection_leaves_nothing_for_the_collector(security: str) -> None:
    config = Config(security=(security,), kad=None, gossip=None)
    kept: list[weakref.ref[Connection]] = []
    failed: list[str] = []

    async def hold(stream: Stream) -> None:
        kept.append(weakref.ref(stream.connection))
        try:
            await stream.read_exactly(10)
        except ConnectionClosed as error:
            failed.append(str(error))
            raise

    listen = ["/ip4/127.0.0.1/tcp/0"]
    async with Node(listen=listen, config=config) as alice, Node(listen=listen, config=config) as bob:
        bob.handle(HOLD, hold)
        for _ in range(3):
            stream = await alice.stream(await alice.dial(bob.addresses), HOLD)
            kept.append(weakref.ref(stream.connection))
            await stream.write(b"half")
            number = len(kept)
            await turns_until(lambda number=number: len(kept) > number)
            stream.connection.abort()
            with pytest.raises(ConnectionClosed):
                await stream.read(1)
            del stream
            await turns_until(lambda: not bob.peers and not alice.peers)
        await turns_until(lambda: len(failed) == 3)
        await turns_until(lambda: [ref() for ref in kept] == [None] * 6)

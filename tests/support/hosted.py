"""A raw peer at a station with the usual handlers; whatever it sends, no error may reach the loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cortexnet.admission.limits import Limits
from cortexnet.mux.yamux import Yamux
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream
from cortexnet.transport.upgrade import MuxerFactory, UpgradeConfig
from tests.support.pairs import Station, network, settle
from tests.support.raw_peer import RawPeer, raw_dial

ANSWER = b"\x13/multistream/1.0.0\n"


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def sink(stream: Stream) -> None:
    async for _ in stream:
        pass


async def hang(stream: Stream) -> None:
    await asyncio.Event().wait()


def yamux_of(config: YamuxConfig) -> MuxerFactory:
    """Sessions of yamux with these bounds."""
    return lambda initiator, memory: Yamux(initiator=initiator, config=config, memory=memory)


@asynccontextmanager
async def hosted(
    limits: Limits | None = None, *, peer: RawPeer | None = None, yamux: YamuxConfig | None = None, tcp: bool = False
) -> AsyncIterator[tuple[RawPeer, Connection, Station]]:
    """A raw peer that has dialed a station, and the station's end of it."""
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    async with network(tcp=tcp) as net:
        station = net.station(limits)
        if yamux is not None:
            station.transport._upgrader.config = UpgradeConfig(muxers={"/yamux/1.0.0": yamux_of(yamux)})
        station.handle("/echo", echo)
        station.handle("/sink", sink)
        station.handle("/hang", hang)
        raw, connection = await raw_dial(net, station, peer)
        yield raw, connection, station
        if not raw.is_lost:
            raw.io.abort()
        await settle()
    assert problems == []


def counts(station: Station) -> dict[str, int]:
    return {name: count for name, count in station.resources.snapshot().items() if count}

"""A peer whose handshakes are right, and whose frames of the muxer are written by hand.

    async with network() as net:
        peer, connection = await raw_dial(net, net.station())
        peer.send(opened(1), data(1, propose("/echo")), data(1, b"hello"))
        await peer.until(lambda: peer.body(1).endswith(b"hello"))

The network is that of `pairs`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from cortexnet.handshake import ByteQueue, Driver
from cortexnet.identity.identity import Identity
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.mux import yamux
from cortexnet.mux.yamux_frames import ACK, DATA, FIN, GO_AWAY, HEADER_SIZE, PING, RST, SYN, WINDOW_UPDATE, pack, unpack_from
from cortexnet.security.noise import NoiseChannel, NoiseKeys
from cortexnet.transport.connection import Connection
from cortexnet.transport.upgrade_steps import upgrade_inbound, upgrade_outbound
from tests.support.pairs import Net, Station


@dataclass(frozen=True)
class Frame:
    """What a connection of ours sent to the raw peer."""

    kind: int
    flags: int
    stream_id: int
    length: int
    body: bytes = b""


def opened(stream_id: int) -> bytes:
    return pack(WINDOW_UPDATE | SYN, stream_id, 0)


def acked(stream_id: int) -> bytes:
    return pack(WINDOW_UPDATE | ACK, stream_id, 0)


def data(stream_id: int, body: bytes) -> bytes:
    return pack(DATA, stream_id, len(body)) + body


def credit(stream_id: int, size: int) -> bytes:
    return pack(WINDOW_UPDATE, stream_id, size)


def ended(stream_id: int) -> bytes:
    return pack(WINDOW_UPDATE | FIN, stream_id, 0)


def reset(stream_id: int, code: int = 0) -> bytes:
    return pack(WINDOW_UPDATE | RST, stream_id, code)


def pinged(value: int) -> bytes:
    return pack(PING | SYN, 0, value)


def farewell(code: int = 0) -> bytes:
    return pack(GO_AWAY, 0, code)


class RawPeer(asyncio.Protocol):
    """One end of a socket or a memory link: handshakes by the book, then whatever `send` is given."""

    def __init__(
        self, identity: Identity | None = None, *, is_dialer: bool = True, greeting: bytes = b"", early_muxer: bool = True
    ) -> None:
        """`greeting`: frames that leave in one write with the last message of the handshakes."""
        self.identity = identity or Identity.generate()
        self._greeting = greeting
        self.frames: list[Frame] = []
        self.io: asyncio.Transport
        self.is_lost = False
        self.error: Exception | None = None
        self.has_ended = False
        self._partial = b""
        self._rest = b""
        self._news = asyncio.Event()
        channels = [NoiseChannel(NoiseKeys.create(self.identity.private_key, [yamux.NAME] if early_muxer else []))]
        upgrade = upgrade_outbound(channels[0], [yamux.NAME], None) if is_dialer else upgrade_inbound(channels, [yamux.NAME])
        self._received = ByteQueue()
        self._driver = Driver(upgrade, self._received.take)

    # --- what the test does

    @property
    def is_ready(self) -> bool:
        return self._driver.done

    def send(self, *frames: bytes) -> None:
        """The frames, in one record."""
        self.io.write(bytes(self.session.encrypt([b"".join(frames)])))

    def send_records(self, *plaintexts: bytes) -> None:
        """Each in a record of its own, all of them in one write."""
        self.io.write(b"".join(bytes(self.session.encrypt([plaintext])) for plaintext in plaintexts))

    @property
    def session(self):
        return self._driver.result.session

    def body(self, stream_id: int) -> bytes:
        """All that came on a stream."""
        return b"".join(frame.body for frame in self.frames if frame.stream_id == stream_id and frame.kind == DATA)

    def of(self, stream_id: int, flag: int) -> list[Frame]:
        """The frames of a stream with a flag."""
        return [frame for frame in self.frames if frame.stream_id == stream_id and frame.flags & flag]

    def resets(self, stream_id: int) -> list[int]:
        """The codes a stream was reset with."""
        return [frame.length for frame in self.of(stream_id, RST)]

    def farewells(self) -> list[int]:
        return [frame.length for frame in self.frames if frame.kind == GO_AWAY]

    async def until(self, is_so: Callable[[], object]) -> None:
        while not is_so():
            self._news.clear()
            await self._news.wait()

    async def lost(self) -> None:
        await self.until(lambda: self.is_lost)

    # --- what the transport does

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.io = transport
        self._advance()

    def data_received(self, data: bytes) -> None:
        if self._driver.done:
            self._decrypt(data)
        else:
            self._received.append(data)
            self._advance()
        self._news.set()

    def eof_received(self) -> bool:
        self.has_ended = True
        self._news.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost, self.error = True, exc
        self._news.set()

    def _advance(self) -> None:
        self._driver.advance()
        out = self._driver.data_to_send()
        if self._driver.done and self._driver.error is None and self._greeting:
            out += bytes(self.session.encrypt([self._greeting]))
        if out:
            self.io.write(out)
        if self._driver.done and self._driver.error is None:
            self._decrypt(self._received.take_all())

    def _decrypt(self, data: bytes) -> None:
        self._rest += data
        plaintexts, used = self.session.decrypt(self._rest)
        self._rest = self._rest[used:]
        self._partial += b"".join(plaintexts)
        while len(self._partial) >= HEADER_SIZE:
            word, stream_id, length = unpack_from(self._partial, 0)
            size = HEADER_SIZE + (length if word & 0xFFFF_0000 == DATA else 0)
            if len(self._partial) < size:
                return
            body = self._partial[HEADER_SIZE:size]
            self._partial = self._partial[size:]
            self.frames.append(Frame(word & 0xFFFF_0000, word & 0xFFFF, stream_id, length, body))


async def raw_dial(net: Net, station: Station, peer: RawPeer | None = None) -> tuple[RawPeer, Connection]:
    """A raw peer that has dialed the station, and the station's end, started."""
    peer = peer or RawPeer()
    place = "/memory/0" if net.memory is not None else "/ip4/127.0.0.1/tcp/0"
    listener = await station.transport.listen(Multiaddr.parse(place), station.accepted.put_nowait)
    if net.memory is not None:
        await net.memory.connect(int(listener.address.value_of("memory")), lambda: peer)
    else:
        port = int(listener.address.value_of("tcp"))
        await asyncio.get_running_loop().create_connection(lambda: peer, "127.0.0.1", port)
    connection = await station.accepted.get()
    listener.close()
    station.started(connection)
    await peer.until(lambda: peer.is_ready)
    return peer, connection


async def raw_accept(net: Net, station: Station) -> tuple[RawPeer, Connection]:
    """A raw peer that was dialed by the station, and the station's end, started."""
    peer = RawPeer(is_dialer=False)
    listener = await net.memory.listen(0, lambda: peer)
    address = Multiaddr.parse(f"/memory/{listener.number}")
    reservation = station.resources.admit_dial(peer.identity.peer_id, None)
    connection = await station.transport.dial(address, peer.identity.peer_id, reservation)
    listener.close()
    station.started(connection)
    await peer.until(lambda: peer.is_ready)
    return peer, connection

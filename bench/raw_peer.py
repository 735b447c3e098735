"""A peer that is authenticated and minds no rule from there on: it sends what frames it is told to, over a blocking socket."""

import select
import socket
from collections.abc import Iterator
from typing import Final, final

from cortexnet import multistream
from cortexnet.handshake import ByteQueue, Driver
from cortexnet.identity.keys import PrivateKey
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.mux import yamux
from cortexnet.mux.yamux_frames import DATA, HEADER_SIZE, SYN, TYPE_MASK, WINDOW_UPDATE, pack, unpack_from
from cortexnet.security.noise import NoiseChannel, NoiseKeys
from cortexnet.transport.upgrade_steps import upgrade_outbound

PATIENCE: Final = 10.0
"""Seconds that one step may take; a server under attack is slow."""
CHUNK: Final = 1 << 18

Target = tuple[str, int]


def target_of(address: str) -> Target:
    """Host and port of an `/ip4/…/tcp/…` address."""
    parsed = Multiaddr.parse(address)
    return str(parsed.value_of("ip4")), int(parsed.value_of("tcp") or 0)


def opening(stream_id: int, protocol: str) -> bytes:
    """The frames that open a stream and propose a protocol for it, without waiting for an answer."""
    proposal = multistream.propose(protocol)
    return pack(WINDOW_UPDATE | SYN, stream_id, 0) + pack(DATA, stream_id, len(proposal)) + proposal


@final
class RawPeer:
    """Connected, authenticated as an identity of its own, and on yamux, once it is made. Raises OSError, as all its verbs do."""

    def __init__(self, target: Target, *, source: Target | None = None) -> None:
        """`source` is the address it comes from."""
        self._socket = socket.create_connection(target, PATIENCE, source)
        self._received = ByteQueue()
        self._plaintext = ByteQueue()
        keys = NoiseKeys.create(PrivateKey.generate(), [yamux.NAME])
        driver = Driver(upgrade_outbound(NoiseChannel(keys), [yamux.NAME], None), self._received.take)
        driver.advance()
        self._socket.sendall(driver.data_to_send())
        while not driver.done:
            self._received.append(self._some_bytes())
            driver.advance()
            self._socket.sendall(driver.data_to_send())
        if driver.error is not None:
            raise ConnectionError(f"no handshake: {driver.error}")
        self.session = driver.result.session
        """The secure session; of whoever has called `detach`."""

    def send(self, frames: bytes) -> None:
        """Frames in as few records as hold them."""
        self._socket.sendall(self.session.encrypt([frames]))

    def read_headers(self) -> Iterator[tuple[int, int, int]]:
        """Word, stream id and length of the frames that come next: at least one, unless a frame is cut."""
        self._received.append(self._some_bytes())
        raw = self._received.take_all()
        plaintexts, used = self.session.decrypt(raw)
        self._received.append(raw[used:])
        for plaintext in plaintexts:
            self._plaintext.append(plaintext)
        data, position = self._plaintext.take_all(), 0
        while len(data) - position >= HEADER_SIZE:
            word, stream_id, length = unpack_from(data, position)
            stop = position + HEADER_SIZE + (length if word & TYPE_MASK == DATA else 0)
            if stop > len(data):
                break
            position = stop
            yield word, stream_id, length
        self._plaintext.append(data[position:])

    def throw_away(self) -> None:
        """What has come so far, unseen: who never reads makes the other side wait."""
        while select.select([self._socket], [], [], 0)[0]:
            self._some_bytes()

    def detach(self) -> tuple[socket.socket, bytes]:
        """The socket, and what has come on it and was not read; who takes them has this peer's connection from here on."""
        return self._socket, bytes(self._received.take_all())

    def close(self) -> None:
        self._socket.close()

    def _some_bytes(self) -> bytes:
        data = self._socket.recv(CHUNK)
        if not data:
            raise ConnectionError("the server has ended the connection")
        return data

"""The floor of gossip: what CPython does at best with the work that no gossip can leave out.

Ten nodes in one process, each dials its next four over loopback TCP. A message is signed once with Ed25519, and at every node it
is parsed, recognised, checked and passed on in its own bytes, to all neighbours that have not sent it or said that they have it.
Links are encrypted with ChaCha20-Poly1305; every node tells its other neighbours of each message that is new to it (IDONTWANT).
Signatures are checked in batches beside the loop. No handshakes, multiplexer, windows, scores, limits or heartbeat.

Run by `python -m bench gossip`; alone: `python -m bench.gossip_floor MESSAGES`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bench.gossip_task import AT_ONCE, DIALS, NODES, SIZE

PREFIX: Final = b"libp2p-pubsub:"
MESSAGE: Final = 2
"""First byte of a frame with a message: the rest is its fields."""
HAVE: Final = 3
"""First byte of a frame with the id of a message that need not be sent."""
MUX_HEADER: Final = bytes(12)
CHUNK: Final = 65_000
SIGNATURE: Final = 66
"""Bytes of the last field."""


def field(number: int, value: bytes) -> bytes:
    size = len(value)
    prefix = bytes((number << 3 | 2, size)) if size < 128 else bytes((number << 3 | 2, size & 127 | 128, size >> 7))
    return prefix + value


def parse(data: bytes, at: int) -> dict[int, bytes]:
    """The fields of a message, which all have a length below 16,384."""
    fields, end = {}, len(data)
    while at < end:
        number, size = data[at] >> 3, data[at + 1]
        at += 2
        if size & 128:
            size = size & 127 | data[at] << 7
            at += 1
        if at + size > end:
            raise ValueError("a field is longer than its message")
        fields[number] = data[at : at + size]
        at += size
    return fields


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + body


@final
class Link(asyncio.Protocol):
    """One end of a connection: sealed frames, one write a turn, and in them bodies of three bytes of length."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._cipher = ChaCha20Poly1305(bytes(32))
        self._sent = self._received = 0
        self._out: list[bytes] = []
        self._sealed = self._plain = b""
        self.had: set[bytes] = set()
        """Ids of what the other end need not be sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._node.links.append(self)

    def send(self, frame: bytes) -> None:
        if not self._out:
            self._node.loop.call_soon(self._flush)
        self._out.append(frame)

    def _flush(self) -> None:
        body = b"".join(self._out)
        self._out.clear()
        pieces: list[bytes] = []
        for start in range(0, len(body), CHUNK):
            nonce = self._sent.to_bytes(12, "little")
            sealed = self._cipher.encrypt(nonce, MUX_HEADER + body[start : start + CHUNK], None)
            self._sent += 1
            pieces += (len(sealed).to_bytes(2, "big"), sealed)
        self._transport.write(b"".join(pieces))

    def data_received(self, data: bytes) -> None:
        self._sealed, sealed = _bodies(self._sealed + data, 2)
        plain = [self._plain]
        for each in sealed:
            plain.append(self._cipher.decrypt(self._received.to_bytes(12, "little"), each, None)[len(MUX_HEADER) :])
            self._received += 1
        self._plain, bodies = _bodies(b"".join(plain), 3)
        for body in bodies:
            self._node.receive(self, body)


def _bodies(data: bytes, width: int) -> tuple[bytes, list[bytes]]:
    """What has a length of `width` bytes in front and is complete; and the rest before it."""
    at, end, bodies = 0, len(data), []
    while end - at >= width:
        size = int.from_bytes(data[at : at + width], "big")
        if end - at - width < size:
            break
        bodies.append(data[at + width : at + width + size])
        at += width + size
    return data[at:], bodies


@final
class Node:
    """Its neighbours, what it has seen, and from whom."""

    def __init__(self, pool: ThreadPoolExecutor, delivered: Callable[[], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.links: list[Link] = []
        self.count = 0
        self._pool = pool
        self._delivered = delivered
        self._key = Ed25519PrivateKey.generate()
        self._author = self._key.public_key().public_bytes_raw()
        self._keys: dict[bytes, Ed25519PublicKey] = {}
        self._holders: dict[bytes, set[Link]] = {}
        self._waiting: list[tuple[bytes, dict[int, bytes], bytes]] = []
        self._is_checking = False

    def publish(self, number: int) -> None:
        seqno = number.to_bytes(8, "big")
        signed = field(1, self._author) + field(2, seqno + bytes(SIZE - 8)) + field(3, seqno) + field(4, b"bench")
        body = bytes((MESSAGE,)) + signed + field(5, self._key.sign(PREFIX + signed))
        self._holders[self._author + seqno] = set()
        frame = framed(body)
        for link in self.links:
            link.send(frame)

    def receive(self, link: Link, body: bytes) -> None:
        if body[0] == HAVE:
            link.had.add(body[1:])
            return
        fields = parse(body, 1)
        message_id = fields[1] + fields[3]
        holders = self._holders.get(message_id)
        if holders is not None:
            holders.add(link)
            return
        self._holders[message_id] = {link}
        note = framed(bytes((HAVE,)) + message_id)
        for other in self.links:
            if other is not link:
                other.send(note)
        self._waiting.append((message_id, fields, body))
        if not self._is_checking:
            self._is_checking = True
            self.loop.call_soon(self._check)

    def _check(self) -> None:
        batch, self._waiting = self._waiting, []
        for _, fields, _ in batch:
            if fields[1] not in self._keys:
                self._keys[fields[1]] = Ed25519PublicKey.from_public_bytes(fields[1])
        self._pool.submit(self._verify, batch)

    def _verify(self, batch: list[tuple[bytes, dict[int, bytes], bytes]]) -> None:
        for _, fields, body in batch:
            self._keys[fields[1]].verify(fields[5], PREFIX + body[1:-SIGNATURE])
        self.loop.call_soon_threadsafe(self._forward, batch)

    def _forward(self, batch: list[tuple[bytes, dict[int, bytes], bytes]]) -> None:
        for message_id, _, body in batch:
            self.count += 1
            holders, frame = self._holders[message_id], framed(body)
            for link in self.links:
                if link in holders:
                    continue
                if message_id in link.had:
                    link.had.discard(message_id)
                else:
                    link.send(frame)
        self._delivered()
        self._is_checking = False
        if self._waiting:
            self._is_checking = True
            self.loop.call_soon(self._check)


async def deliveries_per_second(messages: int) -> float:
    """One node publishes, and is never more than `AT_ONCE` messages ahead of the slowest."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    with ThreadPoolExecutor(2) as pool:
        nodes = [Node(pool, news.set) for _ in range(NODES)]
        servers = [await loop.create_server(lambda node=node: Link(node), "127.0.0.1", 0) for node in nodes]  # type: ignore[misc]
        for at in range(NODES):
            for step in range(1, DIALS + 1):
                address = servers[(at + step) % NODES].sockets[0].getsockname()
                await loop.create_connection(lambda at=at: Link(nodes[at]), *address)  # type: ignore[misc]
        await asyncio.sleep(0.2)
        publisher, *others = nodes
        begin = time.perf_counter()
        for number in range(messages + AT_ONCE):
            while min(node.count for node in others) < number - AT_ONCE + 1:
                news.clear()
                await news.wait()
            if number < messages:
                publisher.publish(number)
        return messages * len(others) / (time.perf_counter() - begin)


if __name__ == "__main__":
    print(json.dumps({"rate": asyncio.run(deliveries_per_second(int(sys.argv[1])))}))

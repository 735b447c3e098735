"""The dial floor: the least CPython can spend on opening a connection as libp2p does.

TCP, multistream-select of `/noise` in one flight with the first message, Noise XX with each side's static key signed by its
Ed25519 identity, and the multiplexer named in the handshake's payload so that nothing is negotiated after it. No identify, no
limits, no peer bookkeeping. The cryptography is real and complete: six key exchanges, four signatures made or checked.

Run as one half of a pair (see `bench.half`); workload `dials`.
Spec: The Noise Protocol Framework, sections 5 and 7 (XX); libp2p noise, "The libp2p Handshake Payload".
"""

import asyncio
import hashlib
import hmac
import struct
import time
from typing import Final, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bench.half import Driver, Figures, Task, main
from bench.quantiles import latencies

PROPOSAL: Final = b"\x13/multistream/1.0.0\n\x07/noise\n"
PROTOCOL_NAME: Final = b"Noise_XX_25519_ChaChaPoly_SHA256"
SIGNED_PREFIX: Final = b"noise-libp2p-static-key:"
MUXER: Final = b"/yamux/1.0.0"
LENGTH: Final = struct.Struct(">H")
KEY: Final = 32
SEALED_KEY: Final = KEY + 16


@final
class Identity:
    """A node's long-lived keys, with the payload that binds the one to the other signed once, as stacks do."""

    def __init__(self) -> None:
        self.static = X25519PrivateKey.generate()
        self.static_public = self.static.public_key().public_bytes_raw()
        signing = Ed25519PrivateKey.generate()
        self._signing = signing
        self._public = signing.public_key().public_bytes_raw()

    def payload(self) -> bytes:
        return self._public + self._signing.sign(SIGNED_PREFIX + self.static_public) + MUXER


def verify(payload: bytes, static_public: bytes) -> None:
    """Check that the payload's identity signed the static key that the handshake used."""
    Ed25519PublicKey.from_public_bytes(payload[:32]).verify(payload[32:96], SIGNED_PREFIX + static_public)


@final
class SymmetricState:
    """Noise's running hash, chaining key and cipher. Each step is written for XX alone, with an empty prologue."""

    def __init__(self) -> None:
        self._chaining_key = PROTOCOL_NAME  # exactly a hash long, so it is taken as it is
        self._hash = PROTOCOL_NAME
        self.mix_hash(b"")
        self._cipher: ChaCha20Poly1305 | None = None
        self._count = 0

    def mix_hash(self, data: bytes) -> None:
        self._hash = hashlib.sha256(self._hash + data).digest()

    def mix_key(self, secret: bytes) -> None:
        self._chaining_key, key = self._derive(secret)
        self._cipher, self._count = ChaCha20Poly1305(key), 0

    def seal(self, plaintext: bytes) -> bytes:
        if self._cipher is None:
            sealed = plaintext
        else:
            sealed = self._cipher.encrypt(self._next_nonce(), plaintext, self._hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        plaintext = sealed if self._cipher is None else self._cipher.decrypt(self._next_nonce(), sealed, self._hash)
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> tuple[ChaCha20Poly1305, ChaCha20Poly1305]:
        """The ciphers of the connection: the initiator's direction first."""
        first, second = self._derive(b"")
        return ChaCha20Poly1305(first), ChaCha20Poly1305(second)

    def _derive(self, secret: bytes) -> tuple[bytes, bytes]:
        extracted = hmac.digest(self._chaining_key, secret, "sha256")
        first = hmac.digest(extracted, b"\x01", "sha256")
        return first, hmac.digest(extracted, first + b"\x02", "sha256")

    def _next_nonce(self) -> bytes:
        nonce = self._count.to_bytes(12, "little") if not self._count else bytes(4) + self._count.to_bytes(8, "little")
        self._count += 1
        return nonce


def send_ephemeral(state: SymmetricState) -> tuple[X25519PrivateKey, bytes]:
    ephemeral = X25519PrivateKey.generate()
    public = ephemeral.public_key().public_bytes_raw()
    state.mix_hash(public)
    return ephemeral, public


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return await reader.readexactly(size)


def frame(message: bytes) -> bytes:
    return LENGTH.pack(len(message)) + message


async def initiate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, identity: Identity) -> None:
    state = SymmetricState()
    ephemeral, public = send_ephemeral(state)  # -> e
    writer.write(PROPOSAL + frame(public + state.seal(b"")))
    await reader.readexactly(len(PROPOSAL))
    answer = await read_frame(reader)  # <- e, ee, s, es
    remote_ephemeral = X25519PublicKey.from_public_bytes(answer[:KEY])
    state.mix_hash(answer[:KEY])
    state.mix_key(ephemeral.exchange(remote_ephemeral))
    remote_static = state.open(answer[KEY : KEY + SEALED_KEY])
    state.mix_key(ephemeral.exchange(X25519PublicKey.from_public_bytes(remote_static)))
    payload = state.open(answer[KEY + SEALED_KEY :])
    message = state.seal(identity.static_public)  # -> s, se
    state.mix_key(identity.static.exchange(remote_ephemeral))
    writer.write(frame(message + state.seal(identity.payload())))
    verify(payload, remote_static)  # while the responder is already at work on our last message
    state.split()


async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, identity: Identity) -> None:
    await reader.readexactly(len(PROPOSAL))
    state = SymmetricState()
    opening = await read_frame(reader)  # <- e
    remote_ephemeral = X25519PublicKey.from_public_bytes(opening[:KEY])
    state.mix_hash(opening[:KEY])
    state.open(opening[KEY:])
    ephemeral, public = send_ephemeral(state)  # -> e, ee, s, es
    state.mix_key(ephemeral.exchange(remote_ephemeral))
    message = public + state.seal(identity.static_public)
    state.mix_key(identity.static.exchange(remote_ephemeral))
    writer.write(PROPOSAL + frame(message + state.seal(identity.payload())))
    closing = await read_frame(reader)  # <- s, se
    remote_static = state.open(closing[:SEALED_KEY])
    state.mix_key(ephemeral.exchange(X25519PublicKey.from_public_bytes(remote_static)))
    verify(state.open(closing[SEALED_KEY:]), remote_static)
    state.split()
    writer.write(b"\0")
    await writer.drain()


async def serve(task: Task, driver: Driver) -> None:
    identity = Identity()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await respond(reader, writer, identity)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    driver.send({"address": f"{host}:{port}"})
    await driver.next_line()


async def run(task: Task, driver: Driver) -> Figures:
    """Dial one after the other; a dial has ended when the responder's first byte after the handshake is here."""
    host, port = task.address.rsplit(":", 1)
    identity, times = Identity(), []
    begun = time.perf_counter()
    for _ in range(task.amount):
        started = time.perf_counter()
        reader, writer = await asyncio.open_connection(host, int(port))
        await initiate(reader, writer, identity)
        await reader.readexactly(1)
        writer.close()
        times.append(time.perf_counter() - started)
    return {"rate": task.amount / (time.perf_counter() - begun), **latencies(times)}


if __name__ == "__main__":
    main(serve, run)

"""Noise_XX_25519_ChaChaPoly_SHA256: the three messages, behind one small interface with two engines.

`LeanXX` is ours; `NoiseprotocolXX` drives the package of that name. They write the same bytes; which one a node uses is a
setting of its NoiseKeys. A state lives for one handshake: it must be dropped after the first error.

Spec: The Noise Protocol Framework, revision 34, sections 5 and 7.5.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import Protocol, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from cortexnet.errors import HandshakeFailed

NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
OVERHEAD = (32, 96, 64)
"""Bytes that each of the three messages adds to its payload: keys, and a tag for whatever is encrypted."""

_KEY_SIZE = 32
_TAG_SIZE = 16
_PATTERN = (("e",), ("e", "ee", "s", "es"), ("s", "se"))
_UNREADABLE = "a noise handshake message is too short, does not decrypt, or holds a key that leads to no secret"


class XX(Protocol):
    """One side of one handshake. Messages alternate, the initiator writes first; the empty prologue is mixed in."""

    def write_message(self, payload: bytes) -> bytes:
        """The next message, carrying `payload` (in the clear in the first message, readable by anybody in the second).

        Raises HandshakeFailed where the ephemeral key that the peer has sent leads to no secret.
        """

    def read_message(self, message: bytes) -> bytes:
        """The payload of the peer's next message. Raises HandshakeFailed where it is too short or does not decrypt."""

    @property
    def remote_static(self) -> bytes:
        """The peer's static public key; read it after the peer's second or third message has been."""

    def split(self) -> tuple[ChaCha20Poly1305, ChaCha20Poly1305]:
        """After the third message: the ciphers of what we send and of what we receive."""


Engine = Callable[[X25519PrivateKey, bool], XX]
"""Makes the state for a static key, and whether it is the initiator's."""


@final
class LeanXX:
    """The handshake straight over `cryptography`: no pattern parser, no key wrappers, one-shot HMACs.

    `ephemeral` fixes the key that has to be drawn for each handshake; for golden transcripts alone.
    """

    def __init__(self, static: X25519PrivateKey, initiator: bool, *, ephemeral: X25519PrivateKey | None = None) -> None:
        self._initiator = initiator
        self._own = {"s": static, "e": ephemeral or X25519PrivateKey.generate()}
        self._theirs: dict[str, X25519PublicKey] = {}
        self._messages = iter(_PATTERN)
        self._chaining_key = NAME
        self._hash = hashlib.sha256(NAME).digest()  # h = NAME, which is as long as a hash; then the empty prologue mixed in
        self._cipher: ChaCha20Poly1305 | None = None
        self._nonce = 0
        self.remote_static = b""

    def write_message(self, payload: bytes) -> bytes:
        message = b""
        for token in next(self._messages):
            if token == "e":
                message += self._mix_hash(self._own["e"].public_key().public_bytes_raw())
            elif token == "s":
                message += self._encrypt(self._own["s"].public_key().public_bytes_raw())
            else:
                self._mix_exchange(token)
        return message + self._encrypt(payload)

    def read_message(self, message: bytes) -> bytes:
        position = 0
        try:
            for token in next(self._messages):
                if token == "e":
                    position = _KEY_SIZE
                    key = self._mix_hash(message[:position])
                    self._theirs["e"] = X25519PublicKey.from_public_bytes(key)
                elif token == "s":
                    start, position = position, position + _KEY_SIZE + _TAG_SIZE
                    self.remote_static = self._decrypt(message[start:position])
                    self._theirs["s"] = X25519PublicKey.from_public_bytes(self.remote_static)
                else:
                    self._mix_exchange(token)
            return self._decrypt(message[position:])
        except (InvalidTag, ValueError) as error:  # ValueError: a key that is cut short
            raise HandshakeFailed(_UNREADABLE) from error

    def split(self) -> tuple[ChaCha20Poly1305, ChaCha20Poly1305]:
        first, second = map(ChaCha20Poly1305, _hkdf(self._chaining_key, b""))
        return (first, second) if self._initiator else (second, first)

    def _mix_hash(self, data: bytes) -> bytes:
        self._hash = hashlib.sha256(self._hash + data).digest()
        return data

    def _mix_exchange(self, token: str) -> None:
        """Of a token "es", e is the initiator's key (ephemeral) and s the responder's (static)."""
        own, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        try:
            secret = self._own[own].exchange(self._theirs[theirs])
        except ValueError as error:  # all zeros, as with a public key of small order
            raise HandshakeFailed(_UNREADABLE) from error
        self._chaining_key, key = _hkdf(self._chaining_key, secret)
        self._cipher, self._nonce = ChaCha20Poly1305(key), 0

    def _encrypt(self, plaintext: bytes) -> bytes:
        if self._cipher is None:
            return self._mix_hash(plaintext)
        return self._mix_hash(self._cipher.encrypt(self._next_nonce(), plaintext, self._hash))

    def _decrypt(self, ciphertext: bytes) -> bytes:
        if self._cipher is None:
            return self._mix_hash(ciphertext)
        plaintext = self._cipher.decrypt(self._next_nonce(), ciphertext, self._hash)
        self._mix_hash(ciphertext)
        return plaintext

    def _next_nonce(self) -> bytes:
        nonce = bytes(4) + self._nonce.to_bytes(8, "little")
        self._nonce += 1
        return nonce


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    secret = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(secret, b"\x01", "sha256")
    return first, hmac.digest(secret, first + b"\x02", "sha256")


@final
class NoiseprotocolXX:
    """The same on top of the package `noiseprotocol`, which is imported when the first state is made."""

    def __init__(self, static: X25519PrivateKey, initiator: bool, *, ephemeral: X25519PrivateKey | None = None) -> None:
        from noise.connection import Keypair, NoiseConnection
        from noise.exceptions import NoiseValueError

        self._faults = (InvalidTag, ValueError, NoiseValueError)
        self._connection = NoiseConnection.from_name(NAME)
        self._connection.set_keypair_from_private_bytes(Keypair.STATIC, static.private_bytes_raw())
        if ephemeral is not None:
            self._connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral.private_bytes_raw())
        if initiator:
            self._connection.set_as_initiator()
        else:
            self._connection.set_as_responder()
        self._connection.start_handshake()
        self._state = self._connection.noise_protocol.handshake_state  # it lets go of this when the handshake ends

    @property
    def remote_static(self) -> bytes:
        return bytes(self._state.rs.public_bytes)

    def write_message(self, payload: bytes) -> bytes:
        try:
            return bytes(self._connection.write_message(payload))
        except ValueError as error:  # as in LeanXX
            raise HandshakeFailed(_UNREADABLE) from error

    def read_message(self, message: bytes) -> bytes:
        try:
            return bytes(self._connection.read_message(message))
        except self._faults as error:
            raise HandshakeFailed(_UNREADABLE) from error

    def split(self) -> tuple[ChaCha20Poly1305, ChaCha20Poly1305]:
        protocol = self._connection.noise_protocol
        return protocol.cipher_state_encrypt.cipher.cipher, protocol.cipher_state_decrypt.cipher.cipher

"""A Noise channel after its handshake: length-prefixed ChaCha20-Poly1305 frames, one nonce counter a direction."""

import struct
from collections.abc import Sequence
from typing import final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from cortexnet.errors import ConnectionClosed, ProtocolViolation, RemoteError
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId

MAX_FRAME = 65_535
"""Bytes of a frame behind its length, the tag included."""
MAX_PLAINTEXT = MAX_FRAME - 16
CUT = 65_024
"""Plaintext bytes per frame of what takes several. OpenSSL's AVX-512 ChaCha20-Poly1305 needs 18.7 µs for them, and 20.1 µs for
MAX_PLAINTEXT (a rest of 448 to 511 bytes behind the last multiple of 512 is slow); its AVX2 code makes no difference."""

FRAMES_AT_ONCE = 1_000
"""Frames of one `decrypt`: 256 KiB hold 14,500 empty ones, which take 27 ms."""

_HEADER_SIZE = 2
_TAG_SIZE = 16
_OVERHEAD = _HEADER_SIZE + _TAG_SIZE
# Up to here sealing into new bytes and one concatenation (1.1 µs for 64 bytes) beats encrypt_into (1.5 µs); from 16 KiB on it
# loses, by 1.2 µs at 64 KiB.
_SMALL = 4_096

_pack_header = struct.Struct(">H").pack
_pack_header_into = struct.Struct(">H").pack_into
_nonce = struct.Struct("<4xQ").pack  # as fast as a bytearray that is changed in place


@final
class NoiseSession:
    """See `security.session.SecureSession` for the contract of each verb.

    Counters are never near 2^64, where a key would have to be given up: at a million frames a second that takes 580,000 years.
    Spec: The Noise Protocol Framework, section 5.1; libp2p specs, noise/, "Wire Format".
    """

    name = "/noise"
    header_size = _HEADER_SIZE

    def __init__(
        self,
        ciphers: tuple[ChaCha20Poly1305, ChaCha20Poly1305],
        *,
        remote_peer: PeerId,
        remote_key: PublicKey,
        muxer: str | None,
    ) -> None:
        sending, receiving = ciphers
        self._encrypt = sending.encrypt
        self._encrypt_into = sending.encrypt_into
        self._decrypt = receiving.decrypt
        self._sent = 0
        self._received = 0
        self.remote_peer = remote_peer
        self.remote_key = remote_key
        self.muxer = muxer
        self.error: RemoteError | ConnectionClosed | None = None
        self.has_backlog = False

    def body_size(self, header: bytes) -> int:
        """What the length in front says."""
        return int.from_bytes(header, "big")

    def encrypt(self, parts: Sequence[bytes | bytearray | memoryview]) -> bytes | bytearray:
        """The parts, joined, in one frame where that holds them, else in frames of CUT bytes; nothing for nothing."""
        plaintext = parts[0] if len(parts) == 1 else b"".join(parts)
        size = len(plaintext)
        if not 0 < size <= MAX_PLAINTEXT:
            return self._encrypt_long(plaintext, size)
        number = self._sent
        self._sent = number + 1
        if size <= _SMALL:
            return _pack_header(size + _TAG_SIZE) + self._encrypt(_nonce(number), plaintext, None)
        out = bytearray(size + _OVERHEAD)
        _pack_header_into(out, 0, size + _TAG_SIZE)
        self._encrypt_into(_nonce(number), plaintext, None, memoryview(out)[_HEADER_SIZE:])
        return out

    def _encrypt_long(self, plaintext: bytes | bytearray | memoryview, size: int) -> bytearray:
        frames = -(-size // CUT)
        out = bytearray(size + frames * _OVERHEAD)
        source, target = memoryview(plaintext), memoryview(out)
        position = 0
        for start in range(0, size, CUT):
            piece = source[start : start + CUT]
            _pack_header_into(out, position, len(piece) + _TAG_SIZE)
            end = position + len(piece) + _OVERHEAD
            self._encrypt_into(_nonce(self._sent), piece, None, target[position + _HEADER_SIZE : end])
            self._sent += 1
            position = end
        return out

    def decrypt(self, data: bytes | memoryview) -> tuple[list[bytes], int]:
        """The plaintexts of the complete frames in front, of a thousand at most. Empty frames are legal and left out."""
        end = len(data)
        if self.error is not None:
            return [], end
        view = memoryview(data)
        plaintexts: list[bytes] = []
        decrypt, number, position = self._decrypt, self._received, 0
        last = number + FRAMES_AT_ONCE
        try:
            while position + _HEADER_SIZE <= end and number < last:
                start = position + _HEADER_SIZE
                stop = start + (view[position] << 8 | view[position + 1])
                if stop > end:
                    break
                plaintext = decrypt(_nonce(number), view[start:stop], None)
                number += 1
                position = stop
                if plaintext:
                    plaintexts.append(plaintext)
        except InvalidTag:  # also what is shorter than a tag
            self.error = ProtocolViolation(f"noise frame {number} does not decrypt")
            position = end
        self._received = number
        self.has_backlog = number == last and self.error is None
        return plaintexts, position

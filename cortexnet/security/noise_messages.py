"""What the second and third message of a Noise handshake carry: who is speaking, and which muxers it has.

Spec: libp2p specs, noise/, "The libp2p Handshake Payload".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from cortexnet.errors import HandshakeFailed, MessageTooLarge, ProtocolViolation
from cortexnet.protobuf import BYTES, Field, Schema, field_bytes

MAX_PAYLOAD = 8_192
"""Bytes of an encoded payload: the largest RSA key and its signature take 2 KiB."""
MAX_MUXERS = 16
"""Entries of the list of muxers. A longer one is refused: were it ignored, the peer would go on as if a muxer were agreed."""

_MAX_KEY = 2_048
_MAX_SIGNATURE = 1_024  # of RSA with 8192 bits
_KEY, _SIGNATURE, _EXTENSIONS = 1, 2, 4
_MUXERS = 2
_PAYLOAD_SCHEMA = Schema(
    "noise payload",
    Field(_KEY, BYTES, size_limit=_MAX_KEY),
    Field(_SIGNATURE, BYTES, size_limit=_MAX_SIGNATURE),
    Field(_EXTENSIONS, BYTES),
)
_EXTENSIONS_SCHEMA = Schema("noise extensions", Field(_MUXERS, BYTES, count_limit=MAX_MUXERS))


@final
@dataclass(slots=True)
class Payload:
    """A payload as it came; what is absent is empty. Nothing of it may be used before the signature is verified."""

    identity_key: bytes = b""
    """A serialized PublicKey."""
    identity_signature: bytes = b""
    muxers: Sequence[bytes] = ()
    """Protocol ids, in order of preference."""

    def encode(self) -> bytes:
        """The payload's bytes; the extensions are written even without a muxer, as go does."""
        extensions = b"".join(field_bytes(_MUXERS, muxer) for muxer in self.muxers)
        return (
            field_bytes(_KEY, self.identity_key)
            + field_bytes(_SIGNATURE, self.identity_signature)
            + field_bytes(_EXTENSIONS, extensions)
        )

    @classmethod
    def decode(cls, data: bytes) -> "Payload":
        """Raises HandshakeFailed for what is no payload. Fields of no interest (early data, certificate hashes) are skipped."""
        payload = cls()
        extensions: list[bytes] = []
        try:
            for number, _, content in _PAYLOAD_SCHEMA.read(data):
                if number == _KEY:
                    payload.identity_key = content
                elif number == _SIGNATURE:
                    payload.identity_signature = content
                else:
                    extensions.append(content)
            # A message that comes in several fields is the concatenation of them, as protobuf has it.
            payload.muxers = [content for _, _, content in _EXTENSIONS_SCHEMA.read(b"".join(extensions))]
        except (ProtocolViolation, MessageTooLarge) as error:
            raise HandshakeFailed(f"unreadable handshake payload: {error}") from error
        return payload


def agreed_muxer(initiators: Sequence[bytes], responders: Sequence[bytes]) -> str | None:
    """The first muxer of the initiator's list that the responder has as well, or None.

    Spec: libp2p specs, connections/inlined-muxer-negotiation.md, "Early Data specification with Noise".
    """
    for muxer in initiators:
        if muxer in responders:
            return muxer.decode()
    return None

"""CIDs: content identifiers, which say how to read the content (codec) and what it hashes to.

Spec: multiformats/cid, "CIDv1" and "Decoding Algorithm".
"""

from dataclasses import dataclass
from typing import Self, final

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats import multibase, multihash, varint

RAW = 0x55
DAG_PB = 0x70
LIBP2P_KEY = 0x72
"""Codec of a peer id that is written as a CID."""

MAX_BYTES = 1024
"""A CID of a digest has some 40 bytes; the rest is room for content inlined with the identity function."""
_MAX_TEXT = 1 + 8 * MAX_BYTES  # base 2

_V0_PREFIX = bytes([multihash.SHA2_256, multihash.SHA2_256_SIZE])
_V0_BYTES = 34
_V0_TEXT = 46


@final
@dataclass(frozen=True, slots=True)
class Cid:
    """A content identifier. Equal if version, codec and multihash are.

    Version 0 is a bare sha2-256 multihash of DAG_PB content. Raises ProtocolViolation for what is no CID.
    """

    version: int
    codec: int
    multihash: bytes

    def __post_init__(self) -> None:
        if self.version not in (0, 1):
            raise ProtocolViolation(f"CID version {self.version} is not known")
        if not 0 <= self.codec <= varint.MAX_VALUE:
            raise ProtocolViolation(f"CID codec {self.codec} is no varint")
        code, _ = multihash.unwrap(self.multihash)
        if self.version == 0 and (code != multihash.SHA2_256 or self.codec != DAG_PB):
            raise ProtocolViolation("CIDv0 is for sha2-256 and dag-pb only")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The CID of a text: `Qm…` is version 0 in base 58, all else version 1 in any multibase. Raises ProtocolViolation."""
        if len(text) > _MAX_TEXT:
            raise ProtocolViolation(f"CID of {len(text)} characters is too long")
        if len(text) == _V0_TEXT and text.startswith("Qm"):
            return cls(0, DAG_PB, multibase.base58_decode(text))
        data = multibase.decode(text)
        if data[:1] == _V0_PREFIX[:1]:
            raise ProtocolViolation("CIDv0 has no multibase form")
        return cls.from_bytes(data)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The CID that is the whole of `data`. Raises ProtocolViolation."""
        if len(data) > MAX_BYTES:
            raise ProtocolViolation(f"CID of {len(data)} bytes is over the limit of {MAX_BYTES}")
        if len(data) == _V0_BYTES and data.startswith(_V0_PREFIX):
            return cls(0, DAG_PB, data)
        version, position = varint.decode(data)
        if version != 1:
            raise ProtocolViolation(f"CID version {version} is not known in this form")
        codec, position = varint.decode(data, position)
        return cls(1, codec, data[position:])

    @classmethod
    def for_data(cls, data: bytes, codec: int = RAW) -> Self:
        """The CIDv1 of content, hashed with sha2-256."""
        return cls(1, codec, multihash.sha2_256(data))

    def encode(self, base: str) -> str:
        """The text in the named multibase (see `multibase.NAMES`). Raises LocalError: version 0 has the form of `str` only."""
        if self.version == 0:
            raise LocalError("CIDv0 has no multibase form")
        return multibase.encode(base, bytes(self))

    def to_v1(self) -> Self:
        """The same content identified by version 1."""
        return type(self)(1, self.codec, self.multihash)

    def __bytes__(self) -> bytes:
        if self.version == 0:
            return self.multihash
        return varint.encode(self.version) + varint.encode(self.codec) + self.multihash

    def __str__(self) -> str:
        return multibase.base58_encode(self.multihash) if self.version == 0 else self.encode("base32")

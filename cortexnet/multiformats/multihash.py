"""Multihashes: a digest that names its function and length: varint code, varint length, digest.

Spec: multiformats/multihash, "Format".
"""

from hashlib import sha256

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats import varint

IDENTITY = 0x00
"""The "digest" is the data itself; peer ids of short keys are of this kind."""
SHA2_256 = 0x12
SHA2_256_SIZE = 32

_SHA2_256_PREFIX = bytes([SHA2_256, SHA2_256_SIZE])


def wrap(code: int, digest: bytes) -> bytes:
    """The multihash of a digest made with function `code`. Raises LocalError if a sha2-256 digest is not of 32 bytes."""
    if code == SHA2_256 and len(digest) != SHA2_256_SIZE:
        raise LocalError(f"a sha2-256 digest has 32 bytes, not {len(digest)}")
    return varint.encode(code) + varint.encode(len(digest)) + digest


def unwrap(data: bytes) -> tuple[int, bytes]:
    """Function code and digest of a multihash that is the whole of `data`.

    Functions are not interpreted, but a sha2-256 digest has 32 bytes. Raises ProtocolViolation.
    """
    code, position = varint.decode(data)
    size, position = varint.decode(data, position)
    if len(data) - position != size:
        raise ProtocolViolation(f"multihash announces a digest of {size} bytes and has {len(data) - position}")
    if code == SHA2_256 and size != SHA2_256_SIZE:
        raise ProtocolViolation(f"a sha2-256 digest has 32 bytes, not {size}")
    return code, data[position:]


def sha2_256(data: bytes) -> bytes:
    """The sha2-256 multihash of `data`."""
    return _SHA2_256_PREFIX + sha256(data).digest()

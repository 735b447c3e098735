"""The bytes that every peer sends: known in advance, so that a checksum tells what arrived."""

import hashlib
from functools import cache

PERIOD = 65_521  # prime: a block lost, doubled or swapped at any usual buffer size shows in the checksum


@cache
def pattern() -> bytes:
    """One period: SHA-256 of "0", "1", "2" and so on in decimal, joined and cut."""
    blocks = (hashlib.sha256(str(number).encode()).digest() for number in range(PERIOD // 32 + 1))
    return b"".join(blocks)[:PERIOD]


def payload(offset: int, size: int) -> bytes:
    """The `size` bytes of the endless repetition of the pattern that begin at `offset`."""
    start = offset % PERIOD
    repeats = (start + size) // PERIOD + 1
    return (pattern() * repeats)[start : start + size]


@cache
def digest(offset: int, size: int) -> str:
    """SHA-256 in hex of that piece of the payload."""
    whole = hashlib.sha256()
    end = offset + size
    while offset < end:
        piece = payload(offset, min(16 * PERIOD, end - offset))
        whole.update(piece)
        offset += len(piece)
    return whole.hexdigest()

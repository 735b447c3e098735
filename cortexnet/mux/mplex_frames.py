"""The frames of mplex: a varint of stream number and flag, a varint of length, a body. Spec: mplex, "Message format"."""

from cortexnet.errors import MessageTooLarge, ProtocolViolation
from cortexnet.multiformats import varint

NEW, MESSAGE, CLOSE, RESET = 0, 2, 4, 6
"""Flags as the opener of a stream sends them; the other side's are one less, and it opens none of the same stream."""
FLAG_MASK = 7
LONGEST_HEADER = 12
"""Bytes in front of a body of ours: 9 of number and flag, 3 of length."""


def frame(number: int, flag: int, *, ours: bool, body: bytes = b"") -> bytes:
    """A whole frame of a stream that is `ours`, or the peer's."""
    return varint.encode(number << 3 | flag - (not ours)) + varint.encode(len(body)) + body


def opening(number: int) -> bytes:
    """A new stream of ours. Its name, which is for logs, is its number, as with the other stacks."""
    return frame(number, NEW, ours=True, body=b"%d" % number)


def key_of(number: int, *, ours: bool) -> int:
    """What tells the streams of both sides apart: each side counts from 0."""
    return number << 1 | ours


def read_header(data: bytes, position: int, limit: int) -> tuple[int, int, int] | None:
    """Number and flag, length of the body, and where it starts; None where the header is not whole.

    Raises MessageTooLarge for a body above `limit`, ProtocolViolation for what is no header.
    """
    first = varint.decode_partial(data, position)
    if first is None:
        return None
    word, position = first
    second = varint.decode_partial(data, position)
    if second is None:
        return None
    if word & FLAG_MASK == FLAG_MASK:
        raise ProtocolViolation("mplex flag 7 has no meaning")
    if second[0] > limit:
        raise MessageTooLarge("mplex message", second[0], limit)
    return word, second[0], second[1]

"""Unsigned varints as multiformats defines them: LEB128, minimal, at most 9 bytes.

Spec: multiformats/unsigned-varint.
"""

from cortexnet.errors import LocalError, ProtocolViolation

MAX_BYTES = 9
MAX_VALUE = (1 << 63) - 1
_SHORT = tuple(bytes([value]) for value in range(0x80))


def encode(value: int) -> bytes:
    """The minimal encoding of 0 <= value < 2^63. Raises LocalError outside of that."""
    if 0 <= value < 0x80:
        return _SHORT[value]
    if not 0 <= value <= MAX_VALUE:
        raise LocalError(f"a varint holds 0 to 2^63 - 1, not {value}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes | bytearray | memoryview, position: int = 0) -> tuple[int, int]:
    """The varint that starts at `position`, and the position after it.

    Raises ProtocolViolation where it is cut short, not minimal or longer than 9 bytes.
    """
    decoded = decode_partial(data, position)
    if decoded is None:
        raise ProtocolViolation("varint is cut short")
    return decoded


def decode_partial(data: bytes | bytearray | memoryview, position: int = 0) -> tuple[int, int] | None:
    """As `decode`, but None where more bytes are needed to tell."""
    value = shift = 0
    for index in range(position, min(position + MAX_BYTES, len(data))):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise ProtocolViolation("varint is not minimal")
            return value, index + 1
        shift += 7
    if shift == 7 * MAX_BYTES:
        raise ProtocolViolation("varint is longer than 9 bytes")
    return None

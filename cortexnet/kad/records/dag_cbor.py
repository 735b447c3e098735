"""DAG-CBOR, strict in both directions: one value has one encoding, and nothing else is read.

Integers are minimal, map keys are distinct texts sorted by length and then by bytes, floats have 64 bits and are finite, lengths
are definite, the only tag is 42 (a CID). What is nested too deep, or ends before or after the data, is refused.

Spec: IPLD codecs, "DAG-CBOR", section "Strictness".
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from struct import pack, unpack
from typing import TypeAlias, final

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats.cid import Cid

Value: TypeAlias = "int | bytes | str | bool | float | Cid | Sequence[Value] | Mapping[str, Value] | None"

DEPTH_LIMIT = 32
"""Arrays and maps within each other; records of libp2p have one."""

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _OTHER = range(8)
_FALSE, _TRUE, _NULL, _FLOAT64 = 20, 21, 22, 27
_CID_TAG = 42
_SIMPLE: "dict[int, bool | None]" = {_FALSE: False, _TRUE: True, _NULL: None}


def encode(value: Value) -> bytes:
    """The bytes of a value. Raises LocalError where it has none: an integer over 64 bits, a float that is no number."""
    out = bytearray()
    _write(out, value, DEPTH_LIMIT)
    return bytes(out)


def decode(data: bytes) -> Value:
    """The value that is the whole of `data`; maps become dicts, arrays lists. Raises ProtocolViolation.

    Takes time linear in the data; the caller limits its size.
    """
    reader = _Reader(data)
    value = reader.read(DEPTH_LIMIT)
    if reader.position != len(data):
        raise ProtocolViolation(f"CBOR: {len(data) - reader.position} bytes after the value")
    return value


def _write(out: bytearray, value: Value, depth: int) -> None:
    if depth < 0:
        raise LocalError(f"CBOR: nested more than {DEPTH_LIMIT} deep")
    if value is None or isinstance(value, bool):
        out.append(_OTHER << 5 | (_NULL if value is None else _TRUE if value else _FALSE))
    elif isinstance(value, int):
        _write_head(out, _UINT if value >= 0 else _NEGATIVE, value if value >= 0 else -1 - value)
    elif isinstance(value, float):
        if not isfinite(value):
            raise LocalError(f"CBOR: {value} is no number")
        out += pack(">Bd", _OTHER << 5 | _FLOAT64, value)
    elif isinstance(value, Cid):
        _write_head(out, _TAG, _CID_TAG)
        _write_block(out, _BYTES, b"\0" + bytes(value))
    elif isinstance(value, bytes):
        _write_block(out, _BYTES, value)
    elif isinstance(value, str):
        _write_block(out, _TEXT, _utf8(value))
    elif isinstance(value, Mapping):
        _write_head(out, _MAP, len(value))
        for name, key in sorted(((_utf8(key), key) for key in value), key=lambda pair: (len(pair[0]), pair[0])):
            _write_block(out, _TEXT, name)
            _write(out, value[key], depth - 1)
    else:
        _write_head(out, _ARRAY, len(value))
        for item in value:
            _write(out, item, depth - 1)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LocalError("CBOR: a text with half a surrogate pair") from None


def _write_block(out: bytearray, kind: int, data: bytes) -> None:
    _write_head(out, kind, len(data))
    out += data


def _write_head(out: bytearray, kind: int, number: int) -> None:
    if number < 24:
        out.append(kind << 5 | number)
        return
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << 8 * size:
            out.append(kind << 5 | info)
            out += number.to_bytes(size, "big")
            return
    raise LocalError("CBOR: an integer does not fit into 64 bits")


@final
class _Reader:
    """A cursor over the bytes of one value."""

    __slots__ = ("_data", "position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def read(self, depth: int) -> Value:
        if depth < 0:
            raise ProtocolViolation(f"CBOR: nested more than {DEPTH_LIMIT} deep")
        first = self._take(1)[0]
        kind, info = first >> 5, first & 31
        if kind == _OTHER:
            return self._other(info)
        number = info if info < 24 else self._number(info)
        if kind == _UINT:
            return number
        if kind == _NEGATIVE:
            return -1 - number
        if kind == _BYTES:
            return self._take(number)
        if kind == _TEXT:
            return self._text(number)
        if kind == _ARRAY:
            return [self.read(depth - 1) for _ in range(self._count(number, 1))]
        return self._map(self._count(number, 2), depth - 1) if kind == _MAP else self._cid(number)

    def _take(self, size: int) -> bytes:
        start, end = self.position, self.position + size
        if end > len(self._data):
            raise ProtocolViolation("CBOR is cut short")
        self.position = end
        return self._data[start:end]

    def _number(self, info: int) -> int:
        if info > 27:
            raise ProtocolViolation("CBOR: a length that is not told")
        size = 1 << info - 24
        number = int.from_bytes(self._take(size), "big")
        if number < (24 if size == 1 else 1 << 4 * size):
            raise ProtocolViolation("CBOR: an integer longer than it need be")
        return number

    def _count(self, number: int, least: int) -> int:
        """A count of entries of at least `least` bytes each, which must be there before anything is made of them."""
        if number * least > len(self._data) - self.position:
            raise ProtocolViolation("CBOR is cut short")
        return number

    def _other(self, info: int) -> Value:
        if info == _FLOAT64:
            number: float = unpack(">d", self._take(8))[0]
            if not isfinite(number):
                raise ProtocolViolation("CBOR: a float that is no number")
            return number
        if info not in _SIMPLE:
            raise ProtocolViolation(f"CBOR: {_OTHER << 5 | info:#x} is not in use")
        return _SIMPLE[info]

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError:
            raise ProtocolViolation("CBOR: a text is not UTF-8") from None

    def _map(self, count: int, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        last = (-1, b"")
        for _ in range(count):
            first = self._take(1)[0]
            if first >> 5 != _TEXT:
                raise ProtocolViolation("CBOR: a key of a map is no text")
            size = first & 31 if first & 31 < 24 else self._number(first & 31)
            start = self.position
            key = self._text(size)
            place = (size, self._data[start : self.position])
            if place <= last:
                raise ProtocolViolation("CBOR: the keys of a map are not in their order")
            last = place
            found[key] = self.read(depth)
        return found

    def _cid(self, tag: int) -> Cid:
        if tag != _CID_TAG:
            raise ProtocolViolation(f"CBOR: tag {tag} is not in use")
        data = self.read(0)
        if not isinstance(data, bytes) or data[:1] != b"\0":
            raise ProtocolViolation("CBOR: a CID is bytes that begin with a zero")
        return Cid.from_bytes(data[1:])

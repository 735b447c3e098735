"""Protocol Buffers fields in and out of bytes, bounded while parsing; knows no message.

A message is described once, as a `Schema`. `Schema.read` walks the bytes in one pass and hands out only what the schema names,
so that a field's size and a repeated field's count are checked before anything is made of it. Presence is kept (what is absent
is not handed out); a singular field that comes twice is handed out twice, and the caller's assignment lets the last one win.
Nested messages come as bytes and are read by their own schema: the depth is the schemas', never the peer's.

Stricter than protobuf libraries, because no libp2p message needs it: groups and the unused wire types are refused, a known field
of another wire type is refused instead of skipped, and fields that are skipped are limited in number (`SPARE_FIELDS`).
As lenient as they are: varints may have redundant zero groups, up to 10 bytes (5 in tags and lengths), since the minimal form of
multiformats was never a rule inside protobuf, and negative int32 and int64 need all 10. What is written here is always minimal.

Spec: protobuf.dev, "Encoding".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, final

from cortexnet.errors import LocalError, MessageTooLarge, ProtocolViolation

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5
SPARE_FIELDS = 1_000
"""Fields of one message that are skipped, or repeat a singular one: each costs 0.2 µs and brings nothing."""

MAX_NUMBER = (1 << 29) - 1
_MAX_UINT64 = (1 << 64) - 1
_MAX_UINT32 = (1 << 32) - 1

Kind = Literal[0, 1, 2, 5]


@final
@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema: its number and its wire type (VARINT, FIXED64, BYTES or FIXED32).

    A BYTES field longer than `size_limit` bytes is a MessageTooLarge. `count_limit` makes a field repeated; what comes past it is
    refused with ProtocolViolation, or skipped where `surplus` says so. Repeated VARINT fields may come packed.
    """

    number: int
    kind: Kind
    size_limit: int = _MAX_UINT32
    count_limit: int = 0
    surplus: Literal["refuse", "skip"] = "refuse"


@final
class Budget:
    """Fields that may still be read of messages which count together, as those nested in one from a peer."""

    __slots__ = ("left",)

    def __init__(self, fields: int) -> None:
        self.left = fields


@final
class Schema:
    """What one kind of message may hold. `name` appears in errors, as in "identify has more than 256 of field 3".

    `spare` is how many fields may be skipped: fewer for what comes a thousand times in one message.
    """

    def __init__(self, name: str, *fields: Field, spare: int = SPARE_FIELDS) -> None:
        self.name = name
        self._by_tag = {field.number << 3 | field.kind: field for field in fields}
        self._known = {field.number for field in fields}
        for field in fields:
            if field.kind == VARINT and field.count_limit:
                self._by_tag[field.number << 3 | BYTES] = field
        self._allowance = spare + sum(field.count_limit or 1 for field in fields)

    def read(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Each known field in the order of the wire as (number, value, b"") or, for BYTES, (number, 0, content).

        Values are unsigned: see `int64` for signed ones. Raises ProtocolViolation or MessageTooLarge, possibly after some fields
        were handed out; all of `data` is the message.
        """
        for number, value, end in self.scan(data):
            yield (number, value, b"") if end < 0 else (number, 0, data[value:end])

    def scan(
        self, data: bytes, start: int = 0, stop: int | None = None, *, budget: Budget | None = None
    ) -> Iterator[tuple[int, int, int]]:
        """As `read`, without a copy: (number, value, -1) or, for BYTES, (number, start, end) of the content in `data`.

        For nested messages of hot paths: `INNER.scan(data, start, end)`. All fields, wanted or not, spend the `budget`; a scan
        that is given up half way has spent nothing.
        """
        position = start
        stop = len(data) if stop is None else stop
        granted = self._allowance if budget is None else min(self._allowance, budget.left)
        by_tag, counts, allowance = self._by_tag, dict[int, int](), granted
        while position < stop:
            tag = data[position]
            position += 1
            if tag > 0x7F:
                tag, position = self._varint32(data, position - 1, stop)
            if (allowance := allowance - 1) < 0:
                raise ProtocolViolation(f"{self.name} has too many fields")
            if tag & 7 == BYTES:
                if position < stop and (size := data[position]) < 0x80:
                    position += 1
                else:
                    size, position = self._varint32(data, position, stop)
                value, end = position, position + size
                if end > stop:
                    raise ProtocolViolation(f"{self.name}: a field of {size} bytes ends after the message")
            else:
                value, end = self._number(tag & 7, data, position, stop)
            field = by_tag.get(tag)
            if field is None:
                self._check_unknown(tag)
            elif tag & 7 != BYTES:
                if not field.count_limit or self._counted(field, counts):
                    yield field.number, value, -1
            elif field.kind == VARINT:
                yield from self._packed(field, counts, data, value, end)
            elif end - value > field.size_limit:
                raise MessageTooLarge(f"{self.name}: field {field.number}", end - value, field.size_limit)
            elif not field.count_limit or self._counted(field, counts):
                yield field.number, value, end
            position = end
        if budget is not None:
            budget.left -= granted - allowance

    def _number(self, kind: int, data: bytes, position: int, stop: int) -> tuple[int, int]:
        """The value of a field that is not BYTES, and where it ends."""
        if kind == VARINT:
            return self._varint(data, position, stop)
        if kind not in (FIXED64, FIXED32):
            raise ProtocolViolation(f"{self.name}: wire type {kind} is not in use")
        end = position + (8 if kind == FIXED64 else 4)
        if end > stop:
            raise ProtocolViolation(f"{self.name} is cut short")
        return int.from_bytes(data[position:end], "little"), end

    def _varint32(self, data: bytes, position: int, stop: int) -> tuple[int, int]:
        """A tag or a length: 32 bits in at most 5 bytes."""
        value, end = self._varint(data, position, stop)
        if value > _MAX_UINT32 or end - position > 5:
            raise ProtocolViolation(f"{self.name}: a tag or length is over 32 bits")
        return value, end

    def _varint(self, data: bytes, position: int, stop: int) -> tuple[int, int]:
        value = shift = 0
        for index in range(position, min(position + 10, stop)):
            byte = data[index]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value > _MAX_UINT64:
                    break
                return value, index + 1
            shift += 7
        else:
            if shift < 70:
                raise ProtocolViolation(f"{self.name} is cut short")
        raise ProtocolViolation(f"{self.name}: a varint is over 64 bits")

    def _counted(self, field: Field, counts: dict[int, int]) -> bool:
        """Whether one more of a repeated field is wanted."""
        count = counts[field.number] = counts.get(field.number, 0) + 1
        if count <= field.count_limit:
            return True
        if field.surplus == "refuse":
            raise ProtocolViolation(f"{self.name} has more than {field.count_limit} of field {field.number}")
        return False

    def _packed(
        self, field: Field, counts: dict[int, int], data: bytes, position: int, stop: int
    ) -> Iterator[tuple[int, int, int]]:
        while position < stop:
            value, position = self._varint(data, position, stop)
            if not self._counted(field, counts):
                return
            yield field.number, value, -1

    def _check_unknown(self, tag: int) -> None:
        number = tag >> 3
        if number == 0:
            raise ProtocolViolation(f"{self.name}: field number 0")
        if number in self._known:
            raise ProtocolViolation(f"{self.name}: field {number} has wire type {tag & 7}")


def int64(value: int) -> int:
    """The signed reading of an int64 or (sign-extended) int32 varint."""
    return value if value < 1 << 63 else value - (1 << 64)


def text(data: bytes) -> str:
    """A string field. Raises ProtocolViolation where it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ProtocolViolation("a text field is not UTF-8") from None


def field_bytes(number: int, data: bytes) -> bytes:
    """A BYTES field: bytes, an encoded message, or a text encoded by the caller. Written also when empty."""
    size = len(data)
    if 0 < number < 16 and size < 0x80:
        return bytes((number << 3 | BYTES, size)) + data
    return field_header(number, size) + data


def field_header(number: int, size: int) -> bytes:
    """What precedes the `size` bytes of a BYTES field, for large contents that are to be joined only once."""
    return _tag(number, BYTES) + _uvarint(size)


def field_varint(number: int, value: int) -> bytes:
    """A VARINT field, -2^63 <= value < 2^64; negative values take 10 bytes, as int32 and int64 do. Written also when 0."""
    if 0 < number < 16 and 0 <= value < 0x80:
        return bytes((number << 3, value))
    if not -(1 << 63) <= value <= _MAX_UINT64:
        raise LocalError(f"{value} does not fit into 64 bits")
    return _tag(number, VARINT) + _uvarint(value & _MAX_UINT64)


def field_fixed64(number: int, value: int) -> bytes:
    """A FIXED64 field, 0 <= value < 2^64."""
    if not 0 <= value <= _MAX_UINT64:
        raise LocalError(f"{value} does not fit into 64 unsigned bits")
    return _tag(number, FIXED64) + value.to_bytes(8, "little")


def field_fixed32(number: int, value: int) -> bytes:
    """A FIXED32 field, 0 <= value < 2^32."""
    if not 0 <= value <= _MAX_UINT32:
        raise LocalError(f"{value} does not fit into 32 unsigned bits")
    return _tag(number, FIXED32) + value.to_bytes(4, "little")


def _tag(number: int, kind: int) -> bytes:
    if not 0 < number <= MAX_NUMBER:
        raise LocalError(f"{number} is not a field number")
    return _uvarint(number << 3 | kind)


def _uvarint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

"""Packets of multicast DNS as bytes: read strictly and within bounds, written with compressed names; a core.

Names are kept in lower case, for DNS compares them so. Records of kinds that are not in use here are stepped over.

Spec: RFC 1035 section 4, RFC 6762 section 18.
"""

from dataclasses import dataclass
from struct import Struct
from typing import assert_never, final

from cortexnet.errors import ProtocolViolation

SIZE_LIMIT = 9_000
"""Bytes of a packet: what RFC 6762 section 17 allows."""
RECORDS_LIMIT = 100
"""Questions and records of a packet. A node says five, and rust-libp2p one more for each of its addresses."""
LABELS_LIMIT = 40
"""Parts of a name. The longest in use, the reverse name of an IPv6 address, has 34."""
NAME_LIMIT = 255
"""Bytes of a name (RFC 1035 section 3.1)."""

A, PTR, TXT, AAAA, SRV, ANY = 1, 12, 16, 28, 33, 255
_IN = 1
_TOP_BIT = 0x8000  # of a class: the record replaces others, or the answer may come by unicast
_RESPONSE, _AUTHORITATIVE = 0x8000, 0x0400
_OPERATION_OR_ERROR = 0x780F
_POINTER = 0xC0
_POINTER_LIMIT = 0x4000

_HEADER = Struct("!6H")
_QUESTION = Struct("!HH")
_RECORD = Struct("!HHIH")
_SERVICE = Struct("!HHH")

Name = tuple[bytes, ...]
"""The parts of a name, from left to right: `(b"_p2p", b"_udp", b"local")`."""


@final
@dataclass(frozen=True, slots=True)
class Question:
    """Who has records of this name? Asked of everybody; `kind` is PTR, ANY or another."""

    name: Name
    kind: int


@final
@dataclass(frozen=True, slots=True)
class Pointer:
    """PTR: a service (`name`) has an instance, or a domain has a service (`target`). `ttl` is in seconds, as everywhere here."""

    name: Name
    ttl: int
    target: Name


@final
@dataclass(frozen=True, slots=True)
class Texts:
    """TXT: what an instance says of itself, in strings of at most 255 bytes. `replaces` all that was known of the name."""

    name: Name
    ttl: int
    strings: tuple[bytes, ...]
    replaces: bool = False


@final
@dataclass(frozen=True, slots=True)
class Location:
    """SRV: an instance is at a port of a host."""

    name: Name
    ttl: int
    port: int
    target: Name
    replaces: bool = False


@final
@dataclass(frozen=True, slots=True)
class HostAddress:
    """A and AAAA: an IP address of a host, of 4 or 16 bytes."""

    name: Name
    ttl: int
    ip: bytes
    replaces: bool = False


Record = Pointer | Texts | Location | HostAddress


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A question to everybody, or an answer for everybody. Of a question `answers` are those that the asker knows."""

    is_response: bool
    questions: tuple[Question, ...] = ()
    answers: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()


def decode(data: bytes) -> Packet:
    """The packet that is the whole of `data`. Raises ProtocolViolation."""
    if len(data) > SIZE_LIMIT:
        raise ProtocolViolation(f"DNS packet of {len(data)} bytes is over the limit of {SIZE_LIMIT}")
    return _Reader(data).packet()


@final
class _Reader:
    """Reads from the front to the end; every read is checked against the end first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._names: dict[int, Name] = {}  # that were read, by where they begin: most names are the end of an earlier one

    def packet(self) -> Packet:
        _, flags, questions, *sections = _HEADER.unpack(self._take(_HEADER.size))
        if questions + sum(sections) > RECORDS_LIMIT:
            raise ProtocolViolation(f"DNS packet of {questions + sum(sections)} records is over the limit of {RECORDS_LIMIT}")
        if flags & _OPERATION_OR_ERROR:
            raise ProtocolViolation(f"DNS packet with flags {flags:#06x}: neither a plain query nor its answer")
        asked = [question for _ in range(questions) if (question := self._question()) is not None]
        answers, _, additional = [self._section(count) for count in sections]  # in between: who claims a name, in a probe
        if self._position != len(self._data):
            raise ProtocolViolation(f"{len(self._data) - self._position} bytes behind the last DNS record")
        return Packet(is_response=bool(flags & _RESPONSE), questions=tuple(asked), answers=answers, additional=additional)

    def _take(self, size: int) -> bytes:
        end = self._position + size
        if end > len(self._data):
            raise ProtocolViolation(f"DNS packet ends at byte {len(self._data)}, within {size} bytes from {self._position}")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def _question(self) -> Question | None:
        name = self._name()
        kind, which = _QUESTION.unpack(self._take(_QUESTION.size))
        return Question(name, kind) if which & ~_TOP_BIT in (_IN, ANY) else None

    def _section(self, count: int) -> tuple[Record, ...]:
        return tuple([record for _ in range(count) if (record := self._record()) is not None])

    def _record(self) -> Record | None:
        name = self._name()
        kind, which, ttl, size = _RECORD.unpack(self._take(_RECORD.size))
        end = self._position + size
        if which & ~_TOP_BIT != _IN or kind not in (A, PTR, TXT, AAAA, SRV):
            self._take(size)
            return None
        record = self._known(name, kind, ttl, size, replaces=bool(which & _TOP_BIT))
        if self._position != end:
            raise ProtocolViolation(f"DNS record of kind {kind} says {size} bytes, and has others")
        return record

    def _known(self, name: Name, kind: int, ttl: int, size: int, *, replaces: bool) -> Record:
        if kind == PTR:
            return Pointer(name, ttl, self._name())
        if kind == TXT:
            return Texts(name, ttl, _strings(self._take(size)), replaces)
        if kind == SRV:
            _, _, port = _SERVICE.unpack(self._take(_SERVICE.size))
            return Location(name, ttl, port, self._name(), replaces)
        return HostAddress(name, ttl, self._take(4 if kind == A else 16), replaces)

    def _name(self) -> Name:
        """The name at the position, which moves behind it. A pointer leads further to the front than any before: no loops."""
        start = position = lowest = self._position
        labels: list[bytes] = []
        end = 0
        while True:
            length = self._byte(position)
            if length >= _POINTER:
                target = (length & ~_POINTER) << 8 | self._byte(position + 1)
                end = end or position + 2
                if not _HEADER.size <= target < lowest:
                    raise ProtocolViolation(f"DNS name at byte {start} points to {target}, which is not in front of it")
                if (known := self._names.get(target)) is not None:
                    labels += known
                    break
                position = lowest = target
            elif length > 63:
                raise ProtocolViolation(f"DNS label at byte {position} is of an unknown form")
            else:
                position += 1
                if not length:
                    end = end or position
                    break
                labels.append(self._slice(position, position + length).lower())
                position += length
                if len(labels) > LABELS_LIMIT:
                    break
        if len(labels) > LABELS_LIMIT or sum(map(len, labels)) + len(labels) >= NAME_LIMIT:
            raise ProtocolViolation(f"DNS name at byte {start} is longer than {LABELS_LIMIT} labels or {NAME_LIMIT} bytes")
        self._position = end
        self._names[start] = name = tuple(labels)
        return name

    def _byte(self, position: int) -> int:
        return self._slice(position, position + 1)[0]

    def _slice(self, start: int, end: int) -> bytes:
        if end > len(self._data):
            raise ProtocolViolation(f"DNS name runs over the end of the packet at byte {len(self._data)}")
        return self._data[start:end]


def _strings(data: bytes) -> tuple[bytes, ...]:
    strings: list[bytes] = []
    position = 0
    while position < len(data):
        end = position + 1 + data[position]
        if end > len(data):
            raise ProtocolViolation(f"DNS text is cut short: {len(data) - position - 1} of {data[position]} bytes")
        strings.append(data[position + 1 : end])
        position = end
    return tuple(strings)


def encode(packet: Packet) -> bytes:
    """The packet as bytes. Its names have labels of 1 to 63 bytes, its texts strings of at most 255."""
    writer = _Writer()
    flags = _RESPONSE | _AUTHORITATIVE if packet.is_response else 0
    writer.data += _HEADER.pack(0, flags, len(packet.questions), len(packet.answers), 0, len(packet.additional))
    for question in packet.questions:
        writer.name(question.name)
        writer.data += _QUESTION.pack(question.kind, _IN)
    for record in (*packet.answers, *packet.additional):
        writer.record(record)
    return bytes(writer.data)


@final
class _Writer:
    def __init__(self) -> None:
        self.data = bytearray()
        self._names: dict[Name, int] = {}  # where each name, or end of one, was written

    def name(self, name: Name) -> None:
        for start in range(len(name)):
            rest = name[start:]
            if rest in self._names:
                self.data += (_POINTER << 8 | self._names[rest]).to_bytes(2, "big")
                return
            if len(self.data) < _POINTER_LIMIT:
                self._names[rest] = len(self.data)
            self.data += bytes([len(rest[0])]) + rest[0]
        self.data.append(0)

    def record(self, record: Record) -> None:
        self.name(record.name)
        match record:
            case Pointer():
                kind, replaces = PTR, False
            case Texts():
                kind, replaces = TXT, record.replaces
            case Location():
                kind, replaces = SRV, record.replaces
            case HostAddress():
                kind, replaces = A if len(record.ip) == 4 else AAAA, record.replaces
            case _:
                assert_never(record)
        size_at = len(self.data) + _RECORD.size - 2
        self.data += _RECORD.pack(kind, _IN | _TOP_BIT if replaces else _IN, record.ttl, 0)
        self._value(record)
        self.data[size_at : size_at + 2] = (len(self.data) - size_at - 2).to_bytes(2, "big")

    def _value(self, record: Record) -> None:
        match record:
            case Pointer():
                self.name(record.target)
            case Texts():
                for string in record.strings:
                    self.data += bytes([len(string)]) + string
            case Location():
                self.data += _SERVICE.pack(0, 0, record.port)
                self.name(record.target)
            case HostAddress():
                self.data += record.ip
            case _:
                assert_never(record)

"""A message of pubsub, in the bytes it came in.

They are what is forwarded, so that signatures and fields of newer versions survive. The data is cut out of them where somebody
asks: of a message that comes for the fifth time, nobody does.

Spec: libp2p/specs pubsub, "The Message".
"""

from typing import Final, final

from cortexnet.protobuf import BYTES, Budget, Field, Schema, field_bytes, field_header, text

_FIELDS = Schema("gossip message", *(Field(number, BYTES) for number in range(1, 7)))
_KNOWN: Final = frozenset(number << 3 | BYTES for number in range(1, 7))
_DATA: Final = 2
_TOPIC: Final = 4
_SIGNATURE: Final = 5


@final
class Message:
    """One message, made of its field in an RPC: tag, length and, from `start` on, the content. Equal only to itself.

    What is absent is None; the field "from" is `author`. `id` is a place for the id that the router computes once.
    Raises ProtocolViolation where the content is none; what is not written in the usual form spends the `budget`.
    """

    __slots__ = (
        "_data",
        "_data_end",
        "_data_start",
        "_signed_end",
        "_start",
        "author",
        "id",
        "key",
        "seqno",
        "signature",
        "topic",
        "topic_size",
        "wire",
    )

    def __init__(self, wire: bytes, start: int, budget: Budget | None = None) -> None:
        self.wire = wire
        self.id = b""
        self.topic = ""
        self.topic_size = -1
        """Bytes of the topic's name; -1 where it is absent."""
        self.author: bytes | None = None
        self.seqno: bytes | None = None
        self.signature: bytes | None = None
        self.key: bytes | None = None
        self._start = start
        self._data: bytes | None = None
        self._data_start = self._data_end = self._signed_end = -1
        if not self._read_in_order(wire, start):
            self._forget()
            for number, first, end in _FIELDS.scan(wire, start, budget=budget):
                self._take(number, first, end)

    @classmethod
    def build(
        cls,
        topic: str,
        data: bytes | None,
        *,
        author: bytes | None = None,
        seqno: bytes | None = None,
        signature: bytes | None = None,
        key: bytes | None = None,
    ) -> "Message":
        """A message of our own. What is None is left out."""
        known = _encoded(author, data, seqno, topic.encode())
        rest = [field_bytes(5 + index, part) for index, part in enumerate((signature, key)) if part is not None]
        return cls.parse(b"".join([known, *rest]))

    @classmethod
    def parse(cls, content: bytes) -> "Message":
        """The message whose protobuf form is the whole of `content`. Raises ProtocolViolation."""
        header = field_header(2, len(content))
        return cls(header + content, len(header))

    @property
    def raw(self) -> bytes:
        """The protobuf form, as it came."""
        return self.wire[self._start :]

    @property
    def data(self) -> bytes:
        """The payload; empty where there is none."""
        if self._data is None:
            self._data = self.wire[self._data_start : self._data_end] if self._data_start >= 0 else b""
        return self._data

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return self._data_end - self._data_start

    @property
    def payload_share(self) -> int:
        """Bytes by which `wire` would be shorter without its payload: what go does not count as control."""
        size = self.size
        if not size:
            return 0
        share = size + varint_size(size) - 1
        content = len(self.wire) - self._start
        return share + varint_size(content) - varint_size(content - share)

    def signed_bytes(self) -> bytes:
        """All but signature and key, in the order of the fields: what a signature is made of, behind its prefix.

        Fields that nobody knows stand behind the known ones, as go writes them.
        """
        if self._signed_end >= 0:
            return self.wire[self._start : self._signed_end]
        data = self.data if self._data_start >= 0 else None
        topic = self.topic.encode() if self.topic_size >= 0 else None
        return _encoded(self.author, data, self.seqno, topic) + _unknown_fields(self.wire, self._start)

    def _read_in_order(self, wire: bytes, start: int) -> bool:
        """Read a message as everybody writes it: known fields only, each once, ascending, with minimal lengths.

        What is signed is a part of such a one as it is, and it needs a third of the time.
        """
        position, stop, last, signed_end = start, len(wire), 0, -1
        while position + 1 < stop:
            tag, size = wire[position], wire[position + 1]
            if tag <= last or tag not in _KNOWN:
                return False
            if tag > _TOPIC << 3 | BYTES and signed_end < 0:
                signed_end = position
            last = tag
            position += 2
            if size > 0x7F:
                if position >= stop or not 0 < (high := wire[position]) < 0x80:
                    return False  # also what has 16 KiB and more: there this way would save nothing
                size, position = size & 0x7F | high << 7, position + 1
            end = position + size
            if end > stop:
                return False
            self._take(tag >> 3, position, end)
            position = end
        self._signed_end = signed_end if signed_end >= 0 else position
        return position == stop

    def _forget(self) -> None:
        self.author = self.seqno = self.signature = self.key = None
        self.topic, self.topic_size = "", -1
        self._data_start = self._data_end = self._signed_end = -1

    def _take(self, number: int, start: int, end: int) -> None:
        if number == _DATA:
            self._data_start, self._data_end = start, end
            return
        content = self.wire[start:end]
        if number == 1:
            self.author = content
        elif number == 3:
            self.seqno = content
        elif number == _TOPIC:
            self.topic, self.topic_size = text(content), end - start
        elif number == _SIGNATURE:
            self.signature = content
        else:
            self.key = content

    def __repr__(self) -> str:
        return f"Message({self.topic!r}, {self.size} bytes, id {self.id.hex()})"


def varint_size(value: int) -> int:
    """Bytes of `value` >= 0 as a varint."""
    return 1 if value < 0x80 else (value.bit_length() + 6) // 7


def _encoded(author: bytes | None, data: bytes | None, seqno: bytes | None, topic: bytes | None) -> bytes:
    fields = enumerate((author, data, seqno, topic), 1)
    return b"".join([field_bytes(number, content) for number, content in fields if content is not None])


def _unknown_fields(data: bytes, position: int) -> bytes:
    """The fields of a message that was read already which are none of its own, as they came."""
    kept = []
    while position < len(data):
        start = position
        tag, position = _varint(data, position)
        if tag & 7 == BYTES:
            size, position = _varint(data, position)
            position += size
        elif tag & 7:
            position += 8 if tag & 7 == 1 else 4
        else:
            _, position = _varint(data, position)
        if not 0 < tag >> 3 < 7:
            kept.append(data[start:position])
    return b"".join(kept)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7

"""The messages of the DHT, in and out of bytes; a request and its answer have the same form.

Peers that come are counted before they are made, and their addresses are parsed on use (`Contact`). An answer is a join of what
its contacts have encoded once. The length in front is the business of whoever frames messages.

Spec: libp2p/specs kad-dht, "RPC messages". Type LIST_PREFIX and the fields 64 and 65 are our own, for networks of our own.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, final

from cortexnet.errors import MessageTooLarge, ProtocolViolation
from cortexnet.kad.routing.contact import Contact
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_header, field_varint, int64, text

KEY_SIZE_LIMIT: Final = 1_024
"""Bytes of a key; also of a name and of a cursor."""
VALUE_SIZE_LIMIT: Final = 64 * 1024
"""Bytes of a value; an IPNS record has 10 KiB at most."""
CLOSER_LIMIT: Final = 40
"""Closer peers that are taken of one message: twice what is sent, as go does."""
PROVIDER_LIMIT: Final = 1_000
"""Providers that are taken of one message, at 100 bytes on the wire each: more are in nobody's interest."""
NAME_LIMIT: Final = 1_000
"""Names of one page of a listing."""

_RECORD_SIZE_LIMIT = VALUE_SIZE_LIMIT + 2 * KEY_SIZE_LIMIT
_TIME_SIZE_LIMIT = 64  # RFC 3339 with nanoseconds takes 35
_LEVEL_MAX = (1 << 31) - 1
_RECORD = Schema(
    "a record of a DHT message",
    Field(1, BYTES, KEY_SIZE_LIMIT),
    Field(2, BYTES, VALUE_SIZE_LIMIT),
    Field(5, BYTES, _TIME_SIZE_LIMIT),
)
_MESSAGE = Schema(
    "a DHT message",
    Field(1, VARINT),  # type
    Field(2, BYTES, KEY_SIZE_LIMIT),
    Field(3, BYTES),  # record, see `_record`
    Field(8, BYTES, count_limit=CLOSER_LIMIT, surplus="skip"),
    Field(9, BYTES, count_limit=PROVIDER_LIMIT + 1, surplus="skip"),  # the one more is never looked into, see `decode`
    Field(10, VARINT),  # cluster level
    Field(64, BYTES, KEY_SIZE_LIMIT, count_limit=NAME_LIMIT),
    Field(65, BYTES, KEY_SIZE_LIMIT),  # cursor
)
_CLOSER_TAG = field_header(8, 0)[:-1]
_PROVIDER_TAG = field_header(9, 0)[:-1]


class Type(IntEnum):
    """What a message asks for, or answers."""

    PUT_VALUE = 0
    GET_VALUE = 1
    ADD_PROVIDER = 2
    """Has no answer."""
    GET_PROVIDERS = 3
    FIND_NODE = 4
    PING = 5
    LIST_PREFIX = 64
    """Our own, on protocols with a prefix of their own: keys of values that lie in a region."""


_TYPES = {int(kind): kind for kind in Type}
_TYPE_FIELDS = {kind: field_varint(1, kind) if kind else b"" for kind in Type}


@final
@dataclass(slots=True)
class Record:
    """A value with its key. `time_received` is when whoever sent it got it, RFC 3339, empty where it says nothing."""

    key: bytes
    value: bytes
    time_received: str = ""

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """Raises ProtocolViolation or MessageTooLarge. Author and signature of old, and what rust adds, are skipped."""
        fields = {number: content for number, _, content in _RECORD.read(data)}
        return cls(fields.get(1, b""), fields.get(2, b""), text(fields.get(5, b"")))

    def encode(self) -> bytes:
        """The `Record` message; what is empty is left out."""
        pairs = (1, self.key), (2, self.value), (5, self.time_received.encode())
        return b"".join([field_bytes(number, content) for number, content in pairs if content])


@final
@dataclass(slots=True)
class Message:
    """A request, or an answer. Of `key`, `names` and `cursor`, empty is absent; of `cluster_level`, 0."""

    type: Type
    key: bytes = b""
    record: Record | None = None
    closer: tuple[Contact, ...] = ()
    """Peers near the key."""
    providers: tuple[Contact, ...] = ()
    """Peers that have the content, or of ADD_PROVIDER its sender."""
    cluster_level: int = 0
    """Asked with 1, and repeated in the answer, for go does so; of no other use."""
    names: tuple[bytes, ...] = ()
    """Keys that a LIST_PREFIX found."""
    cursor: bytes = b""
    """Where a LIST_PREFIX goes on."""

    @classmethod
    def decode(cls, data: bytes, *, closer_limit: int = CLOSER_LIMIT, provider_limit: int = PROVIDER_LIMIT) -> "Message":
        """The message that is the whole of `data`, with as many of the peers, the first ones, as the limits say.

        They are at most `CLOSER_LIMIT` and `PROVIDER_LIMIT`. Some content has tens of thousands of providers, which all are sent:
        nothing behind the last provider taken is looked at, so that it costs nothing. Peers without a valid id are left out. A
        record that can't be read or is too large is none: go keeps it whatever else is in it, so who answers has it of anybody.

        Raises ProtocolViolation, also for a type that there is not, and MessageTooLarge.
        """
        kind, key, record, level, cursor = 0, b"", None, 0, b""
        closer, providers, names = list[Contact](), list[Contact](), list[bytes]()
        for number, value, end in _MESSAGE.scan(data):
            if number == 8:
                if len(closer) < closer_limit and (contact := Contact.decode(data[value:end])) is not None:
                    closer.append(contact)
            elif number == 9:
                if len(providers) == provider_limit:
                    break
                if (contact := Contact.decode(data[value:end])) is not None:
                    providers.append(contact)
            elif number == 1:
                kind = value
            elif number == 2:
                key = data[value:end]
            elif number == 3:
                record = _record(data, value, end)
            elif number == 10:
                level = min(max(int64(value), 0), _LEVEL_MAX)
            elif number == 64:
                names.append(data[value:end])
            else:
                cursor = data[value:end]
        known = _TYPES.get(kind)
        if known is None:
            raise ProtocolViolation(f"there is no DHT message of type {kind}")
        return cls(known, key, record, tuple(closer), tuple(providers), level, tuple(names), cursor)

    def encode(self) -> bytes:
        """The message, without a length in front; fields in the order of their numbers, as go and rust write them."""
        parts = [_TYPE_FIELDS[self.type]]
        if self.key:
            parts.append(field_bytes(2, self.key))
        if self.record is not None:
            parts.append(field_bytes(3, self.record.encode()))
        for tag, contacts in ((_CLOSER_TAG, self.closer), (_PROVIDER_TAG, self.providers)):
            if contacts:
                parts += [tag, tag.join([contact.framed for contact in contacts])]
        if self.cluster_level:
            parts.append(field_varint(10, self.cluster_level))
        if self.names:
            parts += [field_bytes(64, name) for name in self.names]
        if self.cursor:
            parts.append(field_bytes(65, self.cursor))
        return b"".join(parts)


def _record(data: bytes, start: int, end: int) -> Record | None:
    if end - start > _RECORD_SIZE_LIMIT:
        return None
    try:
        return Record.decode(data[start:end])
    except (ProtocolViolation, MessageTooLarge):
        return None

"""What the DHT keeps for others as bytes on disk, and back. A core.

Each row belongs to a network: the DHT's protocol stands in front of its key. Times are unix milliseconds.
"""

from cortexnet.errors import ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.provider_store import ProviderRecord
from cortexnet.kad.records.value_store import StoredValue
from cortexnet.kad.routing.cache import Hint
from cortexnet.kad.routing.contact import Contact
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_varint, text

_VALUE = Schema(
    "a value of the DHT on disk",
    Field(1, BYTES),  # value
    Field(2, VARINT),  # received
    Field(3, BYTES),  # sender; of our own there is none
    Field(4, BYTES),  # group
)
_PROVIDER = Schema(
    "a provider record on disk",
    Field(1, BYTES),  # contact
    Field(2, VARINT),  # announced
    Field(3, VARINT),  # addresses announced
    Field(4, BYTES),  # group
)
_HINT = Schema(
    "a routing hint on disk",
    Field(1, BYTES),  # key
    Field(2, BYTES, count_limit=1_000),  # contacts
)
_END = b"\0"  # of the protocol in a key
_LATEST = 1 << 53  # milliseconds, 285,000 years; a clock that says more is wrong


def row_head(protocol: str) -> bytes:
    """What the keys of a network's rows begin with."""
    return protocol.encode() + _END


def provider_row(key: bytes, peer_id: PeerId) -> bytes:
    """The rest of the key of a provider record's row."""
    return bytes([len(key)]) + key + bytes(peer_id)


def provider_of_row(row: bytes) -> tuple[bytes, PeerId]:
    """Key and provider of the rest of a row's key. Raises ProtocolViolation."""
    size = row[0] if row else 0
    return row[1 : 1 + size], PeerId.from_bytes(row[1 + size :])


def encode_value(stored: StoredValue) -> bytes:
    """The row of a value, without its key."""
    parts = [field_bytes(1, stored.value), field_varint(2, _milliseconds(stored.received))]
    if stored.sender is not None:
        parts.append(field_bytes(3, bytes(stored.sender)))
    return b"".join([*parts, _encoded_group(stored.group)])


def decode_value(key: bytes, data: bytes) -> StoredValue:
    """The value of a row. Raises ProtocolViolation, MessageTooLarge."""
    contents, times = _read(_VALUE, data)
    sender = PeerId.from_bytes(contents[3]) if 3 in contents else None
    return StoredValue(key, contents.get(1, b""), times.get(2, 0.0), sender, _group(contents))


def encode_provider(record: ProviderRecord) -> bytes:
    """The row of a provider record, without its key."""
    return b"".join(
        [
            field_bytes(1, record.contact.encoded),
            field_varint(2, _milliseconds(record.announced)),
            field_varint(3, _milliseconds(record.addresses_announced)),
            _encoded_group(record.group),
        ]
    )


def decode_provider(row: bytes, data: bytes) -> ProviderRecord:
    """The provider record of a row. Raises ProtocolViolation, MessageTooLarge."""
    key, peer_id = provider_of_row(row)
    contents, times = _read(_PROVIDER, data)
    contact = Contact.decode(contents.get(1, b""))
    if contact is None or contact.peer_id != peer_id:
        raise ProtocolViolation("a provider record on disk is of another peer than its row")
    return ProviderRecord(key, contact, _group(contents), times.get(2, 0.0), times.get(3, 0.0))


def encode_hint(hint: Hint) -> bytes:
    """The row of a hint."""
    return b"".join([field_bytes(1, hint.key), *[field_bytes(2, contact.encoded) for contact in hint.contacts]])


def decode_hint(data: bytes) -> Hint:
    """The hint of a row; contacts that can't be read are left out. Raises ProtocolViolation, MessageTooLarge."""
    key, contacts = b"", list[Contact]()
    for number, _, content in _HINT.read(data):
        if number == 1:
            key = content
        elif (contact := Contact.decode(content)) is not None:
            contacts.append(contact)
    return Hint(key, tuple(contacts))


def _read(schema: Schema, data: bytes) -> tuple[dict[int, bytes], dict[int, float]]:
    """The contents and the times of a row, by field."""
    contents, times = dict[int, bytes](), dict[int, float]()
    for number, value, content in schema.read(data):
        contents[number], times[number] = content, value / 1000
    return contents, times


def _encoded_group(group: str | None) -> bytes:
    return b"" if group is None else field_bytes(4, group.encode())


def _group(contents: dict[int, bytes]) -> str | None:
    return text(contents[4]) if 4 in contents else None


def _milliseconds(unix: float) -> int:
    return round(min(max(unix, 0.0) * 1000, _LATEST))

"""What is known of a peer as bytes on disk, and back. A core.

Protocol Buffers, since fields can be added without a new version of the file. Times are unix milliseconds; what is known of a
peer has times of a monotonic clock, so the difference between the two clocks is handed in.
"""

from collections.abc import Iterator, Mapping
from math import inf
from struct import pack, unpack

from cortexnet.errors import ProtocolViolation
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import BYTES, FIXED64, VARINT, Field, Schema, field_bytes, field_fixed64, field_varint, int64, text
from cortexnet.swarm.peer_entry import KnownPeer, MetadataValue

_PEER = Schema(
    "a peer's entry",
    Field(1, BYTES, count_limit=1_000_000),  # addresses: the limits hold where it is taken back, this is our own file
    Field(2, BYTES, count_limit=1_000_000),  # protocols
    Field(3, VARINT),  # what these are: 1 all, 2 some
    Field(4, BYTES),  # agent version
    Field(5, BYTES),  # protocol version
    Field(6, BYTES),  # public key
    Field(7, BYTES),  # signed record
    Field(8, VARINT),  # its sequence
    Field(9, VARINT),  # last seen
    Field(10, BYTES, count_limit=1_000_000),  # metadata
    Field(11, VARINT),  # when this was written
)
_ADDRESS = Schema("an address of a peer's entry", Field(1, BYTES), Field(2, VARINT), Field(3, VARINT))
_NOTE = Schema(
    "metadata of a peer's entry",
    Field(1, BYTES),  # name
    Field(2, BYTES),  # text
    Field(3, BYTES),  # bytes
    Field(4, VARINT),  # whole number
    Field(5, FIXED64),  # other number
    Field(6, VARINT),  # True or False
)
_ALL, _SOME = 1, 2
_CERTIFIED, _PRIVATE_NAME = 1, 2  # bits of an address
_FAR = float(1 << 53)  # milliseconds, 285,000 years; a clock that says more is wrong


def encode(known: KnownPeer, now: float, unix_now: float) -> bytes:
    """The bytes of an entry. `now` is the time in its own clock, `unix_now` the same moment in unix seconds."""
    offset = unix_now - now
    parts = [field_bytes(1, _encode_address(known, address, expires, offset)) for address, expires in known.addresses.items()]
    if known.protocols is not None:
        parts += [field_bytes(2, protocol.encode()) for protocol in sorted(known.protocols)]
        parts.append(field_varint(3, _ALL if known.has_all_protocols else _SOME))
    if known.agent_version is not None:
        parts.append(field_bytes(4, known.agent_version.encode()))
    if known.protocol_version is not None:
        parts.append(field_bytes(5, known.protocol_version.encode()))
    if known.public_key is not None:
        parts.append(field_bytes(6, known.public_key.marshal()))
    if known.record is not None:
        parts += [field_bytes(7, known.record), field_varint(8, known.record_sequence)]
    if known.last_seen is not None:
        parts.append(field_varint(9, _milliseconds(known.last_seen + offset)))
    parts += [field_bytes(10, _encode_note(name, value)) for name, value in known.metadata.items()]
    parts.append(field_varint(11, _milliseconds(unix_now)))
    return b"".join(parts)


def decode(key: bytes, data: bytes, now: float, unix_now: float) -> KnownPeer:
    """The entry of the peer whose id is `key`. Raises ProtocolViolation.

    Times are those of the clock of `now`. Where the unix clock has been set back, an address lives no longer than it had left
    when it was written. An address that expires with its connection has an infinite time, as it had then.
    """
    addresses, protocols, notes = list[tuple[Multiaddr, int | None, int]](), list[str](), dict[str, MetadataValue]()
    texts, numbers = dict[int, bytes](), dict[int, int]()
    for number, value, content in _PEER.read(data):
        if number == 1:
            addresses.append(_decode_address(content))
        elif number == 2:
            protocols.append(text(content))
        elif number == 10:
            notes.update(_decode_note(content))
        elif number in (4, 5, 6, 7):
            texts[number] = content
        else:
            numbers[number] = value
    seconds = {number: value / 1000 for number, value in numbers.items()}
    written = seconds.get(11, 0.0)
    passed = max(0.0, unix_now - written)
    return KnownPeer(
        peer_id=PeerId.from_bytes(key),
        addresses={
            address: inf if expires is None else now + expires / 1000 - written - passed for address, expires, _ in addresses
        },
        certified=_flagged(addresses, _CERTIFIED),
        private_names=_flagged(addresses, _PRIVATE_NAME),
        protocols=frozenset(protocols) if 3 in numbers else None,
        has_all_protocols=numbers.get(3) != _SOME,
        agent_version=_optional_text(texts.get(4)),
        protocol_version=_optional_text(texts.get(5)),
        public_key=PublicKey.unmarshal(texts[6]) if 6 in texts else None,
        record=texts.get(7),
        record_sequence=numbers.get(8, 0),
        last_seen=now + seconds[9] - written - passed if 9 in seconds else None,
        metadata=notes,
    )


def _encode_address(known: KnownPeer, address: Multiaddr, expires: float, offset: float) -> bytes:
    parts = [field_bytes(1, bytes(address))]
    if expires != inf:
        parts.append(field_varint(2, _milliseconds(expires + offset)))
    flags = _CERTIFIED * (address in known.certified) | _PRIVATE_NAME * (address in known.private_names)
    if flags:
        parts.append(field_varint(3, flags))
    return b"".join(parts)


def _decode_address(data: bytes) -> tuple[Multiaddr, int | None, int]:
    content, expires, flags = b"", None, 0
    for number, value, found in _ADDRESS.read(data):
        if number == 1:
            content = found
        elif number == 2:
            expires = value
        else:
            flags = value
    return Multiaddr.from_bytes(content), expires, flags


def _flagged(addresses: list[tuple[Multiaddr, int | None, int]], bit: int) -> frozenset[Multiaddr]:
    return frozenset([address for address, _, flags in addresses if flags & bit])


def _encode_note(name: str, value: MetadataValue) -> bytes:
    if isinstance(value, str):
        content = field_bytes(2, value.encode())
    elif isinstance(value, bytes):
        content = field_bytes(3, value)
    elif isinstance(value, bool):  # before int, which it is as well
        content = field_varint(6, value)
    elif isinstance(value, int):
        content = field_varint(4, value)
    else:
        content = field_fixed64(5, int.from_bytes(pack("<d", value), "little"))
    return field_bytes(1, name.encode()) + content


def _decode_note(data: bytes) -> Mapping[str, MetadataValue]:
    """The value by its name; nothing where it is of a kind that is not known here."""
    fields = dict(_numbered(_NOTE, data))
    name = fields.pop(1, None)
    if not isinstance(name, bytes):
        raise ProtocolViolation("metadata of a peer's entry has no name")
    for number, value in fields.items():
        return {text(name): _note_value(number, value)}
    return {}


def _numbered(schema: Schema, data: bytes) -> Iterator[tuple[int, int | bytes]]:
    for number, value, content in schema.read(data):
        yield number, content if number < 4 else value


def _note_value(number: int, value: int | bytes) -> MetadataValue:
    if isinstance(value, bytes):
        return text(value) if number == 2 else value
    if number == 4:
        return int64(value)
    if number == 5:
        found: float = unpack("<d", value.to_bytes(8, "little"))[0]
        return found
    return bool(value)


def _optional_text(data: bytes | None) -> str | None:
    return None if data is None else text(data)


def _milliseconds(seconds: float) -> int:
    return int(min(max(seconds * 1000, 0.0), _FAR))

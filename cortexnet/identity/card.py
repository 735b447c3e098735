"""Node cards: what a node says about itself, signed: what it can do, where it is, and what else its application wants to tell.

A card is a signed envelope with a purpose of its own. It says nothing about who is right: the signature proves who says it, and
nothing makes it true.

    message Card {  // proto3
        uint64 sequence = 1;
        uint64 issued = 2;  // as expires in seconds since 1970
        uint64 expires = 3;
        repeated string capabilities = 4;
        string region = 5;
        map<string, string> metadata = 6;
        map<string, uint64> limits = 7;
    }
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid, LocalError, ProtocolViolation
from cortexnet.identity.envelope import SIZE_LIMIT, Envelope, Purpose
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_varint
from cortexnet.texts import check_bytes

V = TypeVar("V")

CARD = Purpose("cortex-card", b"/cortex/card")

CAPABILITIES = 32
"""Capabilities of one card: each is a record in the DHT, to be told to twenty peers."""
NAME_LIMIT = 64
"""Bytes of the name of a capability, a limit, or an entry of the metadata."""
METADATA = 32
"""Entries of the metadata."""
METADATA_SIZE = 2_048
"""Bytes of all names and values of the metadata together: the largest card fits into an envelope of 8 KiB with any key."""
LIMITS = 16
"""Limits of one card."""
REGION_LENGTH = 4
"""Characters of a region: a geohash of four is an area of some 20 km by 39 km, and so tells a town, not a house."""
LIFETIME_LIMIT = 30 * 86_400
"""Seconds that a card may count: who has lost their key, or changed their mind, is to be believed again one day."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._+:/-]*")
_REGION = re.compile(r"[0-9b-hjkmnp-z]*")  # base 32 as geohashes have it: without a, i, l, o
_MAX_NUMBER = (1 << 63) - 1
_ENTRY_SIZE = NAME_LIMIT + METADATA_SIZE + 16
_PAYLOAD = Schema(
    "node card",
    Field(1, VARINT),
    Field(2, VARINT),
    Field(3, VARINT),
    Field(4, BYTES, size_limit=NAME_LIMIT, count_limit=CAPABILITIES),
    Field(5, BYTES, size_limit=REGION_LENGTH),
    Field(6, BYTES, size_limit=_ENTRY_SIZE, count_limit=METADATA),
    Field(7, BYTES, size_limit=_ENTRY_SIZE, count_limit=LIMITS),
)
_TEXT_ENTRY = Schema("metadata of a node card", Field(1, BYTES, size_limit=NAME_LIMIT), Field(2, BYTES), spare=4)
_LIMIT_ENTRY = Schema("limit of a node card", Field(1, BYTES, size_limit=NAME_LIMIT), Field(2, VARINT), spare=4)


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class CardDetails:
    """What a card says, without who and when. Raises ConfigInvalid, whose key is that of the setting: `card.region`, say."""

    capabilities: Sequence[str] = ()
    """What the node can do, at most 32: names of lower-case letters, digits and `._+:/-`, such as "gpu" or "model/llama-3"."""
    region: str = ""
    """Where it is: a geohash of at most 4 characters. Nothing: it does not say."""
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Whatever else: at most 32 pairs of texts, 2 KiB together."""
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    """What it takes at most, at most 16: names as those of capabilities, and whole numbers, in units that the name tells."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "capabilities", _capabilities(self.capabilities))
        check_region(self.region)
        object.__setattr__(self, "metadata", _metadata(self.metadata))
        object.__setattr__(self, "limits", _limits(self.limits))

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing to say."""
        return not (self.capabilities or self.region or self.metadata or self.limits)


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a node says about itself. Made by `issue` or `open`, so it is always signed by the node, and verified."""

    peer_id: PeerId
    """Whose it is: the signer."""
    sequence: int
    """Of two cards of one node the one with the higher number counts. Not a time."""
    issued: int
    """When it was signed by the node's clock, in seconds since 1970."""
    expires: int
    """Until when it counts, likewise."""
    details: CardDetails
    """What it says."""
    envelope: bytes = field(repr=False)
    """The signed envelope, byte by byte as it came: to be kept, shown to others, and opened by them."""

    @classmethod
    def issue(cls, private_key: PrivateKey, details: CardDetails, *, sequence: int, issued: int, lifetime: int) -> "Card":
        """Sign a card that counts for `lifetime` seconds. Raises LocalError for times and numbers that no card can have."""
        if not 0 <= sequence < 1 << 64 or not 0 <= issued <= _MAX_NUMBER - LIFETIME_LIMIT or not 0 < lifetime <= LIFETIME_LIMIT:
            raise LocalError(f"no card has the number {sequence}, the date {issued}, and counts for {lifetime} s")
        payload = _encode(details, sequence, issued, issued + lifetime)
        return cls(
            peer_id=PeerId.from_public_key(private_key.public_key),
            sequence=sequence,
            issued=issued,
            expires=issued + lifetime,
            details=details,
            envelope=Envelope.seal(private_key, CARD, payload).marshal(),
        )

    @classmethod
    def open(cls, data: bytes, expected: PeerId | None = None) -> "Card":
        """The card in an envelope, verified to be signed by `expected`, or by whoever `peer_id` names then.

        Raises ProtocolViolation, MessageTooLarge; LocalError for what is not bytes. Whether it still counts is for `check_time`.
        """
        check_bytes("a card", data)
        envelope = Envelope.open(data, CARD, size_limit=SIZE_LIMIT)
        signer = PeerId.from_public_key(envelope.public_key)
        if expected is not None and signer != expected:
            raise ProtocolViolation(f"a card signed by {signer}, where that of {expected} was due")
        return _decode(envelope.payload, signer, data)

    def check_time(self, unix_now: float, skew: float) -> None:
        """Raises ProtocolViolation where it does not count any more, or not yet, by more than `skew` seconds."""
        if unix_now > self.expires + skew:
            ago = unix_now - self.expires
            raise ProtocolViolation(f"the card of {self.peer_id} has expired {ago:.0f} s ago, or one of the two clocks is wrong")
        if unix_now < self.issued - skew:
            ahead = self.issued - unix_now
            raise ProtocolViolation(f"the card of {self.peer_id} is from {ahead:.0f} s ahead: one of the two clocks is wrong")

    def has(self, capability: str, region: str = "") -> bool:
        """Whether it claims the capability, and to be within the region, whose geohash its own begins with."""
        return capability in self.details.capabilities and self.details.region.startswith(region)


def check_name(name: object, key: str) -> None:
    """Raises ConfigInvalid where it is no name that a capability or a limit can have."""
    if not isinstance(name, str) or len(name) > NAME_LIMIT or _NAME.fullmatch(name) is None:
        what = f"{name[:80]!a}" if isinstance(name, str) else repr(name)
        message = f"{what} is no name; write 1 to {NAME_LIMIT} lower-case letters, digits and, not in front, any of ._+:/-"
        raise ConfigInvalid(message, key=key)


def check_region(region: object, key: str = "card.region") -> None:
    """Raises ConfigInvalid where it is no geohash, or one too long."""
    if not isinstance(region, str) or len(region) > REGION_LENGTH or _REGION.fullmatch(region) is None:
        what = f"{region[:80]!a}" if isinstance(region, str) else repr(region)
        message = f"must be a geohash of at most {REGION_LENGTH} characters, such as u33d, but is {what}"
        raise ConfigInvalid(message, key=key)


def _capabilities(values: object) -> tuple[str, ...]:
    key = "card.capabilities"
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigInvalid(f"must be a list of texts, but is {values!r}", key=key)
    names = tuple(values)
    if len(names) > CAPABILITIES:
        raise ConfigInvalid(f"has {len(names)} entries, of at most {CAPABILITIES}", key=key)
    for name in names:
        check_name(name, key)
    if len(set(names)) < len(names):
        raise ConfigInvalid("names something twice", key=key)
    return names


def _metadata(values: object) -> dict[str, str]:
    key = "card.metadata"
    pairs = _pairs(values, METADATA, key)
    for name, value in pairs.items():
        if not _is_text(name) or not _is_text(value) or not 0 < len(name.encode()) <= NAME_LIMIT:
            message = f"must give a text for each name of 1 to {NAME_LIMIT} bytes, but has {name!a}: {value!a}"
            raise ConfigInvalid(message, key=key)
    size = sum([len(text.encode()) for pair in pairs.items() for text in pair])
    if size > METADATA_SIZE:
        raise ConfigInvalid(f"has {size} bytes, of at most {METADATA_SIZE}", key=key)
    return pairs


def _limits(values: object) -> dict[str, int]:
    key = "card.limits"
    pairs = _pairs(values, LIMITS, key)
    for name, value in pairs.items():
        check_name(name, key)
        if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
            raise ConfigInvalid(f"must give a whole number of at most 63 bits for {name}, not {value!r}", key=key)
    return pairs


def _pairs(values: object, count_limit: int, key: str) -> dict[str, Any]:
    """A copy, such that nobody changes it later; in the order of the names, such that equal ones are signed alike."""
    if not isinstance(values, Mapping):
        raise ConfigInvalid(f"must give a value for each name, but is {values!r}", key=key)
    if len(values) > count_limit:
        raise ConfigInvalid(f"has {len(values)} entries, of at most {count_limit}", key=key)
    return dict(sorted(values.items(), key=lambda pair: str(pair[0])))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.encode(errors="ignore").decode() == value


def _encode(details: CardDetails, sequence: int, issued: int, expires: int) -> bytes:
    times = [(1, sequence), (2, issued), (3, expires)]
    parts = [field_varint(number, value) for number, value in times if value]
    parts += [field_bytes(4, name.encode()) for name in details.capabilities]
    if details.region:
        parts.append(field_bytes(5, details.region.encode()))
    parts += [
        field_bytes(6, field_bytes(1, name.encode()) + field_bytes(2, text.encode())) for name, text in details.metadata.items()
    ]
    parts += [field_bytes(7, field_bytes(1, name.encode()) + field_varint(2, limit)) for name, limit in details.limits.items()]
    return b"".join(parts)


def _decode(payload: bytes, signer: PeerId, envelope: bytes) -> Card:
    times = {1: 0, 2: 0, 3: 0}
    capabilities, region = list[str](), ""
    metadata, limits = dict[str, str](), dict[str, int]()
    for number, value, content in _PAYLOAD.read(payload):
        if number <= 3:
            times[number] = value
        elif number == 4:
            capabilities.append(_text(content))
        elif number == 5:
            region = _text(content)
        elif number == 6:
            _put(metadata, *_text_entry(content))
        else:
            _put(limits, *_limit_entry(content))
    if not times[2] < times[3] <= times[2] + LIFETIME_LIMIT:
        raise ProtocolViolation(f"a node card that was issued at {times[2]} and counts until {times[3]}")
    try:
        details = CardDetails(capabilities=capabilities, region=region, metadata=metadata, limits=limits)
    except ConfigInvalid as error:
        raise ProtocolViolation(f"node card: {error}") from None
    return Card(peer_id=signer, sequence=times[1], issued=times[2], expires=times[3], details=details, envelope=envelope)


def _text_entry(content: bytes) -> tuple[str, str]:
    name = text = b""
    for number, _, found in _TEXT_ENTRY.read(content):
        if number == 1:
            name = found
        else:
            text = found
    return _text(name), _text(text)


def _limit_entry(content: bytes) -> tuple[str, int]:
    name, limit = b"", 0
    for number, value, found in _LIMIT_ENTRY.read(content):
        if number == 1:
            name = found
        else:
            limit = value
    return _text(name), limit


def _put(pairs: dict[str, V], name: str, value: V) -> None:
    if name in pairs:
        raise ProtocolViolation(f"a node card with two entries of one name: {name!a}")
    pairs[name] = value


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ProtocolViolation(f"a text in a node card is not UTF-8: {content[:64]!r}") from None

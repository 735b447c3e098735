"""IPNS records: a name that is a peer id, what it points to at present, and the signature of its owner.

What is signed is a DAG-CBOR document; the older fields beside it repeat it for nodes of 2021, and are held to agree with it.

Spec: specs.ipfs.tech, "IPNS Record and Protocol".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self, final

from cortexnet.errors import InvalidRecord, LocalError, RemoteError
from cortexnet.identity.keys import PUBLIC_SIZE_LIMIT, PrivateKey, PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records import dag_cbor, rfc3339
from cortexnet.kad.records.records import peer_id_of
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_varint

PREFIX = b"/ipns/"
SIZE_LIMIT = 10_240
"""Bytes of a whole record."""
TTL = 300 * rfc3339.SECOND
"""Nanoseconds for which a resolver may use a record without a look for a newer one; Kubo's default."""
LIFETIME = 48 * 3600
"""Seconds that a record is made for, as Kubo does: it outlives what the DHT keeps, and is to be renewed before."""

_MAX_INT64 = (1 << 63) - 1
_DOMAIN = b"ipns-signature:"
_EOL: Final = 0
_EOL_NAME = b"EOL"  # V1 signs the name of the kind of validity, not its number

_SCHEMA = Schema(
    "IPNS record",
    Field(1, BYTES),  # value
    Field(2, BYTES),  # signature V1
    Field(3, VARINT),  # kind of validity
    Field(4, BYTES),  # validity
    Field(5, VARINT),  # sequence
    Field(6, VARINT),  # ttl
    Field(7, BYTES, size_limit=PUBLIC_SIZE_LIMIT),  # public key
    Field(8, BYTES),  # signature V2
    Field(9, BYTES),  # data
)


@final
@dataclass(frozen=True, slots=True)
class IpnsRecord:
    """One record. Made by `create`, or `decode`, which verifies nothing: see `validate`.

    record = IpnsRecord.create(identity.private_key, "/ipfs/bafy…", sequence=1, eol_unix=time.time() + 48 * 3600)
    await node.kad.put_value(IpnsRecord.key_of(identity.peer_id), record.encode())

    record = IpnsRecord.decode(await node.kad.get_value(f"/ipns/{name}"))     # verified: the DHT's values always are
    print(record.value.decode())
    """

    value: bytes
    """What the name points to: a path such as `/ipfs/bafy…`."""
    sequence: int
    """The record with the higher one counts; each change of the value takes a higher one."""
    eol: int
    """The end of its life, in nanoseconds since 1970."""
    ttl: int
    """Nanoseconds for which it may be used without a look for a newer one."""
    public_key: PublicKey | None
    """The owner's, where the name is only a hash of it."""
    encoded: bytes
    """The record as it came, or goes out."""
    _signed: bytes
    _signature: bytes | None

    @staticmethod
    def key_of(name: PeerId) -> bytes:
        """The key under which the DHT keeps the record of a name."""
        return PREFIX + bytes(name)

    @classmethod
    def create(
        cls,
        private_key: PrivateKey,
        value: str | bytes,
        *,
        sequence: int,
        eol_unix: float,
        ttl_ns: int = TTL,
        v1: bool = True,
    ) -> Self:
        """Sign a record for the name that is the key's peer id; the key goes into it where the id does not hold it.

        `value` is a path; `eol_unix` its end in unix seconds, `LIFETIME` from now as a rule. `v1` adds the fields that nodes of
        2021 need, as Kubo does. Raises LocalError for what no record can hold.
        """
        content = value.encode() if isinstance(value, str) else value
        if not content.startswith(b"/"):
            raise LocalError(f"an IPNS record points to a path, such as /ipfs/bafy…, and not to {value!r}")
        for name, number in (("sequence", sequence), ("ttl_ns", ttl_ns)):
            if not 0 <= number <= _MAX_INT64:
                raise LocalError(f"{name} is a whole number of up to 63 bits, not {number}")
        validity = rfc3339.encode(rfc3339.nanoseconds(eol_unix))
        document: dict[str, dag_cbor.Value] = {
            "TTL": ttl_ns,
            "Value": content,
            "Sequence": sequence,
            "Validity": validity,
            "ValidityType": _EOL,
        }
        data = dag_cbor.encode(document)
        parts = []
        if v1:
            signature = private_key.sign(content + validity + _EOL_NAME)
            parts += [field_bytes(1, content), field_bytes(2, signature), field_varint(3, _EOL), field_bytes(4, validity)]
            parts += [field_varint(5, sequence), field_varint(6, ttl_ns)]
        public_key = private_key.public_key
        if PeerId.from_public_key(public_key).public_key() is None:
            parts.append(field_bytes(7, public_key.marshal()))
        parts += [field_bytes(8, private_key.sign(_DOMAIN + data)), field_bytes(9, data)]
        encoded = b"".join(parts)
        if len(encoded) > SIZE_LIMIT:
            raise LocalError(f"an IPNS record of {len(encoded)} bytes is over the limit of {SIZE_LIMIT}: the path is too long")
        return cls.decode(encoded)

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """The record of these bytes, nothing verified. Raises InvalidRecord."""
        if len(encoded) > SIZE_LIMIT:
            raise InvalidRecord(f"an IPNS record of {len(encoded)} bytes is over the limit of {SIZE_LIMIT}")
        texts, numbers = dict[int, bytes](), dict[int, int]()
        try:
            for number, value, content in _SCHEMA.read(encoded):
                if number in (3, 5, 6):
                    numbers[number] = value
                else:
                    texts[number] = content
            document = _document(texts.get(9, b""))
            public_key = PublicKey.unmarshal(texts[7]) if texts.get(7) else None
            eol = rfc3339.decode(document.validity)
        except InvalidRecord:
            raise
        except RemoteError as error:
            raise InvalidRecord(f"IPNS record: {error}") from None
        if (texts.get(1) or texts.get(2)) and document != _Document(
            ttl=numbers.get(6, 0),
            value=texts.get(1, b""),
            sequence=numbers.get(5, 0),
            validity=texts.get(4, b""),
            kind=numbers.get(3, 0),
        ):
            raise InvalidRecord("IPNS record: its older fields differ from what is signed")
        return cls(document.value, document.sequence, eol, document.ttl, public_key, encoded, texts[9], texts.get(8))

    def encode(self) -> bytes:
        """The bytes to be published."""
        return self.encoded

    def validate(self, name: PeerId, unix_now: float, public_key: PublicKey | None = None) -> None:
        """Check that the owner of `name` has signed this, and that it is not over. Raises InvalidRecord.

        `public_key` is the owner's, known from elsewhere: needed only where neither the name nor the record holds it.
        """
        if rfc3339.nanoseconds(unix_now) > self.eol:
            raise InvalidRecord(f"IPNS record: its time was over at {rfc3339.encode(self.eol).decode()}")
        owner = self._owner(name) or public_key
        if owner is None:
            raise InvalidRecord(f"IPNS record: the public key of {name} is not known")
        if not self._signature or not owner.verify(_DOMAIN + self._signed, self._signature):
            raise InvalidRecord(f"IPNS record: not signed by {name}")

    def _owner(self, name: PeerId) -> PublicKey | None:
        if self.public_key is not None:
            if PeerId.from_public_key(self.public_key) != name:
                raise InvalidRecord(f"IPNS record: the public key in it is not that of {name}")
            return self.public_key
        try:
            return name.public_key()
        except RemoteError as error:
            raise InvalidRecord(f"IPNS record: {error}") from None

    @property
    def rank(self) -> tuple[bool, int, int, bytes]:
        """Of two valid records of a name the one with the higher rank counts."""
        return self._signature is not None, self.sequence, self.eol, self.encoded


@final
@dataclass(frozen=True, slots=True)
class _Document:
    """What is signed, as far as we know its keys."""

    ttl: int
    value: bytes
    sequence: int
    validity: bytes
    kind: int


def _document(data: bytes) -> _Document:
    """Raises ProtocolViolation, InvalidRecord."""
    found = dag_cbor.decode(data)
    if not isinstance(found, Mapping):
        raise InvalidRecord("IPNS record: what is signed is no map")
    kind = _number(found, "ValidityType")
    if kind != _EOL:
        raise InvalidRecord(f"IPNS record: validity of kind {kind} is not known")
    return _Document(
        ttl=_number(found, "TTL"),
        value=_bytes(found, "Value"),
        sequence=_number(found, "Sequence"),
        validity=_bytes(found, "Validity"),
        kind=kind,
    )


def _number(document: "Mapping[str, dag_cbor.Value]", name: str) -> int:
    value = document.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_INT64:
        raise InvalidRecord(f"IPNS record: {name} is no number of 0 to 2^63 - 1")
    return value


def _bytes(document: "Mapping[str, dag_cbor.Value]", name: str) -> bytes:
    value = document.get(name)
    if not isinstance(value, bytes):
        raise InvalidRecord(f"IPNS record: {name} is missing, or not bytes")
    return value


@final
class IpnsValidator:
    """The rules of `/ipns/`. `public_key_of` gives the key of a peer id that is only a hash of it, where it is known."""

    def __init__(self, public_key_of: Callable[[PeerId], PublicKey | None] | None = None) -> None:
        self._public_key_of = public_key_of

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """Raises InvalidRecord."""
        name = peer_id_of(key, PREFIX)
        record = IpnsRecord.decode(value)
        public_key = None
        if record.public_key is None and self._public_key_of is not None:
            public_key = self._public_key_of(name)
        record.validate(name, unix_now, public_key)

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """The one with the highest sequence, then the latest end, then the larger bytes. Raises InvalidRecord if one is none."""
        ranks = [IpnsRecord.decode(value).rank for value in values]
        return max(range(len(ranks)), key=ranks.__getitem__)

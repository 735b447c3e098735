"""Signed envelopes: bytes that name their signer and purpose; and peer records, the addresses that a node signs for itself.

An `Envelope` exists only sealed by us or verified: there is no way to look into an unverified one.

Spec: libp2p/specs RFC 0002 (signed envelopes) and RFC 0003 (peer routing records).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from cortexnet.errors import LocalError, MessageTooLarge, ProtocolViolation
from cortexnet.identity.keys import PUBLIC_SIZE_LIMIT, PrivateKey, PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats import varint
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multiformats.multiaddr_protocols import P2P
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_varint

SIZE_LIMIT = 8_192
"""Bytes of an envelope where the protocol that carries it sets no other limit. go-libp2p reads as much of an identify message."""
ADDRESS_COUNT_LIMIT = 128
"""Addresses taken from one record; further ones are skipped."""

_ENVELOPE = Schema(
    "signed envelope",
    Field(1, BYTES, size_limit=PUBLIC_SIZE_LIMIT),
    Field(2, BYTES, size_limit=256),
    Field(3, BYTES),
    Field(5, BYTES, size_limit=2_048),  # RSA with 8192 bits signs with 1,024
)
_RECORD = Schema(
    "peer record",
    Field(1, BYTES, size_limit=128),
    Field(2, VARINT),
    Field(3, BYTES, count_limit=ADDRESS_COUNT_LIMIT, surplus="skip"),
)
_ADDRESS = Schema("address of a peer record", Field(1, BYTES))
_P2P_MARK = varint.encode(P2P.code)


@final
@dataclass(frozen=True, slots=True)
class Purpose:
    """What an envelope is for. The domain is signed but not sent, so that a signature is good for one purpose only."""

    domain: str
    payload_type: bytes

    def __post_init__(self) -> None:
        if not self.domain or not self.payload_type:
            raise LocalError("an envelope needs a domain and a payload type")


PEER_RECORD = Purpose("libp2p-peer-record", b"\x03\x01")
LEGACY_PEER_RECORD = Purpose("libp2p-routing-state", b"/libp2p/routing-state-record")
"""As rust-libp2p writes peer records in identify and rendezvous."""


@final
@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and who signed it for what. Made by `seal` or `open`."""

    public_key: PublicKey
    purpose: Purpose
    payload: bytes
    signature: bytes

    @classmethod
    def seal(cls, private_key: PrivateKey, purpose: Purpose, payload: bytes) -> "Envelope":
        """Sign `payload`."""
        signature = private_key.sign(_signed_bytes(purpose, payload))
        return cls(private_key.public_key, purpose, payload, signature)

    @classmethod
    def open(cls, data: bytes, *purposes: Purpose, size_limit: int = SIZE_LIMIT) -> "Envelope":
        """The envelope in its protobuf form, verified for that of `purposes` whose payload type it has.

        Raises ProtocolViolation if it is malformed, of another type, or not signed by its key, and MessageTooLarge above
        `size_limit`. Who the signer had to be is for the caller to compare.
        """
        if len(data) > size_limit:
            raise MessageTooLarge("signed envelope", len(data), size_limit)
        key = payload_type = payload = signature = b""
        for number, _, content in _ENVELOPE.read(data):
            if number == 1:
                key = content
            elif number == 2:
                payload_type = content
            elif number == 3:
                payload = content
            else:
                signature = content
        for purpose in purposes:
            if purpose.payload_type == payload_type:
                break
        else:
            raise ProtocolViolation(f"signed envelope of type {payload_type[:64]!r}")
        public_key = PublicKey.unmarshal(key)
        if not public_key.verify(_signed_bytes(purpose, payload), signature):
            raise ProtocolViolation("the signature of the envelope is wrong")
        return cls(public_key, purpose, payload, signature)

    def marshal(self) -> bytes:
        """The protobuf form."""
        return b"".join(
            [
                field_bytes(1, self.public_key.marshal()),
                field_bytes(2, self.purpose.payload_type),
                field_bytes(3, self.payload),
                field_bytes(5, self.signature),
            ]
        )


@final
@dataclass(frozen=True, slots=True)
class PeerRecord:
    """Where a peer says it can be dialled. Of two records of one peer the one with the higher `sequence` counts.

    Addresses stand without a /p2p/… of the peer's own at their end; both directions drop it, and addresses of other peers.
    Never read a foreign sequence as a time: some stacks count nanoseconds, others milliseconds or seconds.
    """

    peer_id: PeerId
    sequence: int
    addresses: tuple[Multiaddr, ...]

    def encode(self) -> bytes:
        """The payload. Raises LocalError if `sequence` is not within 0 and 2^64 - 1."""
        if self.sequence < 0:
            raise LocalError(f"a record's sequence is not negative, as {self.sequence} is")
        parts = [field_bytes(1, bytes(self.peer_id))]
        if self.sequence:
            parts.append(field_varint(2, self.sequence))
        own = _own_addresses(self.peer_id, self.addresses)
        parts.extend([field_bytes(3, field_bytes(1, bytes(address))) for address in own])
        return b"".join(parts)

    @classmethod
    def decode(cls, payload: bytes) -> "PeerRecord":
        """The record of a payload. Addresses that are empty or cannot be read are left out. Raises ProtocolViolation."""
        peer_id, sequence, addresses = b"", 0, list[Multiaddr]()
        for number, value, content in _RECORD.read(payload):
            if number == 1:
                peer_id = content
            elif number == 2:
                sequence = value
            else:
                addresses.extend(_readable(content))
        owner = PeerId.from_bytes(peer_id)
        return cls(owner, sequence, tuple(_own_addresses(owner, addresses)))

    def seal(self, private_key: PrivateKey, purpose: Purpose = PEER_RECORD) -> bytes:
        """The record in an envelope. Raises LocalError if the key is not the peer's, or the envelope longer than SIZE_LIMIT."""
        if PeerId.from_public_key(private_key.public_key) != self.peer_id:
            raise LocalError(f"this is not the key of {self.peer_id}")
        sealed = Envelope.seal(private_key, purpose, self.encode()).marshal()
        if len(sealed) > SIZE_LIMIT:
            raise LocalError(f"a record of {len(sealed)} bytes is over the limit of {SIZE_LIMIT}: give it fewer addresses")
        return sealed

    @classmethod
    def open(cls, data: bytes, expected: PeerId) -> "PeerRecord":
        """The record in an envelope of either form, verified to be signed by `expected` and about it.

        Raises ProtocolViolation, MessageTooLarge.
        """
        envelope = Envelope.open(data, PEER_RECORD, LEGACY_PEER_RECORD)
        record = cls.decode(envelope.payload)
        signer = PeerId.from_public_key(envelope.public_key)
        if not signer == record.peer_id == expected:
            raise ProtocolViolation(f"a record of {record.peer_id} signed by {signer}, where that of {expected} was due")
        return record


@final
@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A peer record with the envelope that proves it, byte by byte as it came. Made by `open`, so it is always verified."""

    record: PeerRecord
    envelope: bytes

    @classmethod
    def open(cls, data: bytes, expected: PeerId) -> "SignedRecord":
        """As `PeerRecord.open`, and raises the same."""
        return cls(PeerRecord.open(data, expected), data)


def _signed_bytes(purpose: Purpose, payload: bytes) -> bytes:
    domain = purpose.domain.encode()
    parts = (domain, purpose.payload_type, payload)
    return b"".join([piece for part in parts for piece in (varint.encode(len(part)), part)])


def _readable(content: bytes) -> list[Multiaddr]:
    """The address in an entry of a record, if it is one."""
    data = b""
    for _, _, last in _ADDRESS.read(content):
        data = last
    try:
        return [Multiaddr.from_bytes(data)] if data else []
    except ProtocolViolation:
        return []  # a protocol we do not know, most likely; the other addresses are still good


def _own_addresses(owner: PeerId, addresses: Iterable[Multiaddr]) -> list[Multiaddr]:
    kept = []
    for address in addresses:
        if _P2P_MARK not in bytes(address):  # spares most addresses the objects of their components
            kept.append(address)
            continue
        rest, named = address.split_peer()
        if rest is not None and named in (None, bytes(owner)):
            kept.append(rest)
    return kept

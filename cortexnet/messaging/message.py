"""Direct messages and their receipts: who says what to whom, signed, so that both can be kept and shown to others.

Both are signed envelopes, each for a purpose of its own. A receipt names the message by its digest: with the two envelopes at
hand anybody can check who sent what, and that the other has received it. Unsigned ones have the same content in a field beside.

    frame    envelope = 1 | unsigned content = 2
    content  sender = 1, recipient = 2, sequence = 3, unix_ns = 4, data = 5, digest of the message = 6 (receipts only)
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import MessageTooLarge, ProtocolViolation
from cortexnet.identity.envelope import Envelope, Purpose
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_varint
from cortexnet.texts import check_bytes

MESSAGE = Purpose("cortex-message", b"/cortex/message")
RECEIPT = Purpose("cortex-receipt", b"/cortex/receipt")
OVERHEAD = 4_096
"""Bytes of a frame beside the data: two peer ids, and the largest key and signature there are, about 2,300 in all."""

_DIGEST_SIZE = 32
_FRAME = Schema("message frame", Field(1, BYTES), Field(2, BYTES))
_CONTENT = Schema(
    "message",
    Field(1, BYTES),
    Field(2, BYTES),
    Field(3, VARINT),
    Field(4, VARINT),
    Field(5, BYTES),
    Field(6, BYTES),
)


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a peer says to another."""

    sender: PeerId
    """Who says it: proved by the connection it came over, and by the signature."""
    recipient: PeerId
    """To whom."""
    sequence: int
    """Higher in each message of one sender; neither dense nor a time."""
    unix_ns: int
    """When it was sent by the sender's clock, in nanoseconds since 1970."""
    data: bytes
    """What is said."""
    proof: bytes | None = None
    """The signed envelope, for `open_proof`; None where it is not signed."""

    def encode(self) -> bytes:
        """The content."""
        return _encode(self.sender, self.recipient, self.sequence, self.unix_ns, self.data)

    @property
    def digest(self) -> bytes:
        """What a receipt names it by."""
        return sha256(self.encode()).digest()

    @classmethod
    def open_proof(cls, proof: bytes) -> "Message":
        """The message in a signed envelope, verified to be signed by its sender.

        Raises ProtocolViolation, MessageTooLarge; LocalError for what is not bytes.
        """
        return cls._of(_open(proof, MESSAGE), proof)

    @classmethod
    def decode_frame(cls, frame: bytes, *, size_limit: int, is_signed: bool) -> "Message":
        """The message in a frame as it came from a peer, `is_signed` if it has to be.

        Raises ProtocolViolation, and MessageTooLarge where it has more than `size_limit` bytes of data. Whether the sender is the
        peer, and the recipient us, is for the caller to compare.
        """
        content, proof = _decode_frame(frame, MESSAGE, is_signed=is_signed)
        if len(content.data) > size_limit:
            raise MessageTooLarge("message", len(content.data), size_limit)
        return cls._of(content, proof)

    @classmethod
    def _of(cls, content: "_Content", proof: bytes | None) -> "Message":
        if content.digest is not None:
            raise ProtocolViolation("a message with the digest of a receipt")
        return cls(
            sender=content.sender,
            recipient=content.recipient,
            sequence=content.sequence,
            unix_ns=content.unix_ns,
            data=content.data,
            proof=proof,
        )


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """That a message was received, and what the recipient's handler returned."""

    sender: PeerId
    """Who received the message."""
    recipient: PeerId
    """Who had sent it."""
    sequence: int
    """That of the message."""
    unix_ns: int
    """When the message had been handled, by the clock of who received it, in nanoseconds since 1970."""
    data: bytes
    """What the handler returned."""
    digest: bytes
    """SHA-256 of the message's content."""
    proof: bytes | None = None
    """The signed envelope, for `open_proof`; None where it is not signed."""

    @classmethod
    def of(cls, message: Message, *, unix_ns: int, data: bytes) -> "Receipt":
        """The receipt for a message."""
        return cls(
            sender=message.recipient,
            recipient=message.sender,
            sequence=message.sequence,
            unix_ns=unix_ns,
            data=data,
            digest=message.digest,
        )

    def is_for(self, message: Message) -> bool:
        """Whether it is its recipient's receipt for just this message."""
        parties = (self.sender, self.recipient, self.sequence)
        return parties == (message.recipient, message.sender, message.sequence) and self.digest == message.digest

    def encode(self) -> bytes:
        """The content."""
        content = _encode(self.sender, self.recipient, self.sequence, self.unix_ns, self.data)
        return content + field_bytes(6, self.digest)

    @classmethod
    def open_proof(cls, proof: bytes) -> "Receipt":
        """The receipt in a signed envelope, verified to be signed by its sender.

        Raises ProtocolViolation, MessageTooLarge; LocalError for what is not bytes.
        """
        return cls._of(_open(proof, RECEIPT), proof)

    @classmethod
    def decode_frame(cls, frame: bytes, *, is_signed: bool) -> "Receipt":
        """The receipt in a frame as it came from a peer, `is_signed` if it has to be: see `is_for`.

        Raises ProtocolViolation, MessageTooLarge.
        """
        return cls._of(*_decode_frame(frame, RECEIPT, is_signed=is_signed))

    @classmethod
    def _of(cls, content: "_Content", proof: bytes | None) -> "Receipt":
        if content.digest is None or len(content.digest) != _DIGEST_SIZE:
            raise ProtocolViolation("a receipt without the digest of its message")
        return cls(
            sender=content.sender,
            recipient=content.recipient,
            sequence=content.sequence,
            unix_ns=content.unix_ns,
            data=content.data,
            digest=content.digest,
            proof=proof,
        )


def signed_frame(content: Message | Receipt, private_key: PrivateKey) -> bytes:
    """The frame of a message or receipt signed by its sender, who has the key."""
    purpose = MESSAGE if isinstance(content, Message) else RECEIPT
    return field_bytes(1, Envelope.seal(private_key, purpose, content.encode()).marshal())


def unsigned_frame(content: Message | Receipt) -> bytes:
    """The frame of a message or receipt that proves nothing to others."""
    return field_bytes(2, content.encode())


def _encode(sender: PeerId, recipient: PeerId, sequence: int, unix_ns: int, data: bytes) -> bytes:
    return b"".join(
        [
            field_bytes(1, bytes(sender)),
            field_bytes(2, bytes(recipient)),
            field_varint(3, sequence),
            field_varint(4, unix_ns),
            field_bytes(5, data),
        ]
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What messages and receipts have in common."""

    sender: PeerId
    recipient: PeerId
    sequence: int
    unix_ns: int
    data: bytes
    digest: bytes | None


def _decode_frame(frame: bytes, purpose: Purpose, *, is_signed: bool) -> tuple[_Content, bytes | None]:
    """The content, and the envelope it was in."""
    envelope = plain = None
    for number, _, found in _FRAME.read(frame):
        if number == 1:
            envelope = found
        else:
            plain = found
    if envelope is not None and plain is None:
        return _open(envelope, purpose), envelope
    if plain is None or envelope is not None:
        raise ProtocolViolation("a message frame has either an envelope or unsigned content")
    if is_signed:
        raise ProtocolViolation("this message has to be signed")
    return _decode(plain), None


def _open(proof: bytes, purpose: Purpose) -> _Content:
    """The content of an envelope, signed by the sender whom the content names."""
    check_bytes("a proof", proof)
    envelope = Envelope.open(proof, purpose, size_limit=len(proof))  # whoever read it has limited it
    content = _decode(envelope.payload)
    if PeerId.from_public_key(envelope.public_key) != content.sender:
        raise ProtocolViolation(f"a message of {content.sender} that somebody else has signed")
    return content


def _decode(payload: bytes) -> _Content:
    sender = recipient = data = b""
    digest: bytes | None = None
    sequence = unix_ns = 0
    for number, value, found in _CONTENT.read(payload):
        if number == 1:
            sender = found
        elif number == 2:
            recipient = found
        elif number == 3:
            sequence = value
        elif number == 4:
            unix_ns = value
        elif number == 5:
            data = found
        else:
            digest = found
    return _Content(
        sender=PeerId.from_bytes(sender),
        recipient=PeerId.from_bytes(recipient),
        sequence=sequence,
        unix_ns=unix_ns,
        data=data,
        digest=digest,
    )

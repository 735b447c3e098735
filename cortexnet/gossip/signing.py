"""Who wrote a message: signatures made and checked.

The signature covers the fields from, data, seqno and topic, in this order, behind a prefix; the key is not signed.

Spec: libp2p/specs pubsub, "Message Signing" and "Signature Policy Options".
"""

from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, final

from cortexnet.errors import LocalError, RemoteError
from cortexnet.gossip.message import Message
from cortexnet.identity.keys import PUBLIC_SIZE_LIMIT, PublicKey
from cortexnet.identity.peer_id import INLINE_LIMIT, PeerId

if TYPE_CHECKING:
    from cortexnet.gossip.config import SigningPolicy
    from cortexnet.identity.keys import PrivateKey

PREFIX: Final = b"libp2p-pubsub:"
SEQNO_SIZE: Final = 8
SIGNATURE_LIMIT: Final = 2_048
"""Bytes of a signature: RSA with 8192 bits has 1,024."""
_AUTHOR_LIMIT: Final = INLINE_LIMIT + 2


class RejectReason(IntEnum):
    """Why a message was dropped. Those for which the peer that brought it is charged (P4) are `is_charged`."""

    MISSING_SIGNATURE = 0
    """Messages are signed in this network."""
    INVALID_SIGNATURE = 1
    """The signature is not that of the author, or there is no author."""
    UNEXPECTED_SIGNATURE = 2
    """Messages are not signed in this network."""
    UNEXPECTED_AUTH_INFO = 3
    """Messages say nothing of their author in this network."""
    SELF_ORIGIN = 4
    """It says that we wrote it, but it was not known here."""
    VALIDATION_FAILED = 5
    """The application rejects it."""
    VALIDATION_IGNORED = 6
    """The application does not want it, and holds it against nobody."""
    VALIDATION_THROTTLED = 7
    """Too many others were being validated."""
    QUEUE_FULL = 8
    """It did not even come to the check of its signature."""
    BLACKLISTED_PEER = 9
    """The peer is denied."""
    BLACKLISTED_SOURCE = 10
    """The author is denied."""
    MALFORMED = 11
    """A sequence number that is none, a key that can't be read here, such as one on P-224, or an ECDSA signature with something
    behind it: go takes these for good and passes them on, and must not be blamed for what anybody can have it pass on."""

    @property
    def is_charged(self) -> bool:
        """Whether it counts as an invalid message of the peer."""
        return self <= RejectReason.VALIDATION_FAILED

    @property
    def is_tracked(self) -> bool:
        """Whether others that bring the same message share the verdict: its id is sure to be its own."""
        return RejectReason.VALIDATION_FAILED <= self <= RejectReason.VALIDATION_THROTTLED


def check_form(message: Message, policy: "SigningPolicy") -> RejectReason | None:
    """What can be said against a message before any cryptography, also before its id is made. None: nothing."""
    if policy == "strict_no_sign":
        if message.signature is not None:
            return RejectReason.UNEXPECTED_SIGNATURE
        if message.author is not None or message.seqno is not None or message.key is not None:
            return RejectReason.UNEXPECTED_AUTH_INFO
        return None
    if message.signature is None:
        return RejectReason.MISSING_SIGNATURE
    if message.author is None or len(message.author) > _AUTHOR_LIMIT or not 0 < len(message.signature) <= SIGNATURE_LIMIT:
        return RejectReason.INVALID_SIGNATURE
    if message.key is not None and len(message.key) > PUBLIC_SIZE_LIMIT:
        return RejectReason.MALFORMED
    return RejectReason.MALFORMED if message.seqno is None or len(message.seqno) != SEQNO_SIZE else None


def verify(message: Message, policy: "SigningPolicy") -> RejectReason | None:
    """Why the message is to be dropped; None where its author wrote it (or none does). Some 150 µs, in any thread."""
    reason = check_form(message, policy)
    if reason is not None or policy == "strict_no_sign":
        return reason
    key = _author_key(message.author or b"", message.key)
    if isinstance(key, RejectReason):
        return key
    if not key.verify(PREFIX + message.signed_bytes(), message.signature or b""):
        return RejectReason.MALFORMED if key.key_type == "ecdsa" else RejectReason.INVALID_SIGNATURE
    return None


@lru_cache(maxsize=1024)  # an author writes more than once, and its key costs as much as the signature
def _author_key(author: bytes, attached: bytes | None) -> PublicKey | RejectReason:
    """The key of the author: in its id, or attached and of that id. Or what is wrong with it."""
    try:
        peer_id = PeerId.from_bytes(author)
    except RemoteError:
        return RejectReason.INVALID_SIGNATURE
    try:
        key = peer_id.public_key() if attached is None else PublicKey.unmarshal(attached)
    except RemoteError:
        return RejectReason.MALFORMED
    return key if key is not None and PeerId.from_public_key(key) == peer_id else RejectReason.INVALID_SIGNATURE


@final
class Signer:
    """Signs messages of one author, and numbers them.

    `first` is the time in unix nanoseconds: numbers must rise also over restarts, or peers take new messages for old ones.
    """

    def __init__(self, key: "PrivateKey", first: int) -> None:
        self._key = key
        self._next = first
        peer_id = PeerId.from_public_key(key.public_key)
        self._author = bytes(peer_id)
        self._attached = None if peer_id.public_key() is not None else key.public_key.marshal()

    def sign(self, topic: str, data: bytes) -> Message:
        """A new message. Raises LocalError after 2^64 numbers."""
        if not 0 <= self._next < 1 << 64:
            raise LocalError(f"{self._next} is no sequence number of 64 bits")
        seqno = self._next.to_bytes(SEQNO_SIZE, "big")
        self._next += 1
        unsigned = Message.build(topic, data, author=self._author, seqno=seqno)
        signature = self._key.sign(PREFIX + unsigned.signed_bytes())
        return Message.build(topic, data, author=self._author, seqno=seqno, signature=signature, key=self._attached)

"""Peer ids: the multihash of a public key, by which libp2p names a node.

A key of up to 42 bytes (Ed25519, secp256k1) is the id, wrapped as an identity multihash; of a longer one (RSA, ECDSA) the id is
the sha2-256. Printed is base 58, which every stack reads; read are also the CID forms.

Spec: libp2p/specs peer-ids, "Peer IDs"; libp2p/specs RFC 0001.
"""

from collections.abc import Iterable
from typing import final

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.identity.keys import PublicKey
from cortexnet.multiformats import multibase, multihash
from cortexnet.multiformats.cid import Cid

INLINE_LIMIT = 42
"""Bytes of a marshalled key up to which the id holds the key itself."""
LIBP2P_KEY = 0x72
"""The codec of a peer id's CID."""

_INLINE_SIZE_LIMIT = 2 + INLINE_LIMIT
_TEXT_LIMIT = 512
_SHA2_HEAD, _SHA2_SIZE = bytes([multihash.SHA2_256, 32]), 34


@final
class PeerId:
    """Who a node is. Immutable, hashable, equal if the bytes are. `bytes(peer_id)` is the multihash, `str(peer_id)` base 58.

    Made by `parse`, `from_bytes` or `from_public_key`; the constructor takes bytes known to be valid.
    """

    __slots__ = ("_bytes", "_hash", "_public_key", "_text")

    def __init__(self, data: bytes) -> None:
        if type(data) is not bytes:
            raise LocalError(f"PeerId.parse makes one of a text, PeerId.from_bytes of bytes, nothing of a {type(data).__name__}")
        self._bytes = data
        self._hash = hash(data)
        self._text: str | None = None
        self._public_key: PublicKey | None = None

    @classmethod
    def from_bytes(cls, data: bytes) -> "PeerId":
        """The id that is the whole of `data`: sha2-256, or identity of at most 42 bytes. Raises ProtocolViolation."""
        if len(data) == _SHA2_SIZE and data[:2] == _SHA2_HEAD:
            return cls(bytes(data))  # the usual one: a node of the DHT reads thousands a second
        if len(data) > _INLINE_SIZE_LIMIT:
            raise ProtocolViolation(f"peer id of {len(data)} bytes is too long")
        code, _ = multihash.unwrap(data)
        if code not in (multihash.IDENTITY, multihash.SHA2_256):
            raise ProtocolViolation(f"peer id with hash function {code:#x}")
        return cls(bytes(data))

    @classmethod
    def from_public_key(cls, key: PublicKey) -> "PeerId":
        """The id of a key."""
        marshalled = key.marshal()
        if len(marshalled) > INLINE_LIMIT:
            return cls(multihash.sha2_256(marshalled))
        peer_id = cls(multihash.wrap(multihash.IDENTITY, marshalled))
        peer_id._public_key = key
        return peer_id

    @classmethod
    def parse(cls, text: str) -> "PeerId":
        """The id of a text: base 58 (`12D3KooW…`, `Qm…`), or a CID of codec libp2p-key in any multibase.

        Raises ProtocolViolation.
        """
        if len(text) > _TEXT_LIMIT:
            raise ProtocolViolation(f"peer id of {len(text)} characters is too long")
        if text.startswith(("1", "Qm")):
            return cls.from_bytes(multibase.base58_decode(text))
        cid = Cid.parse(text)
        if cid.codec != LIBP2P_KEY:
            raise ProtocolViolation(f"CID with codec {cid.codec:#x} is no peer id")
        return cls.from_bytes(cid.multihash)

    def public_key(self) -> PublicKey | None:
        """The key that the id holds, or None where the id is a hash of it.

        Raises ProtocolViolation where the content is no key, or not in the canonical form: no connection ever proves such an id.
        """
        if self._public_key is None and self._bytes[0] == multihash.IDENTITY:
            key = PublicKey.unmarshal(self._bytes[2:])
            if key.marshal() != self._bytes[2:]:
                raise ProtocolViolation("the key in the peer id is not in its canonical form")
            self._public_key = key
        return self._public_key

    def to_cid(self) -> Cid:
        """The id as CIDv1; `to_cid().encode("base36")` is the form of IPNS names."""
        return Cid(1, LIBP2P_KEY, self._bytes)

    def __reduce__(self) -> tuple[object, ...]:
        # The bytes alone: hashes of bytes differ from process to process, and keys of OpenSSL can't be pickled.
        return PeerId, (self._bytes,)

    def __bytes__(self) -> bytes:
        return self._bytes

    def __str__(self) -> str:
        if self._text is None:
            self._text = multibase.base58_encode(self._bytes)
        return self._text

    def __repr__(self) -> str:
        return f"PeerId({self})"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, PeerId) and self._bytes == other._bytes)

    def __hash__(self) -> int:
        return self._hash


AnyPeer = PeerId | str


def peer_of(peer: AnyPeer) -> PeerId:
    """A peer by its id or the text of it, as callers name it; `PeerId.parse` is for what peers name.

    Raises LocalError for all else, addresses included.
    """
    if isinstance(peer, PeerId):
        return peer
    text = str(peer)
    if text.startswith("/"):
        raise LocalError(f"{text[:128]!a} is an address, and no peer id: `node.dial` it first, which returns the peer id")
    if not isinstance(peer, str):
        raise LocalError(f"a peer is named by its PeerId or the text of it, not by a {type(peer).__name__}")
    try:
        return PeerId.parse(text)
    except ProtocolViolation as error:
        raise LocalError(f"{text[:128]!a} is no whole peer id, such as 12D3KooW… or Qm…: {error}") from None


def peers_of(peers: Iterable[AnyPeer]) -> list[PeerId]:
    """Several peers, as `peer_of` one. Raises LocalError for a single one, whose text would be taken for a list of letters."""
    if isinstance(peers, str | PeerId):
        raise LocalError(f"a list of peers is wanted, be it of one: [{str(peers)!r}]")
    return [peer_of(peer) for peer in peers]

"""Identity keys: sign, verify, and libp2p's protobuf form of them.

The protobuf form is canonical: both fields always written, in order, minimal. What is read is parsed and written again, so two
encodings of one key give one `marshal()` and thereby one peer id. Sizes and RSA parameters are checked before OpenSSL sees them.
Ed25519 is handled here; the modules of the other types are loaded on first use, which saves every program 10 ms of import.

Spec: libp2p/specs peer-ids, "Keys" and "How Keys are Encoded and Messages Signed".
"""

from typing import Literal, final, get_args

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cortexnet.errors import LocalError, MessageTooLarge, ProtocolViolation
from cortexnet.identity.algorithm import Signer, Verifier
from cortexnet.protobuf import BYTES, VARINT, Field, Schema, field_bytes, field_varint

KeyType = Literal["rsa", "ed25519", "secp256k1", "ecdsa"]
"""In the order of their numbers on the wire, 0 to 3."""

PUBLIC_SIZE_LIMIT = 2_048
"""Bytes of a marshalled public key; RSA with 8192 bits, the largest there is, has 1,066."""
PRIVATE_SIZE_LIMIT = 8_192
"""Bytes of a marshalled private key; RSA with 8192 bits has about 4,700."""

_TYPES: tuple[KeyType, ...] = get_args(KeyType)
_NUMBERS = {name: number for number, name in enumerate(_TYPES)}
_PUBLIC = Schema("public key", Field(1, VARINT), Field(2, BYTES))
_PRIVATE = Schema("private key", Field(1, VARINT), Field(2, BYTES))


@final
class PublicKey:
    """A key that verifies. Immutable; equal if the canonical bytes are. Made by `unmarshal` or `PrivateKey.public_key`."""

    __slots__ = ("_key_type", "_marshalled", "_verifier")

    def __init__(self, key_type: KeyType, data: bytes, verifier: Verifier) -> None:
        self._key_type: KeyType = key_type
        self._marshalled = _marshal(key_type, data)
        self._verifier = verifier

    @classmethod
    def unmarshal(cls, data: bytes) -> "PublicKey":
        """The key in its protobuf form. Raises ProtocolViolation, or MessageTooLarge above PUBLIC_SIZE_LIMIT."""
        if len(data) > PUBLIC_SIZE_LIMIT:
            raise MessageTooLarge("public key", len(data), PUBLIC_SIZE_LIMIT)
        key_type, content = _fields(_PUBLIC, data)
        try:
            return cls(key_type, *_load_public(key_type, content))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ProtocolViolation(f"{key_type} public key: {error}") from None

    @property
    def key_type(self) -> KeyType:
        """Which algorithm."""
        return self._key_type

    def marshal(self) -> bytes:
        """The canonical protobuf form, of which peer ids are made."""
        return self._marshalled

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether the holder of the private key signed `data`. Never raises, whatever the signature is."""
        try:
            self._verifier(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def __reduce__(self) -> tuple[object, ...]:
        return PublicKey.unmarshal, (self._marshalled,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self._marshalled == other._marshalled

    def __hash__(self) -> int:
        return hash(self._marshalled)

    def __repr__(self) -> str:
        return f"PublicKey({self._key_type}, {self._marshalled.hex()})"


@final
class PrivateKey:
    """A key that signs. Immutable; its repr shows no secret. Made by `generate` or `unmarshal`."""

    __slots__ = ("_marshalled", "_public_key", "_signer")

    def __init__(self, data: bytes, signer: Signer, public_key: PublicKey) -> None:
        self._marshalled = _marshal(public_key.key_type, data)
        self._signer = signer
        self._public_key = public_key

    @classmethod
    def generate(cls, key_type: KeyType = "ed25519") -> "PrivateKey":
        """A new key: RSA of 2048 bits, ECDSA on P-256. Raises LocalError for an unknown type."""
        if key_type == "ed25519":
            return _ed25519_private(Ed25519PrivateKey.generate())
        if key_type == "rsa":
            from cortexnet.identity import rsa

            return _load_private(key_type, rsa.generate())
        if key_type in ("ecdsa", "secp256k1"):
            from cortexnet.identity import ecdsa

            return _load_private(key_type, ecdsa.generate() if key_type == "ecdsa" else ecdsa.generate_secp256k1())
        raise LocalError(f"key type {key_type!r} is none of {', '.join(_TYPES)}")

    @classmethod
    def unmarshal(cls, data: bytes) -> "PrivateKey":
        """The key in its protobuf form. Raises LocalError: private keys never come from a peer."""
        if len(data) > PRIVATE_SIZE_LIMIT:
            raise LocalError(f"a private key of {len(data)} bytes is over the limit of {PRIVATE_SIZE_LIMIT}")
        try:
            return _load_private(*_fields(_PRIVATE, data))
        except (ProtocolViolation, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise LocalError(f"not a private key in libp2p's protobuf form: {error}") from None

    @property
    def key_type(self) -> KeyType:
        """Which algorithm."""
        return self._public_key.key_type

    @property
    def public_key(self) -> PublicKey:
        """The other half."""
        return self._public_key

    def marshal(self) -> bytes:
        """The canonical protobuf form: the secret itself."""
        return self._marshalled

    def sign(self, data: bytes) -> bytes:
        """A signature of `data` that `public_key` verifies."""
        return self._signer(data)

    def __repr__(self) -> str:
        return f"PrivateKey({self.key_type})"


def _marshal(key_type: KeyType, data: bytes) -> bytes:
    # The type is written also where it is 0 (RSA): proto2 requires presence, and the peer id depends on it.
    return field_varint(1, _NUMBERS[key_type]) + field_bytes(2, data)


def _fields(schema: Schema, data: bytes) -> tuple[KeyType, bytes]:
    number, content = -1, None
    for field, value, found in schema.read(data):
        if field == 1:
            number = value
        else:
            content = found
    if number == -1 or content is None:
        raise ProtocolViolation(f"{schema.name} without type or data")
    if number >= len(_TYPES):
        raise ProtocolViolation(f"{schema.name} of unknown type {number}")
    return _TYPES[number], content


def _load_public(key_type: KeyType, data: bytes) -> tuple[bytes, Verifier]:
    """The canonical content and what verifies with it. Raises ValueError or UnsupportedAlgorithm."""
    if key_type == "ed25519":
        return data, Ed25519PublicKey.from_public_bytes(data).verify
    if key_type == "rsa":
        from cortexnet.identity import rsa

        return rsa.load_public(data)
    from cortexnet.identity import ecdsa

    return ecdsa.load_public(data) if key_type == "ecdsa" else ecdsa.load_secp256k1_public(data)


def _load_private(key_type: KeyType, data: bytes) -> PrivateKey:
    if key_type == "ed25519":
        return _load_ed25519_private(data)
    if key_type == "rsa":
        from cortexnet.identity import rsa

        content, signer, public = rsa.load_private(data)
    else:
        from cortexnet.identity import ecdsa

        load = ecdsa.load_private if key_type == "ecdsa" else ecdsa.load_secp256k1_private
        content, signer, public = load(data)
    return PrivateKey(content, signer, PublicKey(key_type, *_load_public(key_type, public)))


def _load_ed25519_private(data: bytes) -> PrivateKey:
    """Seed and public half: 64 bytes, or 96 as old releases wrote it, with the public half twice."""
    if len(data) not in (64, 96):
        raise ValueError(f"an Ed25519 private key has 64 bytes, not {len(data)}")
    key = _ed25519_private(Ed25519PrivateKey.from_private_bytes(data[:32]))
    # Signing under a public half that is not the seed's would give the seed away.
    if data[32:] != key.marshal()[-32:] * (len(data) // 32 - 1):
        raise ValueError("the public half is not that of the seed")
    return key


def _ed25519_private(key: Ed25519PrivateKey) -> PrivateKey:
    public = key.public_key()
    raw = public.public_bytes_raw()
    return PrivateKey(key.private_bytes_raw() + raw, key.sign, PublicKey("ed25519", raw, public.verify))

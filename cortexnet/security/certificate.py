"""The certificate of libp2p, by which TLS and QUIC prove who is at the other end.

It is self-signed with a key of its own, and carries in an extension the node's identity key and that key's signature of the
certificate's key. That the peer holds the certificate's key is proven by the handshake; all else is checked here.

What a peer sends is walked through by a strict reader of ours before the library sees it: what is not DER, not one of the few
algorithms, or of an unreasonable size never gets further.

Spec: libp2p specs, tls/; RFC 5280, section 4.1.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from cortexnet.errors import HandshakeFailed, MessageTooLarge, PeerIdMismatch, ProtocolViolation
from cortexnet.identity.keys import PrivateKey, PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security import certificate_signature
from cortexnet.security.der import BIT_STRING, BOOLEAN, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, DerReader, one

MAX_CERTIFICATE = 16_384
"""Bytes of a certificate: with the largest RSA keys all round it has 4 KiB."""
MAX_REMEMBERED = 256
"""Verified certificates kept per node, less than 1 KiB each."""
SIGNATURE_PREFIX = b"libp2p-tls-handshake:"
EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.53594.1.1")

_EXTENSION = bytes.fromhex("2b0601040183a25a0101")
_BACKDATED = timedelta(hours=1)
"""Clocks differ, and a certificate that is not valid yet is refused."""
_VALIDITY = timedelta(days=36_525)
_VERSION_3 = bytes.fromhex("020102")
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_TRUE = b"\xff"


@final
@dataclass(frozen=True, slots=True)
class NodeCertificate:
    """What a node shows in its handshakes; made once, kept in memory alone."""

    der: bytes
    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey
    """Of the certificate, not of the node."""


def create_certificate(identity: PrivateKey, *, now: datetime) -> NodeCertificate:
    """A certificate with a fresh P-256 key, valid from an hour before `now` (with its time zone) for a hundred years.

    The libp2p extension is the only one, and not critical: js-libp2p looks at the first alone, rust-libp2p refuses critical ones
    that it does not know.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject_key = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    extension = _encode(identity.public_key.marshal(), identity.sign(SIGNATURE_PREFIX + subject_key))
    # The name tells nothing; some stacks refuse an empty one.
    name = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, str(x509.random_serial_number()))])
    begin = now.astimezone(UTC).replace(microsecond=0) - _BACKDATED
    builder = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + _VALIDITY)
        .add_extension(x509.UnrecognizedExtension(EXTENSION, extension), critical=False)
    )
    certificate = builder.sign(key, SHA256())
    return NodeCertificate(certificate.public_bytes(Encoding.DER), certificate, key)


def verify_chain(chain: Sequence[bytes], *, expected: PeerId | None, now: datetime) -> tuple[PeerId, PublicKey]:
    """Who is behind a certificate: `chain` has to be that one, in DER.

    Whether the peer holds its key is for the handshake to find out. Raises PeerIdMismatch where it is another than `expected`
    (None: whoever it is), and HandshakeFailed for all else. `now` has its time zone.
    """
    return _verify(_only(chain)).accepted(expected, now)


@final
class KnownCertificates:
    """Verifies as `verify_chain` does, and remembers good certificates: the peers of a node keep theirs, and come again.

    That is safe: whether a certificate proves an identity never changes, but for its dates, which are looked at each time, and
    that the peer holds its key is proven by each handshake. Two signatures less are 0.2 ms. A flood of identities drives others
    out of the memory, and they are verified again.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, _Verified] = {}

    def verify_chain(self, chain: Sequence[bytes], *, expected: PeerId | None, now: datetime) -> tuple[PeerId, PublicKey]:
        """See `verify_chain`."""
        der = _only(chain)
        digest = hashlib.sha256(der).digest()
        verified = self._known.pop(digest, None)
        if verified is None:
            verified = _verify(der)
            if len(self._known) >= MAX_REMEMBERED:
                del self._known[next(iter(self._known))]
        self._known[digest] = verified  # at the end: what was used last goes last
        return verified.accepted(expected, now)


@final
@dataclass(slots=True)
class _Verified:
    """A certificate that proves an identity, at its time."""

    peer_id: PeerId
    public_key: PublicKey
    begin: datetime
    end: datetime

    def accepted(self, expected: PeerId | None, now: datetime) -> tuple[PeerId, PublicKey]:
        if not self.begin <= now <= self.end:
            raise HandshakeFailed(f"the certificate of {self.peer_id} is not valid at {now:%Y-%m-%d %H:%M:%S %Z}")
        # Compared after the signatures: the error must name who answered, not who somebody claimed to be.
        if expected is not None and self.peer_id != expected:
            raise PeerIdMismatch(expected, self.peer_id)
        return self.peer_id, self.public_key


def _only(chain: Sequence[bytes]) -> bytes:
    if len(chain) != 1:
        raise HandshakeFailed(f"the peer sent {len(chain)} certificates instead of one")
    der = chain[0]
    if len(der) > MAX_CERTIFICATE:
        raise HandshakeFailed(f"the peer's certificate of {len(der)} bytes is over the limit of {MAX_CERTIFICATE}")
    return der


def _verify(der: bytes) -> _Verified:
    """All but the dates."""
    try:
        claim = _read(der)
        certificate = x509.load_der_x509_certificate(der)  # a second opinion on the structure, and what times mean
        public_key = PublicKey.unmarshal(claim.identity_key)
        certificate_signature.verify(claim.algorithm, claim.subject_key, claim.signature, claim.signed)
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except InvalidSignature:
        raise HandshakeFailed("the peer's certificate is not signed with its own key") from None
    except (ValueError, UnsupportedAlgorithm, ProtocolViolation, MessageTooLarge) as error:
        raise HandshakeFailed(f"unacceptable certificate of the peer: {error}") from error
    peer_id = PeerId.from_public_key(public_key)
    if not public_key.verify(SIGNATURE_PREFIX + claim.subject_key, claim.identity_signature):
        raise HandshakeFailed(f"somebody claims to be {peer_id} without its signature of the certificate's key")
    return _Verified(peer_id, public_key, begin, end)


@final
@dataclass(slots=True)
class _Claim:
    """What a certificate says, nothing of it verified. Of names and serial number nothing depends on what they are."""

    signed: bytes
    algorithm: bytes
    signature: bytes
    subject_key: bytes
    identity_key: bytes
    identity_signature: bytes


def _read(der: bytes) -> _Claim:
    outer = one(der, SEQUENCE)
    signed = outer.take_whole(SEQUENCE)
    algorithm = outer.take(SEQUENCE)
    signature = outer.take(BIT_STRING)
    outer.finish()
    if signature[:1] != b"\0":
        raise ValueError("the signature is no whole number of bytes")
    inner = one(signed, SEQUENCE)
    _read_head(inner, algorithm)
    subject_key = inner.take_whole(SEQUENCE)
    extensions = one(inner.take(_EXTENSIONS), SEQUENCE)
    inner.finish()
    return _Claim(signed, algorithm, signature[1:], subject_key, *_identity(extensions))


def _read_head(inner: DerReader, algorithm: bytes) -> None:
    """What comes before the key: version, serial number, algorithm, issuer, validity, subject."""
    if inner.take(_VERSION) != _VERSION_3:
        raise ValueError("the version is not 3")
    serial = inner.take(INTEGER)
    if not serial.strip(b"\0") or serial[0] >= 0x80:
        raise ValueError("the serial number is not positive")
    if inner.take(SEQUENCE) != algorithm:
        raise ValueError("it names two signature algorithms")
    for _ in ("issuer", "validity", "subject"):
        inner.take(SEQUENCE)


def _identity(extensions: DerReader) -> tuple[bytes, bytes]:
    """Identity key and signature from the one extension that has them. Others are ignored unless critical."""
    found: list[bytes] = []
    while not extensions.is_empty:
        extension = DerReader(extensions.take(SEQUENCE))
        oid = extension.take(OBJECT_IDENTIFIER)
        is_critical = extension.next_is(BOOLEAN)
        if is_critical and extension.take(BOOLEAN) != _TRUE:
            raise ValueError("an extension is critical in a form that is not DER")
        value = extension.take(OCTET_STRING)
        extension.finish()
        if oid == _EXTENSION:
            found.append(value)
        elif is_critical:
            raise ValueError(f"it has a critical extension that is not known here ({oid.hex()})")
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} libp2p extensions instead of one")
    signed_key = one(found[0], SEQUENCE)
    identity_key, signature = signed_key.take(OCTET_STRING), signed_key.take(OCTET_STRING)
    signed_key.finish()
    return identity_key, signature


def _encode(identity_key: bytes, signature: bytes) -> bytes:
    return _element(SEQUENCE, _element(OCTET_STRING, identity_key) + _element(OCTET_STRING, signature))


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content

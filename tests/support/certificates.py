"""Certificates of every shape, honest or not, each signed with its own key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PSS, PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from cortexnet.identity.keys import PrivateKey
from cortexnet.security.certificate import EXTENSION, SIGNATURE_PREFIX, NodeCertificate

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anybody")])
P256 = ec.generate_private_key(ec.SECP256R1())

CertificateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | rsa.RSAPrivateKey


def subject_key(key: CertificateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def element(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2) if size > 255 else bytes([0x81, size])
    return bytes([tag]) + length + content


def signed_key(identity_key: bytes, signature: bytes) -> bytes:
    return element(0x30, element(4, identity_key) + element(4, signature))


@dataclass(kw_only=True)
class Forge:
    """What a certificate is made of; every field that is left alone is as it should be."""

    identity: PrivateKey
    key: CertificateKey = P256
    hash: SHA256 | SHA384 | SHA512 | None = None
    padding: PSS | PKCS1v15 | None = None
    extension: bytes | None = None
    critical: bool = False
    before: Sequence[tuple[x509.ExtensionType, bool]] = ()
    after: Sequence[tuple[x509.ExtensionType, bool]] = ()
    begin: datetime = NOW - timedelta(hours=1)
    end: datetime = NOW + timedelta(days=1)

    def proof(self) -> bytes:
        """The content of the libp2p extension."""
        return signed_key(self.identity.public_key.marshal(), self.identity.sign(SIGNATURE_PREFIX + subject_key(self.key)))

    def make(self) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder(NAME, NAME)
            .public_key(self.key.public_key())
            .serial_number(77)
            .not_valid_before(self.begin)
            .not_valid_after(self.end)
        )
        extension = x509.UnrecognizedExtension(EXTENSION, self.proof() if self.extension is None else self.extension)
        for value, critical in (*self.before, (extension, self.critical), *self.after):
            builder = builder.add_extension(value, critical)
        if isinstance(self.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
            return builder.sign(self.key, None)
        return builder.sign(self.key, self.hash or SHA256(), rsa_padding=self.padding)

    def der(self) -> bytes:
        return self.make().public_bytes(Encoding.DER)

    def node(self) -> NodeCertificate:
        """What a node would show; for keys that TLS of ours can use."""
        certificate = self.make()
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        return NodeCertificate(certificate.public_bytes(Encoding.DER), certificate, self.key)


def mutated(data: bytes, random: Random) -> bytes:
    """`data` with one thing changed: a bit, a byte, a piece cut out, doubled, moved, or of something else."""
    kind = random.randrange(6)
    at = random.randrange(len(data))
    size = random.randint(1, 40)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + data[at + size :]
    if kind == 3:
        return data[: at + size] + data[at:]
    if kind == 4:
        other = random.randrange(len(data))
        return data[:at] + data[other : other + size] + data[at + size :]
    return data[:at] + random.randbytes(size) + data[at + size * random.randrange(2) :]

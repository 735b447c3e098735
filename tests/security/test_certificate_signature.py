"""Signatures of certificates: key and algorithm have to fit. Whole certificates are in test_certificate."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from cortexnet.security.certificate_signature import verify
from tests.support.certificates import CertificateKey, subject_key

P256, ED25519 = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65_537, 2_048)
ECDSA_SHA256, EDDSA, RSA_SHA256 = map(bytes.fromhex, ("06082a8648ce3d040302", "06032b6570", "06092a864886f70d01010b0500"))


def test_a_signature_is_verified() -> None:
    signature = P256.sign(b"data", ec.ECDSA(SHA256()))
    verify(ECDSA_SHA256, subject_key(P256), signature, b"data")
    with pytest.raises(InvalidSignature):
        verify(ECDSA_SHA256, subject_key(P256), signature, b"other data")


@pytest.mark.parametrize("algorithm", [ECDSA_SHA256, EDDSA, RSA_SHA256])
@pytest.mark.parametrize("key", [P256, ED25519, RSA])
def test_a_key_of_another_kind_than_the_algorithm_is_refused(algorithm: bytes, key: CertificateKey) -> None:
    fitting = {ECDSA_SHA256: P256, EDDSA: ED25519, RSA_SHA256: RSA}[algorithm] is key
    with pytest.raises(InvalidSignature if fitting else ValueError):
        verify(algorithm, subject_key(key), bytes(64), b"data")


@pytest.mark.parametrize("algorithm", [b"", bytes(1_000), ECDSA_SHA256 + b"\5\0"])
def test_an_unknown_algorithm_is_refused(algorithm: bytes) -> None:
    with pytest.raises(ValueError, match="not accepted"):
        verify(algorithm, subject_key(P256), b"", b"")

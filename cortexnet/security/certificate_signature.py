"""Signatures of certificates: ECDSA on the NIST curves, Ed25519, RSA with PSS or PKCS#1 v1.5, each with SHA-256 or longer.

Algorithms are recognised by their whole DER, parameters included, and keys are loaded only from the canonical form that identity
keys have; no curve given by its parameters, no RSA key of a cost that we refuse, and no MD5 or SHA-1 comes by.

Spec: libp2p specs, tls/, "Peer Authentication"; RFC 4055, RFC 5758, RFC 8410.
"""

from collections.abc import Callable
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, AsymmetricPadding, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from cortexnet.identity import ecdsa, rsa
from cortexnet.identity.algorithm import Verifier

_ED25519_KEY = bytes.fromhex("302a300506032b6570032100")  # all of SubjectPublicKeyInfo before the key's 32 bytes
_SHA2 = "6086480165030402"
_PSS = f"06092a864886f70d01010a3034a00f300d0609{_SHA2}{{0}}0500a11c301a06092a864886f70d010108300d0609{_SHA2}{{0}}0500a20302"
"""Hash, mask and salt as RFC 4055 has them; the salt's length follows."""


def verify(algorithm: bytes, subject_key: bytes, signature: bytes, data: bytes) -> None:
    """Return if the holder of `subject_key`, a SubjectPublicKeyInfo, signed `data`.

    `algorithm` is the content of an AlgorithmIdentifier. Raises InvalidSignature, ValueError or UnsupportedAlgorithm.
    """
    load = _ALGORITHMS.get(algorithm)
    if load is None:
        raise ValueError(f"signature algorithm {algorithm[:32].hex()} is not accepted")
    load(subject_key)(signature, data)


def _ecdsa(hash_function: HashAlgorithm, subject_key: bytes) -> Verifier:
    ecdsa.load_public(subject_key)
    key = load_der_public_key(subject_key)
    assert isinstance(key, EllipticCurvePublicKey)  # so says the canonical form
    scheme = ECDSA(hash_function)
    return lambda signature, data: key.verify(signature, data, scheme)


def _rsa(hash_function: HashAlgorithm, padding: AsymmetricPadding, subject_key: bytes) -> Verifier:
    rsa.load_public(subject_key)
    key = load_der_public_key(subject_key)
    assert isinstance(key, RSAPublicKey)  # so says the canonical form
    return lambda signature, data: key.verify(signature, data, padding, hash_function)


def _ed25519(subject_key: bytes) -> Verifier:
    if not subject_key.startswith(_ED25519_KEY):
        raise ValueError("the key is no Ed25519 key")
    return Ed25519PublicKey.from_public_bytes(subject_key[len(_ED25519_KEY) :]).verify


def _pss(hash_function: HashAlgorithm) -> PSS:
    return PSS(MGF1(hash_function), hash_function.digest_size)


_ALGORITHMS: dict[bytes, Callable[[bytes], Verifier]] = {
    bytes.fromhex(content): load
    for content, load in (
        ("06082a8648ce3d040302", partial(_ecdsa, SHA256())),
        ("06082a8648ce3d040303", partial(_ecdsa, SHA384())),
        ("06082a8648ce3d040304", partial(_ecdsa, SHA512())),
        ("06032b6570", _ed25519),
        ("06092a864886f70d01010b0500", partial(_rsa, SHA256(), PKCS1v15())),
        ("06092a864886f70d01010c0500", partial(_rsa, SHA384(), PKCS1v15())),
        ("06092a864886f70d01010d0500", partial(_rsa, SHA512(), PKCS1v15())),
        (_PSS.format("01") + "0120", partial(_rsa, SHA256(), _pss(SHA256()))),
        (_PSS.format("02") + "0130", partial(_rsa, SHA384(), _pss(SHA384()))),
        (_PSS.format("03") + "0140", partial(_rsa, SHA512(), _pss(SHA512()))),
    )
}

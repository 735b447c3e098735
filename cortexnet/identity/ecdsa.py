"""ECDSA identity keys: the NIST curves in DER (type ECDSA), and secp256k1 as point and scalar. Signatures are DER over SHA-256.

Spec: libp2p/specs peer-ids, "ECDSA" and "Secp256k1"; RFC 5480, RFC 5915.
"""

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_der_private_key

from cortexnet.identity.algorithm import Signer, Verifier

# All of SubjectPublicKeyInfo before the uncompressed point. go and rust take no other form of point inside of it.
_CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"): ec.SECP256R1(),
    bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"): ec.SECP384R1(),
    bytes.fromhex("30819b301006072a8648ce3d020106052b8104002303818600"): ec.SECP521R1(),
}
_SECP256K1 = ec.SECP256K1()
_SECP256K1_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_SCHEME = ec.ECDSA(SHA256())


def load_public(data: bytes) -> tuple[bytes, Verifier]:
    """The canonical content of an ECDSA key on P-256, P-384 or P-521, and what verifies with it. Raises ValueError."""
    for header, curve in _CURVES.items():
        size = len(header) + 1 + 2 * ((curve.key_size + 7) // 8)
        if len(data) == size and data.startswith(header):
            return data, _verifier(ec.EllipticCurvePublicKey.from_encoded_point(curve, data[len(header) :]))
    raise ValueError("this is no point on P-256, P-384 or P-521 in DER")


def load_private(data: bytes) -> tuple[bytes, Signer, bytes]:
    """The canonical content, what signs with it, and the content of the public key. Raises ValueError."""
    key = load_der_private_key(data, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("this is no ECDSA key")

    def sign(message: bytes) -> bytes:
        return key.sign(message, _SCHEME)

    return _encode(key), sign, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def load_secp256k1_public(data: bytes) -> tuple[bytes, Verifier]:
    """The compressed point, whichever of the two forms came, and what verifies with it. Raises ValueError."""
    key = ec.EllipticCurvePublicKey.from_encoded_point(_SECP256K1, data)
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint), _verifier(key)


def load_secp256k1_private(data: bytes) -> tuple[bytes, Signer, bytes]:
    """The scalar, what signs with it, and the content of the public key. Raises ValueError."""
    if len(data) != 32:
        raise ValueError(f"a secp256k1 private key has 32 bytes, not {len(data)}")
    key = ec.derive_private_key(int.from_bytes(data), _SECP256K1)
    scheme = _repeatable_scheme()

    def sign(message: bytes) -> bytes:
        # Verifiers of the Bitcoin tradition refuse the larger of the two values that s may have.
        r, s = decode_dss_signature(key.sign(message, scheme))
        return encode_dss_signature(r, min(s, _SECP256K1_ORDER - s))

    return data, sign, key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def generate() -> bytes:
    """The content of a new ECDSA key on P-256, the only curve that all stacks take."""
    return _encode(ec.generate_private_key(ec.SECP256R1()))


def generate_secp256k1() -> bytes:
    """The scalar of a new secp256k1 key."""
    return ec.generate_private_key(_SECP256K1).private_numbers().private_value.to_bytes(32)


def _encode(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _verifier(key: ec.EllipticCurvePublicKey) -> Verifier:
    def verify(signature: bytes, message: bytes) -> None:
        key.verify(signature, message, _SCHEME)

    return verify


def _repeatable_scheme() -> ec.ECDSA:
    """RFC 6979, as go and rust sign with secp256k1; OpenSSL has it since 3.2."""
    try:
        return ec.ECDSA(SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        return _SCHEME

"""RSA identity keys, of 2048 to 8192 bits: SubjectPublicKeyInfo and PKCS#1 in DER, signatures by PKCS#1 v1.5 with SHA-256.

The public form is taken apart here rather than by OpenSSL, so that no key of a cost or shape that we refuse ever reaches it. Only
DER is accepted, which is why the bytes read are the canonical ones.

Spec: libp2p/specs peer-ids, "RSA"; RFC 8017, appendix A.1.
"""

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicNumbers, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from cortexnet.identity.algorithm import Signer, Verifier

MIN_BITS, MAX_BITS = 2_048, 8_192
MAX_EXPONENT_BITS = 32
GENERATED_BITS = 2_048

_INTEGER, _BIT_STRING, _SEQUENCE = 0x02, 0x03, 0x30
_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")  # rsaEncryption, NULL: go and rust insist on the NULL
_PADDING, _HASH = PKCS1v15(), SHA256()


def load_public(data: bytes) -> tuple[bytes, Verifier]:
    """The canonical content and what verifies with it. Raises ValueError."""
    modulus, exponent = _numbers(data)
    if not MIN_BITS <= modulus.bit_length() <= MAX_BITS:
        raise ValueError(f"a modulus of {modulus.bit_length()} bits is outside of {MIN_BITS} to {MAX_BITS}")
    if exponent < 3 or not exponent & 1 or exponent.bit_length() > MAX_EXPONENT_BITS:
        raise ValueError("the exponent is not an odd number of at most 32 bits")
    if not modulus & 1:
        raise ValueError("the modulus is even")
    key = RSAPublicNumbers(exponent, modulus).public_key()

    def verify(signature: bytes, message: bytes) -> None:
        key.verify(signature, message, _PADDING, _HASH)

    return data, verify


def load_private(data: bytes) -> tuple[bytes, Signer, bytes]:
    """The canonical content, what signs with it, and the content of the public key. Raises ValueError."""
    key = load_der_private_key(data, None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("this is no RSA key")

    def sign(message: bytes) -> bytes:
        return key.sign(message, _PADDING, _HASH)

    numbers = key.public_key().public_numbers()
    return _encode(key), sign, _subject_public_key_info(numbers.n, numbers.e)


def generate() -> bytes:
    """The content of a new private key."""
    return _encode(generate_private_key(65_537, GENERATED_BITS))


def _encode(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _numbers(data: bytes) -> tuple[int, int]:
    """Modulus and exponent of a SubjectPublicKeyInfo that is the whole of `data`."""
    outer = _content(data, _SEQUENCE, 0)[0]
    if not outer.startswith(_ALGORITHM):
        raise ValueError("the algorithm is not rsaEncryption")
    bits = _content(outer, _BIT_STRING, len(_ALGORITHM))[0]
    pair = _content(bits, _SEQUENCE, 1)[0]
    modulus, position = _content(pair, _INTEGER, 0)
    exponent, _ = _content(pair, _INTEGER, position)
    numbers = int.from_bytes(modulus, signed=True), int.from_bytes(exponent, signed=True)
    if min(numbers) < 0 or _subject_public_key_info(*numbers) != data:
        raise ValueError("the encoding is not DER")
    return numbers


def _content(data: bytes, tag: int, position: int) -> tuple[bytes, int]:
    """What the element at `position` holds, and where it ends; lax, since the caller compares the whole with its DER form."""
    size = data[position + 1] if data[position : position + 1] == bytes([tag]) and position + 1 < len(data) else -1
    position += 2
    if size >= 0x80:
        width = size & 0x7F
        size = int.from_bytes(data[position : position + width])
        position += width
    if size < 0 or position + size > len(data):
        raise ValueError("the encoding is not DER")
    return data[position : position + size], position + size


def _subject_public_key_info(modulus: int, exponent: int) -> bytes:
    pair = _element(_SEQUENCE, _integer(modulus) + _integer(exponent))
    return _element(_SEQUENCE, _ALGORITHM + _element(_BIT_STRING, b"\0" + pair))


def _integer(value: int) -> bytes:
    return _element(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1))  # a leading zero bit: positive


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content

"""Keys of the four types: golden vectors, the canonical form, sizes, and signatures."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.identity import ecdsa as ecdsa_keys
from cortexnet.identity import rsa as rsa_keys
from cortexnet.identity.keys import PRIVATE_SIZE_LIMIT, PUBLIC_SIZE_LIMIT, KeyType, PrivateKey, PublicKey
from cortexnet.protobuf import field_bytes, field_varint

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "keys.json").read_text())
GOLDEN = {vector["type"]: vector for vector in VECTORS["keys"]}
PAIRS = VECTORS["keys"] + VECTORS["spec"]
TYPES: list[KeyType] = ["rsa", "ed25519", "secp256k1", "ecdsa"]
NUMBER = {"rsa": 0, "ed25519": 1, "secp256k1": 2, "ecdsa": 3}
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def public_bytes(key_type: str, data: bytes) -> bytes:
    return field_varint(1, NUMBER[key_type]) + field_bytes(2, data)


def golden_public(key_type: str) -> PublicKey:
    return PublicKey.unmarshal(bytes.fromhex(GOLDEN[key_type]["public"]))


def golden_private(key_type: str) -> PrivateKey:
    return PrivateKey.unmarshal(bytes.fromhex(GOLDEN[key_type]["private"]))


def content(key_type: str) -> bytes:
    """What field 2 of the golden public key holds."""
    whole = bytes.fromhex(GOLDEN[key_type]["public"])
    return whole[5 if key_type == "rsa" else 4 :]


@pytest.mark.parametrize("vector", PAIRS, ids=lambda vector: vector["type"])
def test_the_public_key_of_a_golden_private_key_is_the_golden_one(vector: dict[str, str]) -> None:
    private = PrivateKey.unmarshal(bytes.fromhex(vector["private"]))
    assert private.public_key.marshal().hex() == vector["public"].lower()
    assert private.marshal().hex() == vector["private"].lower()
    assert PublicKey.unmarshal(bytes.fromhex(vector["public"])) == private.public_key


@pytest.mark.parametrize("key_type", TYPES)
def test_a_golden_signature_verifies(key_type: KeyType) -> None:
    signature = bytes.fromhex(GOLDEN[key_type]["signature"])
    assert golden_public(key_type).verify(b"golden", signature)
    assert not golden_public(key_type).verify(b"golden!", signature)


@pytest.mark.parametrize("key_type", ["rsa", "ed25519", "secp256k1"])
def test_repeatable_signatures_equal_those_of_go(key_type: KeyType) -> None:
    assert golden_private(key_type).sign(b"golden").hex() == GOLDEN[key_type]["signature"]


@pytest.mark.parametrize("key_type", TYPES)
def test_a_generated_key_signs_verifies_and_survives_marshalling(key_type: KeyType) -> None:
    key = PrivateKey.generate(key_type)
    again = PrivateKey.unmarshal(key.marshal())
    assert key.key_type == again.key_type == again.public_key.key_type == key_type
    assert again.marshal() == key.marshal()
    assert again.public_key == key.public_key
    assert key.public_key.verify(b"data", again.sign(b"data"))


def test_an_unknown_type_is_not_generated() -> None:
    with pytest.raises(LocalError, match="dsa"):
        PrivateKey.generate("dsa")  # type: ignore[arg-type]


@pytest.mark.parametrize("key_type", TYPES)
def test_verify_is_false_for_every_changed_or_cut_signature(key_type: KeyType) -> None:
    key, signature = golden_public(key_type), bytes.fromhex(GOLDEN[key_type]["signature"])
    for index in range(len(signature)):
        changed = signature[:index] + bytes([signature[index] ^ 1]) + signature[index + 1 :]
        assert not key.verify(b"golden", changed)
    for cut in (signature[:-1], signature + b"\0", b"", b"\0" * 64, signature * 3):
        assert not key.verify(b"golden", cut)


@pytest.mark.parametrize("key_type", TYPES)
@given(signature=st.binary(max_size=300), data=st.binary(max_size=20))
def test_verify_never_raises(key_type: KeyType, signature: bytes, data: bytes) -> None:
    assert golden_public(key_type).verify(data, signature) is False


def test_a_key_does_not_verify_what_another_signed() -> None:
    assert not PrivateKey.generate().public_key.verify(b"data", PrivateKey.generate().sign(b"data"))


def test_secp256k1_signatures_have_the_low_s_and_the_high_one_is_accepted() -> None:
    key = golden_private("secp256k1")
    for number in range(20):
        signature = key.sign(bytes([number]))
        r, s = decode_dss_signature(signature)
        assert s <= SECP256K1_ORDER // 2
        assert key.public_key.verify(bytes([number]), encode_dss_signature(r, SECP256K1_ORDER - s))


def test_secp256k1_signs_also_where_openssl_has_no_repeatable_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    make: Callable[..., ec.ECDSA] = ec.ECDSA

    def old(algorithm: object, deterministic_signing: bool = False) -> ec.ECDSA:
        if deterministic_signing:
            raise UnsupportedAlgorithm("OpenSSL before 3.2")
        return make(algorithm)

    monkeypatch.setattr(ecdsa_keys.ec, "ECDSA", old)
    key = golden_private("secp256k1")
    assert key.public_key.verify(b"data", key.sign(b"data"))


# The canonical form


@given(st.permutations([field_varint(1, 1), field_bytes(2, content("ed25519")), field_varint(9, 7), field_bytes(10, b"x")]))
def test_field_order_and_unknown_fields_do_not_change_the_canonical_form(fields: list[bytes]) -> None:
    assert PublicKey.unmarshal(b"".join(fields)).marshal() == public_bytes("ed25519", content("ed25519"))


def test_redundant_varints_do_not_change_the_canonical_form() -> None:
    data = bytes.fromhex("088100" + "12a000") + content("ed25519")
    assert PublicKey.unmarshal(data) == golden_public("ed25519")


def test_an_uncompressed_secp256k1_point_becomes_the_compressed_one() -> None:
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), content("secp256k1"))
    uncompressed = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert PublicKey.unmarshal(public_bytes("secp256k1", uncompressed)) == golden_public("secp256k1")


def test_the_rsa_type_is_written_although_it_is_zero() -> None:
    assert golden_public("rsa").marshal().startswith(b"\x08\x00\x12")


def test_keys_compare_by_their_canonical_bytes() -> None:
    first, second, other = golden_public("ed25519"), golden_public("ed25519"), golden_public("ecdsa")
    assert first == second
    assert len({first, second, other}) == 2
    assert first != other
    assert first != first.marshal()


def test_a_private_keys_repr_shows_no_secret() -> None:
    key = golden_private("ed25519")
    assert repr(key) == "PrivateKey(ed25519)"
    assert repr(key.public_key) == f"PublicKey(ed25519, {GOLDEN['ed25519']['public']})"


# Hostile public keys


@given(st.binary(max_size=200) | st.builds(public_bytes, st.sampled_from(TYPES), st.binary(max_size=200)))
def test_garbage_is_a_key_or_a_remote_error(data: bytes) -> None:
    try:
        key = PublicKey.unmarshal(data)
    except RemoteError:
        return
    assert PublicKey.unmarshal(key.marshal()) == key


@pytest.mark.parametrize("key_type", TYPES)
@given(data=st.data())
def test_a_changed_golden_key_is_a_key_or_a_remote_error(key_type: KeyType, data: st.DataObject) -> None:
    whole = bytearray.fromhex(GOLDEN[key_type]["public"])
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, min(45, len(whole) - 1)))] = data.draw(st.integers(0, 255))
    try:
        key = PublicKey.unmarshal(bytes(whole))
    except RemoteError:
        return
    assert PublicKey.unmarshal(key.marshal()) == key


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "without type or data"),
        (field_varint(1, 1), "without type or data"),
        (field_bytes(2, bytes(32)), "without type or data"),
        (field_varint(1, 4) + field_bytes(2, bytes(32)), "unknown type 4"),
        (field_varint(1, -1) + field_bytes(2, bytes(32)), "unknown type"),
        (field_varint(1, (1 << 32) + 1) + field_bytes(2, bytes(32)), "unknown type"),
        (field_bytes(1, b"") + field_bytes(2, bytes(32)), "wire type 2"),
        (public_bytes("ed25519", bytes(31)), "ed25519 public key"),
        (public_bytes("ed25519", bytes(33)), "ed25519 public key"),
        (public_bytes("secp256k1", b""), "secp256k1 public key"),
        (public_bytes("secp256k1", b"\0"), "secp256k1 public key"),
        (public_bytes("secp256k1", bytes(33)), "secp256k1 public key"),
        (public_bytes("secp256k1", b"\x02" + b"\xff" * 32), "secp256k1 public key"),
        (public_bytes("ecdsa", content("ecdsa")[:-1] + b"\0"), "ecdsa public key"),
        (public_bytes("ecdsa", content("ecdsa")[:-1]), "no point"),
        (public_bytes("ecdsa", content("ecdsa") + b"\0"), "no point"),
        (public_bytes("ecdsa", content("rsa")), "no point"),
        (public_bytes("rsa", content("ecdsa")), "rsaEncryption"),
    ],
)
def test_what_is_no_key_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(ProtocolViolation, match=complaint):
        PublicKey.unmarshal(data)


def test_the_size_is_checked_before_anything_else() -> None:
    padding = field_bytes(15, bytes(PUBLIC_SIZE_LIMIT - len(golden_public("ed25519").marshal()) - 3))
    data = golden_public("ed25519").marshal() + padding
    assert len(data) == PUBLIC_SIZE_LIMIT
    assert PublicKey.unmarshal(data) == golden_public("ed25519")
    with pytest.raises(MessageTooLarge):
        PublicKey.unmarshal(data + b"\0")


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_the_larger_nist_curves_are_accepted(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    encoded = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    private = PrivateKey.unmarshal(public_bytes("ecdsa", encoded))
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert private.public_key.marshal() == public_bytes("ecdsa", public)
    assert private.public_key.verify(b"data", private.sign(b"data"))


@pytest.mark.parametrize("curve", [ec.SECP224R1(), ec.SECP256K1(), ec.BrainpoolP256R1()], ids=lambda curve: curve.name)
def test_other_curves_are_not_ecdsa_identities(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    with pytest.raises(ProtocolViolation, match="no point"):
        PublicKey.unmarshal(public_bytes("ecdsa", key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)))
    with pytest.raises(LocalError):
        PrivateKey.unmarshal(
            public_bytes("ecdsa", key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        )


# RSA: what OpenSSL never gets to see


def test_our_der_of_an_rsa_key_is_that_of_the_library() -> None:
    for modulus, exponent in ((2**2048 - 1, 3), (2**2047 + 1, 65537), (2**8192 - 1, 2**32 - 1), (2**4099 + 1, 257)):
        expected = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        encoded = expected.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert rsa_keys.load_public(encoded)[0] == encoded


def spki(modulus: int, exponent: int) -> bytes:
    return rsa_keys._subject_public_key_info(modulus, exponent)


@pytest.mark.parametrize(("modulus", "exponent"), [(2**2047 + 1, 3), (2**8192 - 1, 2**32 - 1), (2**8192 - 1, 65537)])
def test_rsa_parameters_at_the_limits_are_accepted(modulus: int, exponent: int) -> None:
    key = PublicKey.unmarshal(public_bytes("rsa", spki(modulus, exponent)))
    assert key.verify(b"data", bytes(256)) is False


@pytest.mark.parametrize(
    ("modulus", "exponent", "complaint"),
    [
        (2**2047 - 1, 65537, "2047 bits"),
        (2**8192 + 1, 65537, "8193 bits"),
        (2**2048 - 2, 65537, "even"),
        (2**2048 - 1, 1, "exponent"),
        (2**2048 - 1, 2, "exponent"),
        (2**2048 - 1, 65536, "exponent"),
        (2**2048 - 1, 2**32 + 1, "exponent"),
        (2**2048 - 1, 2**2047 + 1, "exponent"),
    ],
)
def test_rsa_parameters_beyond_the_limits_are_refused(
    modulus: int, exponent: int, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault of CVE-2023-39533 (go-libp2p): a peer's handshake with a huge RSA key kept the node busy for seconds."""
    monkeypatch.setattr(rsa_keys, "RSAPublicNumbers", None)  # not even asked
    with pytest.raises(ProtocolViolation, match=complaint):
        PublicKey.unmarshal(public_bytes("rsa", spki(modulus, exponent)))


def not_der() -> list[bytes]:
    good = content("rsa")
    head = bytes.fromhex("300d06092a864886f70d0101010500")
    body = good[4 + len(head) :]
    return [
        good[:-1],
        good + b"\0",
        b"\x30\x80" + good[4:] + b"\0\0",  # indefinite length
        b"\x30\x83\x00" + good[2:],  # a length with a leading zero
        b"\x31" + good[1:],
        good[:4] + head[:-2] + body,  # without the NULL
        good.replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\xff\x00\x01"),  # a negative exponent
        good[: 4 + len(head) + 4] + b"\x01" + good[4 + len(head) + 5 :],  # an unused bit
        b"\x30",
        b"\x30\x82\x01",
        b"",
    ]


@pytest.mark.parametrize("data", not_der(), ids=lambda data: data[:8].hex())
def test_rsa_keys_not_in_der_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="rsa public key"):
        PublicKey.unmarshal(public_bytes("rsa", data))


# Private keys


def test_the_old_form_of_ed25519_private_keys_is_read_and_written_new() -> None:
    seed_and_public = bytes.fromhex(GOLDEN["ed25519"]["private"])[4:]
    old = public_bytes("ed25519", seed_and_public + seed_and_public[32:])
    assert PrivateKey.unmarshal(old).marshal().hex() == GOLDEN["ed25519"]["private"]


def test_an_rsa_private_key_in_pkcs8_is_read_and_written_as_pkcs1() -> None:
    numbers = rsa_private()
    pkcs8 = numbers.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert PrivateKey.unmarshal(public_bytes("rsa", pkcs8)).marshal().hex() == GOLDEN["rsa"]["private"]


def rsa_private() -> rsa.RSAPrivateKey:
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    key = load_der_private_key(bytes.fromhex(GOLDEN["rsa"]["private"])[5:], None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def encrypted() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


ED25519 = bytes.fromhex(GOLDEN["ed25519"]["private"])[4:]
WRONG_PRIVATE_KEYS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "garbage": lambda: b"\0",
    "too long": lambda: bytes(PRIVATE_SIZE_LIMIT + 1),
    "without data": lambda: field_varint(1, 1),
    "unknown type": lambda: field_varint(1, 9) + field_bytes(2, bytes(64)),
    "a seed alone": lambda: public_bytes("ed25519", ED25519[:32]),
    "another public half": lambda: public_bytes("ed25519", ED25519[:-1] + b"\0"),
    "two different public halves": lambda: public_bytes("ed25519", ED25519 + bytes(32)),
    "scalar 0": lambda: public_bytes("secp256k1", bytes(32)),
    "scalar above the order": lambda: public_bytes("secp256k1", SECP256K1_ORDER.to_bytes(32)),
    "short scalar": lambda: public_bytes("secp256k1", bytes(31)),
    "no DER, ECDSA": lambda: public_bytes("ecdsa", b"garbage"),
    "no DER, RSA": lambda: public_bytes("rsa", b"garbage"),
    "encrypted": lambda: public_bytes("ecdsa", encrypted()),
    "RSA as ECDSA": lambda: public_bytes("ecdsa", bytes.fromhex(GOLDEN["rsa"]["private"])[5:]),
    "ECDSA as RSA": lambda: public_bytes("rsa", bytes.fromhex(GOLDEN["ecdsa"]["private"])[4:]),
    "weak RSA": lambda: public_bytes("rsa", der(rsa.generate_private_key(65537, 1024))),
}


@pytest.mark.parametrize("make", WRONG_PRIVATE_KEYS.values(), ids=WRONG_PRIVATE_KEYS.keys())
def test_what_is_no_private_key_is_a_local_error(make: Callable[[], bytes]) -> None:
    with pytest.raises(LocalError):
        PrivateKey.unmarshal(make())


@pytest.mark.parametrize("key_type", TYPES)
def test_a_public_key_can_be_copied_and_pickled(key_type: KeyType) -> None:
    pair = PrivateKey.generate(key_type)
    signature = pair.sign(b"data")
    for other in (copy.deepcopy(pair.public_key), pickle.loads(pickle.dumps(pair.public_key))):
        assert other == pair.public_key
        assert other.verify(b"data", signature)


def test_a_private_key_is_not_pickled_by_accident() -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(PrivateKey.generate())

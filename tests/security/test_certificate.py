"""The certificate of libp2p: official vectors, our own, and everything for which one must be refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import HandshakeFailed, PeerIdMismatch
from cortexnet.identity.keys import KeyType, PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.security import certificate
from cortexnet.security.certificate import (
    MAX_CERTIFICATE,
    MAX_REMEMBERED,
    SIGNATURE_PREFIX,
    KnownCertificates,
    create_certificate,
    verify_chain,
)
from tests.support.certificates import NOW, P256, Forge, element, mutated, signed_key, subject_key

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "tls.json").read_text())
GOOD = [vector for vector in (*VECTORS["spec"], *VECTORS["go"]) if vector["peer_id"] is not None]
ANNA, EVE = PrivateKey.generate(), PrivateKey.generate()
ANNA_ID = PeerId.from_public_key(ANNA.public_key)
RSA_2048 = rsa.generate_private_key(65_537, 2_048)
DAY = timedelta(days=1)


def who(*chain: bytes, expected: PeerId | None = None, now: datetime = NOW) -> PeerId:
    return verify_chain(chain, expected=expected, now=now)[0]


def refusal(*chain: bytes, now: datetime = NOW) -> str:
    with pytest.raises(HandshakeFailed) as caught:
        who(*chain, now=now)
    assert type(caught.value) is HandshakeFailed
    return str(caught.value)


# --- vectors


@pytest.mark.parametrize("vector", GOOD, ids=lambda vector: str(vector["host_key"]))
def test_certificates_of_all_key_types_prove_their_peer_ids(vector: dict[str, Any]) -> None:
    peer_id = PeerId.parse(vector["peer_id"])
    assert who(bytes.fromhex(vector["certificate"]), expected=peer_id) == peer_id
    with pytest.raises(PeerIdMismatch) as caught:
        who(bytes.fromhex(vector["certificate"]), expected=ANNA_ID)
    assert (caught.value.expected, caught.value.actual) == (ANNA_ID, peer_id)


def test_the_certificate_of_the_spec_that_claims_the_key_of_another_is_refused() -> None:
    assert "somebody claims to be" in refusal(bytes.fromhex(VECTORS["spec"][3]["certificate"]))


# --- our own


@pytest.mark.parametrize("key_type", get_args(KeyType))
def test_our_own_certificate_is_accepted_for_all_key_types(key_type: KeyType) -> None:
    identity = PrivateKey.generate(key_type)
    peer_id, key = verify_chain([create_certificate(identity, now=NOW).der], expected=None, now=NOW)
    assert (peer_id, key) == (PeerId.from_public_key(identity.public_key), identity.public_key)


def test_our_certificate_has_one_extension_and_nothing_that_any_stack_objects_to() -> None:
    made = create_certificate(ANNA, now=NOW)
    assert made.certificate == x509.load_der_x509_certificate(made.der)
    extension = made.certificate.extensions[0]
    assert (len(made.certificate.extensions), extension.critical) == (1, False)
    assert made.certificate.issuer == made.certificate.subject
    assert isinstance(made.certificate.signature_hash_algorithm, SHA256)
    assert isinstance(made.private_key.curve, ec.SECP256R1)
    assert made.private_key.public_key() == made.certificate.public_key()


def test_no_two_certificates_share_key_or_number() -> None:
    one, other = (create_certificate(ANNA, now=NOW).certificate for _ in range(2))
    assert one.serial_number != other.serial_number
    assert one.subject != other.subject
    assert one.public_key() != other.public_key()


def test_our_certificate_is_valid_from_an_hour_ago_for_a_hundred_years() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=-8))).replace(microsecond=17)
    der = create_certificate(ANNA, now=elsewhere).der
    begin, end = NOW - timedelta(hours=1), NOW - timedelta(hours=1) + timedelta(days=36_525)
    for now in (begin, NOW, elsewhere, end):
        assert who(der, now=now) == ANNA_ID
    for now in (begin - timedelta(seconds=1), end + timedelta(seconds=1)):
        assert "not valid at" in refusal(der, now=now)


# --- what else is accepted

ALGORITHMS: dict[str, dict[str, Any]] = {
    "P-256": {"key": P256},
    "P-256 with SHA-512": {"key": P256, "hash": SHA512()},
    "P-384": {"key": ec.generate_private_key(ec.SECP384R1()), "hash": SHA384()},
    "P-521": {"key": ec.generate_private_key(ec.SECP521R1()), "hash": SHA512()},
    "Ed25519": {"key": ed25519.Ed25519PrivateKey.generate()},
    **{
        f"RSA, {type(padding).__name__}, {hash_function.name}": {"key": RSA_2048, "hash": hash_function, "padding": padding}
        for hash_function in (SHA256(), SHA384(), SHA512())
        for padding in (PKCS1v15(), PSS(MGF1(hash_function), hash_function.digest_size))
    },
}
NOT_CRITICAL: list[tuple[x509.ExtensionType, bool]] = [
    (x509.BasicConstraints(True, None), False),
    (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"whatever"), False),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
def test_certificates_of_every_algorithm_of_the_spec_are_accepted(algorithm: dict[str, Any]) -> None:
    der = Forge(identity=ANNA, **algorithm).der()
    assert who(der) == ANNA_ID
    assert refusal(der[:-1] + bytes([der[-1] ^ 1]))


@pytest.mark.parametrize("critical", [False, True])
def test_the_extension_may_be_critical_and_anywhere(critical: bool) -> None:
    for others in ({}, {"before": NOT_CRITICAL}, {"after": NOT_CRITICAL}):
        assert who(Forge(identity=ANNA, critical=critical, **others).der()) == ANNA_ID


# --- what is refused


def test_a_chain_is_one_certificate() -> None:
    der = Forge(identity=ANNA).der()
    assert "0 certificates" in refusal()
    assert "2 certificates" in refusal(der, der)


def test_a_certificate_over_the_limit_is_not_looked_at() -> None:
    def padded(size: int) -> bytes:
        other = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size))
        return Forge(identity=ANNA, key=RSA_2048, after=[(other, False)]).der()  # its signatures are all of one length

    room = MAX_CERTIFICATE - len(padded(10_000)) + 10_000
    for size in (room - 1, room):
        assert who(padded(size)) == ANNA_ID
    assert "over the limit" in refusal(padded(room + 1))
    assert "over the limit" in refusal(bytes(MAX_CERTIFICATE + 1))


IDENTITY_KEY, PROOF = ANNA.public_key.marshal(), Forge(identity=ANNA).proof()
SIGNATURE = PROOF[-64:]
POINT = subject_key(P256)[-65:]
FALSE_PROOFS = {
    "nothing": b"",
    "of another certificate": Forge(identity=ANNA, key=RSA_2048).proof(),
    "signed by another": signed_key(IDENTITY_KEY, EVE.sign(SIGNATURE_PREFIX + subject_key(P256))),
    "signed without prefix": signed_key(IDENTITY_KEY, ANNA.sign(subject_key(P256))),
    "signed for noise": signed_key(IDENTITY_KEY, ANNA.sign(b"noise-libp2p-static-key:" + subject_key(P256))),
    "signed is the point": signed_key(IDENTITY_KEY, ANNA.sign(SIGNATURE_PREFIX + POINT)),
    "no signature": signed_key(IDENTITY_KEY, b""),
    "no key": signed_key(b"", SIGNATURE),
    "a key that is too long": signed_key(bytes(3_000), SIGNATURE),
    "a key of an unknown type": signed_key(b"\x08\x09\x12\x01k", SIGNATURE),
    "an RSA key of a few bits": signed_key(b"\x08\x00\x12\x04\x30\x02\x02\x00", SIGNATURE),
    "only the key": element(0x30, element(4, IDENTITY_KEY)),
    "bit strings": element(0x30, element(3, IDENTITY_KEY) + element(3, SIGNATURE)),
    "three fields": element(0x30, element(4, IDENTITY_KEY) + element(4, SIGNATURE) + element(4, b"")),
    "bytes behind it": PROOF + b"\0",
    "wrapped twice": element(4, PROOF),
    "cut short": PROOF[:-1],
    "a long form of length": b"\x30\x81" + PROOF[1:],
}


@pytest.mark.parametrize("proof", FALSE_PROOFS.values(), ids=FALSE_PROOFS)
def test_a_false_proof_in_a_good_certificate_is_found(proof: bytes) -> None:
    assert who(Forge(identity=ANNA, extension=PROOF).der()) == ANNA_ID
    refusal(Forge(identity=ANNA, extension=proof).der())


@pytest.mark.parametrize("others", [{"before": [(NOT_CRITICAL[1][0], True)]}, {"after": [(NOT_CRITICAL[0][0], True)]}])
def test_a_critical_extension_that_is_not_known_is_refused(others: dict[str, Any]) -> None:
    assert "critical" in refusal(Forge(identity=ANNA, **others).der())


def test_a_certificate_has_the_extension_once() -> None:
    der = Forge(identity=ANNA).der()
    assert "0 libp2p extensions" in refusal(
        resigned(der, lambda signed: signed.replace(b"\x83\xa2\x5a\1\1", b"\x83\xa2\x5a\1\2"))
    )
    extension = element(0x30, element(6, bytes.fromhex("2b0601040183a25a0101")) + element(4, PROOF))
    whole = element(0xA3, element(0x30, extension))
    assert whole in der
    twice = element(0xA3, element(0x30, extension * 2))
    assert "2 libp2p extensions" in refusal(resigned(der, lambda signed: signed.replace(whole, twice)))


def resigned(der: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A certificate of P256 with its signed part changed, and signed again."""
    certificate = x509.load_der_x509_certificate(der)
    content = change(certificate.tbs_certificate_bytes[4:])
    signed = element(0x30, content)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = P256.sign(signed, ec.ECDSA(SHA256()))
    return element(0x30, signed + algorithm + element(3, b"\0" + signature))


def swapped(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(signed: bytes) -> bytes:
        assert bytes.fromhex(old) in signed
        return signed.replace(bytes.fromhex(old), bytes.fromhex(new), 1)

    return change


CHANGES = {
    "version 1": swapped("a003020102", ""),
    "version 2": swapped("a003020102", "a003020101"),
    "version 4": swapped("a003020102", "a003020103"),
    "a serial number of zero": swapped("02014d", "020100"),
    "a negative serial number": swapped("02014d", "0201cd"),
    "no serial number": swapped("02014d", "0200"),
    "another algorithm inside": swapped("300a06082a8648ce3d040302", "300a06082a8648ce3d040303"),
    "an algorithm with parameters": swapped("300a06082a8648ce3d040302", "300c06082a8648ce3d0403020500"),
    "SHA-1": swapped("300a06082a8648ce3d040302", "300906072a8648ce3d0401"),
    "a time that is none": swapped("3236313132363132303030305a", "3236313333363132303030305a"),
    "a unique id of its issuer": lambda signed: signed.replace(subject_key(P256), subject_key(P256) + b"\x81\x02\x00\x01"),
    "a point off the curve": lambda signed: signed.replace(POINT, POINT[:-1] + bytes([POINT[-1] ^ 1])),
    "a key of another type": lambda signed: signed.replace(subject_key(P256), subject_key(RSA_2048)),
    "nothing behind the names": lambda signed: signed[: signed.index(subject_key(P256))],
    "more behind the extensions": lambda signed: signed + b"\x04\x00",
    "criticality written out though it is the default": swapped("060a2b0601040183a25a010104", "060a2b0601040183a25a010101010004"),
}


def test_a_certificate_signed_again_with_no_change_is_accepted() -> None:
    assert who(resigned(Forge(identity=ANNA).der(), lambda signed: signed)) == ANNA_ID


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_certificate_of_another_form_is_refused_though_signed(change: Callable[[bytes], bytes]) -> None:
    refusal(resigned(Forge(identity=ANNA).der(), change))


def test_a_signature_that_is_no_whole_number_of_bytes_is_refused() -> None:
    der = Forge(identity=ANNA).der()
    signature = x509.load_der_x509_certificate(der).signature
    refusal(der.replace(b"\0" + signature, b"\1" + signature))


UNWANTED_KEYS: dict[str, dict[str, Any]] = {
    "Ed448": {"key": ed448.Ed448PrivateKey.generate()},
    "secp256k1": {"key": ec.generate_private_key(ec.SECP256K1())},
    "P-224": {"key": ec.generate_private_key(ec.SECP224R1())},
    "RSA with 1024 bits": {"key": rsa.generate_private_key(65_537, 1_024)},
    "PSS with a salt of another length": {"key": RSA_2048, "padding": PSS(MGF1(SHA256()), 20)},
}


@pytest.mark.parametrize("algorithm", UNWANTED_KEYS.values(), ids=UNWANTED_KEYS)
def test_keys_that_no_stack_uses_are_refused(algorithm: dict[str, Any]) -> None:
    refusal(Forge(identity=ANNA, **algorithm).der())


def test_a_key_on_a_curve_given_by_its_parameters_is_refused() -> None:
    """CVE-2020-0601: a verifier that took the curve's parameters from the certificate believed a key made for them."""
    parameters = bytes.fromhex("06072a8648ce3d020106072a8648ce3d0101")
    forged = element(0x30, element(0x30, parameters) + element(3, b"\0" + POINT))
    refusal(resigned(Forge(identity=ANNA).der(), lambda signed: signed.replace(subject_key(P256), forged)))


def test_a_certificate_signed_by_another_key_is_refused() -> None:
    other = Forge(identity=ANNA, key=ec.generate_private_key(ec.SECP256R1()))
    refused = resigned(other.der(), lambda signed: signed)
    assert refusal(refused) == "the peer's certificate is not signed with its own key"


@pytest.mark.parametrize(("begin", "end"), [(NOW + DAY, NOW + 2 * DAY), (NOW - 2 * DAY, NOW - DAY), (NOW + DAY, NOW + DAY)])
def test_a_certificate_is_refused_before_and_after_its_time(begin: datetime, end: datetime) -> None:
    assert "not valid at 2026-11-25 12:00:00 UTC" in refusal(Forge(identity=ANNA, begin=begin, end=end).der())


# --- what is remembered


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every certificate that is really verified."""
    seen: list[bytes] = []
    real = certificate._verify

    def counted(der: bytes) -> Any:
        seen.append(der)
        return real(der)

    monkeypatch.setattr(certificate, "_verify", counted)
    return seen


def test_the_certificate_of_a_peer_that_comes_again_is_not_verified_again(verifications: list[bytes]) -> None:
    known, der = KnownCertificates(), Forge(identity=ANNA).der()
    for _ in range(3):
        assert known.verify_chain([der], expected=ANNA_ID, now=NOW) == (ANNA_ID, ANNA.public_key)
    assert verifications == [der]


def test_a_remembered_certificate_is_still_held_to_the_expected_peer_and_to_its_time(verifications: list[bytes]) -> None:
    known, der = KnownCertificates(), Forge(identity=ANNA).der()
    known.verify_chain([der], expected=None, now=NOW)
    with pytest.raises(PeerIdMismatch):
        known.verify_chain([der], expected=PeerId.from_public_key(EVE.public_key), now=NOW)
    for now in (NOW - DAY, NOW + 2 * DAY):
        with pytest.raises(HandshakeFailed, match="not valid at"):
            known.verify_chain([der], expected=ANNA_ID, now=now)
    with pytest.raises(HandshakeFailed, match="2 certificates"):
        known.verify_chain([der, der], expected=ANNA_ID, now=NOW)
    assert verifications == [der]


def test_failures_are_not_remembered(verifications: list[bytes]) -> None:
    known, der = KnownCertificates(), Forge(identity=ANNA, extension=b"").der()
    for count in (1, 2):
        with pytest.raises(HandshakeFailed):
            known.verify_chain([der], expected=None, now=NOW)
        assert len(verifications) == count


def test_the_memory_is_bounded_and_forgets_whom_it_has_not_seen_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    verified = certificate._verify(Forge(identity=ANNA).der())

    def accepting(der: bytes) -> Any:
        seen.append(der)
        return verified

    monkeypatch.setattr(certificate, "_verify", accepting)
    known = KnownCertificates()

    def met(name: object) -> bool:
        """Whether this one was remembered."""
        before = len(seen)
        known.verify_chain([str(name).encode()], expected=None, now=NOW)
        return len(seen) == before

    assert not any(met(number) for number in range(MAX_REMEMBERED))
    assert met(0)
    assert not met("one more")
    assert met(0)
    assert not met(1)
    assert all(met(number) for number in range(3, MAX_REMEMBERED))
    assert not met(2)


# --- hostile bytes


def meaning(der: bytes) -> tuple[bytes, object]:
    """What is signed and by which signature; the two values that s of an ECDSA signature may have mean the same."""
    certificate = x509.load_der_x509_certificate(der)
    if not isinstance(certificate.public_key(), ec.EllipticCurvePublicKey):
        return certificate.tbs_certificate_bytes, certificate.signature
    return certificate.tbs_certificate_bytes, decode_dss_signature(certificate.signature)[0]


def test_none_of_thousands_of_mutated_certificates_is_accepted() -> None:
    random = Random(20_261_125)
    originals = [bytes.fromhex(vector["certificate"]) for vector in GOOD]
    originals += [Forge(identity=ANNA, **algorithm).der() for algorithm in ALGORITHMS.values()]
    refused = 0
    for _ in range(5_000):
        original = random.choice(originals)
        der = mutated(original, random)
        try:
            who(der)
        except HandshakeFailed:
            refused += 1
        else:
            assert meaning(der) == meaning(original)
    assert refused > 4_900


def test_the_other_form_of_the_same_signature_is_no_other_certificate() -> None:
    der = Forge(identity=ANNA).der()
    signature = x509.load_der_x509_certificate(der).signature
    r, s = decode_dss_signature(signature)
    order = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551
    other = encode_dss_signature(r, order - s)
    signed = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    assert who(element(0x30, signed + algorithm + element(3, b"\0" + other))) == ANNA_ID


def test_none_of_thousands_of_mutated_certificates_that_are_signed_again_proves_another_identity() -> None:
    """Whoever has a key of his own can sign what he likes, but not for Anna."""
    random = Random(20_261_126)
    der = Forge(identity=ANNA).der()
    for _ in range(2_500):
        try:
            assert who(resigned(der, lambda signed: mutated(signed, random))) == ANNA_ID
        except HandshakeFailed:
            continue


@given(st.binary(max_size=200), st.booleans())
def test_whatever_the_bytes_no_untyped_error_comes_of_them(data: bytes, in_front: bool) -> None:
    der = Forge(identity=ANNA).der()
    refusal(data + der[len(data) :] if in_front and data != der[: len(data)] else data)


def test_the_time_is_compared_across_time_zones() -> None:
    der = Forge(identity=ANNA, begin=NOW, end=NOW).der()
    assert who(der, now=NOW.astimezone(timezone(timedelta(hours=9)))) == ANNA_ID
    assert who(der, now=NOW.astimezone(UTC)) == ANNA_ID

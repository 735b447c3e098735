"""Signatures as go makes and takes them, and what is refused before one is looked at."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError
from cortexnet.gossip.config import SigningPolicy
from cortexnet.gossip.message import Message
from cortexnet.gossip.message_id import default_id
from cortexnet.gossip.signing import PREFIX, RejectReason, Signer, check_form, verify
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.protobuf import field_bytes

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "gossip.json").read_text())
PARTS = st.none() | st.binary(max_size=60)
AUTHOR = bytes.fromhex(GOLDEN["keys"][0]["id"])


def private_key(number: int) -> PrivateKey:
    seed, public = (bytes.fromhex(GOLDEN["keys"][number][name]) for name in ("seed", "id"))
    return PrivateKey.unmarshal(b"\x08\x01\x12\x40" + seed + public[-32:])


@pytest.mark.parametrize("case", GOLDEN["signatures"], ids=["plain", "highest seqno", "empty topic"])
def test_messages_are_signed_as_go_signs_them(case: dict[str, Any]) -> None:
    seqno = int(case["seqno"], 16)
    message = Signer(private_key(case["key"]), seqno).sign(case["topic"], bytes.fromhex(case["data"]))
    assert message.raw.hex() == case["message"]
    assert (PREFIX + message.signed_bytes()).hex() == case["signed_bytes"]
    assert default_id(message).hex() == case["message_id"]
    assert verify(message, "strict_sign") is None


@pytest.mark.parametrize("case", GOLDEN["verify"], ids=lambda case: case["what"])
def test_messages_are_verified_as_go_verifies_them(case: dict[str, Any]) -> None:
    found = verify(Message.parse(bytes.fromhex(case["message"])), "strict_sign")
    assert found == (None if case["verifies"] else RejectReason.INVALID_SIGNATURE)


@pytest.mark.parametrize("key_type", ["rsa", "ecdsa", "secp256k1", "ed25519"])
def test_the_key_is_attached_where_the_id_does_not_hold_it(key_type: Any) -> None:
    private = PrivateKey.generate(key_type)
    message = Signer(private, 7).sign("t", b"data")
    assert verify(message, "strict_sign") is None
    assert message.key == (private.public_key.marshal() if key_type in ("rsa", "ecdsa") else None)
    assert PeerId.from_bytes(message.author or b"") == PeerId.from_public_key(private.public_key)


def test_an_id_that_is_a_hash_says_nothing_without_the_key() -> None:
    message = Signer(PrivateKey.generate("ecdsa"), 7).sign("t", b"data")
    bare = Message.build("t", b"data", author=message.author, seqno=message.seqno, signature=message.signature)
    assert verify(bare, "strict_sign") == RejectReason.INVALID_SIGNATURE


def test_sequence_numbers_rise_by_one() -> None:
    signer = Signer(private_key(0), 255)
    assert [signer.sign("t", b"").seqno for _ in range(2)] == [bytes(7) + b"\xff", bytes(6) + b"\x01\x00"]


@pytest.mark.parametrize("first", [-1, 1 << 64])
def test_a_sequence_number_has_64_bits(first: int) -> None:
    with pytest.raises(LocalError, match="64 bits"):
        Signer(private_key(0), first).sign("t", b"")


@pytest.mark.parametrize(
    ("policy", "parts", "reason"),
    [
        ("strict_sign", {}, RejectReason.MISSING_SIGNATURE),
        ("strict_sign", {"signature": b"s"}, RejectReason.INVALID_SIGNATURE),
        ("strict_sign", {"signature": b"s", "author": bytes(45), "seqno": bytes(8)}, RejectReason.INVALID_SIGNATURE),
        ("strict_sign", {"signature": b"s", "author": b"no", "seqno": bytes(8)}, RejectReason.INVALID_SIGNATURE),
        ("strict_sign", {"signature": b"", "author": AUTHOR, "seqno": bytes(8)}, RejectReason.INVALID_SIGNATURE),
        ("strict_sign", {"signature": bytes(2049), "author": AUTHOR, "seqno": bytes(8)}, RejectReason.INVALID_SIGNATURE),
        ("strict_sign", {"signature": b"s", "author": AUTHOR, "key": bytes(2049)}, RejectReason.MALFORMED),
        ("strict_sign", {"signature": b"s", "author": AUTHOR}, RejectReason.MALFORMED),
        ("strict_sign", {"signature": b"s", "author": AUTHOR, "seqno": bytes(7)}, RejectReason.MALFORMED),
        ("strict_sign", {"signature": b"s", "author": AUTHOR, "seqno": bytes(9)}, RejectReason.MALFORMED),
        ("strict_sign", {"signature": b"s", "author": AUTHOR, "seqno": bytes(8), "key": b"no"}, RejectReason.MALFORMED),
        ("strict_no_sign", {}, None),
        ("strict_no_sign", {"signature": b""}, RejectReason.UNEXPECTED_SIGNATURE),
        ("strict_no_sign", {"author": b""}, RejectReason.UNEXPECTED_AUTH_INFO),
        ("strict_no_sign", {"seqno": b""}, RejectReason.UNEXPECTED_AUTH_INFO),
        ("strict_no_sign", {"key": b""}, RejectReason.UNEXPECTED_AUTH_INFO),
    ],
)
def test_a_policy_takes_its_own_messages_only(
    policy: SigningPolicy, parts: dict[str, bytes], reason: RejectReason | None
) -> None:
    assert verify(Message.build("t", b"data", **parts), policy) == reason


def test_nobody_is_blamed_for_what_go_takes_for_good_and_passes_on() -> None:
    """go reads keys on P-224, skips unknown fields of any form in keys, and looks at nothing behind an ECDSA signature."""
    spki = ec.generate_private_key(ec.SECP224R1()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    p224 = b"\x08\x03" + field_bytes(2, spki)
    group = private_key(0).public_key.marshal() + b"\x7b\x7c"
    for key in (p224, group):
        author = b"\x12\x20" + hashlib.sha256(key).digest()
        message = Message.build("t", b"data", author=author, seqno=bytes(8), signature=b"s", key=key)
        assert verify(message, "strict_sign") is RejectReason.MALFORMED
    good = Signer(PrivateKey.generate("ecdsa"), 1).sign("t", b"data")
    assert verify(good, "strict_sign") is None
    longer = Message.build(
        "t", b"data", author=good.author, seqno=good.seqno, signature=(good.signature or b"") + b"x", key=good.key
    )
    assert verify(longer, "strict_sign") is RejectReason.MALFORMED


@given(PARTS, PARTS, PARTS, PARTS)
def test_verifying_never_raises(
    author: bytes | None, seqno: bytes | None, signature: bytes | None, attached: bytes | None
) -> None:
    message = Message.build("t", b"data", author=author, seqno=seqno, signature=signature, key=attached)
    assert verify(message, "strict_sign") is not None
    assert check_form(message, "strict_sign") in (verify(message, "strict_sign"), None)


def test_reasons_say_who_is_blamed() -> None:
    charged = {reason for reason in RejectReason if reason.is_charged}
    assert charged == {
        RejectReason.MISSING_SIGNATURE,
        RejectReason.INVALID_SIGNATURE,
        RejectReason.UNEXPECTED_SIGNATURE,
        RejectReason.UNEXPECTED_AUTH_INFO,
        RejectReason.SELF_ORIGIN,
        RejectReason.VALIDATION_FAILED,
    }
    tracked = {reason for reason in RejectReason if reason.is_tracked}
    assert tracked == {RejectReason.VALIDATION_FAILED, RejectReason.VALIDATION_IGNORED, RejectReason.VALIDATION_THROTTLED}

"""Signed messages and receipts: what is verified, what can be shown to others, and what hostile frames lead to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.identity.envelope import Envelope, Purpose
from cortexnet.identity.keys import KeyType, PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.messaging.message import MESSAGE, OVERHEAD, RECEIPT, Message, Receipt, signed_frame, unsigned_frame
from cortexnet.protobuf import field_bytes, field_varint

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "direct_message.json").read_text())
ALICE_KEY, BOB_KEY = (
    PrivateKey.unmarshal(bytes.fromhex("08011240" + seed))
    for seed in (
        "7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8",
    )
)
ALICE, BOB = PeerId.from_public_key(ALICE_KEY.public_key), PeerId.from_public_key(BOB_KEY.public_key)
HELLO = Message(sender=ALICE, recipient=BOB, sequence=7, unix_ns=1_700_000_000_000_000_000, data=b"hello")
THANKS = Receipt.of(HELLO, unix_ns=1_700_000_000_000_000_001, data=b"thanks")

numbers = st.integers(0, (1 << 64) - 1)
messages = st.builds(
    Message, sender=st.just(ALICE), recipient=st.just(BOB), sequence=numbers, unix_ns=numbers, data=st.binary(max_size=100)
)


def decoded(frame: bytes, *, is_signed: bool = True) -> Message:
    return Message.decode_frame(frame, size_limit=100, is_signed=is_signed)


# --- what goes through


@given(messages)
def test_a_signed_message_comes_out_as_it_went_in_with_its_proof(message: Message) -> None:
    found = decoded(signed_frame(message, ALICE_KEY))
    assert replace(found, proof=None) == message
    assert found.proof is not None
    assert Message.open_proof(found.proof) == found


@given(messages)
def test_an_unsigned_message_comes_out_as_it_went_in(message: Message) -> None:
    assert decoded(unsigned_frame(message), is_signed=False) == message


@given(messages, numbers, st.binary(max_size=50))
def test_a_receipt_is_for_its_message_alone(message: Message, unix_ns: int, data: bytes) -> None:
    receipt = Receipt.of(message, unix_ns=unix_ns, data=data)
    found = Receipt.decode_frame(signed_frame(receipt, BOB_KEY), is_signed=True)
    assert replace(found, proof=None) == receipt
    assert found.proof is not None
    assert Receipt.open_proof(found.proof) == found
    assert found.is_for(message)
    assert Receipt.decode_frame(unsigned_frame(receipt), is_signed=False) == receipt
    assert not found.is_for(replace(message, data=message.data + b"!"))
    assert not found.is_for(replace(message, sequence=message.sequence ^ 1))
    assert not found.is_for(replace(message, sender=BOB, recipient=ALICE))


def test_a_signed_message_is_taken_where_unsigned_ones_are_too() -> None:
    assert decoded(signed_frame(HELLO, ALICE_KEY), is_signed=False).proof is not None


@pytest.mark.parametrize("key_type", ["ed25519", "secp256k1", "ecdsa", "rsa"])
def test_whatever_the_key_a_frame_is_not_much_longer_than_its_data(key_type: KeyType) -> None:
    key = PrivateKey.generate(key_type)
    message = replace(HELLO, sender=PeerId.from_public_key(key.public_key), recipient=BOB, data=bytes(1_000))
    frame = signed_frame(message, key)
    assert len(frame) < 1_000 + OVERHEAD
    assert Message.decode_frame(frame, size_limit=1_000, is_signed=True).data == message.data


def test_the_bytes_are_those_that_others_have_kept() -> None:
    # Proofs outlive this release: what these bytes say, and that they verify, must never change.
    assert unsigned_frame(HELLO).hex() == VECTORS["unsigned_message"]
    assert HELLO.digest.hex() == VECTORS["digest"]
    assert signed_frame(HELLO, ALICE_KEY).hex() == VECTORS["signed_message"]
    assert signed_frame(THANKS, BOB_KEY).hex() == VECTORS["signed_receipt"]
    ids = f"0a26{bytes(ALICE).hex()}1226{bytes(BOB).hex()}"
    assert VECTORS["unsigned_message"] == f"1263{ids}1807208080a8b1e39fe7cb172a0568656c6c6f"


# --- what does not


def test_unsigned_messages_are_refused_where_they_have_to_be_signed() -> None:
    with pytest.raises(ProtocolViolation, match="signed"):
        decoded(unsigned_frame(HELLO))
    with pytest.raises(ProtocolViolation, match="signed"):
        Receipt.decode_frame(unsigned_frame(THANKS), is_signed=True)


@pytest.mark.parametrize("is_signed", [False, True])
def test_nobody_signs_for_somebody_else(is_signed: bool) -> None:
    with pytest.raises(ProtocolViolation, match="somebody else"):
        decoded(signed_frame(HELLO, BOB_KEY), is_signed=is_signed)


def test_a_damaged_message_is_no_message() -> None:
    frame = bytearray(signed_frame(HELLO, ALICE_KEY))
    at = frame.index(b"hello")
    frame[at] ^= 1
    with pytest.raises(ProtocolViolation, match="signature"):
        decoded(bytes(frame))


@pytest.mark.parametrize("purpose", [RECEIPT, Purpose("another", MESSAGE.payload_type), Purpose(MESSAGE.domain, b"another")])
def test_a_signature_is_good_for_one_purpose_only(purpose: Purpose) -> None:
    envelope = Envelope.seal(ALICE_KEY, purpose, HELLO.encode()).marshal()
    with pytest.raises(ProtocolViolation):
        decoded(field_bytes(1, envelope))
    with pytest.raises(ProtocolViolation):
        Message.open_proof(envelope)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        field_bytes(1, b""),
        field_bytes(2, b""),
        field_bytes(9, HELLO.encode()),
        field_varint(1, 1),
        field_bytes(1, Envelope.seal(ALICE_KEY, MESSAGE, HELLO.encode()).marshal()) + field_bytes(2, HELLO.encode()),
        field_bytes(2, field_bytes(1, bytes(ALICE)) + field_bytes(5, b"to nobody")),
        field_bytes(2, field_bytes(1, b"no id") + field_bytes(2, bytes(BOB))),
        field_bytes(2, HELLO.encode() + field_bytes(6, HELLO.digest)),
    ],
    ids=["empty", "no envelope", "no content", "other field", "number", "both", "no recipient", "no id", "with a digest"],
)
def test_a_frame_that_is_none_is_a_violation(frame: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decoded(frame, is_signed=False)


@pytest.mark.parametrize("digest", [None, b"", bytes(31), bytes(33)])
def test_a_receipt_names_its_message(digest: bytes | None) -> None:
    content = HELLO.encode() + (b"" if digest is None else field_bytes(6, digest))
    with pytest.raises(ProtocolViolation):
        Receipt.decode_frame(field_bytes(2, content), is_signed=False)


@pytest.mark.parametrize("is_signed", [False, True])
def test_data_is_taken_up_to_its_limit(is_signed: bool) -> None:
    for size in (99, 100, 101):
        message = replace(HELLO, data=bytes(size))
        frame = signed_frame(message, ALICE_KEY) if is_signed else unsigned_frame(message)
        if size <= 100:
            assert len(decoded(frame, is_signed=is_signed).data) == size
        else:
            with pytest.raises(MessageTooLarge):
                decoded(frame, is_signed=is_signed)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_the_fault_of_who_sent_them(data: bytes) -> None:
    for decode in (
        lambda: Message.decode_frame(data, size_limit=100, is_signed=False),
        lambda: Receipt.decode_frame(data, is_signed=False),
        lambda: Message.open_proof(data),
        lambda: Receipt.open_proof(data),
    ):
        try:
            decode()
        except RemoteError:
            continue


@given(st.data())
def test_damaged_frames_are_never_taken_for_others(data: st.DataObject) -> None:
    frame = bytearray(signed_frame(HELLO, ALICE_KEY))
    position = data.draw(st.integers(0, len(frame) - 1))
    frame[position] ^= data.draw(st.integers(1, 255))
    try:
        found = decoded(bytes(frame))
    except RemoteError:
        return
    assert replace(found, proof=None) == HELLO


@pytest.mark.parametrize(("wrong", "said"), [("a proof", "not str: encode the text"), (None, "not NoneType"), (5, "not int")])
def test_what_is_no_bytes_proves_nothing(wrong: Any, said: str) -> None:
    for kind in (Message, Receipt):
        with pytest.raises(LocalError, match=f"a proof is bytes, {said}"):
            kind.open_proof(wrong)

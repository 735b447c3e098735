"""IPNS records: golden bytes of go, what is created is valid, and everything that must not pass."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import InvalidRecord, LocalError
from cortexnet.identity.identity import Identity
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records import dag_cbor
from cortexnet.kad.records.ipns import LIFETIME, SIZE_LIMIT, TTL, IpnsRecord, IpnsValidator
from cortexnet.protobuf import field_bytes, field_varint
from cortexnet.testing.strategies import private_keys

VECTORS = json.loads((Path(__file__).parent.parent.parent / "vectors" / "kad_records.json").read_text())
RECORDS = {vector["what"]: bytes.fromhex(vector["value"]) for vector in VECTORS["records"]}
SEED = bytes.fromhex(VECTORS["key"]["seed"])
NAME = PeerId.from_bytes(bytes.fromhex(VECTORS["key"]["id"]))
KEY = PrivateKey.unmarshal(field_varint(1, 1) + field_bytes(2, SEED + bytes(NAME)[-32:]))
NOW = 1_800_000_000
FAR = 4_102_444_799  # 2099-12-31T23:59:59Z
VALUE = "/ipfs/bafkqaaa"


def document(**changes: Any) -> bytes:
    content = {"TTL": 1, "Value": b"/x", "Sequence": 1, "Validity": b"2099-12-31T23:59:59Z", "ValidityType": 0} | changes
    return dag_cbor.encode({key: value for key, value in content.items() if value is not ...})


def signed(data: bytes, key: PrivateKey = KEY) -> bytes:
    return field_bytes(8, key.sign(b"ipns-signature:" + data)) + field_bytes(9, data)


@pytest.mark.parametrize(("v1", "what"), [(True, "ipns, V1+V2 (go default)"), (False, "ipns, V2 only")])
def test_a_record_is_made_byte_by_byte_as_go_makes_it(v1: bool, what: str) -> None:
    record = IpnsRecord.create(KEY, VALUE, sequence=1, eol_unix=FAR, v1=v1)
    assert record.encode() == RECORDS[what]
    assert IpnsRecord.decode(RECORDS[what]) == record


def test_the_signed_document_is_that_of_the_specification() -> None:
    record = IpnsRecord.create(KEY, VALUE.encode(), sequence=1, eol_unix=1_893_456_000, v1=False)
    signature = (
        "4a121712520ae83ef8cf97bf5e470348168a45faee2ed4f8b5f8b0f1b6ab7f9870e21b68d4c470ec305ccef8fe12a89418ad68b91e66249796"
    )
    assert signature + "0902da0a000600" in record.encode().hex()
    assert (record.value, record.sequence, record.ttl) == (VALUE.encode(), 1, TTL)
    assert record.eol == 1_893_456_000 * 10**9


@pytest.mark.parametrize("case", VECTORS["ipns_select"]["cases"], ids=lambda case: str(case["candidates"]))
def test_the_best_record_is_the_one_go_selects(case: dict[str, Any]) -> None:
    values = [bytes.fromhex(VECTORS["ipns_select"]["candidates"][index]) for index in case["candidates"]]
    assert IpnsValidator().select(IpnsRecord.key_of(NAME), values) == case["best_index"]


@pytest.mark.parametrize("key_type", ["ed25519", "rsa", "ecdsa", "secp256k1"])
@pytest.mark.parametrize("v1", [True, False])
def test_what_is_created_is_valid_for_its_name(key_type: Any, v1: bool) -> None:
    identity, other = Identity.generate(key_type), Identity.generate()
    record = IpnsRecord.create(identity.private_key, VALUE, sequence=3, eol_unix=NOW + LIFETIME, v1=v1)
    assert (record.public_key is None) == (identity.peer_id.public_key() is not None)
    validator = IpnsValidator()
    validator.validate(IpnsRecord.key_of(identity.peer_id), record.encode(), NOW)
    validator.validate(IpnsRecord.key_of(identity.peer_id), record.encode(), NOW + LIFETIME)
    with pytest.raises(InvalidRecord, match="its time was over at 2027"):
        validator.validate(IpnsRecord.key_of(identity.peer_id), record.encode(), NOW + LIFETIME + 0.001)
    with pytest.raises(InvalidRecord, match=r"not (signed by|that of)"):
        validator.validate(IpnsRecord.key_of(other.peer_id), record.encode(), NOW)


@given(private_keys("ed25519"), st.binary(max_size=90), st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.booleans())
def test_a_record_comes_back_as_it_was_made(key: PrivateKey, path: bytes, sequence: int, ttl: int, v1: bool) -> None:
    record = IpnsRecord.create(key, b"/" + path, sequence=sequence, eol_unix=FAR, ttl_ns=ttl, v1=v1)
    again = IpnsRecord.decode(record.encode())
    again.validate(PeerId.from_public_key(key.public_key), NOW)
    assert again == record
    assert (again.value, again.sequence, again.ttl, again.eol) == (b"/" + path, sequence, ttl, FAR * 10**9)


@given(st.data())
def test_a_changed_byte_never_changes_what_is_said(draw: st.DataObject) -> None:
    encoded = bytearray(RECORDS["ipns, V1+V2 (go default)"])
    place = draw.draw(st.integers(0, len(encoded) - 1))
    encoded[place] = draw.draw(st.integers(0, 255))
    good = IpnsRecord.decode(RECORDS["ipns, V1+V2 (go default)"])
    try:
        record = IpnsRecord.decode(bytes(encoded))
        record.validate(NAME, NOW)
    except InvalidRecord:
        return
    assert replace(record, encoded=good.encoded) == good


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_typed_error(data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        IpnsValidator().validate(IpnsRecord.key_of(NAME), data, NOW)
    with pytest.raises(InvalidRecord):
        IpnsValidator().validate(IpnsRecord.key_of(NAME), field_bytes(9, data), NOW)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (document(TTL=-1), "TTL"),
        (document(Sequence=-1), "Sequence"),
        (document(Sequence=1 << 63), "Sequence"),
        (document(Sequence=True), "Sequence"),
        (document(Sequence=...), "Sequence"),
        (document(Value="/x"), "Value"),
        (document(Validity=...), "Validity"),
        (document(Validity=b"soon"), "time"),
        (document(ValidityType=1), "kind 1"),
        (dag_cbor.encode([]), "no map"),
        (b"", "cut short"),
    ],
)
def test_a_signed_document_that_is_none_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidRecord, match=reason):
        IpnsValidator().validate(IpnsRecord.key_of(NAME), signed(data), NOW)


def test_further_keys_of_the_document_are_let_be() -> None:
    IpnsValidator().validate(IpnsRecord.key_of(NAME), signed(document(extra=[1, {"a": b""}])), NOW)


@pytest.mark.parametrize(
    "older",
    [
        field_bytes(1, b"/y"),
        field_bytes(2, b"signature"),
        field_bytes(1, b"/x") + field_bytes(4, b"2099-12-31T23:59:59Z") + field_varint(5, 1),
        field_bytes(1, b"/x") + field_bytes(4, b"2099-12-31T23:59:58Z") + field_varint(5, 1) + field_varint(6, 1),
        field_bytes(1, b"/x") + field_bytes(4, b"2099-12-31T23:59:59Z") + field_varint(5, 2) + field_varint(6, 1),
        field_bytes(1, b"/x") + field_bytes(4, b"2099-12-31T23:59:59Z") + field_bytes(4, b"") + field_varint(5, 1),
        field_varint(3, 1) + field_bytes(1, b"/x") + field_bytes(4, b"2099-12-31T23:59:59Z") + field_varint(5, 1),
    ],
)
def test_older_fields_agree_with_what_is_signed(older: bytes) -> None:
    with pytest.raises(InvalidRecord, match="older fields"):
        IpnsRecord.decode(older + signed(document()))


def test_older_fields_that_agree_and_empty_ones_are_fine() -> None:
    whole = field_bytes(1, b"/x") + field_bytes(4, b"2099-12-31T23:59:59Z") + field_varint(5, 1) + field_varint(6, 1)
    for older in (whole, field_bytes(1, b"") + field_bytes(2, b"") + field_varint(5, 77)):
        IpnsValidator().validate(IpnsRecord.key_of(NAME), older + signed(document()), NOW)


def test_a_record_without_the_newer_signature_is_worse_than_any_and_never_valid() -> None:
    bare = field_bytes(9, document(Sequence=99))
    assert IpnsValidator().select(IpnsRecord.key_of(NAME), [bare, signed(document())]) == 1
    with pytest.raises(InvalidRecord, match="not signed"):
        IpnsValidator().validate(IpnsRecord.key_of(NAME), bare, NOW)


def test_one_record_that_is_none_fails_the_whole_selection() -> None:
    with pytest.raises(InvalidRecord):
        IpnsValidator().select(IpnsRecord.key_of(NAME), [signed(document()), b"\xff"])


def test_the_key_of_a_hashed_name_may_be_known_from_elsewhere() -> None:
    key = PrivateKey.generate("ecdsa")
    name = PeerId.from_public_key(key.public_key)
    record = signed(document(), key)
    with pytest.raises(InvalidRecord, match="not known"):
        IpnsValidator().validate(IpnsRecord.key_of(name), record, NOW)
    with pytest.raises(InvalidRecord, match="not known"):
        IpnsValidator(lambda peer: None).validate(IpnsRecord.key_of(name), record, NOW)
    IpnsValidator({name: key.public_key}.get).validate(IpnsRecord.key_of(name), record, NOW)


def test_a_key_in_the_record_is_that_of_the_name_and_can_be_read() -> None:
    other = field_bytes(7, PrivateKey.generate().public_key.marshal())
    with pytest.raises(InvalidRecord, match="not that of"):
        IpnsValidator().validate(IpnsRecord.key_of(NAME), other + signed(document()), NOW)
    with pytest.raises(InvalidRecord, match="public key"):
        IpnsRecord.decode(field_bytes(7, b"\1\2") + signed(document()))
    IpnsValidator().validate(IpnsRecord.key_of(NAME), field_bytes(7, b"") + signed(document()), NOW)


def test_a_name_that_holds_no_key_has_no_record() -> None:
    name = PeerId(b"\0\2\x08\x09")
    with pytest.raises(InvalidRecord, match="public key"):
        IpnsValidator().validate(IpnsRecord.key_of(name), signed(document()), NOW)


def test_a_record_may_have_10_kib_and_not_a_byte_more() -> None:
    encoded = signed(document())
    room = SIZE_LIMIT - len(encoded)
    IpnsRecord.decode(encoded + field_bytes(99, bytes(room - 4)))
    with pytest.raises(InvalidRecord, match="over the limit"):
        IpnsRecord.decode(encoded + field_bytes(99, bytes(room - 3)))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"value": "bafkqaaa"}, "points to a path"),
        ({"value": b""}, "points to a path"),
        ({"sequence": -1}, "sequence"),
        ({"sequence": 1 << 63}, "sequence"),
        ({"ttl_ns": -1}, "ttl_ns"),
        ({"eol_unix": 1e12}, "years"),
        ({"value": "/" + "x" * 6_000}, "too long"),
    ],
)
def test_what_no_record_can_hold_is_an_error_of_the_caller(changes: dict[str, Any], reason: str) -> None:
    arguments: dict[str, Any] = {"value": VALUE, "sequence": 1, "eol_unix": FAR} | changes
    with pytest.raises(LocalError, match=reason):
        IpnsRecord.create(KEY, **arguments)

"""Node cards: golden bytes of our own, protobuf's opinion of them, every bound, and everything that must not pass for a card."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ConfigInvalid, LocalError, MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.identity.card import (
    CAPABILITIES,
    CARD,
    LIFETIME_LIMIT,
    LIMITS,
    METADATA,
    METADATA_SIZE,
    NAME_LIMIT,
    Card,
    CardDetails,
)
from cortexnet.identity.envelope import PEER_RECORD, SIZE_LIMIT, Envelope, Purpose
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.protobuf import field_bytes, field_varint

FOLDER = Path(__file__).parent.parent / "vectors"
CARDS = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))["cards"]
KEYS = {vector["type"]: vector for vector in json.loads((FOLDER / "keys.json").read_text())["keys"]}
KEY = PrivateKey.unmarshal(bytes.fromhex(KEYS["ed25519"]["private"]))
PEER = PeerId.from_public_key(KEY.public_key)
OTHER = PrivateKey.generate()
DETAILS = CardDetails(capabilities=["gpu"], region="u33d", metadata={"name": "Größe"}, limits={"requests/s": 20})
TIMES = field_varint(1, 7) + field_varint(2, 1_000) + field_varint(3, 2_000)


def issue(details: CardDetails = DETAILS, *, sequence: int = 7, issued: int = 1_000, lifetime: int = 1_000) -> Card:
    return Card.issue(KEY, details, sequence=sequence, issued=issued, lifetime=lifetime)


def sealed(payload: bytes) -> bytes:
    """A payload that nobody has checked, signed."""
    return Envelope.seal(KEY, CARD, payload).marshal()


def entry(number: int, *fields: bytes) -> bytes:
    return field_bytes(number, b"".join(fields))


# Golden bytes


@pytest.mark.parametrize("vector", CARDS, ids=lambda vector: vector["key"])
def test_a_golden_card_opens(vector: dict[str, Any]) -> None:
    peer = PeerId.parse(KEYS[vector["key"]]["text"])
    data = bytes.fromhex(vector["envelope"])
    card = Card.open(data, peer)
    assert (card.peer_id, card.sequence, card.issued, card.expires) == (
        peer, vector["sequence"], vector["issued"], vector["expires"],
    )  # fmt: skip
    assert card.details == CardDetails(**vector["details"])
    assert card.envelope == data
    assert Card.open(data) == card


@pytest.mark.parametrize("vector", [each for each in CARDS if each["key"] != "ecdsa"], ids=lambda vector: vector["key"])
def test_a_golden_card_is_issued_again_to_the_byte(vector: dict[str, Any]) -> None:
    key = PrivateKey.unmarshal(bytes.fromhex(KEYS[vector["key"]]["private"]))
    sequence, issued, lifetime = vector["sequence"], vector["issued"], vector["expires"] - vector["issued"]
    card = Card.issue(key, CardDetails(**vector["details"]), sequence=sequence, issued=issued, lifetime=lifetime)
    assert card.envelope.hex() == vector["envelope"]


# Protobuf agrees


def card_class() -> Any:
    """The message of the docstring, as protobuf's own library has it."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="card.proto", package="card", syntax="proto3")
    message = file.message_type.add(name="Card")
    for number, name in enumerate(("sequence", "issued", "expires"), 1):
        message.field.add(name=name, number=number, type=field.TYPE_UINT64, label=field.LABEL_OPTIONAL)
    message.field.add(name="capabilities", number=4, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    message.field.add(name="region", number=5, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    for number, name, kind in ((6, "metadata", field.TYPE_STRING), (7, "limits", field.TYPE_UINT64)):
        pair = message.nested_type.add(name=f"{name.capitalize()}Entry")
        pair.options.map_entry = True
        pair.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
        pair.field.add(name="value", number=2, type=kind, label=field.LABEL_OPTIONAL)
        message.field.add(
            name=name, number=number, type=field.TYPE_MESSAGE, label=field.LABEL_REPEATED, type_name=f".card.Card.{pair.name}"
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("card.Card"))


ORACLE = card_class()
names = st.from_regex(r"[a-z0-9][a-z0-9._+:/-]{0,63}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
details = st.builds(
    CardDetails,
    capabilities=st.lists(names, max_size=4, unique=True),
    region=st.text("0123456789bcdefghjkmnpqrstuvwxyz", max_size=4),
    metadata=st.dictionaries(texts.filter(bool), texts, max_size=4),
    limits=st.dictionaries(names, st.integers(0, 2**63 - 1), max_size=4),
)


@given(details, st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(1, LIFETIME_LIMIT))
def test_a_card_comes_back_and_is_written_as_protobuf_writes_it(
    said: CardDetails, sequence: int, issued: int, lifetime: int
) -> None:
    card = issue(said, sequence=sequence, issued=issued, lifetime=lifetime)
    assert Card.open(card.envelope, PEER) == card
    expected = ORACLE(
        sequence=sequence,
        issued=issued,
        expires=issued + lifetime,
        capabilities=said.capabilities,
        region=said.region,
        metadata=said.metadata,
        limits=said.limits,
    )
    payload = Envelope.open(card.envelope, CARD).payload
    assert ORACLE.FromString(payload) == expected
    assert len(payload) == expected.ByteSize()  # in what order maps are written protobuf leaves open


# Who has signed, and for what


def test_a_card_of_somebody_else_is_refused() -> None:
    """A valid signature is not enough: go-libp2p's certified address book compares the signer too."""
    theirs = Card.issue(OTHER, DETAILS, sequence=7, issued=1_000, lifetime=1_000)
    with pytest.raises(ProtocolViolation, match="was due"):
        Card.open(theirs.envelope, PEER)
    assert Card.open(theirs.envelope).peer_id == PeerId.from_public_key(OTHER.public_key)


@pytest.mark.parametrize("purpose", [PEER_RECORD, Purpose("cortex-message", CARD.payload_type)], ids=["type", "domain"])
def test_what_was_signed_for_another_purpose_is_no_card(purpose: Purpose) -> None:
    payload = Envelope.open(issue().envelope, CARD).payload
    with pytest.raises(ProtocolViolation):
        Card.open(Envelope.seal(KEY, purpose, payload).marshal(), PEER)


def test_a_changed_bit_anywhere_is_noticed() -> None:
    whole = issue().envelope
    for index in range(0, len(whole), 3):
        changed = whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :]
        with pytest.raises(RemoteError):
            Card.open(changed, PEER)


# Every bound: one below, at, and one above


def details_at(what: str, count: int) -> dict[str, Any]:
    """Details of which one thing has that size."""
    return {
        "capabilities": {"capabilities": [f"c{number}" for number in range(count)]},
        "name": {"capabilities": ["c" * count]},
        "region": {"region": "u" * count},
        "metadata": {"metadata": {f"m{number}": "" for number in range(count)}},
        "metadata name": {"metadata": {"ö" + "m" * (count - 2): "x"}},
        "metadata size": {"metadata": {"m": "x" * (count - 1)}},
        "metadata size together": {"metadata": {"m": "ö" * 500, "n": "x" * (count - 1_002)}},
        "limits": {"limits": {f"l{number}": number for number in range(count)}},
        "limit name": {"limits": {"l" * count: 1}},
    }[what]


BOUNDS = {
    "capabilities": CAPABILITIES,
    "name": NAME_LIMIT,
    "region": 4,
    "metadata": METADATA,
    "metadata name": NAME_LIMIT,
    "metadata size": METADATA_SIZE,
    "metadata size together": METADATA_SIZE,
    "limits": LIMITS,
    "limit name": NAME_LIMIT,
}


def raw(said: dict[str, Any]) -> bytes:
    """A payload that says this, checked by nobody."""
    parts = [field_bytes(4, name.encode()) for name in said.get("capabilities", ())]
    parts += [field_bytes(5, said["region"].encode())] if "region" in said else []
    parts += [
        entry(6, field_bytes(1, name.encode()), field_bytes(2, text.encode())) for name, text in said.get("metadata", {}).items()
    ]
    parts += [entry(7, field_bytes(1, name.encode()), field_varint(2, limit)) for name, limit in said.get("limits", {}).items()]
    return TIMES + b"".join(parts)


@pytest.mark.parametrize(("what", "bound"), BOUNDS.items(), ids=BOUNDS)
def test_each_bound_is_where_it_is_said_to_be(what: str, bound: int) -> None:
    for size in (bound - 1, bound):
        said = details_at(what, size)
        assert Card.open(sealed(raw(said)), PEER).details == CardDetails(**said)
    said = details_at(what, bound + 1)
    with pytest.raises(ConfigInvalid) as caught:
        CardDetails(**said)
    assert caught.value.key == f"card.{next(iter(said))}"
    with pytest.raises((ProtocolViolation, MessageTooLarge)):
        Card.open(sealed(raw(said)), PEER)


def test_the_largest_card_fits_into_an_envelope_with_the_largest_key() -> None:
    rest = METADATA_SIZE - METADATA * NAME_LIMIT  # nothing: the names alone may have it all
    largest = CardDetails(
        capabilities=[f"{number:02}" + "c" * (NAME_LIMIT - 2) for number in range(CAPABILITIES)],
        region="zzzz",
        metadata={f"{number:02}" + "m" * (NAME_LIMIT - 2): "x" * rest for number in range(METADATA)},
        limits={f"{number:02}" + "l" * (NAME_LIMIT - 2): 2**63 - 1 for number in range(LIMITS)},
    )
    card = issue(largest, sequence=2**64 - 1, issued=2**40)
    assert Card.open(card.envelope, PEER) == card
    key, signature = KEY.public_key.marshal(), 64
    rsa_key, rsa_signature = 1_066, 1_024  # of 8192 bits
    assert len(card.envelope) - len(key) - signature + rsa_key + rsa_signature + 4 <= SIZE_LIMIT


@pytest.mark.parametrize(
    ("sequence", "issued", "lifetime"),
    [(-1, 0, 1), (2**64, 0, 1), (0, -1, 1), (0, 2**63, 1), (0, 0, 0), (0, 0, LIFETIME_LIMIT + 1)],
)
def test_no_card_is_issued_with_numbers_that_none_can_have(sequence: int, issued: int, lifetime: int) -> None:
    with pytest.raises(LocalError, match="no card has"):
        issue(sequence=sequence, issued=issued, lifetime=lifetime)


# What cannot be said


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({"capabilities": "gpu"}, "capabilities"),
        ({"capabilities": None}, "capabilities"),
        ({"capabilities": [1]}, "capabilities"),
        ({"capabilities": ["GPU"]}, "capabilities"),
        ({"capabilities": [""]}, "capabilities"),
        ({"capabilities": ["-gpu"]}, "capabilities"),
        ({"capabilities": ["gpu\n"]}, "capabilities"),
        ({"capabilities": ["größe"]}, "capabilities"),
        ({"capabilities": ["gpu", "gpu"]}, "capabilities"),
        ({"region": None}, "region"),
        ({"region": "U33D"}, "region"),
        ({"region": "u3a"}, "region"),
        ({"region": "u3\n"}, "region"),
        ({"metadata": None}, "metadata"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {"": "x"}}, "metadata"),
        ({"metadata": {"x": 1}}, "metadata"),
        ({"metadata": {1: "x"}}, "metadata"),
        ({"metadata": {"x": "\ud800"}}, "metadata"),
        ({"limits": None}, "limits"),
        ({"limits": {"X": 1}}, "limits"),
        ({"limits": {"x": -1}}, "limits"),
        ({"limits": {"x": 2**63}}, "limits"),
        ({"limits": {"x": True}}, "limits"),
        ({"limits": {"x": 1.0}}, "limits"),
    ],
)
def test_what_no_card_can_say_is_refused_by_name(said: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        CardDetails(**said)
    assert caught.value.key == f"card.{key}"


def test_what_a_card_says_is_not_changed_by_whoever_gave_it() -> None:
    capabilities, metadata, limits = ["gpu"], {"b": "2", "a": "1"}, {"b": 2, "a": 1}
    said = CardDetails(capabilities=capabilities, metadata=metadata, limits=limits)
    capabilities.append("x")
    metadata.clear()
    limits.clear()
    assert (said.capabilities, list(said.metadata), list(said.limits)) == (("gpu",), ["a", "b"], ["a", "b"])
    assert hash(said) == hash(CardDetails(capabilities=["gpu"]))
    assert said != CardDetails(capabilities=["gpu"])


@pytest.mark.parametrize("said", [{"capabilities": ["x"]}, {"region": "u"}, {"metadata": {"a": ""}}, {"limits": {"a": 0}}])
def test_only_a_card_that_says_nothing_is_blank(said: dict[str, Any]) -> None:
    assert not CardDetails(**said).is_blank
    assert CardDetails().is_blank


# Hostile payloads, well signed


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "counts until 0"),
        (field_varint(1, 7) + field_varint(2, 1_000), "counts until 0"),
        (field_varint(2, 1_000) + field_varint(3, 1_000), "counts until 1000"),
        (field_varint(2, 1_000) + field_varint(3, 999), "counts until 999"),
        (field_varint(3, LIFETIME_LIMIT + 1), "counts until"),
        (field_varint(2, 2**64 - 1) + field_varint(3, 0), "counts until"),
        (TIMES + field_bytes(4, b"\xff"), "not UTF-8"),
        (TIMES + field_bytes(4, b"gpu") * 2, "twice"),
        (TIMES + field_bytes(4, b"GPU"), "no name"),
        (TIMES + field_bytes(5, b"\xc3"), "not UTF-8"),
        (TIMES + field_bytes(5, b"aaa"), "geohash"),
        (TIMES + field_bytes(6, b""), "1 to 64 bytes"),
        (TIMES + entry(6, field_bytes(1, b"\xed\xa0\x80")), "not UTF-8"),
        (TIMES + entry(6, field_bytes(1, b"x"), field_bytes(2, b"\xff")), "not UTF-8"),
        (TIMES + entry(6, field_bytes(1, b"x")) * 2, "two entries"),
        (TIMES + entry(6, field_bytes(1, b"x"), field_varint(2, 1)), "wire type"),
        (TIMES + field_bytes(7, b""), "no name"),
        (TIMES + entry(7, field_bytes(1, b"x"), field_varint(2, 2**63)), "63 bits"),
        (TIMES + entry(7, field_bytes(1, b"x")) * 2, "two entries"),
        (TIMES + entry(7, *[field_varint(9, 1)] * 7), "too many fields"),
        (TIMES + entry(6, *[field_varint(9, 1)] * 7), "too many fields"),
        (TIMES + field_varint(9, 1) * 1_100, "too many fields"),
        (TIMES[:-1], "cut short"),
    ],
)
def test_hostile_payloads_are_violations(payload: bytes, words: str) -> None:
    with pytest.raises(ProtocolViolation, match=words):
        Card.open(sealed(payload), PEER)


def test_a_payload_over_the_limit_is_refused_before_its_signature_is_looked_at() -> None:
    with pytest.raises(MessageTooLarge):
        Card.open(bytes(SIZE_LIMIT + 1), PEER)


def test_fields_of_later_versions_are_skipped_and_what_comes_twice_counts_last() -> None:
    payload = TIMES + field_bytes(5, b"u") + field_bytes(5, b"9q") + field_bytes(20, b"new") + field_varint(1, 8)
    card = Card.open(sealed(payload), PEER)
    assert (card.sequence, card.details) == (8, CardDetails(region="9q"))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_end_in_a_typed_error_or_in_a_card(payload: bytes) -> None:
    for data in (payload, sealed(payload), sealed(TIMES + payload)):
        try:
            card = Card.open(data, PEER)
        except RemoteError:
            continue
        assert Card.open(card.envelope) == card


# Time, and what is asked of a card


@pytest.mark.parametrize(
    ("now", "words"),
    [(939, "ahead"), (939.9, "ahead"), (940, None), (1_000, None), (2_060, None), (2_060.1, "expired"), (1e300, "expired")],
)
def test_a_card_counts_within_its_time_and_what_clocks_differ_by(now: float, words: str | None) -> None:
    card = issue()  # from 1,000 to 2,000
    if words is None:
        card.check_time(now, 60)
    else:
        with pytest.raises(ProtocolViolation, match=words):
            card.check_time(now, 60)


def test_the_largest_times_can_be_told() -> None:
    card = Card.open(sealed(field_varint(2, 2**64 - 2) + field_varint(3, 2**64 - 1)), PEER)
    with pytest.raises(ProtocolViolation, match="ahead"):
        card.check_time(1.8e9, 300)


@pytest.mark.parametrize(
    ("capability", "region", "expected"),
    [
        ("gpu", "", True),
        ("gpu", "u", True),
        ("gpu", "u33d", True),
        ("gpu", "u34", False),
        ("gpu", "33d", False),
        ("gp", "", False),
        ("cpu", "u33d", False),
    ],
)
def test_a_card_is_asked_for_a_capability_and_the_beginning_of_a_region(capability: str, region: str, expected: bool) -> None:
    assert issue().has(capability, region) is expected
    nowhere = issue(replace(DETAILS, region=""))
    assert nowhere.has(capability, region) is (expected and not region)


@pytest.mark.parametrize(("wrong", "said"), [("a card", "not str: encode the text"), (None, "not NoneType"), (5, "not int")])
def test_what_is_no_bytes_is_no_card(wrong: Any, said: str) -> None:
    with pytest.raises(LocalError, match=f"a card is bytes, {said}"):
        Card.open(wrong)

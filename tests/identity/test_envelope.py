"""Envelopes and peer records: golden bytes of go-libp2p, both domains, and everything that must not pass for verified."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.identity.envelope import (
    ADDRESS_COUNT_LIMIT,
    LEGACY_PEER_RECORD,
    PEER_RECORD,
    SIZE_LIMIT,
    Envelope,
    PeerRecord,
    Purpose,
)
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import field_bytes, field_varint

FOLDER = Path(__file__).parent.parent / "vectors"
VECTORS = json.loads((FOLDER / "envelope.json").read_text())
KEYS = {vector["type"]: vector for vector in json.loads((FOLDER / "keys.json").read_text())["keys"]}
SEALED = VECTORS["peer_record"]["sealed"]
ADDRESSES = tuple(Multiaddr.parse(text) for text in VECTORS["peer_record"]["addrs"])
SEQUENCE = VECTORS["peer_record"]["seq"]
VOUCHER = Purpose(VECTORS["voucher"]["domain"], bytes.fromhex(VECTORS["voucher"]["type"]))
PURPOSE = Purpose("test", b"/test")

KEY = PrivateKey.unmarshal(bytes.fromhex(KEYS["ed25519"]["private"]))
PEER = PeerId.from_public_key(KEY.public_key)
OTHER = PrivateKey.generate()
RECORD = PeerRecord(PEER, 7, ADDRESSES)


def peer(key_type: str) -> PeerId:
    return PeerId.parse(KEYS[key_type]["text"])


@pytest.mark.parametrize("vector", SEALED, ids=lambda vector: vector["key"])
def test_a_golden_record_opens(vector: dict[str, str]) -> None:
    record = PeerRecord.open(bytes.fromhex(vector["envelope"]), peer(vector["key"]))
    assert record == PeerRecord(peer(vector["key"]), SEQUENCE, ADDRESSES)


@pytest.mark.parametrize("vector", SEALED, ids=lambda vector: vector["key"])
def test_a_record_is_encoded_as_go_does_and_its_envelope_too(vector: dict[str, str]) -> None:
    record = PeerRecord(peer(vector["key"]), SEQUENCE, ADDRESSES)
    assert record.encode().hex() == vector["payload"]
    envelope = Envelope.open(bytes.fromhex(vector["envelope"]), PEER_RECORD)
    assert envelope.payload.hex() == vector["payload"]
    assert envelope.marshal().hex() == vector["envelope"]


@pytest.mark.parametrize("vector", SEALED, ids=lambda vector: vector["key"])
def test_a_record_sealed_by_us_equals_the_golden_one(vector: dict[str, str]) -> None:
    key = PrivateKey.unmarshal(bytes.fromhex(KEYS[vector["key"]]["private"]))
    sealed = PeerRecord(peer(vector["key"]), SEQUENCE, ADDRESSES).seal(key)
    if vector["key"] != "ecdsa":  # its signatures are random
        assert sealed.hex() == vector["envelope"]
    assert PeerRecord.open(sealed, peer(vector["key"])).addresses == ADDRESSES


def test_the_computed_example_of_one_address_is_reproduced() -> None:
    record = PeerRecord(PEER, 1700000000, ADDRESSES[:1])
    assert record.encode().hex() == "0a26" + bytes(PEER).hex() + "1080e2cfaa061a0a0a0804c0000201060fa1"
    signature = Envelope.open(record.seal(KEY), PEER_RECORD).signature
    assert signature.hex() == (
        "4ec6283d1123ea96f3f25a43ccac2edcfe5eebfef0928664483d0e9a5b2f69a8"
        "c31d2bac96c5af40fd7f3c40e60f04cad0e3d4d7e71f20eea976e3ef4d06cc0e"
    )


def test_the_golden_relay_voucher_opens_and_is_reproduced() -> None:
    data = bytes.fromhex(VECTORS["voucher"]["envelope"])
    envelope = Envelope.open(data, PEER_RECORD, VOUCHER)
    assert envelope.purpose is VOUCHER
    assert envelope.payload.hex() == VECTORS["voucher"]["payload"]
    assert Envelope.seal(KEY, VOUCHER, envelope.payload).marshal() == data


# Envelopes


@given(st.binary(max_size=300))
def test_a_sealed_payload_comes_back(payload: bytes) -> None:
    envelope = Envelope.seal(KEY, PURPOSE, payload)
    assert Envelope.open(envelope.marshal(), PURPOSE) == envelope


@pytest.mark.parametrize(("domain", "payload_type"), [("", b"x"), ("x", b"")])
def test_a_purpose_without_domain_or_type_is_the_callers_fault(domain: str, payload_type: bytes) -> None:
    with pytest.raises(LocalError):
        Purpose(domain, payload_type)


def test_an_envelope_does_not_open_for_another_domain() -> None:
    sealed = Envelope.seal(KEY, PURPOSE, b"payload").marshal()
    with pytest.raises(ProtocolViolation, match="signature"):
        Envelope.open(sealed, Purpose("other", PURPOSE.payload_type))


def test_an_envelope_does_not_open_for_another_type() -> None:
    sealed = Envelope.seal(KEY, PURPOSE, b"payload").marshal()
    for purposes in ([], [Purpose("test", b"/test2")], [PEER_RECORD, VOUCHER]):
        with pytest.raises(ProtocolViolation, match="of type b'/test'"):
            Envelope.open(sealed, *purposes)


def test_a_signature_does_not_move_to_another_split_of_the_same_bytes() -> None:
    """Domain, type and payload are length-prefixed when signed."""
    signature = Envelope.seal(KEY, Purpose("test", b"/ab"), b"c").signature
    moved = Envelope(KEY.public_key, Purpose("test", b"/a"), b"bc", signature).marshal()
    with pytest.raises(ProtocolViolation, match="signature"):
        Envelope.open(moved, Purpose("test", b"/a"))


@pytest.mark.parametrize("field", [1, 2, 3, 5])
def test_an_envelope_without_one_of_its_fields_is_refused(field: int) -> None:
    fields = {1: KEY.public_key.marshal(), 2: b"/test", 3: b"payload", 5: Envelope.seal(KEY, PURPOSE, b"payload").signature}
    del fields[field]
    with pytest.raises(ProtocolViolation):
        Envelope.open(b"".join(field_bytes(number, data) for number, data in fields.items()), PURPOSE)


def test_an_envelope_with_another_key_is_refused() -> None:
    signature = Envelope.seal(KEY, PURPOSE, b"payload").signature
    with pytest.raises(ProtocolViolation, match="signature"):
        Envelope.open(Envelope(OTHER.public_key, PURPOSE, b"payload", signature).marshal(), PURPOSE)


def test_the_size_of_an_envelope_is_checked_first() -> None:
    rest = len(Envelope.seal(KEY, PURPOSE, bytes(1000)).marshal()) - 1000
    fits = Envelope.seal(KEY, PURPOSE, bytes(SIZE_LIMIT - rest)).marshal()
    assert len(fits) == SIZE_LIMIT
    assert len(Envelope.open(fits, PURPOSE).payload) == SIZE_LIMIT - rest
    with pytest.raises(MessageTooLarge):
        Envelope.open(fits + b"\0", PURPOSE)
    with pytest.raises(MessageTooLarge):
        Envelope.open(fits, PURPOSE, size_limit=SIZE_LIMIT - 1)
    large = Envelope.seal(KEY, PURPOSE, bytes(SIZE_LIMIT)).marshal()
    assert Envelope.open(large, PURPOSE, size_limit=2 * SIZE_LIMIT).payload == bytes(SIZE_LIMIT)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_the_parts_of_an_envelope_have_sizes_of_their_own(number: int) -> None:
    with pytest.raises(MessageTooLarge):
        Envelope.open(Envelope.seal(KEY, PURPOSE, b"").marshal() + field_bytes(number, bytes(2_049)), PURPOSE)


@given(st.data())
def test_a_changed_envelope_does_not_open_as_something_else(data: st.DataObject) -> None:
    sealed = bytearray.fromhex(SEALED[1]["envelope"])
    for _ in range(data.draw(st.integers(1, 3))):
        sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        envelope = Envelope.open(bytes(sealed), PEER_RECORD)
    except RemoteError:
        return
    assert envelope.marshal().hex() == SEALED[1]["envelope"]  # only the coding of the outer fields may have changed


@given(st.binary(max_size=200))
def test_garbage_is_no_envelope(data: bytes) -> None:
    with pytest.raises(RemoteError):
        Envelope.open(data, PURPOSE)


def test_unknown_fields_and_another_order_are_read() -> None:
    envelope = Envelope.seal(KEY, PURPOSE, b"payload")
    data = b"".join(
        [
            field_bytes(5, envelope.signature),
            field_varint(9, 1),
            field_bytes(3, b"overwritten"),
            field_bytes(3, b"payload"),
            field_bytes(2, b"/test"),
            field_bytes(1, field_bytes(2, KEY.public_key.marshal()[4:]) + field_varint(1, 1)),
        ]
    )
    assert Envelope.open(data, PURPOSE) == envelope


# Peer records


def test_the_legacy_form_is_read_and_can_be_written() -> None:
    sealed = RECORD.seal(KEY, LEGACY_PEER_RECORD)
    assert b"/libp2p/routing-state-record" in sealed
    assert PeerRecord.open(sealed, PEER) == RECORD


@pytest.mark.parametrize(("ours", "theirs"), [(PEER_RECORD, LEGACY_PEER_RECORD), (LEGACY_PEER_RECORD, PEER_RECORD)])
def test_the_domain_of_one_form_does_not_do_for_the_other(ours: Purpose, theirs: Purpose) -> None:
    mixed = Purpose(ours.domain, theirs.payload_type)
    with pytest.raises(ProtocolViolation, match="signature"):
        PeerRecord.open(RECORD.seal(KEY, mixed), PEER)


def test_a_record_of_another_peer_than_expected_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="was due"):
        PeerRecord.open(RECORD.seal(KEY), PeerId.from_public_key(OTHER.public_key))


@pytest.mark.parametrize("expected", [PEER, PeerId.from_public_key(OTHER.public_key)], ids=["subject", "signer"])
def test_a_record_about_one_peer_signed_by_another_is_refused(expected: PeerId) -> None:
    sealed = Envelope.seal(OTHER, PEER_RECORD, RECORD.encode()).marshal()
    with pytest.raises(ProtocolViolation, match="was due"):
        PeerRecord.open(sealed, expected)


def test_nobody_seals_the_record_of_another_peer() -> None:
    with pytest.raises(LocalError, match="not the key"):
        RECORD.seal(OTHER)


def test_addresses_of_the_peer_itself_lose_its_id_and_those_of_others_are_left_out() -> None:
    plain = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")
    relay = Multiaddr.parse(f"/ip4/192.0.2.2/tcp/4001/p2p/{peer('rsa')}/p2p-circuit")
    written = (
        plain.with_peer(bytes(PEER)),
        Multiaddr.parse(f"/p2p/{PEER}"),
        relay,
        relay.with_peer(bytes(PEER)),
        plain.with_peer(bytes(peer("rsa"))),
    )
    record = PeerRecord(PEER, 1, written)
    assert PeerRecord.decode(record.encode()).addresses == (plain, relay, relay)
    foreign = b"".join(field_bytes(3, field_bytes(1, bytes(address))) for address in written)
    assert PeerRecord.decode(field_bytes(1, bytes(PEER)) + foreign).addresses == (plain, relay, relay)


def entry(address: bytes) -> bytes:
    return field_bytes(3, field_bytes(1, address))


def test_addresses_that_cannot_be_read_are_left_out() -> None:
    good = bytes(ADDRESSES[0])
    unknown = bytes.fromhex("ffff7f")
    payload = field_bytes(1, bytes(PEER)) + b"".join(
        [
            entry(b""),
            field_bytes(3, b""),
            entry(unknown),
            entry(good),
            entry(good[:-1]),
            entry(bytes(2_000)),
            field_bytes(3, field_varint(2, 5) + field_bytes(1, good)),
        ]
    )
    assert PeerRecord.decode(payload).addresses == (ADDRESSES[0], ADDRESSES[0])


@pytest.mark.parametrize("count", [ADDRESS_COUNT_LIMIT - 1, ADDRESS_COUNT_LIMIT, ADDRESS_COUNT_LIMIT + 1])
def test_addresses_past_the_limit_are_skipped(count: int) -> None:
    """CVE-2023-40583 (go-libp2p): signed records filled a peer's memory."""
    payload = field_bytes(1, bytes(PEER)) + entry(bytes(ADDRESSES[0])) * count
    assert len(PeerRecord.decode(payload).addresses) == min(count, ADDRESS_COUNT_LIMIT)


def test_a_record_that_peers_would_refuse_for_its_size_is_not_sealed() -> None:
    addresses = tuple(Multiaddr.parse(f"/dns4/{'a' * 63}.example.org/tcp/{port}/ws") for port in range(1, 110))
    with pytest.raises(LocalError, match="fewer addresses"):
        PeerRecord(PEER, 1, addresses).seal(KEY)
    assert len(PeerRecord.open(PeerRecord(PEER, 1, addresses[:80]).seal(KEY), PEER).addresses) == 80


@pytest.mark.parametrize("sequence", [-1, 2**64])
def test_a_sequence_out_of_range_is_the_callers_fault(sequence: int) -> None:
    with pytest.raises(LocalError):
        PeerRecord(PEER, sequence, ()).encode()


@pytest.mark.parametrize("sequence", [0, 1, 2**63, 2**64 - 1])
def test_every_sequence_of_64_bits_survives(sequence: int) -> None:
    assert PeerRecord.open(PeerRecord(PEER, sequence, ()).seal(KEY), PEER).sequence == sequence


@pytest.mark.parametrize(
    "payload",
    [b"", field_varint(2, 1), field_bytes(1, b"\x12\x20short"), field_bytes(1, bytes(129)), field_bytes(3, b"\x0b"), b"\x0a"],
)
def test_a_malformed_record_is_refused_although_its_signature_is_good(payload: bytes) -> None:
    with pytest.raises(RemoteError):
        PeerRecord.open(Envelope.seal(KEY, PEER_RECORD, payload).marshal(), PEER)


@given(st.binary(max_size=100))
def test_garbage_is_a_record_or_a_remote_error(payload: bytes) -> None:
    try:
        record = PeerRecord.decode(field_bytes(1, bytes(PEER)) + payload)
    except RemoteError:
        return
    assert PeerRecord.decode(record.encode()) == record


def record_class() -> Any:
    """The proto3 message of the spec as Google's library reads and writes it."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="peer_record.proto", package="peer", syntax="proto3")
    message = file.message_type.add(name="PeerRecord")
    message.nested_type.add(name="AddressInfo").field.add(
        name="multiaddr", number=1, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL
    )
    message.field.add(name="peer_id", number=1, type=field.TYPE_BYTES, label=field.LABEL_OPTIONAL)
    message.field.add(name="seq", number=2, type=field.TYPE_UINT64, label=field.LABEL_OPTIONAL)
    message.field.add(
        name="addresses",
        number=3,
        type=field.TYPE_MESSAGE,
        label=field.LABEL_REPEATED,
        type_name=".peer.PeerRecord.AddressInfo",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("peer.PeerRecord"))


ORACLE = record_class()


@given(st.integers(0, 2**64 - 1) | st.just(0), st.lists(st.sampled_from(ADDRESSES), max_size=5))
def test_a_record_is_written_as_protobuf_writes_it(sequence: int, addresses: list[Multiaddr]) -> None:
    expected = ORACLE(peer_id=bytes(PEER), seq=sequence, addresses=[{"multiaddr": bytes(each)} for each in addresses])
    record = PeerRecord(PEER, sequence, tuple(addresses))
    assert record.encode() == expected.SerializeToString(deterministic=True)
    assert PeerRecord.decode(expected.SerializeToString()) == record

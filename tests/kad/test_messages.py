"""Messages of the DHT: golden bytes of a running go server, round trips, limits, and hostile bytes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.messages import (
    CLOSER_LIMIT,
    KEY_SIZE_LIMIT,
    NAME_LIMIT,
    PROVIDER_LIMIT,
    VALUE_SIZE_LIMIT,
    Message,
    Record,
    Type,
)
from cortexnet.kad.routing.contact import Contact
from cortexnet.multiformats import multihash, varint
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import field_bytes, field_varint
from cortexnet.testing.strategies import multiaddrs, peer_ids

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "kad.json").read_text())
CONTACTS = [Contact(PeerId.from_bytes(bytes.fromhex(key["id"])), [Multiaddr.parse(key["addr"])]) for key in VECTORS["keys"]]
SERVER, ONE, TWO, ASKER = CONTACTS
CONTENT = multihash.sha2_256(b"hello")
PK = b"/pk/" + bytes(ASKER.peer_id)
CONNECTED = bytes.fromhex("1801")  # of a peer in go's answers

records = st.builds(Record, st.binary(max_size=50), st.binary(max_size=50), st.text(max_size=10))
# None with more addresses than fit: what is sent of those is the business of contacts.
contacts = st.builds(Contact, peer_ids(), st.lists(multiaddrs().filter(lambda address: len(bytes(address)) < 200), max_size=3))
peers = st.lists(contacts, max_size=5).map(tuple)
messages = st.builds(
    Message,
    st.sampled_from(Type),
    st.binary(max_size=50),
    st.none() | records,
    peers,
    peers,
    st.integers(0, (1 << 31) - 1),
    st.lists(st.binary(max_size=20), max_size=5).map(tuple),
    st.binary(max_size=20),
)


def unframed(text: str) -> bytes:
    data = bytes.fromhex(text)
    size, start = varint.decode(data)
    assert len(data) == start + size
    return data[start:]


def golden(what: str, part: str = "request") -> bytes:
    return unframed(next(case[part] for case in VECTORS["messages"] if case["what"] == what))


def as_go_writes(message: Message, connected: list[Contact]) -> bytes:
    """With the field that we leave out: which peers the sender is connected to."""
    encoded = message.encode()
    for contact in connected:
        for number in (8, 9):
            with_it = field_bytes(number, contact.encoded + CONNECTED)
            encoded = encoded.replace(field_bytes(number, contact.encoded), with_it)
    return encoded


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("FIND_NODE of key 1", Message(Type.FIND_NODE, bytes(ONE.peer_id), cluster_level=1)),
        ("FIND_NODE of the server itself: it is prepended", Message(Type.FIND_NODE, bytes(SERVER.peer_id), cluster_level=1)),
        (
            "FIND_NODE of the asker, which is no server: prepended too; level 7 comes back",
            Message(Type.FIND_NODE, bytes(ASKER.peer_id), cluster_level=7),
        ),
        ("PING: echoed", Message(Type.PING, cluster_level=1)),
        ("GET_VALUE, nothing stored", Message(Type.GET_VALUE, PK, cluster_level=1)),
        (
            "PUT_VALUE of a pk record: echoed",
            Message(Type.PUT_VALUE, PK, Record(PK, bytes(ASKER.peer_id)[2:]), cluster_level=1),
        ),
        ("GET_PROVIDERS, none", Message(Type.GET_PROVIDERS, CONTENT, cluster_level=1)),
        (
            "ADD_PROVIDER by the asker: no answer",
            Message(Type.ADD_PROVIDER, CONTENT, providers=(ASKER,), cluster_level=1),
        ),
    ],
)
def test_requests_are_read_and_written_as_go_does(what: str, message: Message) -> None:
    assert Message.decode(golden(what)) == message
    assert message.encode() == golden(what)


@pytest.mark.parametrize(
    ("what", "message", "connected"),
    [
        ("FIND_NODE of key 1", Message(Type.FIND_NODE, closer=(ONE, TWO), cluster_level=1), [ONE, TWO]),
        (
            "FIND_NODE of the server itself: it is prepended",
            Message(Type.FIND_NODE, closer=(SERVER, TWO, ONE), cluster_level=1),
            [ONE, TWO],
        ),
        (
            "FIND_NODE of the asker, which is no server: prepended too; level 7 comes back",
            Message(Type.FIND_NODE, closer=(ASKER, ONE, TWO), cluster_level=7),
            [ASKER, ONE, TWO],
        ),
        (
            "GET_VALUE of it (timeReceived replaced)",
            Message(
                Type.GET_VALUE,
                PK,
                Record(PK, bytes(ASKER.peer_id)[2:], "2026-01-02T03:04:05.000000006Z"),
                closer=(ONE, TWO),
                cluster_level=1,
            ),
            [ONE, TWO],
        ),
        (
            "GET_PROVIDERS after it",
            Message(Type.GET_PROVIDERS, CONTENT, closer=(ONE, TWO), providers=(ASKER,), cluster_level=1),
            [ONE, TWO, ASKER],
        ),
    ],
)
def test_answers_are_read_and_written_as_go_does(what: str, message: Message, connected: list[Contact]) -> None:
    data = golden(what, "response")
    assert Message.decode(data) == message
    assert as_go_writes(message, connected) == data


@pytest.mark.parametrize("case", [case for case in VECTORS["messages"] if "response" in case], ids=lambda case: str(case["what"]))
def test_every_answer_of_go_is_read(case: dict[str, str]) -> None:
    request, answer = Message.decode(unframed(case["request"])), Message.decode(unframed(case["response"]))
    assert answer.type == request.type
    assert answer.cluster_level == request.cluster_level


def test_a_ping_that_carries_peers_is_read_with_them() -> None:
    stripped = VECTORS["stripped"]
    assert Message.decode(unframed(stripped["request"])) == Message(Type.PING, closer=(ONE,), cluster_level=1)
    assert Message.decode(unframed(stripped["response"])) == Message(Type.PING, cluster_level=1)


@given(messages)
def test_what_was_encoded_is_decoded(message: Message) -> None:
    assert Message.decode(message.encode()) == message


@given(records)
def test_a_record_that_was_encoded_is_decoded(record: Record) -> None:
    assert Record.decode(record.encode()) == record


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_violation(data: bytes) -> None:
    try:
        Message.decode(data)
    except RemoteError:
        return


@given(messages, st.data())
def test_damaged_bytes_are_a_message_or_a_violation(message: Message, data: st.DataObject) -> None:
    encoded = bytearray(message.encode() or b"\0")
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = Message.decode(bytes(encoded))
    except RemoteError:
        return
    assert all(len(contact.addresses) <= 16 for contact in again.closer + again.providers)


def test_nothing_at_all_is_an_empty_put_value() -> None:
    assert Message.decode(b"") == Message(Type.PUT_VALUE)
    assert Message(Type.PUT_VALUE).encode() == b""


@pytest.mark.parametrize("kind", [6, 63, 65, 1 << 40, -1])
def test_a_type_that_there_is_not_is_a_violation(kind: int) -> None:
    with pytest.raises(ProtocolViolation, match="there is no DHT message"):
        Message.decode(field_varint(1, kind))


@pytest.mark.parametrize(("sent", "taken"), [(0, 0), (-1, 0), (1 << 31, (1 << 31) - 1), ((1 << 64) - 1, 0)])
def test_a_level_out_of_range_is_clamped(sent: int, taken: int) -> None:
    assert Message.decode(field_varint(10, sent)).cluster_level == taken


def test_unknown_fields_are_skipped_those_of_rust_among_them() -> None:
    record = Record(b"key", b"value")
    extended = record.encode() + field_bytes(666, bytes(38)) + field_varint(777, 9) + field_bytes(3, b"author")
    data = field_bytes(2, b"key") + field_bytes(3, extended) + field_varint(99, 1) + field_bytes(7, b"?")
    assert Message.decode(data) == Message(Type.PUT_VALUE, b"key", record)


@pytest.mark.parametrize(
    ("limit", "field"),
    [
        (KEY_SIZE_LIMIT, lambda content: field_bytes(2, content)),
        (KEY_SIZE_LIMIT, lambda content: field_bytes(64, content)),
        (KEY_SIZE_LIMIT, lambda content: field_bytes(65, content)),
    ],
    ids=["key", "name", "cursor"],
)
def test_what_is_too_long_is_refused(limit: int, field) -> None:  # type: ignore[no-untyped-def]
    for size in (limit - 1, limit):
        Message.decode(field(b"1" * size))
    with pytest.raises(MessageTooLarge):
        Message.decode(field(b"1" * (limit + 1)))


@pytest.mark.parametrize(
    ("limit", "record"),
    [
        (KEY_SIZE_LIMIT, lambda content: field_bytes(1, content)),
        (VALUE_SIZE_LIMIT, lambda content: field_bytes(2, content)),
        (64, lambda content: field_bytes(5, content)),
        (VALUE_SIZE_LIMIT + 2 * KEY_SIZE_LIMIT, lambda content: field_bytes(666, content[:-5])),  # with five bytes in front
    ],
    ids=["key", "value", "time", "whole"],
)
def test_a_record_with_too_long_a_part_is_none(limit: int, record) -> None:  # type: ignore[no-untyped-def]
    for size in (limit - 1, limit, limit + 1):
        message = Message.decode(field_bytes(3, record(b"1" * size)) + field_bytes(8, ONE.encoded))
        assert (message.record is not None) == (size <= limit)
        assert message.closer == (ONE,)


@pytest.mark.parametrize("odd", [b"\x7b\x7c", b"\xff", field_bytes(5, b"\xff")])
def test_a_record_that_can_not_be_read_is_none_and_the_rest_counts(odd: bytes) -> None:
    """Anybody can have go keep such a record, and hand it to whoever asks."""
    data = field_varint(1, Type.GET_VALUE) + field_bytes(3, Record(b"key", b"value").encode() + odd) + field_bytes(8, ONE.encoded)
    assert Message.decode(data) == Message(Type.GET_VALUE, closer=(ONE,))


@pytest.mark.parametrize("count", [CLOSER_LIMIT - 1, CLOSER_LIMIT, CLOSER_LIMIT + 1])
def test_40_closer_peers_are_taken(count: int) -> None:
    data = field_bytes(8, ONE.encoded) * count + field_varint(1, Type.FIND_NODE)
    assert Message.decode(data) == Message(Type.FIND_NODE, closer=(ONE,) * min(count, CLOSER_LIMIT))
    assert len(Message.decode(data, closer_limit=3).closer) == 3


@pytest.mark.parametrize("count", [PROVIDER_LIMIT - 1, PROVIDER_LIMIT, PROVIDER_LIMIT + 1, 2 * PROVIDER_LIMIT])
def test_1000_providers_are_taken_and_what_is_behind_them_is_not_looked_at(count: int) -> None:
    data = field_varint(1, Type.GET_PROVIDERS) + field_bytes(9, ONE.encoded) * count + field_varint(10, 5)
    message = Message.decode(data)
    assert len(message.providers) == min(count, PROVIDER_LIMIT)
    assert message.cluster_level == (5 if count <= PROVIDER_LIMIT else 0)
    assert len(Message.decode(data, provider_limit=1).providers) == 1


def test_peers_without_a_valid_id_are_left_out_and_cost_nobody_else() -> None:
    bad = field_bytes(1, b"nobody")
    data = b"".join([field_bytes(8, bad), field_bytes(8, ONE.encoded), field_bytes(9, bad), field_bytes(9, TWO.encoded)])
    assert Message.decode(data) == Message(Type.PUT_VALUE, closer=(ONE,), providers=(TWO,))


def test_a_listing_has_a_thousand_names_at_most() -> None:
    assert len(Message.decode(field_bytes(64, b"n") * NAME_LIMIT).names) == NAME_LIMIT
    with pytest.raises(ProtocolViolation, match="more than 1000 of field 64"):
        Message.decode(field_bytes(64, b"n") * (NAME_LIMIT + 1))


def test_a_flood_of_empty_peers_is_given_up_after_a_thousand() -> None:
    for number in (8, 9):
        with pytest.raises(ProtocolViolation, match="too many fields"):
            Message.decode(field_bytes(number, b"") * 1_000_000)


@pytest.mark.parametrize("number", [8, 9])
def test_a_nested_message_that_is_none_spoils_the_whole(number: int) -> None:
    with pytest.raises(ProtocolViolation):
        Message.decode(field_bytes(number, b"\x0a\x05"))


def test_a_time_that_is_no_text_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="UTF-8"):
        Record.decode(field_bytes(5, b"\xff"))

"""A message in its bytes: what is in it, and what of it is signed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ProtocolViolation
from cortexnet.gossip.message import Message, varint_size
from cortexnet.multiformats import varint
from cortexnet.protobuf import field_bytes, field_fixed32, field_fixed64, field_varint

PARTS = st.none() | st.binary(max_size=20) | st.binary(min_size=120, max_size=300)


@given(st.text(max_size=10), PARTS, PARTS, PARTS, PARTS, PARTS)
def test_a_message_holds_what_it_was_built_of(
    topic: str, data: bytes | None, author: bytes | None, seqno: bytes | None, signature: bytes | None, key: bytes | None
) -> None:
    message = Message.build(topic, data, author=author, seqno=seqno, signature=signature, key=key)
    found = (message.topic, message.data, message.author, message.seqno, message.signature, message.key)
    assert found == (topic, data or b"", author, seqno, signature, key)
    assert message.size == len(data or b"")
    assert message.wire.endswith(message.raw)
    unsigned = Message.build(topic, data, author=author, seqno=seqno)
    assert message.signed_bytes() == unsigned.raw == unsigned.signed_bytes()


@given(st.integers(0, 70_000), st.integers(0, 200))
def test_the_share_of_the_payload_is_what_the_wire_is_longer_by(size: int, topic: int) -> None:
    message = Message.build("t" * topic, bytes(size), author=b"a")
    assert message.payload_share == len(message.wire) - len(Message.build("t" * topic, b"", author=b"a").wire)


@given(st.permutations([(1, b"author"), (2, b"data"), (3, b"seqno"), (4, b"topic"), (5, b"signature"), (6, b"key")]))
def test_the_order_of_fields_does_not_matter(fields: list[tuple[int, bytes]]) -> None:
    message = Message.parse(b"".join(field_bytes(number, content) for number, content in fields))
    ordered = Message.build("topic", b"data", author=b"author", seqno=b"seqno", signature=b"signature", key=b"key")
    assert message.signed_bytes() == ordered.signed_bytes()
    assert (message.topic, message.data, message.key) == ("topic", b"data", b"key")


def test_the_last_of_repeated_fields_wins() -> None:
    message = Message.parse(field_bytes(2, b"one") + field_bytes(1, b"a") + field_bytes(2, b"two") + field_bytes(4, b"t"))
    assert message.data == b"two"
    assert message.signed_bytes() == field_bytes(1, b"a") + field_bytes(2, b"two") + field_bytes(4, b"t")


def test_unknown_fields_are_signed_behind_the_known_ones() -> None:
    unknown = [field_varint(9, 300), field_fixed64(10, 1), field_fixed32(11, 1), field_bytes(99, b"x" * 200)]
    message = Message.parse(unknown[0] + field_bytes(4, b"t") + b"".join(unknown[1:]) + field_bytes(5, b"signature"))
    assert message.signed_bytes() == field_bytes(4, b"t") + b"".join(unknown)
    assert Message.parse(unknown[0]).signed_bytes() == unknown[0]


def test_lengths_that_are_not_minimal_are_not_signed_as_they_stand() -> None:
    message = Message.parse(b"\x12\x81\x00a\x22\x01t")
    assert (message.data, message.topic) == (b"a", "t")
    assert message.signed_bytes() == field_bytes(2, b"a") + field_bytes(4, b"t")


def test_large_data_is_read_too() -> None:
    message = Message.build("t", bytes(20_000), author=b"a")
    assert (message.size, len(message.data)) == (20_000, 20_000)
    assert message.data is message.data


@pytest.mark.parametrize(
    "content", [b"\x12\x05ab", b"\x12", b"\x12\x80", b"\x12\x81\x01", b"\x0a\x01a\x12", b"\x22\x01\xff", b"\x13"]
)
def test_a_malformed_message_is_refused(content: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        Message.parse(content)


def test_what_is_absent_is_none() -> None:
    message = Message.parse(b"")
    assert (message.author, message.seqno, message.signature, message.key) == (None, None, None, None)
    assert (message.data, message.size, message.topic, message.topic_size, message.payload_share) == (b"", 0, "", -1, 0)


def test_a_message_shows_its_topic_size_and_id() -> None:
    message = Message.build("t", b"data")
    message.id = b"\x01"
    assert repr(message) == "Message('t', 4 bytes, id 01)"


@given(st.integers(0, 1 << 32))
def test_the_size_of_a_varint_is_that_of_its_encoding(value: int) -> None:
    assert varint_size(value) == len(varint.encode(value))

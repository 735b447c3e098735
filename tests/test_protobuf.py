"""The protobuf codec against Google's, and its own bounds, each one below, at, and one above."""

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    MAX_NUMBER,
    SPARE_FIELDS,
    VARINT,
    Budget,
    Field,
    Schema,
    field_bytes,
    field_fixed32,
    field_fixed64,
    field_header,
    field_varint,
    int64,
    text,
)

Oracle = descriptor_pb2.FieldDescriptorProto
ORACLE_FIELDS = {
    "unsigned": (1, Oracle.TYPE_UINT64, False),
    "content": (2, Oracle.TYPE_BYTES, False),
    "signed": (3, Oracle.TYPE_INT64, False),
    "contents": (4, Oracle.TYPE_BYTES, True),
    "numbers": (5, Oracle.TYPE_UINT64, True),
    "nonce": (6, Oracle.TYPE_FIXED64, False),
    "short": (16, Oracle.TYPE_FIXED32, False),
    "narrow": (17, Oracle.TYPE_INT32, False),
    "last": (MAX_NUMBER, Oracle.TYPE_BYTES, False),
}
SCHEMA = Schema(
    "test message",
    Field(1, VARINT),
    Field(2, BYTES),
    Field(3, VARINT),
    Field(4, BYTES, count_limit=10_000),
    Field(5, VARINT, count_limit=10_000),
    Field(6, FIXED64),
    Field(16, FIXED32),
    Field(17, VARINT),
    Field(MAX_NUMBER, BYTES),
)
SIGNED = {3, 17}
REPEATED = {4, 5}


def oracle_class() -> Any:
    """A proto2 message as Google's library builds it, without a compiler."""
    file = descriptor_pb2.FileDescriptorProto(name="oracle.proto", package="oracle", syntax="proto2")
    message = file.message_type.add(name="Message")
    for name, (number, kind, repeated) in ORACLE_FIELDS.items():
        label = Oracle.LABEL_REPEATED if repeated else Oracle.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("oracle.Message"))


MESSAGE = oracle_class()
uint64 = st.integers(0, 2**64 - 1) | st.integers(0, 300)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "unsigned": uint64,
        "content": st.binary(max_size=300),
        "signed": st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
        "contents": st.lists(st.binary(max_size=20), min_size=1, max_size=5),
        "numbers": st.lists(uint64, min_size=1, max_size=5),
        "nonce": uint64,
        "short": st.integers(0, 2**32 - 1),
        "narrow": st.integers(-(2**31), 2**31 - 1),
        "last": st.binary(max_size=3),
    },
)


def encode_field(name: str, value: Any) -> list[bytes]:
    number, kind, repeated = ORACLE_FIELDS[name]
    write = {Oracle.TYPE_BYTES: field_bytes, Oracle.TYPE_FIXED64: field_fixed64, Oracle.TYPE_FIXED32: field_fixed32}
    return [write.get(kind, field_varint)(number, each) for each in (value if repeated else [value])]


def encode(values: dict[str, Any]) -> bytes:
    return b"".join(piece for name in ORACLE_FIELDS if name in values for piece in encode_field(name, values[name]))


def decode(data: bytes) -> dict[str, Any]:
    names = {number: name for name, (number, _, _) in ORACLE_FIELDS.items()}
    out: dict[str, Any] = {}
    for number, value, content in SCHEMA.read(data):
        kind = ORACLE_FIELDS[names[number]][1]
        decoded: Any = content if kind == Oracle.TYPE_BYTES else int64(value) if number in SIGNED else value
        if kind == Oracle.TYPE_INT32:  # protobuf drops the high half of what does not fit
            decoded = (decoded + 2**31) % 2**32 - 2**31
        if number in REPEATED:
            out.setdefault(names[number], []).append(decoded)
        else:
            out[names[number]] = decoded
    return out


def oracle_decode(data: bytes) -> dict[str, Any]:
    message = MESSAGE()
    message.ParseFromString(data)
    return {field.name: list(value) if ORACLE_FIELDS[field.name][2] else value for field, value in message.ListFields()}


@given(MESSAGES)
def test_what_we_write_is_what_protobuf_writes(values: dict[str, Any]) -> None:
    assert encode(values) == MESSAGE(**values).SerializeToString(deterministic=True)


@given(MESSAGES)
def test_what_protobuf_writes_we_read(values: dict[str, Any]) -> None:
    assert decode(MESSAGE(**values).SerializeToString()) == values


unknown = st.sampled_from([field_varint(7, 2**64 - 1), field_bytes(8, b"skipped"), field_fixed64(9, 1), field_fixed32(99, 2)])


@given(st.lists(MESSAGES.map(encode) | unknown, max_size=4))
def test_order_repetition_and_unknown_fields_are_read_as_protobuf_reads_them(parts: list[bytes]) -> None:
    data = b"".join(parts)
    assert decode(data) == oracle_decode(data)


@given(st.data(), MESSAGES.map(encode))
def test_changed_bytes_are_read_as_protobuf_reads_them_or_refused(data: st.DataObject, message: bytes) -> None:
    changed = bytearray(message)
    for _ in range(data.draw(st.integers(0, 3)) if message else 0):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    agree(bytes(changed))


@given(st.binary(max_size=40))
def test_garbage_is_read_as_protobuf_reads_it_or_refused(data: bytes) -> None:
    agree(data)


def agree(data: bytes) -> None:
    try:
        ours = decode(data)
    except RemoteError:
        return
    assert ours == oracle_decode(data)


@given(MESSAGES.map(encode), st.data())
def test_no_cut_of_a_message_goes_unnoticed_unless_between_fields(message: bytes, data: st.DataObject) -> None:
    cut = message[: data.draw(st.integers(0, len(message)))]
    try:
        expected = oracle_decode(cut)
    except DecodeError:
        with pytest.raises(ProtocolViolation):
            decode(cut)
    else:
        assert decode(cut) == expected


@given(st.lists(uint64, max_size=20), st.lists(uint64, max_size=5))
def test_repeated_numbers_are_read_packed_and_apart(packed: list[int], apart: list[int]) -> None:
    content = b"".join(field_varint(1, value)[1:] for value in packed)
    data = field_bytes(5, content) + b"".join(field_varint(5, value) for value in apart)
    assert decode(data).get("numbers", []) == packed + apart == oracle_decode(data).get("numbers", [])


def test_redundant_varints_are_read_up_to_the_lengths_that_protobuf_reads() -> None:
    for data in ("0881808080808080808000", "088100", "928080800001ff", "12818080800041", "888000" + "01", "9080808000"):
        agree(bytes.fromhex(data))
    assert decode(bytes.fromhex("0881808080808080808000")) == {"unsigned": 1}
    assert decode(bytes.fromhex("8880808000" + "01")) == {"unsigned": 1}
    assert decode(bytes.fromhex("12818080800041")) == {"content": b"A"}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ("08", "cut short"),
        ("0880", "cut short"),
        ("08" + "80" * 9, "cut short"),
        ("08" + "80" * 10, "over 64 bits"),
        ("08" + "80" * 10 + "00", "over 64 bits"),
        ("08" + "ff" * 9 + "02", "over 64 bits"),
        ("80", "cut short"),
        ("8880808080" + "0001", "over 32 bits"),
        ("888080808001", "over 32 bits"),
        ("8880808010" + "01", "over 32 bits"),
        ("12", "cut short"),
        ("1280", "cut short"),
        ("1201", "ends after the message"),
        ("12ffffffff0f", "ends after the message"),
        ("12ffffffff7f", "over 32 bits"),
        ("12818080808000" + "41", "over 32 bits"),
        ("31" + "00" * 7, "cut short"),
        ("850100" + "00" * 2, "cut short"),
        ("0b", "wire type 3"),
        ("3b0c", "wire type 3"),
        ("0c", "wire type 4"),
        ("0e", "wire type 6"),
        ("0f", "wire type 7"),
        ("0000", "field number 0"),
        ("0200", "field number 0"),
        ("0a00", "field 1 has wire type 2"),
        ("1000", "field 2 has wire type 0"),
        ("0900000000000000" + "00", "field 1 has wire type 1"),
        ("0d00000000", "field 1 has wire type 5"),
        ("2a0180", "cut short"),
        ("2a0b" + "80" * 10 + "00", "over 64 bits"),
    ],
)
def test_what_is_malformed_is_refused(data: str, complaint: str) -> None:
    with pytest.raises(ProtocolViolation, match=complaint):
        decode(bytes.fromhex(data))


def test_errors_name_the_message() -> None:
    with pytest.raises(ProtocolViolation, match="test message"):
        decode(b"\x0b")


# Bounds


BOUNDED = Schema(
    "bounded",
    Field(1, BYTES, size_limit=4),
    Field(2, BYTES, size_limit=2, count_limit=3),
    Field(3, VARINT, count_limit=3),
    Field(4, BYTES, count_limit=3, surplus="skip"),
    Field(5, VARINT, count_limit=3, surplus="skip"),
)


def numbers_of(data: bytes) -> list[int]:
    return [number for number, _, _ in BOUNDED.read(data)]


def test_a_field_over_its_size_is_refused_before_its_bytes_are_touched() -> None:
    assert numbers_of(field_bytes(1, b"1234")) == [1]
    with pytest.raises(MessageTooLarge) as caught:
        numbers_of(field_bytes(1, b"12345"))
    assert (caught.value.size, caught.value.limit) == (5, 4)
    with pytest.raises(MessageTooLarge):
        numbers_of(field_bytes(2, b"123"))


@pytest.mark.parametrize("field", [field_bytes(2, b""), field_varint(3, 0)], ids=["bytes", "numbers"])
def test_one_more_than_the_count_of_a_repeated_field_is_refused(field: bytes) -> None:
    """As happened to other stacks: 4 MB of empty elements became 100 MB of objects."""
    number = field[0] >> 3
    assert numbers_of(field * 2) == [number] * 2
    assert numbers_of(field * 3) == [number] * 3
    seen = []
    with pytest.raises(ProtocolViolation, match="more than 3 of field"):
        seen.extend(number for number, _, _ in BOUNDED.read(field * 1000))


def test_packed_numbers_count_like_others() -> None:
    assert numbers_of(field_varint(3, 1) + field_bytes(3, b"\1\1")) == [3, 3, 3]
    with pytest.raises(ProtocolViolation, match="more than 3 of field 3"):
        numbers_of(field_varint(3, 1) + field_bytes(3, b"\1\1\1"))


def test_surplus_is_skipped_where_the_schema_says_so() -> None:
    assert numbers_of(field_bytes(4, b"x") * 5 + field_bytes(1, b"")) == [4, 4, 4, 1]
    assert numbers_of(field_varint(5, 1) * 5 + field_bytes(1, b"")) == [5, 5, 5, 1]
    assert numbers_of(field_bytes(5, b"\1" * 5) + field_bytes(1, b"")) == [5, 5, 5, 1]


@pytest.mark.parametrize("skipped", [field_varint(9, 0), field_bytes(9, b""), field_bytes(4, b""), field_bytes(1, b"")])
def test_skipped_fields_spend_a_budget(skipped: bytes) -> None:
    allowed = SPARE_FIELDS + 1 + 3 + 3 + 3 + 3
    assert len(numbers_of(skipped * allowed)) <= allowed
    with pytest.raises(ProtocolViolation, match="too many fields"):
        numbers_of(skipped * (allowed + 1))


@pytest.mark.parametrize("spare", [0, 1, 8])
def test_a_schema_may_have_a_smaller_budget(spare: int) -> None:
    schema = Schema("a part", Field(1, BYTES), spare=spare)
    assert list(schema.read(field_varint(9, 0) * (spare + 1))) == []
    with pytest.raises(ProtocolViolation, match="too many fields"):
        list(schema.read(field_varint(9, 0) * (spare + 2)))


def test_scans_may_share_a_budget() -> None:
    schema, budget = Schema("part", Field(1, BYTES, count_limit=9)), Budget(7)
    assert len(list(schema.scan(b"\x0a\x00" * 3 + b"\x10\x00", budget=budget))) == 3
    assert budget.left == 3
    assert len(list(schema.scan(b"\x0a\x00" * 3, budget=budget))) == 3
    assert list(schema.scan(b"", budget=budget)) == []
    with pytest.raises(ProtocolViolation, match="part has too many fields"):
        list(schema.scan(b"\x0a\x00", budget=budget))


def test_scanning_gives_extents_and_takes_a_part_of_the_bytes() -> None:
    inner = field_bytes(1, b"in") + field_varint(3, 7)
    data = b"junk" + inner + field_bytes(1, b"more")
    assert list(BOUNDED.scan(data, 4, 4 + len(inner))) == [(1, 6, 8), (3, 7, -1)]
    with pytest.raises(ProtocolViolation, match="ends after"):
        list(BOUNDED.scan(data, 4, 7))
    for stop in (5, 9):
        with pytest.raises(ProtocolViolation, match="cut short"):
            list(BOUNDED.scan(data, 4, stop))


# Values and writing


@given(st.integers(-(2**63), 2**63 - 1))
def test_negative_numbers_survive(value: int) -> None:
    [(_, raw, _)] = BOUNDED.read(field_varint(3, value))
    assert int64(raw) == value


@given(st.binary(max_size=20))
def test_text_is_utf8_or_a_violation(data: bytes) -> None:
    try:
        assert text(data).encode() == data
    except ProtocolViolation:
        with pytest.raises(UnicodeDecodeError):
            data.decode()


@given(st.integers(1, MAX_NUMBER) | st.integers(1, 20), st.binary(max_size=200))
def test_a_header_and_the_content_make_the_field(number: int, content: bytes) -> None:
    assert field_header(number, len(content)) + content == field_bytes(number, content)
    assert [found for _, _, found in Schema("any", Field(number, BYTES)).read(field_bytes(number, content))] == [content]


@pytest.mark.parametrize("number", [-1, 0, MAX_NUMBER + 1])
def test_a_field_number_out_of_range_is_the_callers_fault(number: int) -> None:
    for write in (field_varint, field_fixed32, field_fixed64, field_header):
        with pytest.raises(LocalError):
            write(number, 1)
    with pytest.raises(LocalError):
        field_bytes(number, b"")


def test_a_value_out_of_range_is_the_callers_fault() -> None:
    for write, value in (
        (field_varint, 2**64),
        (field_varint, -(2**63) - 1),
        (field_fixed64, 2**64),
        (field_fixed64, -1),
        (field_fixed32, 2**32),
        (field_fixed32, -1),
    ):
        with pytest.raises(LocalError):
            write(1, value)

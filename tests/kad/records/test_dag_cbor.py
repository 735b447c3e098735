"""DAG-CBOR: one encoding for each value, and nothing else is read."""

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.kad.records.dag_cbor import DEPTH_LIMIT, decode, encode
from cortexnet.multiformats.cid import Cid

CID = Cid.parse("bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq")
OLD_CID = Cid.parse("QmRN6wdp1S2A5EtjW9A3M1vKSBuQQGcgvuhoMUoEz4iiT5")

# RFC 8949, appendix A, as far as DAG-CBOR has it.
GOLDEN: list[tuple[Any, str]] = [
    (0, "00"),
    (23, "17"),
    (24, "1818"),
    (255, "18ff"),
    (256, "190100"),
    (65535, "19ffff"),
    (65536, "1a00010000"),
    (1 << 32, "1b0000000100000000"),
    ((1 << 64) - 1, "1bffffffffffffffff"),
    (-1, "20"),
    (-25, "3818"),
    (-(1 << 64), "3bffffffffffffffff"),
    (1.5, "fb3ff8000000000000"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    (b"", "40"),
    (b"\1\2", "420102"),
    ("ü", "62c3bc"),
    ([], "80"),
    ([1, [2]], "82018102"),
    ({}, "a0"),
    ({"b": 1, "aa": 2, "a": 3}, "a3616103616201626161" + "02"),
    (CID, "d82a582500" + bytes(CID).hex()),
    (OLD_CID, "d82a582300" + bytes(OLD_CID).hex()),
]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=30)
    | st.text(max_size=30)
    | st.just(CID),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.parametrize(("value", "data"), GOLDEN)
def test_a_value_has_the_encoding_of_the_rfc(value: Any, data: str) -> None:
    assert encode(value).hex() == data
    assert decode(bytes.fromhex(data)) == value


@given(values)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert decode(encode(value)) == value


@given(st.binary(max_size=60))
def test_what_can_be_read_is_written_in_the_same_way(data: bytes) -> None:
    try:
        value = decode(data)
    except ProtocolViolation:
        return
    assert encode(value) == data


@given(values, st.data())
def test_a_changed_byte_is_another_value_or_a_typed_error(value: Any, draw: st.DataObject) -> None:
    data = bytearray(encode(value))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        found = decode(bytes(data))
    except ProtocolViolation:
        return
    assert encode(found) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "cut short"),
        ("18", "cut short"),
        ("1817", "longer than it need be"),
        ("1900ff", "longer than it need be"),
        ("1a0000ffff", "longer than it need be"),
        ("1b00000000ffffffff", "longer than it need be"),
        ("1c", "not told"),
        ("5fff", "not told"),
        ("9fff", "not told"),
        ("4201", "cut short"),
        ("61ff", "UTF-8"),
        ("82", "cut short"),
        ("a2616100", "cut short"),
        ("9bffffffffffffffff", "cut short"),
        ("a10000", "no text"),
        ("a2616200616100", "order"),
        ("a26261610061620000", "order"),
        ("a2616100616101", "order"),
        ("a1780161" + "00", "longer than it need be"),
        ("f0", "not in use"),
        ("f7", "not in use"),
        ("f820", "not in use"),
        ("f97e00", "not in use"),
        ("fa47c35000", "not in use"),
        ("fb7ff0000000000000", "no number"),
        ("fb7ff8000000000000", "no number"),
        ("c100", "tag 1"),
        ("d82a00", "begin with a zero"),
        ("d82a420100", "begin with a zero"),
        ("d82a40", "begin with a zero"),
        ("d82a8100", "deep"),
        ("0000", "after the value"),
    ],
)
def test_what_is_not_strict_is_refused(data: str, reason: str) -> None:
    with pytest.raises(ProtocolViolation, match=reason):
        decode(bytes.fromhex(data))


def test_depth_is_bounded_both_ways() -> None:
    deep: Any = 0
    for _ in range(DEPTH_LIMIT):
        deep = [deep]
    assert decode(encode(deep)) == deep
    with pytest.raises(LocalError, match="deep"):
        encode([deep])
    with pytest.raises(ProtocolViolation, match="deep"):
        decode(b"\x81" + encode(deep))
    with pytest.raises(ProtocolViolation, match="deep"):
        decode(b"\x81" * 10_000 + b"\0")


@pytest.mark.parametrize("value", [1 << 64, -(1 << 64) - 1, inf, nan, "\ud800", {"\ud800": 0}])
def test_what_has_no_encoding_is_an_error_of_the_caller(value: Any) -> None:
    with pytest.raises(LocalError, match="CBOR"):
        encode(value)

"""Rows of the ledger: what is written comes back, and anything else is a typed error."""

import sys
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ProtocolViolation, RemoteError
from cortexnet.protobuf import field_bytes
from cortexnet.reputation.entry import Entry
from cortexnet.reputation.times import ResponseTimes
from cortexnet.storage.reputation_codec import (
    Moment,
    decode_entry,
    decode_moment,
    decode_network,
    encode_entry,
    encode_moment,
    encode_network,
)

numbers = st.floats(0, 1e15)
times = st.lists(st.floats(0, 1e6, width=32), max_size=120)
ENTRY = encode_entry(Entry(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, ResponseTimes([0.5, 0.25])))


@given(st.tuples(*[numbers] * 7), times)
def test_an_entry_comes_back(values: tuple[float, ...], seconds: list[float]) -> None:
    entry = Entry(*values[:7], times=ResponseTimes(seconds))  # type: ignore[arg-type, misc]  # seven numbers
    found = decode_entry(encode_entry(entry))
    assert list(found.times) == list(entry.times)
    found.times = entry.times
    assert found == entry


@given(numbers, numbers)
def test_a_network_and_a_moment_come_back(one: float, other: float) -> None:
    assert decode_network(encode_network(one, other)) == (one, other)
    assert decode_moment(encode_moment(Moment(one, other))) == Moment(one, other)


def test_a_row_is_the_same_on_machines_of_either_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    assert field_bytes(1, pack("<7d", *range(1, 8))) + field_bytes(2, pack("<2f", 0.5, 0.25)) == ENTRY
    monkeypatch.setattr(sys, "byteorder", "big")
    swapped = encode_entry(Entry(1.0, 2.0, times=ResponseTimes([0.5, 0.25])))
    assert swapped.endswith(pack(">2f", 0.5, 0.25)), "an array of the machine, swapped"
    assert list(decode_entry(swapped).times) == [0.5, 0.25]


def test_what_a_later_release_adds_is_left_out() -> None:
    row = field_bytes(1, pack("<9d", *range(1, 10))) + field_bytes(2, b"") + field_bytes(7, b"more")
    assert decode_entry(row).taken == 7.0


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\xff",
        field_bytes(1, bytes(55)),
        field_bytes(1, pack("<7d", *[1.0] * 6, float("nan"))),
        field_bytes(1, pack("<7d", *[1.0] * 6, float("inf"))),
        field_bytes(1, pack("<7d", -1.0, *[1.0] * 6)),
        field_bytes(1, bytes(56)) + field_bytes(2, bytes(6)),
        field_bytes(1, bytes(56)) + field_bytes(2, pack("<f", float("nan"))),
        field_bytes(1, bytes(56)) + field_bytes(2, pack("<f", -1.0)),
    ],
    ids=["empty", "no row", "short", "nan", "infinite", "negative", "half a time", "time nan", "negative time"],
)
def test_what_is_no_entry_is_told(row: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_entry(row)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_row_or_a_typed_error(data: bytes) -> None:
    for decode in (decode_entry, decode_network, decode_moment):
        try:
            decode(data)
        except RemoteError:
            continue


@given(st.integers(0, len(ENTRY) - 1), st.integers(0, 255))
def test_a_damaged_entry_is_one_or_a_typed_error(place: int, value: int) -> None:
    try:
        decode_entry(ENTRY[:place] + bytes([value]) + ENTRY[place + 1 :])
    except RemoteError:
        return

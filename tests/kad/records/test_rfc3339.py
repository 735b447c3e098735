"""Times in records: exact to the nanosecond, and read in every form that RFC 3339 has."""

from datetime import UTC, datetime
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.kad.records.rfc3339 import SECOND, decode, encode, nanoseconds

EARLIEST = -62_135_596_800 * SECOND
LATEST = 253_402_300_800 * SECOND - 1


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2030-01-01T00:00:00Z", 1_893_456_000 * SECOND),
        ("2026-02-28T23:59:59.5Z", 1_772_323_199 * SECOND + 500_000_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("0001-01-01T00:00:00Z", EARLIEST),
        ("9999-12-31T23:59:59.999999999Z", LATEST),
    ],
)
def test_a_time_is_written_as_short_as_it_can_be_and_read_again(text: str, time: int) -> None:
    assert encode(time) == text.encode()
    assert decode(text.encode()) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T18:30:00-05:30", 0),
        ("1970-01-01T00:00:00.000000000Z", 0),
        ("1970-01-01T00:00:00.1234567899Z", 123_456_789),
        ("1970-01-01T00:00:00.25+00:00", 250_000_000),
    ],
)
def test_other_forms_are_read_too(text: str, time: int) -> None:
    assert decode(text.encode()) == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1970-01-01",
        "1970-01-01T00:00:00",
        "1970-01-01t00:00:00z",
        "1970-01-01 00:00:00Z",
        "1970-13-01T00:00:00Z",
        "1970-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "1970-01-01T24:00:00Z",
        "1970-01-01T00:60:00Z",
        "1970-01-01T00:00:60Z",
        "1970-01-01T00:00:00.Z",
        "1970-01-01T00:00:00.1",
        "1970-01-01T00:00:00ZZ",
        "1970-01-01T00:00:00+0200",
        "1970-01-01T00:00:00+02:0x",
        "1970-01-01T1::00:00Z",
        "197x-01-01T00:00:00Z",
        "1970-01-01T00:00:00.ⅨZ",
        "1970-01-01T00:00:00." + "0" * 60 + "Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation, match="time"):
        decode(text.encode())


@given(st.integers(EARLIEST, LATEST))
def test_every_time_comes_back(time: int) -> None:
    assert decode(encode(time)) == time


@given(st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0)))
def test_times_are_those_of_the_calendar(time: datetime) -> None:
    assert encode(nanoseconds(round(time.timestamp()))).decode() == time.isoformat().replace("+00:00", "Z")


@given(st.binary(max_size=70) | st.text("0123456789-:.TZ+", max_size=40).map(str.encode))
def test_anything_else_is_a_typed_error(data: bytes) -> None:
    try:
        time = decode(data)
    except ProtocolViolation:
        return
    assert EARLIEST - 10**14 < time < LATEST + 10**14


def test_seconds_become_nanoseconds_exactly() -> None:
    assert nanoseconds(1_893_456_000) == 1_893_456_000 * SECOND
    assert nanoseconds(1.5) == 1_500_000_000
    assert nanoseconds(-0.25) == -250_000_000


@pytest.mark.parametrize("unix", [inf, nan, -inf, 1e12, -1e12])
def test_a_time_outside_of_the_calendar_is_an_error_of_the_caller(unix: float) -> None:
    with pytest.raises(LocalError, match="years"):
        nanoseconds(unix)


@pytest.mark.parametrize("time", [EARLIEST - 1, LATEST + 1])
def test_nothing_outside_of_the_calendar_is_written(time: int) -> None:
    with pytest.raises(LocalError, match="years"):
        encode(time)

"""What the ledger remembers as bytes on disk, and back. A core.

Times are those of the ledger's own clock, which stands still only for what a run says in its first row: see `Moment`.
"""

import sys
from array import array
from dataclasses import dataclass
from math import isfinite
from struct import pack, unpack
from typing import final

from cortexnet.errors import ProtocolViolation
from cortexnet.protobuf import BYTES, Field, Schema, field_bytes
from cortexnet.reputation.entry import Entry
from cortexnet.reputation.times import ResponseTimes

_ROW = Schema(
    "a row of the ledger",
    Field(1, BYTES),  # numbers, 8 bytes each
    Field(2, BYTES),  # response times, the oldest first, 4 bytes each
)
_ENTRY, _MOMENT, _NETWORK = "<7d", "<2d", "<2d"
_FAR = 2.0**53  # of anything: more was never counted


@final
@dataclass(frozen=True, slots=True)
class Moment:
    """The same moment by the clock of the ledger and by the wall, in seconds."""

    ledger: float
    unix: float


def encode_entry(entry: Entry) -> bytes:
    """The bytes of a peer's entry."""
    numbers = (entry.since, entry.last_seen, entry.successes, entry.failures, entry.violations, entry.given, entry.taken)
    times = array("f", entry.times)
    if sys.byteorder == "big":
        times.byteswap()
    return field_bytes(1, pack(_ENTRY, *numbers)) + field_bytes(2, times.tobytes())


def decode_entry(data: bytes) -> Entry:
    """The entry of these bytes. Raises ProtocolViolation."""
    numbers, rest = _read(data)
    since, last_seen, successes, failures, violations, given, taken = _numbers(_ENTRY, numbers)
    times = array("f")
    try:
        times.frombytes(rest)
    except ValueError:
        raise ProtocolViolation("response times of a peer's entry are cut short") from None
    if sys.byteorder == "big":
        times.byteswap()
    if not all(0 <= seconds < _FAR for seconds in times):
        raise ProtocolViolation("a response time of a peer's entry is none")
    return Entry(
        since=since,
        last_seen=last_seen,
        successes=successes,
        failures=failures,
        violations=violations,
        given=given,
        taken=taken,
        times=ResponseTimes(times),
    )


def encode_network(since: float, offences: float) -> bytes:
    """The bytes of what is known of a network."""
    return field_bytes(1, pack(_NETWORK, since, offences))


def decode_network(data: bytes) -> tuple[float, float]:
    """Since when, and how many offences. Raises ProtocolViolation."""
    since, offences = _numbers(_NETWORK, _read(data)[0])
    return since, offences


def encode_moment(moment: Moment) -> bytes:
    """The bytes of a moment."""
    return field_bytes(1, pack(_MOMENT, moment.ledger, moment.unix))


def decode_moment(data: bytes) -> Moment:
    """The moment of these bytes. Raises ProtocolViolation."""
    return Moment(*_numbers(_MOMENT, _read(data)[0]))


def _read(data: bytes) -> tuple[bytes, bytes]:
    fields = {number: content for number, _, content in _ROW.read(data)}
    return fields.get(1, b""), fields.get(2, b"")


def _numbers(kind: str, data: bytes) -> tuple[float, ...]:
    """The numbers of a row; later ones, of a newer release, are left out."""
    expected = 8 * (int(kind[1]))
    if len(data) < expected:
        raise ProtocolViolation("the numbers of a row of the ledger are cut short")
    numbers: tuple[float, ...] = unpack(kind, data[:expected])
    if not all(isfinite(number) and 0 <= number < _FAR for number in numbers):
        raise ProtocolViolation("a number of a row of the ledger is none")
    return numbers

"""Times as the DHT's records write them: RFC 3339, in nanoseconds since 1970, exact where a float of seconds would not be.

Spec: RFC 3339, section 5.6; the years 1 to 9999.
"""

from datetime import date
from math import floor

from cortexnet.errors import LocalError, ProtocolViolation

SECOND = 1_000_000_000
"""Nanoseconds."""

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_SIZE_LIMIT = 64  # any form there is has less than 40
_EARLIEST = (date.min.toordinal() - _EPOCH) * _DAY * SECOND
_LATEST = (date.max.toordinal() - _EPOCH + 1) * _DAY * SECOND


def nanoseconds(unix: float) -> int:
    """Unix seconds as nanoseconds; an int stays exact. Raises LocalError outside of the years 1 to 9999."""
    if not _EARLIEST <= unix * SECOND < _LATEST:  # also what is no number
        raise LocalError(f"{unix} is no time within the years 1 to 9999")
    whole = floor(unix)
    return whole * SECOND + round((unix - whole) * SECOND)


def encode(time: int) -> bytes:
    """`2030-01-01T00:00:00Z`, with as many digits after the second as are needed. Raises LocalError outside of the years."""
    if not _EARLIEST <= time < _LATEST:
        raise LocalError(f"{time} ns is no time within the years 1 to 9999")
    seconds, rest = divmod(time, SECOND)
    days, second = divmod(seconds, _DAY)
    fraction = f".{rest:09}".rstrip("0").rstrip(".")
    day = date.fromordinal(_EPOCH + days)
    return f"{day.isoformat()}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{fraction}Z".encode()


def decode(data: bytes) -> int:
    """The time of a text, in UTC or with an offset; what is finer than a nanosecond is cut. Raises ProtocolViolation."""
    if len(data) > _SIZE_LIMIT or not data.isascii():
        raise ProtocolViolation("a time in another form than that of RFC 3339")
    text = data.decode()
    if text[4:5] + text[7:8] + text[10:11] + text[13:14] + text[16:17] != "--T::":
        raise ProtocolViolation(f"a time in another form than that of RFC 3339: {text!r}")
    try:
        day = date(_digits(text[:4], 4), _digits(text[5:7], 2), _digits(text[8:10], 2))
        second = _second(text[11:19])
        fraction, offset = _rest(text[19:])
    except ValueError as error:
        raise ProtocolViolation(f"{text!r} is no time: {error}") from None
    return ((day.toordinal() - _EPOCH) * _DAY + second - offset) * SECOND + fraction


def _digits(text: str, size: int) -> int:
    if len(text) != size or not text.isdigit():
        raise ValueError(f"{size} digits are missing")
    return int(text)


def _second(text: str) -> int:
    """The second of the day."""
    hour, minute, second = (_digits(part, 2) for part in text.split(":"))
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a day has 24 hours")
    return hour * 3600 + minute * 60 + second


def _rest(text: str) -> tuple[int, int]:
    """The nanoseconds and the offset from UTC in seconds."""
    fraction = 0
    if text.startswith("."):
        rest = text[1:].lstrip("0123456789")
        digits = text[1 : len(text) - len(rest)]
        fraction, text = int(digits[:9].ljust(9 if digits else 0, "0")), rest
    if text == "Z":
        return fraction, 0
    if text[:1] not in ("+", "-") or text[3:4] != ":":
        raise ValueError("its offset from UTC is missing")
    offset = _second(f"{text[1:]}:00")
    return fraction, offset if text[0] == "+" else -offset

"""Text for people: peers' words made harmless, sizes, times, tables."""

import re
from collections.abc import Iterable, Sequence

PEER_TEXT_LIMIT = 128
"""Characters shown of what a peer calls itself or its protocols."""
LINE_LIMIT = 2000
"""Characters shown of one line, however long an error's words are."""

_BINARY = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_UNITS |= {"k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([a-z]*)")


def escaped(text: str, limit: int = LINE_LIMIT) -> str:
    """The text with everything a terminal would obey, or that would not be seen, as an escape; cut at `limit` characters."""
    shown = text[:limit]
    if not shown.isprintable():
        shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)
    return shown if len(text) <= limit else shown + "..."


def peer_text(text: str | None) -> str:
    """A peer's own words for a line of output; a dash where there are none."""
    return escaped(text, PEER_TEXT_LIMIT) if text else "-"


def size(count: float) -> str:
    """Bytes, such as `3.4 MiB`."""
    for unit, name in _BINARY:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} B"


def rate(count: float, seconds: float) -> str:
    """Bytes in that time, such as `112 MB/s`; a dash where no time has passed."""
    if seconds <= 0:
        return "-"
    per_second = count / seconds
    for unit, name in ((1e9, "GB/s"), (1e6, "MB/s"), (1e3, "kB/s")):
        if per_second >= unit:
            value = per_second / unit
            return f"{value:.0f} {name}" if value >= 100 else f"{value:.1f} {name}"
    return f"{per_second:.0f} B/s"


def duration(seconds: float) -> str:
    """A time, such as `0.412 ms`, `38.1 ms`, `2.50 s` or `3 min 20 s`."""
    if seconds < 0.01:
        return f"{seconds * 1e3:.3f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def parse_size(text: str) -> int:
    """Bytes of a text such as `500`, `64k`, `10MiB` (powers of 1024) or `10MB` (powers of 1000). Raises ValueError."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{escaped(text, 64)!r} is no size; write it like 500, 64k, 10MiB or 10MB")
    return int(float(match[1]) * _UNITS[match[2]]) if "." in match[1] else int(match[1]) * _UNITS[match[2]]


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int] = (), indent: str = "") -> list[str]:
    """The rows as lines, columns under each other; those whose index is in `right` are aligned to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    aligned_right = set(right)
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if index in aligned_right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines

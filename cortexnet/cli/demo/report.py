"""What the demonstration has found out, and how it is shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from cortexnet.cli.output import Json
from cortexnet.cli.text import duration, rate, table


@final
@dataclass(slots=True)
class Pair:
    """Two nodes and what is between them; `first` has dialed."""

    first: str
    second: str
    dial_seconds: float = 0.0
    made_of: str = ""
    """Transport, secure channel and muxer, as both ends say."""
    pings: list[float] = field(default_factory=list)
    stream_bytes: int = 0
    stream_seconds: float = 0.0
    file_bytes: int = 0
    file_seconds: float = 0.0
    is_lost: bool = False

    @property
    def name(self) -> str:
        """Such as "A1 > B2"."""
        return f"{self.first} > {self.second}"

    @property
    def round_trip(self) -> float:
        """The best of the pings, seconds; 0 before the first."""
        return min(self.pings, default=0.0)

    def as_members(self) -> dict[str, Json]:
        """For programs; speeds in bytes a second."""
        return {
            "dialer": self.first,
            "listener": self.second,
            "made_of": self.made_of,
            "dial_seconds": self.dial_seconds,
            "round_trip_seconds": self.round_trip,
            "stream_speed": self.stream_bytes / self.stream_seconds if self.stream_seconds else None,
            "file_speed": self.file_bytes / self.file_seconds if self.file_seconds else None,
            "lost": self.is_lost,
        }


def pair_table(pairs: Iterable[Pair]) -> list[str]:
    """Who is connected to whom, with what, how fast."""
    rows = [("who dialed whom", "state", "with", "dialed in", "round trip", "stream both ways", "file")]
    rows += [
        (
            pair.name,
            "killed" if pair.is_lost else "open",
            pair.made_of,
            duration(pair.dial_seconds),
            duration(pair.round_trip),
            rate(pair.stream_bytes, pair.stream_seconds),
            rate(pair.file_bytes, pair.file_seconds),
        )
        for pair in pairs
    ]
    return table(rows, right=(3, 4, 5, 6), indent="  ")


def matrix(names: Sequence[str], cells: Mapping[tuple[str, str], str]) -> list[str]:
    """A square of what is said of each pair, both orders; a dot where nothing is."""
    rows = [("", *names)]
    rows += [(row, *(cells.get((row, column), ".") for column in names)) for row in names]
    return table(rows, right=range(1, len(names) + 1), indent="  ")


def span(values: Iterable[float]) -> str:
    """From the least to the most of some times."""
    known = list(values)
    return f"{duration(min(known))} to {duration(max(known))}" if known else "-"

"""What must be so at the end of a calm. No IO: what is given was observed, what comes back is what is wrong."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final, final

MIB: Final = 1024 * 1024
GROWTH: Final = 2.0
"""MiB from the fifth minute of ten to the last."""
SLOPE: Final = 1.0
"""MiB an hour over the last half of a run of hours."""


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed: which node, or "all", and what about it."""

    round: int
    node: str
    what: str

    def __str__(self) -> str:
        return f"round {self.round}, {self.node}: {self.what}"


def components(links: Mapping[str, Collection[str]]) -> list[set[str]]:
    """Who is connected with whom, by way of others too, the largest part first. A connection is one that both ends have."""
    parts: list[set[str]] = []
    missing = set(links)
    while missing:
        part, waiting = set[str](), [min(missing)]
        while waiting:
            name = waiting.pop()
            if name not in part:
                part.add(name)
                waiting += [other for other in links[name] if name in links.get(other, ())]
        parts.append(part)
        missing -= part
    return sorted(parts, key=len, reverse=True)


def misdelivered(
    published: Mapping[str, str], received: Mapping[str, Mapping[str, int]]
) -> dict[str, tuple[list[str], list[str]]]:
    """Of each subscriber with one: messages that have not come, and those that came more than once.

    `published` has the publisher of each message, `received` how often each subscriber has got each.
    """
    wrong = {}
    for name, counts in received.items():
        due = [message for message, publisher in published.items() if publisher != name]
        missing = [message for message in due if message not in counts]
        repeated = [message for message, count in counts.items() if count > 1]
        if missing or repeated:
            wrong[name] = missing, repeated
    return wrong


@final
@dataclass(frozen=True, slots=True)
class Figures:
    """What a process holds at one moment."""

    peers: int
    """Connected ones."""
    descriptors: int
    tasks: Mapping[str, int]
    """By what they run."""
    reservations: Mapping[str, int]
    dht: Mapping[str, int]
    """What its upkeep has open at all times, of each kind one for each peer at most."""

    def named(self) -> dict[str, int]:
        """All of them by name."""
        return {
            "descriptors": self.descriptors,
            **{f"tasks of {name}": count for name, count in self.tasks.items()},
            **{f"reservations: {name}": count for name, count in self.reservations.items()},
        }


_WHO_DIALED: Final = ("connections_inbound", "connections_outbound")


def excess(base: Figures, now: Figures) -> dict[str, tuple[int, int]]:
    """What is above the baseline, and how much would be right.

    A peer that was not connected at the baseline may bring what each of those did that were; and of what nearly each of them had
    one, each may have one: it may just have been on its way. Who dialed does not matter.
    """
    more = max(0, now.peers - base.peers)
    known = base.named()
    found = {}
    for name, count in now.named().items():
        if name.endswith(_WHO_DIALED):
            continue
        before = known.get(name, 0)
        each = before / max(1, base.peers)
        right = max(before + more * round(each), now.peers if 0.8 < each <= 1 else 0)
        if count > right:
            found[name] = count, right
    return found | {name: (count, now.peers) for name, count in now.dht.items() if count > now.peers}


def baseline(samples: Sequence[Figures]) -> Figures:
    """Of several samples of one calm the largest each."""
    tasks: dict[str, int] = {}
    reservations: dict[str, int] = {}
    for sample in samples:
        tasks |= {name: max(count, tasks.get(name, 0)) for name, count in sample.tasks.items()}
        reservations |= {name: max(count, reservations.get(name, 0)) for name, count in sample.reservations.items()}
    peers = min(sample.peers for sample in samples)
    return Figures(peers, max(sample.descriptors for sample in samples), tasks, reservations, {})


Sample = tuple[float, Mapping[str, float]]
"""Seconds since the start, and of each process its resident memory in bytes."""


def mean_of_the_old(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """At each time the mean, in MiB, of the processes that are in all samples: who was killed and began anew says nothing."""
    old = set.intersection(*[set(memory) for _, memory in samples]) if samples else set()
    return [(when, fmean(memory[name] for name in old) / MIB) for when, memory in samples] if old else []


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that fits best, per hour."""
    when, what = fmean(x for x, _ in points), fmean(y for _, y in points)
    spread = sum((x - when) ** 2 for x, _ in points)
    return 3600 * sum((x - when) * (y - what) for x, y in points) / spread if spread else 0.0


@final
@dataclass(frozen=True, slots=True)
class Growth:
    """How memory has grown, beside what it may. `limit` is None where the run was too short to say."""

    what: str
    value: float
    limit: float | None

    @property
    def is_too_much(self) -> bool:
        """Whether it has grown too much."""
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        return f"{self.what}: {self.value:+.2f}" + ("" if self.limit is None else f" (at most {self.limit:+.1f})")


def growth(samples: Sequence[Sample], minutes: float) -> Growth:
    """In runs of an hour and more the slope over the last half; else the last minute beside the fifth, or the middle one."""
    end = samples[-1][0] if samples else 0.0
    if minutes >= 60:
        points = mean_of_the_old([sample for sample in samples if sample[0] >= end / 2])
        return Growth("MiB an hour over the last half", slope(points) if points else 0.0, SLOPE if points else None)
    middle = 240.0 if minutes >= 10 else max(0.0, end / 2 - 60)
    considered = [sample for sample in samples if middle <= sample[0]]
    points = mean_of_the_old(considered)
    first = [memory for when, memory in points if when < middle + 60]
    last = [memory for when, memory in points if when > end - 60]
    if not first or not last:
        return Growth("MiB from the fifth minute to the last", 0.0, None)
    return Growth("MiB from the fifth minute to the last", fmean(last) - fmean(first), GROWTH if minutes >= 10 else None)

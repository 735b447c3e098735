"""What happens when in a round: which fault, to whom, how long. No IO: the same chance makes the same plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final, final


class Kind(StrEnum):
    """What can go wrong."""

    KILL = "kill"
    """The process gets SIGKILL; it is started again with its state directory at the end."""
    RESTART = "restart"
    """The node is closed; a new one begins with its state directory at the end, in the same process."""
    PARTITION = "partition"
    """No byte passes between these nodes and all others. Nobody is told: what was sent waits, as TCP's would."""
    STOP = "stop"
    """SIGSTOP, then SIGCONT: the machine was asleep."""
    BLOCK = "block"
    """A function of the application's keeps the event loop."""
    DISK_FULL = "disk full"
    """No file of the process may grow or be written."""
    CLOCK = "clock"
    """The time of day is some hours off, and comes back at the end."""


SHORTEST_LONGEST: Final[dict[Kind, tuple[float, float]]] = {
    Kind.KILL: (5, 20),
    Kind.RESTART: (1, 10),
    Kind.PARTITION: (10, 60),  # a connection that is silent for 40 s is dead
    Kind.STOP: (3, 15),
    Kind.BLOCK: (1, 8),
    Kind.DISK_FULL: (10, 30),
    Kind.CLOCK: (10, 40),
}
"""Seconds that a fault lasts; the end of the faults cuts it."""
STALLS: Final = (Kind.STOP, Kind.BLOCK)
HOUR: Final = 3600
HOURS_OFF: Final = 12
"""At most so many: peers keep each other's records for days, and the clocks of machines are seldom further off than that."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The lengths of a round's parts in seconds."""

    faults: float = 90.0
    interval: float = 5.0
    """From one fault to the next."""
    calm: float = 60.0
    judged: float = 20.0
    """Messages published so long before the end of a calm must all have come."""
    pace: float = 1.0
    """Of what SHORTEST_LONGEST says, for short runs."""

    @property
    def round(self) -> float:
        """Faults and calm."""
        return self.faults + self.calm


@final
@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Times are seconds from the beginning of the round."""

    kind: Kind
    begin: float
    end: float
    nodes: tuple[int, ...]
    offset: int = 0
    """Of a clock, in seconds."""

    def __str__(self) -> str:
        detail = f" by {self.offset / HOUR:+.1f} h" if self.kind is Kind.CLOCK else ""
        names = ", ".join(map(str, self.nodes))
        return f"{self.kind}{detail} of {names} for {self.end - self.begin:.1f} s"


def elders(nodes: int) -> int:
    """How many of the nodes, the first ones, are never killed: a process must be old before one sees it grow."""
    return max(1, nodes // 5)


def round_of_faults(chance: Random, nodes: int, timing: Timing) -> list[Fault]:
    """One fault each interval, all kinds in turns. A node has one at a time, besides being parted from others."""
    busy = [0.0] * nodes
    kinds: list[Kind] = []
    faults: list[Fault] = []
    for number in range(round(timing.faults / timing.interval)):
        begin = number * timing.interval
        if not kinds:
            kinds = [Kind.KILL, Kind.RESTART, Kind.PARTITION, chance.choice(STALLS), Kind.DISK_FULL, Kind.CLOCK]
            chance.shuffle(kinds)
        fault = _fault(kinds.pop(), begin, chance, busy, timing)
        for node in fault.nodes if fault.kind is not Kind.PARTITION else ():
            busy[node] = fault.end
        faults.append(fault)
    return faults


def _fault(kind: Kind, begin: float, chance: Random, busy: Sequence[float], timing: Timing) -> Fault:
    nodes = len(busy)
    free = [node for node in range(elders(nodes) if kind is Kind.KILL else 0, nodes) if busy[node] <= begin]
    if not free:
        kind = Kind.PARTITION
    if kind is Kind.PARTITION:
        chosen = chance.sample(range(nodes), chance.randint(max(1, nodes // 3), max(1, nodes // 2)))
    else:
        chosen = chance.sample(free, min(len(free), chance.randint(1, max(1, nodes // 10))))
    shortest, longest = SHORTEST_LONGEST[kind]
    end = min(timing.faults, begin + timing.pace * chance.uniform(shortest, longest))
    offset = chance.choice((-1, 1)) * chance.randint(60, HOURS_OFF * HOUR) if kind is Kind.CLOCK else 0
    return Fault(kind, begin, end, tuple(sorted(chosen)), offset)


def rounds_in(minutes: float, timing: Timing) -> int:
    """How many rounds fit, after a first calm and with some time for the checks; one at least."""
    checks = 0.25 * timing.calm
    return max(1, round((60 * minutes - timing.calm - checks) / (timing.round + checks)))

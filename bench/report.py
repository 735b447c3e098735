"""Medians of all rounds, their ratios, and the marks: as a table for people, as Markdown, as JSON."""

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from bench.half import Figures
from bench.workloads import ALL, WORKLOADS, Goal, Measure, Workload

SUBJECT: Final = "cortexnet"
"""The kind that the goals are about."""
HEADINGS: Final = ("workload", "measure", *ALL, "goal", "reached", "mark")
Rounds: TypeAlias = Mapping[str, Sequence[float]]
"""One measure of one workload: the figures of all rounds, by kind."""


@final
class Samples:
    """The figures of all rounds, and what could not be measured."""

    def __init__(self) -> None:
        self.rounds: dict[str, dict[str, dict[str, list[float]]]] = {}
        """By workload, measure and kind."""
        self.failures: list[str] = []

    def add(self, workload: Workload, kind: str, figures: Figures) -> None:
        measures = self.rounds.setdefault(workload.name, {})
        for key, value in figures.items():
            measures.setdefault(key, {}).setdefault(kind, []).append(value)

    def measured(self) -> Iterator[tuple[Workload, Measure, Rounds]]:
        """What there are figures of, in the order of the list of workloads."""
        for workload in WORKLOADS:
            for measure in workload.measures:
                rounds = self.rounds.get(workload.name, {}).get(measure.key)
                if rounds:
                    yield workload, measure, rounds


@final
@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal beside what was reached; `reached` is None where one of the two was not measured."""

    workload: str
    measure: str
    goal: str
    reached: float | None
    mark: str


def judge(workload: Workload, measure: Measure, goal: Goal, rounds: Rounds) -> Verdict:
    reached = None
    if SUBJECT in rounds and (goal.against is None or goal.against in rounds):
        reached = statistics.median(rounds[SUBJECT])
        if goal.against is not None:
            reached /= statistics.median(rounds[goal.against])
    mark = "not measured" if reached is None else "pass" if goal.is_met(reached) else "MISSED"
    scale = measure.unit if goal.against is None else f"× {goal.against}"
    return Verdict(workload.name, measure.key, f"{goal.relation} {goal.bound:,g} {scale}", reached, mark)


def verdicts(samples: Samples) -> list[Verdict]:
    return [judge(workload, measure, goal, rounds) for workload, measure, rounds in samples.measured() for goal in measure.goals]


def as_json(samples: Samples) -> dict[str, object]:
    """Every single figure, every goal and its mark."""
    return {
        "rounds": samples.rounds,
        "goals": [dataclasses.asdict(verdict) for verdict in verdicts(samples)],
        "failures": samples.failures,
    }


def table(samples: Samples) -> list[Sequence[str]]:
    """One row for each goal, or for each measure without one: `HEADINGS` name the columns."""
    rows: list[Sequence[str]] = []
    for workload, measure, rounds in samples.measured():
        figures = [workload.name, f"{measure.key}, {measure.unit}", *(spread(rounds.get(kind)) for kind in ALL)]
        judged = [judge(workload, measure, goal, rounds) for goal in measure.goals]
        for verdict in judged:
            rows.append((*figures, verdict.goal, short(verdict.reached), verdict.mark))
            figures = [""] * len(figures)
        if not judged:
            rows.append((*figures, "", "", ""))
    return rows


def spread(values: Sequence[float] | None) -> str:
    """The median, and between which figures the rounds lay."""
    if not values:
        return "–"
    return f"{short(statistics.median(values))} [{short(min(values))}–{short(max(values))}]"


def short(value: float | None) -> str:
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def as_text(samples: Samples) -> str:
    rows = [HEADINGS, *table(samples)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def as_markdown(samples: Samples, title: str) -> str:
    lines = [f"# {title}", "", f"| {' | '.join(HEADINGS)} |", f"|{' --- |' * len(HEADINGS)}"]
    lines += [f"| {' | '.join(row)} |" for row in table(samples)]
    lines += ["", "Median of the rounds [least–most]. Ratios are ratios of medians."]
    lines += [f"- {workload.name}: {workload.meaning}" for workload in WORKLOADS if workload.name in samples.rounds]
    lines += [f"- not measured: {failure}" for failure in samples.failures]
    return "\n".join(lines) + "\n"

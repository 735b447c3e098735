"""Medians of all rounds, their ratios, and the marks: as a table for people, as Markdown, as JSON."""

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from bench.half import Figures
from bench.workloads import BY_NAME, HOSTILE, KINDS, Goal, Measure, Workload

SUBJECT: Final = "cortexnet"
"""The kind that the goals are about."""
ATTACK_HEADINGS: Final = (
    "attack",
    "attacks, /s",
    "calm: p50, µs",
    "p99",
    "attacked: p50, µs",
    "p99",
    "× calm",
    "lost",
    "left: counters",
    "descriptors",
    "MiB",
    "mark",
)
ATTACK_COLUMNS: Final = ("rate", "calm_p50", "calm_p99", "p50", "p99", "times", "lost", "counters", "descriptors", "growth")
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
        for workload in BY_NAME.values():
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
        reached = typical(measure, rounds[SUBJECT])
        if goal.against is not None:
            reached /= statistics.median(rounds[goal.against])
    mark = "not measured" if reached is None else "pass" if goal.is_met(reached) else "MISSED"
    scale = measure.unit if goal.against is None else f"× {goal.against}"
    return Verdict(workload.name, measure.key, f"{goal.relation} {goal.bound:,g} {scale}", reached, mark)


def typical(measure: Measure, values: Sequence[float]) -> float:
    return max(values) if measure.is_worst else statistics.median(values)


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
    """The headings, and one row for each goal, or for each measure without one."""
    kinds = [kind for kind in KINDS if any(kind in rounds for _, _, rounds in samples.measured())]
    rows: list[Sequence[str]] = [("workload", "measure", *kinds, "goal", "reached", "mark")]
    for workload, measure, rounds in samples.measured():
        if workload in HOSTILE:
            continue
        figures = [workload.name, f"{measure.key}, {measure.unit}", *(spread(rounds.get(kind)) for kind in kinds)]
        judged = [judge(workload, measure, goal, rounds) for goal in measure.goals]
        for verdict in judged:
            rows.append((*figures, verdict.goal, short(verdict.reached), verdict.mark))
            figures = [""] * len(figures)
        if not judged:
            rows.append((*figures, "", "", ""))
    return rows


def attack_table(samples: Samples) -> list[Sequence[str]]:
    """One row for each attack: `ATTACK_HEADINGS` name the columns."""
    rows: dict[str, dict[str, str]] = {}
    missed: dict[str, list[str]] = {}
    for workload, measure, rounds in samples.measured():
        if workload not in HOSTILE:
            continue
        rows.setdefault(workload.name, {})[measure.key] = short(typical(measure, rounds[SUBJECT]))
        for goal in measure.goals:
            verdict = judge(workload, measure, goal, rounds)
            if verdict.mark != "pass":
                missed.setdefault(workload.name, []).append(f"{measure.key} {verdict.goal}")
    return [
        (name, *(row.get(key, "–") for key in ATTACK_COLUMNS), f"MISSED: {', '.join(missed[name])}" if name in missed else "pass")
        for name, row in rows.items()
    ]


def spread(values: Sequence[float] | None) -> str:
    """The median, and between which figures the rounds lay."""
    if not values:
        return "–"
    return f"{short(statistics.median(values))} [{short(min(values))}–{short(max(values))}]"


def short(value: float | None) -> str:
    if value is None:
        return "–"
    digits = 0 if abs(value) >= 100 or value == 0 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def tables(samples: Samples) -> list[list[Sequence[str]]]:
    """Those that have a row, each with its headings."""
    both = [table(samples), [ATTACK_HEADINGS, *attack_table(samples)]]
    return [rows for rows in both if len(rows) > 1]


def as_text(samples: Samples) -> str:
    return "\n\n".join(aligned(rows) for rows in tables(samples))


def aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def as_markdown(samples: Samples, title: str) -> str:
    lines = [f"# {title}"]
    for headings, *rows in tables(samples):
        lines += ["", f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", "Median of the rounds [least–most]; what must never happen is their worst. Ratios are ratios of medians."]
    lines += [f"- {workload.name}: {workload.meaning}" for workload in BY_NAME.values() if workload.name in samples.rounds]
    lines += [f"- not measured: {failure}" for failure in samples.failures]
    return "\n".join(lines) + "\n"

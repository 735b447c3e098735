"""What a scenario found out: figures beside their goals, and curves; as a table, as JSON, as a plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import final

from bench.plot import Curve, plot
from simulation.engine import Simulation

HEADINGS = ("scenario", "figure", "value", "goal", "mark")


@final
@dataclass(frozen=True, slots=True)
class Settings:
    """How a scenario is run."""

    nodes: int
    seed: int = 1
    scale: float = 1.0
    """Of the number of lookups, runs or hours that the goals are about: less than 1 for a quick look."""

    def times(self, number: int) -> int:
        """So many of `number`."""
        return max(1, round(number * self.scale))


@final
@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `goal` is (">=" or "<=", bound). What depends on the machine is `is_measured`, and no part of what a seed
    repeats."""

    name: str
    value: float
    unit: str = ""
    goal: tuple[str, float] | None = None
    is_measured: bool = False

    @property
    def mark(self) -> str:
        """Whether the goal is reached; empty where there is none."""
        if self.goal is None:
            return ""
        relation, bound = self.goal
        return "pass" if (self.value >= bound if relation == ">=" else self.value <= bound) else "MISSED"


@final
@dataclass(slots=True)
class Report:
    """The outcome of one scenario. `add` and `curve` while it runs, `close` at its end."""

    scenario: str
    settings: Settings
    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    _began: float = field(default_factory=process_time)

    def add(self, name: str, value: float, unit: str = "", goal: tuple[str, float] | None = None) -> None:
        """A figure that the seed repeats."""
        self.figures.append(Figure(name, value, unit, goal))

    def share(self, name: str, good: int, of: int, least: float | None = None) -> None:
        """How many per cent of something went well, and how many should."""
        self.add(name, 100 * good / of, "%", None if least is None else (">=", least))

    def spread(self, name: str, values: Sequence[float], unit: str, percents: Mapping[int, float | None]) -> None:
        """Percentiles of some values, each with the most that it may be, if there is one; and all of them as a curve."""
        for percent, bound in percents.items():
            self.add(f"{name}, p{percent}", percentile(values, percent), unit, None if bound is None else ("<=", bound))
        label = f"{name} ({unit})" if unit else name
        self.curves.append(Curve(f"{self.scenario}, {label}, by percentile", percentiles(values)))

    def measure(self, name: str, value: float, unit: str, goal: tuple[str, float] | None = None) -> None:
        """A figure that depends on the machine."""
        self.figures.append(Figure(name, value, unit, goal, is_measured=True))

    def close(self, simulation: Simulation | None = None, *, limit: float | None = None) -> "Report":
        """Adds what it took; `limit` is the most seconds of one core that it may take."""
        if simulation is not None:
            self.add("events", simulation.events)
            self.add("virtual time", simulation.now, "s")
        self.measure("processor time", process_time() - self._began, "s", None if limit is None else ("<=", limit))
        return self

    @property
    def missed(self) -> list[Figure]:
        """The figures whose goal is not reached."""
        return [figure for figure in self.figures if figure.mark == "MISSED"]


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many per cent do not exceed; of no values 0."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0


def percentiles(values: Sequence[float]) -> list[tuple[float, float]]:
    """Points of a curve over 1 to 100 per cent."""
    return [(float(percent), percentile(values, percent)) for percent in (*range(1, 100), 99.9)]


def as_text(reports: Sequence[Report]) -> str:
    """A table: one row for each figure."""
    rows = [HEADINGS]
    for report in reports:
        name = f"{report.scenario}, {report.settings.nodes:,} nodes"
        for figure in report.figures:
            goal = "" if figure.goal is None else f"{figure.goal[0]} {figure.goal[1]:,g}"
            rows.append((name, figure.name, f"{short(figure.value)} {figure.unit}".rstrip(), goal, figure.mark))
            name = ""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def short(value: float) -> str:
    """A number as people read it."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def as_json(reports: Sequence[Report]) -> list[dict[str, object]]:
    """Everything; what depends on the machine is apart, under `measured`."""
    return [
        {
            "scenario": report.scenario,
            "nodes": report.settings.nodes,
            "seed": report.settings.seed,
            "scale": report.settings.scale,
            "figures": [_as_dict(figure) for figure in report.figures if not figure.is_measured],
            "curves": {curve.name: [list(point) for point in curve.points] for curve in report.curves},
            "measured": [_as_dict(figure) for figure in report.figures if figure.is_measured],
        }
        for report in reports
    ]


def _as_dict(figure: Figure) -> dict[str, object]:
    goal = None if figure.goal is None else f"{figure.goal[0]} {figure.goal[1]:g}"
    return {"name": figure.name, "value": figure.value, "unit": figure.unit, "goal": goal, "mark": figure.mark}


def write_svg(path: Path, title: str, reports: Sequence[Report]) -> bool:
    """A panel for each curve; whether there is one."""
    curves = [curve for report in reports for curve in report.curves]
    if curves:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(plot(title, curves, is_logarithmic=False))
    return bool(curves)

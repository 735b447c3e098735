"""Curves over a logarithmic axis as SVG: enough for a report, without a library that is larger than all that is measured."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, final

WIDTH: Final = 640
HEIGHT: Final = 260
MARGIN: Final = 60
COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b")


@final
@dataclass(frozen=True, slots=True)
class Curve:
    """Points of x (positive) and y; its y axis begins at 0 and is its own."""

    name: str
    points: Sequence[tuple[float, float]]


def plot(title: str, curves: Sequence[Curve]) -> str:
    """One panel a curve, one below the other, over the same logarithmic x axis."""
    height = HEIGHT * len(curves) + MARGIN // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-size="14">{escape(title)}</text>',
    ]
    for number, curve in enumerate(curves):
        parts += _panel(curve, MARGIN // 2 + number * HEIGHT, COLOURS[number % len(COLOURS)])
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(curve: Curve, top: int, colour: str) -> list[str]:
    left, right, bottom = MARGIN, WIDTH - MARGIN // 2, top + HEIGHT - MARGIN
    most = max(y for _, y in curve.points) or 1.0
    first, last = math.log(curve.points[0][0]), math.log(curve.points[-1][0])
    span = last - first or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (math.log(x) - first) / span * (right - left), bottom - y / most * (bottom - top - 20)

    parts = [
        f'<text x="{left}" y="{top + 12}" fill="{colour}">{escape(curve.name)}</text>',
        f'<path d="M{left},{top + 20}V{bottom}H{right}" fill="none" stroke="black"/>',
        f'<text x="{left - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{left - 6}" y="{top + 26}" text-anchor="end">{most:,.0f}</text>',
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve.points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for x, y in curve.points:
        at_x, at_y = place(x, y)
        parts.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="3" fill="{colour}"/>')
        parts.append(f'<text x="{at_x:.1f}" y="{bottom + 16}" text-anchor="middle">{x:,g}</text>')
    return parts

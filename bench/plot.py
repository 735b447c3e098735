"""Curves as SVG: enough for a report, without a library that is larger than all that is measured."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, final

WIDTH: Final = 640
HEIGHT: Final = 260
MARGIN: Final = 60
NAMED: Final = 20
"""Points of a curve that are named at most; there is room for no more."""
COLOURS: Final = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b")


@final
@dataclass(frozen=True, slots=True)
class Curve:
    """Points of x and y; its y axis begins at 0 and is its own. On a logarithmic axis x is positive."""

    name: str
    points: Sequence[tuple[float, float]]


def plot(title: str, curves: Sequence[Curve], *, is_logarithmic: bool = True) -> str:
    """One panel a curve, one below the other; where its points are few, each is marked and named."""
    height = HEIGHT * len(curves) + MARGIN // 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-size="14">{escape(title)}</text>',
    ]
    for number, curve in enumerate(curves):
        scale = math.log if is_logarithmic else float
        parts += _panel(curve, MARGIN // 2 + number * HEIGHT, COLOURS[number % len(COLOURS)], scale)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(curve: Curve, top: int, colour: str, scale: Callable[[float], float]) -> list[str]:
    left, right, bottom = MARGIN, WIDTH - MARGIN // 2, top + HEIGHT - MARGIN
    most = max(y for _, y in curve.points) or 1.0
    first, last = scale(curve.points[0][0]), scale(curve.points[-1][0])
    span = last - first or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (scale(x) - first) / span * (right - left), bottom - y / most * (bottom - top - 20)

    parts = [
        f'<text x="{left}" y="{top + 12}" fill="{colour}">{escape(curve.name)}</text>',
        f'<path d="M{left},{top + 20}V{bottom}H{right}" fill="none" stroke="black"/>',
        f'<text x="{left - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<text x="{left - 6}" y="{top + 26}" text-anchor="end">{most:,.{0 if most >= 100 else 1}f}</text>',
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in curve.points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    step = max(1, len(curve.points) // NAMED)
    for x, y in curve.points[::step]:
        at_x, at_y = place(x, y)
        if step == 1:
            parts.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="3" fill="{colour}"/>')
        parts.append(f'<text x="{at_x:.1f}" y="{bottom + 16}" text-anchor="middle">{x:,g}</text>')
    return parts

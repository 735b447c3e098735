"""What came of a soak, for people and as JSON."""

from statistics import fmean
from typing import Any

from soak.checks import MIB
from soak.director import Report


def is_well(report: Report) -> bool:
    """Whether no check has failed, and memory has not grown too much."""
    return not report.failures and not report.growth.is_too_much


def memory(report: Report) -> list[tuple[float, float]]:
    """At each minute the mean of all processes in MiB, those that were started anew included."""
    by_minute: dict[int, list[float]] = {}
    for when, sizes in report.memory:
        by_minute.setdefault(int(when // 60), []).extend(sizes.values())
    return [(minute, fmean(sizes) / MIB) for minute, sizes in by_minute.items() if sizes]


def as_text(report: Report) -> str:
    """Lines."""
    settings = report.settings
    speed = "" if settings.speed == 1 else f" at a speed of {settings.speed}"
    head = f"soak: {settings.nodes} nodes, {settings.rounds} rounds, seed {settings.seed}"
    head += f", {report.seconds / 60:.1f} minutes{speed}"
    rows = [
        f"{each.number:5}  {each.connections:11}  {each.messages:8}  {each.records:8}  {each.took:8.0f} s  {each.late:4.1f} s"
        for each in report.rounds
    ]
    lines = [
        head,
        "",
        f"{'round':>5}  {'connections':>11}  {'messages':>8}  {'look-ups':>8}  {'checked in':>10}  {'late':>6}",
        *rows,
    ]
    done = ", ".join(f"{count} {what}" for what, count in report.done.items())
    sizes = memory(report)
    lines += ["", done]
    if sizes:
        middle, last = sizes[min(4, len(sizes) - 1)][1], sizes[-1][1]
        lines.append(f"memory, the mean of all processes: {middle:.1f} MiB in the fifth minute, {last:.1f} in the last")
    lines.append(f"of those that were there all the time, {report.growth}")
    lines += ["", *[f"FAILED: {failure}" for failure in report.failures]]
    if report.growth.is_too_much:
        lines.append(f"FAILED: all: {report.growth}")
    lines.append("all is well" if is_well(report) else f"{len(report.failures)} checks have failed")
    return "\n".join(lines)


def as_json(report: Report) -> dict[str, Any]:
    """The same, and the memory of each minute."""
    return {
        "nodes": report.settings.nodes,
        "seed": report.settings.seed,
        "speed": report.settings.speed,
        "seconds": round(report.seconds, 1),
        "is_well": is_well(report),
        "failures": [{"round": each.round, "node": each.node, "what": each.what} for each in report.failures],
        "rounds": [
            {
                "number": each.number,
                "connections": each.connections,
                "messages": each.messages,
                "lookups": each.records,
                "checked_in": round(each.took, 1),
                "late": round(each.late, 1),
                "faults": each.faults,
            }
            for each in report.rounds
        ],
        "done": report.done,
        "growth": {"what": report.growth.what, "value": round(report.growth.value, 2), "limit": report.growth.limit},
        "memory_mib_by_minute": [[minute, round(size, 2)] for minute, size in memory(report)],
    }

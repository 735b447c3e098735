"""From peers and scenarios to cells and results."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import final

from interop.harness.cell import Cell, Result
from interop.harness.peers import PeerKind, PeerUnusable, build
from interop.harness.process import Answer, OperationFailed, PeerDied, PeerProcess
from interop.harness.scenario import Scenario
from interop.harness.stack import common_stacks

Pair = tuple[str, str]

SECOND_TRIES = 3  # of a whole run: more cells than this that fail are no bad luck


@final
@dataclass(slots=True)
class Field:
    """The peers at hand. `able` answered `describe`, `absent` lack their toolchain, `broken` did not build or answer.

    `stacks` are patterns of those that are wanted ("ws noise *").
    """

    able: dict[str, tuple[PeerKind, Answer]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    stacks: Sequence[str] = ("*",)


async def prepare(kinds: Iterable[PeerKind], say: Callable[[str], None]) -> Field:
    """Build every peer whose toolchain is there, and ask it what it can do."""
    found = Field()
    for kind in kinds:
        missing = kind.missing()
        if missing is not None:
            found.absent[kind.name] = missing
            continue
        say(f"building {kind.name}: {kind.about}")
        try:
            await build(kind)
            async with PeerProcess(kind, "peer") as process:
                found.able[kind.name] = (kind, await process.request("describe"))
        except (PeerUnusable, PeerDied, OperationFailed, TimeoutError, OSError) as error:
            found.broken[kind.name] = str(error)
    return found


def all_pairs(names: Sequence[str]) -> list[Pair]:
    """Every peer with every peer, itself included, both ways: (dialer, listener)."""
    return [(dialer, listener) for dialer in names for listener in names]


def plan(found: Field, pair: Pair, scenarios: Sequence[Scenario]) -> list[Cell]:
    """The cells of a pair of able peers: everything on their first wanted stack, then what is for every stack on the others."""
    (dialer, can_dial), (listener, can_listen) = found.able[pair[0]], found.able[pair[1]]
    stacks = [
        stack for stack in common_stacks(can_dial, can_listen) if any(fnmatchcase(str(stack), wanted) for wanted in found.stacks)
    ]
    return [
        Cell(dialer, listener, scenario, stack, (can_dial, can_listen), found.able.get(scenario.guest))
        for number, stack in enumerate(stacks)
        for scenario in scenarios
        if scenario.is_for(stack, is_first=number == 0) and scenario.is_for_pair(*pair)
    ]


def unplayable(found: Field, pair: Pair, scenarios: Sequence[Scenario], *, required: bool) -> list[Result]:
    """The results of a pair that cannot be run: skipped where a toolchain is missing and not `required`, else failed."""
    reasons = [f"{name}: {text}" for name in dict.fromkeys(pair) for text in (_reason(found, name),) if text]
    if not reasons:
        return []
    failed = required or any(name in found.broken for name in pair)
    detail = "; ".join(reasons)
    return [Result(*pair, scenario.name, "", "failed" if failed else "skipped", detail=detail) for scenario in scenarios]


def _reason(found: Field, name: str) -> str | None:
    return found.absent.get(name) or found.broken.get(name)


async def play(
    found: Field,
    pairs: Sequence[Pair],
    scenarios: Sequence[Scenario],
    logs: Path,
    *,
    required: bool,
    say: Callable[[Result], None],
) -> list[Result]:
    """Run every cell, one after the other: two cores are two peers. `say` hears of each result as it comes.

    A cell that failed is run a second time, a few of them: processes on a busy machine may miss a deadline. What it failed of the
    first time stays in its result, so that it is told and not hidden.
    """
    results: list[Result] = []
    tries = SECOND_TRIES

    def keep(result: Result) -> None:
        results.append(result)
        say(result)

    for pair in pairs:
        lost = unplayable(found, pair, scenarios, required=required)
        for result in lost:
            keep(result)
        for cell in [] if lost else plan(found, pair, scenarios):
            result = await cell.run(logs)
            if result.outcome == "failed" and tries:
                tries -= 1
                say(result)
                again = await cell.run(logs / "again")
                result = replace(again, detail=result.detail, logs=result.logs) if again.outcome == "passed" else again
            keep(result)
    return results

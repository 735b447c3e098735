"""The interop harness: `python -m interop.run` builds every peer, runs every scenario over ordered pairs, reports."""

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from interop.harness import report
from interop.harness.cell import Result
from interop.harness.matrix import Field, Pair, all_pairs, play, prepare
from interop.harness.peers import PeerKind, load_peers
from interop.harness.scenario import Scenario
from interop.scenarios.catalogue import ALL

ROOT = Path(__file__).resolve().parent.parent
OURS = "cortexnet"
REQUIRED = "CORTEXNET_INTEROP"  # set to "required", a peer that cannot be built for want of a toolchain is a failure


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m interop.run", description=__doc__)
    parser.add_argument("--pair", action="append", metavar="DIALER:LISTENER", help="only this pair; may be repeated")
    parser.add_argument("--all-pairs", action="store_true", help="also pairs of others alone")
    parser.add_argument("--scenario", action="append", metavar="PATTERN", help="only scenarios that match; may be repeated")
    parser.add_argument("--stack", action="append", metavar="PATTERN", help="only stacks that match, such as 'ws noise *'")
    parser.add_argument("--results", type=Path, default=ROOT / "interop" / "results", help="folder for reports and logs")
    parser.add_argument("--list", action="store_true", help="name peers and scenarios and stop")
    return parser.parse_args(argv)


def chosen_pairs(wanted: Sequence[str] | None, names: Sequence[str], *, others: bool) -> list[Pair]:
    """The pairs asked for, or those that cortexnet is in, or all with `others`. Raises SystemExit at a name that is no peer's."""
    if not wanted:
        return [pair for pair in all_pairs(names) if others or OURS in pair]
    pairs = []
    for text in wanted:
        dialer, _, listener = text.partition(":")
        if dialer not in names or listener not in names:
            raise SystemExit(f"--pair {text}: the peers are {', '.join(names)}")
        pairs.append((dialer, listener))
    return pairs


def chosen_scenarios(patterns: Sequence[str] | None) -> list[Scenario]:
    """The scenarios that match one of the patterns, or all. Raises SystemExit if that leaves none.

    Those on request must be named as they are.
    """
    wanted = patterns or ("*",)
    chosen = [
        each
        for each in ALL
        if each.name in wanted or (not each.on_request and any(fnmatchcase(each.name, pattern) for pattern in wanted))
    ]
    if not chosen:
        raise SystemExit(f"no scenario matches {', '.join(patterns or ())}; --list names them")
    return chosen


def print_list(kinds: Sequence[PeerKind]) -> None:
    """What --pair and --scenario can name."""
    for kind in kinds:
        print(f"peer      {kind.name:26} {kind.about}")
    for scenario in ALL:
        print(f"scenario  {scenario.name:26} {scenario.about}")


def say_result(result: Result) -> None:
    """A line as soon as a cell is done, and before its second try."""
    detail = f": {result.detail}" if result.outcome == "failed" else ""
    if result.outcome != "skipped":
        print(f"{result.pair:24} {result.scenario:28} {result.stack:16} {report.WORDS[result.outcome]}{detail}", flush=True)


def describe(found: Field) -> dict[str, str]:
    """Each peer in a line, for the report."""
    lines = {
        name: f"{can.get('implementation')} {can.get('version')} ({can.get('runtime')})" for name, (_, can) in found.able.items()
    }
    lines |= {name: f"not run: {reason}" for name, reason in found.absent.items()}
    lines |= {name: f"broken: {reason}" for name, reason in found.broken.items()}
    return lines


def warn(found: Field, *, required: bool) -> None:
    """A peer left out must not be overlooked."""
    for name, reason in found.absent.items():
        verdict = "FAILED, it is required" if required else "SKIPPED"
        print(f"\n*** peer {name} {verdict}: {reason} ***\n", file=sys.stderr)
    for name, reason in found.broken.items():
        print(f"\n*** peer {name} FAILED: {reason} ***\n", file=sys.stderr)


async def main(options: argparse.Namespace) -> int:
    """0 if nothing failed, else 1."""
    kinds = load_peers(ROOT)
    if options.list:
        print_list(kinds)
        return 0
    pairs = chosen_pairs(options.pair, [kind.name for kind in kinds], others=options.all_pairs)
    scenarios = chosen_scenarios(options.scenario)
    required = os.environ.get(REQUIRED) == "required"
    wanted = {name for pair in pairs for name in pair} | {scenario.guest for scenario in scenarios}
    found = await prepare([kind for kind in kinds if kind.name in wanted], print)
    found.stacks = options.stack or ("*",)
    warn(found, required=required)
    logs = options.results / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    results = await play(found, pairs, scenarios, logs, required=required, say=say_result)
    report.write(results, describe(found), options.results)
    print(f"\n{report.table(results)}\n\n{report.summary(results)}; reports in {options.results}")
    warn(found, required=required)
    print("".join(f"{line}\n" for line in report.troubles(results)), end="")  # last, where the eye falls and a log is cut
    return 1 if any(result.outcome == "failed" for result in results) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))

"""The command `python -m bench`: rounds in which every workload is measured once on every kind, then the report.

The kinds take turns within each round, in the opposite order in every other one, so that a machine that slows down for a while
slows all of them. Only ratios of one run mean anything; absolute figures on a shared machine do not.
"""

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import py_peer, report
from bench.attack import measure_attack
from bench.busy import measure_busy
from bench.gossip import measure_gossip
from bench.half import Task
from bench.imports import measure_imports
from bench.pair import CEILING, CORTEXNET, Kind, measure_pair, meter_pair
from bench.process import ROOT, MeasurementFailed
from bench.stacks import STACKS
from bench.steered import GO, JS, RUST
from bench.workloads import ATTACKS, BUSY, BY_NAME, DHT, FLOODS, GOSSIP, HOSTILE, ON_STACKS, REQUESTS, WORKLOADS, Workload

RESULTS: Final = ROOT / "bench" / "results"
PROFILED: Final = (CEILING, CORTEXNET)
GROUPS: Final = {
    "requests": (BY_NAME["requests"], *REQUESTS),
    "stacks": ON_STACKS,
    "dht": DHT,
    "gossip": GOSSIP,
    "attack": ATTACKS,
    "flood": FLOODS,
}
PROFILE_GOAL: Final = 0.6
"""Least share of cipher and system calls in the work of bulk."""


def main() -> int:
    """Returns the exit status: 0 unless something could not be measured. A missed goal is a figure, not a failure."""
    options = parsed(sys.argv[1:])
    if options.workloads == ["profile"]:
        return asyncio.run(print_profile())
    samples = report.Samples()
    title = asyncio.run(measure(options, samples))
    outcome = {"title": title, **report.as_json(samples)}
    keep(outcome, report.as_markdown(samples, title))
    print(json.dumps(outcome, indent=1) if options.json else f"{title}\n\n{report.as_text(samples)}")
    for failure in samples.failures:
        print(f"NOT MEASURED: {failure}", file=sys.stderr)
    return 1 if samples.failures else 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    lines = [f"  {workload.name:18}{workload.meaning}" for workload in WORKLOADS]
    lines.append(f"  {'requests':18}that one above, and beside go-, rust-, js- and py-libp2p:")
    lines += [f"    {workload.name:22}{workload.meaning}" for workload in REQUESTS]
    lines.append(f"  {'stacks':18}bulk, messages, round trips and dials over each of {', '.join(STACKS)}")
    lines.append(f"  {'dht':18}all of these:")
    lines += [f"    {workload.name:22}{workload.meaning}" for workload in DHT]
    lines += [f"  {workload.name:18}{workload.meaning}" for workload in (*GOSSIP, *BUSY)]
    lines.append(f"  {'attack':18}all of these: round trips of an honest peer, and what is left when everybody has gone")
    lines += [f"    {workload.name:16}{workload.meaning}" for workload in ATTACKS]
    lines.append(f"  {'flood':18}all of these: dials of honest peers from other addresses than the attacker's")
    lines += [f"    {workload.name:16}{workload.meaning}" for workload in FLOODS]
    lines.append(f"  {'profile':18}where the time of bulk goes: cipher, system calls, Python")
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure cortexnet against a ceiling for pure Python, go-libp2p and rust-libp2p, and mark the goals.",
        epilog="workloads:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="workload",
        type=workload_name,
        help="by default all but groups and profile",
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds; the report has their medians (default 5)")
    parser.add_argument("--no-go", dest="without", action="append_const", const=GO.name, default=[], help="leave out go-libp2p")
    parser.add_argument("--no-rust", dest="without", action="append_const", const=RUST.name, help="leave out rust-libp2p")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_args(arguments)
    if "profile" in options.workloads and len(options.workloads) > 1:
        parser.error("`profile` stands alone")
    return options


def workload_name(text: str) -> str:
    if text not in BY_NAME and text not in (*GROUPS, "profile"):
        raise argparse.ArgumentTypeError(f"there is no workload {text!r}")
    return text


def chosen(names: Sequence[str]) -> Sequence[Workload]:
    return [workload for name in names for workload in GROUPS.get(name) or (BY_NAME[name],)] or WORKLOADS


async def measure(options: argparse.Namespace, samples: report.Samples) -> str:
    """Fill the samples; returns a line that says what was measured and where."""
    kinds = {kind.name: kind for kind in (CEILING, CORTEXNET)}
    workloads = chosen(options.workloads)
    others = [(stack.kind, stack.build) for stack in (GO, RUST, JS)] + [(py_peer.PY, py_peer.install)]
    versions = []
    for kind, prepare in others:
        if kind.name in options.without or not any(kind.name in workload.kinds for workload in workloads):
            continue
        try:
            versions.append(await prepare())
            kinds[kind.name] = kind
        except MeasurementFailed as error:
            samples.failures.append(f"{kind.name}-libp2p, in all workloads: {error}")
    for number in range(options.rounds):
        for workload in workloads:
            print(f"round {number + 1} of {options.rounds}: {workload.name}", file=sys.stderr)
            await measure_round(workload, turns(workload, kinds, number), samples)
    return ", ".join([f"cortexnet ({revision()})", environment(), *versions, f"{options.rounds} rounds"])


def turns(workload: Workload, kinds: dict[str, Kind], number: int) -> list[Kind]:
    present = [kinds[name] for name in workload.kinds if name in kinds and not (workload.go_half and GO.name not in kinds)]
    return present[::-1] if number % 2 else present


async def measure_round(workload: Workload, kinds: Sequence[Kind], samples: report.Samples) -> None:
    for kind in kinds:
        try:
            if workload.name == "import":
                figures = await measure_imports(workload.amount)
            elif workload in GOSSIP:
                figures = await measure_gossip(kind.name, workload.amount)
            elif workload in BUSY:
                figures = await measure_busy(workload.amount)
            elif workload in HOSTILE:
                figures = await measure_attack(Task(workload.name, workload.amount))
            else:
                figures = await measure_pair(halves(kind, workload), task_of(workload))
        except MeasurementFailed as error:
            samples.failures.append(f"{workload.name} of {kind.name}: {error}")
        else:
            samples.add(workload, kind.name, figures)


def task_of(workload: Workload) -> Task:
    return Task(workload.task or workload.name, workload.amount, stack=workload.stack)


def halves(kind: Kind, workload: Workload) -> Kind:
    """The kind, with one half from go where the workload wants that."""
    if kind is CORTEXNET and workload.go_half == "server":
        return replace(kind, start_server=GO.kind.start_server)
    if kind is CORTEXNET and workload.go_half == "client":
        return replace(kind, start_client=GO.kind.start_client)
    return kind


async def print_profile() -> int:
    """For bulk to the server: how much of the work is cipher and system calls, and which functions the rest is."""
    task = Task("bulk_up", BY_NAME["bulk_up"].amount)
    for kind in PROFILED:
        try:
            halves = await meter_pair(kind, task, "shares")
            functions = await meter_pair(kind, task, "functions")
        except MeasurementFailed as error:
            print(f"NOT MEASURED: profile of {kind.name}: {error}", file=sys.stderr)
            return 1
        for half, seconds in halves.items():
            print(f"{kind.name}, {half}: {divided(seconds)}")
            for name, share, calls in functions[half]["largest"]:
                print(f"  {share:6.1%}  {calls:9,}  {name}")
        both = {key: sum(half[key] for half in halves.values()) for key in ("work", "cipher", "system")}
        mark = "pass" if both["cipher"] + both["system"] >= PROFILE_GOAL * both["work"] else "MISSED"
        print(f"{kind.name}, both: {divided(both)}; goal ≥ {PROFILE_GOAL:.0%}: {mark}\n")
    return 0


def divided(seconds: Mapping[str, float]) -> str:
    work, cipher, system = seconds["work"], seconds["cipher"], seconds["system"]
    return (
        f"cipher {cipher / work:.0%} + system calls {system / work:.0%} = {(cipher + system) / work:.0%} of {work:.2f} s of work"
    )


def revision() -> str:
    """The commit of the tree that is measured, marked if files differ from it; empty outside a clone."""
    command = ["git", "describe", "--always", "--dirty=, changed"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def environment() -> str:
    python = f"CPython {platform.python_version()}, cryptography {importlib.metadata.version('cryptography')}"
    return f"{python}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def keep(outcome: dict[str, object], markdown: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y-%m-%d-%H%M%S")
    Path(f"{path}.json").write_text(json.dumps(outcome, indent=1))
    Path(f"{path}.md").write_text(markdown)

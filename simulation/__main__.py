"""Runs scenarios, and reports whether they reach their goals.

    python -m simulation                        # all of all protocols
    python -m simulation kad                    # all of one
    python -m simulation kad lookups --nodes 1000 --seed 7 --json

A table goes to stdout (with --json: JSON instead), JSON and a plot (SVG) to `simulation/results`. Exits with 1 where a goal is
missed.
"""

import argparse
import gc
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from simulation.report import Report, Settings, as_json, as_text, write_svg

PROTOCOLS: Final = ("kad", "gossip")
"""Each is a folder with a `scenarios.py`: its `SCENARIOS` are functions from `Settings` to `Report`, with how many nodes."""
RESULTS: Final = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description="Protocol cores by the thousand on virtual time.")
    parser.add_argument("protocol", nargs="?", choices=PROTOCOLS, help="all, if there is none")
    parser.add_argument("scenario", nargs="?", help="all of the protocol, if there is none")
    parser.add_argument("--nodes", type=int, help="instead of the number that the goals are about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of lookups, runs and hours; 0.1 for a quick look")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder that JSON and plots go to")
    options = parser.parse_args(arguments)
    gc.set_threshold(200_000, 20, 50)  # a simulation makes millions of objects that live, and few that are garbage in a circle
    reports: list[Report] = []
    for protocol in PROTOCOLS if options.protocol is None else (options.protocol,):
        of_protocol = list(_run(protocol, options))
        reports += of_protocol
        _keep(options.results, protocol, of_protocol)
    print(json.dumps(as_json(reports), indent=1) if options.json else as_text(reports))
    return 1 if any(report.missed for report in reports) else 0


def _run(protocol: str, options: argparse.Namespace) -> Iterator[Report]:
    scenarios: Mapping[str, tuple[object, int]] = import_module(f"simulation.{protocol}.scenarios").SCENARIOS
    if options.scenario is not None and options.scenario not in scenarios:
        sys.exit(f"there is no scenario {options.scenario!r}; there are {', '.join(scenarios)}")
    for name, (scenario, nodes) in scenarios.items():
        if options.scenario in (None, name):
            assert callable(scenario)
            print(f"{protocol} {name}", file=sys.stderr)
            yield scenario(Settings(options.nodes or nodes, options.seed, options.scale))


def _keep(folder: Path, protocol: str, reports: Sequence[Report]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    name = protocol if len(reports) > 1 else f"{protocol}-{reports[0].scenario}"
    (folder / f"{name}.json").write_text(json.dumps(as_json(reports), indent=1) + "\n")
    write_svg(folder / f"{name}.svg", name, reports)


if __name__ == "__main__":
    sys.exit(main())

"""Runs the soak.

    python -m soak                              # ten minutes, 30 nodes
    python -m soak --minutes 480                # eight hours
    python -m soak --minutes 480 --speed 4      # eight hours of the nodes, in two of ours
    python -m soak --nodes 12 --seed 7 --json

What happens goes to stderr, what came of it to stdout (with --json: JSON instead), JSON to `soak/results`. Exits with 1 where a
check has failed: then what the nodes have logged and kept stays, and its folder is named.
"""

import argparse
import asyncio
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from soak.clock import Speed
from soak.director import Director, Settings
from soak.network import LARGEST
from soak.plan import Timing, rounds_in
from soak.report import as_json, as_text, is_well

FASTEST: Final = 10
"""Speed at which the timeouts of nodes, seconds at least, are still longer than what a machine with other work takes."""
RESULTS: Final = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m soak", description="Nodes over real sockets, under all kinds of faults.")
    parser.add_argument("--minutes", type=float, default=10.0, help="rounds of 150 s as they fit, after a minute of calm")
    parser.add_argument("--nodes", type=int, default=30)
    parser.add_argument("--speed", type=int, default=1, help="seconds that pass for nodes and faults in one second")
    parser.add_argument("--seed", type=int, help="of the faults and of who does what; drawn, and told, if there is none")
    parser.add_argument("--json", action="store_true", help="JSON instead of the text")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder that JSON goes to")
    options = parser.parse_args(arguments)
    if not sys.platform.startswith("linux"):
        sys.exit("the soak needs Linux: addresses 127.0.1.*, and /proc to see what a process holds")
    if not 3 <= options.nodes <= LARGEST:
        sys.exit(f"a soak has 3 to {LARGEST} nodes")
    if not 1 <= options.speed <= FASTEST:
        sys.exit(f"a soak has a speed of 1 to {FASTEST}")
    seed = secrets.randbits(32) if options.seed is None else options.seed
    timing = Timing()
    rounds = rounds_in(options.minutes, timing)
    settings = Settings(
        minutes=options.minutes, nodes=options.nodes, rounds=rounds, seed=seed, timing=timing, speed=options.speed
    )
    folder = Path(tempfile.mkdtemp(prefix="cortexnet-soak-"))
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{options.speed * (time.monotonic() - began):7.1f} {text}", file=sys.stderr, flush=True)

    say(f"{settings.nodes} nodes, {settings.rounds} rounds, seed {seed}, in {folder}")
    with asyncio.Runner(loop_factory=Speed(options.speed, 0).loop) as runner:
        report = runner.run(Director(settings, folder, say).run())
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "soak.json").write_text(json.dumps(as_json(report), indent=1) + "\n")
    print(json.dumps(as_json(report), indent=1) if options.json else as_text(report))
    if is_well(report):
        shutil.rmtree(folder)
        return 0
    say(f"what the nodes have logged is in {folder}/node-*/log")
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""Run the property tests again and again, with a new seed each round, until the time is over.

    python scripts/fuzz.py --seconds 600 tests/mux

A round runs every test file that uses hypothesis, in an order of its own, so that a short time is not spent on the same few.
Seeds are printed, and kept in .hypothesis/fuzz-seeds.txt; failing examples are kept in .hypothesis/examples, from where every
later run of the tests repeats them first. The exit status is 1 if a round failed.
"""

import argparse
import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ROOT / ".hypothesis" / "fuzz-seeds.txt"
TEST_TIMEOUT = 300  # seconds a single test may take: it runs 1,000 examples
UNTIL = "CORTEXNET_FUZZ_UNTIL"  # tells tests/conftest.py when to begin no further test
NOTHING_COLLECTED = 5  # pytest's exit status


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, help="of the first round; later ones draw theirs")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    parser.add_argument("paths", nargs="*", default=["tests"], help="test files or folders (tests)")
    return parser.parse_args(argv)


def property_tests(paths: Sequence[str]) -> list[str]:
    """The test files under `paths` that use hypothesis."""
    places = [ROOT / path for path in paths]
    files = [file for place in places for file in (sorted(place.rglob("test_*.py")) if place.is_dir() else [place])]
    return [str(file.relative_to(ROOT)) for file in files if "hypothesis" in file.read_text(encoding="utf-8")]


def play(files: Sequence[str], seed: int, seconds: float, workers: int) -> bool:
    """One round: whether it passed. After `seconds` no further test is begun."""
    order = list(files)
    random.Random(seed).shuffle(order)
    options = [f"--hypothesis-seed={seed}", "--hypothesis-profile=fuzz", f"--timeout={TEST_TIMEOUT}", f"-n{workers}"]
    command = [sys.executable, "-m", "pytest", "-q", "-r", "fE", "-m", "hypothesis", *options, *order]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"CI": "", UNTIL: str(time.time() + seconds)})
    try:
        return process.wait(seconds + TEST_TIMEOUT) in (0, NOTHING_COLLECTED)
    except subprocess.TimeoutExpired:
        print("=== it hangs")
        return False
    finally:
        process.kill()


def keep(seed: int, passed: bool) -> None:
    """Note a round in the file of seeds."""
    SEEDS.parent.mkdir(exist_ok=True)
    word = "passed" if passed else "FAILED"
    with SEEDS.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} seed {seed} {word}\n")


def main(options: argparse.Namespace) -> int:
    """0 if no round failed, else 1."""
    files = property_tests(options.paths)
    if not files:
        print("there are no property tests here")
        return 1
    deadline = time.monotonic() + options.seconds
    rounds, failed = 0, []
    seed = options.seed
    while (left := deadline - time.monotonic()) > 1:
        seed = secrets.randbits(32) if seed is None else seed
        print(f"=== round {rounds + 1}: seed {seed}, {len(files)} files, {left:.0f} s left", flush=True)
        passed = play(files, seed, left, options.workers)
        keep(seed, passed)
        rounds += 1
        if not passed:
            failed.append(seed)
        seed = None
    print(f"=== {rounds} rounds in {options.seconds:g} s, {len(failed)} failed" + "".join(f"; seed {seed}" for seed in failed))
    print(f"=== seeds: {SEEDS.relative_to(ROOT)}; failing examples: .hypothesis/examples")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(arguments()))

"""Run the tests under coverage; fail unless every branch of every protocol core was taken.

    python scripts/coverage_of_cores.py [pytest's arguments]

What a core is stands in tests/architecture/layers.py. Shells are reported too: they have no figure to reach.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.architecture.layers import cores  # noqa: E402  # needs the path above

NO_CORES = ("architecture", "cli", "interop", "simulation", "soak", "test_examples.py", "test_packaging.py")
"""Tests of what is no core, or that take minutes under coverage and find no branch that the cores' own tests have not taken."""


def coverage(*arguments: str) -> int:
    """The exit status of the coverage tool."""
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, check=False).returncode


def main(options: Sequence[str]) -> int:
    """0 if the tests pass and the cores are covered in full."""
    coverage("erase")
    ignored = [f"--ignore=tests/{name}" for name in NO_CORES]
    status = coverage("run", "-m", "pytest", "-q", *ignored, *options)
    coverage("combine", "--quiet")
    core_files = ",".join(str(core.path.relative_to(ROOT)) for core in cores())
    print("\n=== shells (for information)")
    coverage("report", "--skip-covered", "--omit", f"cortexnet/testing/*,{core_files}")
    print("\n=== cores: 100 % of lines and branches")
    covered = coverage("report", "--skip-covered", "--show-missing", "--fail-under=100", "--include", core_files)
    return status or covered


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

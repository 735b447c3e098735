"""Run the tests on every supported interpreter that is installed, each in a virtual environment of its own (.venv-3.N).

    python scripts/test_matrix.py [--only 3.12] [pytest's arguments]

Interpreters are looked for on the PATH and among pyenv's versions. Those that are missing are named; they are no failure.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def candidates(version: str) -> list[str]:
    """Where an interpreter of that version may be: the PATH first, then pyenv's, newest first."""
    return [path for path in [shutil.which(f"python{version}")] if path] + pyenv_interpreters(version)


def pyenv_interpreters(version: str) -> list[str]:
    """pyenv's interpreters of that version, whether or not they are switched on."""
    try:
        root = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        root = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    found = Path(root, "versions").glob(f"{version}*/bin/python{version}")
    return [str(path) for path in sorted(found, key=lambda path: patch_of(path.parent.parent.name), reverse=True)]


def patch_of(name: str) -> tuple[int, ...]:
    """3.12.10 as (3, 12, 10), so that it sorts behind 3.12.9."""
    return tuple(int(part) if part.isdigit() else -1 for part in name.split("."))


def works(python: str, version: str) -> bool:
    """Whether it runs at all (pyenv's shims may not), is what its name says, and can make environments."""
    try:
        answer = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.returncode == 0 and answer.stdout.strip() == version


def environment(python: str, version: str) -> str:
    """The interpreter of an environment with the package and what its tests need; made or renewed where it has to be."""
    folder = ROOT / f".venv-{version}"
    inside, mark = folder / "bin" / "python", folder / ".installed"
    wanted = (ROOT / "pyproject.toml").stat().st_mtime
    if mark.exists() and mark.stat().st_mtime > wanted and works(str(inside), version):
        return str(inside)
    print(f"=== {version}: installing into {folder.name}", flush=True)
    subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
    subprocess.run([*pip, "--editable", str(ROOT), "--group", f"{ROOT / 'pyproject.toml'}:test"], check=True)
    mark.touch()
    return str(inside)


def play(version: str, options: Sequence[str]) -> str:
    """What became of one version, in a word or two."""
    python = next((path for path in candidates(version) if works(path, version)), None)
    if python is None:
        return "MISSING: not installed, so not tested"
    try:
        inside = environment(python, version)
    except subprocess.CalledProcessError as error:
        return f"FAILED: could not be set up, {error}"
    print(f"=== {version}: testing with {python}", flush=True)
    status = subprocess.run([inside, "-m", "pytest", "-q", *options], cwd=ROOT, check=False).returncode
    return "passed" if status == 0 else f"FAILED: status {status}"


def main(argv: Sequence[str] | None = None) -> int:
    """0 if no version failed, and one at least was tested."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=VERSIONS, help="only this version; may be repeated")
    options, rest = parser.parse_known_args(argv)
    outcomes = {version: play(version, rest or ["-n2"]) for version in options.only or VERSIONS}
    print("\n=== tests on all interpreters")
    for version, outcome in outcomes.items():
        print(f"    {version}  {outcome}")
    failed = any(outcome.startswith("FAILED") for outcome in outcomes.values())
    return 1 if failed or "passed" not in outcomes.values() else 0


if __name__ == "__main__":
    sys.exit(main())

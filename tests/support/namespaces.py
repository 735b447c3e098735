"""Network namespaces: a loopback interface of one's own, on which multicast reaches nobody else."""

import functools
import subprocess
import sys

import pytest

from tests.architecture.source_tree import ROOT

_SETUP = "ip link set lo up && ip link set lo multicast on"


@functools.cache
def refusal(setup: str = "") -> str | None:
    """Why this machine has none for us in which these commands work; None where it has."""
    try:
        made = subprocess.run(_inside(["true"], setup), capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no network namespaces: {error}"
    return None if made.returncode == 0 else f"no network namespaces: {made.stderr.strip()}"


def run_inside(module: str, *arguments: str, setup: str = "") -> str:
    """What a module of the tests prints that runs in a namespace of its own, after the commands of `setup`.

    The test is skipped where this machine has none.
    """
    reason = refusal(setup)
    if reason is not None:
        pytest.skip(reason)
    command = _inside([sys.executable, "-W", "error", "-m", module, *arguments], setup)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _inside(command: list[str], setup: str = "") -> list[str]:
    script = " && ".join(filter(None, (_SETUP, setup, 'exec "$@"')))
    return ["unshare", "--map-root-user", "--net", "sh", "-c", script, "sh", *command]

"""Nodes that are killed at any moment: identity, address book and rules are whole, and what was flushed is there."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

KILLS = 50


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
def test_a_process_that_is_killed_while_it_writes_damages_nothing(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    command = [sys.executable, "-m", "tests.storage.crash_child", str(tmp_path), str(KILLS), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == KILLS
    assert all(line.endswith(": whole") for line in lines), done.stdout
    assert "up to step -1" not in lines[-1], "writers lived long enough to write"

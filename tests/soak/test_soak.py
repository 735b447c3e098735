"""The soak itself: a short one for its machinery, and with `-m soak` the one of ten minutes."""

import json
import logging
import os
import signal
import sys
from pathlib import Path

import pytest

from soak.director import Director, Settings
from soak.plan import Timing, rounds_in
from soak.report import as_json, as_text, is_well

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs 127.0.1.*, and /proc")

log = logging.getLogger(__name__)

SHORT = Timing(faults=4.8, interval=0.8, calm=4.0, judged=1.5, pace=0.1)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_short_one_passes(tmp_path: Path) -> None:
    lines: list[str] = []
    report = await Director(Settings(minutes=1, nodes=5, rounds=1, seed=1, timing=SHORT), tmp_path, lines.append).run()
    assert is_well(report), as_text(report)
    assert [(each.number, len(each.faults)) for each in report.rounds] == [(0, 0), (1, 6)]
    assert report.rounds[1].messages > 0
    assert report.done["requests answered"] > 0
    assert report.memory[-1][1]
    assert json.loads(json.dumps(as_json(report)))["is_well"]
    assert "all is well" in as_text(report)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_node_that_ends_by_itself_is_named_and_what_it_has_logged_stays(tmp_path: Path) -> None:
    def say(text: str) -> None:
        victim = director.members[1]
        if text == "calm 0" and victim.pid is not None:
            os.kill(victim.pid, signal.SIGKILL)

    director = Director(Settings(minutes=1, nodes=3, rounds=0, seed=1, timing=SHORT), tmp_path, say)
    report = await director.run()
    assert not is_well(report)
    failures = [str(failure) for failure in report.failures]
    assert failures[0].startswith("round 0, node 1: it ended by itself, with -9")
    assert "round 0, node 1: it does not run" in failures
    assert f"FAILED: {failures[-1]}" in as_text(report)
    assert "is started" in (tmp_path / "node-01" / "log").read_text()


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_ten_minutes_pass(tmp_path: Path) -> None:
    settings = Settings(minutes=10, nodes=30, rounds=rounds_in(10, Timing()), seed=1)
    report = await Director(settings, tmp_path, log.info).run()
    assert is_well(report), f"{as_text(report)}\nlogs: {tmp_path}/node-*/log"

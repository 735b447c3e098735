"""The scenarios of gossip, smaller than `make simulate` runs them, with the same goals; and that a seed repeats them."""

import json
import os
import subprocess
import sys

import pytest

from simulation.gossip.scenarios import SCENARIOS
from simulation.report import Settings

# Nodes, and the share of the messages and seconds.
SIZES = {
    "delivery": (1_000, 0.1),
    "killed": (300, 0.5),
    "churn": (300, 0.2),
    "scores": (300, 0.2),
    "sybil": (40, 0.5),
    "degradation": (40, 0.5),
    "covert": (40, 0.6),
    "cold": (40, 0.6),
    "eclipse": (60, 0.4),
    "ihave": (20, 0.4),
    "iwant": (20, 0.4),
    "exchange": (30, 0.4),
}
SLOW = ("covert", "exchange", "degradation", "killed", "scores")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in SIZES])
def test_a_scenario_reaches_its_goals(name: str) -> None:
    nodes, scale = SIZES[name]
    report = SCENARIOS[name][0](Settings(nodes, seed=1, scale=scale))
    assert not report.missed
    assert any(figure.goal is not None for figure in report.figures)


@pytest.mark.parametrize(("name", "nodes", "scale"), [("delivery", 60, 0.1), ("sybil", 10, 0.1)])
def test_a_seed_repeats_a_scenario_whatever_hashes_are(name: str, nodes: int, scale: float, tmp_path: object) -> None:
    def course(hash_seed: str) -> object:
        command = [sys.executable, "-m", "simulation", "gossip", name, "--nodes", str(nodes), "--scale", str(scale), "--json"]
        run = subprocess.run(
            [*command, "--results", str(tmp_path)],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        )
        (report,) = json.loads(run.stdout)
        return {key: value for key, value in report.items() if key != "measured"}

    assert course("1") == course("2")

"""The scenarios of the DHT, smaller than `make simulate` runs them, with the same goals; and that a seed repeats them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.kad.scenarios import SCENARIOS
from simulation.report import Settings

# Nodes, and the share of the lookups, runs or hours.
SIZES = {
    "lookups": (1_000, 0.1),
    "dead": (1_000, 0.1),
    "churn": (60, 0.05),
    "sybils": (1_000, 0.05),
    "regions": (500, 0.3),
    "namespace": (500, 1.0),
    "warm": (1_000, 0.2),
    "bounds": (300, 0.1),
    "spam": (1, 0.06),
}
SLOW = ("churn", "sybils")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in SCENARIOS])
def test_a_scenario_reaches_its_goals(name: str) -> None:
    nodes, scale = SIZES[name]
    report = SCENARIOS[name][0](Settings(nodes, seed=1, scale=scale))
    assert [(figure.name, figure.value, figure.goal) for figure in report.missed] == []
    assert any(figure.goal is not None for figure in report.figures)


@pytest.mark.parametrize(("name", "nodes", "scale"), [("lookups", 200, 0.02), ("churn", 25, 0.01), ("sybils", 100, 0.005)])
def test_a_seed_repeats_a_scenario_whatever_hashes_are(name: str, nodes: int, scale: float, tmp_path: Path) -> None:
    def course(hash_seed: str) -> list[dict[str, object]]:
        command = [sys.executable, "-m", "simulation", "kad", name, "--nodes", str(nodes), "--scale", str(scale), "--json"]
        done = subprocess.run(
            [*command, "--results", str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=False,
        )
        told: list[dict[str, object]] = json.loads(done.stdout)
        assert told[0].pop("measured")
        return told

    assert course("1") == course("2")

"""Figures, goals, tables, and what the command makes of them."""

import json
from pathlib import Path

import pytest

from simulation.__main__ import main
from simulation.engine import Simulation
from simulation.report import Report, Settings, as_json, as_text, percentile, write_svg


def report() -> Report:
    made = Report("tried", Settings(10))
    made.share("good ones", 99, 100, 98.0)
    made.share("bad ones", 1, 100)
    made.spread("time", [0.5, 1.0, 2.0], "s", {50: None, 99: 1.5})
    return made.close(Simulation(1), limit=60.0)


def test_a_goal_is_reached_or_missed() -> None:
    marks = {figure.name: figure.mark for figure in report().figures}
    assert marks["good ones"] == "pass"
    assert marks["bad ones"] == ""
    assert marks["time, p99"] == "MISSED"
    assert [figure.name for figure in report().missed] == ["time, p99"]


def test_percentiles_are_values_that_occur() -> None:
    values = [float(number) for number in range(100)]
    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [0, 50, 99, 99]
    assert percentile([], 50) == 0.0


def test_a_table_has_a_row_for_each_figure_and_json_keeps_apart_what_the_machine_decides() -> None:
    text = as_text([report()])
    assert "tried, 10 nodes" in text
    assert "99 %" in text
    assert "MISSED" in text
    (told,) = as_json([report()])
    assert json.loads(json.dumps(told)) == told
    assert [figure["name"] for figure in told["measured"]] == ["processor time"]  # type: ignore[attr-defined]


def test_curves_are_plotted(tmp_path: Path) -> None:
    assert write_svg(tmp_path / "plots" / "a.svg", "tried", [report()])
    assert "<polyline" in (tmp_path / "plots" / "a.svg").read_text()
    assert not write_svg(tmp_path / "b.svg", "nothing", [Report("empty", Settings(1))])


def test_the_command_runs_a_scenario_and_keeps_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["kad", "warm", "--nodes", "60", "--scale", "0.01", "--results", str(tmp_path)]
    assert main(arguments) == 0
    assert "hops of the second lookup" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "kad-warm.json").read_text()) != []


def test_the_command_names_the_scenarios_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="lookups, dead, churn"):
        main(["kad", "nothing"])
    with pytest.raises(SystemExit):
        main(["nothing"])
    capsys.readouterr()

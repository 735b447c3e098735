"""Tables, Markdown and JUnit of results."""

from pathlib import Path
from xml.etree import ElementTree

from interop.harness import report
from interop.harness.cell import Result

PASSED = Result("py", "go", "ping", "tcp noise yamux", "passed", 0.25)
FAILED = Result(
    "go",
    "py",
    "ping",
    "tcp noise yamux",
    "failed",
    1.5,
    "no | answer\x1b[1m\nat all",
    (Path("logs/x.dialer.log"), Path("logs/x.listener.log")),
)
SKIPPED = Result("go", "rust", "echo 1 B", "", "skipped", detail="rust: cargo not on the PATH")
ELSEWHERE = Result("py", "go", "ping", "quic-v1", "passed", 0.5)
UNSTEADY = Result("py", "js", "mesh", "tcp noise yamux", "passed", 2.0, "not done after 9.0 s")
RESULTS = [PASSED, ELSEWHERE, FAILED, SKIPPED]


def test_a_table_has_a_line_for_each_scenario_and_stack_and_a_column_for_each_pair() -> None:
    assert report.table(RESULTS).splitlines() == [
        "scenario  stack            py → go   go → py  go → rust",
        "--------  ---------------  --------  -------  ---------",
        "ping      tcp noise yamux  ok 0.2 s  FAILED   –",
        "ping      quic-v1          ok 0.5 s  –        –",
        "echo 1 B                   –         –        skipped",
    ]


def test_results_of_one_stack_stay_together_whatever_pair_they_are_of() -> None:
    later = Result("go", "go", "reset", "tcp noise yamux", "passed")
    _, body = report.rows([*RESULTS, later])
    assert [line[1] for line in body] == ["tcp noise yamux", "tcp noise yamux", "quic-v1", ""]


def test_the_summary_counts_outcomes() -> None:
    assert report.summary(RESULTS) == "2 passed, 1 failed, 1 skipped"
    assert report.summary([]) == "0 passed, 0 failed, 0 skipped"
    assert report.summary([UNSTEADY, PASSED]) == "2 passed, 0 failed, 0 skipped; 1 passed only at the second try"


def test_the_troubles_name_each_cell_that_failed_and_then_each_that_needed_a_second_try() -> None:
    assert report.troubles([UNSTEADY, *RESULTS]) == [
        "FAILED: go → py, ping, tcp noise yamux: no | answer\x1b[1m\nat all",
        "ok at the second try: py → js, mesh, tcp noise yamux: not done after 9.0 s",
    ]
    assert report.troubles([PASSED, SKIPPED]) == []


def test_a_second_try_is_seen_in_the_tables() -> None:
    assert "ok 2.0 s (2nd try)" in report.table([UNSTEADY])
    page = report.markdown([UNSTEADY], {})
    assert "## Passed at the second try\n\n- py → js, mesh (tcp noise yamux): not done after 9.0 s\n" in page


def test_markdown_names_the_peers_and_says_why_cells_failed_or_were_skipped() -> None:
    page = report.markdown(RESULTS, {"go": "go-libp2p v0", "rust": "not run"})
    assert "- **go**: go-libp2p v0\n" in page
    assert "| ping | tcp noise yamux | ok 0.2 s | FAILED | – |\n" in page
    assert "[dialer log](logs/x.dialer.log) [listener log](logs/x.listener.log)\n" in page
    assert page.count("\n- go → rust: rust: cargo not on the PATH\n") == 1


def test_markdown_of_a_clean_run_has_no_list_of_failures() -> None:
    assert "##" not in report.markdown([PASSED], {})


def test_junit_has_a_suite_for_each_pair_with_its_counts() -> None:
    root = ElementTree.fromstring(report.junit(RESULTS))
    suites = [
        (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("skipped"), suite.get("time")) for suite in root
    ]
    assert suites == [
        ("py → go", "2", "0", "0", "0.750"),
        ("go → py", "1", "1", "0", "1.500"),
        ("go → rust", "1", "0", "1", "0.000"),
    ]


def test_junit_tells_what_failed_without_characters_that_xml_lacks() -> None:
    root = ElementTree.fromstring(report.junit(RESULTS))
    case = root.find("testsuite[@name='go → py']/testcase")
    assert case is not None
    assert case.get("classname") == "interop.go.py"
    assert case.get("name") == "ping (tcp noise yamux)"
    failure = case.find("failure")
    assert failure is not None
    assert failure.text == "no | answer�[1m\nat all\nlogs/x.dialer.log\nlogs/x.listener.log"
    assert root.find("testsuite/testcase/skipped[@message='rust: cargo not on the PATH']") is not None


def test_reports_are_written_into_the_folder_made_for_them(tmp_path: Path) -> None:
    report.write(RESULTS, {}, tmp_path / "new" / "results")
    assert (tmp_path / "new" / "results" / "results.md").read_text(encoding="utf-8").startswith("# Interoperability")
    assert (tmp_path / "new" / "results" / "junit.xml").read_bytes().startswith(b"<?xml")

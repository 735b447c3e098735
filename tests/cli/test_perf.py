"""`cortexnet perf`."""

import asyncio

import pytest

from cortexnet.cli.commands import perf
from cortexnet.cli.commands.perf import Progress
from cortexnet.cli.output import Output
from tests.support.command_line import events, invoke, running


def test_both_directions_are_measured(node_address: str) -> None:
    result = invoke("perf", node_address, "--upload", "2MiB", "--download", "3MiB")
    assert result.exit_code == 0
    _, upload, download = result.stdout.splitlines()
    assert upload.startswith("upload   2.0 MiB in ")
    assert download.startswith("download 3.0 MiB in ")
    assert upload.endswith("MB/s")


def test_a_direction_that_is_not_wanted_is_not_shown(node_address: str) -> None:
    result = invoke("perf", node_address, "--upload", "0", "--download", "1k")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["connected", "download"]


def test_with_json_the_result_is_an_event(node_address: str) -> None:
    printed = events(invoke("perf", node_address, "--upload", "1M", "--download", "1M", "--json").stdout)
    assert printed[0]["event"] == "connected"
    assert printed[-1]["event"] == "result"
    assert (printed[-1]["uploaded"], printed[-1]["downloaded"]) == (1 << 20, 1 << 20)
    assert printed[-1]["upload_seconds"] > 0
    assert all(event["event"] == "progress" for event in printed[1:-1])


def test_a_peer_that_does_not_serve_it_is_told() -> None:
    with running("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json") as node:
        address = node.next_event("listening")["addresses"][0]
        result = invoke("perf", address, "--json")
    assert result.exit_code == 1
    assert events(result.stdout)[-1]["kind"] == "NegotiationFailed"
    assert "/perf/1.0.0" in result.stderr


@pytest.mark.parametrize("option", ["--upload", "--download"])
def test_a_size_that_is_none_is_a_usage_error(option: str, node_address: str) -> None:
    result = invoke("perf", node_address, option, "much")
    assert result.exit_code == 2
    assert "write it like 500, 64k, 10MiB or 10MB" in result.stderr


def test_on_a_terminal_progress_is_one_line_that_changes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Output, "has_terminal", True)
    progress = Progress(Output(), 2 << 20, 4 << 20, 10.0)
    progress.update(1_000_000, 0)
    progress.show(11.0)
    progress.update(2 << 20, 1 << 20)
    progress.show(11.0)
    assert capsys.readouterr().err == "\rsent 976.6 KiB of 2.0 MiB, 1.0 MB/s\rreceived 1.0 MiB of 4.0 MiB, -     "


def test_elsewhere_progress_is_a_line_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Output(), 2 << 20, 4 << 20, 10.0)
    progress.update(2 << 20, 4_000_000 - (2 << 20))
    progress.show(12.0)
    assert capsys.readouterr().err == "received 1.8 MiB of 4.0 MiB, 2.0 MB/s\n"


def test_with_json_progress_is_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Output(as_json=True), 2 << 20, 4 << 20, 10.0)
    progress.update(5, 0)
    progress.show(12.0)
    assert events(capsys.readouterr().out) == [{"event": "progress", "sent": 5, "received": 0, "seconds": 2.0}]


async def test_progress_is_shown_over_and_over(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: asyncio.Queue[float] = asyncio.Queue()
    monkeypatch.setattr(perf, "_LINE_INTERVAL", 0.0)
    monkeypatch.setattr(Progress, "show", lambda _, now: shown.put_nowait(now))
    task = asyncio.create_task(Progress(Output(), 1, 1, 0.0).run())
    assert await shown.get() <= await shown.get()
    task.cancel()

"""`cortexnet demo`: it shows what it says it shows, notices what is wrong, and leaves nothing running."""

import hashlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cortexnet.cli.demo import director, services
from cortexnet.cli.demo.director import Demo, demonstrate
from cortexnet.cli.demo.process import Worker
from cortexnet.cli.demo.report import Pair, matrix, pair_table
from cortexnet.cli.demo.services import DemoFailed, DemoNode
from cortexnet.cli.output import Output
from cortexnet.messaging.request import Request
from cortexnet.transport.stream import Stream
from tests.support.command_line import events, running, wait_gone


@pytest.mark.slow
def test_all_that_is_to_be_shown_is_shown_and_holds() -> None:
    with running("demo", "--json") as demo:
        code, out, err = demo.end()
    assert code == 0
    assert "Traceback" not in err  # what takes long on a busy machine is said there
    told: dict[str, list[dict[str, Any]]] = {}
    for event in events(out):
        told.setdefault(event["event"], []).append(event)
    assert [node["name"] for node in told["node"]] == [f"{name}{number}" for name in "ABC" for number in (1, 2)] + [
        f"D{number}" for number in range(1, 7)
    ]
    assert len({node["pid"] for node in told["node"]}) == 4
    assert told["dialed"][0]["connections"] == 15
    assert told["asked"][0]["requests"] == 600
    assert [sent["files"] for sent in told["sent"]] == [15, 6]
    assert [streamed["streams"] for streamed in told["streamed"]] == [15, 6]
    assert told["killed"][0]["nodes"] == ["C1", "C2"]
    assert sorted(noticed["name"] for noticed in told["noticed"]) == ["A1", "A2", "B1", "B2"]
    assert told["asked_meanwhile"][0]["answered"] > 0
    assert told["asked_meanwhile"][0]["unanswered"] == 0
    assert "connection refused" in told["dial_of_the_dead"][0]["error"]  # or that this failed before: others dial, too
    (discovered,) = told["discovered"]
    assert sum(discovered["sources"].values()) == 36
    assert discovered["sources"]["bootstrap"] == 6
    assert (told["stored"][0]["found_by"], told["provided"][0]["providers"]) == (["D5", "B2"], ["D2"])
    assert (told["published"][0]["messages"], told["published"][0]["readers"]) == (20, 9)
    (misbehaved,) = told["misbehaved"]
    good, refused, denied = misbehaved["scores"]
    assert good >= 0 > -50 > refused > -80 > denied
    assert misbehaved["standing"] == "denied"
    assert len(told["pair"]) == 15
    for pair in told["pair"]:
        assert pair["made_of"] == "tcp /noise /yamux/1.0.0"
        assert pair["lost"] == ("C" in pair["dialer"] + pair["listener"])
        assert min(pair["round_trip_seconds"], pair["stream_speed"], pair["file_speed"]) > 0
    assert told["summary"] == [{"event": "summary", "ok": True, "seconds": told["summary"][0]["seconds"], "faults": []}]
    for node in told["node"]:
        wait_gone(node["pid"])


@pytest.mark.slow
def test_for_people_it_ends_in_a_table_of_all_connections() -> None:
    with running("demo") as demo:
        demo.next_line("Who is connected to whom, with what, how fast")
        code, out, _ = demo.end()
    lines = out.splitlines()
    assert code == 0
    assert lines[1].startswith("  A1 > A2          open    tcp /noise /yamux/1.0.0  ")
    assert lines[4].startswith("  A1 > C1          killed  tcp /noise /yamux/1.0.0  ")
    assert lines[-1].startswith("All of it was verified, in ")


@pytest.mark.slow
def test_a_process_that_dies_unplanned_is_a_failure_with_its_reason() -> None:
    with running("demo", "--json") as demo:
        node = demo.next_event("node")
        os.kill(node["pid"], signal.SIGKILL)
        code, out, _ = demo.end()
    assert code == 1
    summary = events(out)[-1]
    assert not summary["ok"]
    assert any("process A" in fault for fault in summary["faults"])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_no_process_behind(number: signal.Signals, code: int) -> None:
    with running("demo", "--json") as demo:
        pids = {demo.next_event("node")["pid"] for _ in range(6)}
        ended, _, err = demo.end(number)
        # Above it stands what takes long on a busy machine.
        assert (ended, err.splitlines()[-1]) == (code, f"interrupted by {number.name}")
        for pid in pids:
            wait_gone(pid)


@pytest.mark.slow
def test_even_when_it_is_killed_it_leaves_no_process_behind() -> None:
    with running("demo", "--json") as demo:
        pids = {demo.next_event("node")["pid"] for _ in range(6)}
        demo.end(signal.SIGKILL)
        for pid in pids:
            wait_gone(pid)


async def test_a_worker_that_does_not_start_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    worker = Worker("A", 1, tmp_path)
    with pytest.raises(DemoFailed, match=r"process A has ended; its last words: \(none\)"):
        await worker.start()
    await worker.close()
    assert worker.exit_code == 1


async def test_a_demonstration_that_takes_too_long_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(director, "TIMEOUT", 0.0)
    assert await demonstrate(Output(as_json=True)) == ["it was not over within 0 s"]


async def test_a_worker_answers_what_went_wrong_and_ends_with_its_stdin(tmp_path: Path) -> None:
    worker = Worker("A", 1, tmp_path)
    try:
        await worker.start()
        (node,) = worker.nodes
        stranger = "12D3KooWGRUVh7wCHhPoMYHjD3vdC5EEBNHFFrSvDfFvqFTmTvkg"
        with pytest.raises(DemoFailed, match=r"A1 could not ping: DialFailed: .* no address is known"):
            await worker.call(node["name"], "ping", peer=stranger, count=1)
    finally:
        await worker.close()
    assert (worker.exit_code, worker.last_words()) == (0, "")


# --- what it claims to verify, it does verify ------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def two_nodes(tmp_path: Path) -> AsyncIterator[tuple[DemoNode, DemoNode]]:
    one, other = DemoNode("X1", tmp_path), DemoNode("X2", tmp_path)
    async with one.node, other.node:
        assert "seconds" in await one.dial(str(other.node.addresses[0]))
        yield one, other


async def test_all_is_well_between_two_honest_nodes(two_nodes: tuple[DemoNode, DemoNode], tmp_path: Path) -> None:
    one, other = two_nodes
    peer = str(other.node.peer_id)
    await one.wait_connected([peer])
    await one.ask(peer, 3)
    await one.echo(peer, 100_000)
    result = await one.send_file(peer, 100_000)
    assert hashlib.sha256((tmp_path / str(result["stored"])).read_bytes()).hexdigest() == result["sha256"]
    await other.node.disconnect(one.node.peer_id)
    assert (await one.wait_lost([peer]))["reasons"] != [""]


async def test_a_wrong_answer_is_noticed(two_nodes: tuple[DemoNode, DemoNode]) -> None:
    async def lie(request: Request) -> bytes:
        return b"forty-two"

    one, other = two_nodes
    other.node.unhandle(services.QUESTION)
    other.node.respond(services.QUESTION, lie)
    with pytest.raises(DemoFailed, match="wrong answer"):
        await one.ask(str(other.node.peer_id), 1)
    await one.start_asking([str(other.node.peer_id)])
    while not one.unanswered:
        await one.ping(str(other.node.peer_id), 1)
    result = await one.stop_asking()
    assert (result["answered"], len(one.unanswered)) == (0, 1)


async def test_bytes_that_come_back_changed_are_noticed(two_nodes: tuple[DemoNode, DemoNode]) -> None:
    async def garble(stream: Stream) -> None:
        async for chunk in stream:
            await stream.write(bytes(255 - byte for byte in chunk))

    one, other = two_nodes
    other.node.unhandle(services.ECHO)
    other.node.handle(services.ECHO, garble)
    with pytest.raises(DemoFailed, match="other bytes back"):
        await one.echo(str(other.node.peer_id), 1000)


async def test_a_file_that_arrives_damaged_is_noticed(
    two_nodes: tuple[DemoNode, DemoNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_nodes
    monkeypatch.setattr(services, "digest_of", lambda path: path.name.encode())
    with pytest.raises(DemoFailed, match="arrived damaged"):
        await one.send_file(str(other.node.peer_id), 1000)


async def test_a_file_that_is_too_large_is_refused(
    two_nodes: tuple[DemoNode, DemoNode], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(services, "_FILE_LIMIT", 10)
    one, other = two_nodes
    with pytest.raises(Exception, match="reset"):
        await one.send_file(str(other.node.peer_id), 11)
    assert [name for name in os.listdir(tmp_path) if "received" in name] == []


def test_a_fault_that_is_found_is_kept(tmp_path: Path) -> None:
    demo = Demo(Output(), tmp_path)
    demo.check(1 == 1, "not this")
    demo.check(1 == 2, "but this")
    assert demo.faults == ["but this"]


def test_a_pair_without_measurements_has_dashes() -> None:
    pair = Pair("A1", "B1")
    assert pair.as_members()["stream_speed"] is None
    assert pair_table([pair])[1].split() == ["A1", ">", "B1", "open", "0.000", "ms", "0.000", "ms", "-", "-"]


def test_the_matrix_has_both_directions_and_a_dot_for_none() -> None:
    assert matrix(["A", "B"], {("A", "B"): ">", ("B", "A"): "<"}) == ["     A  B", "  A  .  >", "  B  <  ."]

"""`cortexnet peers`: asks a running node by its state directory."""

import re
import signal
import socket
from pathlib import Path

import pytest

from cortexnet import Config, Identity, Node
from cortexnet.cli.commands import peers
from cortexnet.cli.output import Output
from tests.support.command_line import events, invoke, running

LOOPBACK = ("--listen", "/ip4/127.0.0.1/tcp/0")


def test_the_peers_of_a_running_node_are_shown_with_what_connects_them(tmp_path: Path) -> None:
    directory = str(tmp_path / "state")
    with running("run", *LOOPBACK, "--state-dir", directory, "--json") as server:
        listening = server.next_event("listening")
        with running("run", *LOOPBACK, "--bootstrap", listening["addresses"][0], "--json") as client:
            peer = client.next_event("listening")["peer_id"]
            client.next_event("bootstrap")
            result = invoke("peers", "--state-dir", directory)
            assert result.exit_code == 0
            first, connection, last = result.stdout.splitlines()
            assert re.match(rf"{peer}  score \+\d+  cortexnet/", first)
            assert "inbound /ip4/127.0.0.1/tcp/" in connection
            assert "(tcp, /noise, /yamux/1.0.0)" in connection
            assert last.startswith("1 peers, 1 connections, up ")
            assert last.endswith(": ok")
            shown, health = events(invoke("peers", "--state-dir", directory, "--json").stdout)
            assert (shown["event"], shown["peer_id"]) == ("peer", peer)
            assert shown["score"] > 0
            assert shown["connections"][0]["security"] == "/noise"
            assert invoke("peers", "--state-dir", directory, "--offenders").stdout == "no peer has a bad score\n"
            assert (health["event"], health["status"], health["connections"]) == ("health", "ok", 1)
            client.end(signal.SIGTERM)
        server.end(signal.SIGTERM)
    assert not (tmp_path / "state" / "status.sock").exists()


@pytest.mark.parametrize("as_json", [False, True])
async def test_peers_with_a_bad_score_are_shown_with_what_they_did_the_worst_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    bad, worse = (Identity.generate().peer_id for _ in range(2))
    async with Node(config=Config(kad=None, gossip=None, state_directory=tmp_path)) as node:
        for peer, times in ((bad, 3), (worse, 6)):
            for _ in range(times):
                node.reputation.violation(peer, "nonsense")
        await peers._show_offenders(Output(as_json=as_json), str(tmp_path))
    shown = capsys.readouterr().out
    if as_json:
        first, second = events(shown)
        assert (first["event"], first["peer_id"], first["standing"]) == ("offender", str(worse), "refused")
        assert (second["peer_id"], round(second["score"]), round(second["violations"])) == (str(bad), -30, 3)
    else:
        assert shown.startswith(f"{worse}: score -60.0, its streams are refused\n  reliability +0.0")
        assert f"\n{bad}: score -30.0\n" in shown


async def test_a_node_without_reputation_has_nothing_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with Node(config=Config(kad=None, gossip=None, reputation=None, state_directory=tmp_path)):
        await peers._show_offenders(Output(as_json=False), str(tmp_path))
    assert capsys.readouterr().out == "no peer has a bad score\n"


def test_where_no_node_runs_it_says_how_to_start_one(tmp_path: Path) -> None:
    result = invoke("peers", "--state-dir", str(tmp_path))
    assert result.exit_code == 1
    assert f"cortexnet run --state-dir {tmp_path}" in result.stderr


def test_of_a_node_that_was_killed_it_says_the_same_and_nothing_of_ports(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "status.sock"))
    result = invoke("peers", "--state-dir", str(tmp_path))
    assert result.exit_code == 1
    assert f"cortexnet run --state-dir {tmp_path}" in result.stderr
    assert "port" not in result.stderr

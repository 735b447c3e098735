"""`cortexnet peers`: asks a running node by its state directory."""

import signal
import socket
from pathlib import Path

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
            assert first.startswith(peer)
            assert "inbound /ip4/127.0.0.1/tcp/" in connection
            assert "(tcp, /noise, /yamux/1.0.0)" in connection
            assert last.startswith("1 peers, 1 connections, up ")
            assert last.endswith(": ok")
            shown, health = events(invoke("peers", "--state-dir", directory, "--json").stdout)
            assert (shown["event"], shown["peer_id"]) == ("peer", peer)
            assert shown["connections"][0]["security"] == "/noise"
            assert (health["event"], health["status"], health["connections"]) == ("health", "ok", 1)
            client.end(signal.SIGTERM)
        server.end(signal.SIGTERM)
    assert not (tmp_path / "state" / "status.sock").exists()


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

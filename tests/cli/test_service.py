"""`cortexnet run` under a service manager: it says when it is ready, that it lives and that it ends; it takes over settings."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexnet.cli.service import ServiceManager
from cortexnet.identity.identity import Identity
from tests.support.command_line import DEADLINE, events, invoke, running

LOOPBACK = ("--listen", "/ip4/127.0.0.1/tcp/0")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(DEADLINE)
        yield channel


def told(manager: socket.socket) -> dict[str, str]:
    """The next message, without the heartbeat."""
    while True:
        message = dict(line.split("=", 1) for line in manager.recv(4096).decode().split("\n"))
        if message != {"WATCHDOG": "1"}:
            return message


def test_a_service_manager_is_told_when_it_begins_and_when_it_ends(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    with running("run", *LOOPBACK, "--json") as node:
        peer = node.next_event("listening")["peer_id"]
        assert told(manager) == {"READY": "1", "STATUS": f"{peer} at 1 addresses"}
        assert manager.recv(4096) == b"WATCHDOG=1"
        node.process.send_signal(signal.SIGTERM)
        assert told(manager) == {"STOPPING": "1"}
        assert node.process.wait(DEADLINE) == 0


def test_a_service_manager_that_is_not_there_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with running("run", *LOOPBACK, "--json") as node:
        node.next_event("listening")
        code, _, log = node.end(signal.SIGTERM)
    assert code == 0
    assert log.startswith("warning: the service manager could not be told READY: ")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="abstract sockets are of Linux alone")
def test_an_abstract_socket_will_do() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0cortexnet-test-{os.getpid()}")
        ServiceManager({"NOTIFY_SOCKET": f"@cortexnet-test-{os.getpid()}"}).ready("well")
        assert channel.recv(4096) == b"READY=1\nSTATUS=well"


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9" * 40}],
)
def test_where_nobody_asks_nobody_is_told(environment: dict[str, str]) -> None:
    ServiceManager(environment).stopping()


def test_a_file_is_there_while_it_is_ready(tmp_path: Path) -> None:
    file = tmp_path / "ready"
    with running("run", *LOOPBACK, "--ready-file", str(file), "--json") as node:
        listening = node.next_event("listening")
        facts = json.loads(file.read_text())
        assert (facts["pid"], facts["peer_id"], facts["addresses"]) == (
            node.process.pid,
            listening["peer_id"],
            listening["addresses"],
        )
        assert node.end(signal.SIGTERM)[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_can_not_be_made_ends_it(tmp_path: Path) -> None:
    result = invoke("run", *LOOPBACK, "--ready-file", str(tmp_path / "no" / "ready"))
    assert result.exit_code == 1
    assert "can't say there that the node is ready" in result.stderr


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, int(sys.argv[1])))
os.execv(sys.executable, [sys.executable, "-m", "cortexnet", "run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the limits of other processes")
@pytest.mark.parametrize(("hard", "soft", "says"), [("4000", "1024", ""), ("500", "500", "may have 500: raise its limit")])
def test_it_may_open_as_many_files_as_its_limits_take(hard: str, soft: str, says: str) -> None:
    command = [sys.executable, "-c", LIMITED, hard]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None
        assert node.stderr is not None
        assert json.loads(node.stdout.readline())["event"] == "listening"
        limits = Path(f"/proc/{node.pid}/limits").read_text()
        node.send_signal(signal.SIGTERM)
        log = node.stderr.read()
    assert re.search(rf"Max open files\s+{soft} ", limits)
    assert says in log
    assert bool(says) == bool(log)


def test_it_never_runs_with_some_of_its_addresses_alone(tmp_path: Path) -> None:
    """Neither where a later one is taken, nor where it makes no sense; and the state directory is free again."""
    state = ("--state-dir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        result = invoke("run", *LOOPBACK, "--listen", address, *state, "--json")
    assert result.exit_code == 1
    assert [event["event"] for event in events(result.stdout)] == ["error"]
    assert "in use" in result.stderr
    result = invoke("run", *LOOPBACK, "--listen", "/ip4/127.0.0.1/tcp/0/wss", *state, "--json")
    assert result.exit_code == 2
    assert [event["event"] for event in events(result.stdout)] == ["error"]
    with running("run", *LOOPBACK, *state, "--json") as node:
        node.next_event("listening")


def test_a_hangup_takes_over_who_is_refused(tmp_path: Path, manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    friend = tmp_path / "friend.key"
    peer = Identity.load_or_create(friend).peer_id
    file = tmp_path / "node.toml"
    file.write_text("deny = ['192.0.2.1']\n")
    with running("run", *LOOPBACK, "--config", str(file), "--state-dir", str(tmp_path / "state"), "--json") as node:
        address = node.next_event("listening")["addresses"][0]
        told(manager)
        assert invoke("ping", address, "-n", "1").exit_code == 0

        file.write_text(f"allow_only = ['{peer}']\nlog_level = 'error'\n[limits]\nconnections = 77\n")
        node.process.send_signal(signal.SIGHUP)
        assert "RELOADING" in told(manager)
        assert "READY" in told(manager)
        assert node.next_event("reloaded")["settings"] == ["deny", "allow_only", "log_level"]
        assert invoke("ping", address, "-n", "1").exit_code != 0
        assert invoke("ping", address, "-n", "1", "--identity", str(friend)).exit_code == 0

        file.write_text("")
        node.process.send_signal(signal.SIGHUP)
        assert node.next_event("reloaded")["settings"] == ["allow_only", "log_level"]
        assert invoke("ping", address, "-n", "1").exit_code == 0
        code, _, log = node.end(signal.SIGTERM)
    assert code == 0
    assert log == "warning: changed settings that hold from the next start on: limits.connections\n"


def test_a_hangup_with_a_broken_file_changes_nothing(
    tmp_path: Path, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    file = tmp_path / "node.toml"
    file.write_text("deny = ['127.0.0.1']\n")
    with running("run", *LOOPBACK, "--config", str(file), "--json") as node:
        address = node.next_event("listening")["addresses"][0]
        told(manager)
        file.write_text("dany = []\n")
        node.process.send_signal(signal.SIGHUP)
        assert "RELOADING" in told(manager)
        assert "READY" in told(manager)
        assert invoke("ping", address, "-n", "1").exit_code != 0
        code, _, log = node.end(signal.SIGTERM)
    assert code == 0
    assert log.startswith(f"warning: the settings stay as they are: {file}:1:dany: there is no such setting; did you mean deny?")

"""Commands that dial, against a node of go-libp2p; `make interop` builds it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_line import events, invoke

GO_PEER = Path(__file__).parents[2] / "interop" / "build" / "go-peer"

if not os.access(GO_PEER, os.X_OK):
    pytest.skip("the go-libp2p peer is not built (make interop)", allow_module_level=True)


@pytest.fixture(scope="module")
def go_address() -> Iterator[str]:
    """Where a node of go-libp2p listens; it ends with its stdin."""
    with subprocess.Popen([GO_PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdin.write(json.dumps({"id": 1, "op": "start", "listen": ["/ip4/127.0.0.1/tcp/0"], "timeout": 10}) + "\n")
        peer.stdin.flush()
        yield json.loads(peer.stdout.readline())["addresses"][0]


def test_ping_prints_round_trips(go_address: str) -> None:
    result = invoke("ping", go_address, "-n", "5", "--interval", "0")
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.stdout.splitlines()[1:-1]] == [f"reply {number}" for number in range(1, 6)]
    assert result.stdout.splitlines()[-1].startswith("5 sent, 5 answered")


def test_connect_shows_what_it_says_about_itself(go_address: str) -> None:
    (event,) = events(invoke("connect", go_address, "--json").stdout)
    assert event["agent_version"].startswith("go-libp2p/")
    assert "/ipfs/ping/1.0.0" in event["protocols"]


def test_perf_measures_both_directions(go_address: str) -> None:
    result = events(invoke("perf", go_address, "--upload", "1M", "--download", "1M", "--json").stdout)[-1]
    assert (result["uploaded"], result["downloaded"]) == (1 << 20, 1 << 20)


def test_doctor_finds_nothing_wrong(go_address: str) -> None:
    result = invoke("doctor", go_address)
    assert result.exit_code == 0
    assert "FAILED" not in result.stdout

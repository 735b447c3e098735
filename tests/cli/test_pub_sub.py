"""`cortexnet pub` and `cortexnet sub`: topics at the command line."""

import base64
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from cortexnet.cli.main import cli
from cortexnet.identity.identity import Identity
from tests.support.command_line import events, invoke, running

LISTEN = ("--listen", "/ip4/127.0.0.1/tcp/0")


def test_a_message_is_published_and_shown() -> None:
    with running("sub", "news", *LISTEN, "--json", "-n", "3") as listener:
        address = listener.next_event("listening")["addresses"][0]
        result = invoke("pub", "news", "hello", "--peer", address)
        assert (result.exit_code, result.stdout) == (0, "5 bytes to 1 peers\n")
        message = listener.next_event("message")
        assert (message["topic"], message["as_text"], base64.b64decode(message["data"])) == ("news", "hello", b"hello")
        assert message["author"] == message["from"]

        result = CliRunner().invoke(cli, ["pub", "news", "--peer", address, "--json"], input=b"one\n\xff\n")
        assert result.exit_code == 0
        connected, one, two, summary = events(result.stdout)
        assert connected == {"event": "connected", "peer_id": address.rsplit("/", 1)[1], "address": address}
        assert [(each["event"], each["size"], each["peers"]) for each in (one, two)] == [("published", 3, 1), ("published", 1, 1)]
        assert (summary["messages"], summary["lost"]) == (2, 0)
        assert [listener.next_event("message")["as_text"] for _ in range(2)] == ["one", None]
        assert listener.end()[0] == 0


@pytest.mark.parametrize("quiet", [False, True])
def test_messages_are_lines_for_people(quiet: bool) -> None:
    with running("sub", "news", *LISTEN, *(["-q"] if quiet else [])) as listener:
        assert listener.process.stderr is not None
        address = listener.process.stderr.readline().removeprefix("listening at ").strip()
        assert invoke("pub", "news", "two\nlines\x1b", "--peer", address).exit_code == 0
        assert listener.process.stdout is not None
        line = listener.process.stdout.readline()
        assert line.endswith("two\\nlines\\x1b\n")
        assert (": " in line) is not quiet
        assert listener.end(signal.SIGINT)[:2] == (0, "")


def test_it_says_so_where_nobody_wants_the_topic() -> None:
    with running("sub", "news", *LISTEN, "--json") as listener:
        address = listener.next_event("listening")["addresses"][0]
        result = invoke("pub", "other", "hello", "--peer", address, "--timeout", "0.3")
        assert result.exit_code == 1
        assert (
            "0 peers want other after 0.3 s, not 1\nDoes a peer that we are connected to subscribe to that very topic?"
            in result.stderr
        )
        result = invoke("pub", "other", "hello", "--peer", address, "--peers", "0")
        assert (result.exit_code, result.stdout) == (1, "5 bytes to 0 peers\n")


def test_a_peer_that_is_not_there_is_an_error_unless_others_may_come(dead_address: str, tmp_path: Path) -> None:
    result = invoke("sub", "news", "--peer", dead_address)
    assert result.exit_code == 1
    assert "connection refused" in result.stderr
    file = str(tmp_path / "identity.key")
    with running("sub", "news", "--peer", dead_address, *LISTEN, "--identity", file, "-n", "1", "--json") as listener:
        peer = listener.next_event("listening")["peer_id"]
        assert str(Identity.load(file).peer_id) == peer
        assert listener.next_event("failed")["address"] == dead_address
        code, _, err = listener.end(signal.SIGTERM)
    assert code == 143
    assert "connection refused" in err


def test_one_must_be_able_to_meet_somebody() -> None:
    for command in ("pub", "sub"):
        result = invoke(command, "news")
        assert result.exit_code == 2
        assert "--peer" in result.stderr

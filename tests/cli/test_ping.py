"""`cortexnet ping` and what all commands that dial have in common."""

import re
import signal
import socket
from pathlib import Path

import pytest

from cortexnet.cli.commands.ping import Tally
from cortexnet.cli.output import Output
from cortexnet.identity.identity import Identity
from tests.support.command_line import DEADLINE, OTHER_PEER, events, invoke, running, serving

QUICK = ("--interval", "0")


def test_round_trips_are_printed_one_a_line(node_address: str) -> None:
    result = invoke("ping", node_address, "-n", "5", *QUICK)
    assert result.exit_code == 0
    first, *replies, last = result.stdout.splitlines()
    peer = node_address.rsplit("/", 1)[1]
    assert re.fullmatch(rf"connected to {peer} at /ip4/127\.0\.0\.1/tcp/\d+ in [\d.]+ ms: tcp, /noise, /yamux/1\.0\.0", first)
    assert [line.split(":")[0] for line in replies] == [f"reply {number}" for number in range(1, 6)]
    assert last.startswith("5 sent, 5 answered; round trip min ")


def test_with_json_each_line_is_an_event(node_address: str) -> None:
    result = invoke("ping", node_address, "-n", "2", *QUICK, "--json")
    assert result.exit_code == 0
    connected, one, two, summary = events(result.stdout)
    assert connected["event"] == "connected"
    assert connected["peer_id"] == node_address.rsplit("/", 1)[1]
    assert (connected["transport"], connected["security"], connected["muxer"]) == ("tcp", "/noise", "/yamux/1.0.0")
    assert (one["event"], one["number"], two["number"]) == ("reply", 1, 2)
    assert one["seconds"] > 0
    assert (summary["event"], summary["sent"], summary["answered"]) == ("summary", 2, 2)
    assert summary["min"] <= summary["mean"] <= summary["max"]


def test_an_address_that_names_no_peer_takes_whoever_answers(node_address: str) -> None:
    address, peer = node_address.split("/p2p/")
    result = invoke("ping", address, "-n", "1")
    assert result.exit_code == 0
    assert f"connected to {peer}" in result.stdout


def test_one_can_ping_as_somebody(node_address: str, tmp_path: Path) -> None:
    file = str(tmp_path / "identity.key")
    Identity.load_or_create(file)
    assert invoke("ping", node_address, "-n", "1", "--identity", file).exit_code == 0


def test_a_dead_address_is_told_with_the_reason_and_advice(dead_address: str) -> None:
    result = invoke("ping", dead_address)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"{dead_address}: connection refused\n" in result.stderr
    assert "does the node run" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_peer_id_is_told_with_both_ids(node_address: str) -> None:
    address, peer = node_address.split("/p2p/")
    result = invoke("ping", f"{address}/p2p/{OTHER_PEER}", "--json")
    assert result.exit_code == 1
    assert f"expected peer {OTHER_PEER}, but {peer} answered" in result.stderr
    (error,) = events(result.stdout)
    assert (error["event"], error["kind"]) == ("error", "DialFailed")
    (attempt,) = error["attempts"]
    assert (attempt["kind"], attempt["address"]) == ("PeerIdMismatch", address)
    assert f"/p2p/{peer}" in attempt["advice"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("nonsense", "an address looks like /ip4/"),
        ("", "an address looks like /ip4/"),
        ("/", "an address looks like"),
        ("/ip4/999.0.0.1/tcp/1", "/ip4 cannot be '999.0.0.1'"),
        ("/ip4/127.0.0.1/tcp/70000", "/tcp cannot be '70000'"),
        ("/ip4/127.0.0.1/tcp/1/p2p/xyz", "/p2p cannot be 'xyz'"),
        ("127.0.0.1:4001", "write it as /ip4/127.0.0.1/tcp/4001"),
        ("[::1]:4001", "write it as /ip6/::1/tcp/4001"),
        ("example.org:4001", "write it as /dns/example.org/tcp/4001"),
        (OTHER_PEER, "is a peer id: put the address it has in front"),
        ("/ip4/\x1b[2J", "\\x1b[2J"),
    ],
)
def test_nonsense_is_a_usage_error_that_says_what_would_make_sense(text: str, hint: str) -> None:
    result = invoke("ping", text)
    assert result.exit_code == 2
    assert hint in result.stderr
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n", "another service"),
        (b"\xff" * 64, "another service"),
        (b"", "hung up"),
        (b"\x13/multistream/1.0.0\n\x03na\n", "no protocol in common"),
    ],
)
def test_a_server_that_is_no_node_is_told_apart_from_a_dead_one(words: bytes, says: str) -> None:
    def say(accepted: socket.socket) -> None:
        accepted.sendall(words)
        if words:
            accepted.settimeout(DEADLINE)
            while accepted.recv(4096):
                pass

    with serving(say) as address:
        result = invoke("ping", address)
    assert result.exit_code == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_server_that_says_nothing_is_given_up_in_time(silent_address: str) -> None:
    result = invoke("ping", silent_address, "--timeout", "0.1")
    assert result.exit_code == 1
    assert f"{silent_address}: no connection within 0.1 s" in result.stderr


def test_without_any_answer_the_summary_has_no_times(capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    tally.sent = 2
    tally.say(Output())
    assert capsys.readouterr().out == "2 sent, 0 answered\n"
    tally.say(Output(as_json=True))
    (summary,) = events(capsys.readouterr().out)
    assert (summary["sent"], summary["answered"], summary["mean"]) == (2, 0, None)


def test_a_peer_that_goes_away_is_told_ping_by_ping() -> None:
    with running("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json") as node:
        address = node.next_event("listening")["addresses"][0]
        with running("ping", address, "-n", "0", "--interval", "0.01", "--json") as ping:
            ping.next_event("reply")
            node.end(signal.SIGTERM)
            lost = ping.next_event("lost")
            assert lost["message"]
            code, out, err = ping.end(signal.SIGINT)
    assert code == 1
    assert events(out)[-1]["event"] == "summary"
    assert events(out)[-1]["answered"] < events(out)[-1]["sent"]
    assert "Traceback" not in err


def test_endless_pings_end_well_when_they_are_interrupted(node_address: str) -> None:
    with running("ping", node_address, "-n", "0", "--interval", "0.01") as ping:
        ping.next_line("reply 2")
        code, out, err = ping.end(signal.SIGINT)
    assert code == 0
    assert "answered; round trip" in out
    assert err == ""


def test_counted_pings_that_are_interrupted_end_with_130(node_address: str) -> None:
    with running("ping", node_address, "-n", "100", "--interval", "30") as ping:
        ping.next_line("reply 1")
        code, out, err = ping.end(signal.SIGINT)
    assert code == 130
    assert "1 sent, 1 answered" in out
    assert err == "interrupted by SIGINT\n"


def test_a_dial_that_takes_long_says_so_and_can_be_ended(silent_address: str) -> None:
    with running("ping", silent_address, "--timeout", "60") as ping:
        assert ping.process.stderr is not None
        assert ping.process.stderr.readline().startswith(f"connecting to {silent_address} ...")
        code, out, err = ping.end(signal.SIGTERM)
    assert (code, out) == (143, "")
    assert err == "interrupted by SIGTERM\n"


def test_pings_end_when_nobody_reads_the_output_any_more(node_address: str) -> None:
    with running("ping", node_address, "-n", "0", "--interval", "0.01") as ping:
        ping.next_line("reply 1")
        assert ping.process.stdout is not None
        ping.process.stdout.close()
        assert ping.process.wait(timeout=DEADLINE) == 1
        assert ping.process.stderr is not None
        assert ping.process.stderr.read() == ""


@pytest.mark.parametrize("command", [("ping", "/ip4/127.0.0.1/tcp/1"), ("pub", "news", "x", "--listen", "/ip4/127.0.0.1/tcp/0")])
@pytest.mark.parametrize("value", ["nan", "inf", "NaN", "1e999"])
def test_what_is_no_finite_time_is_refused_in_a_sentence(command: tuple[str, ...], value: str) -> None:
    for option in ("--timeout", "--interval") if command[0] == "ping" else ("--timeout",):
        result = invoke(*command, option, value)
        assert result.exit_code == 2
        assert f"'{option}': '{value}' is no time: write seconds as a number, such as 2.5" in result.stderr


def test_pings_may_follow_each_other_at_once(node_address: str) -> None:
    assert invoke("ping", node_address, "-n", "2", "--interval", "0").exit_code == 0


@pytest.mark.parametrize("option", [("--timeout", "0"), ("--timeout", "soon"), ("-n", "-1"), ("--identity", "/no/such/file")])
def test_options_that_make_no_sense_are_usage_errors(option: tuple[str, str], node_address: str) -> None:
    result = invoke("ping", node_address, *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr

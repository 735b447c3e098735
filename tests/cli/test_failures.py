"""Errors in words: what happened, why, and what to do."""

import errno
import os
import ssl

import pytest

from cortexnet.cli import failures
from cortexnet.cli.output import Output
from cortexnet.discovery.cards import PROTOCOL as CARD
from cortexnet.errors import (
    ConfigInvalid,
    ConnectionClosed,
    CortexError,
    DialFailed,
    HandshakeFailed,
    LimitExceeded,
    ListenFailed,
    LocalError,
    NegotiationFailed,
    NoPeers,
    NotRunning,
    PeerIdMismatch,
    PeerTimeout,
    StorageFailed,
    StreamReset,
)
from cortexnet.host.perf import PROTOCOL as PERF
from tests.support.command_line import events


def caused_by(number: int) -> ConnectionClosed:
    error = ConnectionClosed(os.strerror(number), by="network")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


def of_a_host_nobody_trusts() -> HandshakeFailed:
    error = HandshakeFailed("the certificate of the WebSocket's host is not accepted")
    error.__cause__ = ssl.SSLCertVerificationError(1, "certificate verify failed")
    return error


def of_a_folder_that_is_not_ours() -> StorageFailed:
    error = StorageFailed("the key file cannot be used: Permission denied", path="/etc/here.key")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied", "/etc/here.key")
    return error


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (caused_by(errno.ECONNREFUSED), "does the node run"),
        (caused_by(errno.ENETUNREACH), "no way from here"),
        (OSError(errno.EADDRINUSE, "in use"), "port 0"),
        (PermissionError(errno.EACCES, "not permitted"), "firewall"),
        (caused_by(errno.EPERM), "firewall"),
        (PermissionError(errno.EACCES, "not permitted", "here.key"), "owner and mode"),
        (of_a_folder_that_is_not_ours(), "owner and mode"),
        (OSError(errno.EADDRNOTAVAIL, "no such address"), "0.0.0.0"),
        (ListenFailed("/ip4/127.0.0.1/tcp/1", "no", number=errno.EACCES), "The system does not allow it"),
        (PeerTimeout("late"), "firewall"),
        (failures.TooFewPeers("0 peers want it"), "passes nothing on to those behind it"),
        (NoPeers("nobody is known"), "serve the DHT"),
        (failures.NotTaken("none of them took the value", "news"), "`KadConfig(validators={'news': …})`"),
        (failures.NotTaken("none of them took the value", "pk"), "try again"),
        (PeerIdMismatch("Alice", "Mallory"), "/p2p/Mallory"),
        (NegotiationFailed("nothing in common", protocols=["/x"]), "no protocol in common"),
        (NegotiationFailed("nothing in common", protocols=[PERF]), "run --perf"),
        (NegotiationFailed("nothing in common", protocols=[CARD]), "[card]"),
        (HandshakeFailed("garbage"), "another service"),
        (of_a_host_nobody_trusts(), "websocket.trusted"),
        (StreamReset(), "gave up"),
        (ConnectionClosed(by="remote"), "hung up"),
        (LimitExceeded("dials", limit=1, value=2, setting="limits.dials"), "limit of our own"),
        (LocalError("that is our own peer id"), ""),
        (OSError("no number"), ""),
    ],
)
def test_each_error_has_its_advice(error: BaseException, word: str) -> None:
    hint = failures.advice(error)
    assert word in hint
    assert bool(word) == bool(hint)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LocalError(), 2),
        (ConfigInvalid("wrong"), 2),
        (NotRunning(), 1),
        (PeerTimeout(), 1),
        (DialFailed("no"), 1),
        (OSError(), 1),
    ],
)
def test_the_exit_code_tells_whose_fault_it_was(error: CortexError | OSError, code: int) -> None:
    assert failures.exit_code(error) == code


def test_a_failed_dial_is_shown_with_the_reason_of_each_attempt() -> None:
    attempts = [("/ip4/192.0.2.1/tcp/1", caused_by(errno.ECONNREFUSED)), ("/ip4/192.0.2.2/tcp/2", PeerTimeout("late"))]
    assert failures.lines_of(DialFailed("no connection:", attempts)) == [
        "no connection:",
        f"  /ip4/192.0.2.1/tcp/1: {os.strerror(errno.ECONNREFUSED)}",
        "    Nothing listens on that port: does the node run, and is the port the right one?",
        "  /ip4/192.0.2.2/tcp/2: late",
        "    Is it reachable from here? A firewall that drops packets looks like this; `cortexnet doctor` looks closer.",
    ]


def test_an_address_that_cannot_be_listened_on_is_shown_with_the_advice_once() -> None:
    error = ListenFailed("/ip4/127.0.0.1/tcp/4001", "address already in use", number=errno.EADDRINUSE)
    assert failures.lines_of(error) == [
        "can't listen on /ip4/127.0.0.1/tcp/4001: address already in use",
        "Another program has that port: stop it, or listen on another one; port 0 takes any that is free.",
    ]


def test_an_address_that_is_not_allowed_is_about_ports_and_a_file_is_not() -> None:
    listening = failures.advice(ListenFailed("/ip4/127.0.0.1/tcp/1", "permission denied", number=errno.EACCES))
    assert "ports below 1024" in listening
    assert "port" not in failures.advice(of_a_folder_that_is_not_ours())


def test_an_error_of_the_system_is_shown_without_its_number() -> None:
    assert failures.lines_of(OSError(errno.ENOENT, "No such file or directory", "here.key")) == [
        "here.key: No such file or directory"
    ]


def test_what_a_peer_smuggles_into_an_error_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    failures.show(HandshakeFailed("it said \x1b[2J\x07"), Output())
    out, err = capsys.readouterr()
    assert out == ""
    assert "\\x1b[2J\\x07" in err
    assert "\x1b" not in err


def test_with_json_the_error_is_an_event_too(capsys: pytest.CaptureFixture[str]) -> None:
    error = DialFailed("no connection:", [("/ip4/192.0.2.1/tcp/1", PeerTimeout("late"))])
    failures.show(error, Output(as_json=True))
    out, err = capsys.readouterr()
    (event,) = events(out)
    assert (event["event"], event["kind"], event["message"]) == ("error", "DialFailed", "no connection:")
    (attempt,) = event["attempts"]
    assert (attempt["address"], attempt["kind"], attempt["message"]) == ("/ip4/192.0.2.1/tcp/1", "PeerTimeout", "late")
    assert err.startswith("Error: no connection:")


def test_a_traceback_is_shown_only_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    failures.show(PeerTimeout("late"), Output(debug=True))
    assert "cortexnet.errors.PeerTimeout: late" in capsys.readouterr().err
    failures.show(PeerTimeout("late"), Output())
    assert "cortexnet.errors" not in capsys.readouterr().err

"""`cortexnet doctor`: each thing that can be wrong is found, and told apart from the others."""

import socket
from pathlib import Path
from typing import Any

import pytest

from cortexnet.cli import diagnosis
from cortexnet.errors import ResolveFailed
from cortexnet.swarm.resolver import Resolver
from tests.support.command_line import DEADLINE, OTHER_PEER, events, invoke, serving

HEADER = b"\x13/multistream/1.0.0\n"


def examined(address: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code, and the event."""
    result = invoke("doctor", address, "--json", *options)
    assert "Traceback" not in result.stderr
    (event,) = events(result.stdout)
    return result.exit_code, event


def failed_step(event: dict[str, Any]) -> dict[str, Any]:
    """The one step that failed, of the one address that was tried."""
    (attempt,) = event["attempts"]
    assert attempt["status"] == "failed"
    (failed,) = [step for step in attempt["steps"] if step["status"] == "failed"]
    assert failed is attempt["steps"][-1]
    return failed


def test_a_peer_that_can_be_reached_passes_every_step(node_address: str) -> None:
    result = invoke("doctor", node_address)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:2] == [node_address, "├─ ok      parse     ip4, tcp, p2p"]
    assert [line.split()[2] for line in lines[3:8]] == ["tcp", "security", "muxer", "identify", "ping"]
    assert lines[-1] == "It can be reached: the address works."


def test_with_json_the_tree_is_one_event(node_address: str) -> None:
    code, event = examined(node_address)
    assert (code, event["event"], event["reachable"], event["address"]) == (0, "diagnosis", True, node_address)
    (attempt,) = event["attempts"]
    assert [(step["name"], step["status"]) for step in attempt["steps"]] == [
        (name, "ok") for name in ("tcp", "security", "muxer", "identify", "ping")
    ]


def test_without_a_peer_id_it_says_that_anybody_will_do(node_address: str) -> None:
    code, event = examined(node_address.split("/p2p/")[0])
    assert code == 0
    assert event["steps"][1]["status"] == "skipped"


def test_where_nobody_listens_the_first_step_fails(dead_address: str) -> None:
    code, event = examined(dead_address)
    step = failed_step(event)
    assert (code, step["name"], step["detail"]) == (1, "tcp", "connection refused")
    assert "does the node run" in step["advice"]


def test_another_peer_than_was_asked_for_fails_the_handshake(node_address: str) -> None:
    address, peer = node_address.split("/p2p/")
    code, event = examined(f"{address}/p2p/{OTHER_PEER}")
    step = failed_step(event)
    assert (code, step["name"]) == (1, "security")
    assert step["detail"].startswith(f"expected peer {OTHER_PEER}, but {peer} answered")


def test_nonsense_fails_at_once() -> None:
    code, event = examined("nonsense")
    assert (code, event["attempts"]) == (2, [])
    (step,) = event["steps"]
    assert (step["name"], step["status"]) == ("parse", "failed")
    assert step["advice"].startswith("an address looks like")


def test_an_address_of_a_transport_that_is_not_there_is_told() -> None:
    code, event = examined("/ip4/127.0.0.1/udp/1/quic-v1/webtransport")
    step = failed_step(event)
    assert (code, step["name"]) == (1, "dial")
    assert step["advice"] == "Transports of this node: tcp, ws, quic."


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n" + 64 * b"x", "web server"),
        (b"SSH-2.0-OpenSSH_9.6\r\n" + 64 * b"x", "SSH"),
        (b"220 mail.example.org ESMTP\r\n" + 64 * b"x", "mail"),
        (b"\x15\x03\x01\x00\x02\x02\x28" + 64 * b"x", "TLS server"),
        (b"\x00\x01\x02", "another service"),
        (b"", "said nothing"),
        (HEADER + b"\x03na\n\x03na\n", "no protocol in common"),
    ],
)
def test_what_is_no_node_is_recognised(words: bytes, says: str) -> None:
    def say(accepted: socket.socket) -> None:
        accepted.sendall(words)
        accepted.shutdown(socket.SHUT_WR)
        accepted.settimeout(DEADLINE)
        while accepted.recv(4096):
            pass

    with serving(say) as address:
        code, event = examined(address)
    step = failed_step(event)
    assert (code, step["name"]) == (1, "security")
    assert says in step["advice"]
    if words and not words.startswith(HEADER):
        assert "; it said '" in step["detail"]


def test_a_peer_that_speaks_only_tls_is_spoken_to_in_tls() -> None:
    def say(accepted: socket.socket) -> None:
        accepted.sendall(HEADER + b"\x03na\n\x0b/tls/1.0.0\n" + b"\x15\x03\x03\x00\x02\x02\x28")
        accepted.settimeout(DEADLINE)
        while accepted.recv(4096):
            pass

    with serving(say) as address:
        _, event = examined(address)
    step = failed_step(event)
    assert step["name"] == "security"
    assert "alert handshake failure" in step["detail"]


def test_who_takes_the_connection_and_says_nothing_is_given_up(silent_address: str) -> None:
    code, event = examined(silent_address, "--timeout", "0.1")
    step = failed_step(event)
    assert (code, step["name"], step["detail"]) == (1, "security", "nothing within 0.1 s")
    assert "has said nothing" in step["advice"]


def resolving_to(found: list[str] | ResolveFailed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def look_up(name: str, family: socket.AddressFamily) -> list[str]:
        if isinstance(found, ResolveFailed):
            raise found
        return found

    monkeypatch.setattr(diagnosis, "Resolver", lambda limits: Resolver(limits, hosts=look_up))


def test_a_name_that_leads_nowhere_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(ResolveFailed("no.such.name", "the name does not exist"), monkeypatch)
    result = invoke("doctor", "/dns/no.such.name/tcp/1")
    assert result.exit_code == 1
    assert "├─ FAILED  resolve   no.such.name: the name does not exist\n" in result.stdout
    assert result.stdout.endswith("It cannot be reached: there is no address to try.\n")


def test_one_of_several_addresses_is_enough(node_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(["127.0.0.1", "127.0.0.2"], monkeypatch)
    port = node_address.split("/")[4]
    result = invoke("doctor", f"/dns4/node.example/tcp/{port}")
    assert result.exit_code == 0
    assert "resolve   2 addresses in " in result.stdout
    assert result.stdout.endswith("It can be reached: 1 of 2 addresses work.\n")


def test_where_none_of_several_works_it_says_so(dead_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolving_to(["127.0.0.1", "127.0.0.2"], monkeypatch)
    result = invoke("doctor", f"/dns4/node.example/tcp/{dead_address.split('/')[4]}")
    assert result.exit_code == 1
    assert result.stdout.endswith("It cannot be reached: all 2 addresses do not work.\n")


def test_names_that_take_too_long_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(name: str, family: socket.AddressFamily) -> list[str]:
        raise TimeoutError

    monkeypatch.setattr(diagnosis, "Resolver", lambda limits: Slow())

    class Slow:
        async def resolve(self, *_: object) -> list[object]:
            raise TimeoutError

    code, event = examined("/dns4/node.example/tcp/1", "--timeout", "0.5")
    assert code == 1
    assert event["steps"][1]["detail"] == "no answer within 0.5 s"


def test_a_key_file_that_is_damaged_is_our_own_failure(tmp_path: Path) -> None:
    file = tmp_path / "identity.key"
    file.write_bytes(b"damaged")
    file.chmod(0o600)
    result = invoke("doctor", "/ip4/127.0.0.1/tcp/1", "--identity", str(file))
    assert result.exit_code == 1
    assert "this key file is damaged" in result.stderr


def test_branches_are_drawn_in_plain_characters_where_there_are_no_others() -> None:
    found = diagnosis.Diagnosis("here", steps=[diagnosis.Step("parse", detail="fine")])
    below = [diagnosis.Step("tcp"), diagnosis.Step("ping", "failed", "no", "Try again.")]
    found.attempts = [diagnosis.Step("there", steps=below)]
    assert diagnosis.tree(found, is_ascii=True) == [
        "here",
        "|- ok      parse     fine",
        "`- there",
        "   |- ok      tcp",
        "   `- FAILED  ping      no",
        "                        Try again.",
    ]
    assert not found.is_reachable

"""The examples do what they say, and so does the README."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from cortexnet import Identity, Node
from examples.fastapi_lifespan import app

ROOT = Path(__file__).resolve().parent.parent
PYTHON = (sys.executable, "-W", "error")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


def run(*arguments: str | Path) -> str:
    """What an example prints; it must end well and complain of nothing."""
    done = subprocess.run([*PYTHON, *arguments], capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """An example that goes on until it is killed."""
    process = subprocess.Popen([*PYTHON, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=ENVIRONMENT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def client_of(application: FastAPI) -> httpx.AsyncClient:
    """Requests to the application without a server between."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=application), base_url="http://node")


def test_the_program_in_the_readme_prints_what_came_back() -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [run("-c", program) for program in programs] == ["b'hello'\n"]


def test_the_echo_sends_all_back() -> None:
    assert run("examples/echo.py").startswith("4194304 bytes came back from 12D3KooW")


def test_a_newcomer_finds_those_whom_its_bootstrap_node_knows_and_hears_what_is_wrong_with_the_other_one() -> None:
    assert run("examples/discovery.py").splitlines() == [
        "bootstrap peer first: connected",
        "bootstrap peer a stranger: wrong peer: another node answers there: correct the peer id or the address",
        *(f"found {name} by exchange" for name in ("alice", "bob", "carol")),
        "found first by bootstrap",
        *(f"{name} answers" for name in ("first", "alice", "bob", "carol")),
    ]


def test_requests_are_answered_or_fail_for_the_reason_they_are_made_to() -> None:
    printed = re.sub(r"12D3KooW\w+", "PEER", run("examples/request_response.py"))
    assert printed.splitlines() == [
        "the answer: mostly harmless",
        "refused with code 404",
        "given up: a request to PEER took longer than 0.05 s",
        "not spoken here: /example/unknown/1.0.0",
    ]


def test_messages_have_receipts_that_can_be_shown() -> None:
    assert run("examples/direct_messages.py").splitlines() == [
        "bob says: noted: the gate opens at nine",
        "bob has got it",
        "carol has got it",
        "mute takes no messages",
        "bob has signed that he got a message of alice: True",
    ]


def test_topics_pass_on_what_their_validators_accept() -> None:
    lines = re.sub(r"12D3KooW\w+", "PEER", run("examples/topics.py")).splitlines()
    assert lines[:3] == [f"{data} went to 2 peers" for data in ("block 1", "nonsense", "block 2")]
    assert lines[3:] == ["block 1, says PEER", "block 2, says PEER"] * 2


def test_names_and_news_are_found_through_others() -> None:
    assert run("examples/ipns.py").splitlines() == [
        "it points to /ipfs/bafkqabtimvwgy3y for 300 s at least",
        "the news: 7 rain",
        "refused: this node keeps a better value of this key",
    ]


def test_content_values_and_peers_are_found_by_hearsay() -> None:
    assert run("examples/dht.py").splitlines() == [
        "the provider is found: True",
        "the weather: rain, later sun",
        "not found: nobody who was asked has a valid value of this key: it was stored in another DHT, or not in the last 48 h",
        "a watcher is found: True",
    ]


def test_nodes_are_found_by_what_they_say_they_can_do_and_where() -> None:
    assert run("examples/node_card.py").splitlines() == [
        "with a GPU: berlin francisco munich",
        "in region u, as Berlin is: berlin munich",
        "a store in Berlin: berlin",
        "signed by Berlin: True - it takes 4 jobs",
        "busy now: 0 jobs, still in u33d",
    ]


def test_a_kept_peer_comes_back_and_the_least_valuable_one_goes() -> None:
    assert run("examples/keep_connected.py").splitlines() == [
        "the server is connected",
        "the server is lost",
        "the server is connected",
        "closed: 1",
        "still there: friend helpful",
    ]


def test_those_who_answer_soon_are_asked_and_another_one_where_they_hang() -> None:
    assert run("examples/selection.py").splitlines() == [
        "the slow one has answered few of 100: True",
        "who is asked last, if all are: slow",
        "although the others hang: 144 from slow",
    ]


def test_access_is_denied_and_allowed_by_rules_and_by_a_gate() -> None:
    assert run("examples/access_control.py").splitlines() == [
        "closed: True",
        "a network: denied by rule 'deny 192.0.2.0/24 - a bad neighbourhood'",
        "let in: True",
        "not dialed: /ip4/192.0.2.7/tcp/4001 True",
    ]


def test_a_peer_that_lies_is_refused_then_denied_then_forgiven() -> None:
    assert run("examples/reputation.py").splitlines() == [
        "noticed: True",
        "honest: b'3'",
        "liar: 0x1008",
        "liar: denied",
        "validity -110.0: 11.0 violations",
        "forgiven: True",
    ]


def test_a_file_arrives_whole_and_is_named_by_its_digest(tmp_path: Path) -> None:
    sent, folder = tmp_path / "sent", tmp_path / "received"
    sent.write_bytes(bytes(range(256)) * 8_000)
    folder.mkdir()
    digest = sha256(sent.read_bytes()).hexdigest()
    with running("examples/file_transfer.py", "receive", folder) as receiver:
        assert receiver.stdout is not None
        address = receiver.stdout.readline().split()[-1]
        assert run("examples/file_transfer.py", "send", sent, address).strip().endswith(digest)
    assert [path.name for path in folder.iterdir()] == [digest]
    assert (folder / digest).read_bytes() == sent.read_bytes()


def test_a_file_that_cannot_be_sent_is_explained(tmp_path: Path) -> None:
    nobody = f"/ip4/127.0.0.1/tcp/1/p2p/{Identity.generate().peer_id}"
    command = [*PYTHON, "examples/file_transfer.py", "send", __file__, nobody]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=ENVIRONMENT, check=False)
    assert done.returncode == 1
    assert "/ip4/127.0.0.1/tcp/1" in done.stderr


async def test_a_web_application_has_a_node_for_as_long_as_it_lives() -> None:
    """A server may start it in one task and stop it in another."""
    lifespan = app.router.lifespan_context(app)
    await asyncio.create_task(lifespan.__aenter__())
    node: Node = app.state.node
    async with client_of(app) as client:
        description = (await client.get("/node")).json()
        assert description == {"peer_id": str(node.peer_id), "addresses": [str(address) for address in node.addresses]}
    await asyncio.create_task(lifespan.__aexit__(None, None, None))
    assert set(node.counters.values()) == {0}


async def test_a_web_application_pings_other_nodes_and_says_why_it_could_not() -> None:
    async with Node(listen=["/ip4/127.0.0.1/tcp/0"]) as other, app.router.lifespan_context(app), client_of(app) as client:
        answer = (await client.post("/ping", json={"address": str(other.addresses[0])})).json()
        assert (answer["peer_id"], answer["seconds"] > 0) == (str(other.peer_id), True)
        failure = await client.post("/ping", json={"address": "/ip4/127.0.0.1/tcp/1"})
        assert (failure.status_code, "refused" in failure.json()["detail"]) == (502, True)


def test_the_fixture_serves_the_tests_that_show_it() -> None:
    assert "3 passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/pytest_fixture")


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_run_by_a_test(path: Path) -> None:
    assert path.stem in Path(__file__).read_text(encoding="utf-8")


def test_watch_tells_who_comes_and_goes_and_how_the_node_is() -> None:
    lines = run("examples/watch.py").splitlines()
    assert re.fullmatch(r"\+ 12D3KooW\w+ over tcp and /noise", lines[0])
    assert re.fullmatch(r"  12D3KooW\w+ speaks \d protocols", lines[1])
    assert "health: ok" in lines
    assert "cortexnet_connections_opened_inbound_total 1.0" in lines
    assert any(line.startswith("- 12D3KooW") for line in lines)

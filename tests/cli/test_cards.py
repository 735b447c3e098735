"""`cortexnet card` and `cortexnet find`: what a node of `cortexnet run` says about itself, and that it is found by it."""

import base64
from collections.abc import Iterator

import pytest

from cortexnet import Card, PeerId
from tests.support.command_line import DEADLINE, OTHER_PEER, events, invoke, running

CARD = """\
[card]
capabilities = ["gpu", "store"]
region = "u33d"
metadata = { "name\\t" = "Ann's \\u001b[31mnode" }
limits = { "requests/s" = 5 }
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """Where a node without a card is, which knows the one with a card."""
    with running("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json") as process:
        yield process.next_event("listening")["addresses"][0]


@pytest.fixture(scope="module")
def worker(hub: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the node with a card is, which the DHT knows by now."""
    file = tmp_path_factory.mktemp("card") / "node.toml"
    file.write_text(CARD)
    listen = ("--listen", "/ip4/127.0.0.1/tcp/0")
    with running("run", *listen, "--json", "--bootstrap", hub, "--config", str(file)) as process:
        address = process.next_event("listening")["addresses"][0]
        process.next_event("bootstrap")
        yield address


def test_a_card_is_shown_and_can_be_checked_by_others(worker: str) -> None:
    (event,) = events(invoke("card", worker, "--json").stdout)
    assert (event["event"], event["peer_id"]) == ("card", worker.rpartition("/")[2])
    assert (event["capabilities"], event["region"], event["limits"]) == (["gpu", "store"], "u33d", {"requests/s": 5})
    assert event["metadata"] == {"name\t": "Ann's \x1b[31mnode"}
    card = Card.open(base64.b64decode(event["envelope"]), PeerId.parse(event["peer_id"]))
    assert (card.sequence, card.issued, card.expires) == (event["sequence"], event["issued"], event["expires"])


def test_for_people_it_is_a_table_in_which_nothing_is_obeyed(worker: str) -> None:
    lines = dict(line.split(None, 1) for line in invoke("card", worker).stdout.splitlines() if not line.startswith("peer id"))
    assert (lines["capabilities"], lines["region"]) == ("gpu, store", "u33d")
    assert lines["metadata"] == r"name\t: Ann's \x1b[31mnode"
    assert lines["limits"] == "requests/s: 5"
    assert lines["expires"].endswith(" UTC")


def test_a_card_is_found_by_peer_id_alone(hub: str, worker: str) -> None:
    peer = worker.rpartition("/")[2]
    result = invoke("card", peer, "--peer", hub, "--json")
    assert events(result.stdout)[-1]["peer_id"] == peer
    needs_somebody = invoke("card", peer)
    assert (needs_somebody.exit_code, "name somebody to ask" in needs_somebody.stderr) == (2, True)


def test_a_node_without_a_card_is_an_error(hub: str) -> None:
    result = invoke("card", hub, "--json")
    assert (result.exit_code, events(result.stdout)[0]["kind"]) == (1, "NegotiationFailed")


@pytest.mark.parametrize("target", ["nobody", "/ip4/nowhere", OTHER_PEER[:-1]])
def test_what_is_neither_address_nor_peer_is_refused(target: str) -> None:
    assert invoke("card", target).exit_code == 2


def until_found(*arguments: str) -> list[dict[str, object]]:
    """The events of a search, once it finds somebody: the node tells the DHT as soon as it is connected."""
    for _ in range(round(DEADLINE)):
        result = invoke("find", *arguments, "--json")
        if result.exit_code == 0:
            break
    return events(result.stdout)


def test_a_node_is_found_by_what_it_can_do_and_where_it_is(hub: str, worker: str) -> None:
    peer, where = worker.rpartition("/")[2], worker.partition("/p2p/")[0]
    card, done = until_found("--capability", "gpu", "--region", "u3", "--peer", hub)
    assert (card["event"], card["peer_id"], card["region"], card["addresses"]) == ("card", peer, "u33d", [where])
    assert (done["event"], done["found"], done["skipped"]) == ("done", 1, 0)
    shown = invoke("find", "--capability", "store", "--peer", hub)
    assert shown.stdout.splitlines() == [f"{peer}  u33d", f"  {where}"]
    assert "1 found, 0 left out" in shown.stderr


def test_nobody_who_is_wanted_is_an_error_and_those_left_out_are_told(hub: str, worker: str) -> None:
    until_found("--capability", "gpu", "--peer", hub)
    result = invoke("find", "--capability", "gpu", "--region", "9q", "--peer", hub, "-v", "--json")
    skipped, done, _error = events(result.stdout)
    assert (result.exit_code, skipped["event"], skipped["peer_id"]) == (1, "skipped", worker.rpartition("/")[2])
    assert (done["found"], done["skipped"]) == (0, 1)
    assert "is left out: its card says something else" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("--capability", "GPU"), ("--capability", "gpu", "--region", "u3a"), ("--region", "u3"), ("--capability", "gpu")],
)
def test_what_cannot_be_looked_for_is_refused(arguments: tuple[str, ...]) -> None:
    peer = () if arguments == ("--capability", "gpu") else ("--peer", f"/ip4/127.0.0.1/tcp/1/p2p/{OTHER_PEER}")
    assert invoke("find", *arguments, *peer).exit_code == 2

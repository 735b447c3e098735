"""`cortexnet dht`: what is stored by one command is found by the next, through nodes that run all the while."""

import base64
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortexnet.cli.commands import dht
from cortexnet.cli.output import Output
from cortexnet.identity.identity import Identity
from cortexnet.kad.records.ipns import IpnsRecord
from cortexnet.kad.routing.contact import Contact
from cortexnet.multiformats.multiaddr import Multiaddr
from tests.support.command_line import OTHER_PEER, events, invoke, running

CID = "bafkreicmtj24zjyx563izblpe25ieudtp5congangmmtzfh2bohjzv3brq"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where one of two nodes is, which know each other."""
    with running("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json") as first:
        known = first.next_event("listening")["addresses"][0]
        with running("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json", "--bootstrap", known) as second:
            second.next_event("bootstrap")
            yield known


@pytest.fixture(scope="module")
def own_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a node of a network of its own is."""
    file = tmp_path_factory.mktemp("own") / "node.toml"
    file.write_text('[kad]\nprefix = "/own"\n')
    with running("run", "--listen", "/ip4/127.0.0.1/tcp/0", "--json", "--config", str(file)) as process:
        yield process.next_event("listening")["addresses"][0]


def test_a_provider_stays_and_is_found(address: str) -> None:
    with running("dht", "provide", CID, "--peer", address, "--listen", "/ip4/127.0.0.1/tcp/0", "--json") as process:
        provided = process.next_event("provided")
        assert provided["peers"] >= 1
        result = invoke("dht", "find-providers", CID, "--peer", address, "--json")
        (provider,) = [event for event in events(result.stdout) if event["event"] == "provider"]
        assert provider["peer_id"] == provided["peer_id"]
        assert [f"{where}/p2p/{provider['peer_id']}" for where in provider["addresses"]] == provided["addresses"]
        assert process.end(signal.SIGTERM)[0] == 0
    found = invoke("dht", "find-providers", CID, "--peer", address, "-n", "0")
    assert found.stdout.splitlines()[0] == provided["peer_id"]
    assert "asked" in found.stderr


def test_nobody_provides_what_nobody_has_told(address: str) -> None:
    result = invoke("dht", "find-providers", "bafkreib7vngn3xgmdcubbcpw6xoknwwotllhw2gom7chqiwxscphehr5hy", "--peer", address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "knows a provider" in result.stderr


def test_a_value_is_stored_and_printed(address: str, tmp_path: Path) -> None:
    identity = Identity.generate()
    record = IpnsRecord.create(identity.private_key, "/ipfs/bafkqaaa", sequence=7, eol_unix=4_000_000_000)
    file = tmp_path / "record"
    file.write_bytes(record.encode())
    name = f"/ipns/{identity.peer_id}"
    stored = invoke("dht", "put", name, "--file", str(file), "--peer", address)
    assert stored.exit_code == 0, stored.stderr
    assert stored.stdout.startswith("stored with ")
    got = invoke("dht", "get", name, "--peer", address)
    assert [line.split() for line in got.stdout.splitlines()] == [["value", "/ipfs/bafkqaaa"], ["sequence", "7"]]
    *_, value, done = events(invoke("dht", "get", name, "--peer", address, "--json").stdout)
    assert (value["event"], base64.b64decode(value["value"]), value["as_text"]) == ("value", record.encode(), None)
    assert (done["event"], done["asked"] >= 1) == ("done", True)


@pytest.mark.parametrize("key", [f"/pk/{OTHER_PEER}", f"/ipns/{OTHER_PEER}"])
def test_a_value_that_is_none_of_its_key_is_the_fault_of_whoever_gave_it(address: str, key: str) -> None:
    result = invoke("dht", "put", key, "junk", "--peer", address)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: this is no value of {key}: ")
    assert "speak libp2p" not in result.stderr


def test_in_a_network_of_its_own_its_nodes_decide(own_network: str) -> None:
    options = ("--peer", own_network, "--prefix", "/own")
    key = Identity.generate()
    put = invoke("dht", "put", "/news/today", "sunny", *options)
    assert put.exit_code == 1  # the node there has no validator for it
    assert "refused it" in put.stderr
    assert "values of 'news'" in put.stderr
    assert "serve the DHT" not in put.stderr
    assert invoke("dht", "closest", str(key.peer_id), *options).stdout.splitlines()[0] == own_network.rsplit("/", 1)[1]


def test_a_node_of_another_network_is_told_apart(own_network: str) -> None:
    result = invoke("dht", "closest", CID, "--peer", own_network, "--timeout", "3")
    assert result.exit_code == 1
    assert "none serves" in result.stderr
    assert "--prefix" in result.stderr


def test_a_peer_is_found_with_its_addresses_and_one_that_nobody_knows_is_not(address: str) -> None:
    where, peer = address.split("/p2p/")
    assert invoke("dht", "find-peer", peer, "--peer", address).stdout.splitlines() == [peer, f"  {where}"]
    *_, error = events(invoke("dht", "find-peer", OTHER_PEER, "--peer", address, "--json").stdout)
    assert (error["event"], error["kind"]) == ("error", "NotFound")


def test_the_closest_come_with_how_far_it_was(address: str) -> None:
    result = invoke("dht", "closest", CID, "--peer", address, "--json")
    kinds = [event["event"] for event in events(result.stdout)]
    assert (kinds.count("peer"), kinds[0], kinds[-1]) == (2, "progress", "done")
    last = events(result.stdout)[-1]
    assert (last["hops"] >= 1, last["answered"], last["distance_bits"] <= 256) == (True, 2, True)


def test_a_dead_peer_is_a_warning_as_long_as_another_lives(address: str, dead_address: str) -> None:
    peer = f"{dead_address}/p2p/{OTHER_PEER}"
    result = invoke("dht", "closest", CID, "--peer", peer, "--peer", address)
    assert result.exit_code == 0
    assert "Warning" in result.stderr
    for peers in (["--peer", peer], ["--peer", peer, "--peer", dead_address]):
        result = invoke("dht", "closest", CID, *peers)
        assert result.exit_code == 1
        assert "does the node run" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["closest", CID], "--peer ADDRESS, or --amino"),
        (["closest", CID, "--amino", "--prefix", "/own"], "leave one of the two out"),
        (["closest", CID, "--peer", "nonsense"], "an address looks like"),
        (["closest", CID, "--peer", "/ip4/127.0.0.1/tcp/1", "--prefix", "own"], "must be like /cortex"),
        (["find-providers", "nonsense", "--peer", "/ip4/127.0.0.1/tcp/1"], "is unknown"),
        (["find-peer", "nonsense", "--peer", "/ip4/127.0.0.1/tcp/1"], "Error"),
        (["get", "nonsense", "--peer", "/ip4/127.0.0.1/tcp/1"], "/namespace/name"),
        (["put", "/news/x", "--peer", "/ip4/127.0.0.1/tcp/1"], "second argument"),
        (["nonsense"], "No such command"),
    ],
)
def test_what_makes_no_sense_is_said_at_once(arguments: list[str], says: str) -> None:
    result = invoke("dht", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_an_address_cannot_make_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    name = b"x\n12D3KooWforged"
    contact = Contact(Identity.generate().peer_id, [Multiaddr(bytes([54, len(name)]) + name + b"\x06\x00\x01")])
    dht._say_contact(Output(), "peer", contact)
    assert capsys.readouterr().out == f"{contact.peer_id}\n  /dns4/x\\n12D3KooWforged/tcp/1\n"

"""`cortexnet connect`."""

import base64
import re

from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from tests.support.command_line import events, invoke


def test_what_a_peer_says_is_shown_under_headings(node_address: str) -> None:
    result = invoke("connect", node_address)
    assert result.exit_code == 0
    address, peer = node_address.split("/p2p/")
    shown = dict(re.findall(r"^(\w[\w ]*?)  +(\S.*)$", result.stdout, re.MULTILINE))
    assert shown["peer id"] == peer
    assert shown["remote address"] == shown["addresses"] == address
    assert shown["agent version"].startswith("cortexnet/")
    assert shown["protocol version"] == "-"
    assert re.fullmatch(r"[\d.]+ ms", shown["round trip"])
    assert "                  /ipfs/ping/1.0.0\n" in result.stdout


def test_with_json_it_is_one_event(node_address: str) -> None:
    address, peer = node_address.split("/p2p/")
    (event,) = events(invoke("connect", node_address, "--json").stdout)
    assert (event["event"], event["peer_id"], event["addresses"]) == ("peer", peer, [address])
    assert PeerId.from_public_key(PublicKey.unmarshal(base64.b64decode(event["public_key"]))) == PeerId.parse(peer)
    assert {"/ipfs/id/1.0.0", "/perf/1.0.0"} <= set(event["protocols"])
    assert event["rtt_seconds"] > 0
    assert event["protocol_version"] == ""
    assert event["observed_address"] == event["local_address"]


def test_a_dead_address_is_an_error(dead_address: str) -> None:
    result = invoke("connect", dead_address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "connection refused" in result.stderr

"""The network of `cortexnet demo`: what its nodes can do, and that it notices where something is not as it should be."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cortexnet.cli.demo import deeds
from cortexnet.cli.demo.deeds import ByDigest, key_of
from cortexnet.cli.demo.network import MESSAGES, Network
from cortexnet.cli.demo.services import DemoNode
from cortexnet.cli.output import Output
from cortexnet.errors import InvalidRecord, StreamCode


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[DemoNode, DemoNode]]:
    one = DemoNode("X1", tmp_path)
    async with one.node:
        other = DemoNode("X2", tmp_path, str(one.node.addresses[0]))
        async with other.node:
            await other.wait_connected([str(one.node.peer_id)])
            yield one, other
            await other.deeds.close()
            await one.deeds.close()


async def test_nodes_find_store_and_publish(pair: tuple[DemoNode, DemoNode]) -> None:
    one, other = pair
    assert await other.deeds.find([str(one.node.peer_id)]) == {"sources": {"bootstrap": 1}}
    stored = await one.deeds.put("a text")
    assert stored["peers"] == 1
    assert await other.deeds.get(str(stored["key"])) == {"text": "a text"}
    provided = await one.deeds.provide("a content")
    assert await other.deeds.providers(str(provided["cid"])) == {"peers": [str(one.node.peer_id)]}
    await asyncio.gather(one.deeds.join(1), other.deeds.join(1))
    await other.deeds.publish(["one", "two"])
    assert sorted((await one.deeds.heard(2))["texts"]) == ["one", "two"]


async def test_who_says_nonsense_is_refused_and_denied(pair: tuple[DemoNode, DemoNode]) -> None:
    one, other = pair
    bad = str(other.node.peer_id)
    assert (await one.deeds.opinion(bad))["standing"] == "good"
    result = await other.deeds.misbehave(str(one.node.peer_id))
    assert result["code"] == StreamCode.GATED
    assert (await one.deeds.opinion(bad))["standing"] == "refused"
    assert await other.deeds.persist() == {"messages": deeds.HELD}
    await other.wait_lost([str(one.node.peer_id)])
    assert (await one.deeds.opinion(bad))["standing"] == "denied"


def test_nobody_stores_what_does_not_belong_to_a_key() -> None:
    rules = ByDigest()
    rules.validate(key_of(b"a"), b"a", 0.0)
    assert rules.select(key_of(b"a"), [b"a", b"a"]) == 0
    with pytest.raises(InvalidRecord, match="not the one of this key"):
        rules.validate(key_of(b"a"), b"b", 0.0)


NODES = ["A1", "A2", "D1", "D2", "D3", "D4"]
TEXTS = [f"{number} of {MESSAGES} messages of D3" for number in range(1, MESSAGES + 1)]


def answers() -> dict[str, Any]:
    """What the nodes of a network would say in which all is well."""
    return {
        "find": {"sources": {"bootstrap": 1, "namespace": 3}},
        "put": {"key": "k", "peers": 5},
        "get": {"text": "what D1 wanted to be known"},
        "provide": {"cid": "c", "peers": 5},
        "providers": {"peers": ["peer D2"]},
        "join": {},
        "publish": {},
        "heard": {"texts": TEXTS},
        "misbehave": {"messages": 7, "code": StreamCode.GATED},
        "persist": {"messages": 4},
        "wait_lost": {"reasons": ["denied"]},
        "connections": {"connections": []},
        "dial": {"seconds": 0.1},
        "ask": {},
        "opinion": [
            {"score": 5.0, "standing": "good", "lines": []},
            {"score": -55.0, "standing": "refused", "lines": []},
            {"score": -95.0, "standing": "denied", "lines": []},
            {"score": 5.0, "standing": "good", "lines": []},
        ],
    }


async def faults_of(change: Callable[[dict[str, Any]], object] = lambda said: None) -> list[str]:
    said, faults = answers(), list[str]()
    change(said)

    async def tell(node: str, do: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = said[do].pop(0) if isinstance(said[do], list) else said[do]
        return result

    def check(is_so: bool, fault: str) -> None:
        if not is_so:
            faults.append(fault)

    peers = {name: f"peer {name}" for name in NODES}
    await Network(Output(as_json=True), tell, check, peers, peers).run(NODES[:2], NODES[2:])
    return faults


async def test_where_all_is_well_nothing_is_found() -> None:
    assert await faults_of() == []
    assert await faults_of(lambda said: said.update(dial={"error": "connection refused"})) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"find": {"sources": {"namespace": 3}}}, "nobody found A1 by bootstrap"),
        ({"find": {"sources": {"bootstrap": 3}}}, "found nobody but the node they were told of"),
        ({"put": {"key": "k", "peers": 0}}, "nobody has stored the value of D1"),
        ({"get": {"text": "another"}}, "D3 found another value than the one that D1 has stored"),
        ({"providers": {"peers": []}}, "A2 found nobody for a content of D2"),
        ({"providers": {"peers": ["peer D2", "peer X"]}}, "['D2', 'a stranger'] for a content of D2"),
        ({"heard": {"texts": TEXTS[1:]}}, "A1 did not get each message of D3 once"),
        ({"heard": {"texts": [*TEXTS, TEXTS[0]]}}, "A1 did not get each message of D3 once"),
        ({"misbehave": {"messages": 20, "code": 0x1004}}, "A2 still takes streams of D4"),
        ({"connections": {"connections": [{"peer_id": "peer D4"}]}}, "D4 is connected to A2, which denies it"),
    ],
)
async def test_what_is_not_as_it_should_be_is_a_fault(change: dict[str, Any], fault: str) -> None:
    faults = await faults_of(lambda said: said.update(change))
    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize(
    ("index", "opinion", "fault"),
    [
        (1, {"score": 6.0, "standing": "refused"}, "D4 has lost nothing with A2"),
        (1, {"score": -5.0, "standing": "good"}, "A2 still takes streams of D4, whom it calls good"),
        (2, {"score": -65.0, "standing": "refused"}, "A2 does not deny D4, whom it calls refused"),
        (3, {"score": -65.0, "standing": "refused"}, "A1 judges D4 by what it did to A2"),
    ],
)
async def test_a_wrong_opinion_is_a_fault(index: int, opinion: dict[str, Any], fault: str) -> None:
    assert await faults_of(lambda said: said["opinion"][index].update(opinion)) == [fault]

"""RPCs that are cut: as go cuts them, nothing lost, nothing too large."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.message import Message
from cortexnet.gossip.messages import ControlMessages, IHave, Prune, Rpc, Subscription, decode, encode, frame
from cortexnet.gossip.split import split_rpc
from tests.support.gossip_rpcs import RPCS

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "gossip.json").read_text())["split"]


def contents(*rpcs: Rpc) -> dict[str, list[object]]:
    """All that is said, in order, without who says it together with what."""
    said: dict[str, list[object]] = {"subscriptions": [], "messages": [], "extensions": [], "test": []}
    for rpc in rpcs:
        said["subscriptions"] += rpc.subscriptions
        said["messages"] += [message.wire for message in rpc.messages]
        said["test"] += [True] if rpc.test_extension else []
        if (control := rpc.control) is not None:
            for name, entries in (("iwant", control.iwant), ("graft", control.graft), ("idontwant", control.idontwant)):
                said.setdefault(name, []).extend(entries)
            said.setdefault("prune", []).extend(control.prune)
            said.setdefault("ihave", []).extend((entry.topic, each) for entry in control.ihave for each in entry.ids)
            said["extensions"] += [control.extensions] if control.extensions is not None else []
    return {name: value for name, value in said.items() if value}


def control_size(rpc: Rpc) -> int:
    return len(encode(rpc)) - sum(message.payload_share for message in rpc.messages)


def test_an_rpc_is_cut_as_go_cuts_it() -> None:
    rpc = decode(bytes.fromhex(GOLDEN["rpc"])[2:], GossipConfig())
    parts = split_rpc(rpc, GOLDEN["limit"], GOLDEN["control_limit"])
    assert [frame(part).hex() for part in parts] == GOLDEN["parts"]


@given(RPCS, st.integers(200, 600), st.integers(200, 300))
def test_nothing_is_lost_and_no_part_is_too_large(rpc: Rpc, limit: int, control_limit: int) -> None:
    parts = split_rpc(rpc, limit, control_limit, message_limit=7)
    assert contents(*parts) == contents(rpc)
    for part in parts:
        assert len(part.messages) <= 7
        is_alone = len(part.messages) == 1 and not part.subscriptions and part.control is None
        assert len(encode(part)) <= limit or is_alone
        assert control_size(part) <= control_limit


def test_an_rpc_that_fits_stays_whole_but_for_its_messages() -> None:
    message = Message.build("a", b"data")
    rpc = Rpc([Subscription("a")], [message], ControlMessages(graft=["a"]), True)
    parts = split_rpc(rpc, 1000, 1000)
    assert parts == [Rpc([], [message]), Rpc([Subscription("a")], [], ControlMessages(graft=["a"]), True)]
    assert split_rpc(Rpc(), 1000, 1000) == []


def test_what_is_larger_than_the_limit_goes_alone() -> None:
    large, small = Message.build("a", bytes(500)), Message.build("a", b"")
    assert split_rpc(Rpc([], [small, large, small]), 100, 100) == [Rpc([], [each]) for each in (small, large, small)]
    names = ["a" * 150, "b" * 150]
    assert [part.subscriptions for part in split_rpc(Rpc([Subscription(name) for name in names]), 100, 100)] == [
        [Subscription(name)] for name in names
    ]


def test_every_part_is_filled() -> None:
    names = [f"topic {number:04}" for number in range(1_000)]
    for rpc in (
        Rpc([Subscription(name) for name in names]),
        Rpc(control=ControlMessages(graft=names)),
        Rpc(control=ControlMessages(prune=[Prune(name) for name in names])),
    ):
        sizes = [len(encode(part)) for part in split_rpc(rpc, 2_000, 2_000)]
        assert all(1_980 < size <= 2_000 for size in sizes[:-1])
        assert len(sizes) < 12


def test_entries_of_one_topic_become_one() -> None:
    control = ControlMessages(ihave=[IHave("a", [b"1"]), IHave("a", [b"2"]), IHave("b", [b"3"])], graft=["c" * 90])
    parts = split_rpc(Rpc(control=control), 100, 100)
    assert [part.control.ihave for part in parts if part.control is not None] == [
        [],
        [IHave("a", [b"1", b"2"]), IHave("b", [b"3"])],
    ]


@pytest.mark.parametrize("kind", ["iwant", "idontwant", "ihave"])
def test_five_thousand_ids_are_cut_in_one_pass(kind: str) -> None:
    ids = [number.to_bytes(46, "big") for number in range(5000)]
    control = ControlMessages(ihave=[IHave("a", ids)]) if kind == "ihave" else ControlMessages(**{kind: ids})
    parts = split_rpc(Rpc(control=control), 56 * 1024, 16 * 1024)
    assert len(parts) == -(-5000 * 48 // (16 * 1024 - 10))
    assert contents(*parts) == contents(Rpc(control=control))

"""RPCs against go's bytes, any bytes at all, and every bound."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.gossip.config import GossipConfig
from cortexnet.gossip.messages import (
    PORTION,
    ControlMessages,
    Extensions,
    IHave,
    Message,
    Prune,
    PrunePeer,
    Rpc,
    Subscription,
    decode,
    decoding,
    encode,
    encode_control,
    frame,
    graft_field,
    ids_field,
    ihave_field,
    portions,
    prune_field,
    subscription_field,
)
from cortexnet.protobuf import field_bytes, field_varint
from tests.support import gossip_rpcs

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "gossip.json").read_text())
RPCS: dict[str, dict[str, Any]] = {case["what"]: case for case in GOLDEN["rpcs"]}
CONFIG = GossipConfig()
ID = bytes.fromhex(GOLDEN["signatures"][0]["message_id"])
TEST = "test"

MEANINGS: list[tuple[str, Rpc]] = [
    ("subscribe, as older stacks send it", Rpc([Subscription(TEST)])),
    ("subscribe, as go sends it: both partial flags written, false", Rpc([Subscription(TEST)])),
    ("subscribe asking for partial messages", Rpc([Subscription(TEST)])),
    ("unsubscribe, as go sends it", Rpc([Subscription(TEST, False)])),
    (
        "hello on 1.3: subscription and extensions in one RPC",
        Rpc([Subscription(TEST)], control=ControlMessages(extensions=Extensions(test_extension=True))),
    ),
    ("hello with no subscription and no extension: never sent", Rpc()),
    ("extensions with partial messages only", Rpc(control=ControlMessages(extensions=Extensions(partial_messages=True)))),
    ("the test extension message", Rpc(test_extension=True)),
    ("IHAVE", Rpc(control=ControlMessages(ihave=[IHave(TEST, [ID])]))),
    ("IWANT", Rpc(control=ControlMessages(iwant=[ID]))),
    ("GRAFT", Rpc(control=ControlMessages(graft=[TEST]))),
    ("PRUNE to a 1.0 peer: no backoff", Rpc(control=ControlMessages(prune=[Prune(TEST)]))),
    ("PRUNE on unsubscribe, 10 s", Rpc(control=ControlMessages(prune=[Prune(TEST, backoff=10)]))),
    ("IDONTWANT", Rpc(control=ControlMessages(idontwant=[ID]))),
    ("partial message", Rpc()),
]
OTHERWISE_WRITTEN = ("as go sends it", "asking for partial", "unsubscribe, as go", "hello on 1.3", "partial message")


def content(case: dict[str, Any]) -> bytes:
    data = bytes.fromhex(case["frame"])
    return data[2 if data[0] > 0x7F else 1 :]


@pytest.mark.parametrize(("what", "meaning"), MEANINGS, ids=[what for what, _ in MEANINGS])
def test_rpcs_of_go_mean_what_they_mean_there(what: str, meaning: Rpc) -> None:
    assert decode(content(RPCS[what]), CONFIG) == meaning


@pytest.mark.parametrize("case", [case for case in RPCS.values() if not any(part in case["what"] for part in OTHERWISE_WRITTEN)])
def test_rpcs_are_written_as_go_writes_them(case: dict[str, Any]) -> None:
    assert frame(decode(content(case), CONFIG)).hex() == case["frame"]


def test_a_prune_names_peers_with_and_without_a_record() -> None:
    control = decode(content(RPCS["PRUNE with PX: key 1 with signed record (seq 7), key 2 without; 60 s"]), CONFIG).control
    assert control is not None
    (prune,) = control.prune
    assert (prune.topic, prune.backoff) == (TEST, 60)
    assert [peer.peer_id.hex() for peer in prune.peers] == [key["id"] for key in GOLDEN["keys"][1:3]]
    assert [len(peer.record) for peer in prune.peers] == [164, 0]


@pytest.mark.parametrize("case", RPCS.values(), ids=list(RPCS))
def test_the_control_part_is_counted_as_go_counts_it(case: dict[str, Any]) -> None:
    data, size = content(case), case["control_size"]
    decode(data, GossipConfig(control_limit=max(size, 1)))
    if size > 1:
        with pytest.raises(MessageTooLarge, match=f"of {size} bytes is over the limit of {size - 1}"):
            decode(data, GossipConfig(control_limit=size - 1))


def test_data_counts_for_the_whole_alone() -> None:
    data = encode(Rpc([], [Message.build("t", bytes(900))]))
    decode(data, GossipConfig(control_limit=7, rpc_limit=60_000))
    with pytest.raises(MessageTooLarge, match="of 7 bytes is over the limit of 6"):
        decode(data, GossipConfig(control_limit=6, rpc_limit=60_000))


def test_an_rpc_over_the_limit_is_refused() -> None:
    config = GossipConfig(rpc_limit=60_000, control_limit=60_000)
    assert not decode(field_bytes(99, bytes(59_995)), config)
    with pytest.raises(MessageTooLarge, match="gossip RPC of 60001 bytes"):
        decode(bytes(60_001), config)


def test_a_message_is_forwarded_in_its_own_bytes() -> None:
    raw = field_bytes(4, b"t") + field_varint(77, 5) + field_bytes(2, b"data")
    rpc = decode(field_bytes(2, raw), CONFIG)
    assert (rpc.messages[0].topic, rpc.messages[0].data, rpc.messages[0].raw) == ("t", b"data", raw)
    assert encode(rpc) == field_bytes(2, raw)


def test_several_control_parts_are_one() -> None:
    first = encode_control(ControlMessages(graft=["a"], iwant=[b"1"]))
    second = encode_control(ControlMessages(graft=["b"], iwant=[b"2"]))
    rpc = decode(field_bytes(3, first) + field_bytes(3, second), CONFIG)
    assert rpc.control == ControlMessages(graft=["a", "b"], iwant=[b"1", b"2"])


def test_an_empty_control_part_is_still_one() -> None:
    assert decode(b"\x1a\x00", CONFIG) == Rpc(control=ControlMessages())
    assert Rpc(control=ControlMessages())
    assert not Rpc()


SMALL = GossipConfig(element_limit=3, idontwant_ids=2)
FOUR = [b"1", b"2", b"3", b"4"]


def test_ids_past_the_limit_are_skipped() -> None:
    told = [IHave("a", FOUR * 2), IHave("b", FOUR * 2)]
    read = decode(encode(Rpc(control=ControlMessages(told, FOUR, [], [], FOUR))), SMALL).control
    assert read == ControlMessages([told[0], IHave("b", FOUR)], FOUR[:3], [], [], FOUR[:2])


def test_a_topic_that_is_repeated_counts_as_an_id() -> None:
    again = field_bytes(1, field_bytes(1, b"t") * 9 + field_bytes(2, b"1") * 9)
    assert decode(field_bytes(3, again), SMALL).control == ControlMessages([IHave("t", [b"1"] * 4)])
    long = field_bytes(1, field_bytes(1, b"t" * 200) * 9 + field_bytes(2, b"1") * 9)
    assert decode(field_bytes(3, long), SMALL).control == ControlMessages([IHave("t" * 200, [b"1"] * 4)])


def test_entries_past_the_limit_are_skipped() -> None:
    names = ["1", "2", "3", "4"]
    rpc = Rpc([Subscription(name) for name in names], [], ControlMessages(graft=names, prune=[Prune(name) for name in names]))
    read = decode(encode(rpc), SMALL)
    assert [entry.topic for entry in read.subscriptions] == names[:3]
    assert read.control is not None
    assert read.control.graft == names[:3]
    assert [entry.topic for entry in read.control.prune] == names[:3]


def test_messages_past_the_limit_are_refused() -> None:
    messages = [Message.build("t", data) for data in FOUR]
    assert len(decode(encode(Rpc([], messages[:3])), SMALL).messages) == 3
    with pytest.raises(ProtocolViolation, match="more than 3 of field 2"):
        decode(encode(Rpc([], messages)), SMALL)


def test_more_named_peers_than_the_limit_are_refused() -> None:
    peers = [PrunePeer(each) for each in FOUR]
    decode(encode(Rpc(control=ControlMessages(prune=[Prune("a", peers[:2]), Prune("b", peers[2:3])]))), SMALL)
    with pytest.raises(ProtocolViolation, match="names more than 3 peers"):
        decode(encode(Rpc(control=ControlMessages(prune=[Prune("a", peers[:2]), Prune("b", peers[2:])]))), SMALL)


def test_topics_that_are_too_long_are_left_out() -> None:
    fits, long = "a" * 256, "ä" * 129
    control = ControlMessages([IHave(name, [b"1"]) for name in (fits, long)], [], [fits, long], [Prune(fits), Prune(long)])
    messages = [Message.build(name, b"") for name in (fits, long)]
    rpc = decode(encode(Rpc([Subscription(fits), Subscription(long)], messages, control)), CONFIG)
    assert rpc.subscriptions == [Subscription(fits)]
    assert [message.topic for message in rpc.messages] == [fits]
    assert rpc.control == ControlMessages([IHave(fits, [b"1"])], [], [fits], [Prune(fits)])


def test_ids_that_are_empty_or_too_long_are_left_out() -> None:
    ids = [b"", b"a" * 80, b"b" * 81, b"c" * 200, b"d"]
    config = GossipConfig(message_id_size=80)
    control = ControlMessages([IHave("t", ids)], ids, [], [], ids)
    kept = [ids[1], ids[4]]
    assert decode(encode(Rpc(control=control)), config).control == ControlMessages([IHave("t", kept)], kept, [], [], kept)
    wide = GossipConfig(message_id_size=200)
    assert decode(encode(Rpc(control=control)), wide).control == ControlMessages([IHave("t", ids[1:])], ids[1:], [], [], ids[1:])


def test_a_long_list_of_long_ids_is_cut_too() -> None:
    ids = [bytes([number]) * 150 for number in range(5)]
    config = GossipConfig(message_id_size=200, element_limit=4)
    assert decode(encode(Rpc(control=ControlMessages(iwant=ids))), config).control == ControlMessages(iwant=ids[:4])


def test_a_topic_may_follow_its_ids_and_have_a_long_name() -> None:
    entry = field_bytes(2, b"1") + field_bytes(1, b"t" * 200) + field_varint(9, 1) + field_bytes(2, b"2")
    rpc = decode(field_bytes(3, field_bytes(1, entry)), CONFIG)
    assert rpc.control == ControlMessages(ihave=[IHave("t" * 200, [b"1", b"2"])])


def test_unknown_fields_among_ids_are_skipped() -> None:
    entry = field_bytes(1, b"1") + field_bytes(9, b"") + field_bytes(1, b"2")
    assert decode(field_bytes(3, field_bytes(2, entry)), CONFIG).control == ControlMessages(iwant=[b"1", b"2"])


@pytest.mark.parametrize(
    "data",
    [
        field_bytes(1, field_bytes(2, b"\xff")),
        field_bytes(3, field_bytes(1, field_bytes(1, b"\xff"))),
        field_bytes(3, field_bytes(3, field_bytes(1, b"\xff"))),
        field_bytes(3, field_bytes(4, field_bytes(1, b"\xff"))),
        field_bytes(3, field_bytes(2, b"\x0a\x05abc")),
        field_bytes(3, field_bytes(2, b"\x0a")),
        b"\x0a\x05a",
        b"\x0b",
        field_varint(2, 1),
    ],
)
def test_what_is_malformed_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode(data, CONFIG)


@pytest.mark.parametrize("odd", [b"\x7b\x7c", b"\xf8\xff\xff\xff\xff\x00\x00", b"\x7a\x00" * 1_010, field_bytes(4, b"\xff")])
def test_some_messages_that_can_not_be_read_are_left_out(odd: bytes) -> None:
    """go forwards fields that it does not know as they came, groups too: so anybody can have honest peers send such a message."""
    good = field_bytes(2, field_bytes(4, b"t"))
    left_out = field_bytes(2, field_bytes(4, b"t") + odd)
    rpc = decode(good + left_out + good, CONFIG)
    assert [message.topic for message in rpc.messages] == ["t", "t"]
    assert decode(left_out * 24, CONFIG) == Rpc()
    with pytest.raises(ProtocolViolation):
        decode(left_out * 26, CONFIG)


def test_the_data_of_a_message_that_is_left_out_is_no_control_either() -> None:
    rpc = field_bytes(2, field_bytes(2, bytes(CONFIG.control_limit + 1)) + b"\x7b\x7c")
    assert decode(rpc, CONFIG) == Rpc()


UNKNOWN = field_varint(7, 0)


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(field_bytes(2, UNKNOWN * 900) * 280, id="messages"),
        pytest.param(field_bytes(2, field_bytes(4, b"t") * 900) * 100, id="fields of messages"),
        pytest.param(field_bytes(1, UNKNOWN * 900) * 280, id="subscriptions"),
        pytest.param(field_bytes(3, UNKNOWN * 900) * 280, id="control parts"),
        pytest.param(field_bytes(3, field_bytes(1, b"") * 900) * 280, id="entries of control parts"),
        *(pytest.param(field_bytes(3, field_bytes(number, UNKNOWN * 260_000)), id=f"list of ids {number}") for number in (1, 2)),
        *(
            pytest.param(field_bytes(3, field_bytes(number, UNKNOWN * 900) * 280), id=f"entries {number}")
            for number in range(1, 7)
        ),
        pytest.param(field_bytes(3, field_bytes(4, field_bytes(2, UNKNOWN * 40) * 4_000)), id="named peers"),
    ],
)
def test_fields_that_bring_nothing_are_bounded_for_all_of_an_rpc(flood: bytes) -> None:
    """A peer could keep the loop busy for a third of a second with one RPC: each nested message had a budget of its own."""
    with pytest.raises(ProtocolViolation, match="too many fields"):
        decode(flood, CONFIG)


def test_but_go_may_write_all_its_fields() -> None:
    subscription = field_bytes(1, field_varint(1, 1) + field_bytes(2, b"t") + field_varint(3, 0) + field_varint(4, 0))
    assert len(decode(subscription * CONFIG.element_limit, CONFIG).subscriptions) == CONFIG.element_limit


def test_unknown_fields_count_as_control() -> None:
    with pytest.raises(MessageTooLarge, match="without the data of its messages of 104 bytes"):
        decode(field_bytes(99, bytes(101)), GossipConfig(control_limit=103))


@given(gossip_rpcs.RPCS)
def test_what_is_written_is_read_again(rpc: Rpc) -> None:
    again = decode(encode(rpc), GossipConfig(idontwant_ids=1000))
    assert [message.raw for message in again.messages] == [message.raw for message in rpc.messages]
    again.messages = rpc.messages
    assert again == rpc


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        rpc = decode(data, CONFIG)
    except RemoteError:
        return
    assert decode(encode(rpc), CONFIG) == Rpc(
        rpc.subscriptions, decode(encode(rpc), CONFIG).messages, rpc.control, rpc.test_extension
    )


@given(st.data())
def test_any_change_of_an_rpc_is_read_or_refused(data: st.DataObject) -> None:
    whole = bytearray(content(data.draw(st.sampled_from(list(RPCS.values())))))
    for _ in range(data.draw(st.integers(0, 4))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(whole), SMALL)
    except RemoteError:
        return


def test_a_flood_of_ids_leaves_little_behind() -> None:
    """js-libp2p took RPCs of 4 MB of empty ids apart into objects: GHSA-f44q-634c-jvwv."""
    flood = field_bytes(3, field_bytes(2, b"\x0a\x00" * 200_000)) + field_bytes(3, field_bytes(1, b"\x12\x01a" * 30_000))
    tracemalloc.start()
    rpc = decode(flood, CONFIG)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rpc.control is not None
    assert (len(rpc.control.iwant), len(rpc.control.ihave[0].ids)) == (0, 20_000)
    assert peak < 2 * 1024 * 1024


def _control(*entries: bytes) -> bytes:
    return field_bytes(3, b"".join(entries))


PADDED = b"\x0a\x81\x00x"  # an id whose length is written in two bytes

LONG: dict[str, tuple[bytes, int]] = {  # and how many elements there are to be counted
    "messages": (field_bytes(2, b"\x22\x01t") * 5_000, 5_000),
    "subscriptions": (subscription_field(Subscription("t")) * 5_000, 10_000),  # found, then read
    "GRAFT": (_control(graft_field("t") * 5_000), 5_000),
    "PRUNE": (_control(prune_field(Prune("t")) * 5_000), 5_000),
    "named peers": (_control(prune_field(Prune("t", [PrunePeer(b"p")] * 5_000))), 5_000),
    "IHAVE": (_control(ihave_field("t", [b"1234"] * 1_000) * 20), 20_000 // 8),
    "IWANT": (_control(ids_field(2, [b"1234"] * 1_000) * 5), 5_000 // 8),
    "IWANT in another form": (_control(field_bytes(2, PADDED * 5_000)), 5_000),
    "IDONTWANT": (_control(ids_field(5, [b"1"] * 5) * 2_000), 2_000),
}


@pytest.mark.parametrize(("data", "elements"), LONG.values(), ids=LONG)
def test_what_takes_long_is_read_in_steps(data: bytes, elements: int) -> None:
    steps, counts = decoding(data, CONFIG), list[int]()
    try:
        while True:
            counts.append(next(steps))
    except StopIteration as end:
        rpc = end.value
    assert max(counts) < PORTION + 1_000 // 8 + 2
    assert elements - PORTION <= sum(counts) <= elements + 20
    read = decode(data, CONFIG)
    assert [message.raw for message in rpc.messages] == [message.raw for message in read.messages]
    assert (rpc.subscriptions, rpc.control) == (read.subscriptions, read.control)


def test_a_single_long_list_of_ids_is_one_step() -> None:
    assert list(decoding(_control(ids_field(2, [b"1234"] * 5_000)), CONFIG)) == [5_000 // 8 + 1]


@given(gossip_rpcs.RPCS, st.integers(0, 3), st.integers(0, 2))
def test_portions_say_the_same_in_the_order_in_which_an_rpc_is_taken_in(rpc: Rpc, times: int, extra: int) -> None:
    message = Message.build("t", b"data")
    rpc.messages += [message] * (times * PORTION + extra - len(rpc.messages))
    parts = list(portions(rpc))
    assert [each for part in parts for each in part.messages] == rpc.messages
    assert all(len(part.messages) <= PORTION for part in parts)
    assert [part.subscriptions for part in parts] == [rpc.subscriptions] + [[]] * (len(parts) - 1)
    assert [part.test_extension for part in parts] == [False] * (len(parts) - 1) + [rpc.test_extension]
    if len(parts) == 1:
        assert parts == [rpc]
        return
    extensions = rpc.control.extensions if rpc.control is not None else None
    assert parts[0].control == (ControlMessages(extensions=extensions) if extensions is not None else None)
    assert all(part.control is None for part in parts[1:-1])
    assert (parts[-1].control is None) == (rpc.control is None)
    if rpc.control is not None and parts[-1].control is not None:
        parts[-1].control.extensions = extensions
        assert parts[-1].control == rpc.control

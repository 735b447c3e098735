"""What a server answers: golden conversations of a go server, its rules one by one, and bounds on what it says."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import InvalidRecord, ProtocolViolation
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.messages import Message, Record, Type
from cortexnet.kad.records import rfc3339
from cortexnet.kad.records.ipns import IpnsRecord, IpnsValidator
from cortexnet.kad.records.provider_store import ProviderStore
from cortexnet.kad.records.records import PublicKeyValidator, Validators
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing.contact import ADDRESS_COUNT_LIMIT, Contact
from cortexnet.kad.routing.key import position
from cortexnet.kad.routing.routing_table import RoutingTable
from cortexnet.kad.server.server import Server
from cortexnet.kad.store_config import HOUR
from cortexnet.multiformats import varint
from cortexnet.multiformats.cid import Cid
from cortexnet.multiformats.multiaddr import Multiaddr

VECTORS = json.loads((Path(__file__).parent.parent.parent / "vectors" / "kad_server.json").read_text())
UNIX = 1_800_000_000.0
RUST_PACKET = 16 * 1024
KEYS = [Contact(PeerId.from_bytes(bytes.fromhex(key["id"])), [Multiaddr.parse(key["addr"])]) for key in VECTORS["keys"]]
OWN, FIRST, SECOND, ASKER = KEYS
HELLO = bytes.fromhex(VECTORS["provider_keys"][0]["provider_key"])
LONG_NAME = f"{'x' * 60}.{'y' * 60}.example"


@final
class Longest:
    """Values beginning with `v`, the longest is the best; a short-lived one is none after a second."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        if not value.startswith(b"v") or (value == b"v short-lived" and unix_now > UNIX + 1):
            raise ValueError("not valid")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        return max(range(len(values)), key=lambda index: len(values[index]))


@dataclass
class Setting:
    """A server and all that it looks into."""

    own: Contact = OWN
    known: dict[PeerId, Contact] = field(default_factory=dict)
    groups: dict[PeerId, str] = field(default_factory=dict)
    keep: Callable[[Contact], Contact] = lambda contact: contact
    list_names: Callable[[Message, float], Message] | None = None
    k: int = 20

    def __post_init__(self) -> None:
        self.table = RoutingTable(position(bytes(self.own.peer_id)))
        self.values, self.providers = ValueStore(), ProviderStore()
        self.server = Server(
            lambda: self.own,
            self.table,
            self.values,
            self.providers,
            Validators({"pk": PublicKeyValidator(), "ipns": IpnsValidator(), "long": Longest()}),
            random=random.Random(1),
            k=self.k,
            contact_of=self.known.get,
            keep_addresses=self.keep,
            group_of=self.groups.get,
            list_names=self.list_names,
        )

    def ask(self, message: Message, sender: Contact = ASKER, unix_now: float = UNIX) -> Message:
        answer = self.server.answer(sender.peer_id, message, unix_now)
        assert answer is not None
        return answer

    def announce(self, key: bytes, *contacts: Contact, sender: Contact = ASKER, unix_now: float = UNIX) -> None:
        message = Message(Type.ADD_PROVIDER, key, providers=contacts)
        assert self.server.answer(sender.peer_id, message, unix_now) is None


def peer(number: int, *addresses: str) -> Contact:
    texts = addresses or (f"/ip4/203.0.113.{number % 256}/tcp/4001",)
    return Contact(PeerId(b"\x12\x20" + number.to_bytes(32, "big")), [Multiaddr.parse(text) for text in texts])


def wordy(number: int) -> Contact:
    return peer(number, *[f"/dns4/{LONG_NAME}/tcp/{port + 1}" for port in range(ADDRESS_COUNT_LIMIT)])


def filled(setting: Setting, contacts: Sequence[Contact]) -> Setting:
    for contact in contacts:
        setting.table.add(contact, 0.0)
    return setting


def of_go() -> Setting:
    """As the server was when go's answers were taken down."""
    return filled(Setting(known={ASKER.peer_id: ASKER}), [FIRST, SECOND])


def unframed(data: str) -> bytes:
    frame = bytes.fromhex(data)
    size, start = varint.decode(frame)
    assert len(frame) == start + size
    return frame[start:]


def without_time(message: Message) -> Message:
    record = message.record
    return message if record is None else replace(message, record=replace(record, time_received=""))


def put(key: bytes, value: bytes) -> Message:
    return Message(Type.PUT_VALUE, key, Record(key, value))


def test_a_conversation_goes_as_with_go() -> None:
    setting = of_go()
    for vector in [*VECTORS["messages"], VECTORS["stripped"]]:
        answer = setting.server.answer(ASKER.peer_id, Message.decode(unframed(vector["request"])), UNIX)
        if answer is None:
            assert not vector.get("response"), vector["what"]
            continue
        expected = Message.decode(unframed(vector["response"]))
        assert without_time(Message.decode(answer.encode())) == without_time(expected), vector["what"]
        assert (answer.record is None) == (expected.record is None)


def test_the_time_of_a_value_is_when_we_got_it() -> None:
    setting = Setting()
    setting.ask(Message(Type.PUT_VALUE, b"/long/a", Record(b"/long/a", b"v", "2001-01-01T00:00:00Z")))
    record = setting.ask(Message(Type.GET_VALUE, b"/long/a"), unix_now=UNIX + HOUR).record
    assert record == Record(b"/long/a", b"v", rfc3339.encode(int(UNIX) * 10**9).decode())


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["what"])
def test_what_go_resets_on_is_a_violation_and_changes_nothing(vector: dict[str, Any]) -> None:
    setting = of_go()
    with pytest.raises(ProtocolViolation):
        setting.server.answer(ASKER.peer_id, Message.decode(unframed(vector["request"])), UNIX)
    assert (len(setting.values), len(setting.providers)) == (0, 0)


@pytest.mark.parametrize("vector", VECTORS["provider_keys"], ids=lambda vector: vector["cid"])
def test_every_form_of_a_cid_has_the_same_provider_key(vector: dict[str, Any]) -> None:
    assert Cid.parse(vector["cid"]).multihash == HELLO
    assert f"{position(HELLO):064x}" == vector["kad_id"]


@pytest.mark.parametrize("kind", [Type.ADD_PROVIDER, Type.PUT_VALUE, Type.GET_PROVIDERS])
def test_a_request_without_a_key_is_a_violation(kind: Type) -> None:
    with pytest.raises(ProtocolViolation, match=f"{kind.name} without a key"):
        Setting().ask(Message(kind))


@pytest.mark.parametrize("kind", [Type.ADD_PROVIDER, Type.GET_PROVIDERS])
def test_a_provider_key_has_at_most_80_bytes(kind: Type) -> None:
    setting = Setting()
    setting.server.answer(ASKER.peer_id, Message(kind, bytes(80), providers=(ASKER,)), UNIX)
    with pytest.raises(ProtocolViolation, match="80"):
        setting.server.answer(ASKER.peer_id, Message(kind, bytes(81), providers=(ASKER,)), UNIX)


def test_the_20_nearest_are_told_and_never_whoever_asks() -> None:
    setting = filled(Setting(), [peer(number) for number in range(300)])
    key = b"any key at all"
    expected = sorted(setting.table, key=lambda contact: contact.position ^ position(key))
    for kind in (Type.FIND_NODE, Type.GET_VALUE, Type.GET_PROVIDERS):
        assert setting.ask(Message(kind, key)).closer == tuple(expected[:20])
        assert setting.ask(Message(kind, key), sender=expected[3]).closer == (*expected[:3], *expected[4:21])


def test_fewer_are_told_where_the_network_keeps_fewer() -> None:
    setting = filled(Setting(k=5), [peer(number) for number in range(50)])
    assert len(setting.ask(Message(Type.FIND_NODE, b"x")).closer) == 5


def test_the_peer_asked_for_comes_first_whoever_it_is() -> None:
    stranger, silent = peer(1_000), Contact(peer(1_001).peer_id)
    setting = filled(Setting(known={stranger.peer_id: stranger, silent.peer_id: silent}), [peer(n) for n in range(300)])
    nearest = setting.ask(Message(Type.FIND_NODE, bytes(stranger.peer_id))).closer
    assert nearest[0] == stranger
    assert len(nearest) == 21
    assert setting.ask(Message(Type.FIND_NODE, bytes(OWN.peer_id))).closer[0] == OWN
    some = next(iter(setting.table))
    assert setting.ask(Message(Type.FIND_NODE, bytes(some.peer_id))).closer[0] == some
    assert len(setting.ask(Message(Type.FIND_NODE, bytes(some.peer_id))).closer) == 20, "and is there once"
    assert setting.ask(Message(Type.FIND_NODE, bytes(some.peer_id)), sender=some).closer[0] == some
    assert silent not in setting.ask(Message(Type.FIND_NODE, bytes(silent.peer_id))).closer


def test_a_lone_server_tells_of_itself() -> None:
    assert Setting().ask(Message(Type.FIND_NODE, bytes(OWN.peer_id))).closer == (OWN,)
    assert Setting().ask(Message(Type.FIND_NODE, b"\x12\x20" + bytes(32))).closer == ()


def test_peers_without_addresses_are_left_out_of_find_node_alone() -> None:
    bare = Contact(peer(1).peer_id)
    setting = filled(Setting(), [bare, peer(2)])
    assert setting.ask(Message(Type.FIND_NODE, b"x")).closer == (peer(2),)
    assert set(setting.ask(Message(Type.GET_VALUE, b"x")).closer) == {bare, peer(2)}


def test_a_better_value_takes_the_place_of_a_worse_one_and_not_the_other_way() -> None:
    setting = Setting()
    key = b"/long/a"
    for value in (b"v1", b"v22", b"v33", b"v33"):
        assert setting.ask(put(key, value)) == put(key, value)
    with pytest.raises(InvalidRecord, match="older"):
        setting.ask(put(key, b"v4"))
    with pytest.raises(InvalidRecord, match="not valid"):
        setting.ask(put(key, b"longer than all, but not valid"))
    stored = setting.values.get(key, UNIX)
    assert stored is not None
    assert stored.value == b"v33"


def test_a_better_value_that_is_over_gives_way() -> None:
    setting = Setting()
    setting.ask(put(b"/long/a", b"v short-lived"))
    setting.ask(put(b"/long/a", b"v"), unix_now=UNIX + 2)
    setting.ask(put(b"/long/b", b"v long"))
    setting.ask(put(b"/long/b", b"v"), unix_now=UNIX + 48 * HOUR)
    assert [stored.value for stored in setting.values] == [b"v", b"v"]


def test_a_value_that_is_sent_again_lives_longer() -> None:
    setting = Setting()
    setting.ask(put(b"/long/a", b"v"))
    setting.ask(put(b"/long/a", b"v"), unix_now=UNIX + 40 * HOUR)
    assert setting.ask(Message(Type.GET_VALUE, b"/long/a"), unix_now=UNIX + 80 * HOUR).record is not None
    assert setting.ask(Message(Type.GET_VALUE, b"/long/a"), unix_now=UNIX + 88 * HOUR).record is None


def test_a_value_above_the_limit_is_refused() -> None:
    with pytest.raises(InvalidRecord, match="limit"):
        Setting().ask(put(b"/long/a", b"v" * 65_537))


def test_a_record_of_ipns_is_kept_until_a_newer_one_comes() -> None:
    key = PrivateKey.generate()
    name = IpnsRecord.key_of(PeerId.from_public_key(key.public_key))
    setting = Setting()
    first, second = (IpnsRecord.create(key, "/ipfs/x", sequence=number, eol_unix=UNIX + HOUR).encode() for number in (1, 2))
    setting.ask(put(name, second))
    with pytest.raises(InvalidRecord, match="older"):
        setting.ask(put(name, first))
    with pytest.raises(InvalidRecord, match="over"):
        setting.ask(put(name, first), unix_now=UNIX + 2 * HOUR)


def test_senders_count_in_the_network_they_come_from() -> None:
    setting = Setting(groups={ASKER.peer_id: "192.0.0.0/16"})
    setting.ask(put(b"/long/a", b"v"))
    setting.announce(HELLO, ASKER)
    stored, record = setting.values.stored(b"/long/a"), setting.providers.record(HELLO, ASKER.peer_id)
    assert stored is not None
    assert record is not None
    assert (stored.group, stored.sender, record.group) == ("192.0.0.0/16", ASKER.peer_id, "192.0.0.0/16")


def test_of_an_announcement_only_what_the_sender_says_of_itself_counts() -> None:
    setting = Setting()
    setting.announce(HELLO, FIRST, Contact(ASKER.peer_id), ASKER, SECOND)
    assert setting.ask(Message(Type.GET_PROVIDERS, HELLO)).providers == (ASKER,)


def test_a_provider_whose_addresses_are_told_to_nobody_counts_all_the_same() -> None:
    setting = Setting(keep=lambda contact: Contact(contact.peer_id))
    setting.announce(HELLO, ASKER)
    assert setting.ask(Message(Type.GET_PROVIDERS, HELLO)).providers == (Contact(ASKER.peer_id),)


def test_this_node_is_named_where_it_provides_itself() -> None:
    setting = Setting()
    setting.providers.provide(HELLO)
    setting.announce(HELLO, ASKER)
    assert set(setting.ask(Message(Type.GET_PROVIDERS, HELLO)).providers) == {OWN, ASKER}


def test_providers_come_in_an_order_of_chance_so_that_each_is_dialed() -> None:
    setting = Setting()
    for number in range(20):
        setting.announce(HELLO, peer(number), sender=peer(number))
    firsts = {setting.ask(Message(Type.GET_PROVIDERS, HELLO)).providers[0].peer_id for _ in range(200)}
    assert len(firsts) == 20


@pytest.mark.parametrize("kind", [Type.FIND_NODE, Type.GET_PROVIDERS, Type.GET_VALUE])
def test_an_answer_fits_into_what_rust_reads(kind: Type) -> None:
    setting = filled(Setting(), [wordy(number) for number in range(300)])
    for number in range(64):
        setting.announce(HELLO, wordy(1_000 + number), sender=wordy(1_000 + number))
    answer = setting.ask(Message(kind, HELLO))
    assert len(answer.encode()) <= RUST_PACKET
    assert len(answer.closer) >= 10
    assert (len(answer.providers) >= 10) == (kind is Type.GET_PROVIDERS)


def test_a_value_leaves_room_for_half_of_the_peers_and_more_where_it_is_small() -> None:
    setting = filled(Setting(), [wordy(number) for number in range(300)])
    setting.ask(put(b"/long/a", b"v" * 5_000))
    answer = setting.ask(Message(Type.GET_VALUE, b"/long/a"))
    assert len(answer.encode()) <= RUST_PACKET
    assert 14 <= len(answer.closer) < 20
    setting.ask(put(b"/long/a", b"v" * 60_000))
    assert 10 <= len(setting.ask(Message(Type.GET_VALUE, b"/long/a")).closer) < 14


def test_a_ping_comes_back_without_peers() -> None:
    ping = Message(Type.PING, b"key", Record(b"a", b"b"), (FIRST,), (SECOND,), cluster_level=3)
    assert Setting().ask(ping) == replace(ping, closer=(), providers=())


def test_names_are_listed_only_where_there_are_namespaces() -> None:
    listing = Message(Type.LIST_PREFIX, b"/cx/4/a/")
    with pytest.raises(ProtocolViolation, match="LIST_PREFIX"):
        Setting().ask(listing)
    names = replace(listing, names=(b"/cx/4/a/b",))
    assert (
        Setting(list_names=lambda message, unix_now: names if (message, unix_now) == (listing, UNIX) else message).ask(listing)
        == names
    )


contacts = (
    st.integers(0, 5).map(peer) | st.sampled_from(KEYS) | st.builds(Contact, st.sampled_from([one.peer_id for one in KEYS]))
)
byte_keys = st.binary(max_size=90) | st.sampled_from([bytes(one.peer_id) for one in KEYS]) | st.just(b"/long/a")
messages = st.builds(
    Message,
    st.sampled_from(list(Type)),
    byte_keys,
    st.none() | st.builds(Record, byte_keys, st.sampled_from([b"", b"v", b"vv"])),
    st.lists(contacts, max_size=3).map(tuple),
    st.lists(contacts, max_size=3).map(tuple),
    st.integers(0, 9),
)


@given(st.lists(st.tuples(st.sampled_from(KEYS), messages), max_size=20))
def test_whatever_is_asked_there_is_an_answer_of_the_same_kind_or_a_violation(asked: list[tuple[Contact, Message]]) -> None:
    setting = of_go()
    for sender, message in asked:
        try:
            answer = setting.server.answer(sender.peer_id, message, UNIX)
        except ProtocolViolation:
            continue
        assert (answer is None) == (message.type is Type.ADD_PROVIDER)
        if answer is not None:
            assert answer.type is message.type
            assert Message.decode(answer.encode()) == answer

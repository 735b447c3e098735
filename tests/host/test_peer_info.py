"""What is believed of an identify message, and which of several messages counts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ProtocolViolation, RemoteError
from cortexnet.host.identify_message import IdentifyMessage
from cortexnet.host.peer_info import SelfDescription, Told, believed, is_near, reachable
from cortexnet.identity.envelope import LEGACY_PEER_RECORD, Envelope, PeerRecord, Purpose, SignedRecord
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

KEY, OTHER_KEY, OWN_KEY = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
PEER, OTHER, OWN = (PeerId.from_public_key(key.public_key) for key in (KEY, OTHER_KEY, OWN_KEY))


def addresses(*texts: str) -> tuple[Multiaddr, ...]:
    return tuple(Multiaddr.parse(text) for text in texts)


LISTED = addresses("/ip4/192.0.2.1/tcp/1")
SIGNED = addresses("/ip4/192.0.2.1/tcp/2", "/ip4/192.0.2.1/udp/2/quic-v1")
REMOTE = Multiaddr.parse("/ip4/127.0.0.1/tcp/9")


def told(message: IdentifyMessage, *, remote: Multiaddr = REMOTE, is_relayed: bool = False, is_push: bool = False) -> Told:
    return believed(message, key=KEY.public_key, peer_id=PEER, own_id=OWN, remote=remote, is_relayed=is_relayed, is_push=is_push)


# --- the key


@pytest.mark.parametrize("key", [None, KEY.public_key.marshal()])
def test_the_key_of_the_connection_may_be_repeated_or_not(key: bytes | None) -> None:
    assert told(IdentifyMessage(public_key=key, protocols=("/a",))).protocols == ("/a",)


@pytest.mark.parametrize("key", [OTHER_KEY.public_key.marshal(), b"", b"no key", bytes(3_000)])
def test_another_key_is_not_believed_and_nothing_with_it(key: bytes) -> None:
    with pytest.raises(RemoteError):
        told(IdentifyMessage(public_key=key))


# --- the record


@pytest.mark.parametrize(
    "record", [PeerRecord(PEER, 7, SIGNED).seal(KEY), PeerRecord(PEER, 7, SIGNED).seal(KEY, LEGACY_PEER_RECORD)]
)
def test_signed_addresses_replace_listed_ones_in_either_form(record: bytes) -> None:
    found = told(IdentifyMessage(addresses=LISTED, signed_peer_record=record))
    assert found.record is not None
    assert (found.addresses, found.record.record.sequence, found.record.envelope) == (SIGNED, 7, record)


def damaged() -> bytes:
    record = bytearray(PeerRecord(PEER, 7, SIGNED).seal(KEY))
    record[-1] ^= 1
    return bytes(record)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"garbage",
        damaged(),
        PeerRecord(OTHER, 7, SIGNED).seal(OTHER_KEY),
        Envelope.seal(OTHER_KEY, Purpose("libp2p-peer-record", b"\x03\x01"), PeerRecord(PEER, 7, SIGNED).encode()).marshal(),
        Envelope.seal(KEY, Purpose("another-domain", b"\x03\x01"), PeerRecord(PEER, 7, SIGNED).encode()).marshal(),
        bytes(9_000),
    ],
    ids=["empty", "garbage", "signature", "of another peer", "signed by another peer", "domain", "too long"],
)
def test_a_record_that_is_none_is_ignored_and_fails_nothing(record: bytes) -> None:
    # js-libp2p lets identify fail for such a record, and then knows no protocol of the peer.
    found = told(IdentifyMessage(addresses=LISTED, protocols=("/a",), signed_peer_record=record))
    assert (found.addresses, found.record, found.protocols) == (LISTED, None, ("/a",))


# --- addresses


def test_the_peers_own_id_is_cut_off_and_addresses_of_others_are_dropped() -> None:
    listed = (
        LISTED[0].with_peer(bytes(PEER)),
        LISTED[0].with_peer(bytes(OTHER)),
        Multiaddr.parse(f"/p2p/{PEER}"),
        *addresses("/ip4/192.0.2.9/tcp/1"),
    )
    assert told(IdentifyMessage(addresses=listed)).addresses == (*LISTED, *addresses("/ip4/192.0.2.9/tcp/1"))


@pytest.mark.parametrize(
    ("remote", "kept"),
    [
        ("/ip4/127.0.0.1/tcp/1", "loopback private public special"),
        ("/ip6/::1/tcp/1", "loopback private public special"),
        ("/ip4/192.168.1.1/tcp/1", "private public special"),
        ("/ip4/11.0.0.1/tcp/1", "public"),
        ("/ip4/198.51.100.1/tcp/1", "public special"),
        ("/ip6/2001:db8::1/tcp/1", "public special"),
        ("/memory/7", "loopback private public special"),
    ],
)
def test_only_addresses_are_kept_that_may_be_reached_from_here(remote: str, kept: str) -> None:
    classes = {
        "loopback": "/ip4/127.0.0.1/tcp/1",
        "private": "/ip4/10.0.0.1/tcp/1",
        "public": "/ip4/12.0.0.1/tcp/1",
        "special": "/ip4/192.0.2.1/tcp/1",
    }
    every = addresses(*classes.values())
    assert reachable(every, Multiaddr.parse(remote)) == list(addresses(*(classes[name] for name in kept.split())))


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("/ip4/127.0.0.1/tcp/1", True),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", True),
        ("/ip4/192.168.1.1/tcp/1", True),
        ("/memory/7", True),
        ("/ip4/11.0.0.1/tcp/1", False),
        ("/ip4/198.51.100.1/tcp/1", False),
        ("/ip6/2001:db8::1/tcp/1", False),
    ],
)
def test_who_is_near_is_in_a_network_of_ours(remote: str, expected: bool) -> None:
    assert is_near(Multiaddr.parse(remote)) is expected


def test_a_peer_from_the_internet_can_not_name_private_addresses_in_a_record_either() -> None:
    inside = addresses("/ip4/192.168.1.1/tcp/22", "/ip4/11.0.0.1/tcp/1")
    found = told(
        IdentifyMessage(signed_peer_record=PeerRecord(PEER, 1, inside).seal(KEY)), remote=Multiaddr.parse("/ip4/11.0.0.1/tcp/1")
    )
    assert found.addresses == inside[1:]


# --- the observed address


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        ("/ip4/198.51.100.7/tcp/9", "/ip4/198.51.100.7/tcp/9"),
        (f"/ip4/198.51.100.7/tcp/9/p2p/{OWN}", "/ip4/198.51.100.7/tcp/9"),
        (f"/ip4/198.51.100.7/tcp/9/p2p/{OTHER}", None),
        (f"/ip4/198.51.100.7/tcp/9/p2p/{OTHER}/p2p-circuit", None),
        (f"/p2p/{OWN}", None),
    ],
)
def test_where_the_peer_sees_us_is_taken_without_our_own_id(observed: str, expected: str | None) -> None:
    found = told(IdentifyMessage(observed_address=Multiaddr.parse(observed))).observed_address
    assert found == (None if expected is None else Multiaddr.parse(expected))


def test_over_a_relay_the_peer_sees_the_relay() -> None:
    message = IdentifyMessage(observed_address=Multiaddr.parse("/ip4/198.51.100.7/tcp/9"))
    assert told(message, is_relayed=True).observed_address is None


# --- answers, pushes and their order


def test_an_answer_replaces_lists_also_by_empty_ones_but_a_push_does_not() -> None:
    assert told(IdentifyMessage()).protocols == ()
    assert told(IdentifyMessage()).addresses == ()
    assert told(IdentifyMessage(), is_push=True).protocols is None
    assert told(IdentifyMessage(), is_push=True).addresses is None
    assert told(IdentifyMessage(protocols=("/a",), addresses=LISTED), is_push=True).protocols == ("/a",)


def test_a_push_whose_addresses_can_not_be_reached_leaves_none() -> None:
    found = told(
        IdentifyMessage(addresses=addresses("/ip4/10.0.0.1/tcp/1")), is_push=True, remote=Multiaddr.parse("/ip4/11.0.0.1/tcp/1")
    )
    assert found.addresses == ()


def said(
    *,
    addresses: tuple[Multiaddr, ...] | None = None,
    sequence: int | None = None,
    protocols: tuple[str, ...] | None = None,
    agent: str | None = None,
) -> Told:
    return Told(
        addresses=addresses,
        record=None if sequence is None else SignedRecord.open(PeerRecord(PEER, sequence, ()).seal(KEY), PEER),
        protocols=protocols,
        agent_version=agent,
        protocol_version=agent,
        observed_address=None,
    )


def test_the_answer_to_a_question_asked_before_a_push_does_not_undo_the_push() -> None:
    description = SelfDescription()
    question, push = description.next_number(), description.next_number()
    description.update(said(protocols=("/new",), addresses=SIGNED), push)
    description.update(said(protocols=("/old",), addresses=LISTED, agent="old"), question)
    info = description.info(PEER, KEY.public_key, None)
    assert (info.protocols, info.addresses) == (("/new",), SIGNED)
    assert (info.agent_version, info.protocol_version) == ("old", "old"), "what the push left out is taken from the answer"


def test_what_comes_later_replaces_what_it_names_and_leaves_the_rest() -> None:
    description = SelfDescription()
    description.update(said(protocols=("/a",), addresses=LISTED, agent="one"), description.next_number())
    description.update(said(protocols=("/b",)), description.next_number())
    info = description.info(PEER, KEY.public_key, REMOTE)
    assert (info.protocols, info.addresses, info.agent_version) == (("/b",), LISTED, "one")
    assert (info.peer_id, info.public_key, info.observed_address) == (PEER, KEY.public_key, REMOTE)


@pytest.mark.parametrize(
    ("first", "second", "second_wins"),
    [(5, 6, True), (6, 5, False), (5, 5, True), (None, 5, True), (5, None, True), (None, None, True)],
)
@pytest.mark.parametrize("late", [False, True])
def test_between_signed_lists_of_addresses_the_sequence_decides(
    first: int | None, second: int | None, second_wins: bool, late: bool
) -> None:
    description = SelfDescription()
    numbers = [description.next_number(), description.next_number()]
    if late:
        numbers.reverse()
        second_wins = second_wins and first is not None and second is not None and first != second
    description.update(said(addresses=LISTED, sequence=first), numbers[0])
    description.update(said(addresses=SIGNED, sequence=second), numbers[1])
    assert description.info(PEER, KEY.public_key, None).addresses == (SIGNED if second_wins else LISTED)
    kept = second if second_wins else first
    assert (None if description.record is None else description.record.record.sequence) == kept


@given(st.lists(st.tuples(st.text(max_size=3), st.booleans()), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_in_whatever_order_messages_come_the_newest_of_each_thing_stays(
    told_in_order: list[tuple[str, bool]], random: "st.random.Random"
) -> None:
    description = SelfDescription()
    numbered = [
        (said(protocols=(text,), agent=text if has_agent else None), description.next_number())
        for text, has_agent in told_in_order
    ]
    random.shuffle(numbered)
    for item, number in numbered:
        description.update(item, number)
    info = description.info(PEER, KEY.public_key, None)
    assert info.protocols == (told_in_order[-1][0],)
    assert info.agent_version == next((text for text, has_agent in reversed(told_in_order) if has_agent), None)


def test_nothing_is_known_of_a_peer_that_has_said_nothing() -> None:
    info = SelfDescription().info(PEER, KEY.public_key, None)
    assert (info.addresses, info.protocols, info.agent_version, info.protocol_version) == ((), (), None, None)
    with pytest.raises(AttributeError):
        replace(info).protocols = ()  # type: ignore[misc]


def test_a_violation_names_the_peer() -> None:
    with pytest.raises(ProtocolViolation, match=str(PEER)):
        told(IdentifyMessage(public_key=OTHER_KEY.public_key.marshal()))

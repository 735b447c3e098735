"""What a node says about itself: snapshots, their numbers, and the signed record."""

import pytest

from cortexnet.host.announcement import Announcement
from cortexnet.host.identify_message import FIRST_SIZE_LIMIT, IdentifyMessage, decode
from cortexnet.identity.envelope import PeerRecord
from cortexnet.identity.keys import KeyType, PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr

KEY = PrivateKey.generate()
PUBLIC, PRIVATE, LOOPBACK = (
    Multiaddr.parse(text) for text in ("/ip4/11.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1")
)
OBSERVED = Multiaddr.parse("/ip4/198.51.100.7/tcp/9")


def new_announcement(key: PrivateKey = KEY) -> Announcement:
    return Announcement(key, agent_version="agent/1", protocol_version="network/1")


def told(announcement: Announcement, *, to_loopback: bool = False) -> IdentifyMessage:
    return decode(announcement.parts(observed=OBSERVED, to_loopback=to_loopback))


def record(announcement: Announcement, key: PrivateKey = KEY) -> PeerRecord | None:
    data = told(announcement).signed_peer_record
    return None if data is None else PeerRecord.open(data, PeerId.from_public_key(key.public_key))


def test_everything_is_told() -> None:
    announcement = new_announcement()
    assert announcement.number == 0
    assert announcement.update([LOOPBACK, PUBLIC], ["/a", "/b"], 100)
    message = told(announcement, to_loopback=True)
    assert message.public_key == KEY.public_key.marshal()
    assert message.addresses == (PUBLIC, LOOPBACK)
    assert message.protocols == ("/a", "/b")
    assert (message.agent_version, message.protocol_version) == ("agent/1", "network/1")
    assert message.observed_address == OBSERVED


def test_loopback_addresses_are_told_over_loopback_only_but_the_record_has_them() -> None:
    announcement = new_announcement()
    announcement.update([LOOPBACK, PRIVATE, PUBLIC], [], 100)
    assert told(announcement).addresses == (PUBLIC, PRIVATE)
    signed = record(announcement)
    assert signed is not None
    assert signed.addresses == (PUBLIC, PRIVATE, LOOPBACK)


def test_the_number_rises_with_changes_and_only_with_them() -> None:
    announcement = new_announcement()
    changes = [
        announcement.update([], [], 1),
        announcement.update([], [], 2),
        announcement.update([PUBLIC], [], 3),
        announcement.update([PUBLIC], ["/a"], 4),
        announcement.update([PUBLIC, PUBLIC], ["/a", "/a"], 5),
        announcement.update([PUBLIC], [], 6),
    ]
    assert changes == [True, False, True, True, False, True]
    assert announcement.number == 4


def test_the_sequence_is_the_time_and_rises_also_where_the_clock_does_not() -> None:
    announcement = new_announcement()
    sequences = []
    for addresses, time in ([PUBLIC], 1_000), ([PRIVATE], 1_000), ([PUBLIC], 500), ([PRIVATE], 2_000):
        announcement.update(addresses, [], time)
        signed = record(announcement)
        assert signed is not None
        sequences.append(signed.sequence)
    assert sequences == [1_000, 1_001, 1_002, 2_000]


def test_a_change_of_protocols_alone_signs_nothing_anew() -> None:
    announcement = new_announcement()
    announcement.update([PUBLIC], [], 1_000)
    before = told(announcement).signed_peer_record
    announcement.update([PUBLIC], ["/a"], 2_000)
    assert told(announcement).signed_peer_record == before


def test_without_addresses_there_is_no_record() -> None:
    announcement = new_announcement()
    announcement.update([PUBLIC], [], 1)
    announcement.update([], [], 2)
    assert record(announcement) is None


def test_what_every_node_needs_of_another_is_told_first() -> None:
    announcement = new_announcement()
    names = [f"/protocol/{number}" for number in range(200)]
    announcement.update([], [*names, "/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0"], 1)
    protocols = told(announcement).protocols
    assert protocols[:4] == ("/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/protocol/0")
    assert len(protocols) == 128


@pytest.mark.parametrize("key_type", ["ed25519", "secp256k1", "ecdsa", "rsa"])
def test_however_much_there_is_to_tell_the_first_message_has_all_but_the_record(key_type: KeyType) -> None:
    key = PrivateKey.generate(key_type)
    announcement = new_announcement(key)
    addresses = [Multiaddr.parse(f"/ip4/11.0.0.1/udp/{port}/quic-v1") for port in range(1, 300)]
    announcement.update(addresses, [f"/some/protocol/{number}/1.0.0" for number in range(200)], 1)
    parts = announcement.parts(observed=OBSERVED, to_loopback=False)
    assert len(parts) == 2
    assert len(parts[0]) <= FIRST_SIZE_LIMIT
    assert len(parts[1]) <= 8_192
    first = decode(parts[:1])
    assert first.public_key == key.public_key.marshal()
    assert len(first.protocols) > 100
    assert len(first.addresses) > 20
    assert first.signed_peer_record is None
    assert record(announcement, key) is not None

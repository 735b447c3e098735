"""Signed records, what peers have told about themselves, metadata, and what is shown and taken back of all that."""

from dataclasses import replace
from math import inf
from typing import Any

import pytest

from cortexnet.admission.limits import Limits
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.envelope import PeerRecord, SignedRecord
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.peer_entry import KnownPeer, MetadataValue
from cortexnet.swarm.peerstore import ADDRESS_TTL, CONNECTED_TTL, RECENTLY_CONNECTED_TTL, Peerstore

KEY = PrivateKey.generate()
PEER = PeerId.from_public_key(KEY.public_key)
OTHERS = [PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in range(4)]


def at(*numbers: int) -> list[Multiaddr]:
    return [Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{number + 1}") for number in numbers]


def record(sequence: int, *numbers: int) -> SignedRecord:
    return SignedRecord.open(PeerRecord(PEER, sequence, tuple(at(*numbers))).seal(KEY), PEER)


def known(peerstore: Peerstore, peer: PeerId = PEER, now: float = 0.0) -> KnownPeer:
    found = peerstore.known(peer, now)
    assert found is not None
    return found


# --- records


def test_a_signed_record_is_kept_as_it_came_and_its_addresses_last_an_hour() -> None:
    peerstore = Peerstore(Limits())
    assert peerstore.accept_record(record(7, 0, 1), 100.0)
    assert peerstore.addresses(PEER, 100.0 + ADDRESS_TTL - 1) == at(0, 1)
    assert peerstore.addresses(PEER, 100.0 + ADDRESS_TTL) == []
    found = known(peerstore)
    assert (found.record, found.record_sequence, found.certified) == (record(7, 0, 1).envelope, 7, frozenset(at(0, 1)))


def test_a_newer_record_takes_the_place_of_what_the_older_one_named_and_leaves_the_rest() -> None:
    peerstore = Peerstore(Limits())
    peerstore.accept_record(record(7, 0, 1), 0.0)
    peerstore.add_addresses(PEER, at(5), 60.0, 0.0)
    assert peerstore.accept_record(record(8, 1, 2), 10.0)
    assert set(peerstore.addresses(PEER, 10.0)) == set(at(1, 2, 5))
    assert known(peerstore).certified == frozenset(at(1, 2))


def test_an_older_record_changes_nothing_and_the_same_one_lengthens_its_time() -> None:
    peerstore = Peerstore(Limits())
    peerstore.accept_record(record(7, 0), 0.0)
    before = known(peerstore)
    assert not peerstore.accept_record(record(6, 1), 10.0)
    assert known(peerstore) == before
    assert peerstore.accept_record(record(7, 0), 10.0)
    assert peerstore.addresses(PEER, ADDRESS_TTL + 9) == at(0)


def test_of_a_record_only_what_is_believed_is_learned() -> None:
    peerstore = Peerstore(Limits())
    stranger = Multiaddr.parse(f"/ip4/1.2.3.4/tcp/9/p2p/{OTHERS[0]}")
    assert peerstore.accept_record(record(1, 0, 1, 2), 0.0, believed=[*at(1), stranger])
    assert peerstore.addresses(PEER, 0.0) == at(1)


@pytest.mark.parametrize("sequence", [7, 8])
def test_who_believes_less_of_a_record_takes_away_nothing_that_is_still_on_it(sequence: int) -> None:
    """A stranger in the internet hands on the record of a neighbour of ours, whose private addresses he can't know."""
    peerstore = Peerstore(Limits())
    assert peerstore.accept_record(record(7, 0, 1, 2), 0.0)
    assert peerstore.accept_record(record(sequence, 0, 1), 10.0, believed=at(1))
    assert set(peerstore.addresses(PEER, 10.0)) == set(at(0, 1))
    assert known(peerstore).certified == frozenset(at(0, 1))


def test_a_record_without_an_address_of_use_makes_nobody_known() -> None:
    peerstore = Peerstore(Limits())
    assert not peerstore.accept_record(record(1), 0.0)
    assert PEER not in peerstore
    peerstore.mark_connected(PEER)
    assert peerstore.accept_record(record(1), 0.0), "who is connected is known"


def test_signed_addresses_of_a_peer_that_has_left_last_longer_than_others() -> None:
    peerstore = Peerstore(Limits())
    peerstore.mark_connected(PEER)
    peerstore.accept_record(record(1, 0), 0.0, ttl=CONNECTED_TTL)
    peerstore.add_addresses(PEER, at(1), CONNECTED_TTL, 0.0)
    assert peerstore.addresses(PEER, 1e9) == at(0, 1)
    peerstore.mark_disconnected(PEER, 100.0)
    assert peerstore.addresses(PEER, 100.0 + RECENTLY_CONNECTED_TTL) == at(0)
    assert peerstore.addresses(PEER, 100.0 + ADDRESS_TTL) == []


def test_of_too_many_signed_addresses_those_that_are_kept_are_called_signed() -> None:
    peerstore = Peerstore(Limits(peerstore_addresses=2))
    peerstore.accept_record(record(1, 0, 1, 2), 0.0)
    assert (peerstore.addresses(PEER, 0.0), known(peerstore).certified) == (at(0, 1), frozenset(at(0, 1)))


def test_what_a_peer_has_signed_comes_before_what_others_say_of_it() -> None:
    peerstore = Peerstore(Limits())
    peerstore.add_addresses(PEER, at(0, 1, 2), 60.0, 0.0)
    peerstore.accept_record(record(1, 1, 3), 0.0)
    assert peerstore.addresses(PEER, 0.0) == at(1, 3, 0, 2)


# --- descriptions


def test_past_the_limit_what_was_told_longest_ago_is_forgotten_its_addresses_are_not() -> None:
    peerstore = Peerstore(Limits(peerstore_descriptions=3 * (2 + 64)))
    for peer in OTHERS:
        peerstore.mark_connected(peer)
        peerstore.add_addresses(peer, at(0), CONNECTED_TTL, 0.0)
        peerstore.set_protocols(peer, ["/a"])
    assert all(peerstore.protocols(peer) for peer in OTHERS), "who is connected is not counted"
    for peer in OTHERS:
        peerstore.mark_disconnected(peer, 0.0)
    assert [bool(peerstore.protocols(peer)) for peer in OTHERS] == [False, True, True, True]
    assert all(peerstore.addresses(peer, 0.0) for peer in OTHERS)
    peerstore.mark_connected(OTHERS[1])
    peerstore.forget(OTHERS[2])
    assert peerstore._descriptions_size == 2 + 64


def test_records_of_peers_that_were_never_met_count_as_well() -> None:
    peerstore = Peerstore(Limits(peerstore_descriptions=100))
    assert peerstore.accept_record(record(1, 0), 0.0)
    assert (known(peerstore).record, peerstore.addresses(PEER, 0.0)) == (None, at(0))


def test_a_text_with_one_wide_character_takes_four_times_the_room() -> None:
    sizes = []
    for protocol in ("/" + 99 * "a", "/" + 98 * "a" + "\U00010000"):
        peerstore = Peerstore(Limits())
        peerstore.mark_connected(PEER)
        peerstore.add_addresses(PEER, at(0), CONNECTED_TTL, 0.0)
        peerstore.set_protocols(PEER, [protocol])
        peerstore.mark_disconnected(PEER, 0.0)
        sizes.append(peerstore._descriptions_size)
    assert sizes[1] - sizes[0] == 300


# --- metadata


@pytest.mark.parametrize("value", ["text", b"bytes", 5, -(1 << 62), 2.5, True, ""])
def test_the_application_can_note_small_values_about_anybody(value: MetadataValue) -> None:
    peerstore = Peerstore(Limits())
    assert peerstore.metadata(PEER) == {}
    peerstore.set_metadata(PEER, "note", value)
    peerstore.set_metadata(PEER, "other", 1)
    assert peerstore.metadata(PEER) == {"note": value, "other": 1}
    assert PEER not in peerstore, "to note something makes nobody reachable"
    peerstore.set_metadata(PEER, "other", None)
    peerstore.set_metadata(PEER, "missing", None)
    assert known(peerstore) == KnownPeer(peer_id=PEER, metadata={"note": value})
    peerstore.set_metadata(PEER, "note", None)
    assert peerstore.known(PEER, 0.0) is None
    assert peerstore._metadata._size == 0


def test_metadata_is_about_a_peer_or_the_text_of_its_id() -> None:
    peerstore = Peerstore(Limits())
    peerstore.set_metadata(str(PEER), "note", 1)
    assert peerstore.metadata(PEER) == peerstore.metadata(str(PEER)) == {"note": 1}
    wrong: Any
    for wrong in (5, "nobody", None):
        with pytest.raises(LocalError):
            peerstore.set_metadata(wrong, "note", 1)
    assert peerstore.noted() == [PEER]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", 1),
        ("x" * 65, 1),
        ("\ud800", 1),
        (b"note", 1),
        (None, 1),
        ("note", "\ud800"),
        ("note", "ü" * 513),
        ("note", bytes(1025)),
        ("note", 1 << 63),
        ("note", [1]),
    ],
)
def test_what_is_too_large_or_of_another_kind_is_not_noted(name: Any, value: MetadataValue) -> None:
    peerstore = Peerstore(Limits())
    with pytest.raises(LocalError):
        peerstore.set_metadata(PEER, name, value)
    assert peerstore.known(PEER, 0.0) is None


def test_metadata_has_a_limit_that_is_told_and_what_was_noted_stays() -> None:
    peerstore = Peerstore(Limits(peerstore_metadata=400))
    peerstore.set_metadata(PEER, "a", bytes(10))
    peerstore.set_metadata(PEER, "b", bytes(10))
    with pytest.raises(LimitExceeded, match=r"raise it with limits\.peerstore_metadata"):
        peerstore.set_metadata(PEER, "c", bytes(500))
    peerstore.set_metadata(PEER, "a", bytes(11))
    with pytest.raises(LimitExceeded):
        peerstore.set_metadata(OTHERS[0], "a", bytes(200))
    assert peerstore.metadata(OTHERS[0]) == {}
    peerstore.set_metadata(PEER, "a", None)
    peerstore.set_metadata(PEER, "a", bytes(100))
    assert peerstore.metadata(PEER) == {"a": bytes(100), "b": bytes(10)}


# --- shown and taken back


def full() -> Peerstore:
    peerstore = Peerstore(Limits())
    peerstore.mark_connected(PEER)
    peerstore.accept_record(record(3, 0), 0.0, ttl=CONNECTED_TTL)
    peerstore.add_addresses(PEER, [Multiaddr.parse("/dns4/example.org/tcp/1"), *at(1)], 60.0, 0.0, is_near=True)
    peerstore.set_protocols(PEER, ["/a", "/b"])
    peerstore.set_versions(PEER, agent_version="x", protocol_version="y")
    peerstore.set_metadata(PEER, "friend", True)
    return peerstore


def test_what_is_shown_can_be_taken_back() -> None:
    shown = known(full(), now=5.0)
    assert shown.last_seen == 5.0, "it is connected now"
    assert shown.addresses[at(0)[0]] == inf
    again = Peerstore(Limits())
    again.restore(shown, 20.0)
    expected = {**shown.addresses, at(0)[0]: 20.0 + ADDRESS_TTL}
    assert known(again, now=20.0) == replace(shown, addresses=expected)
    assert again.private_names(PEER) == {Multiaddr.parse("/dns4/example.org/tcp/1")}
    assert not again.is_connected(PEER)


def test_of_what_is_taken_back_nothing_is_kept_that_is_over() -> None:
    again = Peerstore(Limits())
    shown = replace(known(full()), addresses={at(1)[0]: 60.0})
    again.restore(shown, 60.0)
    assert PEER not in again
    assert again.metadata(PEER) == {"friend": True}


def test_who_is_known_already_stays_as_it_is() -> None:
    again = Peerstore(Limits())
    again.add_addresses(PEER, at(7), 10.0, 0.0)
    again.restore(known(full()), 0.0)
    assert again.addresses(PEER, 0.0) == at(7)


def test_limits_hold_for_what_is_taken_back() -> None:
    again = Peerstore(Limits(peerstore_peers=2, peerstore_addresses=1, peerstore_metadata=150))
    for number, peer in enumerate(OTHERS):
        addresses = dict.fromkeys(at(number, number + 1), 60.0)
        again.restore(KnownPeer(peer_id=peer, addresses=addresses, metadata={"a": 1, "b": 2}), 0.0)
    assert again.peers() == OTHERS[2:]
    assert again.addresses(OTHERS[2], 0.0) == at(2)
    assert [len(again.metadata(peer)) for peer in OTHERS] == [1, 0, 0, 0]


def test_what_was_noted_meanwhile_goes_before_what_is_taken_back() -> None:
    again = Peerstore(Limits())
    again.set_metadata(PEER, "friend", False)
    assert again.noted() == [PEER]
    again.restore(replace(known(full()), metadata={"friend": True, "other": 1}), 0.0)
    assert again.metadata(PEER) == {"friend": False, "other": 1}


def test_each_change_is_told() -> None:
    peerstore, changed = Peerstore(Limits(peerstore_peers=1)), list[PeerId]()
    peerstore.on_change = changed.append

    def told() -> list[PeerId]:
        found = changed.copy()
        changed.clear()
        return found

    peerstore.add_addresses(PEER, at(0, 1), 60.0, 0.0)
    assert told() == [PEER]
    peerstore.add_addresses(PEER, [], 60.0, 0.0)
    peerstore.remove_address(PEER, at(9)[0])
    peerstore.set_protocols(PEER, ["/a"])
    assert told() == [], "nothing has changed"
    peerstore.remove_address(PEER, at(1)[0])
    peerstore.retire_addresses(PEER, 0.0)
    peerstore.set_metadata(PEER, "note", 1)
    assert told() == [PEER] * 3
    peerstore.add_addresses(OTHERS[0], at(0), 60.0, 0.0)
    assert set(told()) == {PEER, OTHERS[0]}, "the first had to go"
    for change in (
        lambda: peerstore.mark_connected(PEER),
        lambda: peerstore.set_protocols(PEER, ["/a"]),
        lambda: peerstore.set_versions(PEER, agent_version="x", protocol_version=None),
        lambda: peerstore.accept_record(record(1, 0), 0.0),
        lambda: peerstore.mark_disconnected(PEER, 0.0),
        lambda: peerstore.forget(PEER),
    ):
        change()
        assert PEER in told()

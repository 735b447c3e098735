"""Contacts: what is sent of a peer, what is taken, and what is left out."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ProtocolViolation, RemoteError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import ADDRESS_COUNT_LIMIT, ENCODED_SIZE_LIMIT, RECEIVED_SIZE_LIMIT, Contact
from cortexnet.kad.routing.key import position
from cortexnet.multiformats import varint
from cortexnet.multiformats.multiaddr import MAX_BYTES, Multiaddr
from cortexnet.protobuf import field_bytes, field_varint
from cortexnet.testing.strategies import multiaddrs, peer_ids

VECTORS = json.loads((Path(__file__).parent.parent.parent / "vectors" / "kad.json").read_text())
PEER = PeerId.from_bytes(bytes.fromhex(VECTORS["keys"][0]["id"]))
ADDRESS = Multiaddr.parse(VECTORS["keys"][0]["addr"])

contacts = st.builds(Contact, peer_ids(), st.lists(multiaddrs(), max_size=20))


def addresses(count: int) -> list[Multiaddr]:
    return [Multiaddr.parse(f"/ip4/192.0.2.1/tcp/{port}") for port in range(1, count + 1)]


def received(*raw: bytes) -> Contact:
    contact = Contact.decode(field_bytes(1, bytes(PEER)) + b"".join([field_bytes(2, address) for address in raw]))
    assert contact is not None
    return contact


def test_a_peer_is_written_as_go_writes_it() -> None:
    # As it stands in go's ADD_PROVIDER.
    encoded = field_bytes(1, bytes(PEER)) + bytes.fromhex("1208" + VECTORS["keys"][0]["addr_bytes"])
    assert Contact(PEER, [ADDRESS]).encoded == encoded
    assert Contact.decode(encoded) == Contact(PEER, [ADDRESS])


def test_a_contact_knows_its_position() -> None:
    assert Contact(PEER).position == received().position == position(bytes(PEER)) == int(VECTORS["keys"][0]["kad_id"], 16)


@given(contacts)
def test_a_contact_is_read_as_it_was_written_as_far_as_it_was(contact: Contact) -> None:
    encoded = contact.encoded
    assert len(encoded) <= ENCODED_SIZE_LIMIT
    assert contact.framed == varint.encode(len(encoded)) + encoded
    again = Contact.decode(encoded)
    assert again is not None
    assert (again.peer_id, again.position, again.encoded) == (contact.peer_id, contact.position, encoded)
    assert again.addresses == contact.addresses[: len(again.addresses)]


@given(contacts)
def test_the_first_address_left_out_did_not_fit(contact: Contact) -> None:
    again = Contact.decode(contact.encoded)
    assert again is not None
    if again != contact:
        left_out = contact.addresses[len(again.addresses)]
        assert len(contact.encoded) + len(field_bytes(2, bytes(left_out))) > ENCODED_SIZE_LIMIT


def test_a_whole_answer_of_the_largest_contacts_fits_into_what_rust_takes() -> None:
    longest = Contact(PEER, [Multiaddr.parse(f"/dns/{'x' * 28}/tcp/{port:05}/tls/ws") for port in range(10_000, 10_016)])
    assert ENCODED_SIZE_LIMIT - 60 < len(longest.encoded) <= ENCODED_SIZE_LIMIT
    assert 21 * len(field_bytes(8, longest.encoded)) + 1_024 <= 16_384


@pytest.mark.parametrize("count", [ADDRESS_COUNT_LIMIT - 1, ADDRESS_COUNT_LIMIT, ADDRESS_COUNT_LIMIT + 1])
def test_the_first_16_addresses_are_taken(count: int) -> None:
    taken = tuple(addresses(count)[:ADDRESS_COUNT_LIMIT])
    assert Contact(PEER, addresses(count)).addresses == taken
    assert received(*map(bytes, addresses(count))).addresses == taken


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_addresses_are_taken_up_to_8_kib(excess: int) -> None:
    def named(size: int) -> bytes:
        return bytes(Multiaddr.parse(f"/dns/{'x' * (size - 3)}"))

    full = [named(MAX_BYTES)] * (RECEIVED_SIZE_LIMIT // MAX_BYTES - 1)
    last = [named(MAX_BYTES - 10), bytes(Multiaddr.parse(f"/dns/{'y' * (8 + excess)}"))]
    assert sum(map(len, full + last)) == RECEIVED_SIZE_LIMIT + excess
    assert len(received(*full, *last).addresses) == len(full) + (2 if excess <= 0 else 1)


def test_addresses_that_can_not_be_read_are_left_out_and_not_passed_on() -> None:
    unknown = varint.encode(0x3FFFFF)
    contact = received(b"", bytes(ADDRESS), unknown, bytes(MAX_BYTES + 1), bytes(ADDRESS)[:3])
    assert contact.addresses == (ADDRESS,)
    assert contact == Contact(PEER, [ADDRESS])
    assert contact.encoded == Contact(PEER, [ADDRESS]).encoded


@pytest.mark.parametrize("raw", [b"", b"\x12\x20short", bytes(100), b"peer"])
def test_a_peer_without_a_valid_id_is_none(raw: bytes) -> None:
    assert Contact.decode(field_bytes(1, raw) + field_bytes(2, bytes(ADDRESS))) is None


def test_whether_somebody_is_connected_to_a_peer_is_of_no_interest() -> None:
    encoded = Contact(PEER, [ADDRESS]).encoded
    for value in (0, 1, 3, 77, -1):
        assert Contact.decode(encoded + field_varint(3, value)) == Contact(PEER, [ADDRESS])


def test_the_same_bytes_give_the_same_object_unless_they_are_many() -> None:
    short, long = (Contact(PEER, addresses(count)).encoded for count in (2, 16))
    long += field_bytes(9, bytes(300))
    assert Contact.decode(short) is Contact.decode(bytes(bytearray(short)))
    assert Contact.decode(long) is not Contact.decode(long)
    assert Contact.decode(long) == Contact.decode(long)


def test_contacts_are_equal_if_ids_and_addresses_are() -> None:
    other = PeerId.from_bytes(bytes.fromhex(VECTORS["keys"][1]["id"]))
    contact = Contact(PEER, [ADDRESS])
    same = contact
    assert contact == same == received(bytes(ADDRESS))
    assert hash(contact) == hash(received(bytes(ADDRESS)))
    assert contact != Contact(PEER)
    assert contact != Contact(other, [ADDRESS])
    assert contact != PEER
    assert Contact(PEER).with_addresses([ADDRESS]) == contact


def test_a_contact_is_shown_with_its_addresses() -> None:
    assert repr(Contact(PEER, [ADDRESS])) == f"Contact({PEER}, {ADDRESS})"
    assert repr(Contact(PEER)) == f"Contact({PEER}, no address)"


@given(st.binary(max_size=500))
def test_any_bytes_are_a_contact_none_or_a_violation(data: bytes) -> None:
    try:
        contact = Contact.decode(data)
    except RemoteError:
        return
    assert contact is None or len(contact.encoded) <= ENCODED_SIZE_LIMIT


@given(contacts, st.data())
def test_damaged_bytes_are_a_contact_none_or_a_violation(contact: Contact, data: st.DataObject) -> None:
    encoded = bytearray(contact.encoded)
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = Contact.decode(bytes(encoded))
    except RemoteError:
        return
    assert again is None or len(again.addresses) <= ADDRESS_COUNT_LIMIT


def test_nothing_behind_the_last_address_taken_is_looked_at() -> None:
    garbage = b"\xff" * 1_000
    taken = b"".join([field_bytes(2, bytes(address)) for address in addresses(ADDRESS_COUNT_LIMIT)])
    contact = Contact.decode(field_bytes(1, bytes(PEER)) + taken + garbage)
    assert contact == Contact(PEER, addresses(ADDRESS_COUNT_LIMIT))
    assert Contact.decode(taken + field_bytes(1, bytes(PEER)) + garbage) == contact


def test_a_peer_with_more_than_eight_fields_to_skip_is_a_violation() -> None:
    """A message has a thousand peers: with a thousand such fields in each an answer held up the loop for two seconds."""
    spare = 8 + 1 + ADDRESS_COUNT_LIMIT  # besides as many as it might have of those that are known
    peer = field_bytes(1, bytes(PEER))
    assert Contact.decode(peer + field_bytes(9, b"") * spare) == Contact(PEER)
    with pytest.raises(ProtocolViolation, match="too many fields"):
        Contact.decode(peer + field_bytes(9, b"") * (spare + 1))

"""Rows of the DHT: what is written comes back, and anything else is a typed error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ProtocolViolation, RemoteError
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.provider_store import ProviderRecord
from cortexnet.kad.records.value_store import StoredValue
from cortexnet.kad.routing.cache import Hint
from cortexnet.kad.routing.contact import Contact
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import field_bytes
from cortexnet.storage.kad_codec import (
    decode_hint,
    decode_provider,
    decode_value,
    encode_hint,
    encode_provider,
    encode_value,
    provider_of_row,
    provider_row,
    row_head,
)
from cortexnet.testing.strategies import peer_ids

ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")
times = st.integers(0, 1 << 50).map(lambda milliseconds: milliseconds / 1000)
groups = st.none() | st.text(max_size=20)
contacts = st.builds(Contact, peer_ids("ed25519"), st.lists(st.just(ADDRESS), max_size=3))


@given(st.binary(max_size=90), st.binary(max_size=90), times, st.none() | peer_ids("ed25519"), groups)
def test_a_value_comes_back(key: bytes, value: bytes, received: float, sender: PeerId | None, group: str | None) -> None:
    stored = StoredValue(key, value, received, sender, group)
    assert decode_value(key, encode_value(stored)) == stored


@given(st.binary(max_size=80), contacts, groups, times, times)
def test_a_provider_record_comes_back(key: bytes, contact: Contact, group: str | None, first: float, second: float) -> None:
    record = ProviderRecord(key, contact, group, first, second)
    row = provider_row(key, contact.peer_id)
    assert provider_of_row(row) == (key, contact.peer_id)
    assert decode_provider(row, encode_provider(record)) == record


@given(st.binary(max_size=90), st.lists(contacts, max_size=20))
def test_a_hint_comes_back(key: bytes, near: list[Contact]) -> None:
    hint = Hint(key, tuple(near))
    assert decode_hint(encode_hint(hint)) == hint


def test_a_hint_is_worth_something_without_a_contact_that_is_none() -> None:
    assert decode_hint(field_bytes(1, b"key") + field_bytes(2, b"") + field_bytes(2, b"\x0a\x01x")) == Hint(b"key", ())


def test_a_time_that_is_none_is_one_that_can_be_written() -> None:
    for time in (-1.0, 1e300, float("inf")):
        assert decode_value(b"", encode_value(StoredValue(b"", b"", time, None, None))).received in (0.0, (1 << 53) / 1000)


def test_a_network_has_rows_of_its_own() -> None:
    assert not row_head("/ipfs/kad/1.0.0").startswith(row_head("/ipfs/kad"))


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_other_row_is_a_typed_error_or_a_row(key: bytes, data: bytes) -> None:
    for decode in (decode_value, decode_provider):
        try:
            decode(key, data)
        except RemoteError:
            continue
    try:
        decode_hint(data)
    except RemoteError:
        return


def test_a_provider_record_is_of_the_peer_of_its_row() -> None:
    one, other = (PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in (1, 2))
    data = encode_provider(ProviderRecord(b"key", Contact(one), None, 0.0, 0.0))
    with pytest.raises(ProtocolViolation, match="another peer"):
        decode_provider(provider_row(b"key", other), data)
    with pytest.raises(ProtocolViolation, match="another peer"):
        decode_provider(provider_row(b"key", other), b"")

"""Entries of the address book as bytes: the same comes back, times stay where they were, and no bytes break the decoder."""

import contextlib
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import RemoteError
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import field_bytes, field_varint
from cortexnet.storage.peer_codec import decode, encode
from cortexnet.swarm.peer_entry import KnownPeer
from cortexnet.testing.strategies import multiaddrs

PEER = PeerId(bytes([0x12, 32]) + bytes(32))
KEY = PrivateKey.generate("ecdsa").public_key
UNIX = 1_800_000_000.0

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=128)
seconds = st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
notes = st.dictionaries(
    names,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.binary(max_size=20)
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False)
    | st.booleans(),
    max_size=4,
)


@st.composite
def entries(draw: st.DrawFn) -> KnownPeer:
    addresses = draw(st.dictionaries(multiaddrs(), seconds | st.just(inf), max_size=5))
    some = st.frozensets(st.sampled_from(sorted(addresses, key=bytes))) if addresses else st.just(frozenset())
    protocols = draw(st.none() | st.frozensets(names, max_size=4))
    record = draw(st.none() | st.binary(max_size=50))
    return KnownPeer(
        peer_id=PEER,
        addresses=addresses,
        certified=draw(some),
        private_names=draw(some),
        protocols=protocols,
        has_all_protocols=protocols is None or draw(st.booleans()),
        agent_version=draw(texts),
        protocol_version=draw(texts),
        public_key=draw(st.none() | st.just(KEY)),
        record=record,
        record_sequence=0 if record is None else draw(st.integers(0, (1 << 64) - 1)),
        last_seen=draw(st.none() | seconds),
        metadata=draw(notes),
    )


def rounded(known: KnownPeer) -> KnownPeer:
    """As two of them are compared: times to the millisecond."""
    addresses = {address: expires if expires == inf else round(expires, 2) for address, expires in known.addresses.items()}
    return replace(known, addresses=addresses, last_seen=None if known.last_seen is None else round(known.last_seen, 2))


@given(entries())
def test_an_entry_comes_back_as_it_was(known: KnownPeer) -> None:
    back = decode(bytes(PEER), encode(known, 0.0, UNIX), 0.0, UNIX)
    assert {name: type(value) for name, value in back.metadata.items()} == {
        name: type(value) for name, value in known.metadata.items()
    }
    later = decode(bytes(PEER), encode(known, 500.0, UNIX), 40.0, UNIX)  # the clock of another process
    assert rounded(replace(later, addresses=back.addresses, last_seen=back.last_seen)) == rounded(back)
    close = rounded(back)
    assert close == replace(rounded(known), addresses=close.addresses, last_seen=close.last_seen)
    assert close.addresses.keys() == known.addresses.keys()
    for address, expires in known.addresses.items():
        assert back.addresses[address] == pytest.approx(expires, abs=0.01)


def at(expires: float) -> KnownPeer:
    return KnownPeer(peer_id=PEER, addresses={Multiaddr.parse("/ip4/1.2.3.4/tcp/1"): expires}, last_seen=100.0)


@pytest.mark.parametrize(
    ("away", "left"),
    [(0.0, 60.0), (50.0, 10.0), (60.0, 0.0), (1e6, 60.0 - 1e6), (-3_600.0, 60.0)],
    ids=["at once", "later", "when it is over", "long after", "the clock was set back"],
)
def test_times_go_on_while_nobody_runs_and_a_clock_that_was_set_back_lengthens_none(away: float, left: float) -> None:
    data = encode(at(160.0), 100.0, UNIX)
    back = decode(bytes(PEER), data, 7.0, UNIX + away)
    assert list(back.addresses.values()) == pytest.approx([7.0 + left])
    assert back.last_seen == pytest.approx(7.0 - max(away, 0.0))


def test_an_address_of_a_connected_peer_has_no_end() -> None:
    assert list(decode(bytes(PEER), encode(at(inf), 100.0, UNIX), 7.0, UNIX + 1e9).addresses.values()) == [inf]


def test_a_clock_that_is_far_off_is_written_as_the_end_of_time() -> None:
    back = decode(bytes(PEER), encode(at(1e300), 0.0, UNIX), 0.0, UNIX)
    assert next(iter(back.addresses.values())) > 1e12
    assert list(decode(bytes(PEER), encode(at(5.0), 0.0, -9.0), 0.0, 0.0).addresses.values()) == [0.0]


def test_what_a_later_release_adds_is_passed_over() -> None:
    data = (
        encode(at(inf), 0.0, UNIX) + field_bytes(99, b"new") + field_bytes(10, field_bytes(1, b"name") + field_bytes(9, b"new"))
    )
    assert decode(bytes(PEER), data, 0.0, UNIX).metadata == {}


@pytest.mark.parametrize(
    ("key", "data"),
    [
        (b"no peer", b""),
        (bytes(PEER), b"\x0f"),
        (bytes(PEER), field_bytes(1, b"")),
        (bytes(PEER), field_bytes(1, field_bytes(1, b"no address"))),
        (bytes(PEER), field_bytes(2, b"\xff")),
        (bytes(PEER), field_bytes(4, b"\xff")),
        (bytes(PEER), field_bytes(6, b"no key")),
        (bytes(PEER), field_bytes(10, field_varint(4, 1))),
        (bytes(PEER), field_bytes(10, field_varint(1, 1))),
    ],
)
def test_what_is_no_entry_is_refused(key: bytes, data: bytes) -> None:
    with pytest.raises(RemoteError):
        decode(key, data, 0.0, UNIX)


@given(st.binary(max_size=60), st.binary(max_size=200))
def test_no_bytes_raise_anything_else(key: bytes, data: bytes) -> None:
    for peer in (key, bytes(PEER)):
        with contextlib.suppress(RemoteError):
            decode(peer, data, 0.0, UNIX)


@given(entries(), st.data())
def test_nor_do_entries_with_some_bytes_changed(known: KnownPeer, data: st.DataObject) -> None:
    encoded = bytearray(encode(known, 0.0, UNIX))
    for _ in range(3):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RemoteError):
        decode(bytes(PEER), bytes(encoded), 0.0, UNIX)

"""The identify message: golden bytes, parts and their merging, and what is cut so that every stack takes it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ProtocolViolation, RemoteError
from cortexnet.host.identify_message import (
    ADDRESS_COUNT_LIMIT,
    FIRST_SIZE_LIMIT,
    PROTOCOL_COUNT_LIMIT,
    PROTOCOLS_SENT,
    RECORD_ADDRESSES_SIZE_LIMIT,
    WHOLE_SIZE_LIMIT,
    IdentifyMessage,
    best_first,
    decode,
    record_addresses,
)
from cortexnet.identity.envelope import PeerRecord
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats import varint
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import field_bytes, field_varint
from cortexnet.testing.strategies import multiaddrs

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "identify.json").read_text())
KEY = PrivateKey.unmarshal(
    bytes.fromhex(
        "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d"
        "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
    )
)
GOLDEN = IdentifyMessage(
    public_key=KEY.public_key.marshal(),
    addresses=(Multiaddr.parse("/ip4/192.0.2.1/tcp/4001"),),
    protocols=("/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"),
    observed_address=Multiaddr.parse("/ip4/198.51.100.7/udp/50123/quic-v1"),
    protocol_version="ipfs/0.1.0",
    agent_version="golden/1",
)


def framed(name: str) -> bytes:
    """The message of a vector, without its length."""
    data = bytes.fromhex(VECTORS[name])
    size, start = varint.decode(data)
    assert len(data) == start + size
    return data[start:]


def address(text: str) -> Multiaddr:
    return Multiaddr.parse(text)


messages = st.builds(
    IdentifyMessage,
    public_key=st.none() | st.binary(max_size=50),
    addresses=st.lists(multiaddrs(), max_size=5).map(tuple),
    protocols=st.lists(st.text(min_size=1, max_size=20), max_size=5, unique=True).map(tuple),
    observed_address=st.none() | multiaddrs(),
    protocol_version=st.none() | st.text(max_size=20),
    agent_version=st.none() | st.text(max_size=20),
    signed_peer_record=st.none() | st.binary(max_size=50),
)


def test_what_go_sends_is_read_and_written_byte_for_byte() -> None:
    data = framed("identify")
    message = decode([data])
    assert replace(message, signed_peer_record=None) == GOLDEN
    assert message.signed_peer_record is not None
    record = PeerRecord.open(message.signed_peer_record, PeerId.from_public_key(KEY.public_key))
    assert record.addresses == GOLDEN.addresses
    assert message.encode() == data
    assert message.split() == [data]


def test_the_record_on_its_own_is_read_and_written_byte_for_byte() -> None:
    data = framed("identify_record_only")
    record = decode([data]).signed_peer_record
    assert record == decode([framed("identify")]).signed_peer_record
    assert IdentifyMessage(signed_peer_record=record).encode() == data


def test_a_message_without_a_record_is_read_and_written_byte_for_byte() -> None:
    data = framed("without_record")
    message = decode([data])
    observed = address("/ip4/198.51.100.7/tcp/50123")
    assert message == replace(GOLDEN, observed_address=observed, agent_version="py/0.1")
    assert message.encode() == data


@given(messages)
def test_what_was_encoded_is_decoded(message: IdentifyMessage) -> None:
    assert decode([message.encode()]) == message


@given(st.lists(messages, max_size=4))
def test_parts_are_merged_as_protobuf_merges_what_is_joined(parts: list[IdentifyMessage]) -> None:
    encoded = [part.encode() for part in parts]
    assert decode(encoded) == decode([b"".join(encoded)])


@given(messages)
def test_what_was_split_is_joined_again(message: IdentifyMessage) -> None:
    assert decode(message.split()) == message


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_are_a_message_or_a_violation(parts: list[bytes]) -> None:
    try:
        decode(parts)
    except RemoteError:
        return


@given(messages, st.data())
def test_damaged_bytes_are_a_message_or_a_violation(message: IdentifyMessage, data: st.DataObject) -> None:
    encoded = bytearray(message.encode())
    for _ in range(data.draw(st.integers(0, 3))):
        if encoded:
            encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode([bytes(encoded)])
    except RemoteError:
        return


def test_a_part_must_be_whole() -> None:
    data = framed("identify")
    with pytest.raises(ProtocolViolation):
        decode([data[:20], data[20:]])


def test_an_empty_message_says_nothing() -> None:
    assert decode([]) == decode([b""]) == IdentifyMessage()


def test_the_last_of_a_single_thing_counts_and_lists_are_joined_without_repetitions() -> None:
    first = IdentifyMessage(agent_version="old", protocols=("/a", "/b"), addresses=(address("/ip4/1.2.3.4/tcp/1"),))
    second = IdentifyMessage(agent_version="new", protocols=("/b", "/c"), addresses=(address("/ip4/1.2.3.4/tcp/2"),))
    merged = decode([first.encode(), second.encode()])
    assert merged.agent_version == "new"
    assert merged.protocols == ("/a", "/b", "/c")
    assert merged.addresses == first.addresses + second.addresses


def test_unknown_fields_such_as_the_old_delta_are_skipped() -> None:
    data = GOLDEN.encode() + field_bytes(7, b"delta") + field_varint(99, 1)
    assert decode([data]) == GOLDEN


def test_what_can_not_be_read_is_left_out_and_costs_nothing_else() -> None:
    unknown_protocol = varint.encode(0x3FFFFF)
    broken = b"".join(
        [
            field_bytes(2, unknown_protocol),
            field_bytes(2, b""),
            field_bytes(3, b"\xff"),
            field_bytes(3, b""),
            field_bytes(4, unknown_protocol),
            field_bytes(5, b"\xff"),
            field_bytes(6, b"\xff"),
        ]
    )
    kept = replace(GOLDEN, observed_address=None, protocol_version=None, agent_version=None)
    assert decode([GOLDEN.encode(), broken]) == kept


def test_versions_are_cut() -> None:
    message = decode([IdentifyMessage(agent_version="a" * 500, protocol_version="é" * 500).encode()])
    assert message.agent_version == "a" * 128
    assert message.protocol_version == "é" * 128


@pytest.mark.parametrize("parts", [1, 2])
def test_lists_are_taken_up_to_their_limits(parts: int) -> None:
    protocols = [field_bytes(3, b"/%d" % number) for number in range(PROTOCOL_COUNT_LIMIT + 1)]
    addresses = [field_bytes(2, bytes(address(f"/ip4/1.2.3.4/tcp/{port}"))) for port in range(1, ADDRESS_COUNT_LIMIT + 2)]
    half = len(protocols) // parts + 1
    message = decode([b"".join(protocols[:half] + addresses[:half]), b"".join(protocols[half:] + addresses[half:])])
    assert len(message.protocols) == PROTOCOL_COUNT_LIMIT
    assert len(message.addresses) == ADDRESS_COUNT_LIMIT


def test_lists_that_spread_over_parts_have_the_same_limits() -> None:
    half = IdentifyMessage(
        protocols=tuple(f"/one/{number}" for number in range(PROTOCOL_COUNT_LIMIT // 2 + 1)),
        addresses=tuple(address(f"/ip4/1.2.3.4/tcp/{port}") for port in range(1, ADDRESS_COUNT_LIMIT // 2 + 2)),
    )
    other = replace(half, protocols=tuple(f"/two/{number}" for number in range(PROTOCOL_COUNT_LIMIT // 2 + 1)))
    message = decode([half.encode(), other.encode()])
    assert len(message.protocols) == PROTOCOL_COUNT_LIMIT
    assert len(message.addresses) == ADDRESS_COUNT_LIMIT


# --- what is sent


@pytest.mark.parametrize("excess", [-1, 0, 1])
def test_the_record_travels_alone_where_the_whole_is_too_long(excess: int) -> None:
    overhead = len(replace(GOLDEN, signed_peer_record=bytes(1_000)).encode()) - 1_000
    message = replace(GOLDEN, signed_peer_record=bytes(WHOLE_SIZE_LIMIT - overhead + excess))
    parts = message.split()
    assert len(message.encode()) == WHOLE_SIZE_LIMIT + excess
    if excess <= 0:
        assert parts == [message.encode()]
    else:
        assert parts == [GOLDEN.encode(), IdentifyMessage(signed_peer_record=message.signed_peer_record).encode()]


def test_without_a_record_there_is_one_message_however_long() -> None:
    message = IdentifyMessage(protocols=tuple(f"/protocol/{number}" for number in range(1_000)))
    assert message.split() == [message.encode()]


def test_at_most_128_protocols_are_sent() -> None:
    protocols = tuple(f"/{number}" for number in range(PROTOCOLS_SENT + 1))
    assert IdentifyMessage(protocols=protocols[:-1]).fitted().protocols == protocols[:-1]
    assert IdentifyMessage(protocols=protocols).fitted().protocols == protocols[:-1]


@given(
    st.integers(0, 1_100),
    st.lists(st.integers(1, 300), max_size=200),
    st.lists(st.integers(1, 900), max_size=200),
    st.integers(0, 600),
)
def test_a_message_without_its_record_always_fits_and_leaves_room_for_addresses(
    key: int, protocols: list[int], addresses: list[int], version: int
) -> None:
    message = IdentifyMessage(
        public_key=bytes(key),
        protocols=tuple(f"/{number:<{size}}" for number, size in enumerate(protocols)),
        addresses=tuple(address(f"/ip4/1.2.3.4/tcp/{size}/dns/{'x' * size}") for size in addresses),
        observed_address=address("/dns/" + "x" * 900),
        protocol_version="ü" * version,
        agent_version="ü" * version,
        signed_peer_record=bytes(10),
    )
    fitted = message.fitted()
    assert len(replace(fitted, signed_peer_record=None).encode()) <= FIRST_SIZE_LIMIT
    assert len(fitted.protocols) <= PROTOCOLS_SENT
    assert [item for item in message.protocols if item in set(fitted.protocols)] == list(fitted.protocols)
    assert fitted.signed_peer_record == message.signed_peer_record
    short = [item for item in message.addresses if len(bytes(item)) < 400]
    assert fitted.addresses or not short


def test_addresses_that_matter_most_come_first() -> None:
    ordered = [
        address(text)
        for text in (
            "/ip4/11.0.0.1/udp/1/quic-v1",
            "/ip6/2a00::1/tcp/1",
            "/ip4/11.0.0.1/tcp/1/wss",
            "/ip4/11.0.0.1/tcp/1/tls/ws",
            "/ip4/11.0.0.1/tcp/1/ws",
            "/ip4/11.0.0.1/udp/1/quic-v1/webtransport",
            "/ip4/11.0.0.1/udp/1/webrtc-direct",
            "/ip4/11.0.0.1/tcp/1/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq/p2p-circuit",
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/192.168.0.1/udp/1/quic-v1",
            "/ip4/10.0.0.1/tcp/1",
            "/ip4/127.0.0.1/tcp/1",
        )
    ]
    assert best_first(reversed(ordered)) == [*ordered[:2], ordered[3], ordered[2], *ordered[4:]]
    assert best_first(ordered + ordered) == ordered


def test_a_record_has_as_many_addresses_as_its_readers_take() -> None:
    public = [address(f"/ip4/11.0.0.1/tcp/{port}") for port in range(1, 200)]
    assert record_addresses([address("/ip4/127.0.0.1/tcp/1"), *public]) == tuple(public[:ADDRESS_COUNT_LIMIT])


def test_a_record_is_below_8_kib_also_with_the_largest_keys() -> None:
    long = [address(f"/ip4/11.0.0.1/tcp/{port}/dns/{'x' * 200}") for port in range(1, 200)]
    kept = record_addresses(long)
    owner = PeerId.from_public_key(KEY.public_key)
    size = len(PeerRecord(owner, 1, kept).encode())
    assert RECORD_ADDRESSES_SIZE_LIMIT - 250 < size < RECORD_ADDRESSES_SIZE_LIMIT + 100
    assert size + 1_066 + 1_024 + 100 <= 8_192

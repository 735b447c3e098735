"""The strategies: all they draw is what their names say, by the judgement of our own decoders."""

from collections.abc import Iterable
from typing import TypeVar

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from cortexnet.errors import ProtocolViolation, RemoteError
from cortexnet.host.identify_message import IdentifyMessage, decode
from cortexnet.identity.envelope import PEER_RECORD, Envelope, PeerRecord, Purpose
from cortexnet.identity.keys import KeyType, PrivateKey, PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats import multihash, varint
from cortexnet.multiformats.cid import Cid
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.multiformats.multiaddr_protocols import PROTOCOLS
from cortexnet.multistream import be_selected, propose
from cortexnet.mux.muxer import StreamReadable
from cortexnet.mux.yamux import Yamux
from cortexnet.security.noise_messages import Payload
from cortexnet.testing import strategies
from cortexnet.testing.handshakes import run_over

OTHER = Purpose("test", b"test")

T = TypeVar("T")


def drawn(strategy: SearchStrategy[T], count: int) -> list[T]:
    """Some `count` values, the same in every run."""
    values: list[T] = []

    @settings(max_examples=count, derandomize=True, database=None)
    @given(strategy)
    def draw(value: T) -> None:
        values.append(value)

    draw()
    return values


@given(st.data(), st.binary(max_size=60), st.integers(1, 10))
def test_cuts_are_pieces_of_the_whole(data: st.DataObject, whole: bytes, max_pieces: int) -> None:
    pieces = data.draw(strategies.cuts(whole, max_pieces=max_pieces))
    assert b"".join(pieces) == whole
    assert all(pieces)
    assert len(pieces) <= max_pieces


def test_cuts_shrink_to_the_whole_and_reach_single_bytes() -> None:
    assert find(strategies.cuts(b"abcd"), lambda pieces: True) == [b"abcd"]
    assert find(strategies.cuts(b"abcd"), lambda pieces: len(pieces) == 4) == [b"a", b"b", b"c", b"d"]
    assert find(strategies.cuts(b"x"), lambda pieces: True) == [b"x"]
    assert find(strategies.cuts(b""), lambda pieces: True) == []


@given(strategies.varints())
def test_varints_can_be_decoded_and_are_minimal(data: bytes) -> None:
    value, position = varint.decode(data)
    assert position == len(data)
    assert varint.encode(value) == data


@given(strategies.broken_varints())
def test_broken_varints_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        varint.decode(data)


def test_varints_reach_every_length() -> None:
    assert {len(data) for data in drawn(strategies.varints(), 300)} == set(range(1, varint.MAX_BYTES + 1))


@given(strategies.multihashes())
def test_multihashes_can_be_unwrapped(data: bytes) -> None:
    assert multihash.wrap(*multihash.unwrap(data)) == data


@given(strategies.cids())
def test_cids_survive_both_forms(cid: Cid) -> None:
    assert Cid.from_bytes(bytes(cid)) == Cid.parse(str(cid)) == cid


@pytest.mark.parametrize("key_type", ["ed25519", "secp256k1", "ecdsa", "rsa"])
def test_keys_are_of_the_type_asked_for_and_work(key_type: KeyType) -> None:
    @settings(max_examples=3)
    @given(strategies.private_keys(key_type))
    def check(key: PrivateKey) -> None:
        assert key.key_type == key_type
        assert key.public_key.verify(b"data", key.sign(b"data"))
        assert PrivateKey.unmarshal(key.marshal()).public_key == key.public_key

    check()


@given(strategies.public_keys("ed25519", "ecdsa"))
def test_public_keys_of_several_types_are_mixed(key: PublicKey) -> None:
    assert key.key_type in ("ed25519", "ecdsa")


def test_all_key_types_are_drawn_without_a_choice() -> None:
    seen = {key.key_type for key in drawn(strategies.private_keys(), 60)}
    assert seen == {"ed25519", "secp256k1", "ecdsa", "rsa"}


@given(strategies.peer_ids())
def test_peer_ids_survive_both_forms(peer: PeerId) -> None:
    assert PeerId.parse(str(peer)) == PeerId.from_bytes(bytes(peer)) == peer


@given(strategies.peer_ids("secp256k1"))
def test_peer_ids_of_a_type_are_of_its_keys(peer: PeerId) -> None:
    key = peer.public_key()
    assert key is not None
    assert key.key_type == "secp256k1"


@given(strategies.envelopes())
def test_envelopes_can_be_opened(envelope: Envelope) -> None:
    assert Envelope.open(envelope.marshal(), PEER_RECORD) == envelope


@given(strategies.envelopes(OTHER))
def test_envelopes_are_for_the_purpose_asked_for(envelope: Envelope) -> None:
    assert Envelope.open(envelope.marshal(), OTHER).payload == envelope.payload


@given(strategies.peer_records())
def test_peer_records_survive_the_wire(record: PeerRecord) -> None:
    assert PeerRecord.decode(record.encode()) == record


@given(strategies.signed_peer_records())
def test_signed_peer_records_can_be_opened(pair: tuple[PeerRecord, bytes]) -> None:
    record, sealed = pair
    assert PeerRecord.open(sealed, record.peer_id) == record


@given(strategies.dialable_multiaddrs())
def test_dialable_addresses_have_a_host_and_a_transport(address: Multiaddr) -> None:
    assert address.protocols[0] in ("ip4", "ip6", "dns", "dns4", "dns6")
    assert address.protocols[1] in ("tcp", "udp")
    assert Multiaddr.parse(str(address)) == address


@given(strategies.multiaddrs())
def test_multiaddrs_survive_both_forms(address: Multiaddr) -> None:
    assert Multiaddr.from_bytes(bytes(address)) == Multiaddr.parse(str(address)) == address


def test_multiaddrs_reach_every_protocol() -> None:
    seen = {name for address in drawn(strategies.multiaddrs(), 800) for name in address.protocols}
    assert seen == {protocol.name for protocol in PROTOCOLS}


@given(strategies.protocol_ids())
def test_protocol_ids_fit_a_line_and_can_be_selected(protocol: str) -> None:
    outcome = run_over(be_selected(lambda offered: offered == protocol), [propose(protocol)])
    assert outcome.result == protocol


@given(strategies.multistream_lines())
def test_multistream_lines_are_whole(line: bytes) -> None:
    size, position = varint.decode(line)
    assert len(line) == position + size
    assert line[-1] == 0x0A


@given(st.data(), strategies.multistream_conversations())
def test_multistream_conversations_end_in_typed_errors_however_cut(data: st.DataObject, said: bytes) -> None:
    whole = run_over(be_selected(lambda offered: False), [said])
    in_pieces = run_over(be_selected(lambda offered: False), data.draw(strategies.cuts(said)))
    assert whole.error is None or isinstance(whole.error, RemoteError)
    assert (type(whole.error), whole.sent) == (type(in_pieces.error), in_pieces.sent)


@given(strategies.noise_payloads())
def test_noise_payloads_survive_the_wire(payload: Payload) -> None:
    decoded = Payload.decode(payload.encode())
    assert (decoded.identity_key, decoded.identity_signature) == (payload.identity_key, payload.identity_signature)
    assert list(decoded.muxers) == list(payload.muxers)


@given(strategies.noise_frames())
def test_noise_frames_announce_their_length(frame: bytes) -> None:
    assert int.from_bytes(frame[:2]) == len(frame) - 2


@given(strategies.yamux_frames())
def test_yamux_frames_are_whole(frame: bytes) -> None:
    kind, length = frame[1], int.from_bytes(frame[8:12])
    assert frame[0] == 0
    assert kind <= 3
    assert len(frame) == 12 + (length if kind == 0 else 0)


@given(strategies.yamux_frames(st.just(77)))
def test_the_streams_of_yamux_frames_can_be_chosen(frame: bytes) -> None:
    assert int.from_bytes(frame[4:8]) in (0, 77)


@given(st.data(), strategies.yamux_sessions())
def test_yamux_sessions_end_in_the_same_events_however_cut(data: st.DataObject, sent: bytes) -> None:
    whole, in_pieces = Yamux(initiator=False), Yamux(initiator=False)

    def told(session: Yamux, pieces: Iterable[bytes]) -> list[str]:
        events = [event for piece in pieces for event in session.receive(piece, 0.0)]
        while session.has_backlog:
            events += session.receive(b"", 0.0)
        return [repr(event) for event in events if not isinstance(event, StreamReadable)]

    assert told(whole, [sent]) == told(in_pieces, data.draw(strategies.cuts(sent)))


@given(strategies.identify_messages())
def test_identify_messages_are_read_as_they_were_written(message: IdentifyMessage) -> None:
    assert decode([message.encode()]) == message

"""Questions and answers of peer exchange, and who may ask how often."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet import Identity, Multiaddr, PeerId
from cortexnet.discovery.config import DiscoveryConfig
from cortexnet.discovery.exchange import (
    ANSWERS_A_SECOND,
    ANSWERS_AT_ONCE,
    RECORD_LIMIT,
    ExchangeRates,
    answer_limit,
    check_want,
    decode_answer,
    decode_question,
    encode_answer,
    encode_question,
)
from cortexnet.errors import MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.identity.envelope import PeerRecord
from cortexnet.protobuf import field_bytes, field_varint

IDENTITIES = [Identity.generate() for _ in range(5)]
ALICE, BOB, CAROL, DAVE, ERIN = (identity.peer_id for identity in IDENTITIES)
PLACES = (Multiaddr.parse("/ip4/192.0.2.7/tcp/4001"),)


def record(identity: Identity, places: tuple[Multiaddr, ...] = PLACES) -> bytes:
    return PeerRecord(identity.peer_id, 7, places).seal(identity.private_key)


RECORDS = [(identity.peer_id, record(identity)) for identity in IDENTITIES]


def decode(data: bytes, *, want: int = 16, known: set[PeerId] | None = None) -> list[PeerId]:
    found = decode_answer(data, want=want, is_known=(known or set()).__contains__)
    return [one.record.peer_id for one in found]


def test_the_bytes_are_these() -> None:
    assert encode_question(16) == b"\x08\x10"
    identity, envelope = RECORDS[0]
    entry = b"\x0a\x26" + bytes(identity) + b"\x12" + bytes([len(envelope) & 0x7F | 0x80, len(envelope) >> 7]) + envelope
    assert encode_answer([(identity, envelope)]) == b"\x0a" + bytes([len(entry) & 0x7F | 0x80, len(entry) >> 7]) + entry
    assert encode_answer([]) == b""


@pytest.mark.parametrize("want", [0, 1, 16, 64, 2**63])
def test_a_question_says_how_many_are_wanted(want: int) -> None:
    assert decode_question(encode_question(want)) == want


def test_an_empty_question_wants_nobody_and_that_is_refused() -> None:
    assert decode_question(b"") == 0
    with pytest.raises(ProtocolViolation):
        check_want(0, 16)
    assert [check_want(want, 16) for want in (1, 16, 2**63)] == [1, 16, 16]


def test_an_answer_comes_back_as_it_was() -> None:
    assert decode(encode_answer(RECORDS)) == [ALICE, BOB, CAROL, DAVE, ERIN]
    assert decode(b"") == []


def test_who_is_known_and_who_comes_again_is_left_out_unread() -> None:
    garbled = [(BOB, b"garbled"), *RECORDS[2:4], (CAROL, b"garbled")]
    assert decode(encode_answer(garbled), known={BOB}) == [CAROL, DAVE]


def test_one_wrong_record_spoils_the_answer() -> None:
    forged = bytearray(RECORDS[1][1])
    forged[-1] ^= 1
    for wrong in ((BOB, bytes(forged)), (BOB, RECORDS[0][1]), (BOB, b""), (BOB, b"\x08")):
        with pytest.raises(ProtocolViolation):
            decode(encode_answer([RECORDS[0], wrong]))


def test_an_answer_of_more_than_were_wanted_is_refused_before_a_signature_is_checked() -> None:
    with pytest.raises(ProtocolViolation, match="more than 2 of field 1"):
        decode(encode_answer([(ALICE, RECORDS[0][1]), RECORDS[1], (CAROL, b"garbled")]), want=2, known={ALICE})


def test_sizes_are_refused_before_anything_is_made_of_them() -> None:
    with pytest.raises(MessageTooLarge):
        decode(field_bytes(1, field_bytes(1, bytes(ALICE)) + field_bytes(2, bytes(RECORD_LIMIT + 1))))
    with pytest.raises(MessageTooLarge):
        decode(field_bytes(1, field_bytes(1, bytes(65))))
    with pytest.raises(MessageTooLarge):
        decode(field_bytes(1, bytes(answer_limit(1))))
    largest = field_bytes(1, bytes(38)) + field_bytes(2, bytes(RECORD_LIMIT))
    assert 16 * len(field_bytes(1, largest)) <= answer_limit(16)


def test_fields_of_later_versions_are_skipped() -> None:
    assert decode_question(field_bytes(9, b"news") + encode_question(3)) == 3
    assert decode(field_varint(7, 1) + encode_answer(RECORDS[:1])) == [ALICE]


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_a_remote_error(data: bytes) -> None:
    for parse in (decode_question, decode):
        try:
            parse(data)
        except RemoteError:
            continue


@given(st.integers(0, 5), st.integers(0, 2_000), st.integers(0, 255))
def test_no_changed_byte_makes_a_record_of_somebody_else(count: int, position: int, value: int) -> None:
    data = bytearray(encode_answer(RECORDS[:count]))
    if position < len(data):
        data[position] = value
    try:
        found = decode_answer(bytes(data), want=16, is_known=lambda peer: False)
    except RemoteError:
        return
    for one in found:
        assert (one.record.peer_id, one.record.addresses) in [(peer, PLACES) for peer, _ in RECORDS]


# --- rates -----------------------------------------------------------------------------------------------------------------


def rates(**settings: Any) -> ExchangeRates:
    return ExchangeRates(DiscoveryConfig(**settings), table_size=100, random=Random(7), now=0.0)


def test_a_peer_is_answered_some_times_at_once_and_then_in_its_turn() -> None:
    one = rates(exchange_interval=60.0)
    assert [one.may_answer(ALICE, 0.0) for _ in range(ANSWERS_AT_ONCE + 1)] == [True] * ANSWERS_AT_ONCE + [False]
    assert one.may_answer(BOB, 0.0)
    assert [one.may_answer(ALICE, 15.0), one.may_answer(ALICE, 15.0)] == [True, False]


def test_many_identities_together_get_no_more_answers_than_a_second_has() -> None:
    one = rates()
    crowd = [Identity.generate().peer_id for _ in range(int(ANSWERS_A_SECOND) + 5)]
    assert sum(one.may_answer(peer, 0.0) for peer in crowd) == ANSWERS_A_SECOND


def test_each_connected_peer_is_asked_once_in_its_interval() -> None:
    one = rates(exchange_interval=60.0)
    able = [ALICE, BOB, CAROL]
    assert one.next_timeout(able) == float("-inf")
    first = one.choose(able, 0.0, 2)
    assert len(first) == 2
    assert set(one.choose(able, 1.0, 3)) == set(able) - set(first)
    assert one.choose(able, 59.0, 3) == []
    assert one.next_timeout(able) == 60.0
    assert set(one.choose(able, 60.0, 3)) == set(first)


def test_who_was_away_meanwhile_may_be_asked_again() -> None:
    one = rates()
    assert one.choose([ALICE], 0.0, 3) == [ALICE]
    assert one.choose([BOB], 1.0, 3) == [BOB]
    assert one.choose([ALICE, BOB], 2.0, 3) == [ALICE]
    assert rates().next_timeout([]) is None

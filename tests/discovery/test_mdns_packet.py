"""Packets of multicast DNS against the bytes of other stacks, any bytes at all, and every bound."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cortexnet.discovery.mdns_packet import (
    AAAA,
    ANY,
    LABELS_LIMIT,
    NAME_LIMIT,
    PTR,
    RECORDS_LIMIT,
    SIZE_LIMIT,
    SRV,
    TXT,
    A,
    HostAddress,
    Location,
    Name,
    Packet,
    Pointer,
    Question,
    Record,
    Texts,
    decode,
    encode,
)
from cortexnet.errors import ProtocolViolation

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "mdns.json").read_text())
BYTES = {
    name: bytes.fromhex(value) for name, value in GOLDEN.items() if name.endswith(("query", "answer", "probe", "ment", "bye"))
}
SERVICE: Name = (b"_p2p", b"_udp", b"local")
CORTEX: Name = (b"loreum-cortex", b"local")

labels = st.binary(min_size=1, max_size=63).map(bytes.lower)
names = st.lists(labels, max_size=6).map(tuple).filter(lambda name: sum(map(len, name)) + len(name) < NAME_LIMIT)
ttls = st.integers(0, 0xFFFF_FFFF)
ips = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Pointer, names, ttls, names),
    st.builds(Texts, names, ttls, st.lists(st.binary(max_size=255), max_size=4).map(tuple), st.booleans()),
    st.builds(Location, names, ttls, st.integers(0, 0xFFFF), names, st.booleans()),
    st.builds(HostAddress, names, ttls, ips, st.booleans()),
)
packets = st.builds(
    Packet,
    is_response=st.booleans(),
    questions=st.lists(st.builds(Question, names, st.sampled_from([PTR, ANY, TXT, SRV, A, AAAA])), max_size=3).map(tuple),
    answers=st.lists(records, max_size=4).map(tuple),
    additional=st.lists(records, max_size=4).map(tuple),
)


def header(*, flags: int = 0x8400, questions: int = 0, answers: int = 0, authorities: int = 0, additional: int = 0) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in (0, flags, questions, answers, authorities, additional))


def written(name: Name) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in name) + b"\0"


def record(name: bytes, kind: int, value: bytes, *, which: int = 1) -> bytes:
    return (
        name + b"".join(part.to_bytes(size, "big") for part, size in ((kind, 2), (which, 2), (120, 4), (len(value), 2))) + value
    )


# --- what others send ---


def test_our_question_is_that_of_js_and_but_for_the_number_in_front_that_of_go() -> None:
    asked = Packet(is_response=False, questions=(Question(SERVICE, PTR),))
    assert encode(asked)[2:] == BYTES["go_query"][2:]
    assert encode(asked)[:2] == b"\0\0"
    assert encode(asked) == BYTES["js_query"]
    assert encode(Packet(is_response=False, questions=(Question(CORTEX, PTR),)))[2:] == BYTES["go_cortex_query"][2:]


@pytest.mark.parametrize(("name", "service"), [("go_query", SERVICE), ("rust_query", SERVICE), ("go_cortex_query", CORTEX)])
def test_questions_of_others_are_understood(name: str, service: Name) -> None:
    assert decode(BYTES[name]) == Packet(is_response=False, questions=(Question(service, PTR),))


def test_an_answer_of_gos_is_read_and_written_back_the_same() -> None:
    packet = decode(BYTES["go_answer"])
    assert packet.is_response
    (pointer,) = packet.answers
    assert isinstance(pointer, Pointer)
    location, texts, address = packet.additional
    assert (pointer.name, pointer.ttl) == (SERVICE, 3200)
    host = (pointer.target[0], b"local")
    assert location == Location(pointer.target, 3200, 4001, host)
    assert isinstance(texts, Texts)
    assert [text[:8] for text in texts.strings] == [b"dnsaddr="] * 2
    assert address == HostAddress(host, 120, b"\x7f\0\0\1")
    assert decode(encode(packet)) == packet
    assert len(encode(packet)) <= len(BYTES["go_answer"])  # go does not point into the name of a host


def test_an_announcement_of_gos_has_the_same_records_as_answers() -> None:
    packet = decode(BYTES["go_announcement"])
    assert [type(record) for record in packet.answers] == [Location, Texts, Pointer, Pointer, HostAddress]
    assert {record.replaces for record in packet.answers if isinstance(record, Texts | Location | HostAddress)} == {True}


def test_of_a_probe_of_gos_what_it_claims_is_stepped_over() -> None:
    packet = decode(BYTES["go_probe"])
    assert [question.name[1:] for question in packet.questions] == [SERVICE]
    assert (packet.answers, packet.additional) == ((), ())


@pytest.mark.parametrize("name", ["rust_answer", "js_answer", "go_goodbye", "go_cortex_answer"])
def test_answers_of_others_are_read(name: str) -> None:
    packet = decode(BYTES[name])
    assert any(isinstance(record, Texts) for record in (*packet.answers, *packet.additional))


# --- any packet, any bytes ---


@given(packets)
def test_what_was_written_is_read_back(packet: Packet) -> None:
    assert decode(encode(packet)) == packet


@given(st.binary(max_size=400))
@example(b"")
@example(header(questions=1))
@example(header(questions=1) + b"\xc0")
@example(header(questions=1) + b"\xc0\x0c")
def test_any_bytes_are_a_packet_or_a_violation(data: bytes) -> None:
    try:
        decode(data)
    except ProtocolViolation:
        return


@given(st.sampled_from(sorted(BYTES)), st.data())
def test_a_damaged_packet_is_one_or_a_violation(name: str, data: st.DataObject) -> None:
    damaged = bytearray(BYTES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(damaged))
    except ProtocolViolation:
        return


@pytest.mark.parametrize("name", sorted(BYTES))
def test_a_packet_that_is_cut_short_or_goes_on_is_a_violation(name: str) -> None:
    whole = BYTES[name]
    for size in range(len(whole)):
        with pytest.raises(ProtocolViolation):
            decode(whole[:size])
    with pytest.raises(ProtocolViolation, match="behind the last"):
        decode(whole + b"\0")


# --- what is in use elsewhere ---


def test_names_compare_without_regard_to_case() -> None:
    assert decode(header(flags=0, questions=1) + b"\x04_P2P\x04_uDp\x05LOCAL\0\0\x0c\0\1").questions == (Question(SERVICE, PTR),)


def test_a_question_for_an_answer_by_unicast_is_a_question_and_one_of_another_class_is_none() -> None:
    asked = written(SERVICE) + b"\0\x0c"
    assert decode(header(flags=0, questions=1) + asked + b"\x80\1").questions == (Question(SERVICE, PTR),)
    assert decode(header(flags=0, questions=1) + asked + b"\0\xff").questions == (Question(SERVICE, PTR),)
    assert decode(header(flags=0, questions=1) + asked + b"\0\3").questions == ()


def test_records_of_other_kinds_and_classes_are_stepped_over() -> None:
    option = record(b"\0", 41, b"\0\4\0\2hi", which=1440)
    nsec = record(written(SERVICE), 47, b"\xff\xff\xff")
    chaos = record(written(SERVICE), TXT, b"\xff", which=3)
    known = record(written(SERVICE), TXT, b"\2hi")
    packet = decode(header(answers=2, additional=2) + nsec + known + chaos + option)
    assert packet == Packet(is_response=True, answers=(Texts(SERVICE, 120, (b"hi",)),))


# --- bounds ---


def test_a_packet_may_be_as_large_as_that_and_no_larger() -> None:
    def of(size: int) -> bytes:
        return header(answers=1) + record(b"\0", 99, bytes(size - 23))

    assert len(of(SIZE_LIMIT)) == SIZE_LIMIT
    assert decode(of(SIZE_LIMIT)).answers == ()
    with pytest.raises(ProtocolViolation, match="over the limit of 9000"):
        decode(of(SIZE_LIMIT + 1))


@pytest.mark.parametrize("section", ["questions", "answers", "authorities", "additional"])
def test_a_packet_may_have_so_many_records_and_no_more(section: str) -> None:
    each = b"\0\0\x0c\0\1" if section == "questions" else record(b"\0", 99, b"")
    decode(header(**{section: RECORDS_LIMIT}) + each * RECORDS_LIMIT)
    with pytest.raises(ProtocolViolation, match="over the limit of 100"):
        decode(header(**{section: RECORDS_LIMIT + 1}))  # without reading one of them


@pytest.mark.parametrize("flags", [0x8401, 0x840F, 0x0800, 0x7800])
def test_errors_and_other_operations_are_none_of_our_business(flags: int) -> None:
    with pytest.raises(ProtocolViolation, match="neither a plain query nor its answer"):
        decode(header(flags=flags))


def test_a_name_has_so_many_labels_and_bytes_and_no_more() -> None:
    def asked(name: Name) -> bytes:
        return header(flags=0, questions=1) + written(name) + b"\0\x0c\0\1"

    for good in ((b"a",) * LABELS_LIMIT, (b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 61)):
        assert decode(asked(good)).questions == (Question(good, PTR),)
    for bad in ((b"a",) * (LABELS_LIMIT + 1), (b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 62), (b"a",) * 4000):
        with pytest.raises(ProtocolViolation, match="longer than"):
            decode(asked(bad))


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (b"\xc0\x0c", "not in front"),  # to itself
        (b"\x01a\xc0\x0c", "not in front"),  # to its own beginning
        (b"\xc0\x0e\xc0\x0c", "not in front"),  # ahead
        (b"\xc0\x00", "not in front"),  # into the header
        (b"\x40a", "unknown form"),
        (b"\x80a", "unknown form"),
        (b"\x05ab", "runs over the end"),
        (b"\x01a", "runs over the end"),
    ],
)
def test_names_that_lead_nowhere(name: bytes, match: str) -> None:
    """Loops of pointers hung resolvers of old: CVE-2006-2899, CVE-2000-0333."""
    with pytest.raises(ProtocolViolation, match=match):
        decode(header(flags=0, questions=1) + name)


def test_pointers_that_lead_to_each_other_are_a_violation() -> None:
    """The second name points to the first one's end, which points back behind itself."""
    first = record(b"\x01a\0", 99, b"\xc0\x2a")  # a pointer in a value, at byte 25
    assert len(header()) + len(first) == 27
    second = b"\xc0\x19" + b"\0\x0c\0\1\0\0\0\0\0\0"
    with pytest.raises(ProtocolViolation, match="not in front"):
        decode(header(answers=2) + first + second)


def test_names_may_end_in_the_middle_of_an_earlier_one() -> None:
    asked = header(flags=0, questions=2) + written(SERVICE) + b"\0\x0c\0\1" + b"\1x\xc0\x11" + b"\0\x0c\0\1"
    assert [question.name for question in decode(asked).questions] == [SERVICE, (b"x", b"_udp", b"local")]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (PTR, written(SERVICE) + b"\0"),
        (TXT, b"\x05ab"),
        (TXT, b"\1"),
        (SRV, bytes(6)),
        (SRV, bytes(8)),
        (A, bytes(3)),
        (A, bytes(5)),
        (AAAA, bytes(15)),
        (AAAA, bytes(17)),
        (AAAA, bytes(4)),
    ],
)
def test_a_value_that_is_not_of_its_size_is_a_violation(kind: int, value: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode(header(answers=2) + record(b"\0", kind, value) + record(b"\0", 99, b""))


def test_a_value_does_not_go_on_in_the_record_behind_it() -> None:
    """Read by its kind alone, the first one would end where its size says, or where the next begins."""
    address = record(b"\0", A, bytes(4))
    longer = address[:9] + b"\0\5" + address[11:]
    assert longer[9:11] == b"\0\5"
    with pytest.raises(ProtocolViolation, match="says 5 bytes"):
        decode(header(answers=2) + longer + record(b"\0", 99, b""))


def test_names_too_far_behind_are_written_in_full() -> None:
    """A pointer reaches 16 KiB; a packet of ours never has so much, but who writes one need not know."""
    strings = (bytes(255),) * 70
    packet = Packet(is_response=True, answers=(Texts((b"a",), 1, strings), Pointer((b"b",), 1, (b"c",)), Pointer((b"b",), 1, ())))
    data = encode(packet)
    assert data.count(b"\1b\0") == 2

"""The payload of Noise handshakes: golden bytes, bounds, and what must be tolerated."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import HandshakeFailed
from cortexnet.protobuf import field_bytes, field_varint
from cortexnet.security.noise_messages import MAX_MUXERS, Payload, agreed_muxer

GOLDEN = json.loads((Path(__file__).parents[1] / "vectors" / "noise.json").read_text())["handshakes"]
GOLDEN_PAYLOADS = [bytes.fromhex(golden[f"{side}_payload"]) for golden in GOLDEN for side in ("initiator", "responder")]
YAMUX = b"/yamux/1.0.0"


@pytest.mark.parametrize("data", GOLDEN_PAYLOADS)
def test_golden_payloads_are_read_and_written_alike(data: bytes) -> None:
    payload = Payload.decode(data)
    assert payload.encode() == data
    assert payload.muxers in ([YAMUX], [])
    assert payload.identity_key[0] == 8
    assert len(payload.identity_signature) >= 64


def test_the_field_of_extensions_is_written_even_without_a_muxer() -> None:
    assert Payload(b"k", b"s").encode() == field_bytes(1, b"k") + field_bytes(2, b"s") + b"\x22\x00"


@pytest.mark.parametrize("data", [b"", field_bytes(1, b"k"), field_bytes(4, b""), field_bytes(1, b"") + field_bytes(2, b"")])
def test_every_field_may_be_absent(data: bytes) -> None:
    payload = Payload.decode(data)
    assert (payload.identity_signature, list(payload.muxers)) == (b"", [])


def test_fields_of_others_are_skipped() -> None:
    """Early data of old releases, certificate hashes of WebTransport, experiments above 1024."""
    extensions = field_bytes(1, b"\x12\x20" + bytes(32)) * 3 + field_bytes(2, YAMUX) + field_varint(1025, 1)
    data = field_bytes(3, b"early data") + field_bytes(4, extensions) + field_varint(9, 7)
    assert Payload.decode(data).muxers == [YAMUX]


def test_a_singular_field_that_comes_twice_counts_as_protobuf_has_it() -> None:
    once, again = field_bytes(4, field_bytes(2, b"/a")), field_bytes(4, field_bytes(2, b"/b"))
    payload = Payload.decode(field_bytes(1, b"old") + once + field_bytes(1, b"new") + again)
    assert (payload.identity_key, payload.muxers) == (b"new", [b"/a", b"/b"])


@pytest.mark.parametrize(("count", "fits"), [(MAX_MUXERS - 1, True), (MAX_MUXERS, True), (MAX_MUXERS + 1, False)])
@pytest.mark.parametrize("fields", [1, 2])
def test_the_list_of_muxers_is_bounded(count: int, fits: bool, fields: int) -> None:
    one = field_bytes(2, YAMUX)
    split = count // fields
    data = field_bytes(4, one * split) + (field_bytes(4, one * (count - split)) if fields == 2 else b"")
    if fits:
        assert len(Payload.decode(data).muxers) == count
    else:
        with pytest.raises(HandshakeFailed, match="unreadable handshake payload"):
            Payload.decode(data)


@pytest.mark.parametrize(("number", "limit"), [(1, 2_048), (2, 1_024)])
def test_keys_and_signatures_longer_than_any_real_one_are_refused(number: int, limit: int) -> None:
    Payload.decode(field_bytes(number, bytes(limit)))
    with pytest.raises(HandshakeFailed):
        Payload.decode(field_bytes(number, bytes(limit + 1)))


@pytest.mark.parametrize(
    "data", [b"\x0a", b"\x0a\x05abc", b"\x0b", b"\x22\x02\x12\x05", b'{"identity_key": ""}', field_varint(1, 1), bytes(3)]
)
def test_what_is_no_payload_is_refused(data: bytes) -> None:
    with pytest.raises(HandshakeFailed):
        Payload.decode(data)


@given(st.one_of(st.binary(max_size=200), st.sampled_from(GOLDEN_PAYLOADS[:2]).map(lambda data: data[:-3])))
def test_any_bytes_are_a_payload_or_a_failed_handshake(data: bytes) -> None:
    try:
        payload = Payload.decode(data)
    except HandshakeFailed:
        return
    assert Payload.decode(payload.encode()) == payload


@given(st.binary(max_size=50), st.binary(max_size=50), st.lists(st.binary(max_size=20), max_size=MAX_MUXERS))
def test_what_is_written_is_read_back(key: bytes, signature: bytes, muxers: list[bytes]) -> None:
    payload = Payload(key, signature, muxers)
    assert Payload.decode(payload.encode()) == payload


@pytest.mark.parametrize(
    ("initiators", "responders", "agreed"),
    [
        ([YAMUX], [YAMUX], "/yamux/1.0.0"),
        ([b"/a", b"/b", b"/c"], [b"/c", b"/b"], "/b"),
        ([b"/c", b"/b"], [b"/a", b"/b", b"/c"], "/c"),
        ([b"/a"], [b"/b"], None),
        ([b"\xff", b"/a"], [b"/a"], "/a"),
        ([], [YAMUX], None),
        ([YAMUX], [], None),
        ([], [], None),
    ],
)
def test_the_initiators_order_decides_on_the_muxer(initiators: list[bytes], responders: list[bytes], agreed: str | None) -> None:
    assert agreed_muxer(initiators, responders) == agreed

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats import multibase, multihash
from cortexnet.multiformats.cid import DAG_PB, LIBP2P_KEY, MAX_BYTES, RAW, Cid

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "cid.json").read_text("utf-8"))
HASH = multihash.sha2_256(b"content")


@pytest.mark.parametrize(("text", "version", "codec", "digest"), VECTORS["valid"])
def test_the_vectors_are_read_and_written(text: str, version: int, codec: int, digest: str) -> None:
    cid = Cid.parse(text)
    assert (cid.version, cid.codec, cid.multihash.hex()) == (version, codec, digest)
    assert str(cid) == text
    assert bytes(cid).hex() == ("" if version == 0 else f"01{codec:02x}") + digest
    assert Cid.from_bytes(bytes(cid)) == cid == Cid(version, codec, bytes.fromhex(digest))


@pytest.mark.parametrize(("text", "other"), VECTORS["same"])
def test_every_multibase_means_the_same_cid(text: str, other: str) -> None:
    assert Cid.parse(text) == Cid.parse(other)
    assert hash(Cid.parse(text)) == hash(Cid.parse(other))
    assert str(Cid.parse(other)) == text


@pytest.mark.parametrize("text", VECTORS["refused"])
def test_what_is_no_cid_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        Cid.parse(text)


def test_content_gets_its_cid() -> None:
    assert str(Cid.for_data(b"hello")) == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
    assert Cid.for_data(b"hello", DAG_PB) != Cid.for_data(b"hello", RAW)


def test_version_0_becomes_version_1_with_the_same_content() -> None:
    old = Cid.parse("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")
    assert str(old.to_v1()) == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    assert old.to_v1() != old


def test_version_1_is_written_in_any_base_and_version_0_in_none() -> None:
    for base in multibase.NAMES:
        assert Cid.parse(Cid(1, LIBP2P_KEY, HASH).encode(base)) == Cid(1, LIBP2P_KEY, HASH)
    with pytest.raises(LocalError, match="CIDv0"):
        Cid(0, DAG_PB, HASH).encode("base58btc")


@pytest.mark.parametrize(
    ("version", "codec", "digest", "why"),
    [
        (2, RAW, HASH, "version 2"),
        (0, RAW, HASH, "dag-pb only"),
        (0, DAG_PB, multihash.wrap(multihash.IDENTITY, b"x"), "sha2-256"),
        (1, -1, HASH, "codec"),
        (1, 1 << 63, HASH, "codec"),
        (1, RAW, HASH[:-1], "digest"),
    ],
)
def test_parts_that_make_no_cid_are_refused(version: int, codec: int, digest: bytes, why: str) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        Cid(version, codec, digest)


@pytest.mark.parametrize(
    "text",
    ["", "00", "01", "0155", "0180", "018000" + HASH.hex(), "0070" + HASH.hex(), "1220" + "00" * 31, "0155" + HASH.hex() + "00"],
)
def test_bytes_that_are_no_cid_are_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        Cid.from_bytes(bytes.fromhex(text))


def test_size_is_refused_above_the_cap() -> None:
    largest = Cid(1, RAW, multihash.wrap(multihash.IDENTITY, b"x" * (MAX_BYTES - 5)))
    assert len(bytes(largest)) == MAX_BYTES
    assert Cid.parse(largest.encode("base2")) == Cid.parse(str(largest)) == largest
    with pytest.raises(ProtocolViolation, match="limit"):
        Cid.from_bytes(bytes(largest) + b"x")
    with pytest.raises(ProtocolViolation, match="too long"):
        Cid.parse("0" + "0" * (8 * MAX_BYTES + 1))


@given(st.binary(max_size=60))
def test_any_bytes_are_a_cid_or_refused_with_a_typed_error(data: bytes) -> None:
    try:
        cid = Cid.from_bytes(data)
    except ProtocolViolation:
        return
    assert bytes(cid) == data
    assert Cid.parse(str(cid)) == cid


@given(st.text(max_size=60))
def test_any_text_is_a_cid_or_refused_with_a_typed_error(text: str) -> None:
    with suppress(ProtocolViolation):
        Cid.parse(text)


@given(st.integers(0, 2**63 - 1), st.binary(max_size=60))
def test_text_and_bytes_round_trip(codec: int, content: bytes) -> None:
    cid = Cid(1, codec, multihash.wrap(multihash.IDENTITY, content))
    assert Cid.parse(str(cid)) == Cid.from_bytes(bytes(cid)) == cid

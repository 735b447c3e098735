import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, ProtocolViolation
from cortexnet.multiformats import multibase

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "multibase.json").read_text("utf-8"))
CANONICAL = [
    (name, text, bytes.fromhex(VECTORS[group]["bytes"]))
    for group in ("basic", "leading_zero", "two_leading_zeros")
    for name, text in VECTORS[group]["texts"].items()
]
NUMBERS = ("base10", "base36", "base58btc", "base58flickr")


@pytest.mark.parametrize(("name", "text", "data"), CANONICAL)
def test_the_official_vectors_are_written_and_read(name: str, text: str, data: bytes) -> None:
    assert multibase.encode(name, data) == text
    assert multibase.decode(text) == data


@pytest.mark.parametrize("text", VECTORS["case_insensitivity"]["texts"].values())
def test_bases_of_one_case_are_read_in_any(text: str) -> None:
    assert multibase.decode(text) == b"hello world"


def test_every_base_has_an_official_vector() -> None:
    assert {name for name, _, _ in CANONICAL} == set(multibase.NAMES)


@given(st.sampled_from(multibase.NAMES), st.binary(max_size=80))
def test_what_is_written_is_read_back(name: str, data: bytes) -> None:
    assert multibase.decode(multibase.encode(name, data)) == data


@given(st.sampled_from("079fFbBcCvVtThkKzZmMuU"), st.text(alphabet=st.characters(max_codepoint=0x180), max_size=60))
def test_any_text_is_read_or_refused_with_a_typed_error(prefix: str, text: str) -> None:
    try:
        data = multibase.decode(prefix + text)
    except ProtocolViolation:
        return
    name = next(name for name in multibase.NAMES if multibase.encode(name, b"")[0] == prefix)
    assert multibase.encode(name, data)[1:].lower() == text.lower()


@given(st.text(max_size=20))
def test_any_first_character_is_a_base_or_refused(text: str) -> None:
    with suppress(ProtocolViolation):
        assert isinstance(multibase.decode(text), bytes)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("x00", "'x' is unknown"),
        ("\0abc", "unknown"),
        ("fK0", "does not belong"),
        ("f\N{KELVIN SIGN}0", "u212a"),
        ("f 0", "does not belong"),
        ("0" + "0_1", "does not belong"),
        ("z0", "does not belong"),
        ("k-", "does not belong"),
        ("\N{ROCKET}a", "does not belong"),
        ("f0", "whole bytes"),
        ("0" + "0" * 7, "whole bytes"),
        ("700", "whole bytes"),
        ("bab4wk4zanvqw42jae", "whole bytes"),
        ("mAB", "whole bytes"),
        ("mA", "whole bytes"),
        ("MAA", "padding"),
        ("MAA=", "padding"),
        ("MAA===", "padding"),
        ("cpf", "padding"),
        ("mAA==", "does not belong"),
        ("MA=A", "padding"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        multibase.decode(text)


def test_an_unknown_base_is_the_callers_fault() -> None:
    with pytest.raises(LocalError, match="base59"):
        multibase.encode("base59", b"")


@pytest.mark.parametrize("name", NUMBERS)
def test_big_numbers_are_refused_above_the_cap_before_any_work(name: str) -> None:
    largest = b"\xff" * multibase.MAX_NUMBER_BYTES
    text = multibase.encode(name, largest)
    assert multibase.decode(text) == largest
    with pytest.raises(LocalError, match="1024"):
        multibase.encode(name, largest + b"\xff")
    with pytest.raises(ProtocolViolation, match="limit of 1024"):
        multibase.decode(text + text[-1])
    with pytest.raises(ProtocolViolation, match="too long"):
        multibase.decode(text[0] + "1" * 10_000_000)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", ""),
        ("00", "1"),
        ("0000287fb4cd", "11233QC4"),
        ("48656c6c6f20576f726c6421", "2NEpo7TZRRrLZSi2U"),
        (
            "0024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
            "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
        ),
    ],
)
def test_base58_without_prefix(data: str, text: str) -> None:
    assert multibase.base58_encode(bytes.fromhex(data)) == text
    assert multibase.base58_decode(text) == bytes.fromhex(data)

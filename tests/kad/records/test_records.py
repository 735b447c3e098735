"""Validators: by namespace, refusing by default; and the public keys of peers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import InvalidRecord, LocalError, ProtocolViolation
from cortexnet.identity.keys import PrivateKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.ipns import IpnsValidator
from cortexnet.kad.records.records import PublicKeyValidator, Validators, namespace_of, peer_id_of
from cortexnet.testing.strategies import public_keys

VECTORS = json.loads((Path(__file__).parent.parent.parent / "vectors" / "kad_records.json").read_text())
NOW = 1_800_000_000.0
PEER = PeerId.from_public_key(PrivateKey.generate().public_key)


@final
class Longest:
    """Values of up to 9 bytes, the longest is the best."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        if len(value) > 9:
            raise ValueError("too long")
        if not value:
            raise ProtocolViolation("too short")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        if b"refuse" in values:
            raise ValueError("refused")
        if b"forged" in values:
            raise InvalidRecord("forged")
        return 99 if b"broken" in values else max(range(len(values)), key=lambda index: len(values[index]))


def validators() -> Validators:
    return Validators({"pk": PublicKeyValidator(), "ipns": IpnsValidator(), "long": Longest()})


def padded(vector: dict[str, Any]) -> bytes:
    """The value of a vector; one stands without its 10 KiB of zeros."""
    return bytes.fromhex(vector["value"]) + bytes(10_240 if "10 KiB" in vector["what"] else 0)


@pytest.mark.parametrize("vector", VECTORS["records"], ids=lambda vector: vector["what"])
def test_a_golden_record_is_as_valid_as_for_go(vector: dict[str, Any]) -> None:
    key = bytes.fromhex(vector["key"])
    if vector["valid"]:
        validators().validate(key, padded(vector), NOW)
        return
    with pytest.raises(InvalidRecord):
        validators().validate(key, padded(vector), NOW)


@pytest.mark.parametrize("key", [b"", b"pk/x", b"/", b"/pk", b"//x", b"x"])
def test_a_key_without_a_namespace_is_refused(key: bytes) -> None:
    with pytest.raises(InvalidRecord, match="namespace"):
        namespace_of(key)


def test_the_rest_of_a_key_is_of_any_kind() -> None:
    assert namespace_of(b"/pk/\0/\xff/") == "pk"
    assert namespace_of(b"/p\xff/") == r"p\xff"


def test_a_namespace_without_a_validator_is_refused_by_name() -> None:
    with pytest.raises(InvalidRecord, match="'other'"):
        validators().validate(b"/other/x", b"", NOW)
    with pytest.raises(InvalidRecord, match="'other'"):
        validators().select(b"/other/x", [b""])
    with pytest.raises(LocalError, match="'other'; values are taken in pk, ipns, long"):
        validators().require(b"/other/x")
    with pytest.raises(LocalError, match="no namespace"):
        Validators({}).require(b"/pk/x")
    validators().require(b"/pk/x")
    assert validators().namespaces == ("pk", "ipns", "long")


@pytest.mark.parametrize("name", ["", "a/b", "ü", "a\n"])
def test_a_name_that_is_none_is_an_error_of_the_caller(name: str) -> None:
    with pytest.raises(LocalError, match="namespace"):
        Validators({name: Longest()})


@pytest.mark.parametrize("value", [b"", b"0123456789"])
def test_what_a_validator_raises_is_an_invalid_record(value: bytes) -> None:
    with pytest.raises(InvalidRecord, match="long: too"):
        validators().validate(b"/long/x", value, NOW)


def test_the_best_of_some_values_is_selected() -> None:
    chosen = validators()
    assert chosen.select(b"/long/x", [b"a", b"abc", b"ab"]) == 1
    assert chosen.is_better(b"/long/x", b"ab", than=b"a")
    assert not chosen.is_better(b"/long/x", b"b", than=b"a")


def test_a_selection_that_is_none_is_no_index() -> None:
    with pytest.raises(LocalError, match="no values"):
        validators().select(b"/long/x", [])
    with pytest.raises(LocalError, match="selected 99 of 2"):
        validators().select(b"/long/x", [b"broken", b"a"])
    with pytest.raises(InvalidRecord, match="long: refused"):
        validators().select(b"/long/x", [b"refuse"])
    with pytest.raises(InvalidRecord, match=r"^forged"):
        validators().select(b"/long/x", [b"forged"])


@given(public_keys())
def test_the_key_of_a_peer_is_valid_under_its_id_alone(key: Any) -> None:
    owner = PeerId.from_public_key(key)
    validators().validate(b"/pk/" + bytes(owner), key.marshal(), NOW)
    with pytest.raises(InvalidRecord, match="another peer"):
        validators().validate(b"/pk/" + bytes(PEER), key.marshal(), NOW)
    assert validators().select(b"/pk/" + bytes(owner), [key.marshal()] * 2) == 0


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_whatever_comes_is_valid_or_a_typed_error(key: bytes, value: bytes) -> None:
    for prefix in (b"", b"/pk/", b"/ipns/", b"/ipns/" + bytes(PEER)):
        with pytest.raises(InvalidRecord):
            validators().validate(prefix + key, value, NOW)


def test_a_peer_id_stands_behind_its_prefix() -> None:
    assert peer_id_of(b"/a/" + bytes(PEER), b"/a/") == PEER
    with pytest.raises(InvalidRecord, match="begins with /b/"):
        peer_id_of(b"/a/" + bytes(PEER), b"/b/")
    with pytest.raises(InvalidRecord, match="no peer id"):
        peer_id_of(b"/a/12D3Koo", b"/a/")

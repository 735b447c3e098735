"""Peer ids: golden vectors, every text form, what is refused, and what hashing and comparing promise."""

import copy
import json
import os
import pickle
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError, ProtocolViolation, RemoteError
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import INLINE_LIMIT, PeerId, peer_of, peers_of
from cortexnet.multiformats import multibase, multihash
from cortexnet.protobuf import field_bytes, field_varint

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "keys.json").read_text())
KEYS = VECTORS["keys"]
SHORT_KEYS = [vector for vector in KEYS if vector["id"].startswith("00")]
LONG_KEYS = [vector for vector in KEYS if vector["id"].startswith("12")]
SPEC_TEXT = "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
SPEC_ID = bytes.fromhex("12209dff3b17d74cf4d38a50d8b6383e92d181a10395a5e73a726dcccbd21bf6f0b9")


def public_key(vector: dict[str, str]) -> PublicKey:
    return PublicKey.unmarshal(bytes.fromhex(vector["public"]))


@pytest.mark.parametrize("vector", KEYS, ids=lambda vector: vector["type"])
def test_the_id_of_a_golden_key_is_the_golden_id_in_every_form(vector: dict[str, str]) -> None:
    peer_id = PeerId.from_public_key(public_key(vector))
    assert bytes(peer_id).hex() == vector["id"]
    assert str(peer_id) == vector["text"]
    assert repr(peer_id) == f"PeerId({vector['text']})"
    assert str(peer_id.to_cid()) == vector["cid"]
    assert peer_id.to_cid().encode("base36") == vector["cid36"]
    for form in ("text", "cid", "cid36"):
        assert PeerId.parse(vector[form]) == peer_id
    assert PeerId.from_bytes(bytes.fromhex(vector["id"])) == peer_id


@pytest.mark.parametrize("vector", VECTORS["spec"], ids=lambda vector: vector["type"])
def test_the_id_of_a_spec_key_is_as_computed(vector: dict[str, str]) -> None:
    assert str(PeerId.from_public_key(public_key(vector))) == vector["text"]


def test_the_id_of_the_spec_reads_in_both_forms() -> None:
    assert bytes(PeerId.parse(SPEC_TEXT)) == SPEC_ID
    cid = "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
    assert PeerId.parse(cid) == PeerId.parse(SPEC_TEXT)
    assert str(PeerId.parse(SPEC_TEXT).to_cid()) == cid


@pytest.mark.parametrize("base", ["base2", "base16", "base32upper", "base58btc", "base64url"])
def test_any_multibase_of_the_cid_is_read(base: str) -> None:
    peer_id = PeerId.parse(KEYS[1]["text"])
    assert PeerId.parse(peer_id.to_cid().encode(base)) == peer_id


@pytest.mark.parametrize("vector", SHORT_KEYS, ids=lambda vector: vector["type"])
def test_a_short_keys_id_holds_the_key(vector: dict[str, str]) -> None:
    peer_id = PeerId.parse(vector["text"])
    assert peer_id.public_key() == public_key(vector)
    assert peer_id.public_key() is peer_id.public_key()
    key = public_key(vector)
    assert PeerId.from_public_key(key).public_key() is key


@pytest.mark.parametrize("vector", LONG_KEYS, ids=lambda vector: vector["type"])
def test_a_long_keys_id_does_not_hold_the_key(vector: dict[str, str]) -> None:
    assert PeerId.parse(vector["text"]).public_key() is None
    assert PeerId.from_public_key(public_key(vector)).public_key() is None


def test_ids_compare_and_hash_by_their_bytes() -> None:
    first, second = PeerId.parse(SPEC_TEXT), PeerId.from_bytes(SPEC_ID)
    assert first == second
    assert first is not second
    assert {first: 1}[second] == 1
    assert first != PeerId.parse(KEYS[1]["text"])
    assert first != SPEC_ID
    assert first != SPEC_TEXT


def inlined(content: bytes) -> bytes:
    return multihash.wrap(multihash.IDENTITY, content)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\x00\x05abc",
        b"\x00\x01abc",
        b"\x12\x1f" + bytes(31),
        b"\x12\x20" + bytes(31),
        b"\x12\x20" + bytes(33),
        b"\x92\x00\x20" + bytes(32),
        b"\x80\x00\x00",
        b"\x13\x20" + bytes(32),
        b"\x16\x20" + bytes(32),
        inlined(bytes(INLINE_LIMIT + 1)),
        inlined(bytes(300)),
    ],
    ids=lambda data: data[:4].hex() or "empty",
)
def test_what_is_no_peer_id_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        PeerId.from_bytes(data)


def test_an_inlined_key_of_42_bytes_is_the_longest() -> None:
    assert len(bytes(PeerId.from_bytes(inlined(bytes(INLINE_LIMIT))))) == INLINE_LIMIT + 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "Qm",
        "12D3KooW",
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx50",  # 0 is no digit of base 58
        SPEC_TEXT + "1",
        SPEC_TEXT + " ",
        "1" * 600,
        "1" * 100,
        "bafybeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe",  # dag-pb
        "!nonsense",
        "ä",
    ],
)
def test_a_text_that_is_no_peer_id_is_refused(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        PeerId.parse(text)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        field_bytes(2, bytes(32)) + field_varint(1, 1),
        field_varint(1, 1) + field_bytes(2, bytes(32)) + field_varint(3, 1),
        field_varint(1, 1) + field_bytes(2, bytes(31)),
    ],
    ids=["empty", "garbage", "fields in another order", "an unknown field", "a short key"],
)
def test_an_id_that_holds_no_canonical_key_has_none(content: bytes) -> None:
    """Else one key would have many ids, all of which it could sign for."""
    peer_id = PeerId.from_bytes(inlined(content))
    with pytest.raises(ProtocolViolation):
        peer_id.public_key()


@given(st.binary(max_size=60) | st.builds(inlined, st.binary(max_size=50)))
def test_garbage_is_an_id_or_a_remote_error(data: bytes) -> None:
    try:
        peer_id = PeerId.from_bytes(data)
    except RemoteError:
        return
    assert bytes(peer_id) == data


@given(st.text(max_size=80) | st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", min_size=1, max_size=60))
def test_any_text_is_an_id_or_a_remote_error(text: str) -> None:
    for start in ("", "1", "Qm", "z", "b", "k"):
        try:
            peer_id = PeerId.parse(start + text)
        except RemoteError:
            continue
        assert PeerId.parse(str(peer_id)) == peer_id


@given(st.binary(max_size=INLINE_LIMIT).map(inlined) | st.binary().map(multihash.sha2_256))
def test_every_id_survives_text_and_cid(data: bytes) -> None:
    peer_id = PeerId.from_bytes(data)
    assert PeerId.parse(str(peer_id)) == peer_id
    assert PeerId.parse(str(peer_id.to_cid())) == peer_id
    assert str(peer_id) == multibase.base58_encode(data)


def test_the_position_in_the_dht_is_the_hash_of_the_bytes() -> None:
    expected = "dfd53212a4bd2beda3ea8e82d08285370c70a70cfe9c588e28754b23c8033121"
    assert sha256(bytes(PeerId.parse(KEYS[1]["text"]))).hexdigest() == expected


def test_an_id_that_has_read_its_key_can_be_copied() -> None:
    peer_id = PeerId.from_public_key(public_key(SHORT_KEYS[0]))
    assert peer_id.public_key() is not None
    assert copy.deepcopy(peer_id) == pickle.loads(pickle.dumps(peer_id)) == peer_id


@pytest.mark.parametrize("seed", ["1", "2"])
def test_an_id_pickled_in_one_process_is_found_in_the_tables_of_another(seed: str) -> None:
    code = (
        "import pickle, sys\n"
        "from cortexnet.identity.peer_id import PeerId\n"
        "sent = pickle.loads(sys.stdin.buffer.read())\n"
        "assert sent in {PeerId.from_bytes(bytes(sent)): 1}\n"
    )
    sent = pickle.dumps(PeerId.from_bytes(SPEC_ID))
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], input=sent, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_peer_is_named_by_its_id_or_the_text_of_it() -> None:
    for text in ("", "nonsense", SPEC_TEXT[:-1], "/ip4/192.0.2.7/tcp/1", "1" * 1_000):
        with pytest.raises(LocalError, match=r"no peer id: `node\.dial` it|no whole peer id, such as 12D3KooW… or Qm…") as caught:
            peer_of(text)
        assert not isinstance(caught.value, RemoteError), "no peer has sent it"
    wrong: list[Any] = [None, 5, [SPEC_TEXT]]
    for each in wrong:
        with pytest.raises(LocalError, match=f"not by a {type(each).__name__}"):
            peer_of(each)
    assert peers_of([SPEC_TEXT, peer_of(SPEC_TEXT)]) == [PeerId.parse(SPEC_TEXT)] * 2
    for one in (SPEC_TEXT, PeerId.parse(SPEC_TEXT)):
        with pytest.raises(LocalError, match=rf"a list of peers is wanted, be it of one: \['{SPEC_TEXT}'\]"):
            peers_of(one)  # type: ignore[arg-type]


def test_a_text_is_parsed_and_not_taken_for_the_bytes() -> None:
    with pytest.raises(LocalError, match=r"PeerId\.parse makes one of a text"):
        PeerId(SPEC_TEXT)  # type: ignore[arg-type]

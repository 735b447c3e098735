"""What callers may name content, values, peers and places by."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import CortexError, LocalError
from cortexnet.identity.peer_id import PeerId, peer_of
from cortexnet.kad.service.arguments import check_multihash, content_key, place_of, record_key, value_of
from cortexnet.multiformats import multihash
from cortexnet.multiformats.cid import DAG_PB, RAW, Cid

PEER = PeerId.parse("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")
DIGEST = multihash.sha2_256(b"hello")


def test_every_form_of_a_cid_is_the_same_content() -> None:
    forms = [Cid(0, DAG_PB, DIGEST), Cid(1, RAW, DIGEST), str(Cid(0, DAG_PB, DIGEST)), str(Cid(1, DAG_PB, DIGEST))]
    assert {content_key(form) for form in forms} == {DIGEST}


def test_a_multihash_that_no_peer_takes_is_refused_here() -> None:
    assert len(content_key(Cid(1, RAW, bytes([0, 78]) + bytes(78)))) == 80
    with pytest.raises(LocalError, match="81 bytes"):
        content_key(Cid(1, RAW, bytes([0, 79]) + bytes(79)))


def test_a_peer_is_named_by_its_id_or_the_text_of_it() -> None:
    assert peer_of(PEER) == peer_of(str(PEER)) == PEER
    with pytest.raises(LocalError):
        peer_of("nobody")
    with pytest.raises(LocalError, match=r"is an address, and no peer id: `node.dial` it first"):
        peer_of(f"/ip4/192.0.2.7/tcp/4001/p2p/{PEER}")


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("/news/today", b"/news/today"),
        ("/news/heute früh", "/news/heute früh".encode()),
        (f"/pk/{PEER}", b"/pk/" + bytes(PEER)),
        (f"/ipns/{PEER}", b"/ipns/" + bytes(PEER)),
        (b"/ipns/" + bytes(PEER), b"/ipns/" + bytes(PEER)),
        ("/cx/8/music/song/1", b"/cx/8/music/song/1"),
    ],
)
def test_a_key_of_a_value_is_text_or_bytes(key: str | bytes, data: bytes) -> None:
    assert record_key(key) == data
    assert place_of(key) == data


@pytest.mark.parametrize("key", ["", "/", "news/x", "/news", "/news/", "//x", b"x", b"/a", "/a/" + 1024 * "x", "/a/\ud800"])
def test_what_has_no_namespace_and_name_is_no_key(key: str | bytes) -> None:
    with pytest.raises(LocalError):
        record_key(key)


def test_a_place_is_anything_that_lies_somewhere() -> None:
    assert place_of(PEER) == place_of(str(PEER)) == bytes(PEER)
    cid = Cid(1, RAW, DIGEST)
    assert place_of(cid) == place_of(str(cid)) == DIGEST
    assert place_of(b"\x00") == b"\x00"
    assert place_of(bytearray(b"\x00")) == b"\x00"
    with pytest.raises(LocalError):
        place_of("nothing")


@given(st.text(max_size=80))
def test_any_text_names_something_or_is_refused_in_words(text: str) -> None:
    for convert in (content_key, peer_of, record_key, place_of):
        with suppress(CortexError):
            convert(text)


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (peer_of, "12D3KooW", "'12D3KooW' is no whole peer id, such as 12D3KooW… or Qm…: "),
        (record_key, "/ipns/12D3KooW", "'12D3KooW' is no whole peer id, such as 12D3KooW… or Qm…: "),
        (content_key, "bafy", "'bafy' is no whole CID, such as bafy… or Qm…: "),
        (place_of, "bafy", "'bafy' is no whole CID, such as bafy… or Qm…: "),
    ],
)
def test_what_is_cut_short_is_said_to_be_so(parse: Callable[[str], object], text: str, said: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse(text)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("wrong", [None, 5, 10**15, ["/news/x"], {"x": 1}])
def test_what_names_nothing_is_refused_with_what_is_taken(wrong: Any) -> None:
    kind = type(wrong).__name__
    with pytest.raises(LocalError, match=f"named by its Cid or the text of it, not by a {kind}"):
        content_key(wrong)
    with pytest.raises(LocalError, match=f"a key is text or bytes, such as /namespace/name, not a {kind}"):
        record_key(wrong)
    with pytest.raises(LocalError, match=f"a PeerId, a Cid, or the key of a value, not a {kind}"):
        place_of(wrong)


def test_bytes_are_no_name_of_content() -> None:
    wrong: Any = DIGEST
    with pytest.raises(LocalError, match=r"not by a bytes: `Cid\.for_data` names a block of data"):
        content_key(wrong)


def test_a_value_is_bytes_of_any_kind_and_nobody_changes_it_later() -> None:
    data = bytearray(b"sunny")
    value = value_of(data)
    data[:] = b"rainy"
    assert (value, type(value), value_of(memoryview(b"x")), value_of(b"")) == (b"sunny", bytes, b"x", b"")


@pytest.mark.parametrize(
    ("wrong", "said"), [("sunny", "not str: encode the text"), (None, "not NoneType"), (5, "not int"), ([1], "not list")]
)
def test_what_is_no_bytes_is_no_value_and_no_multihash(wrong: Any, said: str) -> None:
    with pytest.raises(LocalError, match=f"a value is bytes, {said}"):
        value_of(wrong)
    with pytest.raises(LocalError, match=f"a multihash is bytes, {said}"):
        check_multihash(wrong)

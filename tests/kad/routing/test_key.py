"""Positions, distances and regions: golden values of go, and what has to hold for any of them."""

import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LocalError
from cortexnet.kad.routing.key import BITS, REFRESH_BITS, Prefix, common_prefix_length, position, refresh_key
from cortexnet.multiformats.cid import Cid

VECTORS = json.loads((Path(__file__).parent.parent.parent / "vectors" / "kad.json").read_text())
KEYS = [bytes.fromhex(key["id"]) for key in VECTORS["keys"]]

positions = st.integers(0, (1 << BITS) - 1)


@st.composite
def prefixes(draw: st.DrawFn, max_length: int = BITS) -> Prefix:
    return Prefix.of(draw(positions), draw(st.integers(0, max_length)))


def test_peers_lie_where_go_says_they_do() -> None:
    for key in VECTORS["keys"]:
        assert position(bytes.fromhex(key["id"])) == int(key["kad_id"], 16)


@pytest.mark.parametrize("case", VECTORS["distances"])
def test_distances_and_their_order_are_those_of_go(case: dict[str, object]) -> None:
    target = position(bytes.fromhex(str(case["key"])))
    distances = [target ^ position(key) for key in KEYS]
    assert target == int(str(case["kad_id"]), 16)
    assert [f"{distance:064x}" for distance in distances] == case["xor_with_keys"]
    assert sorted(range(len(KEYS)), key=distances.__getitem__) == case["closest_first"]


@pytest.mark.parametrize("case", VECTORS["provider_keys"])
def test_content_lies_where_its_multihash_does_whatever_the_form_of_its_cid(case: dict[str, str]) -> None:
    cid = Cid.parse(case["cid"])
    assert cid.multihash.hex() == case["provider_key"]
    assert position(cid.multihash) == int(case["kad_id"], 16)


def test_what_go_asks_for_to_refresh_shares_with_it_as_many_bits_as_it_says() -> None:
    own, table = position(KEYS[0]), VECTORS["routing_table"]
    for length, key in table["first_peer_per_cpl"].items():
        assert common_prefix_length(own, position(bytes.fromhex(key))) == int(length)
    assert common_prefix_length(own, position(bytes.fromhex(table["refresh_id_cpl_15"]))) == 15


@given(positions, positions)
def test_the_common_prefix_is_what_both_begin_with(a: int, b: int) -> None:
    length = common_prefix_length(a, b)
    assert f"{a:0256b}"[:length] == f"{b:0256b}"[:length]
    assert length == BITS or f"{a:0256b}"[length] != f"{b:0256b}"[length]


def test_equal_positions_have_all_bits_in_common() -> None:
    assert common_prefix_length(7, 7) == BITS


# --- regions


@given(positions, st.integers(0, BITS))
def test_a_position_lies_in_every_region_made_of_it(where: int, length: int) -> None:
    prefix = Prefix.of(where, length)
    assert prefix.contains(where)
    assert prefix.first <= where <= prefix.last
    assert prefix.last - prefix.first == (1 << BITS - length) - 1


@given(prefixes(), positions)
def test_a_region_has_the_positions_from_its_first_to_its_last(prefix: Prefix, where: int) -> None:
    assert prefix.contains(where) == (prefix.first <= where <= prefix.last)


@given(prefixes(BITS - 1))
def test_the_halves_of_a_region_are_its_children(prefix: Prefix) -> None:
    lower, upper = prefix.children()
    assert (lower.first, lower.last + 1, upper.last) == (prefix.first, upper.first, prefix.last)
    assert lower.parent() == upper.parent() == prefix
    assert lower.sibling() == upper
    assert upper.sibling() == lower


@given(prefixes(), prefixes())
def test_a_region_covers_those_whose_positions_it_has(a: Prefix, b: Prefix) -> None:
    assert a.covers(a)
    assert a.covers(b) == (a.first <= b.first and b.last <= a.last)
    assert Prefix(0, 0).covers(a)


def test_a_region_is_printed_in_binary() -> None:
    assert str(Prefix(0, 0)) == "*"
    assert str(Prefix(5, 3)) == "00011"


@pytest.mark.parametrize(("length", "bits"), [(-1, 0), (257, 0), (3, 8), (3, -1), (0, 1)])
def test_what_is_no_prefix_is_refused(length: int, bits: int) -> None:
    with pytest.raises(LocalError, match="can't be"):
        Prefix(length, bits)


@pytest.mark.parametrize("length", [-1, 257])
def test_no_region_is_that_large_or_small(length: int) -> None:
    with pytest.raises(LocalError):
        Prefix.of(0, length)


def test_the_whole_keyspace_is_half_of_nothing_and_a_position_has_no_halves() -> None:
    with pytest.raises(LocalError):
        Prefix(0, 0).parent()
    with pytest.raises(LocalError):
        Prefix(0, 0).sibling()
    with pytest.raises(LocalError):
        Prefix(BITS, 0).children()


# --- keys to refresh with


@given(prefixes(8), st.integers())
def test_a_key_to_refresh_with_lies_in_its_region_and_looks_like_a_peer(prefix: Prefix, seed: int) -> None:
    key = refresh_key(prefix, Random(seed))
    assert prefix.contains(position(key))
    assert key[:2] == b"\x12\x20"
    assert key[6:] == bytes(28)
    assert len(key) == 34
    assert refresh_key(prefix, Random(seed)) == key


def test_a_region_is_refreshed_with_different_keys() -> None:
    chance = Random(1)
    assert 8 < len({refresh_key(Prefix(3, 5), chance) for _ in range(200)}) <= 16


def test_the_longest_prefix_is_searched_and_longer_ones_are_refused() -> None:
    prefix = Prefix.of(position(KEYS[0]), REFRESH_BITS)
    assert prefix.contains(position(refresh_key(prefix, Random(0))))
    with pytest.raises(LocalError, match="too long to search"):
        refresh_key(prefix.children()[0], Random(0))

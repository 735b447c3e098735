from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import LimitExceeded, LocalError, ProtocolViolation
from cortexnet.kad.records import namespaces
from cortexnet.kad.records.namespaces import Listing, Name, Page, check_quota, page
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import Prefix
from cortexnet.kad.routing.key import position as hashed
from tests.kad.lookup_network import contact

NEWS = Name(4, b"news")
A, B, C = [contact(Random(seed)) for seed in range(3)]


def key(number: int) -> bytes:
    return Name(4, b"news", b"%06d" % number).key


def store_of(keys: Sequence[bytes]) -> ValueStore:
    store = ValueStore()
    for each in keys:
        store.put(each, b"value", 0.0)
    return store


def test_the_position_of_a_key_begins_as_its_namespace_and_goes_on_as_its_hash() -> None:
    name = Name(12, b"news", b"a/b")
    assert name.key == b"/cx/12/news/a/b"
    assert name.whole.key == b"/cx/12/news/"
    assert name.region == Prefix.of(hashed(b"cx-ns:news"), 12)
    assert name.region.contains(name.position)
    rest = (1 << 244) - 1
    assert name.position & rest == hashed(name.key) & rest
    assert namespaces.position(name.key) == name.position
    assert Name(0, b"news", b"x").position == hashed(b"/cx/0/news/x")


def test_other_keys_lie_where_they_always_do() -> None:
    assert namespaces.position(b"/pk/abc") == hashed(b"/pk/abc")
    assert namespaces.position(b"/cx/nonsense") == hashed(b"/cx/nonsense")


@given(
    st.integers(0, 16),
    st.binary(min_size=1, max_size=128).filter(lambda text: b"/" not in text),
    st.binary(max_size=40),
)
def test_a_key_gives_back_its_parts(bits: int, namespace: bytes, name: bytes) -> None:
    assert Name.parse(Name(bits, namespace, name).key) == Name(bits, namespace, name)


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda rest: b"/cx/" + rest))
def test_any_bytes_are_a_key_or_a_violation(data: bytes) -> None:
    namespaces.position(data)
    try:
        name = Name.parse(data)
    except ProtocolViolation:
        return
    assert name.key == data


@pytest.mark.parametrize(
    "text",
    ["", "/cx", "/cx/4/news", "/cy/4/news/a", "/cx//news/a", "/cx/04/news/a", "/cx/17/news/a", "/cx/-1/news/a", "/cx/4//a"],
)
def test_what_is_no_key_is_a_violation(text: str) -> None:
    with pytest.raises(ProtocolViolation):
        Name.parse(text.encode())


@pytest.mark.parametrize(("bits", "namespace"), [(-1, b"news"), (17, b"news"), (4, b""), (4, b"n" * 129), (4, b"a/b")])
def test_a_namespace_that_makes_no_key_is_the_callers_fault(bits: int, namespace: bytes) -> None:
    with pytest.raises(LocalError):
        Name(bits, namespace)


def test_a_page_has_the_names_in_order_and_says_where_to_go_on() -> None:
    store = store_of([*[key(number) for number in range(2_500)], Name(4, b"newspaper", b"x").key, Name(5, b"news", b"y").key])
    found, cursor, pages = [], b"", 0
    while pages == 0 or cursor:
        answer = page(store, NEWS.key, cursor, 0.0)
        found += answer.names
        cursor, pages = answer.cursor, pages + 1
    assert found == [key(number) for number in range(2_500)]
    assert pages == 3


def test_a_page_that_ends_with_the_last_name_has_no_cursor() -> None:
    assert page(store_of([]), NEWS.key, b"", 0.0) == Page((), b"")
    store = store_of([key(number) for number in range(1_000)])
    assert page(store, NEWS.key, b"", 0.0).cursor == b""


def test_a_page_of_long_names_has_fewer_of_them() -> None:
    store = store_of([NEWS.key + b"%04d" % number + bytes(900) for number in range(300)])
    answer = page(store, NEWS.key, b"", 0.0)
    assert 100 < len(answer.names) < 145
    assert answer.cursor == answer.names[-1]


@pytest.mark.parametrize(("asked", "cursor"), [(key(1), b""), (b"/pk/x", b""), (NEWS.key, b"/cx/4/other/x")])
def test_a_listing_of_anything_but_a_namespace_is_refused(asked: bytes, cursor: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        page(store_of([]), asked, cursor, 0.0)


def test_a_namespace_holds_so_many_names_at_one_node_and_no_more() -> None:
    store = store_of([key(number) for number in range(3)])
    check_quota(store, key(9), limit=4)
    check_quota(store, b"/pk/x", limit=0)
    with pytest.raises(LimitExceeded, match="names of one namespace"):
        check_quota(store, key(9), limit=3)
    with pytest.raises(ProtocolViolation):
        check_quota(store, b"/cx/x", limit=3)


def answered(listing: Listing, held: dict[Contact, ValueStore]) -> None:
    while not listing.is_done:
        for each, cursor in listing.next():
            answer = page(held[each], listing.key, cursor, 0.0)
            listing.on_page(each.peer_id, answer.names, answer.cursor)


def test_a_listing_is_the_union_of_what_the_peers_hold() -> None:
    listing = Listing(NEWS, [A, B, C], at_once=2)
    held = {A: store_of([key(number) for number in range(1_500)]), B: store_of([key(2_000)]), C: store_of([])}
    answered(listing, held)
    assert listing.names == [*[key(number) for number in range(1_500)], key(2_000)]
    assert listing.requests == 4
    assert listing.is_complete


def test_first_pages_of_all_come_before_second_ones_of_any() -> None:
    listing = Listing(NEWS, [A, B], at_once=1)
    assert listing.next() == [(A, b"")]
    assert listing.next() == []
    assert listing.on_page(A.peer_id, [key(1)], key(1)) == [key(1)]
    assert listing.next() == [(B, b"")]
    assert listing.on_page(B.peer_id, [key(1), key(2)], b"") == [key(2)]
    assert listing.next() == [(A, key(1))]
    listing.on_failure(A.peer_id)
    assert listing.is_done
    assert not listing.is_complete


@pytest.mark.parametrize(
    ("names", "cursor"),
    [
        ([b"/cx/4/other/x"], b""),
        ([NEWS.key], b""),
        ([key(1), key(1)], b""),
        ([key(2), key(1)], b""),
        ([key(1)], key(2)),
        ([], key(2)),
    ],
)
def test_a_page_that_is_none_ends_its_peers_part(names: list[bytes], cursor: bytes) -> None:
    listing = Listing(NEWS, [A])
    listing.next()
    assert listing.on_page(A.peer_id, names, cursor) == []
    assert listing.is_done
    assert not listing.is_complete


def test_a_peer_that_goes_on_for_ever_ends_with_the_limit() -> None:
    listing = Listing(NEWS, [A, B], limit=7)
    number = 0
    listing.next()
    listing.on_page(B.peer_id, [key(900)], b"")
    while not listing.is_done:
        listing.on_page(A.peer_id, [key(number), key(number + 1)], key(number + 1))
        number += 2
        listing.next()
    assert len(listing.names) == 7
    assert not listing.is_complete


def test_what_was_not_asked_changes_nothing() -> None:
    listing = Listing(NEWS, [A])
    assert listing.on_page(A.peer_id, [key(1)], b"") == []
    listing.on_failure(A.peer_id)
    assert not listing.is_done
    assert listing.is_complete

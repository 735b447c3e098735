from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.kad.routing.cache import Hint, RoutingCache
from cortexnet.kad.routing.key import Prefix, position
from tests.kad.lookup_network import contact

A, B, C, D = [contact(Random(seed)) for seed in range(4)]


def test_what_was_found_is_known_for_ten_minutes() -> None:
    cache = RoutingCache()
    cache.put(b"key", [A, B], 5.0)
    assert cache.get(b"key", 604.9) == (A, B)
    assert cache.get(b"key", 605.0) is None
    assert len(cache) == 0
    assert (cache.hits, cache.misses) == (1, 1)


def test_that_nobody_was_found_is_known_for_half_a_minute() -> None:
    cache = RoutingCache()
    cache.put(b"key", [], 0.0)
    assert cache.get(b"key", 29.9) == ()
    assert cache.get(b"key", 30.0) is None
    assert cache.get(b"other", 0.0) is None


def test_a_region_serves_the_keys_in_it_and_the_smallest_one_first() -> None:
    cache = RoutingCache()
    where = position(b"key")
    cache.put(Prefix.of(where, 2), [A], 0.0)
    cache.put(Prefix.of(where, 5), [B], 1.0)
    cache.put(Prefix.of(where, 5).sibling(), [C], 1.0)
    assert cache.get(b"key", 1.0, position=where) == (B,)
    cache.put(b"key", [D], 1.0)
    assert cache.get(b"key", 1.0, position=where) == (D,)
    assert cache.get(b"key", 600.5, position=where) == (D,)
    assert cache.get(b"another", 600.5, position=where) == (B,)
    assert cache.get(b"another", 601.5, position=where) is None
    assert cache.get(b"another", 1.0, position=where ^ 1 << 255) is None


def test_the_least_recently_used_goes_first() -> None:
    cache = RoutingCache(limit=2)
    cache.put(b"one", [A], 0.0)
    cache.put(b"two", [B], 0.0)
    cache.get(b"one", 0.0)
    cache.put(b"three", [C], 0.0)
    assert cache.get(b"two", 0.0) is None
    assert cache.get(b"one", 0.0) == (A,)
    cache.put(b"one", [D], 0.0)
    assert (cache.get(b"one", 0.0), cache.get(b"three", 0.0)) == ((D,), (C,))


def test_with_a_limit_of_none_nothing_is_kept() -> None:
    cache = RoutingCache(limit=0)
    cache.put(b"one", [A], 0.0)
    assert cache.get(b"one", 0.0) is None


def test_a_peer_that_is_gone_leaves_every_entry_and_nothing_is_left_of_it() -> None:
    cache = RoutingCache()
    cache.put(b"one", [A, B], 0.0)
    cache.put(Prefix(1, 1), [A], 0.0)
    cache.drop(A.peer_id)
    cache.drop(A.peer_id)
    assert cache.get(b"one", 0.0) == (B,)
    assert cache.get(Prefix(1, 1), 0.0) is None
    assert len(cache) == 1


def test_the_keys_used_last_outlive_the_node() -> None:
    cache = RoutingCache()
    for key, found in ((b"one", [A]), (b"two", [B]), (b"three", [])):
        cache.put(key, found, 0.0)
    cache.put(Prefix(1, 1), [A], 0.0)
    cache.get(b"one", 0.0)
    hints = cache.hints()
    assert hints == [Hint(b"one", (A,)), Hint(b"two", (B,))]
    assert cache.hints(1) == hints[:1]
    later = RoutingCache(limit=3)
    later.put(b"two", [C], 1000.0)
    later.restore(hints, 1000.0)
    assert later.get(b"two", 1000.0) == (C,), "what was found now is better"
    assert later.get(b"one", 1599.0) == (A,)
    assert later.hints() == [Hint(b"one", (A,)), Hint(b"two", (C,))]


def test_what_is_too_old_to_be_used_leaves_and_the_last_hundred_keys_are_still_hints() -> None:
    cache = RoutingCache()
    keys = [bytes([number]) for number in range(150)]
    for number, key in enumerate(keys):
        cache.put(key, [A, B], float(number))
    assert cache.get(keys[0], 599.0) == (A, B), "it is the last of all to leave now"
    for number in range(100):
        cache.put(Prefix(8, number), [A] if number % 2 else [], 1_000.0 + number)  # neither of which makes a hint
    assert len(cache) == 99, "three may leave when one comes; of the regions one without anybody was in front"
    assert [hint.key for hint in cache.hints()] == [keys[0], *reversed(keys[51:])]
    assert cache.get(keys[149], 1_100.0) is None
    cache.put(keys[149], [C], 1_100.0)
    cache.drop(B.peer_id)
    assert cache.hints(3) == [Hint(keys[149], (C,)), Hint(keys[0], (A,)), Hint(keys[148], (A,))]
    cache.drop(A.peer_id)
    assert cache.hints() == [Hint(keys[149], (C,))]


def test_who_leaves_for_others_is_still_a_hint() -> None:
    cache = RoutingCache(limit=2)
    for number in range(5):
        cache.put(bytes([number]), [A], float(number))
    assert [hint.key for hint in cache.hints()] == [b"\x04", b"\x03", b"\x02", b"\x01", b"\x00"]


def test_hops_saved_are_counted_against_what_lookups_take_without_the_cache() -> None:
    cache = RoutingCache()
    cache.ended(is_warm=True, hops=1)
    assert cache.hops_saved == 0, "nothing to compare with"
    cache.ended(is_warm=False, hops=4)
    cache.ended(is_warm=True, hops=1)
    assert cache.hops_saved == 3
    cache.ended(is_warm=False, hops=14)
    cache.ended(is_warm=True, hops=9)
    assert cache.hops_saved == 3, "a warm lookup that took more has saved nothing"
    cache.ended(is_warm=True, hops=1)
    assert cache.hops_saved == 7


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "drop", "get"]), st.integers(0, 6), st.lists(st.sampled_from([A, B, C, D]), max_size=4)
        ),
        max_size=40,
    )
)
def test_whatever_happens_no_list_of_it_grows_beyond_its_entries(steps: list[tuple[str, int, list[object]]]) -> None:
    cache = RoutingCache(limit=4)
    for number, (step, which, found) in enumerate(steps):
        key = Prefix(which, 0) if which % 2 else bytes([which])
        if step == "put":
            cache.put(key, found, float(number))  # type: ignore[arg-type]
        elif step == "drop":
            cache.drop([A, B, C, D][which % 4].peer_id)
        else:
            cache.get(key, number * 20.0, position=0)
        assert len(cache) <= 4
        assert not set(cache._left) & set(cache._entries)
        assert len(cache.hints()) <= 7
        held = {peer_id for entry in cache._entries.values() for peer_id in entry.contacts}
        assert held == set(cache._entries_of)
        assert sum(cache._lengths.values()) == sum(isinstance(key, Prefix) for key in cache._entries)

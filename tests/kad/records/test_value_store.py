"""Values: how long they live, in whose share they count, and that spam pushes out spam."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cortexnet.errors import LimitExceeded
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.value_store import StoredValue, ValueStore
from cortexnet.kad.store_config import HOUR, StoreConfig

UNIX = 1_800_000_000.0
NETWORK = "203.0.0.0/16"
PEERS = [PeerId(b"\x12\x20" + number.to_bytes(32, "big")) for number in range(200)]
A, B, C, *OTHERS = PEERS


def key(number: int) -> bytes:
    return b"/x/%04d" % number


def small(**changes: Any) -> ValueStore:
    return ValueStore(StoreConfig(**changes))


def kept(store: ValueStore, unix_now: float = UNIX) -> list[int]:
    return [number for number in range(1_000) if store.get(key(number), unix_now) is not None]


def test_a_value_lives_for_48_hours_after_it_was_stored_last() -> None:
    store = ValueStore()
    store.put(key(1), b"one", UNIX, sender=A)
    store.put(key(1), b"two", UNIX + 40 * HOUR, sender=A)
    assert store.get(key(1), UNIX + 88 * HOUR - 1) == StoredValue(key(1), b"two", UNIX + 40 * HOUR, A, None)
    assert store.get(key(1), UNIX + 88 * HOUR) is None
    assert store.get(key(2), UNIX) is None
    assert (len(store), store.size) == (1, 10)


def test_what_is_over_is_dropped_some_at_once() -> None:
    store = ValueStore()
    for number in range(5):
        store.put(key(number), b"", UNIX + number, sender=None if number else A)
    assert [store.expire(UNIX + 48 * HOUR + 3, limit=3) for _ in range(3)] == [3, 1, 0]
    assert kept(store) == [4]
    assert store.expire(UNIX + 99 * HOUR) == 1
    assert (len(store), store.size) == (0, 0)


def test_whoever_sends_most_loses_its_oldest() -> None:
    store = small(values=4)
    store.put(key(1), b"", UNIX, sender=A)
    store.put(key(2), b"", UNIX, sender=B)
    for number in range(10, 20):
        store.put(key(number), b"", UNIX, sender=C)
    assert kept(store) == [1, 2, 18, 19]


def test_many_peers_of_one_network_push_out_each_other() -> None:
    store = small(values=20)
    store.put(key(1), b"", UNIX, sender=A, group="198.0.0.0/16")
    for number in range(10, 190):
        store.put(key(number), b"", UNIX, sender=PEERS[number], group=NETWORK)
    assert kept(store)[0] == 1
    assert len(store) == 20


def test_large_values_count_for_more_than_small_ones() -> None:
    store = small(values_size=100_000)
    for number in range(10):
        store.put(key(number), b"small", UNIX, sender=A)
    for number in range(10, 14):
        store.put(key(number), bytes(40_000), UNIX, sender=B)
    assert kept(store) == [*range(10), 12, 13]
    assert store.size == sum(stored.size for stored in store) <= 100_000


def test_what_this_node_stores_itself_is_never_pushed_out() -> None:
    store = small(values=2, values_size=1_000)
    for number in range(9):
        store.put(key(number), bytes(500), UNIX)
    for number in range(100, 120):
        store.put(key(number), bytes(100), UNIX, sender=A)
    assert kept(store) == [*range(9), 118, 119]
    store.put(key(0), b"better", UNIX, sender=A)
    stored = store.get(key(0), UNIX)
    assert stored is not None
    assert (stored.value, stored.sender) == (b"better", None), "a better one of somebody else is kept as our own"


def test_a_value_that_is_sent_again_by_spam_does_not_count_as_spam() -> None:
    store = small(values=4)
    store.put(key(1), b"", UNIX, sender=A)
    for number in range(10, 13):
        store.put(key(number), b"", UNIX, sender=B, group=NETWORK)
    store.put(key(1), b"", UNIX, sender=C, group=NETWORK)  # one more of the same network, and new
    for number in range(20, 30):
        store.put(key(number), b"", UNIX, sender=C, group=NETWORK)
    assert kept(store)[0] == 1
    store.put(key(29), b"", UNIX, sender=A)
    assert store.get(key(29), UNIX) == StoredValue(key(29), b"", UNIX, A, None), "it counts with whoever holds less"


def test_a_value_above_the_limit_is_refused() -> None:
    store = ValueStore()
    store.put(key(1), bytes(65_536), UNIX)
    with pytest.raises(LimitExceeded, match=r"kad\.store\.value_size"):
        store.put(key(1), bytes(65_537), UNIX)
    assert store.size == 0, "our own does not count"


def test_names_come_in_order_and_in_pages() -> None:
    store = ValueStore()
    for name in (b"/b/2", b"/a/1", b"/b/1", b"/b/3", b"/c/1", b"/b"):
        store.put(name, b"", UNIX)
    store.put(b"/b/2", b"", UNIX - 48 * HOUR)
    assert store.names(b"/b/", UNIX) == [b"/b/1", b"/b/3"]
    assert store.names(b"/b/", UNIX, limit=1) == [b"/b/1"]
    assert store.names(b"/b/", UNIX, after=b"/b/1") == [b"/b/3"]
    assert store.names(b"/b/", UNIX, after=b"/b/3") == []
    assert store.names(b"/d", UNIX) == []
    assert (store.count(b"/b/"), store.count(b""), store.count(b"/b"), store.count(b"\xff")) == (3, 6, 4, 0)


def test_every_change_is_told() -> None:
    told: list[bytes] = []
    store = small(values=1)
    store.on_change = told.append
    store.put(key(1), b"", UNIX, sender=A)
    store.put(key(1), b"new", UNIX, sender=A)
    store.put(key(2), b"", UNIX, sender=A)
    assert store.remove(key(2))
    assert not store.remove(key(2))
    assert told == [key(1), key(1), key(2), key(1), key(2)]
    assert store.stored(key(2)) is None


def test_values_come_back_as_they_were_but_not_in_place_of_newer_ones() -> None:
    before, store = ValueStore(), small(values=3)
    before.put(key(1), b"1", UNIX, sender=A, group=NETWORK)
    before.put(key(2), b"2", UNIX + HOUR)
    before.put(key(3), b"3", UNIX + HOUR, sender=B)
    before.put(key(4), b"4", UNIX + HOUR, sender=B)
    store.put(key(3), b"newer", UNIX + 2 * HOUR, sender=C)
    values = list(before)
    assert [store.restore(value, UNIX + 3 * HOUR) for value in values] == [True, True, False, True]
    assert kept(store, UNIX + 3 * HOUR) == [1, 2, 3, 4]
    assert store.stored(key(2)) == values[1]
    assert not store.restore(values[0], UNIX + 48 * HOUR)
    assert store.restore(StoredValue(key(5), b"", UNIX + HOUR, B, None), UNIX + 3 * HOUR)
    assert kept(store, UNIX + 3 * HOUR) == [1, 2, 3, 5], "one too many of the same peer"


def test_a_value_of_the_future_lives_no_longer_than_a_new_one() -> None:
    store = ValueStore()
    assert store.restore(StoredValue(key(1), b"", UNIX + 99 * HOUR, A, None), UNIX)
    assert store.get(key(1), UNIX + 48 * HOUR) is None


class AnyStore(RuleBasedStateMachine):
    """A store of few places, against what is true of any."""

    def __init__(self) -> None:
        super().__init__()
        self.store = small(values=5, values_size=8_000)
        self.now = UNIX
        self.put_last: dict[bytes, tuple[bytes, float]] = {}

    @rule(
        number=st.integers(0, 9),
        size=st.sampled_from([0, 10, 3_000]),
        sender=st.sampled_from([None, A, B, C]),
        group=st.sampled_from([None, NETWORK]),
    )
    def put(self, number: int, size: int, sender: PeerId | None, group: str | None) -> None:
        self.store.put(key(number), bytes(size), self.now, sender=sender, group=group)
        self.put_last[key(number)] = bytes(size), self.now

    @rule(hours=st.sampled_from([0.1, 30.0]))
    def wait(self, hours: float) -> None:
        self.now += hours * HOUR

    @rule()
    def expire(self) -> None:
        self.store.expire(self.now)
        assert kept(self.store, self.now) == [int(stored.key[3:]) for stored in sorted(self.store, key=lambda one: one.key)]

    @invariant()
    def what_is_kept_was_put_and_all_adds_up(self) -> None:
        for number in kept(self.store, self.now):
            stored = self.store.get(key(number), self.now)
            assert stored is not None
            assert (stored.value, stored.received) == self.put_last[stored.key]
        others = [stored for stored in self.store if stored.sender is not None]
        assert len(others) == self.store._count <= 5
        assert sum(stored.size for stored in others) == self.store.size <= 8_000
        assert self.store.names(b"", UNIX - 99 * HOUR) == sorted(stored.key for stored in self.store)


TestAnyStore = AnyStore.TestCase
TestAnyStore.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)

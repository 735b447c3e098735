"""Provider records: how long they live, and that spam pushes out spam."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.provider_store import ProviderRecord, ProviderStore
from cortexnet.kad.routing.contact import ADDRESS_COUNT_LIMIT, ENCODED_SIZE_LIMIT, Contact
from cortexnet.kad.store_config import HOUR, MIB, StoreConfig
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.protobuf import field_bytes

UNIX = 1_800_000_000.0
NETWORK = "203.0.0.0/16"


def peer(number: int) -> PeerId:
    return PeerId(b"\x12\x20" + number.to_bytes(32, "big"))


def key(number: int) -> bytes:
    return b"\x12\x20" + number.to_bytes(32, "little")


def contact(number: int, *ports: int) -> Contact:
    return Contact(peer(number), [Multiaddr.parse(f"/ip4/203.0.113.7/tcp/{port}") for port in ports or (4001,)])


NAMES = [f"/dns4/{'x' * 60}.{'y' * 60}.{number}.example/tcp/443" for number in range(ADDRESS_COUNT_LIMIT)]
ADDRESSES = b"".join([field_bytes(2, bytes(Multiaddr.parse(name))) for name in NAMES])


def wordy(number: int) -> Contact:
    """As it comes, with more bytes of addresses than are ever sent."""
    received = Contact.decode(field_bytes(1, bytes(peer(number))) + ADDRESSES)
    assert received is not None
    return received


def small(**changes: Any) -> ProviderStore:
    return ProviderStore(StoreConfig(**changes))


def test_a_provider_is_found_for_48_hours_and_its_addresses_for_24() -> None:
    store = ProviderStore()
    store.add(key(1), contact(1), UNIX)
    assert store.get(key(1), UNIX + 24 * HOUR - 1) == [contact(1)]
    assert store.get(key(1), UNIX + 24 * HOUR) == [Contact(peer(1))]
    assert store.get(key(1), UNIX + 48 * HOUR - 1) == [Contact(peer(1))]
    assert store.get(key(1), UNIX + 48 * HOUR) == []
    assert store.get(key(2), UNIX) == []


def test_a_new_announcement_of_any_key_brings_new_addresses() -> None:
    store = ProviderStore()
    store.add(key(1), contact(1, 1), UNIX)
    store.add(key(2), contact(1, 2), UNIX + 30 * HOUR)
    assert store.get(key(1), UNIX + 40 * HOUR) == [contact(1, 2)]
    assert store.get(key(1), UNIX + 50 * HOUR) == []
    assert len(store) == 2
    store.add(key(1), contact(1, 2), UNIX + 50 * HOUR)
    assert store.get(key(1), UNIX + 50 * HOUR) == [contact(1, 2)]
    assert len(store) == 2


def test_what_is_over_is_dropped_some_at_once() -> None:
    store = ProviderStore()
    for number in range(5):
        store.add(key(number), contact(number % 2), UNIX + number)
    assert store.expire(UNIX + 48 * HOUR + 2, limit=2) == 2
    assert store.expire(UNIX + 48 * HOUR + 2, limit=2) == 1
    assert store.expire(UNIX + 48 * HOUR + 2, limit=2) == 0
    assert len(store) == 2
    assert store.expire(UNIX + 99 * HOUR) == 2
    assert (len(store), store.memory) == (0, 0)


def test_what_this_node_provides_stays_until_it_is_withdrawn() -> None:
    store = small(providers=1)
    for number in range(9):
        store.provide(key(number))
    for number in range(100):
        store.add(key(number), contact(number), UNIX)
    assert store.expire(UNIX + 99 * HOUR) == 1
    assert [number for number in range(10) if store.is_own(key(number))] == list(range(9))
    store.withdraw(key(3))
    store.withdraw(key(3))
    assert (store.is_own(key(2)), store.is_own(key(3))) == (True, False)


def test_whoever_sends_most_loses_its_oldest() -> None:
    store = small(providers=4)
    store.add(key(1), contact(1), UNIX)
    store.add(key(2), contact(2), UNIX)
    for number in range(10, 20):
        store.add(key(number), contact(3), UNIX)
    assert store.get(key(1), UNIX) == [contact(1)]
    assert store.get(key(2), UNIX) == [contact(2)]
    assert [number for number in range(10, 20) if store.get(key(number), UNIX)] == [18, 19]
    assert len(store) == 4


def test_many_peers_of_one_network_push_out_each_other() -> None:
    store = small(providers=20)
    for number in range(3):
        store.add(key(number), contact(number), UNIX, group=f"198.{number}.0.0/16")
    for number in range(1_000):
        store.add(key(number), contact(100 + number), UNIX + 1, group=NETWORK)
    assert all(contact(number) in store.get(key(number), UNIX) for number in range(3))
    assert len(store) == 20


def test_a_key_with_too_many_providers_loses_one_of_the_largest_crowd() -> None:
    store = small(providers_per_key=3)
    store.add(key(1), contact(1), UNIX)
    for number in range(2, 20):
        store.add(key(1), contact(number), UNIX + number, group=NETWORK)
    assert store.get(key(1), UNIX + 20) == [contact(1), contact(2), contact(19)]
    for number in range(20, 25):
        store.add(key(1), contact(number), UNIX + number)
    assert store.get(key(1), UNIX + 30) == [contact(number) for number in (1, 23, 24)], "all from elsewhere"
    assert len(store) == 3


def test_half_of_the_places_of_a_key_stay_with_who_came_first_however_many_follow_and_the_rest_with_the_newest() -> None:
    """Else 64 identities that cost nothing were enough to make a store name nobody else, wherever networks tell nothing."""
    store = small(providers_per_key=8)
    for number in range(1_000):
        store.add(key(1), contact(number), UNIX + number)
    assert store.get(key(1), UNIX + 1_000) == [contact(number) for number in (0, 1, 2, 3, 996, 997, 998, 999)]
    store.add(key(1), contact(2), UNIX + 1_000)
    for number in range(1_001, 1_100):
        store.add(key(1), contact(number), UNIX + number)
    assert store.record(key(1), peer(2)) is not None, "to announce again costs no place"


def test_who_came_first_keeps_no_place_beyond_its_time() -> None:
    store = small(providers_per_key=4)
    for number in range(4):
        store.add(key(1), contact(number), UNIX)
    store.add(key(1), contact(1), UNIX + 40 * HOUR)
    store.expire(UNIX + 50 * HOUR)
    for number in range(4, 100):
        store.add(key(1), contact(number), UNIX + 50 * HOUR)
    assert store.get(key(1), UNIX + 50 * HOUR) == [contact(number) for number in (1, 4, 98, 99)]


def test_addresses_that_are_never_sent_are_not_kept() -> None:
    store = ProviderStore()
    store.add(key(1), wordy(1), UNIX)
    (kept,) = store.get(key(1), UNIX)
    assert kept.addresses == wordy(1).addresses[:4]
    assert sum(len(bytes(address)) for address in kept.addresses) <= ENCODED_SIZE_LIMIT
    before = store.memory
    store.add(key(1), contact(1), UNIX)
    assert store.memory < before, "the addresses have changed"


def test_every_change_is_told() -> None:
    told: list[tuple[bytes, PeerId]] = []
    store = small(providers=1)
    store.on_change = lambda key, peer_id: told.append((key, peer_id))
    store.add(key(1), contact(1), UNIX)
    store.add(key(1), contact(1), UNIX + 1)
    store.add(key(2), contact(2), UNIX + 1)
    store.expire(UNIX + 99 * HOUR)
    assert told == [(key(1), peer(1)), (key(1), peer(1)), (key(2), peer(2)), (key(1), peer(1)), (key(2), peer(2))]
    assert store.record(key(1), peer(1)) is None


def test_records_come_back_as_they_were_but_not_in_place_of_newer_ones() -> None:
    before, store = ProviderStore(), ProviderStore()
    before.add(key(1), contact(1, 1), UNIX, group=NETWORK)
    before.add(key(2), contact(1, 2), UNIX + HOUR)
    before.add(key(1), contact(2), UNIX + HOUR)
    store.add(key(1), contact(2, 9), UNIX + 2 * HOUR)
    records = list(before.records())
    assert records[0] == ProviderRecord(key(1), contact(1, 2), NETWORK, UNIX, UNIX + HOUR)
    assert [store.restore(record, UNIX + 3 * HOUR) for record in records] == [True, True, False]
    assert store.get(key(1), UNIX + 3 * HOUR) == [contact(2, 9), contact(1, 2)]
    assert store.record(key(1), peer(1)) == records[0]
    assert store.record(key(9), peer(1)) is None
    assert store.record(key(1), peer(9)) is None
    assert not store.restore(records[0], UNIX + 48 * HOUR)


def test_older_addresses_do_not_come_back_over_newer_ones() -> None:
    store = ProviderStore()
    store.add(key(2), contact(1, 2), UNIX + HOUR)
    assert store.restore(ProviderRecord(key(1), contact(1, 1), None, UNIX, UNIX), UNIX + HOUR)
    assert store.get(key(1), UNIX + HOUR) == [contact(1, 2)]


def test_a_record_of_the_future_lives_no_longer_than_a_new_one() -> None:
    store = ProviderStore()
    assert store.restore(ProviderRecord(key(1), contact(1), None, UNIX + 99 * HOUR, UNIX + 99 * HOUR), UNIX)
    assert store.get(key(1), UNIX + 24 * HOUR) == [Contact(peer(1))]
    assert store.get(key(1), UNIX + 48 * HOUR) == []


def test_a_record_that_is_one_too_many_does_not_come_back() -> None:
    store = small(providers=2)
    for number in (1, 2):
        store.add(key(number), contact(1), UNIX)
    assert not store.restore(ProviderRecord(key(3), contact(1), None, UNIX, UNIX), UNIX) or len(store) == 2
    assert len(store) == 2


SENDER = contact(999)


def one_sender(store: ProviderStore, number: int) -> None:
    store.add(key(number), SENDER, UNIX + number / 1000)


def many_senders_of_one_network(store: ProviderStore, number: int) -> None:
    store.add(key(number), contact(1_000 + number), UNIX + number / 1000, group=NETWORK)


def senders_from_everywhere_with_long_addresses(store: ProviderStore, number: int) -> None:
    store.add(key(number), wordy(1_000 + number), UNIX + number / 1000, group=f"network {number % 50}")


def the_same_key_from_one_network(store: ProviderStore, number: int) -> None:
    store.add(key(0), contact(1_000 + number), UNIX + number / 1000, group=NETWORK)


FLOODS = [one_sender, many_senders_of_one_network, senders_from_everywhere_with_long_addresses, the_same_key_from_one_network]


def flooded(flood: Callable[[ProviderStore, int], None], count: int, config: StoreConfig) -> ProviderStore:
    """A store of 20 honest providers, after so many announcements; all that must hold does."""
    store = ProviderStore(config)
    for number in range(20):
        store.add(key(number), contact(number), UNIX, group=f"198.{number}.0.0/16")
    for number in range(count):
        flood(store, number)
    for number in range(20):
        assert contact(number) in store.get(key(number), UNIX + 1), "an honest provider is found"
    assert len(store) <= config.providers
    assert store.memory <= config.providers_memory
    return store


def memory_of(flood: Callable[[ProviderStore, int], None], count: int, config: StoreConfig) -> tuple[int, int]:
    """The bytes that such a store takes, and its own estimate."""
    gc.collect()
    tracemalloc.start()
    try:
        store = flooded(flood, count, config)
        gc.collect()
        return tracemalloc.get_traced_memory()[0], store.memory
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_announcements_takes_no_more_than_its_share(flood: Callable[[ProviderStore, int], None]) -> None:
    config = StoreConfig(providers=700, providers_memory=MIB // 2)
    memory, _ = memory_of(flood, 2_500, config)
    assert memory <= config.providers_memory * 32 / 24


@pytest.mark.slow
@pytest.mark.parametrize(("flood", "count"), list(zip(FLOODS, (60_000, 25_000, 12_000, 20_000), strict=True)))
def test_a_full_store_takes_no_more_than_32_mib(flood: Callable[[ProviderStore, int], None], count: int) -> None:
    memory, estimate = memory_of(flood, count, StoreConfig())
    assert memory <= 32 * MIB
    assert memory <= estimate * 32 / 24 + MIB


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS[:2])
def test_a_flood_of_announcements_pushes_out_no_honest_provider(flood: Callable[[ProviderStore, int], None]) -> None:
    """A store is full long before; a million of them are simulated (`python -m simulation kad spam`)."""
    flooded(flood, 100_000, StoreConfig())


class AnyStore(RuleBasedStateMachine):
    """A store of few places, against what is true of any."""

    def __init__(self) -> None:
        super().__init__()
        self.store = small(providers=6, providers_per_key=3, providers_memory=16_000)
        self.now = UNIX
        self.announced: dict[tuple[bytes, PeerId], float] = {}

    @rule(number=st.integers(0, 4), sender=st.integers(0, 5), group=st.sampled_from([None, NETWORK, "198.0.0.0/16"]))
    def announce(self, number: int, sender: int, group: str | None) -> None:
        self.store.add(key(number), contact(sender), self.now, group=group)
        self.announced[key(number), peer(sender)] = self.now
        assert self.store.record(key(number), peer(sender)) is not None or len(self.store) > 0

    @rule(hours=st.sampled_from([0.1, 10.0, 30.0]))
    def wait(self, hours: float) -> None:
        self.now += hours * HOUR

    @rule()
    def expire(self) -> None:
        self.store.expire(self.now)
        assert all(record.announced > self.now - 48 * HOUR for record in self.store.records())

    @invariant()
    def what_is_found_was_announced_and_all_adds_up(self) -> None:
        found = 0
        for number in range(5):
            for one in self.store.get(key(number), self.now):
                assert self.announced[key(number), one.peer_id] > self.now - 48 * HOUR
                found += 1
            assert len(self.store._by_key.get(key(number), ())) <= 3
        records = list(self.store.records())
        assert found <= len(records) == len(self.store) <= 6
        assert len({record.key for record in records}) == len(self.store._by_key)
        assert self.store.memory <= 16_000


TestAnyStore = AnyStore.TestCase
TestAnyStore.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)

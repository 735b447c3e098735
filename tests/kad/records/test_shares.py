"""Who holds most of a shared store, whatever came and went before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ConfigInvalid
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.shares import Heaviest, Shares
from cortexnet.kad.store_config import StoreConfig

PEERS = [PeerId(bytes([0x12, 32]) + bytes([number]) * 32) for number in range(6)]
A, B, C, D, *_ = PEERS


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 5)), max_size=400))
def test_the_heaviest_key_is_the_one_with_the_highest_load(changes: list[tuple[int, int]]) -> None:
    heaviest: Heaviest[int] = Heaviest()
    loads: dict[int, int] = {}
    for key, by in changes:
        heaviest.change(key, by)
        loads[key] = max(0, loads.get(key, 0) + by)
        assert heaviest.load(key) == loads[key]
        assert (key in heaviest) == (loads[key] > 0)
        held = [load for load in loads.values() if load]
        assert len(heaviest) == len(held)
        if held:
            assert loads[heaviest.top()] == max(held)


def test_what_is_outdated_is_not_kept_for_ever() -> None:
    heaviest: Heaviest[int] = Heaviest()
    for number in range(100_000):
        heaviest.change(number % 3, 1 if number % 2 else -1)
        heaviest.change(7, 1)
    assert len(heaviest._heap) < 200


def test_of_equal_ones_the_one_that_came_to_it_early_comes_first() -> None:
    heaviest: Heaviest[str] = Heaviest()
    for key in ("a", "b", "c"):
        heaviest.change(key, 1)
    assert heaviest.top() == "a"
    heaviest.change("a", -1)
    assert heaviest.top() == "b"


def test_a_network_of_many_peers_counts_as_one() -> None:
    shares = Shares()
    for peer in (A, B, C):
        shares.add(peer, "192.0.0.0/16", 2)
    shares.add(D, None, 5)
    assert shares.heaviest() == A
    shares.add(C, "another network, too late", 1)
    assert shares.heaviest() == C
    assert shares.load(C, "another network") == shares.load(A, None) == 7
    assert shares.group_of(C) == "192.0.0.0/16"
    shares.remove(C, 3)
    assert shares.heaviest() == D
    shares.add(D, "a network, too late", 1)
    assert (shares.load(D, "a network"), shares.group_of(D)) == (6, D), "it counts where it was met"
    shares.remove(D, 6)
    assert (shares.load(D, None), shares.load(D, "a network")) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from(PEERS), st.sampled_from([None, "x", "y"]), st.integers(1, 5)), max_size=60))
def test_whoever_holds_most_is_found_whatever_came_and_went(steps: list[tuple[PeerId, str | None, int]]) -> None:
    shares = Shares()
    held: dict[PeerId, int] = {}
    places: dict[PeerId, str | PeerId] = {}
    for number, (peer, group, weight) in enumerate(steps):
        if number % 3 == 2 and peer in held:
            shares.remove(peer, held.pop(peer))
            del places[peer]
        else:
            shares.add(peer, group, weight)
            held[peer] = held.get(peer, 0) + weight
            places.setdefault(peer, peer if group is None else group)
        totals: dict[str | PeerId, int] = {}
        for holder, load in held.items():
            totals[places[holder]] = totals.get(places[holder], 0) + load
        if held:
            found = shares.heaviest()
            assert totals[places[found]] == max(totals.values())
            assert held[found] == max(held[holder] for holder in held if places[holder] == places[found])


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), True, "1"])
def test_a_limit_of_the_stores_is_above_0(value: object) -> None:
    with pytest.raises(ConfigInvalid, match=r"kad\.store\.values: must be above 0"):
        StoreConfig(values=value)  # type: ignore[arg-type]

"""Which faults a round has."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from soak.plan import Fault, Kind, Timing, elders, round_of_faults, rounds_in

NODES = st.integers(3, 60)


@given(NODES, st.integers())
def test_there_is_one_fault_each_interval_and_all_are_over_when_the_calm_begins(nodes: int, seed: int) -> None:
    faults = round_of_faults(Random(seed), nodes, Timing())
    assert [fault.begin for fault in faults] == [5.0 * number for number in range(18)]
    assert all(fault.begin < fault.end <= 90.0 for fault in faults)
    assert all(0 <= node < nodes for fault in faults for node in fault.nodes)


@given(NODES, st.integers())
def test_a_node_has_one_fault_at_a_time_beside_partitions(nodes: int, seed: int) -> None:
    until = dict.fromkeys(range(nodes), 0.0)
    for fault in round_of_faults(Random(seed), nodes, Timing()):
        if fault.kind is not Kind.PARTITION:
            assert all(until[node] <= fault.begin for node in fault.nodes)
            until |= dict.fromkeys(fault.nodes, fault.end)


@given(NODES, st.integers())
def test_the_oldest_are_never_killed_and_a_partition_leaves_both_parts_people(nodes: int, seed: int) -> None:
    for fault in round_of_faults(Random(seed), nodes, Timing()):
        if fault.kind is Kind.KILL:
            assert min(fault.nodes) >= elders(nodes)
        elif fault.kind is Kind.PARTITION:
            assert nodes // 3 <= len(fault.nodes) <= nodes - nodes // 2


def test_each_round_of_thirty_nodes_has_every_kind() -> None:
    stalls = {Kind.STOP, Kind.BLOCK}
    for seed in range(50):
        kinds = {fault.kind for fault in round_of_faults(Random(seed), 30, Timing())}
        assert kinds | stalls == set(Kind)
        assert kinds & stalls


def test_where_all_are_busy_the_network_is_parted() -> None:
    timing = Timing(faults=90, interval=0.5)
    kinds = [fault.kind for fault in round_of_faults(Random(1), 3, timing)]
    assert kinds.count(Kind.PARTITION) > len(kinds) / 2


def test_the_same_seed_makes_the_same_plan() -> None:
    assert round_of_faults(Random(5), 30, Timing()) == round_of_faults(Random(5), 30, Timing())
    assert round_of_faults(Random(5), 30, Timing()) != round_of_faults(Random(6), 30, Timing())


def test_a_fault_says_what_it_is() -> None:
    assert str(Fault(Kind.CLOCK, 5.0, 15.0, (3, 4), -7200)) == "clock by -2.0 h of 3, 4 for 10.0 s"
    assert str(Fault(Kind.KILL, 5.0, 15.5, (3,))) == "kill of 3 for 10.5 s"


def test_ten_minutes_have_three_rounds_and_eight_hours_many() -> None:
    assert rounds_in(10, Timing()) == 3
    assert 170 <= rounds_in(480, Timing()) <= 192
    assert rounds_in(0.1, Timing()) == 1

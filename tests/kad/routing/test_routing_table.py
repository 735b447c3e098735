"""The routing table: what go's takes and gives, and what holds for any of them."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.diversity import Diversity
from cortexnet.kad.routing.key import BITS, common_prefix_length, position
from cortexnet.kad.routing.routing_table import SILENCE, SLOWEST, RoutingTable
from cortexnet.multiformats.multiaddr import Multiaddr

VECTORS = json.loads((Path(__file__).parent.parent.parent / "vectors" / "kad.json").read_text())
GO = VECTORS["routing_table"]
OWN = position(bytes.fromhex(VECTORS["keys"][0]["id"]))
HELLO = int(VECTORS["distances"][0]["kad_id"], 16)
ADDRESS = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")

positions = st.integers(0, (1 << BITS) - 1)


def peer(number: int) -> Contact:
    return Contact(PeerId(b"\x12\x20" + number.to_bytes(4, "big") + bytes(28)))


PEERS = [peer(number) for number in range(600)]
NEARBY = sorted(PEERS, key=lambda contact: contact.position ^ OWN)


def length(contact: Contact) -> int:
    return common_prefix_length(OWN, contact.position)


def at(prefix_length: int) -> list[Contact]:
    return [contact for contact in PEERS if length(contact) == prefix_length]


def filled(count: int = len(PEERS), bucket_size: int = 20) -> RoutingTable:
    table = RoutingTable(OWN, bucket_size=bucket_size)
    for contact in PEERS[:count]:
        table.add(contact, 0.0)
    return table


def numbers(contacts: list[Contact]) -> list[int]:
    return [PEERS.index(contact) for contact in contacts]


# --- as go's


def test_it_takes_whom_go_takes_and_gives_whom_go_gives() -> None:
    table = RoutingTable(OWN, bucket_size=GO["bucket_size"])
    for case in GO["adds"]:
        contact = peer(case["i"])
        assert length(contact) == case["cpl"]
        assert table.wants(contact) == case["added"]
        assert table.add(contact, 0.0) == case["added"]
    assert len(table) == GO["after"]["size"]
    assert table.counts() == GO["after"]["peers_per_cpl"]
    assert [table.count_at(index) for index in range(9)] == [*GO["after"]["peers_per_cpl"], 0]
    assert numbers(table.nearest(HELLO, 10)) == GO["after"]["nearest_10_to_hello"]


def test_an_emptied_bucket_leaves_what_it_leaves_in_go() -> None:
    table = filled(48, GO["bucket_size"])
    for contact in at(1):
        table.remove(contact.peer_id)
    assert len(table) == GO["after_removing_cpl_1"]["size"]
    assert table.counts() == GO["after_removing_cpl_1"]["peers_per_cpl"]
    assert numbers(table.nearest(HELLO, 10)) == GO["after_removing_cpl_1"]["nearest_10_to_hello"]


# --- what is in it


def test_an_empty_table_has_nobody() -> None:
    table = RoutingTable(OWN)
    assert len(table) == 0
    assert table.counts() == []
    assert table.count_at(0) == table.count_at(255) == 0
    assert list(table) == table.nearest(OWN) == []
    assert table.get(PEERS[0].peer_id) is None
    assert PEERS[0].peer_id not in table


def test_what_is_known_of_a_peer_is_kept_with_it() -> None:
    table = RoutingTable(OWN)
    assert table.add(PEERS[0], 5.0, replaceable=True, groups=("a",))
    entry = table.get(PEERS[0].peer_id)
    assert entry is not None
    assert (entry.contact, entry.last_success) == (PEERS[0], 5.0)
    assert (entry.is_replaceable, entry.groups) == (True, ("a",))
    assert PEERS[0].peer_id in table
    assert list(table) == [PEERS[0]]


@given(positions, st.integers(0, 40), st.integers(0, 600), st.sampled_from([1, 4, 20]))
def test_the_nearest_are_those_that_a_look_at_all_of_them_finds(target: int, count: int, size: int, bucket_size: int) -> None:
    table = filled(size, bucket_size)
    assert table.nearest(target, count) == sorted(table, key=lambda contact: contact.position ^ target)[:count]


@given(st.sampled_from(NEARBY[:40]), st.integers(0, BITS - 1))
def test_the_nearest_are_found_near_ourselves_too(contact: Contact, bit: int) -> None:
    table = filled()
    for target in (contact.position, OWN, OWN ^ 1 << bit):
        assert table.nearest(target) == sorted(table, key=lambda other: other.position ^ target)[:20]


def test_whoever_is_excluded_is_replaced_by_the_next_ones() -> None:
    table = filled()
    everybody = sorted(table, key=lambda contact: contact.position ^ HELLO)
    excluded = {contact.peer_id for contact in everybody[:3]}
    assert table.nearest(HELLO, 20, excluded) == everybody[3:23]


# --- who comes


def test_we_ourselves_are_not_taken() -> None:
    table = RoutingTable(PEERS[0].position)
    assert not table.wants(PEERS[0])
    assert not table.add(PEERS[0], 0.0)


def test_a_peer_that_is_in_it_already_stays_as_it_is() -> None:
    table = RoutingTable(OWN)
    table.add(PEERS[0], 1.0)
    assert not table.wants(PEERS[0])
    assert not table.add(PEERS[0].with_addresses([ADDRESS]), 2.0, replaceable=True)
    entry = table.get(PEERS[0].peer_id)
    assert entry is not None
    assert (entry.contact, entry.last_success, entry.is_replaceable) == (PEERS[0], 1.0, False)


@pytest.mark.parametrize(("rtt", "is_taken"), [(SLOWEST, True), (SLOWEST + 0.1, False)])
def test_a_peer_that_takes_a_minute_to_answer_is_not_taken(rtt: float, is_taken: bool) -> None:
    assert RoutingTable(OWN).add(PEERS[0], 0.0, rtt=rtt) == is_taken


def test_a_full_bucket_refuses_newcomers_while_others_have_room() -> None:
    table = filled()
    assert table.count_at(0) == table.count_at(1) == 20
    newcomer = next(contact for contact in at(0) if contact.peer_id not in table)
    assert not table.wants(newcomer)
    assert not table.add(newcomer, 0.0)
    table.remove(next(contact for contact in table if length(contact) == 0).peer_id)
    assert table.wants(newcomer)
    assert table.add(newcomer, 0.0)


def test_the_replaceable_peer_that_was_there_longest_makes_room() -> None:
    table = RoutingTable(OWN, bucket_size=3)
    first, second, third, fourth, fifth, sixth = at(0)[:6]
    table.add(first, 0.0)
    table.add(second, 0.0, replaceable=True)
    table.add(third, 0.0, replaceable=True)
    assert table.wants(fourth)
    assert table.add(fourth, 1.0)
    assert list(table) == [first, third, fourth]
    assert table.add(fifth, 1.0)
    assert not table.add(sixth, 1.0)
    assert list(table) == [first, fourth, fifth]


def test_of_two_replaceable_peers_the_worse_one_makes_room() -> None:
    worth: dict[PeerId, float] = {}
    table = RoutingTable(OWN, bucket_size=3, worth=lambda peer_id: worth.get(peer_id, 0.0))
    first, second, third, fourth, fifth, sixth = at(0)[:6]
    table.add(first, 0.0)
    table.add(second, 0.0, replaceable=True)
    table.add(third, 0.0, replaceable=True)
    worth |= {first.peer_id: -100.0, third.peer_id: -5.0, fourth.peer_id: -50.0}
    assert table.add(fourth, 1.0, replaceable=True), "who comes is not weighed: distance alone decides about that"
    assert list(table) == [first, second, fourth], "and who is not replaceable stays, however bad"
    assert table.add(fifth, 1.0)
    assert table.add(sixth, 1.0)
    assert list(table) == [first, fifth, sixth]


def test_nobody_is_replaceable_once_the_table_has_settled() -> None:
    table = RoutingTable(OWN, bucket_size=2)
    first, second, third = at(0)[:3]
    table.add(first, 0.0, replaceable=True)
    table.add(second, 0.0, replaceable=True)
    table.settle()
    assert not table.wants(third)
    assert not table.add(third, 0.0)


def test_the_last_bucket_is_split_as_often_as_it_takes() -> None:
    table = RoutingTable(OWN, bucket_size=2)
    deep = at(4)
    assert [table.add(contact, 0.0) for contact in deep[:3]] == [True, True, False]
    # Whoever is nearer than that has a bucket of its own now, whoever is further away, too.
    assert all(table.add(at(index)[0], 0.0) for index in (0, 1, 2, 3, 5))


@pytest.mark.parametrize("bucket_size", [1, 2])
def test_a_peer_that_shares_nearly_all_bits_with_us_is_taken(bucket_size: int) -> None:
    near, far = PEERS[0], PEERS[1]
    table = RoutingTable(near.position ^ 1, bucket_size=bucket_size)
    assert table.add(near, 0.0)
    assert table.add(far, 0.0)
    assert table.nearest(far.position) == [far, near]
    assert table.nearest(near.position) == [near, far]
    assert len(table.counts()) == BITS


# --- diversity


def test_a_third_peer_of_a_group_is_not_taken_into_a_bucket() -> None:
    table = RoutingTable(OWN, diversity=Diversity())
    assert [table.add(contact, 0.0, groups=("a",)) for contact in at(0)[:3]] == [True, True, False]
    assert not table.wants(at(0)[3], groups=("b", "a"))
    assert table.wants(at(0)[3], groups=("b",))
    assert table.add(at(1)[0], 0.0, groups=("a",))
    assert not table.add(at(2)[0], 0.0, groups=("a",))
    table.remove(at(1)[0].peer_id)
    assert table.add(at(2)[0], 0.0, groups=("a",))


def test_a_peer_that_is_refused_or_replaced_does_not_count() -> None:
    table = RoutingTable(OWN, bucket_size=1, diversity=Diversity(per_bucket=1))
    first, second, third = at(0)[:3]
    table.add(first, 0.0, groups=("a",), replaceable=True)
    assert table.add(second, 0.0, groups=("b",))
    assert not table.add(third, 0.0, groups=("a",))
    table.remove(second.peer_id)
    assert table.add(third, 0.0, groups=("a",))


# --- who stays and goes


def test_peers_that_were_silent_for_long_are_due_for_a_check() -> None:
    table = RoutingTable(OWN)
    for number, contact in enumerate(PEERS[:4]):
        table.add(contact, float(number))
    table.succeeded(PEERS[1].peer_id, 100.0)
    assert table.due_for_check(SILENCE + 2.5) == [PEERS[0], PEERS[2]]
    assert table.due_for_check(2.0) == []
    assert table.due_for_check(3.5, silence=3.0) == [PEERS[0]]


def test_the_last_success_is_the_latest_told() -> None:
    table = RoutingTable(OWN)
    table.add(PEERS[0], 0.0)
    table.succeeded(PEERS[0].peer_id, 1.0)
    table.succeeded(PEERS[0].peer_id, 0.5)
    entry = table.get(PEERS[0].peer_id)
    assert entry is not None
    assert entry.last_success == 1.0


def test_nothing_is_noted_of_peers_that_are_not_in_it() -> None:
    table = RoutingTable(OWN)
    table.succeeded(PEERS[0].peer_id, 1.0)
    assert not table.update_contact(PEERS[0])
    assert not table.remove(PEERS[0].peer_id)
    assert len(table) == 0


def test_a_peer_may_move() -> None:
    table = filled()
    moved = NEARBY[0].with_addresses([ADDRESS])
    assert table.update_contact(moved)
    entry = table.get(moved.peer_id)
    assert entry is not None
    assert entry.contact is moved
    assert table.nearest(moved.position)[0] is moved


def test_whoever_wants_to_know_is_told_who_came_and_went() -> None:
    table = RoutingTable(OWN, bucket_size=1)
    told: list[tuple[Contact, bool, int]] = []
    table.on_change.append(lambda contact, is_added: told.append((contact, is_added, len(table))))
    first, second = at(0)[:2]
    table.add(first, 0.0, replaceable=True)
    table.add(second, 0.0)
    table.remove(second.peer_id)
    assert told == [(first, True, 1), (first, False, 1), (second, True, 1), (second, False, 0)]


# --- any course of events


class TableMachine(RuleBasedStateMachine):
    """A table beside a list of those that it said it has."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RoutingTable(OWN, bucket_size=3, diversity=Diversity(per_bucket=2, in_all=3))
        self.members: dict[PeerId, tuple[Contact, str]] = {}
        self.table.on_change.append(self.changed)
        self.group = ""

    def changed(self, contact: Contact, is_added: bool) -> None:
        if is_added:
            self.members[contact.peer_id] = contact, self.group
        else:
            del self.members[contact.peer_id]

    @rule(contact=st.sampled_from(NEARBY[:60] + PEERS[:60]), group=st.sampled_from("abcdefgh"), replaceable=st.booleans())
    def add(self, contact: Contact, group: str, replaceable: bool) -> None:
        self.group = group
        wanted = self.table.wants(contact, (group,))
        was_in = contact.peer_id in self.table
        added = self.table.add(contact, 0.0, replaceable=replaceable, groups=(group,))
        assert added == wanted
        assert added == (contact.peer_id in self.table and not was_in)

    @precondition(lambda self: self.members)
    @rule(choose=st.data())
    def remove(self, choose: st.DataObject) -> None:
        peer_id = choose.draw(st.sampled_from(list(self.members)))
        assert self.table.remove(peer_id)
        assert peer_id not in self.table

    @rule()
    def settle(self) -> None:
        self.table.settle()

    @rule(near=positions, count=st.integers(1, 10))
    def nearest(self, near: int, count: int) -> None:
        everybody = [contact for contact, _ in self.members.values()]
        assert self.table.nearest(near, count) == sorted(everybody, key=lambda contact: contact.position ^ near)[:count]

    @invariant()
    def it_has_whom_it_said_it_has(self) -> None:
        assert {contact.peer_id for contact in self.table} == set(self.members)
        assert len(self.table) == len(self.members)

    @invariant()
    def no_distance_has_more_than_a_bucket_holds(self) -> None:
        lengths = [length(contact) for contact, _ in self.members.values()]
        counts = [lengths.count(index) for index in range(max(lengths, default=-1) + 1)]
        assert self.table.counts() == counts
        assert [self.table.count_at(index) for index in range(len(counts))] == counts
        assert all(count <= 3 for count in counts)

    @invariant()
    def no_group_has_too_many(self) -> None:
        for group in "abcdefgh":
            lengths = [length(contact) for contact, its_group in self.members.values() if its_group == group]
            assert len(lengths) <= 3
            assert all(lengths.count(index) <= 2 for index in lengths)


TestTable = TableMachine.TestCase
TestTable.settings = settings(stateful_step_count=80, deadline=None)

"""Any answers, in any order, at any time: what must hold of a lookup whoever it meets."""

from random import Random
from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cortexnet.kad.lookup.lookup import Lookup, LookupConfig
from cortexnet.kad.routing.contact import Contact
from tests.kad.lookup_network import OWN, contact

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

CONTACTS = [contact(Random(seed)) for seed in range(120)]
CONFIG = LookupConfig(k=4, alpha=3, beta=2, request_limit=25, heard_limit=30, closer_limit=8)

some_contacts = st.lists(st.sampled_from(CONTACTS), max_size=12)


class LookupMachine(RuleBasedStateMachine):
    @initialize(wanted=st.integers(0, (1 << 256) - 1), seeds=some_contacts)
    def start(self, wanted: int, seeds: list[Contact]) -> None:
        self.now = 0.0
        self.lookup = Lookup(wanted, seeds, own=OWN, config=CONFIG, now=0.0)
        self.asked: dict[PeerId, None] = {}
        self.answered: dict[PeerId, None] = {}
        self.failed: dict[PeerId, None] = {}
        self.ask()

    def ask(self) -> None:
        for each in self.lookup.next(self.now):
            assert each.peer_id not in self.asked, "nobody is asked twice"
            self.asked[each.peer_id] = None

    @property
    def is_running(self) -> bool:
        return not self.lookup.is_done

    @precondition(lambda self: self.lookup.in_flight)
    @rule(which=st.integers(0, 1 << 16), closer=some_contacts)
    def answer(self, which: int, closer: list[Contact]) -> None:
        peer_id = self.lookup.in_flight[which % len(self.lookup.in_flight)]
        if self.is_running:
            self.answered[peer_id] = None
        self.lookup.on_reply(peer_id, closer, self.now)
        self.ask()

    @precondition(lambda self: self.lookup.in_flight)
    @rule(which=st.integers(0, 1 << 16))
    def fail(self, which: int) -> None:
        peer_id = self.lookup.in_flight[which % len(self.lookup.in_flight)]
        if self.is_running:
            self.failed[peer_id] = None
        self.lookup.on_failure(peer_id, self.now)
        self.ask()

    @rule(stranger=st.sampled_from(CONTACTS), closer=some_contacts)
    def answer_of_anybody(self, stranger: Contact, closer: list[Contact]) -> None:
        if stranger.peer_id not in self.lookup.in_flight:
            assert self.lookup.on_reply(stranger.peer_id, closer, self.now) == []

    @precondition(lambda self: self.is_running)
    @rule(share=st.floats(0.0, 1.0))
    def let_time_pass(self, share: float) -> None:
        due = self.lookup.next_timeout()
        assert due is not None
        assert due > self.now, "it would be called again and again at one time"
        self.now += (due - self.now) * share
        self.ask()

    @precondition(lambda self: self.is_running)
    @rule()
    def wait(self) -> None:
        due = self.lookup.next_timeout()
        assert due is not None
        assert due > self.now
        self.now = due
        self.ask()

    @invariant()
    def it_stays_within_its_requests_and_its_time(self) -> None:
        assert self.lookup.asked == len(self.asked) <= CONFIG.request_limit
        assert self.now <= CONFIG.timeout
        assert self.is_running or self.lookup.next_timeout() is None

    @invariant()
    def while_it_runs_it_waits_for_somebody(self) -> None:
        assert self.lookup.is_done or self.lookup.in_flight

    @invariant()
    def the_closest_are_sorted_and_none_of_them_has_failed(self) -> None:
        closest = self.lookup.closest
        distances = [each.position ^ self.lookup.target for each in closest]
        assert distances == sorted(distances)
        assert len(closest) <= CONFIG.k
        assert not any(each.peer_id in self.failed for each in closest)
        assert [each.peer_id for each in self.lookup.answered if each.peer_id not in self.answered] == []
        assert len(self.lookup.answered) == len(self.answered)


TestLookupMachine = LookupMachine.TestCase

"""Any answers, in any order, at any time: what must hold of an exploration whoever it meets."""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cortexnet.kad.lookup.regions import ExplorationConfig, Question, RegionExploration
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.key import Prefix
from tests.kad.lookup_network import OWN, contact

CONTACTS = [contact(Random(seed)) for seed in range(120)]
CONFIG = ExplorationConfig(k=4, beta=2, spots_at_once=2, spot_limit=12, request_limit=30, heard_limit=40, spot_requests=6)

some_contacts = st.lists(st.sampled_from(CONTACTS), max_size=12)


class ExplorationMachine(RuleBasedStateMachine):
    @initialize(length=st.integers(0, 5), bits=st.integers(0, 31), seeds=some_contacts)
    def start(self, length: int, bits: int, seeds: list[Contact]) -> None:
        self.now = 0.0
        self.first = Prefix(length, bits >> 5 - length)
        self.exploration = RegionExploration(self.first, seeds, own=OWN, config=CONFIG, now=0.0, random=Random(1))
        self.asked: list[Question] = []
        self.open: list[Question] = []
        self.ask()

    def ask(self) -> None:
        questions = self.exploration.next(self.now)
        self.asked += questions
        self.open += questions

    @property
    def is_running(self) -> bool:
        return not self.exploration.is_done

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 1 << 16), closer=some_contacts)
    def answer(self, which: int, closer: list[Contact]) -> None:
        question = self.open.pop(which % len(self.open))
        self.exploration.on_reply(question.contact.peer_id, question.key, closer, self.now)
        self.ask()

    @precondition(lambda self: self.open)
    @rule(which=st.integers(0, 1 << 16))
    def fail(self, which: int) -> None:
        question = self.open.pop(which % len(self.open))
        self.exploration.on_failure(question.contact.peer_id, question.key, self.now)
        self.ask()

    @rule(stranger=st.sampled_from(CONTACTS), closer=some_contacts)
    def answer_of_anybody(self, stranger: Contact, closer: list[Contact]) -> None:
        before = self.exploration.contacts
        self.exploration.on_reply(stranger.peer_id, b"never asked for", closer, self.now)
        self.exploration.on_failure(stranger.peer_id, b"never asked for", self.now)
        assert self.exploration.contacts == before

    @precondition(lambda self: self.is_running)
    @rule(share=st.floats(0.0, 1.0))
    def let_time_pass(self, share: float) -> None:
        due = self.exploration.next_timeout()
        assert due is not None
        assert due > self.now, "it would be called again and again at one time"
        self.now += (due - self.now) * share
        self.ask()

    @precondition(lambda self: self.is_running)
    @rule()
    def wait(self) -> None:
        due = self.exploration.next_timeout()
        assert due is not None
        assert due > self.now
        self.now = due
        self.ask()

    @invariant()
    def it_stays_within_its_requests_and_its_time(self) -> None:
        assert self.exploration.requests == len(self.asked) <= CONFIG.request_limit + CONFIG.spots_at_once * CONFIG.spot_requests
        assert self.now <= CONFIG.timeout
        assert self.is_running or self.exploration.next_timeout() is None

    @invariant()
    def while_it_runs_it_waits_for_somebody(self) -> None:
        assert self.exploration.is_done or self.open

    @invariant()
    def nobody_is_asked_the_same_twice(self) -> None:
        assert len({(each.contact.peer_id, each.key) for each in self.asked}) >= len(self.asked) - CONFIG.spot_limit

    @invariant()
    def what_is_found_lies_in_the_region_and_this_only_grows(self) -> None:
        assert self.exploration.prefix.covers(self.first)
        found = self.exploration.contacts
        assert all(self.exploration.prefix.contains(each.position) for each in found)
        assert len({each.peer_id for each in found}) == len(found) <= 2 * CONFIG.heard_limit


TestExplorationMachine = ExplorationMachine.TestCase
TestExplorationMachine.settings = settings(max_examples=60, deadline=None)

"""The ledger: what a score is the sum of, how it fades, and whom it forgets."""

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cortexnet import PeerId
from cortexnet.reputation.config import ReputationConfig
from cortexnet.reputation.entry import EVIDENCE_LIMIT, Entry
from cortexnet.reputation.explanation import explain
from cortexnet.reputation.ledger import Ledger
from cortexnet.reputation.times import ResponseTimes

DAY = 86_400.0
CONFIG = ReputationConfig()
PEERS = [PeerId(bytes([0, 1, number])) for number in range(40)]
ALICE, BOB, *OTHERS = PEERS


def ledger_of(config: ReputationConfig = CONFIG) -> tuple[Ledger, list[PeerId]]:
    """A ledger, and the peers whose entries have changed."""
    changed: list[PeerId] = []
    return Ledger(config, on_change=changed.append), changed


# --- the score


def test_of_who_is_not_known_nothing_is_known() -> None:
    ledger, _ = ledger_of()
    assert ledger.score(ALICE, 0.0) == 0.0
    assert ledger.terms(ALICE, 0.0).score == 0.0
    assert ledger.quantile(ALICE, 0.5) is None
    assert ledger.median is None
    assert ledger.entry(ALICE) is None
    assert ALICE not in ledger
    assert len(ledger) == 0
    assert "nothing is known" in str(explain(ALICE, ledger, 0.0, "good"))


def test_reliability_is_the_mean_of_a_beta_distribution() -> None:
    ledger, changed = ledger_of()
    ledger.report(ALICE, 0.0, success=True)
    assert ledger.score(ALICE, 0.0) == pytest.approx(30 * (2 * (3 / 5) - 1))
    for _ in range(95):
        ledger.report(ALICE, 0.0, success=True)
    assert ledger.score(ALICE, 0.0) == pytest.approx(30 * 0.96)
    for _ in range(96):
        ledger.report(ALICE, 0.0, success=False)
    assert ledger.score(ALICE, 0.0) == pytest.approx(0.0)
    assert changed == [ALICE] * 192


def test_behind_a_long_good_time_what_goes_on_now_still_shows() -> None:
    ledger, _ = ledger_of()
    for _ in range(20 * int(EVIDENCE_LIMIT)):
        ledger.report(ALICE, 0.0, success=True)
    for _ in range(int(EVIDENCE_LIMIT)):
        ledger.report(ALICE, 0.0, success=False)
    assert ledger.score(ALICE, 0.0) < -5
    entry = ledger.entry(ALICE)
    assert entry is not None
    assert entry.successes + entry.failures == pytest.approx(EVIDENCE_LIMIT)


def test_latency_is_seen_against_what_is_usual() -> None:
    ledger, _ = ledger_of()
    for peer, seconds in ((ALICE, 0.0125), (BOB, 0.8), (OTHERS[0], 0.1)):
        assert ledger.median is None
        for _ in range(30):
            ledger.report(peer, 0.0, success=True, response_time=seconds)
    assert ledger.median == pytest.approx(0.1)
    latencies = [ledger.terms(peer, 0.0).latency for peer in (ALICE, BOB, OTHERS[0])]
    assert latencies == pytest.approx([15 * 30 / 40, -15 * 30 / 40, 0.0])


def test_the_usual_time_is_that_of_peers_and_not_of_who_answers_most() -> None:
    ledger, _ = ledger_of()
    for _ in range(100):
        ledger.report(ALICE, 0.0, success=True, response_time=9.0)
    for peer in OTHERS[:2]:
        ledger.report(peer, 0.0, success=True, response_time=0.1)
    assert ledger.median == pytest.approx(0.1)


def test_no_response_time_of_zero_divides_anything() -> None:
    ledger, _ = ledger_of()
    for peer in PEERS[:3]:
        ledger.report(peer, 0.0, success=True, response_time=0.0)
    assert ledger.median == 0.0
    assert ledger.terms(ALICE, 0.0).latency == 0.0
    ledger.report(ALICE, 0.0, success=True, response_time=1.0)
    assert ledger.terms(ALICE, 0.0).latency == 0.0


def test_what_no_correct_peer_sends_costs_ten_points_each_and_twenty_of_them_the_most() -> None:
    ledger, _ = ledger_of()
    ledger.violation(ALICE, 0.0)
    assert ledger.score(ALICE, 0.0) == -10.0
    for _ in range(100):
        ledger.violation(ALICE, 0.0)
    assert ledger.terms(ALICE, 0.0).validity == -200.0
    assert ledger.score(ALICE, 0.0) == -100.0


def test_who_gives_gains_and_who_takes_loses_nothing() -> None:
    ledger, _ = ledger_of()
    ledger.shared(ALICE, 0.0, taken=1 << 30)
    assert ledger.score(ALICE, 0.0) == 0.0
    ledger.shared(BOB, 0.0, given=3 << 20)
    assert ledger.score(BOB, 0.0) == pytest.approx(20 * 3 / 4)


def test_who_only_fails_is_never_refused_for_it() -> None:
    ledger, _ = ledger_of()
    for peer in OTHERS[:3]:
        ledger.report(peer, 0.0, success=True, response_time=0.001)
    for _ in range(10_000):
        ledger.report(ALICE, 0.0, success=False, response_time=60.0)
    assert -45 <= ledger.score(ALICE, 0.0) < -42


def test_half_of_everything_is_forgotten_in_a_day() -> None:
    ledger, _ = ledger_of()
    for _ in range(8):
        ledger.violation(ALICE, 0.0)
        ledger.report(ALICE, 0.0, success=True)
    ledger.shared(ALICE, 0.0, given=1000, taken=500)
    faded = ledger.faded(ALICE, DAY)
    assert (faded.violations, faded.successes, faded.given, faded.taken) == pytest.approx((4, 4, 500, 250))
    assert ledger.terms(ALICE, DAY).validity == pytest.approx(-40)
    ledger.violation(ALICE, DAY)
    assert ledger.terms(ALICE, DAY).validity == pytest.approx(-50)


def test_a_step_back_in_time_changes_nothing() -> None:
    ledger, _ = ledger_of()
    ledger.violation(ALICE, DAY)
    assert ledger.score(ALICE, 0.0) == -10.0
    ledger.report(ALICE, 0.0, success=False)
    assert ledger.terms(ALICE, 0.0).validity == -10.0


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.floats(0, 30 * DAY))
def test_a_peer_that_does_nothing_is_forgiven_and_never_gets_worse_for_it(
    violations: int, successes: int, failures: int, later: float
) -> None:
    ledger, _ = ledger_of()
    for what, number in ((True, successes), (False, failures)):
        for _ in range(number):
            ledger.report(ALICE, 0.0, success=what)
    for _ in range(violations):
        ledger.violation(ALICE, 0.0)
    validity = ledger.terms(ALICE, 0.0).validity
    assert validity <= ledger.terms(ALICE, later).validity <= 0
    assert ledger.score(ALICE, 60 * DAY) == pytest.approx(0.0, abs=0.1)


@given(st.integers(1, 30), st.sampled_from([-80.0, -50.0, -1.0]), st.floats(60.0, 10 * DAY))
def test_when_a_peer_is_forgiven_can_be_told(violations: int, level: float, limit: float) -> None:
    ledger, _ = ledger_of()
    for _ in range(violations):
        ledger.violation(ALICE, 0.0)
    wait = ledger.recovers_in(ALICE, level, 0.0, limit=limit)
    assert 0.0 <= wait <= limit
    assert wait == limit or ledger.score(ALICE, wait) >= level
    if wait > 0:
        assert ledger.score(ALICE, wait * 0.99 - 1) < level


def test_who_has_nothing_against_it_need_not_wait() -> None:
    ledger, _ = ledger_of()
    assert ledger.recovers_in(ALICE, -50.0, 0.0, limit=DAY) == 0.0


# --- what people read


def test_an_explanation_shows_the_terms_and_what_is_behind_them() -> None:
    ledger, _ = ledger_of()
    for peer in PEERS[:3]:
        ledger.report(peer, 0.0, success=True, response_time=0.025)
    for _ in range(7):
        ledger.violation(ALICE, 0.0)
    ledger.shared(ALICE, 0.0, given=2048, taken=4096)
    found = explain(ALICE, ledger, 60.0, "refused")
    assert found.score == pytest.approx(ledger.score(ALICE, 60.0))
    assert found.score == pytest.approx(found.reliability + found.latency + found.validity + found.sharing)
    lines = str(found).splitlines()
    assert lines[0] == f"{ALICE}: score {found.score:+.1f}, its streams are refused"
    assert lines[1:] == [
        "  reliability +6.0: 1.0 successes, 0.0 failures",
        "  latency +0.0: median 25.0 ms, in the network 25.0 ms",
        "  validity -70.0: 7.0 violations",
        "  sharing +0.0: gave 2047 bytes, took 4094",
        "  last seen 60 s ago",
    ]
    assert "it is denied" in str(explain(ALICE, ledger, 60.0, "denied"))
    ledger.report(OTHERS[5], 0.0, success=False)
    assert "median unknown" in str(explain(OTHERS[5], ledger, 0.0, "good"))


# --- whom it forgets


def test_of_those_unheard_for_longest_the_one_with_least_merit_goes() -> None:
    ledger, changed = ledger_of(ReputationConfig(peers=20))
    for number, peer in enumerate(PEERS[:20]):
        for _ in range(2 if number == 3 else 5):
            ledger.report(peer, 0.0, success=True)
    changed.clear()
    ledger.report(PEERS[20], 0.0, success=True)
    assert PEERS[3] not in ledger
    assert len(ledger) == 20
    assert changed == [PEERS[3], PEERS[20]]


def test_a_crowd_of_strangers_makes_nobody_forget_most_of_those_with_merit() -> None:
    ledger = Ledger(ReputationConfig(peers=200))
    peers = [PeerId(b"\x00\x02" + number.to_bytes(2, "big")) for number in range(1200)]
    for peer in peers[:200]:
        for _ in range(12):
            ledger.report(peer, 0.0, success=True)
    for peer in peers[200:]:
        ledger.report(peer, 1.0, success=True)
    assert len(ledger) == 200
    assert sum(peer in ledger for peer in peers[:200]) >= 150


def test_a_crowd_of_strangers_makes_nobody_forget_who_has_misbehaved() -> None:
    ledger, _ = ledger_of(ReputationConfig(peers=4, offenders=4))
    for peer in PEERS[:4]:
        ledger.violation(peer, 0.0)
    for peer in PEERS[4:]:
        ledger.report(peer, 0.0, success=True)
        ledger.shared(peer, 0.0, given=100)
    assert all(ledger.is_bad(peer) for peer in PEERS[:4])
    assert len(ledger) == 8


def test_the_mildest_offender_makes_room_and_only_for_a_worse_one() -> None:
    ledger, _ = ledger_of(ReputationConfig(peers=4, offenders=4))
    for number, peer in enumerate(PEERS[:4], 2):
        for _ in range(number):
            ledger.violation(peer, 0.0)
    mildest, newcomer = PEERS[0], PEERS[10]
    ledger.violation(newcomer, 0.0)
    assert list(ledger)[-1] == newcomer, "it is known all the same, among those who go first"
    assert mildest in list(ledger)[:4]
    ledger.violation(newcomer, 0.0)
    assert list(ledger)[-1] == newcomer, "as bad as the mildest is not worse"
    ledger.violation(newcomer, 0.0)
    assert newcomer in list(ledger)[:4]
    assert mildest not in ledger


def test_who_cannot_be_kept_among_the_bad_goes_first_among_the_others() -> None:
    ledger, _ = ledger_of(ReputationConfig(peers=2, offenders=1))
    for _ in range(3):
        ledger.violation(ALICE, 0.0)
    ledger.violation(BOB, 0.0)
    ledger.report(OTHERS[0], 0.0, success=True)
    ledger.report(OTHERS[1], 0.0, success=True)
    assert list(ledger) == [ALICE, OTHERS[0], OTHERS[1]]


def test_forgotten_is_forgotten() -> None:
    ledger, changed = ledger_of()
    for peer in PEERS[:3]:
        ledger.report(peer, 0.0, success=True, response_time=1.0)
    before = ledger.median
    assert before == 1.0
    assert ledger.forget(ALICE)
    assert not ledger.forget(ALICE)
    assert ledger.median is None
    assert ledger.score(ALICE, 0.0) == 0.0
    assert changed[-1] == ALICE
    ledger.violation(BOB, 0.0)
    for _ in range(5):
        ledger.violation(BOB, 0.0)
    assert ledger.forget(BOB)
    assert len(ledger) == 1


def test_what_an_earlier_run_knew_is_taken_back_where_nothing_is_known() -> None:
    ledger, changed = ledger_of()
    past = Entry(5.0, 4.0, violations=8.0, times=ResponseTimes([0.5]))
    assert ledger.restore(ALICE, replace(past), 5.0 + DAY)
    assert not ledger.restore(ALICE, replace(past), 5.0 + DAY)
    assert ledger.score(ALICE, 5.0 + DAY) == pytest.approx(-40)
    assert ledger.is_bad(ALICE)
    assert ledger.quantile(ALICE, 0.5) == 0.5
    assert changed == [], "it is on disk as it is"
    assert ledger.restore(BOB, replace(past), 1.0)
    assert ledger.score(BOB, 1.0 + DAY) == pytest.approx(-40), "a time that is still to come fades nothing later on"


def test_what_has_no_room_is_not_taken_back() -> None:
    ledger, _ = ledger_of(ReputationConfig(peers=1))
    assert ledger.restore(ALICE, Entry(0.0, 0.0, successes=2.0), 0.0)
    assert not ledger.restore(BOB, Entry(0.0, 0.0, successes=1.0), 0.0)
    assert list(ledger) == [ALICE]


class LedgerMachine(RuleBasedStateMachine):
    """Whatever is reported in whatever order: the tables keep their bounds, and the median is that of the medians."""

    def __init__(self) -> None:
        super().__init__()
        self.config = ReputationConfig(peers=5, offenders=3)
        self.ledger = Ledger(self.config)
        self.now = 0.0
        self.names = count()

    @rule(peer=st.sampled_from(PEERS[:12]), success=st.booleans(), seconds=st.none() | st.floats(0, 100, width=32))
    def report(self, peer: PeerId, success: bool, seconds: float | None) -> None:
        self.ledger.report(peer, self.now, success=success, response_time=seconds)

    @rule(peer=st.sampled_from(PEERS[:12]), times=st.integers(1, 9))
    def offend(self, peer: PeerId, times: int) -> None:
        before = {each: self.ledger.score(each, self.now) for each in self.ledger if self.ledger.is_bad(each)}
        for _ in range(times):
            self.ledger.violation(peer, self.now)
        gone = [each for each in before if each not in self.ledger]
        assert all(before[each] >= self.ledger.score(peer, self.now) for each in gone)

    @rule(peer=st.sampled_from(PEERS[:12]), given_=st.integers(0, 1 << 24), taken=st.integers(0, 1 << 24))
    def share(self, peer: PeerId, given_: int, taken: int) -> None:
        self.ledger.shared(peer, self.now, given=given_, taken=taken)

    @rule(peer=st.sampled_from(PEERS[:12]))
    def forget(self, peer: PeerId) -> None:
        self.ledger.forget(peer)

    @rule(seconds=st.floats(0, DAY))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: len(self.ledger) > 0)
    @rule()
    def explain(self) -> None:
        peer = next(iter(self.ledger))
        assert str(explain(peer, self.ledger, self.now, "good"))

    @invariant()
    def it_is_in_order(self) -> None:
        ledger = self.ledger
        peers = list(ledger)
        assert len(peers) == len(ledger) == len(set(peers))
        assert sum(ledger.is_bad(peer) for peer in peers) <= self.config.offenders
        assert sum(not ledger.is_bad(peer) for peer in peers) <= self.config.peers
        medians = sorted(median for peer in peers if (median := ledger.quantile(peer, 0.5)) is not None)
        assert ledger.median == (medians[len(medians) // 2] if len(medians) >= 3 else None)
        for peer in peers:
            entry = ledger.entry(peer)
            assert entry is not None
            assert -100 <= ledger.score(peer, self.now) <= 100
            assert ledger.terms(peer, self.now).score == ledger.score(peer, self.now)
            assert min(entry.successes, entry.failures, entry.violations, entry.given, entry.taken) >= 0


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=40, stateful_step_count=30)

"""Whose score is too low, and until when."""

import pytest

from cortexnet import PeerId
from cortexnet.reputation.config import ReputationConfig
from cortexnet.reputation.ledger import Ledger
from cortexnet.reputation.standings import Standing, Standings

CONFIG = ReputationConfig()
PEER = PeerId(b"\x00\x01a")
DAY = 86_400.0


@pytest.mark.parametrize(
    ("violations", "standing"), [(0, "good"), (5, "good"), (6, "refused"), (8, "refused"), (9, "denied"), (50, "denied")]
)
def test_what_follows_from_a_score(violations: int, standing: Standing) -> None:
    ledger = Ledger(CONFIG)
    standings = Standings(CONFIG, ledger)
    for _ in range(violations):
        ledger.violation(PEER, 0.0)
    sentence = standings.judge(PEER, 0.0)
    assert (sentence.standing, sentence.before) == (standing, "good")
    assert standings.of(PEER) == standing
    assert standings.sentence(PEER) == (sentence if standing != "good" else None)
    assert list(standings) == ([PEER] if standing != "good" else [])
    assert standings.judge(PEER, 0.0).before == standing


def test_a_peer_is_denied_then_refused_then_forgiven() -> None:
    ledger = Ledger(CONFIG)
    standings = Standings(CONFIG, ledger)
    for _ in range(12):
        ledger.violation(PEER, 0.0)
    now, course = 0.0, []
    while (sentence := standings.judge(PEER, now)).standing != "good":
        course.append((sentence.before, sentence.standing))
        assert standings.due(sentence.until - 1) == []
        assert standings.due(sentence.until) == [PEER]
        now = sentence.until
    assert course[0] == ("good", "denied")
    assert ("denied", "refused") in course
    assert sentence.before == "refused"
    assert now == pytest.approx(1.263 * DAY, rel=0.05), "12 * 10 points have become 50"
    assert len(standings) == 0


def test_nobody_is_sentenced_to_more_than_the_limit_at_a_time() -> None:
    ledger = Ledger(CONFIG)
    standings = Standings(CONFIG, ledger)
    for _ in range(20):
        ledger.violation(PEER, 0.0)
    first = standings.judge(PEER, 0.0)
    assert first.until == CONFIG.deny_limit
    assert standings.judge(PEER, first.until).standing == "denied"


def test_who_is_forgotten_is_forgiven() -> None:
    ledger = Ledger(CONFIG)
    standings = Standings(CONFIG, ledger)
    for _ in range(20):
        ledger.violation(PEER, 0.0)
    standings.judge(PEER, 0.0)
    ledger.forget(PEER)
    assert standings.judge(PEER, 0.0).standing == "good"


@pytest.mark.parametrize(("worse", "left"), [(4, 8), (5, 4)])
def test_who_is_forgotten_for_worse_ones_is_not_remembered_here_for_long(worse: int, left: int) -> None:
    """A crowd of identities, each a little worse than those before, grows the ledger no further, nor this."""
    config = ReputationConfig(offenders=4)
    ledger = Ledger(config)
    standings = Standings(config, ledger)
    for number in range(4 + worse):
        peer = PeerId(b"\x00\x01" + bytes([number]))
        for _ in range(6 if number < 4 else 9 if number < 8 else 12):
            ledger.violation(peer, 0.0)
        standings.judge(peer, 0.0)
    assert len(standings) == left
    assert all(standings.of(peer) != "good" for peer in ledger)

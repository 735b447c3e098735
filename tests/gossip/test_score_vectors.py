"""Scores step by step, as go's."""

import json
from pathlib import Path
from typing import Any

import pytest

from cortexnet.gossip.score import PeerScore
from cortexnet.gossip.score_params import ScoreParams, TopicScoreParams, decay_factor
from cortexnet.gossip.signing import RejectReason
from cortexnet.identity.peer_id import PeerId

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "gossip.json").read_text())["scores"]
A, B = (PeerId(b"\x00\x01" + name) for name in (b"a", b"b"))

TOPIC = TopicScoreParams(
    topic_weight=0.5,
    time_in_mesh_weight=0.1,
    time_in_mesh_quantum=2.0,
    time_in_mesh_cap=5.0,
    first_deliveries_weight=2.0,
    first_deliveries_decay=0.5,
    first_deliveries_cap=4.0,
    mesh_deliveries_weight=-1.0,
    mesh_deliveries_decay=0.9,
    mesh_deliveries_cap=10.0,
    mesh_deliveries_threshold=3.0,
    mesh_deliveries_window=2.0,
    mesh_deliveries_activation=3.0,
    mesh_failure_weight=-0.25,
    mesh_failure_decay=0.8,
    invalid_weight=-10.0,
    invalid_decay=0.7,
)
PARAMS = ScoreParams(
    topics={"t": TOPIC},
    topic_cap=3.0,
    behaviour_weight=-2.0,
    behaviour_threshold=1.0,
    behaviour_decay=0.6,
    retain=5.0,
)


class History:
    """Carries out the steps of one history. Things happen a little after the tick that is a second after the one before."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.score = PeerScore(PARAMS)
        self.score.add_peer(B, self.now)
        self.messages = 0

    def next_id(self) -> bytes:
        self.messages += 1
        return str(self.messages).encode()

    def step(self, what: str) -> float:
        score, now = self.score, self.now + 0.0001
        if what == "open":
            score.add_peer(A, now)
        elif what == "close":
            score.remove_peer(A, now)
        elif what == "graft":
            score.graft(A, "t", self.now)
        elif what == "prune":
            score.prune(A, "t", now)
        elif what == "tick":
            self.now += 1
            score.decay(self.now)
        elif what.startswith("penalty"):
            score.add_penalty(A, int(what[7:] or 1))
        elif what == "first":
            message = self.next_id()
            score.validate(message, now)
            score.deliver(A, message, "t", now)
        else:
            self.message(what, now)
        return score.score(A, now)

    def message(self, what: str, now: float) -> None:
        score, message = self.score, self.next_id()
        score.validate(message, now)
        if what in ("near", "late"):
            score.deliver(B, message, "t", now)
            self.now += 0.0 if what == "near" else 3.0  # a second past the window, and no tick meanwhile
            score.duplicate(A, message, "t", self.now + 0.0002)
        elif what == "dup_then_invalid":
            score.duplicate(A, message, "t", now)
            score.reject(B, message, "t", RejectReason.VALIDATION_FAILED, now)
        else:
            reasons = {
                "invalid": RejectReason.VALIDATION_FAILED,
                "ignored": RejectReason.VALIDATION_IGNORED,
                "blacklisted": RejectReason.BLACKLISTED_SOURCE,
                "bad_signature": RejectReason.INVALID_SIGNATURE,
            }
            score.reject(A, message, "t", reasons[what], now)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["what"])
def test_scores_are_those_of_go_after_each_step(case: dict[str, Any]) -> None:
    history = History()
    found = [(what, round(history.step(what), 9)) for what, _ in case["steps"]]
    assert found == [(what, pytest.approx(expected, abs=1e-9)) for what, expected in case["steps"]]


@pytest.mark.parametrize("case", GOLDEN["decay_factors"], ids=lambda case: str(case["decay_s"]))
def test_decay_factors_are_those_of_go(case: dict[str, Any]) -> None:
    assert decay_factor(case["decay_s"]) == pytest.approx(case["factor"], rel=1e-15)

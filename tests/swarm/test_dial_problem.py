"""The word for why a dial has failed, and the advice that goes with it."""

import pytest

from cortexnet.errors import (
    ConnectionClosed,
    CortexError,
    Denied,
    DialFailed,
    LimitExceeded,
    LocalError,
    NegotiationFailed,
    PeerIdMismatch,
    PeerTimeout,
    ResolveFailed,
)
from cortexnet.swarm.dial_problem import ADVICE, Problem, problem_of

KINDS: list[tuple[CortexError, Problem]] = [
    (PeerIdMismatch("alice", "bob"), "wrong peer"),
    (NegotiationFailed("no muxer in common"), "no agreement"),
    (LimitExceeded("dials", limit=1, value=2, setting="limits.dials"), "refused here"),
    (Denied("alice", rule="deny"), "refused here"),
    (ConnectionClosed("connection refused"), "unreachable"),
    (PeerTimeout("no connection within 15 s"), "no answer"),
    (ResolveFailed("example.org", "the name does not exist"), "unresolved"),
    (LocalError("no transport"), "wrong address"),
    (CortexError("anything"), "failed"),
]


@pytest.mark.parametrize(("error", "problem"), KINDS)
def test_each_kind_of_error_has_its_word_and_its_advice(error: CortexError, problem: Problem) -> None:
    assert problem_of(error) == problem
    assert problem_of(DialFailed("no connection:", [("/memory/1", error)])) == problem
    assert ADVICE[problem]


def test_of_several_attempts_the_most_telling_counts() -> None:
    attempts = [(f"/memory/{number}", error) for number, (error, _) in enumerate(reversed(KINDS))]
    assert problem_of(DialFailed("no connection:", attempts)) == "wrong peer"
    assert problem_of(DialFailed("no connection:", attempts[:-3])) == "refused here"


def test_a_dial_without_attempts_and_a_bug_have_just_failed() -> None:
    assert problem_of(DialFailed("no address is known")) == "failed"
    assert problem_of(ZeroDivisionError()) == "failed"

"""Why a dial has failed, in a word, and what to do about it; a core."""

from typing import Final, Literal

from cortexnet.errors import (
    DialFailed,
    Ended,
    LimitExceeded,
    LocalError,
    PeerIdMismatch,
    PeerTimeout,
    RemoteError,
    ResolveFailed,
)

Problem = Literal[
    "wrong peer", "no agreement", "refused here", "unreachable", "no answer", "unresolved", "wrong address", "failed"
]
"""What came of it instead of a connection, the most telling first where the attempts differ."""

ADVICE: Final[dict[Problem, str]] = {
    "wrong peer": "another node answers there: correct the peer id or the address",
    "no agreement": "what answers there does not speak as this node does: see whether the port is right",
    "refused here": "this node refuses it: change the limit or the rule that is named",
    "unreachable": "see whether it runs, and whether address and port are right",
    "no answer": "see whether it runs, whether the address is right, and whether a firewall is in between",
    "unresolved": "see whether the name is right, and whether this machine can look names up",
    "wrong address": "give an address of another node, of a transport that is enabled",
    "failed": "see whether it runs, and whether its addresses are right",
}


def problem_of(error: BaseException) -> Problem:
    """The word for an error of a dial, or of the most telling of its attempts."""
    causes = [cause for _, cause in error.attempts] if isinstance(error, DialFailed) else [error]
    found = {_kind(cause) for cause in causes}
    return next((problem for problem in ADVICE if problem in found), "failed")


def _kind(error: BaseException) -> Problem:
    for kind, problem in _KINDS:
        if isinstance(error, kind):
            return problem
    return "failed"


_KINDS: tuple[tuple[type[BaseException], Problem], ...] = (
    (PeerIdMismatch, "wrong peer"),
    (PeerTimeout, "no answer"),
    (RemoteError, "no agreement"),
    (Ended, "unreachable"),
    (LimitExceeded, "refused here"),
    (ResolveFailed, "unresolved"),
    (LocalError, "wrong address"),
)

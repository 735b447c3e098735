"""The error tree: messages that say what to do, and errors that survive a copy and a pickle."""

import copy
import errno
import pickle
from collections.abc import Callable, Iterator

import pytest

from cortexnet import errors
from cortexnet.errors import CortexError, DialFailed, LocalError, describe, in_one_line

EXAMPLES: list[CortexError] = [
    errors.LocalError("not so"),
    errors.ConfigInvalid("must be a number", key="limits.dials", file="node.toml", line=3),
    errors.Busy("another task reads"),
    errors.NotRunning("not started"),
    errors.Refuse(7, "not today"),
    errors.StorageFailed("the disk is full", path="/var/lib/key"),
    errors.ListenFailed("/ip4/127.0.0.1/tcp/4001", "address already in use", number=errno.EADDRINUSE),
    errors.ProtocolViolation("a length that is none"),
    errors.InvalidRecord("expired"),
    errors.HandshakeFailed("no signature"),
    errors.PeerIdMismatch("alice", "mallory"),
    errors.NegotiationFailed("nothing in common", protocols=["/a", "/b"]),
    errors.MessageTooLarge("request", 5, 3),
    errors.PeerTimeout("no answer"),
    errors.StreamClosed(),
    errors.StreamReset(code=0x1002),
    errors.RequestFailed("refused", code=3),
    errors.ConnectionClosed(code=0x1006, by="remote"),
    errors.EndOfStream(partial=b"half"),
    errors.LimitExceeded("dials", limit=8, value=9, setting="limits.dials"),
    errors.Denied("this peer", rule="deny 192.0.2.0/24"),
    errors.NoPeers("nobody is known"),
    errors.NotFound("nobody has it", asked=20),
    errors.ResolveFailed("example.org", "the name does not exist"),
    DialFailed("no connection:", [("/ip4/192.0.2.1/tcp/1", errors.PeerTimeout("no answer"))]),
]


def leaves(kind: type[CortexError]) -> Iterator[type[CortexError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from leaves(child)


def test_every_error_that_is_raised_has_an_example_here() -> None:
    classes = set(leaves(CortexError)) - {CortexError, errors.RemoteError, errors.Ended}  # those are for `except`
    assert {type(error) for error in EXAMPLES} == classes


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_copied_error_says_the_same(error: CortexError, again: Callable[[CortexError], CortexError]) -> None:
    error.add_note("while dialing")
    other = again(error)
    assert (type(other), str(other), other.args, repr(vars(other))) == (type(error), str(error), error.args, repr(vars(error)))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copied_error_of_the_system_has_its_number(again: Callable[[CortexError], errors.ListenFailed]) -> None:
    assert again(errors.ListenFailed("/memory/1", "in use", number=errno.EADDRINUSE)).errno == errno.EADDRINUSE


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EADDRINUSE, "port 0 takes any that is free"),
        (errno.EACCES, "ports below 1024"),
        (errno.EADDRNOTAVAIL, "on 0.0.0.0 or ::"),
        (errno.EIO, "listen on another address"),
        (None, "listen on another address"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_named_with_what_to_do(number: int | None, advice: str) -> None:
    error = errors.ListenFailed("/ip4/127.0.0.1/tcp/4001", "it is so", number=number)
    assert str(error) == f"{error.problem}; {error.advice}"
    assert error.problem == "can't listen on /ip4/127.0.0.1/tcp/4001: it is so"
    assert advice in error.advice
    assert (isinstance(error, OSError), error.errno) == (True, number)


def test_the_place_of_a_wrong_setting_stands_in_front() -> None:
    assert (
        str(errors.ConfigInvalid("must be a number", key="limits.dials", file="a.toml", line=3))
        == "a.toml:3:limits.dials: must be a number"
    )
    assert str(errors.ConfigInvalid("must be a number")) == "must be a number"


def test_a_failed_dial_says_of_each_address_why() -> None:
    error = DialFailed("no connection:", [("/ip4/192.0.2.1/tcp/1", errors.PeerTimeout("no answer")), ("/dns/x", OSError())])
    assert str(error) == "no connection:\n  /ip4/192.0.2.1/tcp/1: no answer\n  /dns/x: OSError"


def test_a_limit_names_the_setting_that_raises_it() -> None:
    error = errors.LimitExceeded("dials", limit=8, value=9, setting="limits.dials")
    assert str(error) == "dials: 9 is over the limit of 8; raise it with limits.dials"


def test_errors_are_caught_by_the_names_that_python_has_for_them() -> None:
    assert isinstance(errors.PeerTimeout("late"), TimeoutError)
    assert isinstance(errors.EndOfStream(), EOFError)
    assert isinstance(errors.StorageFailed("gone", path="/x"), OSError)


def test_what_ended_says_so_without_a_message() -> None:
    assert str(errors.StreamClosed()) == "ended by the local side"
    assert str(errors.StreamReset(code=0x1002)) == "stream reset by the remote side, code 0x1002 (limit exceeded)"
    assert str(errors.ConnectionClosed()) == "connection closed by the network side, code 0x0"
    assert str(errors.EndOfStream(partial=b"abc")) == "stream ended after 3 bytes of a longer read"


def test_an_error_without_words_is_described_by_its_name() -> None:
    assert describe(ValueError()) == "ValueError"
    assert describe(ValueError("no number")) == "no number"


def test_a_log_has_one_line_for_all_attempts_of_a_dial() -> None:
    error = DialFailed("nobody answers:", [("/ip4/192.0.2.1/tcp/1", OSError("refused")), ("/ip4/192.0.2.2/tcp/1", ValueError())])
    assert in_one_line(error) == "nobody answers: /ip4/192.0.2.1/tcp/1: refused; /ip4/192.0.2.2/tcp/1: ValueError"
    assert in_one_line(ValueError()) == "ValueError"


@pytest.mark.parametrize("code", [-1, 1 << 32, "7", None])
def test_a_refusal_has_a_code_that_can_be_sent(code: object) -> None:
    assert errors.Refuse((1 << 32) - 1).code == 0xFFFF_FFFF
    with pytest.raises(LocalError, match="a number of 32 bits, not"):
        errors.Refuse(code)  # type: ignore[arg-type]


def test_a_code_that_an_application_has_chosen_is_told_as_its_own_documents_write_it() -> None:
    assert str(errors.StreamReset(code=404)) == "stream reset by the remote side, code 0x194 (404)"
    assert str(errors.ConnectionClosed(code=0x1007, by="remote")) == "connection closed by the remote side, code 0x1007 (gated)"


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_that_is_kept_is_raised_as_another_one_that_says_the_same(error: CortexError) -> None:
    kept = copy.copy(error)
    kept.__cause__ = OSError("why")
    with pytest.raises(type(error)) as caught:
        raise kept.again()
    assert caught.value is not kept
    assert (str(caught.value), vars(caught.value)) == (str(kept), vars(kept))
    assert caught.value.__cause__ is kept.__cause__
    assert kept.__traceback__ is None

"""What an error means for the person at the terminal: what happened, of each attempt why, and what to do about it."""

import errno
import ssl
import traceback
from typing import final

import click

from cortexnet.cli.exits import ExitCode
from cortexnet.cli.output import Json, Output
from cortexnet.errors import (
    ConfigInvalid,
    ConnectionClosed,
    CortexError,
    DialFailed,
    HandshakeFailed,
    LimitExceeded,
    ListenFailed,
    LocalError,
    MessageTooLarge,
    NegotiationFailed,
    NoPeers,
    NotRunning,
    PeerIdMismatch,
    PeerTimeout,
    ProtocolViolation,
    StreamReset,
    describe,
)
from cortexnet.kad.config import BUILT_IN

_ON_PROTOCOLS = {
    "/perf/1.0.0": "It serves that only where it was started by `cortexnet run --perf`.",
    "/cortex/card/1.0.0": "A node has a card where its owner has given it something to say, by [card] in its settings.",
}
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN)


@final
class TooFewPeers(PeerTimeout):
    """Those who were waited for have not come, though somebody is connected."""


@final
class NotTaken(NoPeers):
    """Those who were asked to keep a value of `namespace` did not."""

    def __init__(self, message: str, namespace: str) -> None:
        super().__init__(message)
        self.namespace = namespace


def show(error: CortexError | OSError, output: Output) -> None:
    """Say on stderr what happened; with --json as the last event on stdout as well."""
    if output.debug:
        click.echo("".join(traceback.format_exception(error)), err=True)
    if output.as_json:
        output.say("", "error", **as_members(error))
    output.note("Error: " + "\n".join(lines_of(error)))


def exit_code(error: BaseException) -> int:
    """Whether the caller is at fault, or the rest of the world."""
    return ExitCode.USAGE if isinstance(error, LocalError) and not isinstance(error, NotRunning) else ExitCode.FAILED


def lines_of(error: BaseException) -> list[str]:
    """The message, a line for each attempt, and the advice."""
    if not isinstance(error, DialFailed):
        return [_message(error), *_hints(error)]
    lines = [_headline(error)]
    for address, reason in error.attempts:
        lines.append(f"  {address}: {_message(reason)}")
        lines += [f"    {hint}" for hint in _hints(reason)]
    return lines


def as_members(error: BaseException) -> dict[str, Json]:
    """The error for programs: kind, message, advice, and the attempts of a dial in the same form."""
    members: dict[str, Json] = {"kind": type(error).__name__, "message": _headline(error), "advice": advice(error)}
    if isinstance(error, DialFailed):
        members["attempts"] = [{"address": address, **as_members(reason)} for address, reason in error.attempts]
    if isinstance(error, ConfigInvalid):
        members |= {"file": error.file, "line": error.line, "key": error.key}
    return members


def _headline(error: BaseException) -> str:
    """The message without the attempts, which DialFailed puts on lines of their own."""
    return _message(error).split("\n", 1)[0] if isinstance(error, DialFailed) else _message(error)


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and not isinstance(error, CortexError) and error.strerror:
        # asyncio puts "error while attempting to bind on address …" there, which is all one needs.
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}"
    return error.problem if isinstance(error, ListenFailed) else describe(error)


def _hints(error: BaseException) -> list[str]:
    hint = advice(error)
    return [hint] if hint else []


def advice(error: BaseException) -> str:
    """What to look at or to do; nothing where the message says it all."""
    if isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return (
            "Its TLS needs a certificate for that name, of an authority that this machine trusts. A program can trust another "
            "(websocket.trusted) or none (websocket.verify): who the peer is does not depend on it."
        )
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    number = cause.errno if isinstance(cause, OSError) else None
    if isinstance(error, ListenFailed):
        return error.advice[:1].upper() + error.advice[1:] + "."
    if isinstance(error, PeerIdMismatch):
        return f"End the address in /p2p/{error.actual} then; else do not trust whoever answers there."
    if isinstance(error, TooFewPeers):
        return (
            "Does a peer that we are connected to subscribe to that very topic? One that does not passes nothing on to those "
            "behind it. `--peers 0` publishes all the same."
        )
    if isinstance(error, PeerTimeout):
        return "Is it reachable from here? A firewall that drops packets looks like this; `cortexnet doctor` looks closer."
    if number == errno.ECONNREFUSED:
        return "Nothing listens on that port: does the node run, and is the port the right one?"
    if number in _UNREACHABLE:
        return "There is no way from here to that address: check the network, and whether it is IPv6 without IPv6 here."
    if number == errno.EADDRINUSE:
        return "Another program has that port: stop it, or listen on another one; port 0 takes any that is free."
    if number in (errno.EACCES, errno.EPERM):
        return _advice_on_permission(cause)
    if number == errno.EADDRNOTAVAIL:
        return "This machine has no such address: listen on one of its own, or on 0.0.0.0 for all of them."
    return _advice_on_protocols(error)


def _advice_on_permission(cause: BaseException) -> str:
    if isinstance(cause, OSError) and cause.filename is not None:
        return "Whoever runs this must be allowed to use that file, and the folders above it: look at their owner and mode."
    return "The system does not allow this: it may need more privileges, or a firewall of this machine forbids it."


def _advice_on_protocols(error: BaseException) -> str:
    if isinstance(error, NegotiationFailed):
        for protocol in error.protocols:
            if protocol in _ON_PROTOCOLS:
                return _ON_PROTOCOLS[protocol]
        return "The other side has answered, but the two have no protocol in common: what does it run, and how is it configured?"
    if isinstance(error, HandshakeFailed | ProtocolViolation | MessageTooLarge):
        return "Whatever answers there does not speak libp2p as it should: is it another service, or in a private network?"
    if isinstance(error, StreamReset):
        return "The other side gave up on it: it may be out of room, or restarting."
    if isinstance(error, ConnectionClosed) and error.by == "remote":
        return "Something is there and hung up: it may be another service, be full, or refuse us."
    if isinstance(error, NotTaken):
        return _advice_on_namespace(error.namespace)
    if isinstance(error, NoPeers):
        return "Do the peers serve the DHT of that --prefix, and not only ask it?"
    if isinstance(error, LimitExceeded):
        return "This is a limit of our own: try again later, or raise it."
    return ""


def _advice_on_namespace(namespace: str) -> str:
    if namespace in BUILT_IN:
        return "They may be out of reach, or keep a newer value of this key: try again."
    return (
        f"Do they take values of {namespace!r} at all? A node does where its program gives it a validator for that namespace: "
        f"`KadConfig(validators={{{namespace!r}: …}})`."
    )

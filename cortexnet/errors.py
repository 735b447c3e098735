"""The error tree: who is at fault, and what to do now.

CortexError
├── LocalError            the caller broke the contract; nothing changed        → fix the call
│   ├── ConfigInvalid     a setting is wrong (.file .line .key)
│   ├── Busy              a second reader or writer on one stream
│   ├── NotRunning        the node is not started, or closed
│   └── Refuse            raised by a handler to reset its stream with a code of its choice
├── StorageFailed         disk full, damaged file (.path)                       → free or repair
├── ListenFailed          an address can't be listened on (.address .errno)     → free the port, or listen elsewhere
├── RemoteError           the peer broke the protocol (.code .offence)          → close, report
│   ├── ProtocolViolation
│   │   └── InvalidRecord  a DHT record that must not be kept or used
│   ├── HandshakeFailed
│   │   ├── PeerIdMismatch
│   │   └── NegotiationFailed
│   ├── MessageTooLarge
│   └── PeerTimeout       also a TimeoutError
├── Ended                 nobody erred (.by: "local", "remote", "network")      → stop, maybe redial
│   ├── StreamClosed
│   ├── StreamReset       (.code)
│   │   └── RequestFailed
│   ├── ConnectionClosed  (.code)
│   └── EndOfStream       also an EOFError
├── LimitExceeded         one of our bounds was hit (.limit .value .setting)    → back off, raise the setting
│   └── Denied            our gater refused (.rule)
├── NoPeers               there is nobody to ask, or nobody took it             → connect to somebody of that network
├── NotFound              nobody who was asked has it (.asked)
├── ResolveFailed         a name in an address led to none (.name)
└── DialFailed            every address failed (.attempts)
"""

import errno
from collections.abc import Sequence
from copy import copy
from typing import Literal, Self

By = Literal["local", "remote", "network"]

NAME_LIMIT = 253
"""Characters of a name in the DNS."""


class StreamCode:
    """Wire codes of a stream reset (go-libp2p's numbers)."""

    NONE = 0
    NEGOTIATION_FAILED = 0x1001
    LIMIT_EXCEEDED = 0x1002
    RATE_LIMITED = 0x1003
    PROTOCOL_VIOLATION = 0x1004
    SUPPLANTED = 0x1005
    GARBAGE_COLLECTED = 0x1006
    SHUTDOWN = 0x1007
    GATED = 0x1008


class ConnectionCode:
    """What the end of a connection says on the wire, to be compared with `ConnectionClosed.code`; go-libp2p's numbers."""

    NONE = 0
    MUXER_VIOLATION = 1
    LIMIT_EXCEEDED = 0x1001
    RATE_LIMITED = 0x1002
    PROTOCOL_VIOLATION = 0x1003
    GARBAGE_COLLECTED = 0x1005
    SHUTDOWN = 0x1006
    GATED = 0x1007


def in_words(code: int, names: type[StreamCode] | type[ConnectionCode]) -> str:
    """A code as messages show it: with its name, or, where an application has chosen it, as a decimal number too."""
    if not code:
        return "code 0x0"
    name = next((name.lower().replace("_", " ") for name, value in vars(names).items() if value == code), str(code))
    return f"code {code:#x} ({name})"


class CortexError(Exception):
    """Every error of this package. Errors can be copied and pickled, so they pass from one process to another."""

    def again(self) -> Self:
        """The same, to be raised by whoever keeps this one: one that is kept and raised holds all that its frames held, who keeps
        it among them, in a circle that only a collection would free."""
        error = copy(self)
        error.__cause__ = self.__cause__
        return error

    def __reduce__(self) -> tuple[object, ...]:
        # By the default the class would be called with `args`, which have the finished message instead of its parts.
        return _rebuilt, (type(self), self.args, vars(self))


class LocalError(CortexError):
    """The caller broke the contract of the call; nothing changed."""


class ConfigInvalid(LocalError):
    """A setting is wrong; says where it stands, if it came from a file."""

    def __init__(self, message: str, *, key: str = "", file: str = "", line: int = 0) -> None:
        place = ":".join(str(part) for part in (file, line, key) if part)
        super().__init__(f"{place}: {message}" if place else message)
        self.file, self.line, self.key = file, line, key


class Busy(LocalError):
    """Another task reads (or writes) this stream at the moment; a stream has one reader and one writer."""


class NotRunning(LocalError):
    """The node is not started yet, or closed already."""


class Refuse(LocalError):
    """Raised by a stream or request handler: resets the stream with `code`, logged as no error.

    Making one raises LocalError where `code` is no number of 32 bits.
    """

    def __init__(self, code: int = StreamCode.NONE, message: str = "refused by the handler") -> None:
        if not isinstance(code, int) or not 0 <= code < 1 << 32:
            raise LocalError(f"a stream is reset with a number of 32 bits, not {code!r}")
        super().__init__(message)
        self.code = code


class StorageFailed(CortexError, OSError):
    """A file could not be read or written as it must be; the file itself is left as it was."""

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class ListenFailed(CortexError, OSError):
    """An address can't be listened on, for the system refuses; `errno` is its number (None where it has none).

    `problem` is the address and the reason, `advice` what to do about it; the message has both.
    """

    def __init__(self, address: object, reason: str, *, number: int | None = None) -> None:
        self.address = str(address)
        self.problem = f"can't listen on {self.address}: {reason}"
        self.advice = _LISTEN_ADVICE.get(number or 0, "listen on another address")
        super().__init__(f"{self.problem}; {self.advice}")
        self.errno = number

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"errno": self.errno})  # which OSError keeps in a place of its own


_LISTEN_ADVICE = {
    errno.EADDRINUSE: "another program has that port: stop it, or listen on another one; port 0 takes any that is free",
    errno.EACCES: "the system does not allow it: ports below 1024 often need privileges",
    errno.EPERM: "the system does not allow it: ports below 1024 often need privileges",
    errno.EADDRNOTAVAIL: "this machine has no such address: listen on one of its own, or on 0.0.0.0 or :: for all of them",
    errno.EAFNOSUPPORT: "this system has no such addresses (is IPv6 off?): leave this one out",
    errno.EMFILE: "the process has too many files open: raise its limit (ulimit -n)",
}


class RemoteError(CortexError):
    """The peer broke the protocol. `code` goes on the wire when its stream is reset, `offence` names the kind."""

    code: int = StreamCode.PROTOCOL_VIOLATION
    offence: str = "violation"


class ProtocolViolation(RemoteError):
    """Malformed, out of order, or over what was granted."""


class InvalidRecord(ProtocolViolation):
    """A DHT record that must not be kept or used: forged, expired, malformed, or of a namespace that nobody here can judge."""

    offence = "record"


class HandshakeFailed(RemoteError):
    """No authenticated connection came of it."""

    offence = "handshake"


class PeerIdMismatch(HandshakeFailed):
    """Somebody else answered than was asked for."""

    def __init__(self, expected: object, actual: object) -> None:
        super().__init__(f"expected peer {expected}, but {actual} answered: if that is whom you mean, dial it by that id")
        self.expected, self.actual = expected, actual


class NegotiationFailed(HandshakeFailed):
    """The two sides have no protocol in common; `protocols` are the ones that were proposed."""

    code = StreamCode.NEGOTIATION_FAILED
    offence = "negotiation"

    def __init__(self, message: str, *, protocols: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.protocols = tuple(protocols)


class MessageTooLarge(RemoteError):
    """A length above the cap was announced; nothing of the body was read."""

    offence = "size"

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(f"{what} of {size} bytes is over the limit of {limit}")
        self.size, self.limit = size, limit


class PeerTimeout(RemoteError, TimeoutError):
    """The peer did not do in time what it had to."""

    offence = "timeout"


class Ended(CortexError):
    """Something came to its end without anybody's fault; `by` says which side ended it."""

    def __init__(self, message: str = "", *, by: By = "local") -> None:
        super().__init__(message or f"ended by the {by} side")
        self.by = by


class StreamClosed(Ended):
    """The write side was closed before."""


class StreamReset(Ended):
    """The stream was reset, unread and unsent bytes are gone; `code` came with it (0: none)."""

    def __init__(self, message: str = "", *, code: int = 0, by: By = "remote") -> None:
        super().__init__(message or f"stream reset by the {by} side, {in_words(code, StreamCode)}", by=by)
        self.code = code


class RequestFailed(StreamReset):
    """The responder reset the stream of a request instead of answering."""


class ConnectionClosed(Ended):
    """The connection under this is gone; `code` is what the peer's GoAway said (0: none)."""

    def __init__(self, message: str = "", *, code: int = 0, by: By = "network") -> None:
        super().__init__(message or f"connection closed by the {by} side, {in_words(code, ConnectionCode)}", by=by)
        self.code = code


class EndOfStream(Ended, EOFError):
    """The peer closed its write side before all the bytes asked for had come; `partial` has those that did."""

    def __init__(self, message: str = "", *, partial: bytes = b"") -> None:
        super().__init__(message or f"stream ended after {len(partial)} bytes of a longer read", by="remote")
        self.partial = partial


class LimitExceeded(CortexError):
    """One of our own bounds was hit."""

    def __init__(self, scope: str, *, limit: int, value: int, setting: str) -> None:
        super().__init__(f"{scope}: {value} is over the limit of {limit}; raise it with {setting}")
        self.scope, self.limit, self.value, self.setting = scope, limit, value, setting


class Denied(LimitExceeded):
    """Our gater refused this peer or address."""

    def __init__(self, scope: str, *, rule: str, setting: str = "") -> None:
        """`setting` is what would let it in where that is no rule of access control, as with reputation."""
        super().__init__(scope, limit=0, value=0, setting=setting or rule)
        self.args = (f"{scope}: denied by rule {rule!r}",)
        self.rule = rule


class NoPeers(CortexError):
    """There was nobody to ask (of the DHT, of the candidates), or none of those who were asked did it; the message says why."""


class NotFound(CortexError):
    """A lookup in the DHT came to its end without what it was for; `asked` peers were asked."""

    def __init__(self, message: str, *, asked: int = 0) -> None:
        super().__init__(message)
        self.asked = asked


class ResolveFailed(CortexError):
    """A name led to no address. `name` is what was looked up."""

    def __init__(self, name: str, reason: str) -> None:
        shown = name if name.isprintable() and len(name) <= NAME_LIMIT else ascii(name[:NAME_LIMIT])
        super().__init__(f"{shown}: {reason}")
        self.name = name


class DialFailed(CortexError):
    """No address of the peer led to a connection; `attempts` says of each address why."""

    def __init__(self, message: str, attempts: Sequence[tuple[str, BaseException]] = ()) -> None:
        lines = [f"\n  {address}: {describe(error)}" for address, error in attempts]
        super().__init__(message + "".join(lines))
        self.attempts = tuple(attempts)


def _rebuilt(kind: type[CortexError], args: tuple[object, ...], state: dict[str, object]) -> CortexError:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(state)
    return error


def describe(error: BaseException) -> str:
    """What an error says, or its name where it says nothing."""
    return str(error) or type(error).__name__


def in_one_line(error: BaseException) -> str:
    """The same for a log: the attempts of a dial stand behind each other."""
    first, *others = describe(error).splitlines()
    return " ".join([first, "; ".join(line.strip() for line in others)]).rstrip()

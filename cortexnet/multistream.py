"""multistream-select 1.0: two sides agree on a protocol for the bytes that follow on a connection or a stream.

Every message is one line, `varint(len) text "\\n"`. The initiator proposes until the responder echoes a proposal; `na` refuses
one. All of it are handshake generators which read no byte behind the last line of the negotiation.

Spec: libp2p specs, connections/, "Protocol Negotiation"; multiformats/multistream-select.
"""

from collections.abc import Callable, Sequence

from cortexnet.errors import LocalError, MessageTooLarge, NegotiationFailed, ProtocolViolation
from cortexnet.handshake import Handshake, Read, Send
from cortexnet.multiformats import varint

HEADER = "/multistream/1.0.0"
MAX_LINE = 1024
"""Bytes of a line, its newline included: go's limit, and js's."""
MAX_PROPOSALS = 64
"""How many proposals make up one negotiation at most; a peer that finds nothing in as many is looking for trouble."""

_HEADER_TEXT = HEADER.encode()
_NA_TEXT = b"na"
_SHOWN = 128  # characters of the peer's text that may appear in an error


def _line(text: bytes) -> bytes:
    return varint.encode(len(text) + 1) + text + b"\n"


_HEADER_LINE = _line(_HEADER_TEXT)
_NA_LINE = _line(_NA_TEXT)


def check_protocols(protocols: Sequence[str]) -> None:
    """Raises LocalError where one negotiation can't be about these: for no or too many of them, or a name no line can carry."""
    if not 0 < len(protocols) <= MAX_PROPOSALS:
        raise LocalError(f"a negotiation has 1 to {MAX_PROPOSALS} proposals, not {len(protocols)}")
    for protocol in protocols:
        _proposal_line(protocol)


def propose(protocol: str) -> bytes:
    """The opening of a negotiation: the header, and `protocol` proposed.

    Optimistic ("lazy") initiators send it in front of their first data and run `confirm` on what comes back. Allowed for one
    proposal only: what follows a refused one is lost. Raises LocalError as `check_protocols`.
    """
    return _HEADER_LINE + _proposal_line(protocol)


def select(protocols: Sequence[str]) -> Handshake[str]:
    """Propose the protocols in order of preference; returns the first one the responder accepts.

    Raises NegotiationFailed where it accepts none; LocalError, at once, as `check_protocols`.
    """
    check_protocols(protocols)
    return _select(tuple(protocols), [_proposal_line(protocol) for protocol in protocols])


def confirm(protocol: str) -> Handshake[None]:
    """Read the answer to `propose(protocol)`. Raises NegotiationFailed where the responder refuses."""
    yield from _read_header()
    if not (yield from _read_answer(protocol)):
        raise nothing_in_common([protocol])


def be_selected(is_supported: Callable[[str], bool]) -> Handshake[str]:
    """The responder's side; returns the first proposal that `is_supported`, echoed byte for byte.

    Its header leaves at once: an initiator may be waiting for it, and none minds. `ls`, which is obsolete, gets `na` as any
    other unknown name. Behind an `na` may come the data of an optimistic initiator; bytes that are no line are taken for that
    and end in NegotiationFailed, not in a violation. `protocols` of that error has at most 128 characters of each name.
    """
    yield Send(_HEADER_LINE)
    yield from _read_header()
    refused: list[str] = []
    while len(refused) < MAX_PROPOSALS:
        try:
            text = yield from _read_line()
        except (ProtocolViolation, MessageTooLarge) as error:
            if not refused:
                raise
            raise nothing_in_common(refused) from error
        protocol = text.decode(errors="replace")
        # A replaced character would make two names of the peer's one for us: such a name is never ours.
        if protocol.encode() == text and is_supported(protocol):
            yield Send(_line(text))
            return protocol
        refused.append(protocol[:_SHOWN])
        yield Send(_NA_LINE)
    raise nothing_in_common(refused)


def _select(protocols: Sequence[str], lines: Sequence[bytes]) -> Handshake[str]:
    yield Send(_HEADER_LINE + lines[0])
    yield from _read_header()
    for index, protocol in enumerate(protocols):
        if index:
            yield Send(lines[index])
        if (yield from _read_answer(protocol)):
            return protocol
    raise nothing_in_common(protocols)


def _read_header() -> Handshake[None]:
    text = yield from _read_line()
    if text != _HEADER_TEXT:
        raise NegotiationFailed(f"the peer opened with {_shown(text)}, not with {HEADER}")


def _read_answer(protocol: str) -> Handshake[bool]:
    text = yield from _read_line()
    if text == _HEADER_TEXT:
        # A responder that greets at once, and again when it sees our header. rust skips that as well; once is enough.
        text = yield from _read_line()
    if text == _NA_TEXT:
        return False
    if text != protocol.encode():
        raise ProtocolViolation(f"the peer answered the proposal {protocol} with {_shown(text)}")
    return True


def _read_line() -> Handshake[bytes]:
    """The text of one line, without its newline. The length is refused before the body is read."""
    prefix = yield Read(1)
    while (decoded := varint.decode_partial(prefix)) is None:
        prefix += yield Read(1)
    size = decoded[0]
    if size > MAX_LINE:
        raise MessageTooLarge("multistream line", size, MAX_LINE)
    if size == 0:
        raise ProtocolViolation("multistream line without a newline")
    line = yield Read(size)
    if line[-1] != 0x0A:
        raise ProtocolViolation("multistream line without a newline")
    return line[:-1]


def _proposal_line(protocol: str) -> bytes:
    if not isinstance(protocol, str):
        raise LocalError(f"a protocol is named by a text, such as /my-app/1.0.0, not by a {type(protocol).__name__}")
    try:
        text = protocol.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        text = b""
    # rust takes no name without the slash, or with a newline inside.
    if not text.startswith(b"/") or b"\n" in text or len(text) >= MAX_LINE:
        raise LocalError(f"a protocol is named /… in at most {MAX_LINE - 1} bytes on one line, not {protocol[:_SHOWN]!r}")
    return _line(text)


def nothing_in_common(protocols: Sequence[str]) -> NegotiationFailed:
    """The error of who has proposed all of these."""
    names = ", ".join(ascii(protocol[:_SHOWN]) for protocol in protocols[:4])
    more = len(protocols) - 4
    return NegotiationFailed(f"no common protocol among {names}{f' and {more} more' if more > 0 else ''}", protocols=protocols)


def _shown(text: bytes) -> str:
    """The peer's text, safe for a log or a terminal."""
    return ascii(text[:_SHOWN])

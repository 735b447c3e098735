"""Errors of cortexnet in the words of the control protocol."""

from typing import Any

from cortexnet.errors import (
    ConnectionClosed,
    DialFailed,
    EndOfStream,
    NegotiationFailed,
    NoPeers,
    NotFound,
    PeerIdMismatch,
    StreamClosed,
    StreamReset,
)


class BadRequest(Exception):
    """The runner asked for something that makes no sense."""


KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (BadRequest, "bad_request"),
    (PeerIdMismatch, "peer_id_mismatch"),
    (NegotiationFailed, "unsupported_protocol"),
    (ConnectionClosed, "connection_closed"),
    (StreamReset, "reset"),
    (StreamClosed, "closed"),
    (EndOfStream, "ended"),
    (TimeoutError, "timeout"),
    (DialFailed, "dial_failed"),
    (NotFound, "not_found"),
    (NoPeers, "no_peers"),
)
"""The first that fits counts."""


def failure(error: BaseException) -> dict[str, Any]:
    """The fields of a failed answer."""
    if isinstance(error, DialFailed):
        error = next((cause for _, cause in error.attempts if isinstance(cause, PeerIdMismatch)), error)
    kind = next((name for kind, name in KINDS if isinstance(error, kind)), "failed")
    body: dict[str, Any] = {"kind": kind, "error": str(error) or type(error).__name__}
    if isinstance(error, StreamReset):
        body["code"] = error.code
    return body

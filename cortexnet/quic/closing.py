"""What the end of a QUIC connection or stream means. Spec: RFC 9000, section 20; libp2p specs, error codes."""

from typing import final

from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode

from cortexnet.errors import (
    ConnectionClosed,
    CortexError,
    HandshakeFailed,
    NegotiationFailed,
    ProtocolViolation,
)

_OUT_OF_RANGE = 0x1009  # of streams
_CONNECTION_OUT_OF_RANGE = 0x1008
_MAX_CODE = 0xFFFF_FFFF
_NO_ALPN = 120  # the TLS alert
_SHOWN = 128  # characters of a peer's words
_QUIET = "Idle timeout", "No validated network path"  # aioquic's words where nobody said goodbye


@final
class ConnectionRefused(ConnectionClosed):
    """The peer wants no new connection."""


def stream_code(code: int) -> int:
    """The code of a stream's end, as applications see it: QUIC's have 62 bits."""
    return code if code <= _MAX_CODE else _OUT_OF_RANGE


def closed_by_peer(event: ConnectionTerminated, *, is_established: bool) -> CortexError:
    """The peer has closed the connection, or nothing came of it for too long."""
    if event.reason_phrase in _QUIET and event.error_code in (QuicErrorCode.INTERNAL_ERROR, QuicErrorCode.NO_VIABLE_PATH):
        return ConnectionClosed(f"not a packet came any more ({event.reason_phrase.lower()})", by="network")
    code, words = event.error_code, _words(event)
    if event.frame_type is None:
        code = code if code <= _MAX_CODE else _CONNECTION_OUT_OF_RANGE
        return ConnectionClosed(f"connection closed by the remote side, code {code:#x}{words}", code=code, by="remote")
    if code == QuicErrorCode.CONNECTION_REFUSED:
        return ConnectionRefused(f"the peer has no room for this connection{words}", by="remote")
    if code & ~0xFF == QuicErrorCode.CRYPTO_ERROR:
        message = f"the peer refused the handshake, TLS alert {code & 0xFF}{words}"
        if is_established:
            return ConnectionClosed(message, by="remote")
        return NegotiationFailed(message, protocols=["libp2p"]) if code & 0xFF == _NO_ALPN else HandshakeFailed(message)
    if code == QuicErrorCode.NO_ERROR:
        return ConnectionClosed("the network or the peer closed the connection", by="network")
    message = f"the peer closed the connection, QUIC error {code:#x}{words}"
    return ConnectionClosed(message, by="remote") if is_established else HandshakeFailed(message)


def closed_by_us(event: ConnectionTerminated, *, is_established: bool) -> CortexError:
    """aioquic has closed the connection: the peer broke the protocol."""
    if event.error_code & ~0xFF == QuicErrorCode.CRYPTO_ERROR:
        return HandshakeFailed(f"the handshake failed: {event.reason_phrase or 'TLS alert'} ({event.error_code & 0xFF})")
    message = f"QUIC error {event.error_code:#x}: {event.reason_phrase}"
    return ProtocolViolation(message) if is_established else HandshakeFailed(message)


def _words(event: ConnectionTerminated) -> str:
    """What the peer says for people; its text, so cut and escaped."""
    return f" ({event.reason_phrase[:_SHOWN]!a})" if event.reason_phrase else ""

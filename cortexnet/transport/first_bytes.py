"""What is spoken on a socket, told by its first bytes, where one port serves several things.

Spec: as go-libp2p's `tcpreuse` does it.
"""

from typing import Literal

Kind = Literal["tcp", "ws", "wss"]
ENOUGH = 3
"""Bytes that tell."""
_MULTISTREAM = b"\x13/m"  # the first line of every libp2p dialer: its length, and /multistream/1.0.0
_TLS_HANDSHAKE = b"\x16\x03"  # and a minor version from 1 to 3
_METHODS = frozenset((b"GET", b"POS", b"HEA", b"PUT", b"DEL", b"CON", b"OPT", b"TRA", b"PAT", b"PRI"))


def kind_of(begin: bytes) -> Kind | None:
    """What a socket that began with these three bytes speaks; None for what nobody here does."""
    if begin == _MULTISTREAM:
        return "tcp"
    if begin in _METHODS:
        return "ws"
    return "wss" if begin[:2] == _TLS_HANDSHAKE and 1 <= begin[2] <= 3 else None

"""The keep-alive of TCP itself, for what has none above it: mplex has no pings. A shell."""

import socket
import sys
from contextlib import suppress
from typing import Protocol

IDLE = 45
"""Seconds without a byte before the system asks: above `limits.keep_alive_interval`, so that where yamux pings it need not."""
INTERVAL = 5
"""Seconds between its questions."""
QUESTIONS = 3
"""Unanswered, so many mean that the connection is dead: a minute after the last byte. With data on the way it takes longer."""


class Socket(Protocol):
    """As much of a socket as asyncio shows."""

    def setsockopt(self, level: int, optname: int, value: int, /) -> None:
        """Set an option."""


def keep_alive(bound: Socket) -> None:
    """Let the system notice when the other end is gone. Of a listening socket, those that it accepts have it too.

    Nothing happens where the system refuses, or the socket was closed meanwhile.
    """
    with suppress(OSError):
        _set_options(bound)


def _set_options(bound: Socket) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":  # others have these by other names; their own defaults are two hours
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, QUESTIONS)

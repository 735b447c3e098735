"""The seam of transports."""

from collections.abc import Callable
from typing import Protocol

from cortexnet.admission.resources import Reservation
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.connection import Connection

Accept = Callable[[Connection], None]
"""Gets upgraded connections that are not started yet; must not raise."""


class Listener(Protocol):
    """A bound address that accepts connections until it is closed."""

    address: Multiaddr
    """With the real port."""

    def close(self) -> None:
        """Stop accepting; connections live on."""


class Transport(Protocol):
    """Turns multiaddrs into authenticated, multiplexed connections (go-libp2p's CapableConn)."""

    name: str
    """Such as "tcp"."""

    def can_dial(self, address: Multiaddr) -> bool:
        """Whether this transport understands the address."""

    def can_listen(self, address: Multiaddr) -> bool:
        """Whether this transport can listen on the address."""

    async def dial(self, address: Multiaddr, expected: PeerId | None, reservation: Reservation) -> Connection:
        """A connection that reads nothing before its `start`. Raises RemoteError, Ended, LimitExceeded, OSError.

        Owns the reservation from the call on. Cancelled or failed: it is released, and the socket closed.
        """

    async def listen(self, address: Multiaddr, accept: Accept) -> Listener:
        """Binds before it returns. Raises OSError, LimitExceeded."""

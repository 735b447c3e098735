"""Closes connections that another one has made superfluous, once nobody uses them. A shell."""

import asyncio
import logging
from typing import TYPE_CHECKING, final

from cortexnet.errors import ConnectionCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cortexnet.identity.peer_id import PeerId
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.scope import Scope

log = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds without a stream before it goes: the peer may be about to open one, and other stacks go on using what they have."""
RELAY_LIMIT = 120.0
"""Seconds after which a relayed one goes with all its streams: relays grant no more by default, and many have to share them."""


@final
class Pruner:
    """One timer for each superfluous connection; `superfluous` says which of a peer's are. Streams are let finish."""

    def __init__(self, scope: "Scope", superfluous: "Callable[[PeerId], Sequence[Connection]]") -> None:
        self._scope = scope
        self._superfluous = superfluous
        self._timers: dict[Connection, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """How many are waited for."""
        return len(self._timers)

    def look(self, peer: "PeerId") -> None:
        """A connection of the peer's has come: another one may have to go."""
        now = asyncio.get_running_loop().time()
        for connection in self._superfluous(peer):
            if connection not in self._timers:
                self._arm(connection, now + GRACE, now)

    def forget(self, connection: "Connection") -> None:
        """It is gone."""
        timer = self._timers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def stop(self) -> None:
        """Close no more."""
        for connection in list(self._timers):
            self.forget(connection)

    def _arm(self, connection: "Connection", when: float, since: float) -> None:
        self._timers[connection] = asyncio.get_running_loop().call_at(when, self._due, connection, since)

    def _due(self, connection: "Connection", since: float) -> None:
        del self._timers[connection]
        if connection not in self._superfluous(connection.peer_id):
            return  # the better one has ended meanwhile
        now = asyncio.get_running_loop().time()
        is_used = connection.reservation.streams.open_count > 0
        due = now + GRACE if is_used else connection.last_used + GRACE
        if connection.is_relayed:
            due = min(due, since + RELAY_LIMIT)
        if due > now:
            self._arm(connection, due, since)
        else:
            log.debug("closing %r, which another connection to the peer has made superfluous", connection)
            self._scope.spawn(connection.close(ConnectionCode.GARBAGE_COLLECTED), name=f"close a duplicate {connection.peer_id}")

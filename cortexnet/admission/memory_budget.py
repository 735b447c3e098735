"""How much memory is held for readers: a total of the node, and each peer's and each connection's part of it.

Charging and releasing run once per received chunk, so they are additions and nothing else; who is over which cap is only
worked out when somebody asks.
"""

import sys
from collections.abc import Callable, Hashable
from typing import final

from cortexnet.errors import LimitExceeded
from cortexnet.mux.outbox import OutboxPool

_HELD = "memory held for readers"


@final
class PeerMemory:
    """What all connections of one peer hold together."""

    __slots__ = ("connections", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.connections = 0


@final
class NodeMemory:
    """The node's total, and the connections and peers that share it."""

    __slots__ = ("_connections", "limit", "on_dropped", "outgoing", "peer_limit", "peers", "used")

    def __init__(self, limit: int, peer_limit: int = sys.maxsize, outbox_limit: int = sys.maxsize) -> None:
        """`peer_limit` bounds the connections of one peer together, `outbox_limit` what all have queued to send."""
        self.limit = limit
        self.peer_limit = peer_limit
        self.used = 0
        self.outgoing = OutboxPool(outbox_limit)
        """What all streams have queued to send; apart from what is held for readers, or many writes would end reads."""
        self.peers: dict[Hashable, PeerMemory] = {}
        self._connections: dict[ConnectionMemory, None] = {}
        self.on_dropped: Callable[[int], None] | None = None
        """Called with what goes unread, in bytes: with a stream, or with what a connection held to its end. Must not raise."""

    def open(self, limit: int) -> "ConnectionMemory":
        """A new connection's part, empty and bounded by `limit`; it must be closed."""
        connection = ConnectionMemory(self, limit)
        self._connections[connection] = None
        return connection

    def is_over(self) -> bool:
        """Whether the node's cap is passed."""
        return self.used > self.limit

    def heaviest(self) -> "ConnectionMemory | None":
        """The connection that holds most, of the peer that holds most; None where nothing is held.

        Connections without a verified peer stand for themselves. Takes time linear in the number of connections.
        """
        holding = [connection for connection in self._connections if connection.used]
        return max(holding, key=lambda connection: (connection.peer.used, connection.used), default=None)

    def forget(self, connection: "ConnectionMemory") -> None:
        """Take a connection's part out of the totals; nothing happens where that was done before."""
        if connection in self._connections:
            del self._connections[connection]
            self.used -= connection.used
            peer = connection.peer
            peer.used -= connection.used
            peer.connections -= 1
            if not peer.connections and connection.owner is not None:
                del self.peers[connection.owner]
            if connection.used:
                self.dropped(connection.used)

    def dropped(self, size: int) -> None:
        """So many bytes go unread."""
        if self.on_dropped is not None:
            self.on_dropped(size)


@final
class ConnectionMemory:
    """One connection's part; the `MemoryBudget` of its muxer. Not to be made directly: see `NodeMemory.open`."""

    __slots__ = ("limit", "node", "outgoing", "owner", "passed", "peer", "used")

    setting = "limits.connection_memory and limits.peer_memory"
    """What its cap is raised with: the lower one of both holds."""

    def __init__(self, node: NodeMemory, limit: int) -> None:
        self.node = node
        self.outgoing = node.outgoing
        self.limit = limit
        self.used = 0
        self.owner: Hashable | None = None
        """The verified peer."""
        self.peer = PeerMemory(sys.maxsize)
        self.peer.connections = 1
        self.passed: LimitExceeded | None = None
        """The cap that was passed last, as `is_over` found it."""

    def belong_to(self, owner: Hashable, limit: int) -> None:
        """The peer is verified: share its part with its other connections, and have up to `limit`; called once."""
        self.limit = min(limit, self.node.peer_limit)
        self.owner = owner
        self.peer = self.node.peers.setdefault(owner, PeerMemory(self.node.peer_limit))
        self.peer.used += self.used
        self.peer.connections += 1

    def charge(self, size: int) -> None:
        """Count `size` bytes that are held already, even past a cap."""
        self.used += size
        self.peer.used += size
        self.node.used += size

    def release(self, size: int) -> None:
        """Give back what was charged or reserved."""
        self.used -= size
        self.peer.used -= size
        self.node.used -= size

    def dropped(self, size: int) -> None:
        """Of what is charged, and given back next, so much goes unread."""
        self.node.dropped(size)

    def reserve(self, size: int) -> bool:
        """Count `size` bytes before they are there; False, and nothing counted, where a cap would be passed."""
        node, peer = self.node, self.peer
        if self.used + size > self.limit or peer.used + size > peer.limit or node.used + size > node.limit:
            return False
        self.used += size
        peer.used += size
        node.used += size
        return True

    def is_over(self) -> bool:
        """Whether this connection must give up its largest unread stream; `passed` then says why.

        That is where it passes its own cap, or its peer's, or is the heaviest where the node's is passed.
        """
        peer, node = self.peer, self.node
        if self.used > self.limit or peer.used > peer.limit:
            used, limit = (self.used, self.limit) if self.used > self.limit else (peer.used, peer.limit)
            self.passed = LimitExceeded(_HELD, limit=limit, value=used, setting=self.setting)
            return True
        if node.is_over() and node.heaviest() is self:
            self.passed = LimitExceeded(_HELD, limit=node.limit, value=node.used, setting="limits.memory")
            return True
        return False

    def close(self) -> None:
        """Give back all that is left. What is released or charged afterwards no longer touches the totals."""
        self.node.forget(self)
        # Readers may still drain what they hold: totals of its own keep the hot calls free of a check.
        self.node = NodeMemory(self.limit)
        self.peer = PeerMemory(sys.maxsize)
        self.node.used = self.peer.used = self.used

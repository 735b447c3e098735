"""How much memory is held for readers: a total of the node, and each connection's part of it.

Charging and releasing run once per received chunk, so they are additions and nothing else; who is over which cap is only
worked out when somebody asks.
"""

from typing import final


@final
class NodeMemory:
    """The node's total, and the connections that share it."""

    __slots__ = ("_connections", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._connections: dict[ConnectionMemory, None] = {}

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
        by_owner: dict[object, int] = {}
        for connection in holding:
            by_owner[connection.owner] = by_owner.get(connection.owner, 0) + connection.used
        return max(holding, key=lambda connection: (by_owner[connection.owner], connection.used), default=None)

    def forget(self, connection: "ConnectionMemory") -> None:
        """Take a connection's part out of the total; nothing happens where that was done before."""
        if connection in self._connections:
            del self._connections[connection]
            self.used -= connection.used


@final
class ConnectionMemory:
    """One connection's part; the `MemoryBudget` of its muxer. Not to be made directly: see `NodeMemory.open`."""

    __slots__ = ("limit", "node", "owner", "used")

    def __init__(self, node: NodeMemory, limit: int) -> None:
        self.node = node
        self.limit = limit
        self.used = 0
        self.owner: object = self
        """Who is asked to give first: the verified peer, or while there is none the connection itself."""

    def charge(self, size: int) -> None:
        """Count `size` bytes that are held already, even past a cap."""
        self.used += size
        self.node.used += size

    def release(self, size: int) -> None:
        """Give back what was charged or reserved."""
        self.used -= size
        self.node.used -= size

    def reserve(self, size: int) -> bool:
        """Count `size` bytes before they are there; False, and nothing counted, where a cap would be passed."""
        node = self.node
        if self.used + size > self.limit or node.used + size > node.limit:
            return False
        self.used += size
        node.used += size
        return True

    def is_over(self) -> bool:
        """Whether this connection must give up its largest unread stream: past its own cap, or the heaviest past the node's."""
        if self.used > self.limit:
            return True
        return self.node.is_over() and self.node.heaviest() is self

    def close(self) -> None:
        """Give back all that is left. What is released or charged afterwards no longer touches the node's total."""
        self.node.forget(self)
        # Readers may still drain what they hold: a total of its own keeps the hot calls free of a check.
        self.node = NodeMemory(self.limit)
        self.node.used = self.used

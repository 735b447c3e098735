"""Promises: who says that it has a message must send it when asked.

Of each request one message is watched. Whoever delivers it keeps the promise of all, since they can't deliver it any more.

Spec: libp2p/specs gossipsub 1.1, "Spam Protection Measures".
"""

from collections import deque
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

LIMIT: Final = 50_000
"""Promises at a time, past which none is noted: 10 a heartbeat for 3 s of each of 1,600 peers."""


@final
class Promises:
    """What is promised for the next `follow_up` seconds."""

    __slots__ = ("_by_id", "_by_peer", "_follow_up", "_order")

    def __init__(self, follow_up: float) -> None:
        self._follow_up = follow_up
        self._by_id: dict[bytes, dict[PeerId, float]] = {}
        self._by_peer: dict[PeerId, dict[bytes, None]] = {}
        self._order: deque[tuple[float, bytes, PeerId]] = deque()

    def __len__(self) -> int:
        return sum(len(peers) for peers in self._by_id.values())

    def add(self, peer: "PeerId", message_id: bytes, now: float) -> None:
        """The peer was asked for this message. A promise that stands already keeps its time."""
        if len(self._order) >= LIMIT or peer in self._by_id.get(message_id, ()):
            return
        peers = self._by_id.setdefault(message_id, {})
        peers[peer] = now + self._follow_up
        self._by_peer.setdefault(peer, {})[message_id] = None
        self._order.append((peers[peer], message_id, peer))

    def keep(self, message_id: bytes) -> None:
        """The message has come, from whomever: all who promised it are free."""
        for peer in self._by_id.pop(message_id, ()):
            self._forget(peer, message_id)

    def forgive(self, peer: "PeerId") -> None:
        """We dropped messages of this peer unread: it may have kept its promises."""
        for message_id in self._by_peer.pop(peer, ()):
            peers = self._by_id[message_id]
            del peers[peer]
            if not peers:
                del self._by_id[message_id]

    def broken(self, now: float) -> "dict[PeerId, int]":
        """How many promises of whom have been broken since the last call."""
        found: dict[PeerId, int] = {}
        while self._order and self._order[0][0] < now:
            expiry, message_id, peer = self._order.popleft()
            peers = self._by_id.get(message_id, {})
            if peers.get(peer) != expiry:
                continue  # kept or forgiven meanwhile
            del peers[peer]
            if not peers:
                del self._by_id[message_id]
            self._forget(peer, message_id)
            found[peer] = found.get(peer, 0) + 1
        return found

    def _forget(self, peer: "PeerId", message_id: bytes) -> None:
        promised = self._by_peer[peer]
        del promised[message_id]
        if not promised:
            del self._by_peer[peer]

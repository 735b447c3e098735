"""Messages of the last heartbeats, for peers that missed them and ask.

Spec: libp2p/specs gossipsub 1.0, "Message Cache".
"""

from collections import deque
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from cortexnet.gossip.message import Message
    from cortexnet.identity.peer_id import PeerId


@final
class MessageCache:
    """`history` windows of messages, of which the last `gossiped` are told of. `byte_limit` bounds what all of them hold.

    A peer gets the same message `retransmissions` times, so that a request of some bytes can't be turned into any amount.
    """

    __slots__ = ("_byte_limit", "_bytes", "_gossiped", "_messages", "_order", "_retransmissions", "_sent", "_windows")

    def __init__(self, history: int, gossiped: int, byte_limit: int, retransmissions: int) -> None:
        self._gossiped = gossiped
        self._byte_limit = byte_limit
        self._retransmissions = retransmissions
        self._bytes = 0
        self._messages: dict[bytes, Message] = {}
        self._order: deque[bytes] = deque()
        self._sent: dict[bytes, dict[PeerId, int]] = {}
        self._windows: deque[dict[str, list[bytes]]] = deque([{} for _ in range(history)])

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def bytes_held(self) -> int:
        """What the messages take."""
        return self._bytes

    def put(self, message: "Message") -> None:
        """Keep a message, by its `id`, for `history` shifts. One that is there already stays where it is."""
        if message.id in self._messages:
            return
        self._messages[message.id] = message
        self._order.append(message.id)
        self._bytes += len(message.wire)
        self._windows[0].setdefault(message.topic, []).append(message.id)
        while self._bytes > self._byte_limit:
            self._drop(self._order.popleft())

    def get(self, message_id: bytes) -> "Message | None":
        """The message, if it is still here."""
        return self._messages.get(message_id)

    def get_for_peer(self, message_id: bytes, peer: "PeerId") -> "Message | None":
        """The message for a peer that asks: None where it is gone, or was given to this peer too often."""
        message = self._messages.get(message_id)
        if message is None:
            return None
        sent = self._sent.setdefault(message_id, {})
        count = sent.get(peer, 0)
        if count >= self._retransmissions:
            return None
        sent[peer] = count + 1
        return message

    def gossip_ids(self, topic: str) -> list[bytes]:
        """Ids of the topic's messages in the last `gossiped` windows, the newest window first."""
        windows = [self._windows[index].get(topic, ()) for index in range(self._gossiped)]
        return [message_id for window in windows for message_id in window if message_id in self._messages]

    def shift(self) -> None:
        """A heartbeat has passed: begin a new window, and drop the oldest."""
        self._windows.appendleft({})
        for message_ids in self._windows.pop().values():
            for message_id in message_ids:
                self._drop(message_id)
        while self._order and self._order[0] not in self._messages:
            self._order.popleft()

    def _drop(self, message_id: bytes) -> None:
        message = self._messages.pop(message_id, None)
        if message is not None:
            self._bytes -= len(message.wire)
            self._sent.pop(message_id, None)

"""What waits to be sent to one peer: bounded, the urgent first, messages joined into as few RPCs as they fit in.

Spec: libp2p/specs pubsub/gossipsub, "Control message piggybacking".
"""

from collections import deque
from typing import final

from cortexnet.gossip.actions import ASKED, CONTROL, FORWARD, GOSSIP, HELLO, OWN, URGENT
from cortexnet.gossip.answers import AnswerQueue
from cortexnet.multiformats import varint

_OVERHEAD = 64  # bytes that an entry costs besides its content


@final
class Outbox:
    """The queue of one peer. Bodies are encoded RPCs without their length.

    Messages (OWN, FORWARD) and gossip are refused once `rpc_limit` RPCs or `byte_limit` bytes wait. What holds the overlay
    together (HELLO, CONTROL) is always taken, up to twice that; a peer that is so far behind reads nothing any more. URGENT has
    half of the RPCs at most: whoever sends us large messages, forged ones too, causes it at everybody else. What the peer asked
    for (ASKED) has the bounds of `answers`, and goes when nothing else waits.
    """

    __slots__ = ("_answers", "_byte_limit", "_frame_messages", "_frame_size", "_queues", "_rpc_limit", "count", "size")

    def __init__(self, *, rpc_limit: int, byte_limit: int, frame_size: int, frame_messages: int, answers: AnswerQueue) -> None:
        """Up to `frame_size` bytes and `frame_messages` messages are joined into one RPC; a larger message is one alone."""
        self._rpc_limit = rpc_limit
        self._byte_limit = byte_limit
        self._frame_size = frame_size
        self._frame_messages = frame_messages
        self._answers = answers
        self._queues = [deque[bytes]() for _ in range(GOSSIP + 1)]
        self._queues[OWN] = self._queues[FORWARD]  # in one line: who publishes much must not hold up what others have said
        self.count = 0
        """RPCs that wait, but for those that were asked for."""
        self.size = 0
        """Bytes that they hold, what each costs besides its content included."""

    @property
    def has_room(self) -> bool:
        """Whether one more message would be taken."""
        return self.count < self._rpc_limit and self.size < self._byte_limit

    def __len__(self) -> int:
        """All that wait."""
        return self.count + len(self._answers)

    def offer(self, body: bytes, priority: int) -> bool:
        """Queue an RPC; False, and nothing queued, where there is no room."""
        if priority == ASKED:
            return self._answers.offer(body)
        if priority == URGENT and 2 * len(self._queues[URGENT]) >= self._rpc_limit > 1:
            return False
        if not self.has_room and (
            priority not in (HELLO, CONTROL) or self.count >= 2 * self._rpc_limit or self.size >= 2 * self._byte_limit
        ):
            return False
        self._queues[priority].append(body)
        self.count += 1
        self.size += len(body) + _OVERHEAD
        return True

    def take(self, size: int) -> bytes:
        """About `size` bytes of whole frames, the most urgent ones; b"" where nothing waits."""
        parts: list[bytes] = []
        taken = 0
        for priority, queue in enumerate(self._queues):
            while queue and taken < size:
                count, body_size = self._take_rpc(queue, self._frame_messages if priority in (OWN, FORWARD) else 1, parts)
                taken += body_size
                self.count -= count
                self.size -= body_size + count * _OVERHEAD
        while self._answers and taken < size:
            taken += self._take_rpc(self._answers, self._frame_messages, parts)[1]
        return b"".join(parts)

    def _take_rpc(self, queue: deque[bytes] | AnswerQueue, count: int, parts: list[bytes]) -> tuple[int, int]:
        """One RPC of up to `count` in the queue, how many it is made of, and its size.

        The fields of two RPCs, one behind the other, are those of one with both.
        """
        bodies: list[bytes] = []
        size = 0
        while queue and len(bodies) < count and (not bodies or size + len(queue[0]) <= self._frame_size):
            body = queue.popleft()
            size += len(body)
            bodies.append(body)
        parts.append(varint.encode(size))
        parts += bodies
        return len(bodies), size

    def clear(self) -> int:
        """Forget everything; how many RPCs that were."""
        count = self.count + self._answers.clear()
        for queue in self._queues:
            queue.clear()
        self.count = self.size = 0
        return count

"""Messages that peers asked for by IWANT and that wait to be sent: many at once, each of which others hold as well.

Only references wait. The bytes are those of the message cache, and outlive it where somebody takes long; so the bytes are
bounded for all peers together, and a message counts once however many wait for it.
"""

from collections import deque
from typing import final


@final
class Answers:
    """What waits for all peers of a node. Where `byte_limit` is reached, whoever lets most wait goes without."""

    __slots__ = ("_byte_limit", "_holders", "_queues", "size")

    def __init__(self, byte_limit: int) -> None:
        self._byte_limit = byte_limit
        self._holders: dict[int, int] = {}  # by the identity of the bytes, which live as long as they are in a queue
        self._queues: dict[AnswerQueue, None] = {}
        self.size = 0
        """Bytes of all messages that wait."""

    def hold(self, queue: "AnswerQueue", body: bytes) -> bool:
        """Count a message in; False where there is no room, and nobody lets more wait than this queue."""
        while id(body) not in self._holders and self.size + len(body) > self._byte_limit:
            greediest = max(self._queues, key=lambda each: each.size, default=queue)
            if greediest.size <= queue.size:
                return False
            greediest.lose()
        if id(body) not in self._holders:
            self.size += len(body)
        self._holders[id(body)] = self._holders.get(id(body), 0) + 1
        self._queues[queue] = None
        return True

    def release(self, queue: "AnswerQueue", body: bytes) -> None:
        """It has left a queue."""
        left = self._holders[id(body)] = self._holders[id(body)] - 1
        if not left:
            del self._holders[id(body)]
            self.size -= len(body)
        if not queue:
            del self._queues[queue]


@final
class AnswerQueue:
    """What waits for one peer, up to `limit` messages, in the order in which it asked."""

    __slots__ = ("_answers", "_bodies", "_limit", "lost", "size")

    def __init__(self, answers: Answers, limit: int) -> None:
        self._answers = answers
        self._limit = limit
        self._bodies: deque[bytes] = deque()
        self.size = 0
        """Bytes of them."""
        self.lost = 0
        """Messages that made room for those of other peers."""

    def __len__(self) -> int:
        return len(self._bodies)

    def offer(self, body: bytes) -> bool:
        """Queue a message; False, and nothing queued, where there is no room."""
        if len(self._bodies) >= self._limit or not self._answers.hold(self, body):
            return False
        self._bodies.append(body)
        self.size += len(body)
        return True

    def __getitem__(self, index: int) -> bytes:
        return self._bodies[index]

    def popleft(self) -> bytes:
        """The next one, out of the queue."""
        body = self._bodies.popleft()
        self.size -= len(body)
        self._answers.release(self, body)
        return body

    def clear(self) -> int:
        """Forget them; how many they were."""
        count = len(self._bodies)
        while self._bodies:
            self.popleft()
        return count

    def lose(self) -> None:
        """Forget them for the sake of others."""
        self.lost += self.clear()

"""A subscription to a topic: a bounded queue between the router and the application. A shell."""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Literal, Protocol, Self, final, get_args

from cortexnet.errors import LocalError, NotRunning
from cortexnet.host.deadline import deadline
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.one_reader import OneReader

if TYPE_CHECKING:
    from cortexnet.gossip.delivery import GossipMessage

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

Policy = Literal["block", "drop_oldest", "drop_newest"]
"""What happens to a message for which a queue has no room: the streams that bring such are not read until there is, or it, or the
oldest, is dropped and counted."""


class Topics(Protocol):
    """Who gives subscriptions their messages."""

    def join(self, subscription: "Subscription") -> None:
        """Messages are wanted from now on. Raises NotRunning, and LocalError for a topic that is none."""

    def leave(self, subscription: "Subscription") -> None:
        """No more messages are wanted."""

    def room_is_needed(self, topic: str) -> None:
        """A queue is full that shall lose nothing: no more messages of the topic, until as many `room_was_made` have come."""

    def room_was_made(self, topic: str) -> None:
        """It has room again, or has no patience any more."""

    def reach(self, topic: str) -> int:
        """How many peers a message of this topic would be sent to now."""

    async def reach_changes(self) -> None:
        """Wait until `reach` may give another answer. Raises NotRunning where it never will."""


@final
class Subscription:
    """Messages of one topic, from its `async with` on, one after the other by `async for`, until the node is closed.

    `policy` says what happens where `queue` messages or `queue_bytes` bytes wait: see `dropped`. One task may iterate; before the
    block that raises LocalError. Cancelled while it waits: no message is lost.
    """

    def __init__(
        self,
        topics: Topics,
        topic: str,
        *,
        policy: Policy,
        queue: int,
        queue_bytes: int,
        patience: float,
        own: bool = False,
    ) -> None:
        """`patience`: seconds that a full queue may block. `own`: messages that this node publishes are delivered as well.

        Raises LocalError for what is no policy or bound.
        """
        if policy not in get_args(Policy):
            raise LocalError(f"{policy!r} is no policy of a queue: use {', '.join(get_args(Policy))}")
        if queue < 1 or queue_bytes < 1:
            raise LocalError(f"a queue of messages holds at least 1, not {min(queue, queue_bytes)}")
        self.topic = topic
        self._policy: Policy = policy
        self.own = own
        self.dropped = 0
        """Messages for which the queue had no room. With "block" only where the reader was behind for longer than it may."""
        self._topics = topics
        self._limit = queue
        self._byte_limit = queue_bytes
        self._patience = patience
        self._queue: deque[GossipMessage] = deque()
        self._bytes = 0
        self._reader = OneReader("this subscription")
        self._is_joined = False
        self._blocking: asyncio.TimerHandle | None = None
        self._is_impatient = False  # it has blocked for so long that it drops

    def __repr__(self) -> str:
        return f"<Subscription {self.topic!r} {self.policy} {len(self._queue)} of {self._limit}, {self.dropped} dropped>"

    async def __aenter__(self) -> Self:
        if self._reader.has_ended:
            raise NotRunning("a subscription is entered once; make a new one")
        self.join()
        return self

    def join(self) -> None:
        """Want messages from now on; entering the block does the same. Raises NotRunning."""
        self._topics.join(self)
        self._is_joined = True

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Want no more messages: what is queued can still be read, then comes the end. Leaving the block does the same."""
        if not self._reader.has_ended:
            self._topics.leave(self)
            self.end()

    @property
    def policy(self) -> Policy:
        """What happens to a message for which there is no room."""
        return self._policy

    @property
    def waiting(self) -> int:
        """Messages that wait to be taken."""
        return len(self._queue)

    @property
    def is_full(self) -> bool:
        """Whether the next message finds no room."""
        return len(self._queue) >= self._limit or self._bytes >= self._byte_limit

    async def ready(self, peers: int = 1, *, timeout: float | None = None) -> int:
        """Wait until what is published here would be sent to so many peers; how many there are.

        That can't be more than a mesh has (12) unless messages are flooded. `timeout` is in seconds. Raises PeerTimeout after
        it, NotRunning where the node is closed meanwhile or the block was left, LocalError before the block and for what is no
        number. Cancelled: nothing changes.
        """
        if not isinstance(peers, int):
            raise LocalError(f"peers are a whole number, not {peers!r}")
        if self._reader.has_ended:
            raise NotRunning("this subscription has ended; make a new one")
        if not self._is_joined:
            raise LocalError("nobody is told of it before `async with subscription`: wait inside of that block")
        async with deadline(timeout, f"{peers} peers for {self.topic!r}"):
            while (reach := self._topics.reach(self.topic)) < peers:
                await self._topics.reach_changes()
        return reach

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> "GossipMessage":
        while not self._queue:
            if not (self._is_joined or self._reader.has_ended):
                raise LocalError("nothing comes before `async with subscription`: read it inside of that block")
            await self._reader.wait()
        return self._take()

    def _take(self) -> "GossipMessage":
        message = self._queue.popleft()
        self._bytes -= len(message.data)
        # Not as soon as there is room for one: each time all streams would be woken for it.
        if len(self._queue) <= self._limit // 2 and self._bytes <= self._byte_limit // 2:
            self._is_impatient = False
            self._unblock()
        return message

    # --- called by the service ---------------------------------------------------------------------------------------------

    @property
    def is_blocking(self) -> bool:
        """Whether no more messages of its topic may be read because of it."""
        return self._blocking is not None

    def offer(self, message: "GossipMessage") -> bool:
        """Queue a message, or drop one as the policy says; whether none was dropped.

        With "block" what had been read before is queued all the same: the excess is bounded by what was being validated, and of
        this node's own by what was being published. After the end nothing is queued.
        """
        if self._reader.has_ended:
            return False
        is_full = self.is_full
        if is_full and (self._policy == "drop_newest" or self._is_impatient):
            self.dropped += 1
            return False
        while self._policy == "drop_oldest" and self.is_full:  # which it is not when it is empty
            self._bytes -= len(self._queue.popleft().data)
            self.dropped += 1
        self._queue.append(message)
        self._bytes += len(message.data)
        if self._policy == "block":
            if not self.is_blocking and not self._is_impatient and self.is_full:
                self._block()
            is_full = False
        self._reader.wake()
        return not is_full

    def _block(self) -> None:
        self._blocking = asyncio.get_running_loop().call_later(self._patience, self._lose_patience)
        self._topics.room_is_needed(self.topic)

    def _unblock(self) -> None:
        if self._blocking is not None:
            self._blocking.cancel()
            self._blocking = None
            self._topics.room_was_made(self.topic)

    def _lose_patience(self) -> None:
        """Peers give up about now, and other topics wait behind this one. What is queued already stays."""
        self._is_impatient = True
        self._unblock()
        log.warning(
            "the reader of topic %.128r is %d messages behind for %g s: more are dropped, and counted, until it has read half",
            self.topic,
            len(self._queue),
            self._patience,
        )

    def end(self) -> None:
        """Nothing more comes."""
        self._unblock()
        self._reader.end()

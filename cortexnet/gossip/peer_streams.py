"""The stream on which one peer is told what we say: opened when there is something to say, and again when it is lost. A shell.

Each side of gossip opens one stream to the other, and writes on that alone. What the peer writes on ours is an error.

Spec: libp2p/specs pubsub, "Stream management"; what is done about lost streams is what go-libp2p-pubsub does.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol, final

from cortexnet.errors import CortexError, StreamCode
from cortexnet.gossip.actions import OWN
from cortexnet.gossip.answers import AnswerQueue, Answers
from cortexnet.gossip.outbox import Outbox
from cortexnet.transport.log_limit import LogLimit

if TYPE_CHECKING:
    from random import Random

    from cortexnet.gossip.config import GossipConfig
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.transport.scope import Scope
    from cortexnet.transport.stream import Stream

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

PAUSES: Final = (0.0, 0.1, 0.2, 0.4)
"""Seconds before a lost stream is opened again, and up to `_JITTER` more; after the last loss only a new connection helps."""
MOVE_PAUSE: Final = 1.0
"""Seconds without a word before a stream moves to another connection: by then the peer has read what was said on the old one."""
RETIREMENT: Final = 10.0
"""Seconds that the peer has to end the old stream; then we do."""
MEMORY: Final = 600.0
"""Seconds after which a loss is forgotten."""
_JITTER = 0.1
_FRAME_MESSAGES = 100  # of one RPC: what they have besides their data counts as well, and nothing is won by more
_CHUNK = 65_536  # bytes of one write: what a stream may have queued in its connection


class LineOwner(Protocol):
    """Whom a line belongs to."""

    async def open_stream(self, peer: "PeerId") -> "Stream":
        """A stream of ours to the peer. Raises CortexError."""

    def opened(self, line: "Line", stream: "Stream") -> None:
        """There is a stream: what is offered now goes out, the hello in front."""

    def ended(self, line: "Line") -> None:
        """The stream is gone, and what was queued; or there was none to be had."""

    def has_to_say(self, line: "Line") -> bool:
        """Whether a stream that was lost is worth another."""

    def is_superfluous(self, stream: "Stream") -> bool:
        """Whether its connection is about to go, for there is a better one to the peer."""


@final
class Line:
    """What we say to one peer."""

    def __init__(
        self, peer: "PeerId", owner: LineOwner, config: "GossipConfig", scope: "Scope", random: "Random", answers: Answers
    ) -> None:
        self.peer = peer
        self.stream: Stream | None = None
        """Ours to the peer; None while there is none."""
        self._dropped = 0
        self._owner = owner
        self._scope = scope
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._write_timeout = config.write_timeout
        self._answers = AnswerQueue(answers, config.ihave_ids)
        self._outbox = Outbox(
            rpc_limit=config.outbound_rpcs,
            byte_limit=config.outbound_bytes,
            frame_size=config.rpc_size,
            frame_messages=min(config.messages_per_rpc, _FRAME_MESSAGES),
            answers=self._answers,
        )
        self._publishers: dict[asyncio.Future[bool], bytes] = {}
        self._task: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._writing_since: float | None = None
        self._talking: asyncio.Timeout | None = None
        self._mover: asyncio.Task[None] | None = None
        self._following: Stream | None = None  # where it moves to
        self._is_stalled = False
        self._is_finished = False
        self._losses: list[float] = []

    # --- what is to be said ------------------------------------------------------------------------------------------------

    def offer(self, body: bytes, priority: int) -> bool:
        """Queue an RPC, without waiting; False, counted, where there is no room or no stream."""
        if self.stream is None or not self._outbox.offer(body, priority):
            self._dropped += 1
            return False
        self._wake()
        return True

    def publish(self, body: bytes) -> "bool | asyncio.Future[bool]":
        """Queue a message of our own, now or as soon as there is room: then the future tells.

        A peer at which `give_up` was called gets no second wait before it takes something.
        """
        if self.stream is None or self._is_stalled or (self._outbox.has_room and not self._publishers):
            return self.offer(body, OWN)
        room: asyncio.Future[bool] = self._loop.create_future()
        self._publishers[room] = body
        return room

    def give_up(self, room: "asyncio.Future[bool]") -> None:
        """The wait was too long: the peer goes without."""
        if self._publishers.pop(room, None) is not None and not room.done():
            room.set_result(False)
            self._dropped += 1
            self._is_stalled = True

    def withdraw(self, room: "asyncio.Future[bool]") -> None:
        """Nobody waits for this room any more: the message is not sent."""
        self._publishers.pop(room, None)
        room.cancel()

    def _let_in(self) -> None:
        """Room was made: whoever has waited longest goes first."""
        while self._publishers and self._outbox.has_room:
            room = next(iter(self._publishers))
            body = self._publishers.pop(room)
            if not room.done():
                self._outbox.offer(body, OWN)
                room.set_result(True)

    @property
    def queued(self) -> int:
        """RPCs that wait."""
        return len(self._outbox)

    @property
    def dropped(self) -> int:
        """RPCs that had no room, or were queued when the stream was lost."""
        return self._dropped + self._answers.lost

    @property
    def waiting(self) -> int:
        """Messages of our own that wait for room in the queue."""
        return len(self._publishers)

    # --- the stream --------------------------------------------------------------------------------------------------------

    @property
    def is_opening(self) -> bool:
        """Whether a first stream is on its way."""
        return self._task is not None and self.stream is None and not self._losses

    def open(self) -> None:
        """Have a stream, if there is none yet and the peer has not lost too many."""
        if self._task is None and self._pause() is not None:
            self._task = self._scope.spawn(self._run(), name=f"gossip to {self.peer}")

    def forgive(self) -> None:
        """There is a new connection: lost streams say nothing about that."""
        self._losses.clear()

    def _pause(self) -> float | None:
        """How long to wait before the next stream; None: do not open another."""
        self._losses = [when for when in self._losses if when > self._loop.time() - MEMORY]
        count = len(self._losses)
        if count > len(PAUSES):
            return None
        return PAUSES[count - 1] + self._random.uniform(0, _JITTER) if count > 1 else 0.0

    async def _run(self) -> None:
        try:
            while (pause := self._pause()) is not None:
                await asyncio.sleep(pause)
                await self._live()
                if not self._owner.has_to_say(self):
                    return
        finally:
            self._task = None

    async def _live(self) -> None:
        """One stream, from its beginning to its end; or several, where it moves."""
        stream: Stream | None = None
        try:
            following: Stream | None = await self._owner.open_stream(self.peer)
            while following is not None:
                stream = self.stream = following
                self._owner.opened(self, stream)
                following = await self._talk(stream)
                if following is not None:
                    self._owner.ended(self)
                    self._scope.spawn(_retire(stream), name=f"old gossip stream to {self.peer}")
        except CortexError as error:
            log.debug("gossip stream to %s ended: %s", self.peer, error, extra={"peer": self.peer})
        finally:
            self._losses.append(self._loop.time())
            if self._following is not None:
                self._following.reset()
                self._following = None
            if stream is not None and not self._is_finished:
                stream.reset()
            self._end()

    async def _talk(self, stream: "Stream") -> "Stream | None":
        """Say what there is to say on a stream, until it ends, or another one takes its place: that one."""
        writer = self._scope.spawn(self._write(stream), name=f"gossip writer to {self.peer}")
        try:
            async with asyncio.timeout(None) as self._talking:
                if await stream.read(1):
                    log.debug("%s wrote on a gossip stream of ours", self.peer, extra={"peer": self.peer})
                stream.reset(StreamCode.PROTOCOL_VIOLATION)
        except (CortexError, TimeoutError):
            if self._following is None:
                raise
        finally:
            writer.cancel()
        following, self._following = self._following, None
        return following

    async def _move(self, old: "Stream") -> None:
        """There is a better connection to the peer: go on with a stream there, so that the other one can be closed.

        The peer takes it for a new beginning. Nothing is written as long as this runs.
        """
        try:
            await asyncio.sleep(MOVE_PAUSE)
            if self._writing_since is not None or self.stream is not old:
                return  # the peer does not read: then it shall not lose what it has yet to read
            new = await self._owner.open_stream(self.peer)
            if self.stream is not old or self._talking is None or self._owner.is_superfluous(new):
                new.reset()
                return
            self._following = new
            self._talking.reschedule(self._loop.time())
        except CortexError as error:
            log.debug("gossip to %s stays where it is: %s", self.peer, error, extra={"peer": self.peer})
        finally:
            self._mover = None
            self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _write(self, stream: "Stream") -> None:
        """Everything that waits at the end of a turn goes in one write."""
        outbox = self._outbox
        try:
            while True:
                data = b"" if self._mover is not None or self._following is not None else outbox.take(_CHUNK)
                if not data:
                    await self._wait()
                    continue
                if self._publishers:
                    self._let_in()
                self._writing_since = self._loop.time()
                await stream.write(data)
                self._writing_since = None
                self._is_stalled = False
        except CortexError:
            return  # whoever watches the stream learns of it as well

    async def _wait(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        news = self._news = self._loop.create_future()
        try:
            await news
        finally:
            if self._news is news:  # and not yet that of the next stream
                self._news = None

    def check(self, now: float) -> None:
        """At each heartbeat: reset the stream where the peer has taken nothing for too long; move it where its connection is to
        go."""
        stream = self.stream
        if stream is None:
            return
        if self._writing_since is not None and now - self._writing_since >= self._write_timeout:
            log.debug("%s takes no gossip", self.peer, extra={"peer": self.peer})
            stream.reset(StreamCode.GARBAGE_COLLECTED)
        elif self._mover is None and self._owner.is_superfluous(stream):
            self._mover = self._scope.spawn(self._move(stream), name=f"gossip to {self.peer} moves")

    def _end(self) -> None:
        """The stream is gone."""
        self.stream = None
        self._writing_since = None
        self._is_stalled = False
        self._lose_queued()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._owner.ended(self)

    def _lose_queued(self) -> None:
        self._dropped += self._outbox.clear()
        for room in self._publishers:
            if not room.done():
                room.set_result(False)
                self._dropped += 1
        self._publishers.clear()

    # --- the end -----------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Wait until nothing is queued any more, or the stream is gone. Cancelled: nothing changes."""
        while self.stream is not None and (len(self._outbox) or self._writing_since is not None):
            if self._drained is None or self._drained.done():
                self._drained = self._loop.create_future()
            await asyncio.shield(self._drained)

    async def finish(self) -> None:
        """Say what is queued, and then no more. Cancelled: the stream is still to be closed."""
        if self._mover is not None:
            self._mover.cancel()
        await self.drain()
        if self.stream is not None:
            self._is_finished = True  # a reset would destroy what has not left yet
            await self.stream.close()

    def close(self) -> None:
        """Say no more: what is queued is lost and counted, and the stream reset, unless it has ended already."""
        if self._mover is not None:
            self._mover.cancel()
        if self._task is not None:
            self._task.cancel()
            self.stream = None
            self._lose_queued()


async def _retire(stream: "Stream") -> None:
    """End it behind what was said on it, and let the peer end it, too."""
    try:
        await stream.close_write()
        async with asyncio.timeout(RETIREMENT):
            await stream.read(1)
    except (CortexError, TimeoutError):
        return
    finally:
        stream.reset()

"""`node.gossip`: publish to topics and subscribe to them. A shell.

Spec: libp2p/specs pubsub; pubsub/gossipsub gossipsub-v1.0 to v1.3.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final, final

from cortexnet.errors import LimitExceeded, LocalError, NotRunning
from cortexnet.gossip.actions import Change, Connect, MeshChanged, SubscriptionChanged, Validate, Verdict
from cortexnet.gossip.connector import Connector
from cortexnet.gossip.delivery import GossipMessage
from cortexnet.gossip.engine import Engine
from cortexnet.gossip.events import (
    GossipEvent,
    MeshPeerAdded,
    MeshPeerRemoved,
    MeshReason,
    TopicPeerJoined,
    TopicPeerLeft,
)
from cortexnet.gossip.message import Message
from cortexnet.gossip.signing import RejectReason, Signer
from cortexnet.gossip.subscription import Policy, Subscription
from cortexnet.gossip.topic_discovery import TopicDiscovery
from cortexnet.gossip.tracer import Trace, TraceKind, Tracer
from cortexnet.host.host import check_callable
from cortexnet.host.step_turns import step_turns
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.own_loop import check_loop
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from cortexnet.gossip.config import GossipConfig
    from cortexnet.gossip.peer_streams import Line
    from cortexnet.gossip.score import ScoreSnapshot
    from cortexnet.gossip.topic_discovery import Finder
    from cortexnet.gossip.validation import Validator
    from cortexnet.host.context import Context
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.reputation.service import Reputation

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

Handler = Callable[[GossipMessage], Awaitable[None]]
"""Gets the messages of a topic, one after the other."""

CLOSE_PATIENCE: Final = 1.0
"""Seconds that the end of a node may wait for messages that are queued: what was published has left by then, or never will."""
MESH_VALUE: Final = 20.0
"""What a peer of a mesh is worth when connections are trimmed; go-libp2p-pubsub's value."""
_OVERHEAD = 1_024  # bytes that a message has in an RPC besides data and topic: author, number, key and signature of RSA
_REASONS: dict[Change, MeshReason] = {
    Change.GRAFTED: "grafted",
    Change.GRAFTED_BY_PEER: "grafted by the peer",
    Change.PRUNED: "pruned",
    Change.PRUNED_BY_PEER: "pruned by the peer",
    Change.LEFT: "topic left",
    Change.GONE: "peer gone",
}


@final
class Gossip:
    """The topics of a node. Messages are signed by whoever published them, checked by everybody, and pass from peer to peer.

    Made by the node: `node.gossip`. What is its default stands in `GossipConfig`.
    """

    def __init__(
        self,
        context: "Context",
        config: "GossipConfig",
        *,
        finder: "Finder | None" = None,
        random: Random | None = None,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.tracer: Tracer | None = None
        """Is told of every step of every message, to look for a fault or to measure; see `gossip.tracer`. None: nobody is."""
        config = _with_reputation(config, context.reputation)
        self._context = context
        self._config = config
        random = random or Random()
        self._engine = Engine(context, config, self, random)
        self._connector = Connector(context, config, self._engine.scope)
        self._discovery: TopicDiscovery | None = None
        if finder is not None and config.topic_discovery:
            self._discovery = TopicDiscovery(
                finder, self._engine.scope, missing=self._missing, connect=self.connect, random=random
            )
        self._signer = Signer(context.identity.private_key, unix_ns()) if config.signing == "strict_sign" else None
        self._subscriptions: dict[str, dict[Subscription, None]] = {}
        self._joined: dict[str, int] = {}  # and by how many
        self._dropped = 0  # by subscriptions that are closed
        self._handlers = Scope(self._engine.scope)
        self._meshes: dict[PeerId, int] = {}  # of how many meshes a peer is
        self._changed: asyncio.Future[None] | None = None
        self._full: dict[str, int] = {}  # topics of which no more may be read, and for how many queues
        self._room: asyncio.Future[None] | None = None
        self._is_closed = False
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Answer to gossip's protocols, and join the main topic."""
        self._engine.start()
        for address in self._config.direct_peers:
            self._context.manager.keep_address(Multiaddr.parse(address))
        if self._config.main_topic:
            self._enter(self._config.main_topic)

    async def close(self) -> None:
        """End subscriptions and streams; what was published has a second to leave. Cancelled: it does not leave."""
        self._is_closed = True
        self._handlers.cancel()
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.end()
        self._wake_changed()
        self._wake_room()
        await self._engine.close(CLOSE_PATIENCE)

    # --- to listen ---------------------------------------------------------------------------------------------------------

    def subscribe(
        self,
        topic: str,
        *,
        policy: Policy | None = None,
        queue: int | None = None,
        queue_bytes: int | None = None,
        own: bool = False,
    ) -> Subscription:
        """The messages of a topic, as `async with node.gossip.subscribe(topic) as messages: async for message in messages: …`.

        At most `queue` messages and `queue_bytes` bytes wait for the reader. Where there are more, `policy` decides: with "block"
        streams wait on which the next message of the topic came, with all behind it; after 10 s (`queue_patience`) it is dropped.
        "drop_oldest" and "drop_newest" drop one at once. What is dropped is counted. `own`: what this node publishes comes as
        well. Several subscriptions to one topic get all messages each.
        Raises LocalError for a topic, policy or bound that is none, NotRunning.
        """
        self._check_topic(topic)
        config = self._config
        return Subscription(
            self,
            topic,
            policy=config.queue_policy if policy is None else policy,
            queue=config.queue_size if queue is None else queue,
            queue_bytes=config.queue_bytes if queue_bytes is None else queue_bytes,
            patience=config.queue_patience,
            own=own,
        )

    def handle(self, topic: str, handler: Handler, *, policy: Policy | None = None, queue: int | None = None) -> Subscription:
        """Give `handler` the messages of a topic, one after the other, until the subscription that is returned is closed.

        It may publish. Where it raises, that is logged, and it gets the next message. Raises as `subscribe`, and LocalError for
        what is no function.
        """
        check_callable(f"the handler of topic {topic!r}", handler)
        subscription = self.subscribe(topic, policy=policy, queue=queue)
        subscription.join()
        self._spawn_handler(subscription, handler)
        return subscription

    def _spawn_handler(self, subscription: Subscription, handler: Handler) -> None:
        def failed(error: BaseException) -> None:
            log.warning("the handler of topic %.128r failed: %r", subscription.topic, error, exc_info=error)
            self._spawn_handler(subscription, handler)

        if not self._handlers.is_closed:
            scope = Scope(self._handlers, on_error=failed)
            task = scope.spawn(_handle(subscription, handler), name="gossip handler")
            task.add_done_callback(lambda _: scope.cancel())

    def validate(self, topic: str, validator: "Validator") -> None:
        """Let `validator` decide about each message of a topic that comes from others: Accept, Reject or Ignore.

        Accepted ones are delivered here and passed on. What is rejected costs whoever brought it score; ignored ones cost nobody.
        It is a function, or a coroutine function, which has 30 s (`validation_timeout`). Where it raises, or takes longer, the
        message is ignored. It may publish. Raises LocalError where the topic has a validator already, or this is no function.
        """
        self._check_topic(topic)
        check_callable(f"the validator of topic {topic!r}", validator)
        self._engine.validation.set_validator(topic, validator)

    def remove_validator(self, topic: str) -> None:
        """Accept all messages of the topic whose signature holds. Raises LocalError where it has no validator."""
        self._engine.validation.remove_validator(topic)

    # --- to speak ----------------------------------------------------------------------------------------------------------

    async def publish(self, topic: str, data: bytes) -> int:
        """Send `data` to everybody who wants the topic; to how many peers it went, who pass it on. 0: nobody has it.

        The topic need not be joined. Where a peer's queue is full, waits for room, 5 s (`publish_wait`) at most: a peer without
        any then goes without, and is counted in `counters`; it is not waited for again before it takes something. Where a
        subscription of this node takes `own` messages, blocks and is full, waits for that, too, 10 s (`queue_patience`) at most.
        Raises LocalError for what is no topic, or too large, NotRunning. Cancelled: who had room gets it.
        """
        return (await self.publish_many(topic, [data]))[0]

    async def publish_many(self, topic: str, messages: Iterable[bytes]) -> list[int]:
        """Publish several messages, in their order; to how many peers each went. See `publish`."""
        self._check_topic(topic)
        counts: list[int] = []
        for data in messages:
            self._check_data(topic, data)
            message = await step_turns().run(functools.partial(self._sign, topic, data), of=None)
            if topic not in self._joined:
                await self._reach_out(topic)
            counts.append(await self._publish(message))
        return counts

    def _sign(self, topic: str, data: bytes) -> Message:
        return Message.build(topic, data) if self._signer is None else self._signer.sign(topic, data)

    async def _publish(self, message: Message) -> int:
        self._check_running()
        count, rooms = self._engine.publish(message)
        if self.is_traced:
            self._trace("published", topic=message.topic, message_id=message.id, size=message.size)
        if rooms:
            try:
                await asyncio.wait([room for _, room in rooms], timeout=self._config.publish_wait)
            except asyncio.CancelledError:
                for line, room in rooms:
                    line.withdraw(room)
                raise
            for line, room in rooms:
                line.give_up(room)
                count += room.done() and room.result()
        if self._is_blocked_by_own(message.topic):
            await self._wait_for_own(message.topic)
        return count

    async def _wait_for_own(self, topic: str) -> None:
        """Until our own queues have room, or have had time enough: others who publish may fill them again and again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.queue_patience):
                while self._is_blocked_by_own(topic):
                    await self._wait_room()

    async def _reach_out(self, topic: str) -> None:
        """Open streams to peers that want a topic which we have not joined: to these we had nothing to say so far."""
        lines = [self._engine.lines[peer] for peer in self._engine.router.peers(topic) if peer in self._engine.lines]
        missing = self._config.degree_high - sum(line.stream is not None for line in lines)
        opening = [line for line in lines if line.stream is None][: max(0, missing)]
        for line in opening:
            line.open()
        if len(opening) == len(lines) and lines:
            await self._wait_for_stream(opening)

    async def _wait_for_stream(self, lines: "list[Line]") -> None:
        try:
            async with asyncio.timeout(self._config.publish_wait):
                while not any(line.stream is not None for line in lines) and any(line.is_opening for line in lines):
                    await self.reach_changes()
        except TimeoutError:
            return

    def _is_blocked_by_own(self, topic: str) -> bool:
        return any(each.own and each.is_blocking for each in self._subscriptions.get(topic, ()))

    # --- what is known -----------------------------------------------------------------------------------------------------

    @property
    def topics(self) -> list[str]:
        """The topics that this node has joined."""
        return self._engine.router.topics

    def peers(self, topic: str | None = None) -> "list[PeerId]":
        """Connected peers that want a topic; without one, all that speak gossip."""
        return list(self._engine.lines) if topic is None else self._engine.router.peers(topic)

    def mesh(self, topic: str) -> "list[PeerId]":
        """Peers with whom the messages of a topic are exchanged; empty where it is not joined."""
        return self._engine.router.mesh(topic)

    def scores(self) -> "dict[PeerId, float]":
        """What each connected peer is worth, 0 where nobody is scored; below 0 it is in no mesh. See `explain`."""
        now = self._loop.time()
        return {peer: self._engine.router.score_of(peer, now) for peer in self._engine.lines}

    def explain(self, peer: "PeerId") -> "ScoreSnapshot | None":
        """How the score of a peer comes about; None where peers are not scored."""
        score = self._engine.router.score
        return None if score is None else score.snapshot(peer, self._loop.time())

    @property
    def counters(self) -> dict[str, int]:
        """What was lost, and where: "outbound" RPCs that found no room at their peer, messages "throttled" in validation, those
        whose "validators" failed, those that found no room in a subscription's "queues", and those that the function for message
        ids had none for, "unidentified".
        """
        router = self._engine.router
        return {
            "outbound": self._engine.dropped,
            "throttled": self._engine.validation.throttled + router.overflowed,
            "validators": self._engine.validation.failed,
            "queues": self._dropped + sum(each.dropped for group in self._subscriptions.values() for each in group),
            "unidentified": router.unidentified,
        }

    # --- called by subscriptions -------------------------------------------------------------------------------------------

    def join(self, subscription: Subscription) -> None:
        """Messages of its topic are wanted."""
        self._check_running()
        self._subscriptions.setdefault(subscription.topic, {})[subscription] = None
        self._enter(subscription.topic)

    def leave(self, subscription: Subscription) -> None:
        """They are not any more; the topic is left with its last subscription."""
        group = self._subscriptions.get(subscription.topic, {})
        if subscription not in group:
            return
        del group[subscription]
        if not group:
            del self._subscriptions[subscription.topic]
        self._dropped += subscription.dropped
        self._exit(subscription.topic)

    def _enter(self, topic: str) -> None:
        count = self._joined[topic] = self._joined.get(topic, 0) + 1
        if count == 1:
            self._engine.router.subscribe(topic, self._loop.time())
            self._trace("joined", topic=topic)
            self._engine.settle()
            self._engine.wake()
            if self._discovery is not None:
                self._discovery.join(topic)

    def _exit(self, topic: str) -> None:
        self._joined[topic] -= 1
        if not self._joined[topic]:
            del self._joined[topic]
            if self._discovery is not None:
                self._discovery.leave(topic)
            self._engine.router.unsubscribe(topic, self._loop.time())
            self._trace("left", topic=topic)
            self._engine.settle()

    def _missing(self, topic: str) -> int:
        """Peers that a mesh lacks."""
        return self._config.degree - len(self._engine.router.mesh(topic))

    def room_is_needed(self, topic: str) -> None:
        """A queue of the topic blocks."""
        self._full[topic] = self._full.get(topic, 0) + 1

    def room_was_made(self, topic: str) -> None:
        """It does not any more."""
        self._full[topic] -= 1
        if not self._full[topic]:
            del self._full[topic]
        self._wake_room()

    def _wake_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._engine.inbound.resume()

    async def _wait_room(self) -> None:
        if self._room is None or self._room.done():
            self._room = self._loop.create_future()
        await asyncio.shield(self._room)
        self._check_running()

    def reach(self, topic: str) -> int:
        """How many peers a message would be sent to now."""
        lines = self._engine.lines
        ready = sum(peer in lines and lines[peer].stream is not None for peer in self._engine.router.peers(topic))
        mesh = len(self._engine.router.mesh(topic))
        if self._config.flood_publish:
            return ready
        return mesh if mesh >= self._config.degree_low else min(ready, self._config.degree)

    async def reach_changes(self) -> None:
        """Wait until `reach` may give another answer."""
        self._check_running()
        if self._changed is None or self._changed.done():
            self._changed = self._loop.create_future()
        await asyncio.shield(self._changed)
        self._check_running()

    def _wake_changed(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    # --- called by the engine ----------------------------------------------------------------------------------------------

    @property
    def is_traced(self) -> bool:
        """Whether somebody wants to know every step."""
        return self.tracer is not None

    def may_take(self, messages: "Sequence[Message]") -> bool:
        """Whether the subscriptions to their topics that want to lose nothing have room."""
        return not self._full or all(message.topic not in self._full for message in messages)

    def delivered(self, message: GossipMessage) -> None:
        """A message of a topic that was joined."""
        is_own = message.sender == self._context.identity.peer_id
        for subscription in self._subscriptions.get(message.topic, ()):
            if subscription.own or not is_own:
                subscription.offer(message)
        if self.is_traced and not is_own:
            sender, size = message.sender, len(message.data)
            self._trace("delivered", peer_id=sender, topic=message.topic, message_id=message.id, size=size)

    def rejected(self, token: Validate, reason: RejectReason | Verdict) -> None:
        """A message was not delivered."""
        if self.is_traced:
            kind: TraceKind = "ignored" if reason is Verdict.IGNORE else "rejected"
            why = reason.name.lower().replace("_", " ")
            self._trace(kind, peer_id=token.sender, topic=token.message.topic, message_id=token.id, reason=why)

    def rpc_moved(self, peer: "PeerId", size: int, what: str) -> None:
        """An RPC was received, sent or dropped."""
        kind: TraceKind = "rpc received" if what == "received" else "rpc sent" if what == "sent" else "rpc dropped"
        self._trace(kind, peer_id=peer, size=size)

    def changed(self, change: MeshChanged | SubscriptionChanged) -> None:
        """A mesh, or a peer's subscription, is another one."""
        self._wake_changed()
        if isinstance(change, SubscriptionChanged):
            if change.topic in self._joined:
                self._tell((TopicPeerJoined if change.is_subscribed else TopicPeerLeft)(change.topic, change.peer))
            return
        self._value(change.peer, 1 if change.is_in else -1)
        reason = _REASONS[change.change]
        self._trace("mesh added" if change.is_in else "mesh removed", peer_id=change.peer, topic=change.topic, reason=reason)
        self._tell((MeshPeerAdded if change.is_in else MeshPeerRemoved)(change.topic, change.peer, reason))

    def _tell(self, event: GossipEvent) -> None:
        if self._context.bus.has_listeners:
            self._context.bus.publish(event)

    def _value(self, peer: "PeerId", step: int) -> None:
        """Connections to peers of our meshes are the last to be trimmed."""
        count = self._meshes.get(peer, 0) + step
        if count > 0:
            self._meshes[peer] = count
            with contextlib.suppress(LimitExceeded):
                self._context.manager.tag(peer, "gossip mesh", MESH_VALUE * count)
        else:
            self._meshes.pop(peer, None)
            self._context.manager.untag(peer, "gossip mesh")

    def peer_changed(self, peer: "PeerId", *, is_there: bool) -> None:
        """There is a stream to a peer, or none any more."""
        self._wake_changed()
        self._trace("peer added" if is_there else "peer removed", peer_id=peer)

    def connect(self, wish: Connect) -> None:
        """The router would like to meet a peer."""
        if not self._is_closed:
            self._connector.connect(wish)

    def _trace(
        self,
        kind: TraceKind,
        *,
        peer_id: "PeerId | None" = None,
        topic: str | None = None,
        message_id: bytes | None = None,
        size: int | None = None,
        reason: str | None = None,
    ) -> None:
        if self.tracer is not None:
            time = self._loop.time()
            self.tracer(
                Trace(kind=kind, time=time, peer_id=peer_id, topic=topic, message_id=message_id, size=size, reason=reason)
            )

    # --- checks ------------------------------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        check_loop(self._loop)
        if self._is_closed:
            raise NotRunning("the node is closed; a node is started once: make a new one")

    def _check_topic(self, topic: str) -> None:
        self._check_running()
        if not isinstance(topic, str) or not 0 < _encoded_size(topic) <= self._config.topic_size:
            raise LocalError(f"a topic is a text of 1 to {self._config.topic_size} bytes, not {topic!r:.100}")

    def _check_data(self, topic: str, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise LocalError(f"a message is bytes, not {type(data).__name__}")
        limit = self._config.rpc_limit - len(topic.encode()) - _OVERHEAD
        if len(data) > limit:
            raise LocalError(f"a message has at most {limit} bytes, not {len(data)}; see GossipConfig.rpc_limit")


def _with_reputation(config: "GossipConfig", reputation: "Reputation | None") -> "GossipConfig":
    """Where peers are scored, and the application has no opinion of its own (P5), that of the node counts."""
    if reputation is None or config.score is None or config.score.app_score is not None:
        return config
    return replace(config, score=replace(config.score, app_score=reputation.misgivings))


def _encoded_size(topic: str) -> int:
    """Bytes of a topic; 0 where it is no text, as what came from a command line that is not UTF-8."""
    try:
        return len(topic.encode())
    except UnicodeEncodeError:
        return 0


async def _handle(subscription: Subscription, handler: Handler) -> None:
    async for message in subscription:
        await handler(message)

"""Drives the router of a node: gives it what peers say and when time has passed, and does what it answers. A shell.

What the router wants is done after its call has returned, and in its order (`settle`). Whoever is called on the way, a validator
or a subscriber's queue, can't enter it a second time: what they cause is done when their turn has come.
"""

import asyncio
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol, assert_never, final

from cortexnet.errors import NegotiationFailed, PeerTimeout
from cortexnet.gossip.actions import (
    ASKED,
    FORWARD,
    OWN,
    Connect,
    Deliver,
    MeshChanged,
    SendRpc,
    SubscriptionChanged,
    Validate,
    Verdict,
)
from cortexnet.gossip.answers import Answers
from cortexnet.gossip.delivery import GossipMessage, as_seen
from cortexnet.gossip.inbound import Inbound
from cortexnet.gossip.messages import encode
from cortexnet.gossip.peer_streams import Line
from cortexnet.gossip.router import Router
from cortexnet.gossip.signing import RejectReason, verify
from cortexnet.gossip.split import split_rpc
from cortexnet.gossip.validation import Validation
from cortexnet.host.deadline import deadline
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address
    from random import Random

    from cortexnet.gossip.actions import Action
    from cortexnet.gossip.config import GossipConfig
    from cortexnet.gossip.message import Message
    from cortexnet.gossip.messages import Rpc
    from cortexnet.host.context import Context
    from cortexnet.host.peer_info import PeerInfo
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.stream import Stream


class Audience(Protocol):
    """Who is told what comes of it. Nothing here may call the engine back but by a task of its own."""

    def delivered(self, message: GossipMessage) -> None:
        """A message of a topic that was joined; `sender` is this node for its own."""

    def changed(self, change: MeshChanged | SubscriptionChanged) -> None:
        """A mesh, or a peer's subscription, is another one."""

    def peer_changed(self, peer: "PeerId", *, is_there: bool) -> None:
        """There is a stream to a peer, or none any more."""

    def connect(self, wish: Connect) -> None:
        """The router would like to meet a peer."""

    def may_take(self, messages: "Sequence[Message]") -> bool:
        """Whether subscribers to their topics that want to lose nothing have room."""

    def rejected(self, token: Validate, reason: RejectReason | Verdict) -> None:
        """A message was not delivered."""

    def rpc_moved(self, peer: "PeerId", size: int, what: str) -> None:
        """An RPC was "received", "sent" or "dropped"; asked for while `is_traced`."""

    @property
    def is_traced(self) -> bool:
        """Whether somebody wants to know every step."""


@final
class Engine:
    """The gossip of one node, below what applications see. It starts with `start` and ends with `close`."""

    def __init__(self, context: "Context", config: "GossipConfig", audience: Audience, random: "Random") -> None:
        self._context = context
        self._config = config
        self._audience = audience
        self._random = random
        self._loop = asyncio.get_running_loop()
        self.scope = Scope(context.scope, on_error=self._failed)
        """Where all tasks of gossip live."""
        self.router = Router(context.identity.peer_id, config, random, self._loop.time(), records=self._record_of)
        self._reputation = context.reputation
        if self._reputation is not None:
            self.router.on_charged(self._charged)
        self.validation = Validation(config, self._verify, self, self.scope)
        self.inbound = Inbound(self, config)
        self.lines: dict[PeerId, Line] = {}
        """What we say to whom: all connected peers that speak gossip."""
        self._answers = Answers(config.cache_bytes)
        self._refused = 0  # of the message that is being published
        self._rooms: list[tuple[Line, asyncio.Future[bool]]] = []  # and who waits for room for it
        self._is_settling = False
        self._flush: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._handled: list[str] = []
        self._dropped = 0  # at peers that are gone
        self._silent: dict[PeerId, bool] = {}  # connected peers that have lost their stream to us
        self._is_closed = False

    @property
    def dropped(self) -> int:
        """RPCs that had no room at their peer."""
        return self._dropped + sum(line.dropped for line in self.lines.values())

    def _failed(self, error: BaseException) -> None:
        """A task of gossip has raised: that is a bug, and the end of the node."""
        if not self._context.scope.is_closed:
            self._context.scope.spawn(_raise(error), name="gossip failed")

    def start(self) -> None:
        """Answer to gossip's protocols, and meet who is connected already."""
        context = self._context
        for protocol in self._config.protocols:
            if not context.protocols.supports(protocol):  # the application's own comes first
                context.protocols.handle(protocol, self.inbound.serve)
                self._handled.append(protocol)
        context.on_connected.insert(0, self._connected)  # in front of the application's, which may publish
        context.on_disconnected.insert(0, self._disconnected)
        context.on_identified.append(self._identified)
        for connection in context.swarm.connections:
            if any(context.peerstore.supports(connection.peer_id, protocol) for protocol in self._config.protocols):
                self._meet(connection.peer_id)
        self._arm()

    async def close(self, patience: float) -> None:
        """Send what is queued, for `patience` seconds at most, and end all streams."""
        self._is_closed = True
        for protocol in self._handled:
            if self._context.protocols.supports(protocol):
                self._context.protocols.unhandle(protocol)
        for observers, observer in (
            (self._context.on_connected, self._connected),
            (self._context.on_disconnected, self._disconnected),
        ):
            observers.remove(observer)
        self._context.on_identified.remove(self._identified)
        if self._timer is not None:
            self._timer.cancel()
        self.validation.close()
        try:
            async with asyncio.timeout(patience):
                for line in list(self.lines.values()):
                    await line.finish()
        except TimeoutError:
            return  # somebody does not read
        finally:
            self.inbound.close()
            await self.scope.close()

    # --- peers -------------------------------------------------------------------------------------------------------------

    def _connected(self, connection: "Connection") -> None:
        line = self.lines.get(connection.peer_id)
        if line is not None:
            line.forgive()
            self._open_if_wanted(line)
            self.router.set_ips(line.peer, self._ips(line.peer))

    def _disconnected(self, connection: "Connection") -> None:
        peer = connection.peer_id
        if self._context.swarm.connections_to(peer):
            return
        line = self.lines.pop(peer, None)
        if line is not None:
            line.close()
            self._dropped += line.dropped
        self.inbound.reset(peer)
        self._silent.pop(peer, None)
        self.router.remove_peer(peer, self._loop.time())
        self.settle()

    def _identified(self, connection: "Connection", info: "PeerInfo") -> None:
        if connection.is_open and any(protocol in info.protocols for protocol in self._config.protocols):
            self._meet(connection.peer_id)

    def _meet(self, peer: "PeerId") -> None:
        line = self.lines.get(peer)
        if line is None:
            line = self.lines[peer] = Line(peer, self, self._config, self.scope, self._random, self._answers)
        self._open_if_wanted(line)

    def _open_if_wanted(self, line: Line) -> None:
        if not self._is_closed and self.has_to_say(line):
            line.open()

    def open_lines(self) -> None:
        """There is something to say to everybody."""
        for line in self.lines.values():
            self._open_if_wanted(line)

    def has_to_say(self, line: Line) -> bool:
        """Whether there is anything that a peer has to know, at any time."""
        return not self._is_closed and line.peer in self.lines and bool(self.router.topics or self.router.is_direct(line.peer))

    def is_superfluous(self, stream: "Stream") -> bool:
        """Whether its connection is about to go, for there is a better one to the peer."""
        return self._context.host.is_superfluous(stream)

    async def open_stream(self, peer: "PeerId") -> "Stream":
        """Our stream to a connected peer, for the first of our protocols that it speaks. Not over a relay, as go."""
        direct = [each for each in self._context.swarm.connections_to(peer) if each.is_open and not each.is_relayed]
        if not direct:
            raise NegotiationFailed(f"no direct connection to {peer}")
        best = self._context.swarm.connection_to(peer)
        connection = best if best in direct and best is not None else direct[0]
        async with deadline(self._context.limits.negotiation_timeout, f"a gossip stream to {peer}"):
            try:
                info = await self._context.identify.identified(connection)
                spoken = [protocol for protocol in self._config.protocols if protocol in info.protocols]
            except PeerTimeout:  # it stood still, or was cut off; that it speaks gossip it has shown
                spoken = []
            return await connection.open_stream(spoken[:1] or list(self._config.protocols))

    def opened(self, line: Line, stream: "Stream") -> None:
        """A line has a stream: the router greets the peer."""
        if self.lines.get(line.peer) is not line:
            return  # disconnected meanwhile: it is about to be closed
        outbound = stream.connection.direction == "outbound"
        self.router.add_peer(line.peer, stream.protocol, outbound=outbound, now=self._loop.time(), ips=self._ips(line.peer))
        self._audience.peer_changed(line.peer, is_there=True)
        self.settle()
        self._arm()

    def ended(self, line: Line) -> None:
        """The stream of a line is gone."""
        if self.lines.get(line.peer) is line:
            self.router.stream_closed(line.peer, self._loop.time())
        self._audience.peer_changed(line.peer, is_there=False)
        self.settle()

    def _ips(self, peer: "PeerId") -> "list[IPv4Address | IPv6Address]":
        found: dict[IPv4Address | IPv6Address, None] = {}
        for connection in self._context.swarm.connections_to(peer):
            endpoint = connection.remote_address.endpoint if not connection.is_relayed else None
            if endpoint is not None:
                try:
                    found[ip_address(endpoint[0].partition("%")[0])] = None
                except ValueError:
                    continue  # a name
        return list(found)

    def _record_of(self, peer: "PeerId") -> bytes:
        known = self._context.peerstore.known(peer, self._loop.time())
        return (known.record if known is not None else None) or b""

    # --- what peers say ----------------------------------------------------------------------------------------------------

    def begun(self, stream: "Stream") -> None:
        """A peer has opened a stream to us, again perhaps: go has forgotten our subscriptions then.

        They are said again at the next heartbeat: at once, a peer that opens streams without end would have much of our time.
        """
        peer = stream.peer_id
        self._meet(peer)
        if self._silent.pop(peer, False) or peer in self.inbound:
            self.router.remind(peer)
        self._arm()

    def greeted(self, peer: "PeerId") -> None:
        """The first RPC of a stream is next."""
        self.router.inbound_begun(peer)

    def heard(self, peer: "PeerId", rpc: "Rpc", size: int) -> None:
        """An RPC has come, or a further portion of one, of size 0."""
        if size and self._audience.is_traced:
            self._audience.rpc_moved(peer, size, "received")
        self.router.receive(peer, rpc, self._loop.time())

    def fell_silent(self, peer: "PeerId") -> None:
        """A peer has no stream to us any more."""
        self._silent[peer] = True

    def may_read(self) -> bool:
        """Whether more gossip can be taken in."""
        return not self.validation.is_ahead

    def may_hear(self, rpc: "Rpc") -> bool:
        """Whether there is room for its messages."""
        return self._audience.may_take(rpc.messages)

    # --- messages ----------------------------------------------------------------------------------------------------------

    def _verify(self, message: "Message") -> RejectReason | None:
        return verify(message, self._config.signing)

    def verified(self, tokens: Sequence[tuple[Validate, RejectReason | None]]) -> None:
        """Signatures were checked: what holds goes on to the validators."""
        now = self._loop.time()
        for token, reason in tokens:
            if reason is not None:
                self.router.rejected(token, reason, now)
                self._audience.rejected(token, reason)
            elif self.validation.has_validator(token.message.topic):
                if self.router.verified(token, now):
                    self.validation.validate(token)
            else:
                self.router.validated(token, Verdict.ACCEPT, now)
        self.settle()

    def decided(self, token: Validate, verdict: Verdict) -> None:
        """The validators have spoken."""
        self.router.validated(token, verdict, self._loop.time())
        if verdict is not Verdict.ACCEPT:
            self._audience.rejected(token, verdict)
        self.settle()

    def throttled(self, token: Validate) -> None:
        """Too many others are being validated."""
        self.router.rejected(token, RejectReason.VALIDATION_THROTTLED, self._loop.time())
        self._audience.rejected(token, RejectReason.VALIDATION_THROTTLED)
        self.settle()

    def message_of(self, token: Validate) -> GossipMessage:
        """The message as applications see it."""
        return as_seen(token.message, token.id, token.sender)

    def _charged(self, peer: "PeerId", reason: RejectReason) -> None:
        if self._reputation is not None:
            self._reputation.violation(peer, f"a message that was refused: {reason.name.lower().replace('_', ' ')}")

    def pace_changed(self) -> None:
        """There is room again."""
        self.inbound.resume()

    def publish(self, message: "Message") -> tuple[int, list[tuple[Line, asyncio.Future[bool]]]]:
        """Send a message of our own: to how many peers it has gone, and where it waits for room.

        Raises what the function for message ids raises.
        """
        self._refused, self._rooms = 0, []
        receivers = self.router.publish(message, self._loop.time())
        self.settle()
        rooms, self._rooms = self._rooms, []
        return len(receivers) - self._refused - len(rooms), rooms

    # --- what the router wants ---------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Do what the router wants, until it wants nothing more. Called in the middle of that, it does nothing."""
        if self._is_settling:
            return
        self._is_settling = True
        try:
            while actions := self.router.take_actions():
                for action in actions:
                    self._do(action)
        finally:
            self._is_settling = False

    def _do(self, action: "Action") -> None:
        if isinstance(action, SendRpc):
            self._send(action)
        elif isinstance(action, Validate):
            self.validation.add(action)
            if self._flush is None:
                self._flush = self._loop.call_soon(self._flush_now)
        elif isinstance(action, Deliver):
            if self._reputation is not None and action.sender != self._context.identity.peer_id:
                self._reputation.shared(action.sender, given=action.message.size)
            self._audience.delivered(as_seen(action.message, action.id, action.sender))
        elif isinstance(action, MeshChanged | SubscriptionChanged):
            self._audience.changed(action)
        elif isinstance(action, Connect):
            self._audience.connect(action)
        else:
            assert_never(action)

    def _flush_now(self) -> None:
        """A turn is over: what it brought from all peers is checked together."""
        self._flush = None
        self.validation.flush()

    def _send(self, action: SendRpc) -> None:
        rpc, priority = action.rpc, action.priority
        if priority == OWN:
            self._send_own(action.peers, rpc.messages[0].wire)
            return
        bodies = [message.wire for message in rpc.messages] if priority in (FORWARD, ASKED) else self._bodies(rpc)
        for peer in action.peers:
            line = self.lines.get(peer)
            if line is not None:
                for body in bodies:
                    self._offer(line, body, priority, rpc)

    def _send_own(self, peers: "Sequence[PeerId]", body: bytes) -> None:
        for peer in peers:
            line = self.lines.get(peer)
            room = line.publish(body) if line is not None else False
            if line is None or room is False:
                self._refused += 1
            elif room is not True:
                self._rooms.append((line, room))
            if self._audience.is_traced:
                self._audience.rpc_moved(peer, len(body), "dropped" if room is False else "sent")

    def _offer(self, line: Line, body: bytes, priority: int, rpc: "Rpc") -> None:
        is_sent = line.offer(body, priority)
        if not is_sent:
            self.router.dropped(line.peer, rpc)
        if self._audience.is_traced:
            self._audience.rpc_moved(line.peer, len(body), "sent" if is_sent else "dropped")

    def _bodies(self, rpc: "Rpc") -> list[bytes]:
        body = encode(rpc)
        if len(body) <= self._config.control_size:
            return [body]
        config = self._config
        return [encode(part) for part in split_rpc(rpc, config.rpc_size, config.control_size, config.messages_per_rpc)]

    # --- time --------------------------------------------------------------------------------------------------------------

    def _is_idle(self) -> bool:
        """Whether nobody would notice if the heart did not beat."""
        return not (self.router.topics or len(self.inbound) or any(line.stream is not None for line in self.lines.values()))

    def _arm(self) -> None:
        if self._timer is None and not self._is_closed and not self._is_idle():
            self._timer = self._loop.call_at(max(self.router.next_timeout(), self._loop.time()), self._tick)

    def wake(self) -> None:
        """There is something to do from now on."""
        self.open_lines()
        self._arm()

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        try:
            self.router.handle_timeout(now)
            for line in self.lines.values():
                line.check(now)
            self.settle()
        finally:
            self._arm()  # also where a function of the application, as that for scores, has failed


async def _raise(error: BaseException) -> None:
    raise error

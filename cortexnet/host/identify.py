"""identify and its push: who peers are, what they speak, where they listen, and the same about us. A shell.

Spec: libp2p/specs identify, "identify" and "identify/push".
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Protocol, final

from cortexnet.admission.limits import Limits
from cortexnet.admission.rate_limit import KeyedRateLimit, TokenBucket
from cortexnet.errors import ConnectionClosed, CortexError, EndOfStream, ProtocolViolation, Refuse, StreamCode
from cortexnet.host.announcement import Announcement
from cortexnet.host.deadline import deadline
from cortexnet.host.identify_message import PROTOCOLS_SENT, decode
from cortexnet.host.peer_info import PeerInfo as PeerInfo
from cortexnet.host.peer_info import SelfDescription, believed, is_near
from cortexnet.host.step_turns import step_turns
from cortexnet.identity.envelope import SignedRecord
from cortexnet.identity.identity import Identity
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.peerstore import CONNECTED_TTL, Peerstore
from cortexnet.transport.connection import Connection
from cortexnet.transport.stream import Stream

log = logging.getLogger(__name__)

PROTOCOL = "/ipfs/id/1.0.0"
PUSH_PROTOCOL = "/ipfs/id/push/1.0.0"
PUSH_CONCURRENCY = 32
"""Pushes under way at once; go-libp2p's value."""
PUSH_BURST = 10
"""Pushes of one peer that are looked at in a row; go-libp2p's value."""
PUSH_BURST_SENT = 5
"""Pushes that we send in a row: well below what go-libp2p takes, which resets those beyond."""
PUSH_DELAY = 0.2
"""Seconds between a change and its push, so that handlers registered one after the other are told at once."""


class Surroundings(Protocol):
    """What is told to peers, and which peers there are."""

    def protocols(self) -> list[str]:
        """What we answer to; the first 128 are told."""

    def listen_addresses(self) -> list[Multiaddr]:
        """Where we can be reached, without /p2p at the end."""

    def connections(self) -> list[Connection]:
        """All open connections."""


@final
class Identify:
    """Tells peers about us, and keeps what they tell about themselves as long as they are connected."""

    def __init__(
        self,
        identity: Identity,
        surroundings: Surroundings,
        *,
        agent_version: str,
        protocol_version: str,
        limits: Limits,
        peerstore: Peerstore,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._own_id = identity.peer_id
        self._surroundings = surroundings
        self._limits = limits
        self._peerstore = peerstore
        self._unix_ns = unix_ns
        self._announcement = Announcement(identity.private_key, agent_version=agent_version, protocol_version=protocol_version)
        self._peers: dict[PeerId, _Peer] = {}
        self._conversations: dict[Connection, _Conversation] = {}
        self._push_rate = KeyedRateLimit[PeerId](1 / limits.identify_push_interval, PUSH_BURST, size_limit=limits.rate_table_size)
        self._own_push_rate = TokenBucket(1 / limits.identify_push_interval, PUSH_BURST_SENT, 0.0)
        self._push_is_due = False
        self.on_updated: Callable[[Connection, PeerInfo], None] | None = None
        """Called after each answer and each push that was understood. Must not raise."""

    # --- what we say -------------------------------------------------------------------------------------------------------

    async def serve(self, stream: Stream) -> None:
        """The handler of /ipfs/id/1.0.0. Raises PeerTimeout where the peer does not take the answer within 5 s."""
        peer = self._conversation(stream.connection).peer
        await self._tell(stream, peer)

    async def push_all(self) -> None:
        """Tell all connected peers that take pushes and have not seen the present state; what fails is logged, not raised.

        It starts `PUSH_DELAY` later, or when the rate allows; further calls until then return at once, their change goes along.
        Cancelled: pushes under way are reset.
        """
        if self._push_is_due:
            return
        self._push_is_due = True
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(max(PUSH_DELAY, self._own_push_rate.delay(loop.time())))
        finally:
            self._push_is_due = False
        self._own_push_rate.take(loop.time())
        self._refresh()
        connections = {connection.peer_id: connection for connection in self._surroundings.connections() if connection.is_open}
        waiting = iter(connections.values())
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(PUSH_CONCURRENCY, len(connections))):
                workers.create_task(self._push_to(waiting), name="identify push")

    async def _push_to(self, waiting: Iterator[Connection]) -> None:
        for connection in waiting:
            try:
                await self._push(connection)
            except CortexError as error:
                log.debug("push to %s failed: %s", connection.peer_id, error, extra={"peer": connection.peer_id})

    async def _push(self, connection: Connection) -> None:
        """What a peer takes is only known once it is identified; if it asks us meanwhile, no push is needed."""
        info = await self.identified(connection)
        peer = self._conversation(connection).peer
        if PUSH_PROTOCOL not in info.protocols or peer.told == self._announcement.number:
            return
        async with await connection.open_stream([PUSH_PROTOCOL]) as stream:
            await self._tell(stream, peer)

    async def _tell(self, stream: Stream, peer: "_Peer") -> None:
        self._refresh()
        number, connection = self._announcement.number, stream.connection
        remote = connection.remote_address
        parts = self._announcement.parts(
            observed=None if connection.is_relayed else remote.split_peer()[0], to_loopback=remote.is_loopback
        )
        async with deadline(self._limits.identify_timeout, f"identify to {connection.peer_id}"):
            for part in parts:
                await stream.write_message(part)
        peer.told = number

    def _refresh(self) -> None:
        protocols = self._surroundings.protocols()
        changed = self._announcement.update(self._surroundings.listen_addresses(), protocols, self._unix_ns())
        if changed and len(protocols) > PROTOCOLS_SENT:
            log.warning(
                "peers are told %d of %d protocols: more of them go-libp2p would not take", PROTOCOLS_SENT, len(protocols)
            )

    # --- what they say -----------------------------------------------------------------------------------------------------

    async def identify(self, connection: Connection) -> PeerInfo:
        """Ask the peer who it is; several calls at a time for one connection ask once.

        Raises PeerTimeout after 5 s, ProtocolViolation, MessageTooLarge, NegotiationFailed, StreamReset, ConnectionClosed.
        Cancelled: the stream is reset, and another caller who waits asks in turn.
        """
        conversation = self._conversation(connection)
        while (pending := conversation.pending) is not None:
            await asyncio.wait([pending])
            if not pending.cancelled():
                failed = pending.exception()
                if isinstance(failed, CortexError):
                    raise failed.again()
                return pending.result()
        pending = conversation.pending = asyncio.get_running_loop().create_future()
        try:
            info = await self._ask(connection, conversation)
            conversation.is_identified, conversation.error = True, None
            pending.set_result(info)
        except CortexError as error:
            conversation.error = error.again()
            pending.set_exception(conversation.error)
            pending.exception()  # raised below, whether somebody else waits or not
            raise
        finally:
            conversation.pending = None
            pending.cancel()
        return info

    async def identified(self, connection: Connection) -> PeerInfo:
        """What the peer says about itself by now, pushes included; waits for the first answer, and asks where nobody has.

        Raises as `identify`, and what the last one of this connection raised.
        """
        conversation = self._conversation(connection)
        if conversation.pending is None:
            if conversation.error is not None:
                raise conversation.error.again()
            if conversation.is_identified:
                return self._info(connection, conversation)
        return await self.identify(connection)

    async def serve_push(self, stream: Stream) -> None:
        """The handler of /ipfs/id/push/1.0.0. Refuses with 0x1003 where one peer pushes too often."""
        connection = stream.connection
        is_exempt = connection.remote_address.is_loopback and not self._limits.limit_loopback
        if not is_exempt and not self._push_rate.take(connection.peer_id, asyncio.get_running_loop().time()):
            raise Refuse(StreamCode.RATE_LIMITED, f"{connection.peer_id} pushes too often")
        number = self._conversation(connection).peer.description.next_number()
        async with deadline(self._limits.identify_timeout, f"a push of {connection.peer_id}"):
            parts = await self._read_parts(stream)
        await step_turns().run(lambda: self._learn(connection, parts, number, is_push=True), of=connection.origin)

    def disconnected(self, connection: Connection) -> None:
        """The connection is gone; with the last one of a peer all it has told is forgotten."""
        conversation = self._conversations.pop(connection, None)
        if conversation is not None:
            conversation.peer.connections -= 1
            if not conversation.peer.connections:
                del self._peers[connection.peer_id]

    async def _ask(self, connection: Connection, conversation: "_Conversation") -> PeerInfo:
        number = conversation.peer.description.next_number()
        limit = deadline(self._limits.identify_timeout, f"identify of {connection.peer_id}")
        async with limit, await connection.open_stream([PROTOCOL]) as stream:
            parts = await self._read_parts(stream)
        return await step_turns().run(lambda: self._learn(connection, parts, number, is_push=False), of=connection.origin)

    async def _read_parts(self, stream: Stream) -> list[bytes]:
        limits, parts = self._limits, list[bytes]()
        room = limits.identify_total
        while True:
            try:
                part = await stream.read_message(limit=min(limits.identify_message, room))
            except EndOfStream as end:
                if end.partial or not parts:
                    raise ProtocolViolation("identify ended within its message" if end.partial else "identify is empty") from end
                return parts
            parts.append(part)
            room -= len(part)
            if len(parts) > limits.identify_parts:
                raise ProtocolViolation(f"identify of more than {limits.identify_parts} parts")

    def _learn(self, connection: Connection, parts: list[bytes], number: int, *, is_push: bool) -> PeerInfo:
        conversation = self._conversation(connection)
        told = believed(
            decode(parts),
            key=connection.remote_key,
            peer_id=connection.peer_id,
            own_id=self._own_id,
            remote=connection.remote_address,
            is_relayed=connection.is_relayed,
            is_push=is_push,
        )
        conversation.peer.description.update(told, number)
        if told.observed_address is not None:
            conversation.observed_address = told.observed_address
        info = self._info(connection, conversation)
        self._store(info, conversation.peer.description.record, is_near=is_near(connection.remote_address))
        if self.on_updated is not None:
            self.on_updated(connection, info)
        return info

    def _store(self, info: PeerInfo, record: SignedRecord | None, *, is_near: bool) -> None:
        peerstore, peer, now = self._peerstore, info.peer_id, asyncio.get_running_loop().time()
        peerstore.set_protocols(peer, info.protocols)
        peerstore.set_versions(peer, agent_version=info.agent_version, protocol_version=info.protocol_version)
        peerstore.set_public_key(peer, info.public_key)
        peerstore.retire_addresses(peer, now)
        if record is not None:
            peerstore.accept_record(record, now, ttl=CONNECTED_TTL, believed=info.addresses, is_near=is_near)
        # What it told just now counts also where the record is older than one that is known: its clock may have been set back.
        peerstore.add_addresses(peer, info.addresses, CONNECTED_TTL, now, is_near=is_near)

    def _info(self, connection: Connection, conversation: "_Conversation") -> PeerInfo:
        description = conversation.peer.description
        return description.info(connection.peer_id, connection.remote_key, conversation.observed_address)

    def _conversation(self, connection: Connection) -> "_Conversation":
        """Raises ConnectionClosed (or why else it ended) where `disconnected` was called already, or will be no more."""
        conversation = self._conversations.get(connection)
        if conversation is None:
            if connection.closed.done():
                raise connection.error or ConnectionClosed("the connection is gone")
            peer = self._peers.setdefault(connection.peer_id, _Peer())
            peer.connections += 1
            conversation = self._conversations[connection] = _Conversation(peer)
        return conversation


@final
class _Peer:
    """A connected peer."""

    __slots__ = ("connections", "description", "told")

    def __init__(self) -> None:
        self.connections = 0
        self.description = SelfDescription()
        self.told = 0  # the number of the snapshot it was given last


@final
class _Conversation:
    """One connection to a peer."""

    __slots__ = ("error", "is_identified", "observed_address", "peer", "pending")

    def __init__(self, peer: _Peer) -> None:
        self.peer = peer
        self.observed_address: Multiaddr | None = None
        self.pending: asyncio.Future[PeerInfo] | None = None  # the question that is under way
        self.is_identified = False
        self.error: CortexError | None = None  # what came of the last question

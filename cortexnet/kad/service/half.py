"""One DHT of a node at work: it carries out what the core asks for, and tells it what comes of that. A shell."""

import asyncio
import logging
import time
from functools import partial
from random import Random
from typing import TYPE_CHECKING, TypeVar, assert_never, final

from cortexnet.errors import CortexError, LimitExceeded, NotRunning, RemoteError, StreamReset
from cortexnet.host.peer_info import is_near, reachable
from cortexnet.host.step_turns import step_turns
from cortexnet.kad.dht import REFUSABLE, Dht
from cortexnet.kad.engine.actions import Cancel, ContactsWanted, Send
from cortexnet.kad.engine.engine import Filters
from cortexnet.kad.messages import Message
from cortexnet.kad.records.provider_store import ProviderStore
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.routing.diversity import Diversity, groups_of
from cortexnet.kad.server.server_streams import ServerStreams
from cortexnet.kad.service.filters import Everything, Filter, Public
from cortexnet.kad.service.keeping import Keeping
from cortexnet.kad.service.peer_streams import PeerStreams
from cortexnet.swarm.peerstore import TEMPORARY_TTL
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from cortexnet.host.context import Context
    from cortexnet.host.peer_info import PeerInfo
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.config import KadConfig
    from cortexnet.kad.engine.operation import Operation
    from cortexnet.kad.records.records import Validators
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.transport.connection import Connection

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

R = TypeVar("R")

TAG_VALUE = 5.0
"""What it is worth to the connection manager that a peer is in the routing table; go-libp2p's value."""

READ_AT_ONCE = 32
"""Contacts of an answer that are looked at together: 1 to 2 ms where each has 16 addresses."""
ANNOUNCED_AT_ONCE = 16
"""Providers that are read of a request: it is to hold one, its sender."""


@final
class Half:
    """The DHT of one protocol. `rules` say whom and what it takes."""

    def __init__(self, context: "Context", config: "KadConfig", protocol: str, rules: Filter, validators: "Validators") -> None:
        self.protocol = protocol
        self.on_met: Callable[[], None] | None = None
        """Called when somebody came into the routing table."""
        self.on_wanted: Callable[[bool], None] | None = None
        """Called when more peers are to be met; whether none is known at all. Must not wait."""
        self._context = context
        self._rules = rules
        self._is_public = isinstance(rules, Public)
        self._own = Contact(context.identity.peer_id)
        self._loop = asyncio.get_running_loop()
        self._epoch = time.time() - self._loop.time()
        self._scope = Scope(context.scope)
        self._streams = PeerStreams(context.host, protocol, config=config, scope=self._scope)
        self._server = ServerStreams(self._answer, config=config, limits=context.limits)
        self._requests: dict[int, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        self._is_serving = False
        self._is_closed = False
        self.dht = Dht(
            self.own_contact,
            config=config.dht,
            random=Random(),
            validators=validators,
            values=ValueStore(config.store),
            providers=ProviderStore(config.store),
            filters=self._filters(),
            diversity=Diversity() if self._is_public else None,
            worth=None if context.reputation is None else context.reputation.score,
        )
        self.dht.table.on_change.append(self._table_changed)
        self._keeping: Keeping | None = None
        self.known: tuple[Contact, ...] = ()
        """Whom an earlier run has met."""
        if context.storage is not None:
            store = context.storage.kad(protocol)
            self._keeping = Keeping(self.dht, store)
            self.known = tuple(dict.fromkeys([contact for hint in store.hints() for contact in hint.contacts]))

    def _filters(self) -> Filters:
        rules = self._rules
        return Filters(
            accept=lambda contact: rules.asks(contact.addresses),
            groups_of=(lambda contact: groups_of(contact.addresses)) if self._is_public else None,
            admit=self._groups if self._is_public else None,
            keep_addresses=self._announced,
            contact_of=self._elsewhere_known,
            group_of=self._network_of,
        )

    # --- life --------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the upkeep, with whoever is connected already."""
        guard = self._scope.spawn(_forever(), name=f"end {self.protocol}")
        guard.add_done_callback(lambda _: self._guard_ended())
        self.dht.start(self._loop.time(), self._unix())
        if self._keeping is not None:
            self._scope.spawn(self._take_back(self._keeping), name=f"take back {self.protocol}")
        self.offer_connected()
        self.pump()

    async def _take_back(self, keeping: Keeping) -> None:
        await keeping.start()
        self.pump_soon()

    async def close(self) -> None:
        """End all operations and requests. Cancelled: what is left ends with the node."""
        self._end()
        try:
            await self._streams.close()
        finally:
            await self._scope.close()

    def _guard_ended(self) -> None:
        """Our scope ends, while a close that was cancelled may never come to us. Or the loop does, with all tasks of a node that
        nobody has left: to tell peers that they are answered no more would take a task that nobody waits for."""
        self._end(tells=self._scope.is_closed)

    def _end(self, *, tells: bool = True) -> None:
        """Begin nothing any more, and give up what goes on. Without waiting: where nobody can wait for us, the scope calls it."""
        if self._is_closed:
            return
        self._is_closed = True
        if tells:
            self.serve(False)
        if self._keeping is not None:
            self._keeping.close()
        self.dht.close()
        self.pump()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._streams.stop()

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be begun any more."""
        return self._is_closed

    @property
    def is_empty(self) -> bool:
        """Whether nobody is in the routing table."""
        return not len(self.dht.table)

    def serve(self, wanted: bool) -> None:
        """Answer others, or no more; identify tells them. Where the application has a handler of its own, that one stays."""
        protocols = self._context.protocols
        if wanted and not self._is_serving and not protocols.supports(self.protocol):
            protocols.handle(self.protocol, self._server.serve)
            self._is_serving = True
        elif not wanted and self._is_serving:
            self._is_serving = False
            protocols.unhandle(self.protocol)
            self._server.reset()

    def _unix(self) -> float:
        """Wall time. Where the clock is set back, or stands still beside a loop of virtual time, the loop's time counts."""
        return max(time.time(), self._epoch + self._loop.time())

    # --- what we are, and who others are -----------------------------------------------------------------------------------

    def own_contact(self) -> Contact:
        """Who we are, and where we may be told to be."""
        addresses = tuple(self._rules.keep(self._context.listen_addresses()))
        if addresses != self._own.addresses:
            self._own = self._own.with_addresses(addresses)
        return self._own

    def _announced(self, provider: Contact) -> Contact:
        """A provider, with the addresses that are believed of it."""
        return self._believed(provider, self._remotes(provider.peer_id))

    def _believed(self, contact: Contact, remotes: "Sequence[Multiaddr]") -> Contact:
        """A contact, with those of its addresses that are of use, and that who tells them from `remotes` can know: nobody from
        outside sends us to loopback, or into our own network."""
        addresses = contact.addresses
        kept = self._rules.keep(addresses)
        if not self._is_public:
            parts = [reachable(kept, remote) for remote in remotes]
            if len(kept) not in map(len, parts):  # nearly always one is all of them
                knowable = dict.fromkeys([address for part in parts for address in part])
                kept = [address for address in kept if address in knowable]
        return contact if len(kept) == len(addresses) else contact.with_addresses(kept)

    def _remotes(self, peer: "PeerId") -> "list[Multiaddr]":
        return [connection.remote_address for connection in self._context.swarm.connections_to(peer)]

    def _origin_of(self, peer: "PeerId") -> "Hashable":
        """The party that what comes of its answers is done for."""
        return next((connection.origin for connection in self._context.swarm.connections_to(peer)), peer)

    def _elsewhere_known(self, peer: "PeerId") -> Contact | None:
        """A peer that is in no table, such as one that only asks: where it listens is told to who looks for it, as by go."""
        addresses = self._rules.keep(self._context.peerstore.addresses(peer, self._loop.time()))
        return Contact(peer, addresses) if addresses else None

    def _network_of(self, peer: "PeerId") -> str | None:
        """The network that a peer is connected from: what is kept for others is shared among these."""
        return next(iter(groups_of(self._remotes(peer))), None)

    def _groups(self, contact: Contact) -> tuple[str, ...] | None:
        """Where it is, as its connections prove: without one nobody comes in."""
        remotes = self._remotes(contact.peer_id)
        return groups_of(remotes) if remotes else None

    def identified(self, connection: "Connection", info: "PeerInfo") -> None:
        """A peer has said what it speaks and where it is."""
        self._offer(info.peer_id, info.addresses, self.protocol in info.protocols)
        self.pump_soon()

    def offer_connected(self) -> None:
        """Take a look at everybody who is connected."""
        peerstore, now = self._context.peerstore, self._loop.time()
        for peer in self._context.swarm.peers:
            if peerstore.supports(peer, self.protocol):
                self._offer(peer, tuple(peerstore.addresses(peer, now)), True)

    def _offer(self, peer: "PeerId", addresses: "tuple[Multiaddr, ...]", is_server: bool) -> None:
        if not is_server or self._rules.admits(addresses, self._remotes(peer)):
            self.dht.candidate(Contact(peer, self._rules.keep(addresses)), is_server, self._loop.time())

    def disconnected(self, connection: "Connection") -> None:
        """A connection is gone."""
        self._streams.disconnected(connection)

    def _table_changed(self, contact: Contact, is_added: bool) -> None:
        manager, peer = self._context.manager, contact.peer_id
        if not is_added:
            manager.untag(peer, self.protocol)
            return
        try:
            manager.tag(peer, self.protocol, TAG_VALUE)
        except LimitExceeded as error:
            log.debug("no tag for %s: %s", peer, error)
        if self.on_met is not None:
            self.on_met()

    # --- what others ask ---------------------------------------------------------------------------------------------------

    def _answer(self, peer: "PeerId", request: bytes) -> bytes | None:
        reputation = self._context.reputation
        try:
            message = Message.decode(request, closer_limit=0, provider_limit=ANNOUNCED_AT_ONCE)
        except RemoteError as error:
            if reputation is not None:
                reputation.violation(peer, f"no request of the DHT: {error}")
            raise
        answer = self.dht.answer(peer, message, self._loop.time(), self._unix())
        self.pump_soon()
        if answer is None:
            return None
        data = answer.encode()
        if reputation is not None:
            reputation.shared(peer, taken=len(data))
        return data

    # --- what the core asks for --------------------------------------------------------------------------------------------

    def pump_soon(self) -> None:
        """The core was told something: carry out what it makes of it, once a turn."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._pump_if_due)

    def _pump_if_due(self) -> None:
        if self._is_due:
            self.pump()

    def pump(self) -> None:
        """Carry out what the core asks for."""
        self._is_due = False
        for action in self.dht.take_actions():
            if isinstance(action, Send):
                self._begin(action)
            elif isinstance(action, Cancel):
                task = self._requests.get(action.id)
                if task is not None:
                    task.cancel()
            elif isinstance(action, ContactsWanted):
                self._want(action.is_empty)
            else:
                assert_never(action)
        self._arm_timer()

    def _want(self, is_empty: bool) -> None:
        self.offer_connected()
        self.pump_soon()
        if self.on_wanted is not None:
            self.on_wanted(is_empty)

    def _begin(self, send: Send) -> None:
        if self._scope.is_closed:
            return
        task = self._scope.spawn(self._request(send), name=f"{self.protocol} to {send.contact.peer_id}")
        self._requests[send.id] = task
        task.add_done_callback(lambda _: self._requests.pop(send.id, None))

    async def _request(self, send: Send) -> None:
        """One request, from the dial to what the core makes of its answer."""
        dht, loop = self.dht, self._loop
        try:
            answer, seconds = await self._exchange(send)
            origin = self._origin_of(send.contact.peer_id)
            await step_turns().run(lambda: dht.on_answer(send.id, answer, loop.time(), seconds), of=origin)
            if self._context.reputation is not None:
                self._context.reputation.report(send.contact.peer_id, True, seconds)
        except (CortexError, TimeoutError) as error:
            is_refusal = isinstance(error, StreamReset) and send.message.type in REFUSABLE
            if self._context.reputation is not None and not is_refusal:
                self._context.reputation.failed(send.contact.peer_id, error)
            log.debug("%s to %s failed: %s", send.message.type.name, send.contact.peer_id, error)
            dht.on_failure(send.id, loop.time())
        except Exception as error:  # boundary: a bug that a peer's answer brings out costs its request, not the node
            log.warning("%s of %s failed: %r", self.protocol, send.contact.peer_id, error, exc_info=True)
            dht.on_failure(send.id, loop.time())
        self.pump_soon()

    async def _exchange(self, send: Send) -> tuple[Message | None, float | None]:
        peer, peerstore = send.contact.peer_id, self._context.peerstore
        if not peerstore.is_connected(peer) and send.contact.addresses:
            now = self._loop.time()
            peerstore.add_addresses(peer, send.contact.addresses, TEMPORARY_TTL, now, is_near=self._is_near())
        request = send.message.encode()
        if not send.expects_answer:
            await self._streams.tell(peer, request, timeout=send.timeout)
            return None, None
        data, seconds = await self._streams.ask(peer, request, timeout=send.timeout)
        if self._context.reputation is not None:
            self._context.reputation.shared(peer, given=len(data))
        return await self._read(peer, data), seconds

    async def _read(self, teller: "PeerId", data: bytes) -> Message:
        """An answer, as far as it is to be believed. One with 16,000 addresses takes several turns of the loop."""
        turns, remotes, origin = step_turns(), self._remotes(teller), self._origin_of(teller)

        def believe(contacts: tuple[Contact, ...]) -> tuple[Contact, ...]:
            return tuple([self._believed(contact, remotes) for contact in contacts])

        def begin() -> tuple[Message, bool]:
            message = Message.decode(data)
            is_short = len(message.closer) + len(message.providers) <= READ_AT_ONCE
            if is_short:  # as of honest peers, and a turn costs more than to look at them
                message.closer = believe(message.closer)
                message.providers = believe(message.providers)
            return message, is_short

        async def believed(contacts: tuple[Contact, ...]) -> tuple[Contact, ...]:
            found: list[Contact] = []
            for first in range(0, len(contacts), READ_AT_ONCE):
                found += await turns.run(partial(believe, contacts[first : first + READ_AT_ONCE]), of=origin)
            return tuple(found)

        message, is_short = await turns.run(begin, of=origin)
        if not is_short:
            message.closer = await believed(message.closer)
            message.providers = await believed(message.providers)
        return message

    def _is_near(self) -> bool:
        """Whether names that others tell may lead into private networks: where everybody is in one."""
        if isinstance(self._rules, Everything):
            return all(is_near(connection.remote_address) for connection in self._context.swarm.connections)
        return not self._is_public

    def _arm_timer(self) -> None:
        due = self.dht.next_timeout()
        timer = self._timer
        if due is None or (timer is not None and timer.when() <= due):
            return  # a timer that fires early looks again
        if timer is not None:
            timer.cancel()
        self._timer = self._loop.call_at(due, self._handle_timer)

    def _handle_timer(self) -> None:
        self._timer = None
        try:
            self.dht.handle_timeout(self._loop.time())
        finally:
            self.pump()

    # --- what is done for the application ----------------------------------------------------------------------------------

    def begin(self, start: "Callable[[float], Operation[R]]") -> "Operation[R]":
        """Start an operation of the core. Who gives it up cancels it, and calls `pump_soon`."""
        if self._is_closed:
            raise NotRunning("the node is closed")
        operation = start(self._loop.time())
        self.pump_soon()
        return operation


async def _forever() -> None:
    await asyncio.Event().wait()

"""The parts of a started node, and how they are put together. A shell."""

import asyncio
import functools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.config import Config
from cortexnet.discovery.discovered import Discovered
from cortexnet.errors import CortexError, PeerTimeout
from cortexnet.host.context import Context, Service
from cortexnet.host.host import Host
from cortexnet.host.identify import PROTOCOL as IDENTIFY
from cortexnet.host.identify import PUSH_PROTOCOL as IDENTIFY_PUSH
from cortexnet.host.identify import Identify
from cortexnet.host.ping import PROTOCOL as PING
from cortexnet.host.ping import Pinger, serve_ping
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.observe.observer import Observer as NodeObserver
from cortexnet.preflight import check_listening
from cortexnet.swarm.manager_events import NetworkChanged
from cortexnet.swarm.resolver import Resolver
from cortexnet.swarm.swarm import Swarm
from cortexnet.transport.connection import Connection, StreamHandler
from cortexnet.transport.interfaces import specific_addresses
from cortexnet.transport.log_limit import LogLimit
from cortexnet.transport.own_loop import check_loop
from cortexnet.transport.scope import Scope
from cortexnet.transports import prefers_tcp, upgrader_and_transports

if TYPE_CHECKING:
    from cortexnet.admission.gater import Gater
    from cortexnet.admission.resources import Resources
    from cortexnet.discovery.bootstrap import Bootstrap
    from cortexnet.discovery.cards import Cards
    from cortexnet.discovery.routing_discovery import RoutingDiscovery
    from cortexnet.gossip.service import Gossip
    from cortexnet.host.host import Protocols
    from cortexnet.host.peer_info import PeerInfo
    from cortexnet.identity.identity import Identity
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.service.service import KadService
    from cortexnet.observe.bus import EventBus
    from cortexnet.observe.status import StatusServer
    from cortexnet.reputation.selector import Selector
    from cortexnet.reputation.service import Reputation
    from cortexnet.storage.storage import Storage
    from cortexnet.swarm.connection_manager import ConnectionManager
    from cortexnet.swarm.peerstore import Peerstore
    from cortexnet.swarm.swarm import Observer

log = logging.getLogger(__name__)
log.addFilter(LogLimit())

_IDENTIFY_AGAIN = (5.0, 10.0, 20.0, 40.0)
"""Seconds from a peer's silence to the next question, 100 with the time of each: a connection that is silent for 40 is dead."""
_INTERFACES_AGE = (
    10.0  # seconds; to ask the system for its interfaces takes a millisecond, and any peer may have us say where we are
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What a node is made of, and what its application has set up before the start."""

    identity: "Identity"
    config: Config
    announce: list[Multiaddr]
    protocols: "Protocols"
    peerstore: "Peerstore"
    resources: "Resources"
    gater: "Gater"
    manager: "ConnectionManager"
    bus: "EventBus"
    on_connected: "list[Observer]"
    on_disconnected: "list[Observer]"


@final
class Running:
    """The parts of a started node."""

    def __init__(self, blueprint: Blueprint, scope: Scope) -> None:
        config, limits = blueprint.config, blueprint.config.limits
        upgrader, transports = upgrader_and_transports(
            config, blueprint.identity.private_key, blueprint.resources, blueprint.gater
        )
        blueprint.gater.on_fault = _gate_failed
        self._blueprint = blueprint
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._addresses: list[Multiaddr] = []
        self._addresses_due = 0.0
        self.storage: Storage | None = None
        self._status: StatusServer | None = None
        self._context: Context | None = None
        self._services: list[Service] = []
        self.reputation: Reputation | None = None
        self.gossip: Gossip | None = None
        self.kad: KadService | None = None
        self.discovery: RoutingDiscovery | None = None
        self.bootstrap: Bootstrap | None = None
        self.swarm = Swarm(
            blueprint.identity.peer_id,
            upgrader=upgrader,
            transports=transports,
            resources=blueprint.resources,
            peerstore=blueprint.peerstore,
            resolve=Resolver(limits).resolve_all,
            acceptor=blueprint.protocols,
            scope=scope,
            gater=blueprint.gater,
            tcp_first=prefers_tcp(config.transports),
        )
        self.host = Host(self.swarm, blueprint.peerstore)
        self.pinger = Pinger(limits)
        self.discovered = _discovered(blueprint)
        self.identify = Identify(
            blueprint.identity,
            self,
            agent_version=config.agent_version,
            protocol_version=config.protocol_version,
            limits=limits,
            peerstore=blueprint.peerstore,
        )
        self.upkeep = blueprint.manager.start(self.swarm, scope, self.identify.identified)
        self.swarm.on_connected = blueprint.on_connected
        self.swarm.on_disconnected = blueprint.on_disconnected
        self.observer = NodeObserver(blueprint.bus, self.swarm, blueprint.resources, blueprint.peerstore)
        self._observe()

    def check_loop(self) -> None:
        """Raises LocalError in an event loop that is not the node's."""
        check_loop(self._loop)

    def _observe(self) -> None:
        """Let everybody tell the observer what happens, and answer it."""
        observer, manager = self.observer, self._blueprint.manager
        # In front: what an observer of the application asks for, ours have seen to already.
        self.swarm.on_connected[:0] = [self.upkeep.connected, observer.connected, self._connected]
        self.swarm.on_disconnected[:0] = [self.identify.disconnected, self.pinger.disconnected, self.upkeep.disconnected]
        self.swarm.on_disconnected.insert(0, observer.disconnected)
        self.swarm.on_dial_failed = self._dial_failed
        self.identify.on_updated = self._identified
        self._blueprint.resources.on_refused = observer.refused
        manager.observers.append(self._blueprint.bus.publish)
        observer.listen_addresses = self.listen_addresses
        observer.unreachable = lambda: [*self.upkeep.unreachable, *self._unresolved()]
        observer.kept = lambda: manager.kept_count + len(self._unresolved())
        observer.storage_failure = lambda: None if self.storage is None else self.storage.failure

    def _unresolved(self) -> list[Multiaddr]:
        return [] if self.bootstrap is None else self.bootstrap.unresolved

    # what identify asks about its surroundings

    def protocols(self) -> list[str]:
        return self._blueprint.protocols.names()

    def listen_addresses(self) -> list[Multiaddr]:
        if self._loop.time() >= self._addresses_due:
            self._addresses = self._blueprint.announce or specific_addresses(self.swarm.listen_addresses)
            self._addresses_due = self._loop.time() + _INTERFACES_AGE
        return list(self._addresses)

    def connections(self) -> list[Connection]:
        return self.swarm.connections

    async def start(self, listen: Sequence[Multiaddr], bootstrap: Sequence[Multiaddr]) -> None:
        config = self._blueprint.config
        check_listening(config, listen)
        await self._open_storage()
        protocols = self._blueprint.protocols
        for protocol, handler in self._builtin().items():
            if not protocols.supports(protocol):  # the application's own comes first
                protocols.handle(protocol, handler)
        for address in listen:
            await self.swarm.listen(address)
            self._addresses_due = 0.0
        protocols.on_change = self._protocols_changed
        await self._start_services(joins=bool(bootstrap or config.discovery.namespace or config.mdns))
        if bootstrap:
            self._start_bootstrap(bootstrap)
        self.upkeep.start()
        self.observer.start()
        interval = config.manager.watch_interval
        if interval and set(config.transports) != {"memory"}:
            from cortexnet.transport.network_watch import NetworkWatch

            watch = NetworkWatch(self._network_changed, interval=interval)
            self._scope.spawn(watch.run(), name="network watch")

    def _builtin(self) -> "dict[str, StreamHandler]":
        """What every node answers to."""
        handlers: dict[str, StreamHandler] = {
            IDENTIFY: self.identify.serve,
            IDENTIFY_PUSH: self.identify.serve_push,
            PING: serve_ping,
        }
        if self._blueprint.config.perf:
            from cortexnet.host import perf

            handlers[perf.PROTOCOL] = perf.serve_perf
        return handlers

    async def _open_storage(self) -> None:
        """Take back what an earlier run has left, before anybody is met; and let the owner ask how it goes."""
        directory = self._blueprint.config.state_directory
        if directory is None:
            return
        from cortexnet.observe.status import StatusServer  # nodes that keep nothing don't pay for these
        from cortexnet.storage.storage import Storage

        self.storage = await Storage.open(os.fspath(directory), self._blueprint.peerstore, self._blueprint.gater.access)
        self._status = await StatusServer.open(os.fspath(directory), self.observer.answers())

    async def _start_services(self, *, joins: bool) -> None:
        """Those that are on; the others are not even loaded. `joins`: this node looks for a network by itself."""
        config = self._blueprint.config
        if config.reputation is not None:
            from cortexnet.reputation.service import Reputation

            self.reputation = Reputation(config.reputation, self._blueprint.gater, self.storage)
            self.swarm.on_offence = self.reputation.offended
            self.swarm.on_shared = self.reputation.shared
            self.pinger.judge = self.reputation
            self.upkeep.worth = self.reputation.score
            self.observer.reputation = self.reputation
        self._context = context = self._make_context()
        self._services = self._make_services(context, joins=joins)
        if self.reputation is not None:
            self.reputation.attach(context)
            self._services.insert(0, self.reputation)  # it is there before the others tell it anything, and ends after them
        for service in self._services:
            await service.start()
        if not config.card.details.is_blank:
            await self.cards.start()
        if self.storage is not None:
            self.storage.release()

    @functools.cached_property
    def selection(self) -> "Selector":
        """Made when it is first asked for: 3 ms of a start without."""
        from cortexnet.reputation.selector import Selector

        blueprint = self._blueprint
        return Selector(
            blueprint.identity.peer_id,
            blueprint.config.selection,
            self.host.open_stream,
            self.swarm,
            blueprint.config.limits,
            reputation=self.reputation,
        )

    @functools.cached_property
    def cards(self) -> "Cards":
        """What nodes say about themselves; made where somebody says something, or asks."""
        from cortexnet.discovery.cards import Cards

        assert self._context is not None  # nobody asks before the start
        cards = Cards(self._context, self._blueprint.config.card, self.discovery, self.selection.caller)
        self._services.append(cards)
        return cards

    def _make_services(self, context: Context, *, joins: bool) -> list[Service]:
        from cortexnet.discovery.exchange_service import PeerExchange
        from cortexnet.discovery.found_dialer import FoundDialer

        config = self._blueprint.config
        dialer = FoundDialer(context, config.discovery)
        services: list[Service] = [dialer]
        if config.discovery.exchange:
            services.append(PeerExchange(context, config.discovery, dialer, asks=joins))
        if config.kad is not None:
            from cortexnet.discovery.routing_discovery import RoutingDiscovery
            from cortexnet.kad.service.service import KadService

            self.kad = KadService(context, config.kad)
            self.discovery = RoutingDiscovery(context, self.kad, config.discovery, dialer)
            services += [self.kad, self.discovery]
        if config.gossip is not None:
            from cortexnet.gossip.service import Gossip

            self.gossip = Gossip(context, config.gossip, finder=self.discovery)
            services.append(self.gossip)
        if self.reputation is not None and config.manager.best_peers:
            from cortexnet.reputation.best_peers import BestPeers

            services.append(BestPeers(context, self.reputation, config.manager))
        if config.mdns is not None:
            from cortexnet.discovery.mdns import Mdns

            services.append(Mdns(context, config.mdns))
        return services

    def _make_context(self) -> Context:
        blueprint = self._blueprint
        return Context(
            identity=blueprint.identity,
            host=self.host,
            swarm=self.swarm,
            peerstore=blueprint.peerstore,
            protocols=blueprint.protocols,
            identify=self.identify,
            scope=self._scope,
            limits=blueprint.config.limits,
            resources=blueprint.resources,
            manager=blueprint.manager,
            bus=blueprint.bus,
            discovered=self.discovered,
            storage=self.storage,
            reputation=self.reputation,
            listen_addresses=self.listen_addresses,
            on_connected=self.swarm.on_connected,
            on_disconnected=self.swarm.on_disconnected,
        )

    def _identified(self, connection: Connection, info: "PeerInfo") -> None:
        self.observer.identified(connection, info)
        if self._context is not None:
            for observer in self._context.on_identified:
                observer(connection, info)

    def _dial_failed(self, peer: "PeerId | None", error: CortexError) -> None:
        self.observer.dial_failed(peer, error)
        if self.reputation is not None:
            self.reputation.dial_failed(peer, error)

    def _protocols_changed(self) -> None:
        if not self._scope.is_closed and self.swarm.connections:  # who comes later asks
            self._scope.spawn(self.identify.push_all(), name="identify push")

    def _connected(self, connection: Connection) -> None:
        # Not named after the peer: to write its id in base58 costs more than the task.
        self._scope.spawn(self._identify(connection), name="identify")

    async def _identify(self, connection: Connection) -> None:
        """Without it no service uses the peer: a peer that stood still, or was cut off just then, is asked again."""
        for pause in (*_IDENTIFY_AGAIN, None):
            if await self._ask_who(connection) or pause is None:
                return
            await asyncio.wait([connection.closed], timeout=pause)
            if not connection.is_open:
                return

    async def _ask_who(self, connection: Connection) -> bool:
        """Whether there is an answer, or never will be."""
        peer = connection.peer_id
        try:
            await self.identify.identify(connection)
        except CortexError as error:
            log.debug("identify of %s failed: %s", peer, error, extra={"peer": peer})
            if self.reputation is not None:
                self.reputation.failed(peer, error)
            return not isinstance(error, PeerTimeout)
        except Exception as error:  # boundary: a bug that one peer's answer brings out costs its connection, not the node
            log.warning("identify of %s failed: %r", peer, error, exc_info=True, extra={"peer": peer})
            connection.abort()
        return True

    def _start_bootstrap(self, addresses: Sequence[Multiaddr]) -> None:
        from cortexnet.discovery.bootstrap import Bootstrap

        blueprint = self._blueprint
        self.bootstrap = Bootstrap(
            blueprint.manager,
            self.upkeep,
            self.discovered,
            resolve=Resolver(blueprint.config.limits).resolve,
            publish=blueprint.bus.publish,
            scope=self._scope,
        )
        self.swarm.on_connected.append(self.bootstrap.connected)
        self.swarm.on_disconnected.append(self.bootstrap.disconnected)
        self.bootstrap.start(addresses)

    def _network_changed(self, gone: frozenset[str], new: frozenset[str], slept: float) -> None:
        self.upkeep.network_changed(NetworkChanged(gone, new, slept))
        self._addresses_due = 0.0
        self.observer.addresses_changed()
        self._protocols_changed()

    async def close(self) -> None:
        self._blueprint.protocols.on_change = None
        self._blueprint.manager.stop()
        self.observer.stop()
        self.discovered.close()
        try:
            for service in reversed(self._services):
                await service.close()
        finally:
            if self.storage is not None:
                await self.storage.freeze()
            await self.swarm.close()

    async def close_storage(self) -> None:
        """At the very end: nothing that is left can change anything any more. Cancelled: it is closed all the same."""
        try:
            if self._status is not None:
                await self._status.close()
        finally:
            if self.storage is not None:
                await self.storage.close()

    def abort(self) -> None:
        """Close all sockets, now."""
        self.swarm.abort()


def _discovered(blueprint: Blueprint) -> Discovered:
    tally, publish = blueprint.resources.tally, blueprint.bus.publish
    return Discovered(blueprint.identity.peer_id, blueprint.peerstore, blueprint.config.discovery, tally=tally, publish=publish)


def _gate_failed(error: Exception) -> None:
    log.warning("the gate failed, and refused: %r", error, exc_info=error)

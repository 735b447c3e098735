"""The swarm: all connections of a node, its listeners and dials. A shell."""

import asyncio
import logging
from collections.abc import Callable, Container, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, final

from cortexnet.errors import ConnectionClosed, CortexError, DialFailed, LocalError, NotRunning
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.dialer import Dialer, Resolve
from cortexnet.swarm.peerstore import TEMPORARY_TTL, Peerstore
from cortexnet.transport.connection import Connection, StreamAcceptor
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.swarm.resources import Resources
    from cortexnet.transport.transport import Listener, Transport
    from cortexnet.transport.upgrade import Upgrader

log = logging.getLogger(__name__)

Observer = Callable[[Connection], None]


@final
class Swarm:
    """Owns every connection, from its upgrade to its end. Observers are called synchronously and must not raise."""

    def __init__(
        self,
        own_id: "PeerId",
        *,
        upgrader: "Upgrader",
        transports: Sequence["Transport"],
        resources: "Resources",
        peerstore: Peerstore,
        resolve: Resolve,
        acceptor: StreamAcceptor,
        scope: Scope,
    ) -> None:
        self._own_id = own_id
        self._upgrader = upgrader
        self._transports = transports
        self._resources = resources
        self._peerstore = peerstore
        self._acceptor = acceptor
        self._scope = Scope(scope)
        self._dialer = Dialer(transports, resources, resolve, self._own_addresses)
        self._listeners: list[Listener] = []
        self._connections: dict[PeerId, list[Connection]] = {}
        self._dials: dict[PeerId | Multiaddr, _SharedDial] = {}
        self._closing = False
        self.on_connected: list[Observer] = []
        """Called with each new connection, before its first stream."""
        self.on_disconnected: list[Observer] = []
        """Called with each connection that is gone."""

    # --- listening ---------------------------------------------------------------------------------------------------------

    async def listen(self, address: Multiaddr) -> Multiaddr:
        """Accept connections at the address; the one that was bound, its port a real one.

        Raises LocalError where no transport can, OSError where the system refuses.
        """
        transport = next((transport for transport in self._transports if transport.can_listen(address)), None)
        if transport is None:
            raise LocalError(f"no enabled transport can listen on {address}")
        listener = await transport.listen(address, self._accept)
        self._listeners.append(listener)
        return listener.address

    @property
    def listen_addresses(self) -> list[Multiaddr]:
        """What the listeners are bound to."""
        return [listener.address for listener in self._listeners]

    def _own_addresses(self) -> Container[Multiaddr]:
        return {address for address in self.listen_addresses if not address.is_unspecified}

    def _accept(self, connection: Connection) -> None:
        if self._closing:
            connection.abort()
        else:
            self._add(connection)

    # --- connections -------------------------------------------------------------------------------------------------------

    def _add(self, connection: Connection) -> None:
        peer = connection.peer_id
        connection.on_lost = self._lost
        connection.on_overload = self._relieve
        self._connections.setdefault(peer, []).append(connection)
        self._peerstore.mark_connected(peer)
        self._dialer.backoff.on_success(peer)
        for observer in self.on_connected:
            observer(connection)
        connection.start(self._acceptor, self._scope)

    def _lost(self, connection: Connection) -> None:
        peer = connection.peer_id
        connections = self._connections.get(peer, [])
        if connection in connections:
            connections.remove(connection)
        if not connections and peer in self._connections:
            del self._connections[peer]
            self._peerstore.mark_disconnected(peer, asyncio.get_running_loop().time())
        log.debug("connection to %s ended: %s", peer, connection.error)
        for observer in self.on_disconnected:
            observer(connection)

    def _relieve(self) -> None:
        """More memory is held than the node may: the peer that holds most gives up its largest unread stream."""
        while self._resources.memory.is_over():
            used = self._resources.memory.used
            heaviest = self._resources.heaviest()
            for connection in self.connections:
                if connection.reservation is heaviest:
                    connection.reset_largest_unread()
            if self._resources.memory.used >= used:
                return  # it is not held by streams

    @property
    def connections(self) -> list[Connection]:
        """All of them."""
        return [connection for connections in self._connections.values() for connection in connections]

    @property
    def peers(self) -> list["PeerId"]:
        """Whom we are connected to."""
        return list(self._connections)

    def connection_to(self, peer: "PeerId") -> Connection | None:
        """The best connection to a peer: direct before relayed, then the one with most streams, then the newest."""
        candidates = [connection for connection in self._connections.get(peer, ()) if connection.is_open]
        if len(candidates) == 1:
            return candidates[0]
        ranked = enumerate(candidates)
        best = max(ranked, key=lambda item: (not item[1].is_relayed, item[1].stream_count, item[0]), default=None)
        return None if best is None else best[1]

    async def disconnect(self, peer: "PeerId") -> None:
        """Close all connections to a peer. Cancelled: they are aborted."""
        await asyncio.gather(*(connection.close() for connection in self._connections.get(peer, ())))

    # --- dialing -----------------------------------------------------------------------------------------------------------

    async def dial(self, peer: "PeerId", addresses: Iterable[Multiaddr] = ()) -> Connection:
        """A connection to the peer: the one there is, or a new one, at the addresses given and the known ones.

        Dials of one peer at the same time are one. Raises DialFailed, LocalError for our own id, NotRunning.
        Cancelled: where nobody else waits for the dial, nothing of it is left.
        """
        self._check_running()
        if peer == self._own_id:
            raise LocalError("that is our own peer id: a node does not dial itself")
        existing = self.connection_to(peer)
        if existing is not None:
            return existing
        given = list(addresses)
        now = asyncio.get_running_loop().time()
        self._peerstore.add_addresses(peer, given, TEMPORARY_TTL, now)
        shared = self._dials.get(peer)
        if shared is not None:
            try:
                return await shared.join()
            except DialFailed:
                if shared.knew(given):
                    raise
        candidates = list(dict.fromkeys([*given, *self._peerstore.addresses(peer, now)]))
        return await self._begin_dial(peer, peer, candidates).join()

    async def dial_unknown(self, address: Multiaddr) -> Connection:
        """A connection to whoever answers at an address that names no peer: they prove who they are, but may be anybody.

        Raises and is cancelled as `dial`.
        """
        self._check_running()
        shared = self._dials.get(address) or self._begin_dial(address, None, [address])
        return await shared.join()

    def _begin_dial(self, key: "PeerId | Multiaddr", peer: "PeerId | None", addresses: list[Multiaddr]) -> "_SharedDial":
        shared = self._dials[key] = _SharedDial(self._scope, addresses, self._dial_new(peer, addresses))
        shared.on_end(lambda ended: self._dials.pop(key) if self._dials.get(key) is ended else None)
        return shared

    async def _dial_new(self, peer: "PeerId | None", addresses: list[Multiaddr]) -> Connection:
        return self._adopt(await self._dialer.dial(peer, addresses))

    def _adopt(self, connection: Connection) -> Connection:
        if self._closing:
            connection.abort()
            raise NotRunning("the node is closing")
        if connection.peer_id == self._own_id:
            connection.abort()
            raise LocalError(f"{connection.remote_address} is this node itself")
        if connection.error is not None:
            raise connection.error
        self._add(connection)
        return connection

    def _check_running(self) -> None:
        if self._closing:
            raise NotRunning("the node is closed")

    # --- the end -----------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop listening and dialing, close all connections. Cancelled: they are aborted."""
        self._stop()
        try:
            await asyncio.gather(*(connection.close() for connection in self.connections))
        finally:
            self.abort()
        await self._scope.close()

    def abort(self) -> None:
        """Close every socket now; the tasks of the connections end with the scope."""
        self._stop()
        for connection in self.connections:
            connection.abort()

    def _stop(self) -> None:
        self._closing = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._upgrader.abort_pending(ConnectionClosed("the node is closing", by="local"))
        for shared in list(self._dials.values()):
            shared.cancel()


@final
class _SharedDial:
    """One dial that several callers wait for; it ends with the last of them."""

    def __init__(self, scope: Scope, addresses: Iterable[Multiaddr], dial: "Coroutine[object, object, Connection]") -> None:
        self._addresses = frozenset(addresses)
        self._outcome: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._outcome.add_done_callback(lambda outcome: outcome.exception())  # it may be that nobody waits any more
        self._waiting = 0
        self._task = scope.spawn(self._run(dial), name="dial")

    async def _run(self, dial: "Coroutine[object, object, Connection]") -> None:
        try:
            self._outcome.set_result(await dial)
        except (CortexError, OSError) as error:
            self._outcome.set_exception(error)
        except BaseException:
            self._outcome.set_exception(NotRunning("the dial was given up: the node is closing"))
            raise

    def on_end(self, callback: Callable[["_SharedDial"], object]) -> None:
        """Call back once it is over."""
        self._outcome.add_done_callback(lambda _: callback(self))

    def knew(self, addresses: Iterable[Multiaddr]) -> bool:
        """Whether it tried all of these."""
        return self._addresses.issuperset(addresses)

    def cancel(self) -> None:
        """Give the dial up; those who wait get NotRunning."""
        self._task.cancel()

    async def join(self) -> Connection:
        """Its outcome. Cancelled: the dial goes on if others wait for it, else it is given up, and is over on return."""
        self._waiting += 1
        try:
            return await asyncio.shield(self._outcome)
        except asyncio.CancelledError:
            if self._waiting == 1:
                await self._give_up()
            raise
        finally:
            self._waiting -= 1

    async def _give_up(self) -> None:
        self._task.cancel()
        while not self._task.done():
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError:
                continue  # it is cancelled already, and ends at once; the first cancellation is raised then
        if self._outcome.done() and self._outcome.exception() is None and not self._outcome.result().streams:
            self._outcome.result().abort()

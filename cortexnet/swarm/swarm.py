"""The swarm: all connections of a node, its listeners and dials. A shell."""

import asyncio
import functools
import logging
from collections.abc import Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, final

from cortexnet.errors import (
    ConnectionClosed,
    ConnectionCode,
    CortexError,
    DialFailed,
    ListenFailed,
    LocalError,
    NotRunning,
    RemoteError,
)
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm import duplicates
from cortexnet.swarm.dialer import Dialer, Resolve, reason_of
from cortexnet.swarm.heap import Heap
from cortexnet.swarm.peerstore import TEMPORARY_TTL, Peerstore
from cortexnet.swarm.pruner import Pruner
from cortexnet.swarm.shared_dial import SharedDial
from cortexnet.transport.connection import Connection, StreamAcceptor
from cortexnet.transport.own_loop import check_loop
from cortexnet.transport.scope import Scope

if TYPE_CHECKING:
    from cortexnet.admission.gater import Gater
    from cortexnet.admission.resources import Resources
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.transport.transport import Listener, Transport
    from cortexnet.transport.upgrade import Upgrader

log = logging.getLogger(__name__)

Observer = Callable[[Connection], None]
_DialKey = tuple["PeerId", bool] | Multiaddr
"""The peer, and whether it is to be a direct connection; or the address of whoever answers there."""


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
        gater: "Gater | None" = None,
        tcp_first: bool = False,
    ) -> None:
        """`tcp_first`: of a peer's addresses those of TCP are tried before those of QUIC, not after them."""
        self._own_id = own_id
        self._upgrader = upgrader
        self._transports = transports
        self._resources = resources
        self._peerstore = peerstore
        self._acceptor = acceptor
        self._scope = Scope(scope)
        self._gater = gater
        if gater is not None:
            gater.on_narrowed = self._turn_out_denied
        self._dialer = Dialer(
            transports,
            resources,
            resolve,
            self._own_addresses,
            gater=gater,
            on_stranger=peerstore.remove_address,
            tcp_first=tcp_first,
        )
        self._listeners: list[Listener] = []
        self._connections: dict[PeerId, list[Connection]] = {}
        self._unclaimed: dict[Connection, None] = {}  # dialed, and not given to a caller yet
        self._dials: dict[_DialKey, SharedDial] = {}
        self._pruner = Pruner(self._scope, self._superfluous)
        self._heap = Heap()
        resources.memory.on_dropped = self._heap.freed
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self.on_connected: list[Observer] = []
        """Called with each new connection, before its first stream."""
        self.on_disconnected: list[Observer] = []
        """Called with each connection that is gone."""
        self.on_offence: Callable[[Connection, RemoteError], None] | None = None
        """Called where the peer of a connection has broken a protocol; see `Connection.on_offence`. Must not raise."""
        self.on_shared: Callable[[PeerId, int, int], None] | None = None
        """Called with what peers gave and got; see `Connection.on_shared`. Must not raise."""
        self.on_dial_failed: Callable[[PeerId | None, CortexError], None] | None = None
        """Called with each dial that led to nobody. Must not raise."""

    # --- listening ---------------------------------------------------------------------------------------------------------

    async def listen(self, address: Multiaddr) -> Multiaddr:
        """Accept connections at the address; the one that was bound, its port a real one.

        Raises LocalError where no transport can, ListenFailed where the system refuses, LimitExceeded, NotRunning.
        """
        self._check_running()
        transport = next((transport for transport in self._transports if transport.can_listen(address)), None)
        if transport is None:
            raise LocalError(f"no enabled transport can listen on {address}: see Config.transports, or use another address")
        try:
            listener = await transport.listen(address, self._accept)
        except CortexError:
            raise
        except OSError as error:
            raise ListenFailed(address, reason_of(error), number=error.errno) from error
        if self._closing:
            listener.close()
            raise NotRunning("the node is closing")
        self._listeners.append(listener)
        return listener.address

    @property
    def listen_addresses(self) -> list[Multiaddr]:
        """What the listeners are bound to."""
        return [listener.address for listener in self._listeners]

    def _own_addresses(self) -> Container[Multiaddr]:
        return {address for address in self.listen_addresses if not address.is_unspecified}

    def _accept(self, connection: Connection) -> None:
        if self._closing or connection.peer_id == self._own_id:
            connection.abort()
        else:
            self._add(connection)

    # --- connections -------------------------------------------------------------------------------------------------------

    def _add(self, connection: Connection) -> None:
        peer = connection.peer_id
        if connection.direction == "inbound":
            self._resources.tally.connections_inbound += 1
        else:
            self._resources.tally.connections_outbound += 1
        connection.on_lost = self._lost
        connection.on_overload = self._relieve
        connection.on_offence = self.on_offence
        connection.on_shared = self.on_shared
        self._connections.setdefault(peer, []).append(connection)
        self._peerstore.mark_connected(peer)
        self._dialer.backoff.on_success(peer)
        started = False
        try:
            for observer in self.on_connected:
                observer(connection)
            connection.start(self._acceptor, self._scope)
            started = True
        finally:
            if not started:  # the bug of an observer costs its connection, which nobody would read from
                connection.abort()
        self._pruner.look(peer)

    def _lost(self, connection: Connection) -> None:
        peer = connection.peer_id
        connections = self._connections[peer]
        connections.remove(connection)
        self._resources.tally.connections_ended += 1
        self._unclaimed.pop(connection, None)
        self._pruner.forget(connection)
        if not connections:
            del self._connections[peer]
            self._peerstore.mark_disconnected(peer, asyncio.get_running_loop().time())
        log.debug("connection to %s ended: %s", peer, connection.error, extra={"peer": peer})
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

    def _turn_out_denied(self, peer: "PeerId | None") -> None:
        """The rules have changed, about this peer alone or anybody: who may not be connected any more has to go."""
        for connection in self.connections if peer is None else self.connections_to(peer):
            self._turn_out_if_denied(connection)

    def _turn_out_if_denied(self, connection: Connection) -> None:
        denied = None if self._gater is None else self._gater.objection(connection)
        if denied is not None:
            connection.turn_out(denied, ConnectionCode.GATED)

    @property
    def connections(self) -> list[Connection]:
        """All of them."""
        return [connection for connections in self._connections.values() for connection in connections]

    @property
    def peers(self) -> list["PeerId"]:
        """Whom we are connected to."""
        return list(self._connections)

    def connections_to(self, peer: "PeerId") -> list[Connection]:
        """All to one peer, those about to close as well."""
        return list(self._connections.get(peer, ()))

    def connection_to(self, peer: "PeerId") -> Connection | None:
        """The best connection to a peer: one that stays (see `duplicates`), with most streams, and of those the newest."""
        return duplicates.best(self._open_to(peer), is_smaller=self._is_smaller(peer))

    def is_superfluous(self, connection: Connection) -> bool:
        """Whether it is closed as soon as nobody uses it, for there is a better one to the peer."""
        return connection in self._superfluous(connection.peer_id)

    def _superfluous(self, peer: "PeerId") -> list[Connection]:
        return duplicates.superfluous(self._open_to(peer), is_smaller=self._is_smaller(peer))

    def _open_to(self, peer: "PeerId") -> list[Connection]:
        return [connection for connection in self._connections.get(peer, ()) if connection.is_open]

    def _is_smaller(self, peer: "PeerId") -> bool:
        return bytes(self._own_id) < bytes(peer)

    async def disconnect(self, peer: "PeerId") -> None:
        """Close all connections to a peer, one after the other. Cancelled: they are aborted.

        By the task that asks, not by others: so a handler may ask for it, and is not cancelled with the other ones.
        """
        connections = list(self._connections.get(peer, ()))
        try:
            for connection in connections:
                await connection.close()
        finally:
            for connection in connections:
                connection.abort()

    # --- dialing -----------------------------------------------------------------------------------------------------------

    async def dial(self, peer: "PeerId", addresses: Iterable[Multiaddr] = (), *, direct: bool = False) -> Connection:
        """A connection to the peer: the one there is, or a new one, at the addresses given and the known ones.

        `direct` wants one that leads through no relay; a relayed one that there is goes on, and is closed when it is not used
        any more. Dials of one peer at the same time are one. Raises DialFailed, LocalError for our own id, NotRunning.
        Cancelled: where nobody else waits for the dial, nothing of it is left.
        """
        self._check_running()
        if peer == self._own_id:
            raise LocalError(
                "that is our own peer id: a node does not dial itself; to try things out, start a second one with another key"
            )
        given = [_without_peer(address, peer) for address in addresses]
        while True:
            existing = self.connection_to(peer)
            if existing is not None and not (direct and existing.is_relayed):
                return self._claim(existing)
            shared = self._dials.get((peer, direct))
            if shared is None:
                return self._claim(await self._begin_dial(peer, given, direct=direct).join())
            try:
                return self._claim(await shared.join())
            except DialFailed:
                if shared.knew(given):
                    raise
                self._check_running()

    async def dial_unknown(self, address: Multiaddr) -> Connection:
        """A connection to whoever answers at an address that names no peer: they prove who they are, but may be anybody.

        One that was dialed there and is open will do. Raises and is cancelled as `dial`.
        """
        self._check_running()
        for connection in self.connections:
            if connection.remote_address == address and connection.direction == "outbound" and connection.is_open:
                return self._claim(connection)
        shared = self._dials.get(address) or self._share_dial(address, None, [address], private_names=[address])
        return self._claim(await shared.join())

    def forgive(self, peer: "PeerId | None" = None) -> None:
        """Forget failed dials: addresses of this peer, or of all, may be tried at once.

        Of all, where the network is another one: what it swallows is forgotten as well.
        """
        if peer is None:
            self._dialer.backoff.clear()
            self._dialer.black_holes.clear()
        else:
            self._dialer.backoff.on_success(peer)

    def _begin_dial(self, peer: "PeerId", given: list[Multiaddr], *, direct: bool) -> SharedDial:
        now = asyncio.get_running_loop().time()
        self._peerstore.add_addresses(peer, given, TEMPORARY_TTL, now, is_near=True)
        addresses = list(dict.fromkeys([*given, *self._peerstore.addresses(peer, now)]))
        private_names = self._peerstore.private_names(peer).union(given)
        return self._share_dial((peer, direct), peer, addresses, private_names=private_names, direct=direct)

    def _share_dial(
        self,
        key: _DialKey,
        peer: "PeerId | None",
        addresses: list[Multiaddr],
        *,
        private_names: Container[Multiaddr],
        direct: bool = False,
    ) -> SharedDial:
        def end(ended: SharedDial) -> None:
            if self._dials.get(key) is ended:
                del self._dials[key]

        dial = functools.partial(self._dial, peer, addresses, private_names, direct=direct)
        shared = SharedDial(self._scope, addresses, dial, on_end=end, discard=self._discard)
        self._dials[key] = shared
        return shared

    async def _dial(
        self, peer: "PeerId | None", addresses: list[Multiaddr], private_names: Container[Multiaddr], *, direct: bool
    ) -> Connection:
        tally = self._resources.tally
        tally.dials += 1
        try:
            connection = await self._dialer.dial(peer, addresses, private_names=private_names, direct=direct)
            self._check_dialed(connection)
        except CortexError as error:
            tally.dials_failed += 1
            if self.on_dial_failed is not None:
                self.on_dial_failed(peer, error)
            raise
        self._unclaimed[connection] = None
        self._add(connection)
        return connection

    def _check_dialed(self, connection: Connection) -> None:
        """Whether it is of use. Raises NotRunning, LocalError, DialFailed: it has ended then."""
        if self._closing:
            connection.abort()
            raise NotRunning("the node is closing")
        if connection.peer_id == self._own_id:
            connection.abort()
            raise LocalError(
                f"{connection.remote_address} is this node itself: dial an address of another one; if it is another process, "
                "give that one a key of its own"
            )
        self._turn_out_if_denied(connection)  # by a rule that came while other attempts were given up
        if connection.error is not None:
            attempt = (str(connection.remote_address), connection.error)
            raise DialFailed(f"the connection to {connection.peer_id} ended at once:", [attempt])

    def _claim(self, connection: Connection) -> Connection:
        """A caller has it now."""
        self._unclaimed.pop(connection, None)
        return connection

    def _discard(self, connection: Connection) -> None:
        """Who dialed it has given up meanwhile."""
        if connection in self._unclaimed:
            connection.abort()

    def _check_running(self) -> None:
        check_loop(self._loop)
        if self._closing:
            raise NotRunning("the node is closed; a node is started once: make a new one")

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

    async def drop(self) -> None:
        """Abort what is left, and wait until it is gone. Cancelled: it goes all the same."""
        self.abort()
        gone = [connection.closed for connection in self.connections]
        if gone:
            await asyncio.wait(gone)
        await self._scope.close()

    def _stop(self) -> None:
        self._closing = True
        self._pruner.stop()
        self._heap.stop()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._upgrader.abort_pending(ConnectionClosed("the node is closing", by="local"))
        for shared in list(self._dials.values()):
            shared.cancel()


def _without_peer(address: Multiaddr, peer: "PeerId") -> Multiaddr:
    rest, named = address.split_peer()
    return rest if rest is not None and named == bytes(peer) else address

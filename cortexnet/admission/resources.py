"""Who holds what: connections, dials, streams, sockets and memory, counted before they are made and given back exactly once.

    with resources.admit_inbound(ip) as connection:        # LimitExceeded: close the socket, nothing was counted
        ...                                                # handshake, charged to connection.memory
        connection.authenticated(peer)                     # LimitExceeded: close it with ConnectionCode.LIMIT_EXCEEDED
        with connection.streams.open_inbound() as stream:  # LimitExceeded: reset it with StreamCode.LIMIT_EXCEEDED
            stream.negotiated("/ipfs/ping/1.0.0")

Every reservation may instead be given back with `release()`, also twice. Entries of a table go with their last holder.
"""

import sys
from collections.abc import Callable, Sized
from typing import Literal, final

from cortexnet.admission.bandwidth import Bandwidth, Traffic
from cortexnet.admission.counters import Bound, Counters
from cortexnet.admission.limits import Limits
from cortexnet.admission.memory_budget import ConnectionMemory, NodeMemory
from cortexnet.admission.rate_limit import StreamRateLimit
from cortexnet.admission.stream_slots import ConnectionStreams, NodeStreams, StreamReservation
from cortexnet.admission.subnet import Subnets, subnets_of
from cortexnet.admission.tally import Tally
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId

Direction = Literal["inbound", "outbound"]


@final
class Resources:
    """The counts of one node against its limits.

    `process_descriptors` is how many files the process may open: half of them may become our sockets, but for one that the
    accept loop keeps in reserve. None leaves sockets unbounded, unless `limits.file_descriptors` says a number.
    """

    def __init__(self, limits: Limits, *, process_descriptors: int | None = None) -> None:
        self.limits = limits
        self.memory = NodeMemory(limits.memory, limits.peer_memory, limits.outbox_memory)
        self.streams = NodeStreams(limits)
        self.tally = Tally()
        self.on_refused: Callable[[LimitExceeded], None] | None = None
        """Called with each refusal. Must not raise."""
        self.objection: Callable[[PeerId], LimitExceeded | None] | None = None
        """Asked about each stream that a peer opens: why it is not to be taken, None where it is. Must not raise."""
        self.stream_rates = StreamRateLimit(limits)
        self.bandwidth = Bandwidth(limits)
        self._moved = Traffic()  # by connections that are gone
        self._counters = Counters()
        self._accepted: dict[Reservation, None] = {}
        self._holders: dict[ConnectionMemory, Reservation] = {}
        half = sys.maxsize if process_descriptors is None else process_descriptors // 2
        sockets = half if limits.file_descriptors is None else limits.file_descriptors
        self._socket_bound = Bound("file_descriptors", None, max(sockets - 1, 0))

    def refused(self, error: Exception) -> None:
        """Something was refused to a peer: count it, and tell who wants to know."""
        self.tally.refused(error)
        if self.on_refused is not None and isinstance(error, LimitExceeded):
            self.on_refused(error)

    def admit_inbound(self, ip: str | None, *, has_socket: bool = True) -> "Reservation":
        """Count a connection that was just accepted and has proved nothing yet.

        `ip` is None where there is no address to count by (memory, relay). Raises LimitExceeded; see `oldest_to_evict`.
        """
        subnets = self._counted_subnets(ip)
        limits = self.limits
        bounds = [Bound("unauthenticated", None, limits.unauthenticated)]
        if subnets is not None:
            bounds.append(Bound("unauthenticated_per_address", subnets.host, limits.unauthenticated_per_address))
        # A handshake is wasted where the connection that comes of it would be refused.
        self._counters.check(self._connection_bounds("inbound", subnets, None))
        reservation = self._admit("inbound", subnets, None, bounds, has_socket=has_socket)
        self._accepted[reservation] = None
        return reservation

    def oldest_to_evict(self, ip: str | None) -> "Reservation | None":
        """The unauthenticated connection that has to go before another one from `ip` fits; None where none has to.

        Release it and abort its connection, then ask for admission: so slow handshakes never keep others out. None also where
        `ip` has too many open connections already: who will be refused must not displace anybody.
        """
        subnets = self._counted_subnets(ip)
        if not self._counters.has_room(self._connection_bounds("inbound", subnets, None)):
            return None
        if subnets is not None:
            of_host = [held for held in self._accepted if held.subnets is not None and held.subnets.host == subnets.host]
            if len(of_host) >= self.limits.unauthenticated_per_address:
                return of_host[0] if of_host else None
        return next(iter(self._accepted), None) if len(self._accepted) >= self.limits.unauthenticated else None

    def admit_dial(self, peer: PeerId | None, ip: str | None, *, has_socket: bool = True) -> "Reservation":
        """Count an attempt to connect to an address, `peer` being None where it is not known. Raises LimitExceeded."""
        subnets = self._counted_subnets(ip)
        self._counters.check(self._connection_bounds("outbound", subnets, peer))
        return self._admit("outbound", subnets, peer, self._dial_bounds(peer), has_socket=has_socket)

    def can_dial(self, peer: PeerId | None) -> bool:
        """Whether a dial of `peer` would find a slot; else wait until one is released."""
        return self._counters.has_room(self._dial_bounds(peer))

    def admit_connection(self, direction: Direction, ip: str | None, peer: PeerId, *, has_socket: bool = True) -> "Reservation":
        """Count a connection whose peer is verified already. Raises LimitExceeded."""
        subnets = self._counted_subnets(ip)
        bounds = self._connection_bounds(direction, subnets, peer)
        reservation = self._admit(direction, subnets, peer, bounds, has_socket=has_socket)
        reservation.mark_open(peer, bounds)
        return reservation

    def admit_listener(self) -> "Reservation":
        """Count a socket that is no connection. Raises LimitExceeded."""
        return self._admit("inbound", None, None, [], has_socket=True)

    def heaviest(self) -> "Reservation | None":
        """The connection that holds most memory, of the peer that holds most: whose stream goes when `memory.is_over()`."""
        memory = self.memory.heaviest()
        return None if memory is None else self._holders[memory]

    def snapshot(self) -> dict[str, int]:
        """All counters, and how many entries their tables have; all zero once everything is released."""
        value = self._counters.value
        return {
            "connections": value("connections"),
            "connections_inbound": value("connections_inbound"),
            "connections_outbound": value("connections_outbound"),
            "unauthenticated": value("unauthenticated"),
            "dials": value("dials"),
            "streams_inbound": self.streams.inbound,
            "streams_outbound": self.streams.outbound,
            "streams_negotiating": self.streams.negotiating,
            "memory": self.memory.used,
            "outbox_memory": self.memory.outgoing.queued,
            "peers": len(self.memory.peers),
            "file_descriptors": value("file_descriptors"),
            "entries": sum(len(table) for table in self._tables()),
        }

    def _tables(self) -> tuple[Sized, ...]:
        streams = self.streams
        tables = self._counters, self._accepted, self._holders, self.memory.peers, streams.peers, streams.by_protocol
        return *tables, self.bandwidth

    def traffic(self) -> tuple[int, int]:
        """Bytes received and sent by all connections since the start, without those of handshakes."""
        held = list(self._holders.values())  # at once: this may be asked from another thread
        all_traffic = [self._moved, *(reservation.traffic for reservation in held)]
        return sum(traffic.received for traffic in all_traffic), sum(traffic.sent for traffic in all_traffic)

    def of_peer(self, peer: PeerId) -> dict[str, int]:
        """What one peer holds, over all of its connections, and the bytes that these have moved."""
        memory, streams = self.memory.peers.get(peer), self.streams.peers.get(peer)
        traffic = [reservation.traffic for reservation in self._holders.values() if reservation.peer == peer]
        return {
            "connections": self._counters.value("connections_per_peer", peer),
            "dials": self._counters.value("dials_per_peer", peer),
            "streams_inbound": 0 if streams is None else streams.inbound,
            "memory": 0 if memory is None else memory.used,
            "bytes_received": sum(one.received for one in traffic),
            "bytes_sent": sum(one.sent for one in traffic),
        }

    def move_to_open(self, reservation: "Reservation", peer: PeerId) -> None:
        """What `Reservation.authenticated` does."""
        bounds = self._connection_bounds(reservation.direction, reservation.subnets, peer)
        self._counters.check(bounds)
        self._counters.give_back(reservation.bounds)
        self._counters.hold(bounds)
        self._accepted.pop(reservation, None)
        reservation.mark_open(peer, bounds)

    def take_back(self, reservation: "Reservation") -> None:
        """What `Reservation.release` does, once."""
        self._counters.give_back(reservation.bounds)
        self._counters.give_back(reservation.socket)
        self._accepted.pop(reservation, None)
        del self._holders[reservation.memory]
        reservation.memory.close()
        reservation.streams.leave()
        self._moved.received += reservation.traffic.received
        self._moved.sent += reservation.traffic.sent
        if reservation.is_open and reservation.peer is not None:
            self.bandwidth.close(reservation.peer)

    def _admit(
        self, direction: Direction, subnets: Subnets | None, peer: PeerId | None, bounds: list[Bound], *, has_socket: bool
    ) -> "Reservation":
        socket = [self._socket_bound] if has_socket else []
        self._counters.check(bounds)
        self._counters.check(socket)
        reservation = Reservation(self, direction, subnets, peer, bounds, socket)
        self._counters.hold(bounds)
        self._counters.hold(socket)
        self._holders[reservation.memory] = reservation
        return reservation

    def _counted_subnets(self, ip: str | None) -> Subnets | None:
        if ip is None:
            return None
        subnets = subnets_of(ip)
        return None if subnets.is_loopback and not self.limits.limit_loopback else subnets

    def _dial_bounds(self, peer: PeerId | None) -> list[Bound]:
        bounds = [Bound("dials", None, self.limits.dials)]
        if peer is not None:
            bounds.append(Bound("dials_per_peer", peer, self.limits.dials_per_peer))
        return bounds

    def _connection_bounds(self, direction: Direction, subnets: Subnets | None, peer: PeerId | None) -> list[Bound]:
        limits = self.limits
        bounds = [Bound("connections", None, limits.connections)]
        if direction == "inbound":
            bounds.append(Bound("connections_inbound", None, limits.connections_inbound))
        else:
            bounds.append(Bound("connections_outbound", None, limits.connections_outbound))
        if peer is not None:
            bounds.append(Bound("connections_per_peer", peer, limits.connections_per_peer))
        if subnets is None:
            return bounds
        if subnets.is_ipv6:
            bounds.append(Bound("connections_per_ipv6_56", subnets.host, limits.connections_per_ipv6_56))
            bounds.append(Bound("connections_per_ipv6_48", subnets.network, limits.connections_per_ipv6_48))
        else:
            bounds.append(Bound("connections_per_ipv4", subnets.host, limits.connections_per_ipv4))
            bounds.append(Bound("connections_per_ipv4_24", subnets.network, limits.connections_per_ipv4_24))
        return bounds


@final
class Reservation:
    """The place of one connection from accept or dial to its end; a context manager. Made by `Resources` only."""

    __slots__ = (
        "_is_released",
        "_resources",
        "bounds",
        "direction",
        "is_open",
        "memory",
        "on_reached",
        "peer",
        "socket",
        "streams",
        "subnets",
        "traffic",
    )

    def __init__(
        self,
        resources: Resources,
        direction: Direction,
        subnets: Subnets | None,
        peer: PeerId | None,
        bounds: list[Bound],
        socket: list[Bound],
    ) -> None:
        self._resources = resources
        self._is_released = False
        self.is_open = False
        """Whether its peer is verified."""
        self.direction: Direction = direction
        self.subnets = subnets
        """What it is counted by; None where no limit by address holds."""
        self.peer = peer
        self.bounds = bounds
        self.socket = socket
        self.on_reached: Callable[[], None] | None = None
        """Called once something has answered where a dial leads, before the handshake: what remains is a matter of time."""
        self.memory = resources.memory.open(resources.limits.unauthenticated_memory)
        """The muxer's `MemoryBudget`; small until the peer is verified."""
        self.streams = ConnectionStreams(resources.streams)
        self.traffic = Traffic()
        """Bytes it has moved, and how long it must wait for the next; of its own once the peer is verified."""

    def authenticated(self, peer: PeerId) -> None:
        """The peer is verified: count it among the open connections from now on.

        Raises LimitExceeded: it still counts as what it was, until released. Raises LocalError if it is open or released already.
        """
        if self.is_open or self._is_released:
            raise LocalError("this reservation is of an open connection already, or was released")
        self._resources.move_to_open(self, peer)

    def mark_open(self, peer: PeerId, bounds: list[Bound]) -> None:
        """What `Resources` does once the connection is counted as an open one."""
        self.is_open = True
        self.peer = peer
        self.bounds = bounds
        self.memory.belong_to(peer, self._resources.limits.connection_memory)
        self.streams.belong_to(peer)
        self.traffic = self._resources.bandwidth.open(peer)

    def refused(self, error: Exception) -> None:
        """See `Resources.refused`."""
        self._resources.refused(error)

    @property
    def tally(self) -> Tally:
        """The totals of the node."""
        return self._resources.tally

    def admit_stream(self) -> StreamReservation:
        """The peer opens a stream; its place. Raises LimitExceeded, also Denied."""
        objection = self._resources.objection
        if objection is not None and self.peer is not None and (error := objection(self.peer)) is not None:
            raise error
        return self.streams.open_inbound()

    def admit_protocol(self, protocol: str, now: float) -> None:
        """The peer opens a stream of a protocol: it may come too often. Raises LimitExceeded."""
        if self.subnets is not None:
            self._resources.stream_rates.admit(protocol, self.subnets, now)

    def release(self) -> None:
        """Give the place back, and all memory that is still charged. Its streams stay counted until they are released."""
        if not self._is_released:
            self._is_released = True
            self._resources.take_back(self)

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

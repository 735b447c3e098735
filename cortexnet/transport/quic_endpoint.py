"""One UDP socket for all QUIC connections that were accepted or dialed through it. A shell.

Packets find their connection by its ids, never by the peer's address: two connections may have the same one. Peers see the port
we listen on, whoever has dialed: that is what makes observed addresses and hole punching work.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, final

from cortexnet.admission.resources import Reservation
from cortexnet.errors import ConnectionClosed
from cortexnet.mux.muxer import ConnectionFailed, MuxEvent
from cortexnet.quic.arrivals import Arrival, destination, read_arrival, version_negotiation
from cortexnet.quic.engine import Datagram, QuicEngine
from cortexnet.transport.sockets import bind
from cortexnet.transport.udp import Address, UdpSocket, open_udp

log = logging.getLogger(__name__)

_CLOSED_LIMIT = 1_024  # connections that ended a moment ago, and whose late packets are answered or dropped
_SWEEP_INTERVAL = 1.0


class Route(Protocol):
    """A connection, as its endpoint sees it."""

    def receive(self, datagrams: Sequence[Datagram]) -> None:
        """Packets with one of its ids."""

    def has_room(self) -> None:
        """The socket takes more again, after `is_full`."""

    def unreachable(self, error: OSError) -> None:
        """The system can't send to where it is."""


Arrived = Callable[[Arrival, bytes, Address], None]
"""A datagram that may begin a connection, of a version we speak."""


@final
@dataclass(slots=True)
class _Closed:
    """A connection that has ended: its goodbye is said again to who goes on, each time after twice as many packets."""

    goodbye: Sequence[Datagram]
    until: float
    packets: int = 0

    def answer(self) -> Sequence[Datagram]:
        self.packets += 1
        return self.goodbye if self.packets & (self.packets - 1) == 0 else ()


@final
class QuicEndpoint:
    """Made by `open_endpoint`. Its socket closes when it neither accepts nor has connections.

    `on_arrival` is None while it accepts nothing.
    """

    def __init__(self, family: int, reservation: Reservation, on_close: Callable[["QuicEndpoint"], None]) -> None:
        self.on_arrival: Arrived | None = None
        self.refuse: Callable[[Arrival], bytes | None] = lambda arrival: None
        self.family = family
        self.name: Address = ("", 0)
        """Where it is bound."""
        self.is_closed = False
        self._loop = asyncio.get_running_loop()
        self._reservation = reservation
        self._on_close = on_close
        self._socket: UdpSocket
        self._by_id: dict[bytes, Route] = {}
        self._ids: dict[Route, list[bytes]] = {}
        self._closed: dict[bytes, _Closed] = {}
        self._waiting: dict[Route, None] = {}
        self._dialing: dict[Route, Address] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None

    def attach(self, bound: UdpSocket, name: Address) -> None:
        """The socket is open."""
        self._socket, self.name = bound, name

    # --- connections -------------------------------------------------------------------------------------------------------

    def route(self, route: Route, ids: Iterable[bytes]) -> None:
        """Packets with these ids, and only these, are for `route`."""
        before, now = self._ids.get(route, []), list(ids)
        for gone in before:
            if gone not in now:
                del self._by_id[gone]
        for each in now:
            self._by_id[each] = route
        self._ids[route] = now

    def dialing(self, route: Route, address: Address) -> None:
        """Until it is replaced or removed, `route` wants to know where nobody answers."""
        self._dialing[route] = address

    def replace(self, route: Route, successor: Route) -> None:
        """`successor` takes over."""
        self.route(successor, self._ids.pop(route))
        self._waiting.pop(route, None)
        self._dialing.pop(route, None)

    def remove(self, route: Route, goodbye: Sequence[Datagram] = (), closing_time: float = 0.0) -> None:
        """The connection has ended; for `closing_time` seconds its late packets are known for what they are."""
        closed = _Closed(goodbye, self._loop.time() + closing_time)
        for each in self._ids.pop(route, []):
            del self._by_id[each]
            self._closed[each] = closed
        while len(self._closed) > _CLOSED_LIMIT:
            del self._closed[next(iter(self._closed))]
        self._waiting.pop(route, None)
        self._dialing.pop(route, None)
        if self._closed and self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(_SWEEP_INTERVAL, self._sweep)
        self.close_if_unused()

    def _sweep(self) -> None:
        now = self._loop.time()
        self._closed = {each: closed for each, closed in self._closed.items() if closed.until > now}
        self._sweep_timer = self._loop.call_later(_SWEEP_INTERVAL, self._sweep) if self._closed else None

    # --- packets -----------------------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Whether the socket takes no more for the moment."""
        return self._socket.is_full

    def wait_for_room(self, route: Route) -> None:
        """Call it back once there is."""
        self._waiting[route] = None

    def send(self, datagrams: Sequence[Datagram]) -> OSError | None:
        """See `UdpSocket.send`."""
        return self._socket.send(datagrams)

    def has_room(self) -> None:
        """Called by the socket."""
        waiting, self._waiting = self._waiting, {}
        for route in waiting:
            if route in self._ids:
                route.has_room()

    def unreachable(self, address: Address, error: OSError) -> None:
        """Called by the socket. Open connections do not believe it: anybody on the way could end them so.

        The socket also says it while a dial sends, who could not go on if it ended meanwhile: they learn it afterwards.
        """
        for route, where in self._dialing.items():
            if where == address:
                self._loop.call_soon(route.unreachable, error)

    def received(self, datagrams: Sequence[Datagram]) -> None:
        """Called by the socket: each connection gets what is for it in one call."""
        batches: dict[Route, list[Datagram]] = {}
        find = self._by_id.get
        for datagram in datagrams:
            route = find(destination(datagram[0]))
            if route is not None:
                batch = batches.get(route)
                if batch is None:
                    batches[route] = [datagram]
                else:
                    batch.append(datagram)
            else:
                self._receive_other(*datagram)
        for route, batch in batches.items():
            if route in self._ids:  # else one before has closed it
                route.receive(batch)

    def _receive_other(self, data: bytes, address: Address) -> None:
        """For no connection: the beginning of one, the end of one, or noise, which is dropped without a word."""
        closed = self._closed.get(destination(data))
        if closed is not None:
            self.send(closed.answer())
            return
        arrival = read_arrival(data)
        if arrival is None:
            return
        if not arrival.is_known_version:
            self.send([(version_negotiation(arrival), address)])
        elif self.on_arrival is not None:
            self.on_arrival(arrival, data, address)
        else:
            answer = self.refuse(arrival)
            if answer is not None:
                self.send([(answer, address)])

    # --- the end -----------------------------------------------------------------------------------------------------------

    def close_if_unused(self) -> None:
        """Close the socket where nobody needs it."""
        if self.on_arrival is None and not self._ids and not self.is_closed:
            self.is_closed = True
            if self._sweep_timer is not None:
                self._sweep_timer.cancel()
            self._socket.close()
            self._reservation.release()
            self._on_close(self)


def receive_safely(engine: QuicEngine, data: bytes, address: Address, now: float) -> list[MuxEvent]:
    """Have the engine take in a datagram, whatever that does to it."""
    try:
        return engine.receive(data, address, now)
    except Exception as error:  # boundary: a packet that the engine fails of costs its connection, and nobody else's
        log.warning("the QUIC engine failed of a packet from %s: %r", address[0], error, exc_info=True)
        # Not the peer's fault: it may be of anybody, the engine having failed before it could tell.
        return [ConnectionFailed(ConnectionClosed(f"a packet that the QUIC engine fails of: {error!r}", by="local"))]


async def open_endpoint(host: str, port: int, reservation: Reservation, on_close: Callable[[QuicEndpoint], None]) -> QuicEndpoint:
    """Bind. Raises OSError; owns the reservation from the call on. Cancelled or failed: nothing is left."""
    try:
        bound = bind(socket.SOCK_DGRAM, host, port)
        try:
            name = bound.getsockname()
            endpoint = QuicEndpoint(bound.family, reservation, on_close)
            endpoint.attach(await open_udp(bound, endpoint), name)
        except BaseException:
            bound.close()
            raise
    except BaseException:
        reservation.release()
        raise
    return endpoint


def socket_name(family: int, host: str, port: int) -> Address:
    """The address in the form in which the system tells where a datagram came from. `host` is an IP address."""
    found = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
    name: Address = found[0][4]  # type: ignore[assignment]  # what these families have
    return name

"""A QUIC connection until its peer is verified, on either side. A shell."""

import asyncio
from collections.abc import Callable, Sequence
from typing import final

from cortexnet.admission.resources import Reservation
from cortexnet.errors import ConnectionClosed, ConnectionCode, Denied, LimitExceeded, PeerTimeout
from cortexnet.mux.muxer import ConnectionFailed, MuxEvent
from cortexnet.quic.engine import Datagram, QuicEngine
from cortexnet.transport.connection import Endpoints
from cortexnet.transport.quic_endpoint import QuicEndpoint, receive_safely
from cortexnet.transport.quic_link import QuicLink
from cortexnet.transport.read_turns import turns_of
from cortexnet.transport.udp import Address
from cortexnet.transport.upgrade import Outcome, Upgrader

_KEPT_LIMIT = 64  # datagrams that came while others had their turn


@final
class QuicUpgrade:
    """`finished` gets the connection, not started, or the error; on an error nothing is left. It owns the reservation.

    `loopback_datagram_size` is for peers on this machine, whatever they are: only who takes that much is sent it.
    """

    def __init__(
        self,
        engine: QuicEngine,
        endpoint: QuicEndpoint,
        endpoints: Endpoints,
        *,
        upgrader: Upgrader,
        reservation: Reservation,
        finished: Callable[[Outcome], None],
        loopback_datagram_size: int | None,
    ) -> None:
        self._engine = engine
        self._endpoint = endpoint
        self._endpoints = endpoints
        self._upgrader = upgrader
        self._reservation = reservation
        self._finished = finished
        self._datagram_size = loopback_datagram_size
        self._loop = asyncio.get_running_loop()
        self._turns = turns_of(self._loop)
        self._kept: list[Datagram] = []
        self._events: list[MuxEvent] = []  # what streams did before there was a connection
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._over = False

    def dial(self, address: Address) -> None:
        """Begin the dialer's side."""
        self._endpoint.route(self, self._engine.connection_ids)
        self._endpoint.dialing(self, address)
        self._engine.connect(address, self._loop.time())
        self._transmit()

    def accept(self, datagram: bytes, address: Address) -> None:
        """Begin the listener's side with the first datagram."""
        timeout = self._upgrader.config.inbound_timeout
        self._deadline = self._loop.call_later(timeout, self._timed_out, timeout)
        self._endpoint.route(self, self._engine.connection_ids)
        self.receive([(datagram, address)])

    # --- packets -----------------------------------------------------------------------------------------------------------

    def receive(self, datagrams: Sequence[Datagram]) -> None:
        if self._over:
            return
        is_deferred = bool(self._kept)
        self._kept += datagrams[: _KEPT_LIMIT - len(self._kept)]
        if is_deferred:
            return
        if self._turns.is_over:
            self._turns.defer(self._take_in, is_light=True)
        else:
            self._take_in()

    def _take_in(self) -> None:
        """A handshake has its turns too: its steps take milliseconds."""
        kept, self._kept = self._kept, []
        for position, (datagram, address) in enumerate(kept):
            if self._over:
                return
            begin = self._loop.time()
            self._handle(receive_safely(self._engine, datagram, address, begin))
            self._turns.spend(self._loop.time() - begin)
            if not self._over and self._engine.is_established:
                self._succeed(kept[position + 1 :])
                return
        if not self._over:
            self._transmit()

    def _handle(self, events: Sequence[MuxEvent]) -> None:
        for event in events:
            if isinstance(event, ConnectionFailed):
                self.fail(event.error)
                return
            self._events.append(event)

    def _transmit(self) -> None:
        engine = self._engine
        error = self._endpoint.send(engine.datagrams_to_send(self._loop.time()))
        if engine.ids_moved:
            engine.ids_moved = False
            self._endpoint.route(self, engine.connection_ids)
        if error is not None:
            self.unreachable(error)
        else:
            self._arm()

    def _arm(self) -> None:
        due = self._engine.next_timeout()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self._loop.call_at(due, self._handle_timer)

    def _handle_timer(self) -> None:
        self._handle(self._engine.handle_timeout(self._loop.time()))
        if not self._over:
            self._transmit()

    def has_room(self) -> None:
        """What was lost meanwhile is sent again by the engine's timer."""

    def unreachable(self, error: OSError) -> None:
        if self._endpoints.direction == "outbound" and not self._over:
            self.fail(error)

    # --- the end -----------------------------------------------------------------------------------------------------------

    def _succeed(self, rest: Sequence[Datagram]) -> None:
        engine = self._engine
        peer, key = engine.remote_peer, engine.remote_key
        assert peer is not None and key is not None  # noqa: PT018  # it is established
        if self._datagram_size is not None:
            engine.use_datagram_size(self._datagram_size)
        link = QuicLink(engine, self._endpoint, self._events, peer, key)
        try:
            self._upgrader.admit_peer(peer, self._endpoints, self._reservation)
            connection = self._upgrader.over(link, self._endpoints, self._reservation)
        except LimitExceeded as error:
            self._close(ConnectionCode.GATED if isinstance(error, Denied) else ConnectionCode.LIMIT_EXCEEDED)
            self._give_up(error)
            return
        self._endpoint.send(engine.datagrams_to_send(self._loop.time()))
        self._settle()
        self._endpoint.replace(self, link)
        link.receive(rest)
        self._finished(connection)

    def fail(self, error: Exception) -> None:
        """Give up and report; nothing happens where it is over."""
        if not self._over:
            self._close(None)
            self._give_up(error)

    def _close(self, code: int | None) -> None:
        """Tell the peer, if it does not know."""
        if not self._engine.is_over:
            self._engine.close_now(code)

    def _give_up(self, error: Exception) -> None:
        self._settle()
        goodbye = self._engine.datagrams_to_send(self._loop.time())
        self._endpoint.send(goodbye)
        self._endpoint.remove(self, goodbye, self._engine.closing_time())
        self._reservation.release()
        self._finished(error)

    def _settle(self) -> None:
        self._over = True
        for timer in (self._timer, self._deadline):
            if timer is not None:
                timer.cancel()
        self._upgrader.settled(self._reservation)

    def _timed_out(self, seconds: float) -> None:
        self.fail(PeerTimeout(f"no handshake within {seconds:g} s"))


def given_up() -> ConnectionClosed:
    """Why a dial that was cancelled has ended."""
    return ConnectionClosed("the dial was given up", by="local")

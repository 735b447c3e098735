"""The link of a connection over QUIC: its engine, its share of an endpoint's socket, its turns. A shell."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from cortexnet.admission.bandwidth import NO_REST, Traffic
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.mux.muxer import MuxEvent
from cortexnet.quic.engine import Datagram, QuicEngine
from cortexnet.transport.quic_endpoint import QuicEndpoint, receive_safely
from cortexnet.transport.read_turns import turns_of

if TYPE_CHECKING:
    from cortexnet.transport.connection import Connection

_INBOUND_LIMIT = 512  # datagrams that wait for their turn; more are dropped, as the system would
_FEW = 4  # datagrams that wait: they do not wait for others' bulk
_SMALL = 4_096  # bytes of a write that is more likely part of a conversation than of a transfer
_FULL_PAUSE = 0.02  # seconds until the timer looks again at what is due while the socket takes nothing
_PROMPT = 65_536  # queued bytes that are sent at once and not at the end of the turn


@final
class QuicLink:
    """See `transport.link.Link` for the contract of each verb. `events` came before there was a connection to tell."""

    security = "/tls/1.0.0"

    def __init__(
        self, engine: QuicEngine, endpoint: QuicEndpoint, events: Sequence[MuxEvent], peer: PeerId, key: PublicKey
    ) -> None:
        self.remote_peer = peer
        self.remote_key = key
        self._engine = engine
        self._endpoint = endpoint
        self._early = list(events)
        self._connection: Connection
        self._loop = asyncio.get_running_loop()
        self._turns = turns_of(self._loop)
        self._inbound: deque[Datagram] = deque()
        self._is_started = False
        self._is_deferred = False
        self._is_over = False  # the connection has ended; packets are for the goodbye alone
        self._is_lost = False
        self._flush_scheduled = False
        self._dispatching = False
        self._may_answer = False
        self._unflushed = 0
        self._goodbye: Sequence[Datagram] = ()
        self._traffic = Traffic()
        self._read_rest: asyncio.TimerHandle | None = None  # until this, bandwidth is used up
        self._write_rest: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None  # of the goodbye

    @property
    def mux(self) -> QuicEngine:
        return self._engine

    @property
    def is_closing(self) -> bool:
        return self._is_over or self._is_lost

    def attach(self, connection: "Connection") -> None:
        self._connection = connection
        self._traffic = connection.reservation.traffic

    def start(self) -> None:
        self._is_started = True
        early, self._early = self._early, []
        self._dispatching = True
        self._connection.dispatch(early)
        self._dispatching = False
        self._work()

    # --- in: socket → engine → events --------------------------------------------------------------------------------------

    def receive(self, datagrams: Sequence[Datagram]) -> None:
        room = _INBOUND_LIMIT - len(self._inbound)
        self._inbound.extend(datagrams if len(datagrams) <= room else datagrams[:room])
        if self._is_started and not self._is_deferred:
            self._work()

    def _resume(self) -> None:
        self._is_deferred = False
        if not self._is_lost:
            self._work()

    def _work(self) -> None:
        """Take in what came, as long as the turn lasts."""
        self._take_in()
        if self._is_over:
            self._go_on_closing()
            return
        self._connection.received()
        if self._engine.has_output:
            self.flush_soon()
        elif not self._flush_scheduled:
            self._connection.flushed()

    def _take_in(self) -> None:
        engine, turns, inbound, loop, traffic = self._engine, self._turns, self._inbound, self._loop, self._traffic
        self._dispatching = self._may_answer = True
        now = loop.time()
        while inbound and not self._is_lost and self._read_rest is None:
            if turns.is_over:
                self._is_deferred = True
                turns.defer(self._resume, is_light=len(inbound) <= _FEW)
                break
            datagram, address = inbound.popleft()
            traffic.received += len(datagram)
            if traffic.is_limited:
                self._rest_from_reading(traffic.wait_to_read(len(datagram), now))
            events = receive_safely(engine, datagram, address, now)
            if events and not self._is_over:
                self._connection.dispatch(events)
            begin, now = now, loop.time()
            turns.spend(now - begin)
        self._dispatching = False

    def _rest_from_reading(self, seconds: float) -> None:
        """What comes meanwhile waits, and so do its acknowledgements: the peer slows down."""
        if seconds > NO_REST and not self._is_over:
            self._is_deferred = True
            self._read_rest = self._loop.call_later(seconds, self._end_read_rest)

    def _end_read_rest(self) -> None:
        self._read_rest = None
        self._resume()

    # --- out: engine → socket ----------------------------------------------------------------------------------------------

    def queued(self, size: int) -> None:
        """The first small write after something came in is most likely an answer, and goes out at once; what follows is
        gathered to the end of the turn, or until it is much."""
        self._unflushed += size
        if self._unflushed >= _PROMPT:
            self._send()
        elif not self._flush_scheduled:
            if size < _SMALL and self._may_answer and not self._dispatching:
                self._may_answer = False
                self._send()
                self._connection.flushed()
            else:
                self.flush_soon()

    def flush_soon(self) -> None:
        if not self._flush_scheduled and not self._dispatching:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def flush(self) -> None:
        if self._engine.has_output and not self._is_over:
            self._send()

    def _flush(self) -> None:
        self._flush_scheduled = False
        self.flush()
        if not self._is_over:
            self._connection.flushed()

    def _send(self) -> None:
        if self._write_rest is not None:
            return
        if self._endpoint.is_full:
            self._endpoint.wait_for_room(self)
            self._engine.held_until = self._loop.time() + _FULL_PAUSE
            return
        self._unflushed = 0
        self._transmit()
        self._connection.sent()

    def _transmit(self) -> None:
        engine = self._engine
        datagrams = engine.datagrams_to_send(self._loop.time())
        if datagrams:
            self._endpoint.send(datagrams)
            self._count_sent(datagrams)
        if engine.ids_moved:
            engine.ids_moved = False
            self._endpoint.route(self, engine.connection_ids)
        if engine.is_over:
            self._goodbye = datagrams

    def _count_sent(self, datagrams: Sequence[Datagram]) -> None:
        traffic, size = self._traffic, sum(len(datagram) for datagram, _ in datagrams)
        traffic.sent += size
        if traffic.is_limited and not self._is_over:
            now = self._loop.time()
            seconds = traffic.wait_to_write(size, now)
            if seconds > NO_REST:
                self._engine.held_until = now + seconds
                self._write_rest = self._loop.call_later(seconds, self._end_write_rest)

    def _end_write_rest(self) -> None:
        self._write_rest = None
        self.has_room()

    def has_room(self) -> None:
        if self._is_over:
            self._go_on_closing()
        elif not self._is_lost:
            self._send()
            self._connection.flushed()

    def unreachable(self, error: OSError) -> None:
        """Routes come and go; if it stays so, the idle timeout ends the connection."""

    # --- the end -----------------------------------------------------------------------------------------------------------

    def end(self, *, lingering: bool) -> None:
        """A goodbye makes the peer drop what has not arrived: it goes out once everything has been acknowledged."""
        if self._is_over:
            return
        self._is_over = True
        self._end_rests()
        if not lingering:
            self._engine.close_now()
        self._go_on_closing()

    def _end_rests(self) -> None:
        """A goodbye has no time to wait for bandwidth."""
        for rest in (self._read_rest, self._write_rest):
            if rest is not None:
                rest.cancel()
        self._is_deferred = self._is_deferred and self._read_rest is None
        self._read_rest = self._write_rest = None

    def _go_on_closing(self) -> None:
        if self._is_lost:
            return
        self._transmit()
        if self._engine.is_over:
            self._lose()
            return
        if self._timer is not None:
            self._timer.cancel()
        due = self._engine.next_timeout()
        if due is not None:
            self._timer = self._loop.call_at(due, self._closing_timer)

    def _closing_timer(self) -> None:
        self._timer = None
        self._engine.handle_timeout(self._loop.time())
        self._go_on_closing()

    def abort(self) -> None:
        if not self._is_lost:
            self._is_over = True
            self._end_rests()
            self._engine.close_now()
            self._transmit()
            self._lose()

    def _lose(self) -> None:
        self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._inbound.clear()
        self._endpoint.remove(self, self._goodbye, self._engine.closing_time())
        self._loop.call_soon(self._connection.lost, None)

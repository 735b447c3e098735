"""A connection: the shell that dispatches the muxer's events, opens and accepts streams, and ends. Its bytes are its link's."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never, final

from cortexnet import multistream
from cortexnet.admission.limits import CONTROL_PROTOCOLS
from cortexnet.admission.resources import Reservation
from cortexnet.errors import (
    ConnectionClosed,
    ConnectionCode,
    CortexError,
    Denied,
    LimitExceeded,
    RemoteError,
    StreamCode,
)
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.mux.muxer import (
    ConnectionFailed,
    MuxEvent,
    RoundTripMeasured,
    StreamOpened,
    StreamReadable,
    StreamWasReset,
    StreamWritable,
    StreamWriteStopped,
)
from cortexnet.transport.handlers import Handlers
from cortexnet.transport.handlers import StreamAcceptor as StreamAcceptor
from cortexnet.transport.handlers import StreamHandler as StreamHandler
from cortexnet.transport.link import Link
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream
from cortexnet.transport.turnstile import Turnstile

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

log = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a connection runs, and who began it."""

    local: Multiaddr
    remote: Multiaddr
    direction: Literal["inbound", "outbound"]
    transport: str


@final
class Connection:
    """An authenticated, encrypted, multiplexed connection to one peer.

    It reads nothing before `start`. `closed` is done once the socket is gone.
    """

    def __init__(
        self,
        link: Link,
        *,
        endpoints: Endpoints,
        reservation: Reservation,
        negotiation_timeout: float,
        close_timeout: float,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.link = link
        self.mux = link.mux
        self.peer_id: PeerId = link.remote_peer
        self.remote_key = link.remote_key
        self.endpoints = endpoints
        self.reservation = reservation
        self.rtt: float | None = None
        """Seconds of the last round trip measured by the muxer; None before the first."""
        self.error: CortexError | None = None
        """Why it ended."""
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.on_lost: Callable[[Connection], None] | None = None
        self.on_offence: Callable[[Connection, RemoteError], None] | None = None
        """Called with what the peer itself has sent and no correct peer sends. What does not decrypt is not among it: anybody on
        the way can have changed that."""
        self.on_shared: Callable[[PeerId, int, int], None] | None = None
        """Called with the peer, and how many bytes it gave that were asked for, and got that it asked for."""
        self.on_overload: Callable[[], None] | None = None
        """Called where all connections together hold more memory than the node may."""
        self.last_used = float("-inf")
        """When the last stream ended that was none of identify or ping, in the loop's time; -inf before the first."""
        self._streams: dict[int, Stream] = {}
        self._handlers: Handlers | None = None
        self._openers = Turnstile(self._can_open)
        self._deadlines: dict[Stream, float] = {}  # streams that negotiate, in the order of their deadlines
        self._negotiation_timeout = negotiation_timeout
        self._close_timeout = close_timeout
        self._timer: asyncio.TimerHandle | None = None
        self._memory = reservation.memory
        self._drained: asyncio.Future[None] | None = None
        link.attach(self)

    def __repr__(self) -> str:
        return f"<Connection {self.endpoints.direction} {self.peer_id} {self.remote_address}>"

    @property
    def remote_address(self) -> Multiaddr:
        """Where the peer is."""
        return self.endpoints.remote

    @property
    def origin(self) -> "str | PeerId":
        """Whom to take it for where something is shared out fairly: the host it runs to, as limits by address count hosts, for
        identities cost nothing; the peer where no limit by address holds, as on loopback and through a relay."""
        subnets = self.reservation.subnets
        return self.peer_id if subnets is None else subnets.host

    @property
    def local_address(self) -> Multiaddr:
        """Our end."""
        return self.endpoints.local

    @property
    def direction(self) -> Literal["inbound", "outbound"]:
        """Who dialed: "outbound" is us."""
        return self.endpoints.direction

    @property
    def transport(self) -> str:
        """Such as "tcp"."""
        return self.endpoints.transport

    @property
    def security(self) -> str:
        """Such as "/noise"."""
        return self.link.security

    @property
    def muxer(self) -> str:
        """Such as "/yamux/1.0.0"."""
        return self.mux.name

    @property
    def streams(self) -> list[Stream]:
        """The open streams."""
        return list(self._streams.values())

    @property
    def stream_count(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    @property
    def is_relayed(self) -> bool:
        """Whether it runs through a relay."""
        return self.endpoints.remote.is_relayed

    @property
    def is_open(self) -> bool:
        """Whether streams can still be opened."""
        return self.error is None and not self.link.is_closing

    def start(self, acceptor: StreamAcceptor, scope: Scope) -> None:
        """Begin to read; handlers run in a child of `scope`. Nothing happens where the connection has ended meanwhile."""
        if self.error is not None:
            return
        self._handlers = Handlers(acceptor, scope)
        self._handle_timer()
        self.link.start()

    # --- what the link says ------------------------------------------------------------------------------------------------

    def dispatch(self, events: Sequence[MuxEvent]) -> None:
        """Do what the muxer's events ask for, in their order."""
        streams = self._streams
        for event in events:
            if isinstance(event, StreamReadable):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.readable()
            elif isinstance(event, StreamWritable):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.writable()
            elif isinstance(event, StreamOpened):
                self._accept_stream(event.stream_id)
            elif isinstance(event, StreamWasReset):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.was_reset(event.code, by_peer=event.by_peer)
            elif isinstance(event, StreamWriteStopped):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.write_was_stopped(event.code)
            elif isinstance(event, RoundTripMeasured):
                self.rtt = event.seconds
            elif isinstance(event, ConnectionFailed):
                if isinstance(event.error, RemoteError):
                    self.offended(event.error)
                self.fail(event.error)
            else:
                assert_never(event)

    def received(self) -> None:
        """A chunk was taken in, its events dispatched."""
        if self._openers.waiting:  # an acknowledgement is no event
            self._openers.wake()
        node_memory = self._memory.node
        if node_memory.used > node_memory.limit and self.on_overload is not None:
            self.on_overload()

    def sent(self) -> None:
        """The muxer has given out bytes: writers whose share of the outbox has room again may go on."""
        drained = self.mux.drained
        if drained:
            for stream_id in drained:
                stream = self._streams.get(stream_id)
                if stream is not None:
                    stream.writable()
            drained.clear()
        if self._drained is not None and not self.mux.has_output and not self._drained.done():
            self._drained.set_result(None)

    def flushed(self) -> None:
        """A turn of the loop is over in which something was to be sent."""
        if self.mux.timeout_moved:
            self._arm_timer()
        if self._openers.waiting:
            self._openers.wake()

    def offended(self, error: RemoteError) -> None:
        """The peer has broken a protocol, on one of its streams or in the muxer's frames."""
        if self.on_offence is not None:
            self.on_offence(self, error)

    def shared(self, *, given: int = 0, taken: int = 0) -> None:
        """The peer gave so many bytes that were asked for, or asked for and got so many."""
        if self.on_shared is not None:
            self.on_shared(self.peer_id, given, taken)

    # --- time --------------------------------------------------------------------------------------------------------------

    def probe(self, patience: float) -> None:
        """Doubt that the peer is still there: the connection fails unless a byte comes within `patience` seconds.

        Where the muxer can't ask, as mplex, nothing happens.
        """
        self.mux.probe(patience, self.loop.time())
        if self.error is None:
            self._handle_timer()

    def _arm_timer(self) -> None:
        if self.error is not None:
            return  # the timer is the one that aborts
        due = self.mux.next_timeout()
        if self._deadlines:
            first = next(iter(self._deadlines.values()))
            due = first if due is None else min(due, first)
        timer = self._timer
        if due is None or (timer is not None and timer.when() <= due):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self.loop.call_at(max(due, self.loop.time()), self._handle_timer)

    def _handle_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self.loop.time()
        self.dispatch(self.mux.handle_timeout(now))
        for stream, due in list(self._deadlines.items()):
            if due > now:
                break
            del self._deadlines[stream]
            stream.answer_timed_out()
        if self.mux.has_output:
            self.link.flush_soon()
        self._arm_timer()

    # --- streams -----------------------------------------------------------------------------------------------------------

    async def open_stream(self, protocols: Sequence[str], *, confirm: bool = False) -> Stream:
        """A new stream for the first of `protocols` the peer speaks.

        With one protocol the choice is optimistic: the stream can be used at once, and an unsupported protocol shows at the
        first read as NegotiationFailed; `confirm` waits for the answer instead, as is done with several protocols.
        At our limit of streams, or the peer's backlog, waits its turn as long as the caller does.
        Raises LocalError for names that are none, ConnectionClosed, NegotiationFailed, PeerTimeout, StreamReset.
        Cancelled: nothing is left.
        """
        opening = multistream.propose(protocols[0]) if len(protocols) == 1 else b""
        choice = multistream.confirm(protocols[0]) if opening else multistream.select(protocols)
        self._raise_error()
        await self._openers.enter()
        self._raise_error()
        slot = self.reservation.streams.open_outbound()
        self.reservation.tally.streams_outbound += 1
        try:
            stream_id = self.mux.open_stream()
        except CortexError:
            slot.release()
            raise
        stream = Stream(self, stream_id, slot, "outbound")
        self._streams[stream_id] = stream
        self._set_deadline(stream)
        if opening:
            stream.protocol = protocols[0]
            self.mux.send(stream_id, opening)
        stream.negotiate(choice, expected=opening)  # who agrees sends the same back
        self.link.flush_soon()
        if confirm or len(protocols) > 1:
            try:
                await stream.confirmed()
            except BaseException:
                stream.reset()
                raise
        return stream

    def _set_deadline(self, stream: Stream) -> None:
        """The protocol of a new stream must be settled in time."""
        due = self._deadlines[stream] = self.loop.time() + self._negotiation_timeout
        if self._timer is None or self._timer.when() > due:
            self._arm_timer()

    def _can_open(self) -> bool:
        return self.mux.can_open() and self.reservation.streams.can_open_outbound()

    def _raise_error(self) -> None:
        if self.error is not None:
            raise self.error.again()
        if self.link.is_closing:
            raise ConnectionClosed("this connection is closing", by="local")

    def _accept_stream(self, stream_id: int) -> None:
        if not self.mux.knows(stream_id) or self._handlers is None:
            return
        try:
            slot = self.reservation.admit_stream()
        except LimitExceeded as error:
            log.debug("stream of %s refused: %s", self.peer_id, error, extra={"peer": self.peer_id})
            self.reservation.refused(error)
            self.mux.reset(stream_id, StreamCode.GATED if isinstance(error, Denied) else StreamCode.LIMIT_EXCEEDED)
            return
        self.reservation.tally.streams_inbound += 1
        stream = Stream(self, stream_id, slot, "inbound")
        slot.on_supplanted = stream.supplanted
        self._streams[stream_id] = stream
        self._set_deadline(stream)
        stream.negotiate(multistream.be_selected(self._handlers.supports))

    def negotiated(self, stream: Stream) -> None:
        """The protocol of a stream is settled; an inbound one gets its handler."""
        self._deadlines.pop(stream, None)
        if stream.direction == "inbound" and self._handlers is not None:
            self._handlers.run(stream)

    def reset_largest_unread(self) -> None:
        """This connection is the heaviest of a node that holds too much memory: end the stream that holds most of it."""
        self._memory.is_over()  # so that the stream can say why
        self.dispatch(self.mux.reset_largest_unread())
        self.link.flush_soon()

    def forget(self, stream_id: int) -> None:
        """A stream is of no more interest to anybody here."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self._deadlines.pop(stream, None)
            if stream.protocol not in CONTROL_PROTOCOLS:
                self.last_used = self.loop.time()
        if self._openers.waiting:
            self._openers.wake()

    # --- the end -----------------------------------------------------------------------------------------------------------

    async def close(self, code: int = ConnectionCode.NONE) -> None:
        """End the handlers, send what streams have queued, say goodbye and close the socket; abort where that takes too long.

        Cancelled: the connection is aborted.
        """
        try:
            async with asyncio.timeout(self._close_timeout):
                if self._handlers is not None:
                    self._handlers.cancel()
                    await asyncio.sleep(0)  # so that what the handlers reset on their way out is sent
                await self._send_everything()
                self._say_goodbye(code)
                await asyncio.shield(self.closed)
        except TimeoutError:
            self.abort()
            await asyncio.shield(self.closed)
        except asyncio.CancelledError:
            self.abort()
            raise
        if self._handlers is not None:
            await self._handlers.close()

    async def _send_everything(self) -> None:
        self.link.flush()
        if self.error is None and self.mux.has_output:
            if self._drained is None:
                self._drained = self.loop.create_future()
            await asyncio.shield(self._drained)

    def _say_goodbye(self, code: int) -> None:
        """Send GoAway and end our side; the socket closes when the peer's side has ended, or the time is over."""
        if self.error is not None:
            return
        self.mux.close(code)
        self.fail(ConnectionClosed(by="local", code=code), lingering=True)

    def turn_out(self, error: CortexError, code: int) -> None:
        """End it for a reason of ours: the peer is told `code`, and given a moment to read it."""
        if self.error is None:
            self.mux.close(code)
            self.fail(error, lingering=True)

    def abort(self) -> None:
        """Close the socket now; nothing queued is sent."""
        self.link.abort()
        self.fail(ConnectionClosed(by="local"))

    def fail(self, error: CortexError, *, lingering: bool = False) -> None:
        """The connection is over: tell everyone, send the muxer's farewell, close the socket."""
        if self.error is not None:
            return
        self.error = error
        ended = error if isinstance(error, ConnectionClosed) else ConnectionClosed(f"connection failed: {error}", by="local")
        self.mux.close(ConnectionCode.NONE if ended is error else ConnectionCode.PROTOCOL_VIOLATION)
        if self._timer is not None:
            self._timer.cancel()
        self.link.end(lingering=lingering)
        self._timer = self.loop.call_later(self._close_timeout, self.link.abort)  # for a peer that does not read the rest
        for stream in list(self._streams.values()):
            stream.connection_failed(ended)
        self._streams.clear()
        self._deadlines.clear()
        self._openers.remove()
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._handlers is None:
            return
        if ended.by == "local":
            self._handlers.cancel()
        else:
            self._handlers.cancel_later(self._close_timeout)

    def lost(self, error: Exception | None) -> None:
        """The socket is gone, because of `error` or as it was to be."""
        reason = f": {error}" if error is not None else ""
        self.fail(ConnectionClosed(f"the network or the peer closed the connection{reason}", by="network"))
        if self._timer is not None:
            self._timer.cancel()
        self.reservation.release()
        if not self.closed.done():
            self.closed.set_result(None)
        if self.on_lost is not None:
            self.on_lost(self)

"""The QUIC engine on aioquic: packets, keys and loss recovery are its, streams and their memory are kept here. A core.

datagram → receive → aioquic → a stream's inbox, and events
send → aioquic's stream → datagrams_to_send
"""

from collections.abc import Callable, Sequence
from typing import final

from aioquic.quic.connection import END_STATES
from aioquic.quic.events import HandshakeCompleted
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.stream import QuicStream, QuicStreamReceiver
from aioquic.tls import Epoch

from cortexnet.errors import ConnectionClosed, CortexError, LimitExceeded, LocalError, RemoteError, StreamClosed, StreamCode
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId
from cortexnet.mux.holdings import Holdings
from cortexnet.mux.muxer import (
    ConnectionFailed,
    MemoryBudget,
    MuxEvent,
    RoundTripMeasured,
    StreamOpened,
    StreamReadable,
    StreamWasReset,
    StreamWriteStopped,
    Unlimited,
)
from cortexnet.mux.window import ReceiveWindow
from cortexnet.quic.aioquic_connection import HookedConnection, configuration
from cortexnet.quic.closing import closed_by_peer, closed_by_us, stream_code
from cortexnet.quic.connection_window import ConnectionWindow
from cortexnet.quic.engine import Address, Datagram, Origin, QuicConfig
from cortexnet.quic.keep_alive import KeepAlive
from cortexnet.quic.streams import QuicStreamState
from cortexnet.security.certificate import NodeCertificate

Verify = Callable[[Sequence[bytes], PeerId | None], tuple[PeerId, PublicKey]]
"""Who is behind a chain of certificates, who has to be the expected peer if there is one. Raises RemoteError."""

NAME = "/quic-v1"
_ONE_RTT = Epoch.ONE_RTT
_DEMAND_RETRY = 0.25  # seconds until memory is asked for again that other connections may have given back
_SETTLE_STEP = 4_096  # bytes that may have been read before the charge follows
_GRAIN = 1e-6  # seconds later than it is: aioquic's sums differ in the last digit, and a loss due now would not be one yet
_RTT_INTERVAL = 1.0  # seconds between two looks at the round trip


@final
class AioquicEngine:
    """See `QuicEngine`. The dialer's side without an `origin`."""

    name = NAME

    def __init__(
        self,
        certificate: NodeCertificate,
        verify: Verify,
        config: QuicConfig,
        *,
        memory: MemoryBudget | None = None,
        expected: PeerId | None = None,
        origin: Origin | None = None,
    ) -> None:
        self._config = config
        self._verify = verify
        self._expected = expected
        self._memory = memory or Unlimited()
        self._first_id = [origin.after_retry or origin.original] if origin else []
        self.remote_peer: PeerId | None = None
        self.remote_key: PublicKey | None = None
        self._quic = HookedConnection(
            self,
            config,
            configuration=configuration(certificate, config, is_client=origin is None),
            original_destination_connection_id=origin.original if origin else None,
            retry_source_connection_id=origin.after_retry if origin else None,
        )
        # streams
        self._streams: dict[int, QuicStreamState] = {}
        self._gone: dict[int, None] = {}  # of no more interest here, while the engine is still busy with them
        self._ours = 0  # of all of them
        self._holdings = Holdings(self._memory, self._streams)
        self._demands = self._holdings.demands
        self._stopped: dict[int, None] = {}  # their writers wait
        self.drained: dict[int, None] = {}
        self._window = ConnectionWindow(config.connection_window, self._quic._local_max_data)
        # the rest
        self._events: list[MuxEvent] = []
        self._turn = 0
        self._now = float("-inf")
        self._ended = False
        self._goodbye: int | None = None  # what to say once the peer has everything
        self._refused: CortexError | None = None  # why the handshake failed here
        self._due: float | None = None
        self._keep_alive = KeepAlive()
        self._rtt_due = float("-inf")
        self.ids_moved = True
        self.held_until = float("-inf")
        self.has_output = False
        self.takes_early_end = True
        self.timeout_moved = True

    # --- life --------------------------------------------------------------------------------------------------------------

    @property
    def is_established(self) -> bool:
        """The listener has confirmed the handshake, so it has accepted our certificate."""
        return self._quic._handshake_confirmed and self.remote_peer is not None and not self._ended

    @property
    def is_over(self) -> bool:
        return self._quic._state in END_STATES

    @property
    def connection_ids(self) -> list[bytes]:
        """Ours, and the one the peer began with: its first packets may come late, and must not begin another connection."""
        return [*self._first_id, *(host_cid.cid for host_cid in self._quic._host_cids)]

    def connect(self, address: Address, now: float) -> None:
        self._now = now
        self._quic.connect(address, now)
        self.has_output = True

    def closing_time(self) -> float:
        return 3 * self._quic._loss.get_probe_timeout()

    def use_datagram_size(self, size: int) -> None:
        """Send datagrams of up to `size` bytes, as far as the peer takes them."""
        self._quic.use_datagram_size(min(size, self._quic.max_payload))

    # --- packets -----------------------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, address: Address, now: float) -> list[MuxEvent]:
        quic = self._quic
        self._now = now
        self._turn += 1
        if self._ended:  # aioquic itself would go on until the datagram that says so is made
            return []
        close_at = quic._close_at
        quic.receive_datagram(datagram, address, now)
        self.timeout_moved = True
        self._due = None
        if quic._events:
            self._take_events()
        if self._holdings.grew:
            self._settle()
        if quic._loss._rtt_initialized and now >= self._rtt_due:
            self._rtt_due = now + _RTT_INTERVAL
            self._events.append(RoundTripMeasured(quic._loss._rtt_smoothed))
        if quic._close_at != close_at:  # a packet of the peer's was in it
            self._keep_alive.heard(now)
        self._look_for_end()
        if not self.has_output:
            self.has_output = self._wants_to_send(now)
        events, self._events = self._events, []
        return events

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        quic = self._quic
        self._now = now
        self.has_output = False
        if not quic._network_paths:
            return []
        if self._goodbye is not None and not self._ended and quic.is_delivered():
            self._ended = True
            quic.close(self._goodbye)
        quic.advance_ack(now, has_data=self._has_data())
        datagrams = quic.datagrams_to_send(now)
        if quic._events:
            self._take_events()
        if self._stopped:
            self._find_drained()
        if self._gone:
            self._sweep()
        self._due = None
        self.timeout_moved = True
        return datagrams

    def _take_events(self) -> None:
        """What is left to aioquic to say: ids that were issued or retired, and that the handshake is complete."""
        self.ids_moved = True
        while (event := self._quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self._keep_alive.start(self._config.idle_timeout, self._quic._remote_max_idle_timeout, self._now)

    def _wants_to_send(self, now: float) -> bool:
        quic = self._quic
        if not quic._handshake_confirmed or quic._close_pending or quic._probe_pending or self._goodbye is not None:
            return True
        ack_at = quic._spaces[_ONE_RTT].ack_at
        if ack_at is not None and ack_at <= now:
            return True
        if quic._network_paths[0].remote_challenges or quic._retire_connection_ids or self._has_data():
            return True
        # The peer is granted another stream in place of one that is over as aioquic looks for something to send.
        return any(quic._streams[stream_id].is_finished for stream_id in self._gone if stream_id in quic._streams)

    def _has_data(self) -> bool:
        for stream in self._quic._streams_queue:
            sender = stream.sender
            if not sender.buffer_is_empty or sender.reset_pending or stream.receiver.stop_pending:
                return True
        return False

    # --- what the connection tells while it takes in a datagram ------------------------------------------------------------

    def verify(self, certificates: Sequence[bytes]) -> None:
        try:
            self.remote_peer, self.remote_key = self._verify(certificates, self._expected)
        except RemoteError as error:
            self._refused = error
            raise

    def stream_opened(self, stream_id: int) -> None:
        self._add(stream_id, ours=False)
        if self._goodbye is not None:
            self.reset(stream_id)
        else:
            self._events.append(StreamOpened(stream_id))

    def stream_arrived(self, stream_id: int, receiver: QuicStreamReceiver, data: bytes, new_bytes: int) -> None:
        state = self._streams[stream_id]
        state.window.credit -= new_bytes
        if state.gap or receiver._buffer:
            self._charge_gap(state, len(receiver._buffer))
        if data:
            if state.discarding:
                self._consume(state, len(data))
            else:
                state.inbox.append(data)
                self._holdings.arrived(state)
        if receiver.is_finished and not state.finished:
            state.finished = True
            self._grant_demands(self._holdings.end_demand(state))
        elif not data:
            return
        if state.turn != self._turn and not state.discarding:
            state.turn = self._turn
            self._events.append(StreamReadable(stream_id))
        self._forget_if_over(state)

    def stream_was_reset(self, stream_id: int, receiver: QuicStreamReceiver, code: int, new_bytes: int) -> None:
        state = self._streams[stream_id]
        state.window.credit -= new_bytes
        self._memory.dropped(state.gap)
        self._charge_gap(state, 0)
        self._consume(state, receiver.highest_offset - receiver._buffer_start)
        state.finished = True
        if state.discarding:  # it answers our STOP_SENDING
            self._forget_if_over(state)
            return
        self._events.append(StreamWasReset(stream_id, stream_code(code), by_peer=True))
        self._end_writing(state, code)
        self._remove(state)

    def stream_write_stopped(self, stream_id: int, code: int) -> None:
        state = self._streams[stream_id]
        was_closing, state.closing = state.closing, True
        self._stopped.pop(stream_id, None)
        if not (was_closing or state.is_gone):
            self._events.append(StreamWriteStopped(stream_id, stream_code(code)))
        self._forget_if_over(state)

    def _charge_gap(self, state: QuicStreamState, size: int) -> None:
        if size > state.gap:
            self._memory.charge(size - state.gap)
            self._holdings.grew = True
        else:
            self._memory.release(state.gap - size)
        state.gap = size

    # --- streams -----------------------------------------------------------------------------------------------------------

    def open_stream(self) -> int:
        if self._ended or self._goodbye is not None:
            raise ConnectionClosed("this connection has ended")
        if not self.can_open():
            granted = self._quic._remote_max_streams_bidi
            raise LimitExceeded("streams the peer grants", limit=granted, value=granted + 1, setting="the peer's")
        stream_id = self._quic.get_next_available_stream_id()
        self._quic._get_or_create_stream_for_send(stream_id)
        self._add(stream_id, ours=True)
        return stream_id

    def can_open(self) -> bool:
        quic = self._quic
        if self._ended or self._goodbye is not None or self._ours >= self._config.max_lingering:
            return False
        return quic.get_next_available_stream_id() // 4 < quic._remote_max_streams_bidi

    def knows(self, stream_id: int) -> bool:
        state = self._streams.get(stream_id)
        return state is not None and not state.is_gone

    def stream_count(self) -> int:
        """Streams that somebody here still uses."""
        return sum(not state.is_gone for state in self._streams.values())

    def close_write(self, stream_id: int) -> None:
        state = self._stream(stream_id)
        if state.closing:
            return
        state.closing = True
        self._stopped.pop(stream_id, None)
        self._quic.send_stream_data(stream_id, b"", end_stream=True)
        self.has_output = True
        self._forget_if_over(state)

    def discard_reads(self, stream_id: int) -> None:
        state = self._stream(stream_id)
        if state.discarding:
            return
        state.discarding = True
        self._stop_reading(state, StreamCode.NONE)
        self._drop_unread(state)
        self._grant_demands(self._holdings.end_demand(state))
        self._forget_if_over(state)

    def reset(self, stream_id: int, code: int = 0) -> None:
        state = self._stream(stream_id)
        self._stop_reading(state, code)
        self._end_writing(state, code)
        self._remove(state)

    def _add(self, stream_id: int, *, ours: bool) -> None:
        self._ours += ours
        self._streams[stream_id] = QuicStreamState(stream_id, ReceiveWindow(self._config.max_window, self._now), ours=ours)

    def _stream(self, stream_id: int) -> QuicStreamState:
        state = self._streams.get(stream_id)
        if state is None or state.is_gone:
            raise LocalError(f"stream {stream_id} does not exist (any more)")
        return state

    def _stop_reading(self, state: QuicStreamState, code: int) -> None:
        """STOP_SENDING, unless the peer has finished."""
        if not state.finished and not self._ended:
            self._quic.stop_stream(state.id, code)
            self.has_output = True

    def _end_writing(self, state: QuicStreamState, code: int) -> None:
        """RESET_STREAM, unless everything was sent and has arrived."""
        state.closing = True
        self._stopped.pop(state.id, None)
        if not self._ended:
            self._quic.reset_stream(state.id, code)
            self.has_output = True

    def _drop_unread(self, state: QuicStreamState) -> None:
        self._consume(state, state.inbox.size)
        self._holdings.drop(state)

    def _remove(self, state: QuicStreamState) -> None:
        """Nobody here uses the stream any more; aioquic may still be busy with it."""
        if state.is_gone:
            return
        state.is_gone = state.discarding = state.closing = True
        self._drop_unread(state)
        self._grant_demands(self._holdings.remove(state))
        if self._ended or state.id not in self._quic._streams:
            self._delete(state)
        else:
            self._gone[state.id] = None

    def _forget_if_over(self, state: QuicStreamState) -> None:
        if state.is_over:
            self._remove(state)

    def _delete(self, state: QuicStreamState) -> None:
        del self._streams[state.id]
        self._ours -= state.ours
        self._memory.dropped(state.gap)
        self._charge_gap(state, 0)
        self._window.forget(state)

    def _sweep(self) -> None:
        """Forget streams that aioquic has done with."""
        alive = self._quic._streams
        for stream_id in [stream_id for stream_id in self._gone if stream_id not in alive]:
            del self._gone[stream_id]
            self._delete(self._streams[stream_id])

    # --- writing -----------------------------------------------------------------------------------------------------------

    def send(self, stream_id: int, data: bytes | memoryview) -> int:
        state = self._streams.get(stream_id)
        if state is None or state.closing:
            raise StreamClosed("the write side of this stream is closed") if state else LocalError(f"no stream {stream_id}")
        stream = self._quic._streams[stream_id]
        size = len(data)
        room = self._config.outbox_share - _unsent(stream)
        if size > room:
            state.stopped = True
            self._stopped[stream_id] = None
            size = max(room, 0)
            data = memoryview(data)[:size]
        if size:
            stream.sender.write(data)  # type: ignore[arg-type]  # it is copied: any bytes will do
            self.has_output = True
        return size

    def queued(self, stream_id: int) -> int:
        self._stream(stream_id)
        stream = self._quic._streams.get(stream_id)
        return _unsent(stream) if stream is not None else 0

    def _find_drained(self) -> None:
        """Writers who wait may go on where half of their share is free."""
        half = self._config.outbox_share // 2
        for stream_id in list(self._stopped):
            stream = self._quic._streams.get(stream_id)
            if stream is None or _unsent(stream) <= half:
                del self._stopped[stream_id]
                self.drained[stream_id] = None

    # --- reading -----------------------------------------------------------------------------------------------------------

    def read(self, stream_id: int, max_bytes: int) -> bytes | None:
        state = self._streams.get(stream_id)
        if state is None or state.is_gone:
            return None
        data = state.inbox.take(max_bytes)
        if data:
            self._was_read(state, len(data))
            return data
        return b"" if state.finished else None

    def read_exactly(self, stream_id: int, size: int) -> bytes | None:
        state = self._stream(stream_id)
        data = state.inbox.take_exactly(size)
        if data:
            self._was_read(state, size)
        return data

    def read_message(self, stream_id: int, size_limit: int) -> bytes | None:
        state = self._stream(stream_id)
        before = state.inbox.size
        data = state.inbox.take_message(size_limit)
        if data is not None:
            self._was_read(state, before - state.inbox.size)
        return data

    def message_wanted(self, stream_id: int) -> int:
        return self._stream(stream_id).inbox.message_wanted()

    def readable_bytes(self, stream_id: int) -> int:
        return self._stream(stream_id).inbox.size

    def is_finished(self, stream_id: int) -> bool:
        state = self._streams.get(stream_id)
        return state is None or state.is_gone or state.finished

    def expect(self, stream_id: int, size: int) -> None:
        state = self._stream(stream_id)
        if not size:
            self._grant_demands(self._holdings.end_demand(state))
        elif not state.is_draining and size > state.inbox.size + state.window.credit:
            self._grant_demands(self._holdings.demand(state, size))
            self.timeout_moved = True

    def _was_read(self, state: QuicStreamState, size: int) -> None:
        self._consume(state, size)
        inbox, charged = state.inbox, state.charged
        unread = inbox.size
        if (charged > state.reserved and charged - unread - inbox.position > _SETTLE_STEP) or self._demands:
            self._grant_demands(self._holdings.settle(state))
        if state.finished or state.reset:
            self._forget_if_over(state)
        elif state.window.is_due(unread):
            loss = self._quic._loss
            self._holdings.grow(state, loss._rtt_min if loss._rtt_initialized else None, self._now)
            self._raise_window(state, state.window.grant(unread, self._now))

    def _grant_demands(self, states: list[QuicStreamState]) -> None:
        for state in states:
            increment = state.window.grant_demand(state.inbox.size, self._now)
            self._window.prepay(state, increment)
            self._raise_window(state, increment)

    def _raise_window(self, state: QuicStreamState, increment: int) -> None:
        self._quic._streams[state.id].max_stream_data_local += increment
        self.has_output = True

    def _consume(self, state: QuicStreamState, size: int) -> None:
        if self._window.consume(state, size):
            self.has_output = True

    def reset_largest_unread(self) -> list[MuxEvent]:
        held = [state for state in self._streams.values() if not state.is_gone]
        largest = max(held, key=lambda state: (state.inbox.charge + state.gap, state.charged), default=None)
        if largest is None or not largest.charged + largest.gap:
            return []
        self.reset(largest.id, StreamCode.LIMIT_EXCEEDED)
        return [StreamWasReset(largest.id, StreamCode.LIMIT_EXCEEDED, by_peer=False)]

    def _settle(self) -> None:
        """After the peer's bytes: hold the cap that several frames together may have passed."""
        self._holdings.grew = False
        while self._holdings.is_over():
            ended = self.reset_largest_unread()
            if not ended:
                break
            self._events += ended

    # --- the end -----------------------------------------------------------------------------------------------------------

    def close(self, code: int = 0) -> None:
        if self._goodbye is None and not self._ended:
            self._goodbye = code
            self._end_streams()
            self.has_output = True

    def close_now(self, code: int | None = None) -> None:
        self._ended = True
        self._end_streams()
        code = self._goodbye if code is None else code
        if code is None:
            self._quic.close(QuicErrorCode.NO_ERROR, QuicFrameType.PADDING)
        else:
            self._quic.close(code)
        self.has_output = True

    def _look_for_end(self) -> None:
        """aioquic tells only at the end of its closing time, and of its own errors not at all."""
        closed = self._quic._close_event
        if closed is None or self._ended:
            return
        self._ended = True
        self._end_streams()
        if self._refused is not None:
            error = self._refused
        elif self.is_over:
            error = closed_by_peer(closed, is_established=self._quic._handshake_confirmed)
        else:
            error = closed_by_us(closed, is_established=self._quic._handshake_confirmed)
        self._events.append(ConnectionFailed(error))

    def _end_streams(self) -> None:
        """No stream is used any more; what came before can be read where the peer had finished."""
        for state in list(self._streams.values()):
            self._holdings.end_demand(state)
            state.closing = state.reset = True
            if state.is_gone:
                continue
            if not state.finished or state.discarding or not state.inbox.size:
                self._remove(state)
        self._stopped.clear()
        if self._ended:
            for stream_id in self._gone:
                self._delete(self._streams[stream_id])
            self._gone.clear()

    # --- time --------------------------------------------------------------------------------------------------------------

    def probe(self, patience: float, now: float) -> None:
        if not self._ended:
            self._keep_alive.doubt(now + patience)
            self._quic.send_ping(0)
            self.has_output = self.timeout_moved = True

    def next_timeout(self) -> float | None:
        self.timeout_moved = False
        quic = self._quic
        if self._due is None and quic._network_paths:
            self._due = quic.get_timer()
        if self._due is None:
            return None
        if self._ended:
            return self._due
        due = min(self._due, self._keep_alive.next_timeout())
        return max(min(due, self._now + _DEMAND_RETRY) if self._demands else due, self.held_until)

    def handle_timeout(self, now: float) -> list[MuxEvent]:
        quic = self._quic
        self._now = now
        due = quic.get_timer() if quic._network_paths else None
        if due is not None and now >= due:
            quic.handle_timer(now + _GRAIN)
            self.has_output = True
        if self._keep_alive.is_due(now) and not self._ended:
            quic.send_ping(0)
            self.has_output = True
        self._due = None
        self.timeout_moved = True
        if self._demands:
            self._grant_demands(self._holdings.grantable())
        self._look_for_end()
        if self._keep_alive.is_silent(now) and not self._ended:
            self.close_now()
            self._events.append(ConnectionFailed(ConnectionClosed("not a packet came when one was asked for", by="network")))
        events, self._events = self._events, []
        return events


def _unsent(stream: QuicStream) -> int:
    sender = stream.sender
    return sender._buffer_stop - sender.highest_offset

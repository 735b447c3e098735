"""aioquic's connection, bent to what libp2p needs: both sides show a certificate, credit follows what was read, and the bytes
of streams go straight to where they are kept.

What is overridden here is private to aioquic: see `aioquic_hooks`. Spec: RFC 9000; libp2p specs, quic/ and tls/.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, cast, final

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.buffer import UINT_VAR_MAX
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import (
    CONNECTION_LIMIT_FRAME_CAPACITY,
    MAX_STREAM_DATA_FRAME_CAPACITY,
    Limit,
    NetworkAddress,
    QuicConnection,
    QuicConnectionAdapter,
    QuicConnectionError,
    QuicReceiveContext,
)
from aioquic.quic.events import StopSendingReceived, StreamReset
from aioquic.quic.packet import (
    QuicErrorCode,
    QuicFrameType,
    QuicProtocolVersion,
    QuicStreamFrame,
    pull_quic_transport_parameters,
    push_quic_transport_parameters,
)
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import FinalSizeError, QuicStream, QuicStreamReceiver, QuicStreamSender

from cortexnet.errors import RemoteError
from cortexnet.mux.allowance import Allowance
from cortexnet.mux.window import INITIAL_WINDOW
from cortexnet.quic.engine import QuicConfig
from cortexnet.security.certificate import NodeCertificate

ALPN = "libp2p"
_CERT_NONE = 0  # as the ssl module has it: certificates are verified by us, within the handshake
_JUST_NOW = 1e-6  # seconds
_NO_MORE = 16  # bytes
_USELESS_INTERVAL = 10.0
_PARAMETERS_CAPACITY = 1_024  # bytes; they take some two hundred
_UNLIMITED_PAYLOAD = 65_527  # what a peer takes that says nothing; RFC 9000, 18.2


def configuration(certificate: NodeCertificate, config: QuicConfig, *, is_client: bool) -> QuicConfiguration:
    """What aioquic is told of a connection."""
    return QuicConfiguration(
        alpn_protocols=[ALPN],
        certificate=certificate.certificate,
        idle_timeout=config.idle_timeout,
        is_client=is_client,
        max_data=config.connection_window,
        max_datagram_size=config.datagram_size,
        max_stream_data=INITIAL_WINDOW,
        private_key=certificate.private_key,
        supported_versions=[QuicProtocolVersion.VERSION_1],
        verify_mode=_CERT_NONE,
    )


_COUNTED = frozenset({0x02, 0x03, 0x04, 0x05, 0x06, *range(0x10, 0x1A), 0x1B})
"""Frames that are cheap to send and bring no bytes of a stream; aioquic takes any number. Others are counted where they come."""
_EPOCHS: dict[frozenset[tls.Epoch], frozenset[tls.Epoch]] = {}


Handler = Callable[[QuicReceiveContext, int, Buffer], None]
"""Takes in the rest of a frame of the kind that is given."""


class Owner(Protocol):
    """What the connection tells while it takes in a datagram."""

    def verify(self, certificates: Sequence[bytes]) -> None:
        """The peer has shown its certificate. Raises RemoteError."""

    def stream_opened(self, stream_id: int) -> None:
        """The first frame of a stream of the peer's has come."""

    def stream_arrived(self, stream_id: int, receiver: QuicStreamReceiver, data: bytes, new_bytes: int) -> None:
        """A frame with the next bytes of a stream, or with some behind them."""

    def stream_was_reset(self, stream_id: int, receiver: QuicStreamReceiver, code: int, new_bytes: int) -> None:
        """The peer will send no more of a stream."""

    def stream_write_stopped(self, stream_id: int, code: int) -> None:
        """The peer reads no more of a stream."""


class _Silent:
    """Stands in for aioquic's logger, which warns of whatever a peer does wrong, once for each packet."""

    def debug(self, *_: object) -> None: ...

    info = warning = error = debug


_SILENT = cast("QuicConnectionAdapter", _Silent())


@final
class HookedConnection(QuicConnection):
    """See the module. `owner` is told of certificates and streams; all else comes as aioquic's events."""

    def __init__(
        self,
        owner: Owner,
        config: QuicConfig,
        *,
        configuration: QuicConfiguration,
        original_destination_connection_id: bytes | None = None,
        retry_source_connection_id: bytes | None = None,
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        self._owner = owner
        self._config = config
        self._unannounced: set[int] = set()  # opened by a frame of a higher stream; nothing of theirs has come
        self._useless = Allowance(config.useless_frames, _USELESS_INTERVAL)
        self._control = Allowance(config.control_frames, _USELESS_INTERVAL)
        self._counted: dict[int, Handler] = {}
        self._logger = self._loss._logger = _SILENT
        streams, uni = self._local_max_streams_bidi, self._local_max_streams_uni
        streams.value = streams.sent = config.max_streams
        uni.value = uni.sent = 0
        self.max_payload = _UNLIMITED_PAYLOAD
        handlers = vars(self)["_QuicConnection__frame_handlers"]
        for kind, (handler, epochs) in handlers.items():  # aioquic makes 33 sets for each connection, of four kinds: 7 KiB
            if kind in _COUNTED:
                self._counted[kind], handler = handler, self._handle_counted_frame
            handlers[kind] = handler, _EPOCHS.setdefault(epochs, epochs)

    # --- the handshake -----------------------------------------------------------------------------------------------------

    def _initialize(self, peer_cid: bytes) -> None:
        """Runs again after a Retry, with a new TLS context."""
        super()._initialize(peer_cid)
        context = self.tls
        context._request_client_certificate = True
        set_certificate, handle_certificate = context._set_peer_certificate, context._server_handle_certificate

        def set_peer_certificate(message: tls.Certificate) -> None:
            try:
                self._owner.verify([der for der, _ in message.certificates])
            except RemoteError as error:
                raise tls.AlertBadCertificate(str(error)) from error
            set_certificate(message)

        def server_handle_certificate(input_buf: Buffer) -> None:
            handle_certificate(input_buf)
            if context._peer_certificate is None:
                raise tls.AlertBadCertificate("the client shows no certificate")

        self._replace(context, set_peer_certificate, server_handle_certificate)

    def _replace(
        self, context: tls.Context, set_certificate: Callable[[tls.Certificate], None], handle: Callable[[Buffer], None]
    ) -> None:
        vars(context).update(_set_peer_certificate=set_certificate, _server_handle_certificate=handle)

    def _parse_transport_parameters(self, data: bytes, from_session_ticket: bool = False) -> None:
        super()._parse_transport_parameters(data, from_session_ticket)
        self._remote_preferred_address = None  # a listener could have us send anywhere, past every rule about addresses
        size = pull_quic_transport_parameters(Buffer(data=data)).max_udp_payload_size
        if size is not None:
            self.max_payload = size

    def _serialize_transport_parameters(self) -> bytes:
        """With the largest datagram we take: who could fill one of 64 KiB with frames would hold up everybody for so long."""
        parameters = pull_quic_transport_parameters(Buffer(data=super()._serialize_transport_parameters()))
        parameters.max_udp_payload_size = self._config.loopback_datagram_size
        buf = Buffer(capacity=_PARAMETERS_CAPACITY)
        push_quic_transport_parameters(buf, parameters)
        return buf.data

    def receive_datagram(self, data: bytes, addr: NetworkAddress, now: float) -> None:
        if len(data) <= self._config.loopback_datagram_size:
            super().receive_datagram(data, addr, now)

    def _handle_crypto_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        position = buf.tell()
        end = buf.pull_uint_var() + buf.pull_uint_var()
        buf.seek(position)
        if end > self._config.crypto_data:
            raise QuicConnectionError(QuicErrorCode.CRYPTO_BUFFER_EXCEEDED, frame_type, "too many bytes of handshake messages")
        super()._handle_crypto_frame(context, frame_type, buf)

    def _confirm_handshake(self) -> None:
        """TLS has said all that it will: its buffers are 48 KiB, most of what an idle connection would hold."""
        super()._confirm_handshake()
        self._crypto_buffers = {epoch: Buffer(capacity=_NO_MORE) for epoch in self._crypto_buffers}

    def use_datagram_size(self, size: int) -> None:
        """Send larger datagrams from now on."""
        self._max_datagram_size = size
        self._loss._pacer._max_datagram_size = size
        congestion = self._loss._cc
        vars(congestion)["_max_datagram_size"] = size
        congestion.congestion_window = max(congestion.congestion_window, 10 * size)

    def advance_ack(self, now: float, *, has_data: bool) -> None:
        """An acknowledgement goes with the packet that is sent anyway, and not in one of its own a millisecond later.

        One that is due just now would be held back by the pacing of data, and be due again at once.
        """
        space = self._spaces.get(tls.Epoch.ONE_RTT)
        if space is None or space.ack_at is None:
            return
        if space.ack_at <= now or (has_data and self._loss._pacer.next_send_time(now) is None):
            space.ack_at = now - _JUST_NOW

    # --- frames that come --------------------------------------------------------------------------------------------------

    def _handle_counted_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        self._spend_control(context, frame_type)
        self._counted[frame_type](context, frame_type, buf)

    def _spend_control(self, context: QuicReceiveContext, frame_type: int) -> None:
        if not self._control.spend(1, context.time):
            raise QuicConnectionError(QuicErrorCode.INTERNAL_ERROR, frame_type, "too many frames that bring nothing")

    def _get_or_create_stream(self, frame_type: int, stream_id: int) -> QuicStream:
        stream = self._streams.get(stream_id)
        if stream is None:
            first = self._stream_limit(stream_id).used * 4 + stream_id % 4
            stream = super()._get_or_create_stream(frame_type, stream_id)
            self._unannounced.update(range(first, stream_id, 4))
            self._owner.stream_opened(stream_id)
        elif self._unannounced and stream_id in self._unannounced:
            self._unannounced.remove(stream_id)
            self._owner.stream_opened(stream_id)
        return stream

    def _handle_stream_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        """As aioquic's, but without an object for each frame where it brings the next bytes of a stream, as most do."""
        stream_id = buf.pull_uint_var()
        offset = buf.pull_uint_var() if frame_type & 4 else 0
        length = buf.pull_uint_var() if frame_type & 2 else buf.capacity - buf.tell()
        end = offset + length
        if end > UINT_VAR_MAX:
            raise QuicConnectionError(QuicErrorCode.FRAME_ENCODING_ERROR, frame_type, "offset + length is over 2^62 - 1")
        data = buf.pull_bytes(length)
        self._assert_stream_can_receive(frame_type, stream_id)
        stream = self._get_or_create_stream(frame_type, stream_id)
        receiver = stream.receiver
        new_bytes = self._count(frame_type, stream, end)
        if not new_bytes:
            self._spend_control(context, frame_type)
        if not length and not frame_type & 1:
            self._spend_useless(context, frame_type)
        if offset == receiver._buffer_start and not frame_type & 1 and not receiver._buffer and receiver._final_size is None:
            receiver._buffer_start = receiver.highest_offset = end
        else:
            data = self._take_frame(frame_type, receiver, QuicStreamFrame(data=data, offset=offset, fin=bool(frame_type & 1)))
        self._owner.stream_arrived(stream_id, receiver, data, new_bytes)

    def _count(self, frame_type: int, stream: QuicStream, end: int) -> int:
        """Hold the windows. How many bytes of them the frame takes."""
        if end > stream.max_stream_data_local:
            raise QuicConnectionError(QuicErrorCode.FLOW_CONTROL_ERROR, frame_type, "more than the window of the stream")
        new_bytes = max(end - stream.receiver.highest_offset, 0)
        limit = self._local_max_data
        if limit.used + new_bytes > limit.value:
            raise QuicConnectionError(QuicErrorCode.FLOW_CONTROL_ERROR, frame_type, "more than the window of the connection")
        limit.used += new_bytes
        return new_bytes

    def _take_frame(self, frame_type: int, receiver: QuicStreamReceiver, frame: QuicStreamFrame) -> bytes:
        """The bytes that can be read now: it was the end, came out of order, or closed a gap."""
        try:
            event = receiver.handle_frame(frame)
        except FinalSizeError as error:
            raise QuicConnectionError(QuicErrorCode.FINAL_SIZE_ERROR, frame_type, str(error)) from error
        if len(receiver._ranges) > self._config.max_gaps:
            raise QuicConnectionError(QuicErrorCode.INTERNAL_ERROR, frame_type, "too many gaps in a stream")
        return b"" if event is None else event.data

    def _handle_reset_stream_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        used = self._local_max_data.used
        count = len(self._events)
        super()._handle_reset_stream_frame(context, frame_type, buf)
        if len(self._events) > count:
            event = self._events.pop()
            assert isinstance(event, StreamReset)  # nothing else is said of this frame
            receiver = self._streams[event.stream_id].receiver
            self._owner.stream_was_reset(event.stream_id, receiver, event.error_code, self._local_max_data.used - used)

    def _handle_stop_sending_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        super()._handle_stop_sending_frame(context, frame_type, buf)
        event = self._events.pop()
        assert isinstance(event, StopSendingReceived)  # nothing else is said of this frame
        _let_go(self._streams[event.stream_id].sender)
        self._owner.stream_write_stopped(event.stream_id, event.error_code)

    def _handle_datagram_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        """Unused by libp2p, and dropped: some stacks announce them."""
        length = buf.pull_uint_var() if frame_type & 1 else buf.capacity - buf.tell()
        buf.pull_bytes(length)
        self._spend_useless(context, frame_type)

    def _handle_ping_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        self._spend_useless(context, frame_type)

    def _handle_path_challenge_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        super()._handle_path_challenge_frame(context, frame_type, buf)
        self._spend_useless(context, frame_type)

    def _handle_new_token_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        super()._handle_new_token_frame(context, frame_type, buf)
        self._spend_useless(context, frame_type)

    def _spend_useless(self, context: QuicReceiveContext, frame_type: int) -> None:
        if not self._useless.spend(1, context.time):
            raise QuicConnectionError(QuicErrorCode.INTERNAL_ERROR, frame_type, "too many frames that change nothing")

    # --- the end of streams ------------------------------------------------------------------------------------------------

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        super().reset_stream(stream_id, error_code)
        if stream_id in self._streams:
            _let_go(self._streams[stream_id].sender)

    def is_delivered(self) -> bool:
        """Whether the peer has acknowledged what streams have sent, their ends too; what was reset is not waited for."""
        return all(_is_delivered(stream.sender) for stream in self._streams.values())

    # --- frames that go ----------------------------------------------------------------------------------------------------

    def _write_stream_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream) -> None:
        """aioquic doubles a window as bytes arrive, so that a peer could fill the memory; here it follows what was read."""
        if stream.max_stream_data_local_sent == stream.max_stream_data_local or stream.receiver.is_finished:
            return
        buf = builder.start_frame(
            QuicFrameType.MAX_STREAM_DATA,
            capacity=MAX_STREAM_DATA_FRAME_CAPACITY,
            handler=self._on_max_stream_data_delivery,
            handler_args=(stream,),
        )
        buf.push_uint_var(stream.stream_id or 0)
        buf.push_uint_var(stream.max_stream_data_local)
        stream.max_stream_data_local_sent = stream.max_stream_data_local

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        """The same for all streams together. Streams are granted once the peer has fewer left than it would get."""
        data, streams = self._local_max_data, self._local_max_streams_bidi
        if data.value != data.sent:
            self._write_limit(builder, data)
        if streams.sent - streams.used < streams.value - streams.sent:
            self._write_limit(builder, streams)

    def _write_limit(self, builder: QuicPacketBuilder, limit: Limit) -> None:
        buf = builder.start_frame(
            limit.frame_type,
            capacity=CONNECTION_LIMIT_FRAME_CAPACITY,
            handler=self._on_connection_limit_delivery,
            handler_args=(limit,),
        )
        buf.push_uint_var(limit.value)
        limit.sent = limit.value


def _let_go(sender: QuicStreamSender) -> None:
    """Where it was reset, drop what would be sent again: aioquic keeps it until the peer has ended its side too."""
    if sender._reset_error_code is not None:
        sender._buffer.clear()
        sender._buffer_start = sender._buffer_stop


def _is_delivered(sender: QuicStreamSender) -> bool:
    if sender._buffer_fin is not None and sender._reset_error_code is None:
        return sender.is_finished
    return sender._buffer_start == sender._buffer_stop

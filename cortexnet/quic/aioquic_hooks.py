"""What our engine needs of aioquic that aioquic promises nobody: checked before the first connection, so that a release without
it fails clearly, and not by a connection that verifies no certificate or holds no window."""

from collections.abc import Callable, Collection, Mapping

import aioquic
from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream

from cortexnet.errors import LocalError

HOOKS: Mapping[str, tuple[str, ...]] = {
    "QuicConnection": (
        "_QuicConnection__frame_handlers",
        "_ack_delay",
        "_close_at",
        "_close_event",
        "_close_pending",
        "_confirm_handshake",
        "_crypto_buffers",
        "_cryptos",
        "_datagrams_pending",
        "_events",
        "_get_or_create_stream",
        "_get_or_create_stream_for_send",
        "_handle_crypto_frame",
        "_handle_datagram_frame",
        "_handle_new_token_frame",
        "_handle_path_challenge_frame",
        "_handle_ping_frame",
        "_handle_reset_stream_frame",
        "_handle_stop_sending_frame",
        "_handle_stream_frame",
        "_handshake_complete",
        "_handshake_confirmed",
        "_host_cids",
        "_initialize",
        "_is_client",
        "_local_max_data",
        "_local_max_streams_bidi",
        "_local_max_streams_uni",
        "_loss",
        "_max_datagram_size",
        "_network_paths",
        "_on_connection_limit_delivery",
        "_on_max_stream_data_delivery",
        "_parse_transport_parameters",
        "_ping_pending",
        "_probe_pending",
        "_remote_max_data",
        "_remote_max_data_used",
        "_remote_max_idle_timeout",
        "_remote_max_streams_bidi",
        "_remote_preferred_address",
        "_retire_connection_ids",
        "_serialize_transport_parameters",
        "_spaces",
        "_state",
        "_stream_is_discarded",
        "_streams",
        "_streams_queue",
        "_write_connection_limits",
        "_write_stream_limits",
    ),
    "Context": (
        "_peer_certificate",
        "_request_client_certificate",
        "_server_handle_certificate",
        "_set_peer_certificate",
        "certificate",
        "certificate_private_key",
    ),
    "QuicStreamReceiver": ("_buffer", "_buffer_start", "_final_size", "_ranges", "highest_offset", "is_finished", "stop_pending"),
    "QuicStreamSender": (
        "_buffer",
        "_buffer_fin",
        "_buffer_start",
        "_buffer_stop",
        "_pending",
        "_reset_error_code",
        "buffer_is_empty",
        "highest_offset",
        "is_finished",
        "reset_pending",
    ),
    "QuicStream": ("max_stream_data_local", "max_stream_data_local_sent", "max_stream_data_remote", "receiver", "sender"),
    "QuicPacketRecovery": ("_cc", "_pacer", "_rtt_initialized", "_rtt_min", "_rtt_smoothed", "get_probe_timeout"),
    "QuicPacketSpace": ("ack_at",),
    "QuicCongestionControl": ("_max_datagram_size", "congestion_window"),
    "QuicPacketPacer": ("_max_datagram_size",),
}
"""Attributes by the class that must have them."""


def present() -> dict[str, Collection[str]]:
    """What the installed aioquic has of each class."""
    connection = QuicConnection(configuration=QuicConfiguration(is_client=True))
    stream = QuicStream(stream_id=0)
    return {
        "QuicConnection": dir(connection),
        "Context": dir(tls.Context(is_client=True)),
        "QuicStreamReceiver": dir(stream.receiver),
        "QuicStreamSender": dir(stream.sender),
        "QuicStream": dir(stream),
        "QuicPacketRecovery": dir(connection._loss),
        "QuicPacketSpace": dir(QuicPacketSpace()),
        "QuicCongestionControl": dir(connection._loss._cc),
        "QuicPacketPacer": dir(connection._loss._pacer),
    }


def check_hooks(look: Callable[[], Mapping[str, Collection[str]]] = present) -> None:
    """Raises LocalError where the installed aioquic lacks something that the engine builds on."""
    try:
        found = look()
    except (AttributeError, TypeError) as error:
        raise LocalError(f"aioquic {aioquic.__version__} is not built as QUIC here needs it: {error}") from error
    for kind, names in HOOKS.items():
        for name in names:
            if name not in found[kind]:
                raise LocalError(
                    f"aioquic {aioquic.__version__} has no {kind}.{name} any more, on which QUIC here is built;"
                    " install a release that has it, or leave 'quic' out of the transports"
                )

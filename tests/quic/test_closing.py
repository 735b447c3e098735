"""What the end of a connection means, by who said it and how."""

import pytest
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import QuicErrorCode, QuicFrameType

from cortexnet.errors import ConnectionClosed, HandshakeFailed, NegotiationFailed, ProtocolViolation
from cortexnet.quic.closing import ConnectionRefused, closed_by_peer, closed_by_us, stream_code


def application(code: int, reason: str = "") -> ConnectionTerminated:
    return ConnectionTerminated(error_code=code, frame_type=None, reason_phrase=reason)


def transport(code: int, reason: str = "") -> ConnectionTerminated:
    return ConnectionTerminated(error_code=code, frame_type=QuicFrameType.PADDING, reason_phrase=reason)


def test_codes_of_streams_have_32_bits() -> None:
    assert [stream_code(code) for code in (0, 0x1002, 0xFFFF_FFFF, 1 << 32, (1 << 62) - 1)] == [
        0,
        0x1002,
        0xFFFF_FFFF,
        0x1009,
        0x1009,
    ]


@pytest.mark.parametrize(("said", "code"), [(0, 0), (0x1005, 0x1005), (0xFFFF_FFFF, 0xFFFF_FFFF), (1 << 32, 0x1008)])
def test_an_application_close_keeps_its_code(said: int, code: int) -> None:
    error = closed_by_peer(application(said), is_established=True)
    assert isinstance(error, ConnectionClosed)
    assert (error.code, error.by) == (code, "remote")


def test_what_a_peer_says_is_escaped_and_cut() -> None:
    error = closed_by_peer(application(0x1007, "connection gated\x1b[31m" + "x" * 1000), is_established=True)
    assert "connection gated\\x1b[31m" in str(error)
    assert len(str(error)) < 250


@pytest.mark.parametrize("reason", ["Idle timeout"])
def test_silence_is_the_networks_doing(reason: str) -> None:
    error = closed_by_peer(transport(QuicErrorCode.INTERNAL_ERROR, reason), is_established=True)
    assert isinstance(error, ConnectionClosed)
    assert error.by == "network"


def test_nobody_can_pretend_silence() -> None:
    error = closed_by_peer(application(0x1001, "Idle timeout"), is_established=True)
    assert isinstance(error, ConnectionClosed)
    assert (error.by, error.code) == ("remote", 0x1001)


def test_a_close_without_error_is_that_of_a_socket_that_is_gone() -> None:
    error = closed_by_peer(transport(QuicErrorCode.NO_ERROR), is_established=True)
    assert isinstance(error, ConnectionClosed)
    assert error.by == "network"


def test_a_peer_without_room_says_so() -> None:
    assert isinstance(closed_by_peer(transport(QuicErrorCode.CONNECTION_REFUSED), is_established=False), ConnectionRefused)


def test_alerts_of_tls_fail_the_handshake_and_end_a_connection_that_stood() -> None:
    bad_certificate = transport(QuicErrorCode.CRYPTO_ERROR + 42, "no")
    assert type(closed_by_peer(bad_certificate, is_established=False)) is HandshakeFailed
    assert isinstance(closed_by_peer(bad_certificate, is_established=True), ConnectionClosed)
    assert isinstance(closed_by_peer(transport(QuicErrorCode.CRYPTO_ERROR + 120), is_established=False), NegotiationFailed)


def test_other_errors_of_quic_are_told() -> None:
    violation = transport(QuicErrorCode.FLOW_CONTROL_ERROR)
    assert isinstance(closed_by_peer(violation, is_established=True), ConnectionClosed)
    assert type(closed_by_peer(violation, is_established=False)) is HandshakeFailed


def test_what_we_found_wrong_is_a_violation_or_a_failed_handshake() -> None:
    wrong = transport(QuicErrorCode.FLOW_CONTROL_ERROR, "too much")
    assert isinstance(closed_by_us(wrong, is_established=True), ProtocolViolation)
    assert type(closed_by_us(wrong, is_established=False)) is HandshakeFailed
    assert type(closed_by_us(transport(QuicErrorCode.CRYPTO_ERROR + 42), is_established=False)) is HandshakeFailed

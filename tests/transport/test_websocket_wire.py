"""A WebSocket from its handshake to its end, as two cores that talk to each other."""

from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import ConnectionClosed, HandshakeFailed, ProtocolViolation
from cortexnet.transport.websocket_frames import FrameWriter
from cortexnet.transport.websocket_http import ClientHandshake, ServerHandshake
from cortexnet.transport.websocket_wire import WebSocketWire

MASK = b"mask"


def server(useless_frames: int = 100) -> WebSocketWire:
    return WebSocketWire(ServerHandshake(), useless_frames=useless_frames)


def client(useless_frames: int = 100) -> WebSocketWire:
    handshake = ClientHandshake("127.0.0.1", 80, is_secure=False, random=bytes)
    return WebSocketWire(handshake, useless_frames=useless_frames, mask_key=lambda: MASK)


def opened() -> tuple[WebSocketWire, WebSocketWire]:
    dialer, listener = client(), server()
    assert give(dialer, listener) == b""
    assert give(listener, dialer) == b""
    assert dialer.is_open
    assert listener.is_open
    return dialer, listener


def give(sender: WebSocketWire, receiver: WebSocketWire) -> bytes:
    return read(receiver, sender.data_to_send())


def read(receiver: WebSocketWire, data: bytes) -> bytes:
    return b"".join(bytes(piece) for piece in receiver.receive(data, 0.0))


def test_what_is_sent_early_waits_for_the_handshake() -> None:
    dialer, listener = client(), server()
    dialer.send(bytearray(b"hello "))
    dialer.send(b"listener")
    listener.send(b"hello dialer")
    assert (dialer.early_size, listener.early_size) == (14, 12)
    assert not listener.has_output
    assert give(dialer, listener) == b""
    assert give(listener, dialer) == b"hello dialer"
    assert give(dialer, listener) == b"hello listener"
    assert (dialer.early_size, listener.early_size) == (0, 0)


def test_payload_right_behind_the_handshake_is_not_lost() -> None:
    listener = server()
    request = client().data_to_send()
    assert read(listener, request + b"".join(FrameWriter(lambda: MASK).message(b"abc"))) == b"abc"


def test_a_refused_request_is_answered_and_nothing_else_happens() -> None:
    listener = server()
    listener.send(b"early")
    assert read(listener, b"GET / HTTP/1.1\r\n\r\n") == b""
    assert isinstance(listener.error, HandshakeFailed)
    assert listener.data_to_send().startswith(b"HTTP/1.1 426 ")
    listener.close()
    assert not listener.has_output
    assert read(listener, b"more") == b""


def test_pings_are_answered_the_last_of_several() -> None:
    dialer, listener = opened()
    writer = FrameWriter(None)
    ping = writer.pong(b"first")
    data = bytes([0x89]) + ping[1:] + bytes([0x89]) + writer.pong(b"second")[1:]
    assert read(dialer, data) == b""
    assert dialer.has_output
    assert dialer.data_to_send() == FrameWriter(lambda: MASK).pong(b"second")
    assert not dialer.has_output
    dialer.close()
    dialer.data_to_send()
    read(dialer, data)
    assert dialer.data_to_send() == b""
    assert listener.error is None


def test_both_may_say_goodbye_and_nothing_is_sent_behind_it() -> None:
    dialer, listener = opened()
    dialer.send(b"last words")
    dialer.close()
    dialer.close()
    dialer.send(b"too late")
    assert give(dialer, listener) == b"last words"
    assert listener.has_ended
    assert listener.error is None
    listener.send(b"still here")
    listener.close()
    assert give(listener, dialer) == b"still here"
    assert dialer.has_ended
    assert dialer.is_closed


def test_a_goodbye_for_another_reason_is_an_error() -> None:
    dialer, listener = opened()
    dialer.close(1011)
    give(dialer, listener)
    assert isinstance(listener.error, ConnectionClosed)
    assert listener.error.by == "remote"
    assert "1011" in str(listener.error)
    assert not listener.has_ended
    assert give(listener, dialer) == b""
    assert dialer.has_ended


def test_a_broken_frame_is_told_to_the_peer() -> None:
    dialer, listener = opened()
    assert read(listener, b"".join(FrameWriter(None).message(b"not masked"))) == b""
    assert isinstance(listener.error, ProtocolViolation)
    assert give(listener, dialer) == b""
    assert "1002" in str(dialer.error)


def test_more_frames_than_one_call_looks_at_are_a_backlog() -> None:
    dialer, listener = opened()
    data = b"".join(FrameWriter(lambda: MASK).message(b"a")) * 1_500
    assert len(read(listener, data)) == 1_000
    assert listener.has_backlog
    assert len(read(listener, b"")) == 500
    assert not listener.has_backlog
    assert dialer.error is None


@given(st.lists(st.binary(max_size=600), max_size=5), st.lists(st.integers(1, 200)))
def test_what_is_written_is_read_wherever_it_is_cut(messages: list[bytes], cuts: list[int]) -> None:
    dialer, listener = client(), server()
    data = dialer.data_to_send()
    for message in messages:
        dialer.send(message)
    give_back = b""
    received = b""
    for piece in slices(data, cuts):
        received += read(listener, piece)
        give_back += listener.data_to_send()
    for piece in slices(give_back, cuts):
        assert read(dialer, piece) == b""
    for piece in slices(dialer.data_to_send(), cuts):
        received += read(listener, piece)
    assert received == b"".join(messages)


def slices(data: bytes, cuts: list[int]) -> list[bytes]:
    pieces, position = [], 0
    for cut in cuts:
        pieces.append(data[position : position + cut])
        position += cut
    return [*pieces, data[position:]]

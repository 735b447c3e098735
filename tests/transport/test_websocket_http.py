"""The HTTP request and response of a WebSocket: what is asked, what is answered, and every bound."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortexnet.errors import HandshakeFailed, MessageTooLarge, RemoteError
from cortexnet.transport.websocket_http import HEAD_SIZE, HEADERS, LINE_SIZE, ClientHandshake, ServerHandshake

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\nSec-WebSocket-Version: 13\r\n\r\n"
)  # RFC 6455, section 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
KEY = b"the sample nonce"
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\n\r\n"
)


def client(host: str = "server.example.com", port: int = 80, *, is_secure: bool = False) -> ClientHandshake:
    return ClientHandshake(host, port, is_secure=is_secure, random=lambda size: KEY[:size])


def ask(*chunks: bytes) -> tuple[bytes, bytes, RemoteError | None] | None:
    return run(ServerHandshake(), chunks)


def run(handshake: ServerHandshake | ClientHandshake, chunks: Iterable[bytes]) -> tuple[bytes, bytes, RemoteError | None] | None:
    outcome = None
    rest = b""
    for chunk in chunks:
        if outcome is None:
            outcome = handshake.receive(chunk)
        else:
            rest += chunk
    return outcome and (outcome[0], outcome[1] + rest, outcome[2])


def status(outcome: tuple[bytes, bytes, RemoteError | None] | None) -> bytes:
    assert outcome is not None
    return outcome[0].partition(b"\r\n")[0]


def with_header(*lines: bytes) -> bytes:
    return REQUEST[:-2] + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


# --- the server


def test_a_request_is_answered_as_in_the_specification_and_what_is_behind_it_is_kept() -> None:
    answer, rest, error = ask(REQUEST + b"\x82\x80") or (b"", b"", None)
    assert error is None
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: " + ACCEPT in answer
    assert rest == b"\x82\x80"


@pytest.mark.parametrize(
    "line",
    [
        b"Sec-WebSocket-Protocol: chat, superchat",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        b"Cookie: a=b",
    ],
)
def test_neither_subprotocols_nor_extensions_are_taken_up(line: bytes) -> None:
    answer, _, error = ask(with_header(line)) or (b"", b"", None)
    assert error is None
    assert b"Sec-WebSocket-Protocol" not in answer
    assert b"Sec-WebSocket-Extensions" not in answer


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 426 Upgrade Required"),
        (REQUEST.replace(b"GET", b"POST"), b"HTTP/1.1 405 Method Not Allowed"),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), b"HTTP/1.1 505 HTTP Version Not Supported"),
        (REQUEST.replace(b"Version: 13", b"Version: 8"), b"HTTP/1.1 400 Bad Request"),
        (REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), b"HTTP/1.1 400 Bad Request"),
        (with_header(b"Content-Length: 5"), b"HTTP/1.1 400 Bad Request"),
        (with_header(b"Transfer-Encoding: chunked"), b"HTTP/1.1 400 Bad Request"),
        (b"GET\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
    ],
)
def test_what_is_no_request_for_a_websocket_gets_a_short_answer(request_: bytes, expected: bytes) -> None:
    outcome = ask(request_)
    assert status(outcome) == expected
    assert outcome is not None
    assert len(outcome[0]) < 600
    assert isinstance(outcome[2], HandshakeFailed)


@pytest.mark.parametrize("begin", [b"\x13/multistream/1.0.0\n", b"\x16\x03\x01\x00", b"get / HTTP/1.1", b"\xff" * 20_000])
def test_what_is_no_http_at_all_is_not_answered_and_not_waited_for(begin: bytes) -> None:
    answer, _, error = ask(begin) or (b"?", b"", None)
    assert (answer == b"") is (len(begin) < HEAD_SIZE)
    assert isinstance(error, RemoteError)


def test_the_caps_of_a_head_hold_to_the_byte() -> None:
    def head(size: int) -> bytes:
        lines, rest = divmod(size - len(REQUEST), 4_000)
        assert rest > 10
        return with_header(*[b"A: " + bytes([0x61]) * 3_995] * lines, b"B: " + b"b" * (rest - 5))

    assert len(head(HEAD_SIZE)) == HEAD_SIZE
    assert status(ask(head(HEAD_SIZE))) == b"HTTP/1.1 101 Switching Protocols"
    assert status(ask(head(HEAD_SIZE + 1))) == b"HTTP/1.1 431 Request Header Fields Too Large"
    longest = b"A: " + b"a" * (LINE_SIZE - 5)
    assert len(longest) + 2 == LINE_SIZE
    assert status(ask(with_header(longest))) == b"HTTP/1.1 101 Switching Protocols"
    assert status(ask(with_header(longest + b"a"))) == b"HTTP/1.1 431 Request Header Fields Too Large"
    there = REQUEST.count(b"\r\n") - 2
    many = [b"A: b"] * (HEADERS - there)
    assert status(ask(with_header(*many))) == b"HTTP/1.1 101 Switching Protocols"
    assert status(ask(with_header(*many, b"A: b"))) == b"HTTP/1.1 431 Request Header Fields Too Large"


def test_a_head_without_end_is_refused_when_it_is_too_long() -> None:
    server = ServerHandshake()
    assert server.receive(b"GET / HTTP/1.1\r\nA: ") is None
    for _ in range(3):
        assert server.receive(b"a" * 5_000) is None
    outcome = server.receive(b"a" * 5_000)
    assert outcome is not None
    assert isinstance(outcome[2], MessageTooLarge)


@given(
    st.one_of(st.binary(max_size=400), st.sampled_from([REQUEST, REQUEST + b"\x82\x80abc", with_header(b"A: b" * 3_000)])),
    st.lists(st.integers(1, 200)),
)
def test_cutting_a_request_elsewhere_changes_nothing(data: bytes, cuts: list[int]) -> None:
    whole, cut = ask(data), ask(*slices(data, cuts))
    assert shown(whole) == shown(cut)


@given(
    st.one_of(st.binary(max_size=400), st.sampled_from([ANSWER, ANSWER + b"\x82\x00", b"HTTP/1.1 404 Not Found\r\n\r\n"])),
    st.lists(st.integers(1, 90)),
)
def test_cutting_an_answer_elsewhere_changes_nothing(data: bytes, cuts: list[int]) -> None:
    assert shown(run(client(), [data])) == shown(run(client(), slices(data, cuts)))


@given(st.integers(0, len(REQUEST) - 1), st.integers(0, 255))
def test_a_request_with_one_byte_changed_is_a_request_or_a_typed_error(position: int, byte: int) -> None:
    outcome = ask(REQUEST[:position] + bytes([byte]) + REQUEST[position + 1 :])
    assert outcome is None or outcome[2] is None or isinstance(outcome[2], RemoteError)


@given(st.integers(0, len(ANSWER) - 1), st.integers(0, 255))
def test_an_answer_with_one_byte_changed_is_an_answer_or_a_typed_error(position: int, byte: int) -> None:
    outcome = run(client(), [ANSWER[:position] + bytes([byte]) + ANSWER[position + 1 :]])
    assert outcome is None or outcome[2] is None or isinstance(outcome[2], RemoteError)


def shown(outcome: tuple[bytes, bytes, RemoteError | None] | None) -> object:
    if outcome is None:
        return None
    answer = b"\r\n".join(line for line in outcome[0].split(b"\r\n") if not line.startswith(b"Date:"))
    # What came behind a request that was refused is thrown away, and how much of a head too long had come depends on the cut.
    return answer.partition(b"\r\n")[0], outcome[1] if outcome[2] is None else b"", type(outcome[2])


def slices(data: bytes, cuts: list[int]) -> list[bytes]:
    pieces, position = [], 0
    for cut in cuts:
        pieces.append(data[position : position + cut])
        position += cut
    return [*pieces, data[position:]]


# --- the client


def test_a_request_names_the_host_and_offers_nothing() -> None:
    request = client("node.example", 443, is_secure=True).start().decode()
    assert request.startswith("GET / HTTP/1.1\r\nHost: node.example\r\n")
    assert client("::1", 4001).start().decode().splitlines()[1] == "Host: [::1]:4001"
    assert "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in request
    assert "Protocol" not in request
    assert "Extensions" not in request
    assert ServerHandshake().start() == b""


def test_the_answer_of_the_specification_opens_it() -> None:
    assert run(client(), [ANSWER + b"\x82\x01a"]) == (b"", b"\x82\x01a", None)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\n", "404 Not Found"),
        (b"HTTP/1.1 301 Moved\r\nLocation: ws://elsewhere/\r\n\r\n", "301 Moved"),
        (ANSWER.replace(ACCEPT, b"AAAA"), "Sec-WebSocket-Accept"),
        (ANSWER[:-2] + b"Sec-WebSocket-Protocol: chat\r\n\r\n", "subprotocols"),
        (ANSWER[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "extensions"),
        (ANSWER.replace(b"Upgrade: websocket", b"Upgrade: h2c"), "Upgrade"),
        (b"HTTP/1.1 101 \r\nno colon\r\n\r\n", "valid HTTP response"),
        (b"\x13/multistream/1.0.0\n", "no HTTP"),
        (b"HTTP/1.1 200 \x1b[31m\r\n\r\n", "\\x1b"),
    ],
)
def test_any_other_answer_is_a_failed_handshake_that_says_why(answer: bytes, says: str) -> None:
    outcome = run(client(), [answer])
    assert outcome is not None
    assert isinstance(outcome[2], HandshakeFailed)
    assert says in str(outcome[2])


def test_an_answer_has_the_same_caps() -> None:
    outcome = run(client(), [b"HTTP/1.1 101 Switching\r\n" + b"a" * HEAD_SIZE])
    assert outcome is not None
    assert isinstance(outcome[2], MessageTooLarge)
    assert run(client(), [b"HTTP/1.1 1"]) is None

"""The HTTP request and response a WebSocket begins with; cores around the classes of `websockets`.

They are called once the whole head is there and its size has been judged, so what they collect is bounded by us.

Spec: RFC 6455, section 4; libp2p specs, websockets/.
"""

import base64
from collections.abc import Callable
from http import HTTPStatus
from typing import final

from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import WebSocketURI

from cortexnet.errors import HandshakeFailed, MessageTooLarge, RemoteError

HEAD_SIZE = 16_384
"""Bytes of a request or response, the empty line included."""
LINE_SIZE = 8_192
"""Bytes of one of its lines."""
HEADERS = 64
_END = b"\r\n\r\n"
_SWITCHED = b"HTTP/1.1 101 "
_SHOWN = 80  # characters of the peer's that an error shows


@final
class Head:
    """The head of a peer's request or response, as it comes; a core."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes | memoryview) -> tuple[bytes, bytes] | None:
        """The head and what came behind it, once it is there. Raises MessageTooLarge, whatever pieces it comes in."""
        buffer = self._buffer
        searched = max(0, len(buffer) - len(_END) + 1)
        buffer += data
        end = buffer.find(_END, searched)
        size = len(buffer) if end < 0 else end + len(_END)
        if size > HEAD_SIZE:
            raise MessageTooLarge("HTTP head", size, HEAD_SIZE)
        if end < 0:
            return None
        head, rest = bytes(buffer[:size]), bytes(buffer[size:])
        lines = head.split(b"\n")
        longest = max(len(line) for line in lines) + 1
        if longest > LINE_SIZE:
            raise MessageTooLarge("line of an HTTP head", longest, LINE_SIZE)
        if len(lines) - 3 > HEADERS:  # the request line, the empty one, and what is behind it
            raise MessageTooLarge("list of HTTP headers", len(lines) - 3, HEADERS)
        return head, rest

    def begins_with(self, is_possible: Callable[[bytes], bool]) -> bool:
        """Whether what has come may become what was expected."""
        return is_possible(bytes(self._buffer[: len(_SWITCHED)]))


@final
class ServerHandshake:
    """Answers the request of a client; a core. Any path and any origin will do; extensions and subprotocols are not taken up."""

    def __init__(self) -> None:
        self._head = Head()

    def start(self) -> bytes:
        """Nothing: the client speaks first."""
        return b""

    def receive(self, data: bytes | memoryview) -> tuple[bytes, bytes, RemoteError | None] | None:
        """The answer, what came behind the request, and why it was refused; None as long as the request is not there."""
        try:
            found = self._head.receive(data)
        except MessageTooLarge as error:
            return self._refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, error)
        if not self._head.begins_with(_may_be_request):
            return b"", b"", HandshakeFailed("the peer sent no HTTP request")
        if found is None:
            return None
        head, rest = found
        server = ServerProtocol()
        server.receive_data(head)
        requests = [event for event in server.events_received() if isinstance(event, Request)]
        if not requests:
            return self._refused(HTTPStatus.BAD_REQUEST, HandshakeFailed("the peer sent a malformed HTTP request"))
        response = server.accept(requests[0])
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return response.serialize(), rest, None
        why = f"the peer's HTTP request for a WebSocket was answered with {response.status_code}: {_shown(server.handshake_exc)}"
        return response.serialize(), b"", HandshakeFailed(why)

    def _refused(self, status: HTTPStatus, error: RemoteError) -> tuple[bytes, bytes, RemoteError]:
        return ServerProtocol().reject(status, f"{error}\n").serialize(), b"", error


@final
class ClientHandshake:
    """Asks a server for a WebSocket; a core.

    `host` goes into the header Host: a name, or an IP address. `random` gives that many bytes nobody can foresee.
    """

    def __init__(self, host: str, port: int, *, is_secure: bool, random: Callable[[int], bytes]) -> None:
        self._client = ClientProtocol(WebSocketURI(is_secure, host, port, "/", ""))
        self._client.key = base64.b64encode(random(16)).decode()
        self._head = Head()

    def start(self) -> bytes:
        """The request."""
        return self._client.connect().serialize()

    def receive(self, data: bytes | memoryview) -> tuple[bytes, bytes, RemoteError | None] | None:
        """Nothing, what came behind the answer, and why it is a refusal; None as long as the answer is not there."""
        try:
            found = self._head.receive(data)
        except MessageTooLarge as error:
            return b"", b"", error
        if not self._head.begins_with(_may_be_response):
            return b"", b"", HandshakeFailed("the peer's answer is no HTTP/1.1 response")
        if found is None:
            return None
        head, rest = found
        if not head.startswith(_SWITCHED):
            status = head.split(b"\r\n")[0].decode(errors="replace").removeprefix("HTTP/1.1 ")
            return b"", b"", HandshakeFailed(f"the peer refused a WebSocket: HTTP {status[:_SHOWN]!a}")
        self._client.receive_data(head)
        if self._client.handshake_exc is not None:
            return b"", b"", HandshakeFailed(f"the peer did not agree to a WebSocket: {_shown(self._client.handshake_exc)}")
        return b"", rest, None


def _may_be_request(begin: bytes) -> bool:
    return begin[:1].isalpha() and begin[:1].isupper()


def _may_be_response(begin: bytes) -> bool:
    return begin.startswith(b"HTTP/1.1 "[: len(begin)])


def _shown(error: BaseException | None) -> str:
    return ascii(str(error)[:_SHOWN])

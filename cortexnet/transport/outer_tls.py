"""The TLS around a WebSocket, by Python's `ssl` module over bytes in memory. A shell only in that it reads files.

asyncio's own TLS would not do: it tells of a socket after the handshake only, so that nobody would count silent ones; it can't
begin with bytes that were read before, and it keeps 256 KiB for each connection.
"""

import ssl
from contextlib import suppress
from typing import final

from cortexnet.errors import ConfigInvalid, HandshakeFailed, ProtocolViolation, RemoteError
from cortexnet.transport.websocket_config import WebSocketConfig

USELESS_RECORDS = 32
"""Records that carry no data, as tickets and changes of keys do, that a peer may send in advance; besides them one for each
RECORDS_PER_USELESS that do."""
RECORDS_PER_USELESS = 1_024

_RECORD = 16_384  # bytes of a record at most
_HEADER_SIZE = 5
_AT_ONCE = 16_384  # bytes OpenSSL works on before records without data are counted: 600 changes of keys take it 6 to 14 ms
_HTTP = ["http/1.1"]  # WebSocket over HTTP/2 is another protocol


@final
class OuterTls:
    """One end of a TLS connection. Bytes of the socket in, bytes of HTTP out, and the other way round."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_name: str | None = None) -> None:
        """`server_name` is what the server's certificate must be for: a name or an IP address."""
        self.error: RemoteError | None = None
        """Why it can't go on; the alert for the peer is still in `data_to_send`."""
        self.is_open = False
        """The handshake is over."""
        self.has_ended = False
        """The peer sends no more."""
        self._records = _RecordCounter()
        self._useful = self._useless = 0  # records since the handshake
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side, server_hostname=server_name)

    def receive(self, data: bytes | memoryview, buffer: memoryview) -> memoryview:
        """What these bytes say, which `buffer` has room for: the part of it where that is.

        Never raises: see `error`. The first call, with nothing, begins the handshake.
        """
        view, used = memoryview(data), 0
        for start in range(0, len(view) or 1, _AT_ONCE):
            if self.error is None:
                used += self._take(view[start : start + _AT_ONCE], buffer[used:])
        return buffer[:used]

    def _take(self, data: memoryview, buffer: memoryview) -> int:
        """How many bytes came out."""
        was_open, used, useful = self.is_open, 0, 0
        self._incoming.write(data)
        try:
            if not was_open:
                self._tls.do_handshake()
                self.is_open = True
            while not self.has_ended:
                size = int(self._tls.read(_RECORD, buffer[used:]))  # a number, since it is given a buffer
                used += size
                useful += 1  # it gives no more than one record
                self.has_ended = not size
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError as error:
            self.error = HandshakeFailed(f"the certificate of the WebSocket's host is not accepted: {error.verify_message}")
            self.error.__cause__ = error.with_traceback(None)  # tells it from every other failure
        except ssl.SSLError as error:
            self.error = HandshakeFailed(f"TLS of the WebSocket failed: {error.reason or error}")
        records = self._records.count(data)
        if was_open and self.error is None:
            self._count_useless(records - useful, useful)
        return used

    def _count_useless(self, useless: int, useful: int) -> None:
        self._useless += useless
        self._useful += useful
        if self._useless > USELESS_RECORDS + self._useful // RECORDS_PER_USELESS:
            self.error = ProtocolViolation(f"TLS of the WebSocket: {self._useless} records without data")

    def send(self, data: bytes) -> None:
        """Encrypt; only once the handshake is over."""
        if data and self.error is None:
            self._tls.write(data)

    def close(self) -> None:
        """Say that nothing more comes."""
        with suppress(ssl.SSLError):  # it has written its alert, and waits for the peer's; or there was no handshake
            self._tls.unwrap()

    @property
    def pending(self) -> int:
        """Bytes that wait in `data_to_send`."""
        return self._outgoing.pending

    def data_to_send(self) -> bytes:
        """Bytes for the socket."""
        return self._outgoing.read()


@final
class _RecordCounter:
    """Counts the records in what comes from a socket, by their headers."""

    def __init__(self) -> None:
        self._header = b""  # the part of one that has come
        self._left = 0  # bytes of a record yet to come

    def count(self, data: memoryview) -> int:
        """How many headers have come whole with these bytes."""
        view = memoryview(self._header + data) if self._header else data
        position, end, found = self._left, len(view), 0
        while position + _HEADER_SIZE <= end:
            position += _HEADER_SIZE + (view[position + 3] << 8 | view[position + 4])
            found += 1
        self._header = bytes(view[position:])
        self._left = max(position - end, 0)
        return found


def server_context(config: WebSocketConfig) -> ssl.SSLContext:
    """What to listen with. Raises ConfigInvalid, which says which file is at fault."""
    if config.server_context is not None:
        return config.server_context
    if config.certificate is None:
        raise ConfigInvalid(
            "is needed to listen on /wss and /tls/ws: a file with a certificate (PEM)", key="websocket.certificate"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0  # nobody resumes a session: it would say nothing about the peer inside
    context.set_alpn_protocols(_HTTP)
    key = config.private_key or config.certificate
    _check_file(config.certificate, "websocket.certificate")
    _check_file(key, "websocket.private_key")
    try:
        context.load_cert_chain(config.certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        message = f"{config.certificate} and {key} are no certificate and its private key (PEM, without password): {error}"
        raise ConfigInvalid(message, key="websocket.certificate") from None
    return context


def client_context(config: WebSocketConfig) -> ssl.SSLContext:
    """What to dial with. Raises ConfigInvalid, which says which file is at fault."""
    if config.client_context is not None:
        return config.client_context
    if config.trusted is not None:
        _check_file(config.trusted, "websocket.trusted")
    try:
        context = ssl.create_default_context(cafile=config.trusted)
    except ssl.SSLError as error:
        message = f"{config.trusted} has no certificates of authorities (PEM): {error}"
        raise ConfigInvalid(message, key="websocket.trusted") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(_HTTP)
    if not config.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _check_file(path: str, key: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConfigInvalid(f"{path} can't be read: {error.strerror}", key=key) from None


def _no_password() -> str:
    """Asked for where a key is encrypted; without it OpenSSL would ask at the terminal."""
    return ""

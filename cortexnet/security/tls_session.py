"""A TLS 1.3 channel after its handshake: OpenSSL reads and writes the records, between buffers in memory.

Only whole records reach the engine, and each is asked for once: that it might want more is an exception that costs more than a
small record does.
"""

from collections.abc import Sequence
from typing import final

from OpenSSL import SSL

from cortexnet.errors import ConnectionClosed, ProtocolViolation, RemoteError
from cortexnet.identity.keys import PublicKey
from cortexnet.identity.peer_id import PeerId

NAME = "/tls/1.0.0"
HEADER_SIZE = 5
MAX_PLAINTEXT = 16_384
MAX_BODY = MAX_PLAINTEXT + 256
"""Bytes of a record behind its header."""

AT_ONCE = 32_768
"""Bytes after which no further record goes into the engine before these have come out: its buffer never shrinks."""
RECORDS_AT_ONCE = 500
"""Records of one `decrypt`: small ones take 3.4 µs each, and 256 KiB hold 11,500 of them."""
USELESS_RECORDS = 32
"""Records that carry no data, as tickets and changes of keys do, that a peer may send in advance; besides them one for each
RECORDS_PER_USELESS that do. A change of keys takes four times as long as a small record, its answer waits for our next write, and
nobody needs one before some 16 million records."""
RECORDS_PER_USELESS = 1_024

_OVERHEAD = HEADER_SIZE + 1 + 16  # the type of the content, and the tag
_ROOM = 512  # for alerts and changes of keys that wait in front


def pending(engine: SSL.Connection, size: int) -> bytes:
    """All that the engine has for the peer; about `size` bytes of it are known."""
    room = size + _ROOM
    pieces: list[bytes] = []
    try:
        while not pieces or len(pieces[-1]) == room:
            pieces.append(engine.bio_read(room))
    except SSL.WantReadError:
        pass
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def reason(error: SSL.Error) -> str:
    """What OpenSSL says went wrong."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(entry[2] for entry in entries) or type(error).__name__


def _failure(text: str) -> RemoteError | ConnectionClosed:
    """What a peer says in an alert is no fault of its own: mostly that it does not accept our certificate."""
    if " alert " in text:
        return ConnectionClosed(f"the peer ended the connection: {text}", by="remote")
    return ProtocolViolation(f"TLS record: {text}")


@final
class TlsSession:
    """See `security.session.SecureSession` for the contract of each verb.

    Spec: RFC 8446, section 5.
    """

    name = NAME
    header_size = HEADER_SIZE

    def __init__(self, engine: SSL.Connection, *, remote_peer: PeerId, remote_key: PublicKey, muxer: str | None) -> None:
        self._engine = engine
        self.remote_peer = remote_peer
        self.remote_key = remote_key
        self.muxer = muxer
        self.error: RemoteError | ConnectionClosed | None = None
        self.has_backlog = False
        self._useful = 0
        self._useless = 0

    def body_size(self, header: bytes) -> int:
        """What the length in front says."""
        return header[3] << 8 | header[4]

    def encrypt(self, parts: Sequence[bytes | bytearray | memoryview]) -> bytes | bytearray:
        """The parts, joined, in records of 16 KiB; nothing for nothing. After an error what is left to say of it: the alert."""
        if self.error is not None:
            return pending(self._engine, 0)
        plaintext = parts[0] if len(parts) == 1 else b"".join(parts)
        size = len(plaintext)
        if not size:
            return b""
        self._engine.sendall(plaintext)
        return pending(self._engine, size + (size // MAX_PLAINTEXT + 1) * _OVERHEAD)

    def decrypt(self, data: bytes | memoryview) -> tuple[list[bytes], int]:
        """The plaintexts of the complete records in front, of 500 at most. Records without data are legal and left out."""
        view, end = memoryview(data), len(data)
        plaintexts: list[bytes] = []
        position, left = 0, RECORDS_AT_ONCE
        while left and self.error is None:
            count, stop = self._whole_records(view, position, left)
            if not count:
                break
            self._receive(view[position:stop], count, plaintexts)
            position, left = stop, left - count
        self.has_backlog = not left and self.error is None
        return plaintexts, position if self.error is None else end

    def _whole_records(self, view: memoryview, start: int, limit: int) -> tuple[int, int]:
        """How many complete records stand there, as far as they go to the engine at once, and where they end."""
        end, last = len(view), start + AT_ONCE
        count, position = 0, start
        while position + HEADER_SIZE <= end and position < last and count < limit:
            size = view[position + 3] << 8 | view[position + 4]
            stop = position + HEADER_SIZE + size
            if size > MAX_BODY:
                if not count:
                    self.error = ProtocolViolation(f"a TLS record of {size} bytes is over the limit of {MAX_BODY}")
                break
            if stop > end:
                break
            count, position = count + 1, stop
        return count, position

    def _receive(self, ciphertext: memoryview, records: int, plaintexts: list[bytes]) -> None:
        receive, before = self._engine.recv, len(plaintexts)
        try:
            self._engine.bio_write(ciphertext)
            for _ in range(records):
                plaintexts.append(receive(MAX_PLAINTEXT))  # noqa: PERF401 (what came before an error counts)
        except SSL.WantReadError:
            self._count_useless(records - len(plaintexts) + before)
        except SSL.ZeroReturnError:
            self.error = ConnectionClosed("the peer closed the connection", by="remote")
        except SSL.Error as error:
            self.error = _failure(reason(error))
        self._useful += len(plaintexts) - before

    def _count_useless(self, records: int) -> None:
        self._useless += records
        if self._useless > USELESS_RECORDS + self._useful // RECORDS_PER_USELESS:
            self.error = ProtocolViolation(f"{self._useless} TLS records without data")

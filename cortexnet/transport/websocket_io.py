"""A WebSocket in place of a socket: below it is the transport of a TCP socket, above it whatever runs over one. A shell."""

import asyncio
from collections import deque
from typing import Any, final

from cortexnet.errors import ConnectionClosed, CortexError, ProtocolViolation
from cortexnet.transport.outer_tls import OuterTls
from cortexnet.transport.read_turns import turns_of
from cortexnet.transport.websocket_wire import WebSocketWire

_UNSENT = 65_536  # bytes of TLS's own that may wait for a peer that does not read: answers to its wish for new keys


@final
class WebSocketIo(asyncio.Transport, asyncio.BufferedProtocol):
    """To the upper protocol a transport, to the socket a protocol.

    The upper protocol learns of the socket at once, before TLS and HTTP: its deadline and its counts hold for them too, and what
    it writes waits for their end. It keeps the manners of a socket: `pause_reading` stops the peer, `pause_writing` comes where
    the socket is full, `connection_lost` exactly once. `close` and `write_eof` say goodbye with a close frame and wait for no
    answer; who closes has to give the peer its time.
    """

    def __init__(
        self, upper: asyncio.BufferedProtocol, wire: WebSocketWire, tls: OuterTls | None, *, upper_knows: bool = False
    ) -> None:
        """`upper_knows`: the upper protocol was told of the socket before."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._turns = turns_of(self._loop)
        self._buffer = self._turns.outer_buffer()
        self._plain = self._turns.outer_buffer(1) if tls is not None else self._buffer
        self._upper = upper
        self._upper_knows = upper_knows
        self._wire = wire
        self._tls = tls
        self.is_secure = tls is not None
        """Whether there is TLS around it."""
        self._io: asyncio.Transport | None = None
        self._direct: memoryview | None = None  # the upper protocol's buffer
        self._kept = b""  # of the socket, that came when the turn was over
        self._pending: deque[bytes | memoryview] = deque()  # payload the upper protocol has not taken: of one chunk at most
        self._is_paused = False  # by the upper protocol
        self._is_deferred = False  # something waits for its turn
        self._is_full = False  # the socket takes no more
        self._is_closing = False
        self._error: CortexError | None = None

    # --- the socket below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # what sockets give
        self._io = transport
        if not self._upper_knows:
            self._upper.connection_made(self)
        if not self._is_closing:
            if self._tls is not None:
                self._tls.receive(b"", self._plain)
            self._flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        # While the socket is read nothing is pending, so bytes without TLS may come to where their payload goes.
        self._direct = memoryview(self._upper.get_buffer(sizehint)) if self._tls is None and self._wire.is_open else None
        return self._buffer if self._direct is None else self._direct

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_closing:
            return
        if self._direct is not None:
            self._receive_in_place(self._direct[:nbytes])
            return
        data = self._buffer[:nbytes]
        if self._turns.is_over if self._wire.is_open else self._turns.is_over_for_changes:
            self._kept = bytes(data)
            self._defer()
        else:
            self._receive(data)

    def _receive_in_place(self, view: memoryview) -> None:
        """Take the heads out from between the payload, which moves to the front: never behind what is still to be read."""
        begin, used = self._loop.time(), 0
        for piece in self._wire.receive(view, begin):
            end = used + len(piece)
            view[used:end] = piece
            used = end
        if self._wire.has_output:
            self._answer()
        self._turns.spend(self._loop.time() - begin)
        if used and not self._is_closing:
            self._upper.buffer_updated(used)
        if self._is_over or self._wire.has_backlog:
            self._deliver()

    def _defer(self) -> None:
        self._is_deferred = True
        (self._turns.defer if self._wire.is_open else self._turns.defer_change)(self._receive_kept)
        self._update_reading()

    def _receive_kept(self) -> None:
        kept, self._kept, self._is_deferred = self._kept, b"", False
        if not self._is_closing:
            self._receive(kept)

    def _receive(self, data: bytes | memoryview) -> None:
        begin = self._loop.time()
        spend = self._turns.spend if self._wire.is_open else self._turns.spend_on_change
        if self._tls is not None and data:
            data = self._tls.receive(data, self._plain)
        pieces = self._wire.receive(data, begin) if data or self._wire.has_backlog else []
        self._pending.extend(pieces)
        self._answer()
        spend(self._loop.time() - begin)
        self._deliver()

    def _deliver(self) -> None:
        """Hand over what the upper protocol takes, then look at what is behind it."""
        pending = self._pending
        while pending and not self._is_paused and not self._is_closing:
            self._hand_over(pending)
        if self._is_closing:
            return
        if pending:  # the buffers it is in are for the next socket
            rest = b"".join(pending)
            pending.clear()
            pending.append(rest)
        elif self._wire.has_backlog and not self._is_deferred:
            self._defer()
        elif self._is_over and not self._is_paused:
            self._end()
        self._update_reading()

    @property
    def _is_over(self) -> bool:
        """Whether nothing more comes."""
        wire, tls = self._wire, self._tls
        return wire.has_ended or wire.error is not None or (tls is not None and (tls.has_ended or tls.error is not None))

    def _hand_over(self, pending: deque[bytes | memoryview]) -> int:
        """How many bytes the upper protocol had room for."""
        buffer = memoryview(self._upper.get_buffer(-1))
        used, room = 0, len(buffer)
        while pending and used < room:
            piece = pending.popleft()
            size = len(piece)
            if size > room - used:
                pending.appendleft(memoryview(piece)[room - used :])
                piece, size = piece[: room - used], room - used
            buffer[used : used + size] = piece
            used += size
        self._upper.buffer_updated(used)
        return used

    def _end(self) -> None:
        """The peer has said goodbye, or broken the protocol."""
        error = self._wire.error or (None if self._tls is None else self._tls.error)
        if error is not None:
            self._fail(error)
            return
        self._upper.eof_received()
        self.close()

    def _fail(self, error: CortexError) -> None:
        """Close behind what the peer is told about it, or now, where it does not read; the upper protocol learns of it then."""
        assert self._io is not None  # something came from it
        self._error = error
        self._is_closing = True
        self._io.abort() if self._io.get_write_buffer_size() else self._io.close()

    def eof_received(self) -> bool:
        if not self._is_closing:
            if not self._wire.is_open:
                self._error = ConnectionClosed("the peer closed before a WebSocket was agreed on", by="remote")
            self._upper.eof_received()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_closing:  # hand over what had come before, as far as there is room for it
            self._is_paused = True
            self._receive_kept()
            while self._pending and not self._is_closing and self._hand_over(self._pending):
                pass
        self._is_closing = True
        self._pending.clear()
        self._upper.connection_lost(self._error or error)
        self._tls = None  # some 40 KiB, which would wait for a collection: connections are circles of references

    def pause_writing(self) -> None:
        self._is_full = True
        self._upper.pause_writing()

    def resume_writing(self) -> None:
        self._is_full = False
        self._answer()
        self._upper.resume_writing()

    # --- what every transport has

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand all further callbacks to `protocol`, a BufferedProtocol."""
        assert isinstance(protocol, asyncio.BufferedProtocol)
        self._upper = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The upper protocol."""
        return self._upper

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the socket's transport says: "peername", "sockname", "socket"."""
        return default if self._io is None else self._io.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Whether it is closed, or will be once what was written is sent."""
        return self._is_closing or self._io is None or self._io.is_closing()

    def is_reading(self) -> bool:
        """Whether the upper protocol wants to read."""
        return not self._is_closing and not self._is_paused

    def pause_reading(self) -> None:
        """Hand over nothing until `resume_reading`; the peer's writes fill the socket, then it has to wait."""
        self._is_paused = True
        self._update_reading()

    def resume_reading(self) -> None:
        """Hand over again what comes, from the next turn of the loop on."""
        if not self._is_paused or self._is_closing:
            return
        self._is_paused = False
        if self._pending or self._is_over:
            self._loop.call_soon(self._deliver)
        else:
            self._update_reading()

    def _update_reading(self) -> None:
        """Read from the socket while nothing that was read waits for anything."""
        if self._io is None or self._io.is_closing():
            return
        if self._is_paused or self._is_deferred or self._pending:
            if self._io.is_reading():
                self._io.pause_reading()
        elif not self._io.is_reading():
            self._io.resume_reading()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send one message. What is written after the end goes nowhere."""
        if not self._is_closing:
            self._wire.send(data)
            if self._wire.is_open:
                self._flush()

    def _answer(self) -> None:
        """Send what the protocols themselves have to say, unless the peer does not read: then only one pong waits."""
        if not self._is_full:
            self._flush()
        elif self._tls is not None and self._tls.pending > _UNSENT:
            self._fail(ProtocolViolation("the peer asks for new keys again and again, and does not read the answers"))

    def _flush(self) -> None:
        """Give the socket what there is to send."""
        if self._tls is None:
            self._write(self._wire.data_to_send())
            return
        if self._tls.is_open and self._wire.has_output:
            self._tls.send(self._wire.data_to_send())
        self._write(self._tls.data_to_send())

    def _write(self, data: bytes) -> None:
        if data and self._io is not None and not self._io.is_closing():
            self._io.write(data)

    def get_write_buffer_size(self) -> int:
        """Bytes that are not on their way yet."""
        return self._wire.early_size + (0 if self._io is None else self._io.get_write_buffer_size())

    def can_write_eof(self) -> bool:
        """Whether goodbye can be said while the peer still sends; what it sends is thrown away."""
        return self._wire.is_open

    def write_eof(self) -> None:
        """Say goodbye, and end our side of the socket. Raises OSError where the peer is gone."""
        self._say_goodbye()
        if self._io is not None and not self._io.is_closing():
            self._io.write_eof()

    def _say_goodbye(self) -> None:
        self._wire.close()
        self._flush()
        if self._tls is not None:
            self._tls.close()
            self._write(self._tls.data_to_send())

    def close(self) -> None:
        """Say goodbye, then close the socket behind what was written."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._io is not None:
            self._say_goodbye()
            self._io.close()

    def abort(self) -> None:
        """Close the socket now; what is not sent is lost."""
        self._is_closing = True
        if self._io is not None:
            self._io.abort()

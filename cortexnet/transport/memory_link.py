"""A link between two asyncio protocols of one process, with the manners of a TCP connection and conditions of your choice.

Its two ends are asyncio transports: what a connection does over a socket of a selector loop it does here, with the same
callbacks in the same order, but in whatever time, pieces and misfortune the link is told to have.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import final

from cortexnet.transport.memory_wire import LinkConditions, LinkDirection

_READ_SIZE = 65_536  # what one data_received carries at most; a BufferedProtocol brings its own buffer
_HIGH_WATER = 65_536  # asyncio's default


@final
class LinkTransport(asyncio.Transport):
    """One end of a link: asyncio's transport of a selector loop's socket, without the socket.

    Calls `connection_made`, then what arrives through `get_buffer` and `buffer_updated` (or `data_received` of a plain
    Protocol), `eof_received`, `pause_writing` and `resume_writing`, and `connection_lost` exactly once; never from within a
    call of the other end's. An exception out of one of these goes to the loop's exception handler, and closes the transport.
    Extra info: "peername" and "sockname", multiaddr texts such as "/memory/7".
    """

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        incoming: LinkDirection,
        outgoing: LinkDirection,
        on_gone: Callable[[], None],
        extra: dict[str, str],
    ) -> None:
        super().__init__(dict(extra))
        self.context = contextvars.copy_context()
        self.is_gone = False
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = incoming, outgoing
        self._on_gone = on_gone
        self._buffer: deque[memoryview] = deque()
        self._buffered = 0
        self._low_water, self._high_water = _HIGH_WATER // 4, _HIGH_WATER
        self._flush_handle: asyncio.Handle | None = None
        self._is_protocol_paused = False
        self._is_reading_paused = False
        self._is_closing = False
        self._is_lost = False
        self._eof_written = False
        self._eof_received = False
        self.set_protocol(protocol)
        outgoing.attach_writer(self)
        self._soon(protocol.connection_made, self)
        self._soon(incoming.attach_reader, self)

    # --- what every transport has

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand all further callbacks to `protocol`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol of this end."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether it is closed, or will be once the bytes that were written are on the link."""
        return self._is_closing

    def close(self) -> None:
        """Read no more, put on the link what was written, then close; bytes that nobody read make it a reset for the peer."""
        if self._is_closing:
            return
        self._is_closing = True
        if not self._buffer:
            self._is_lost = True
            self._soon(self._connection_lost, None)

    def abort(self) -> None:
        """Close at once; what is not on the link yet is lost."""
        self.force_close(None)

    def force_close(self, error: Exception | None) -> None:
        """Close at once, with `connection_lost(error)`."""
        if self._is_lost:
            return
        self._buffer.clear()
        self._buffered = 0
        self._is_closing = self._is_lost = True
        self._soon(self._connection_lost, error)

    # --- reading

    def is_reading(self) -> bool:
        """Whether it is neither paused nor closing."""
        return not self._is_closing and not self._is_reading_paused

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`; the peer's writes fill the link, then it has to wait."""
        if self.is_reading():
            self._is_reading_paused = True

    def resume_reading(self) -> None:
        """Deliver again what arrives, from the next turn of the loop on."""
        if self._is_reading_paused and not self._is_closing:
            self._is_reading_paused = False
            self._incoming.reader_changed()

    def bytes_arrived(self) -> None:
        """Called by the link: there is something to read."""
        protocol = self._protocol
        with _ClosedOnError(self):
            if isinstance(protocol, asyncio.BufferedProtocol):
                buffer = memoryview(protocol.get_buffer(-1))
                if not buffer:
                    raise RuntimeError("get_buffer() returned an empty buffer")
                protocol.buffer_updated(self._incoming.read_into(buffer))
            elif isinstance(protocol, asyncio.Protocol):
                chunk = memoryview(bytearray(_READ_SIZE))
                protocol.data_received(bytes(chunk[: self._incoming.read_into(chunk)]))

    def end_arrived(self) -> None:
        """Called by the link: the peer writes no more."""
        self._eof_received = True
        protocol = self._protocol
        keep_open: bool | None = False
        if isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol):
            with _ClosedOnError(self):
                keep_open = protocol.eof_received()
        if not keep_open:
            self.close()

    def reset_arrived(self, *, is_drained: bool) -> None:
        """Called by the link: the peer is gone. Noticed at once where it shows on a socket too: in a write or a read."""
        if self._buffer or (is_drained and self.is_reading() and not self._eof_received):
            self.force_close(self._reset_error())

    def refuse(self) -> None:
        """Called by the link: bytes came for this end after it was closed."""
        self._outgoing.send_reset()

    # --- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; what is not `bytes` is copied, so the caller may reuse its buffer. After the connection was lost: nothing.

        Raises TypeError for anything else, RuntimeError after `write_eof`.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data or self._is_lost:
            return
        if self._incoming.is_reset:
            self.force_close(self._reset_error())
            return
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        if not self._buffer:
            view = view[self._outgoing.send(view) :]
        if view:
            self._buffer.append(view)
            self._buffered += len(view)
            self._pause_protocol_if_full()

    def write_eof(self) -> None:
        """Close the write side behind all that was written; reading goes on."""
        if self._is_closing or self._eof_written:
            return
        self._eof_written = True
        if not self._buffer:
            self._outgoing.send_end()

    def can_write_eof(self) -> bool:
        """True."""
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes written that are not on the link yet; what is under way does not count, as with a socket."""
        return self._buffered

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low and the high water mark."""
        return self._low_water, self._high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Above `high` bytes the protocol is paused, at `low` resumed. Raises ValueError unless high >= low >= 0."""
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._low_water, self._high_water = low, high
        self._pause_protocol_if_full()

    def room_came(self) -> None:
        """Called by the link: it takes more bytes."""
        if self._buffer and self._flush_handle is None:
            self._flush_handle = self._soon(self._flush)

    def _flush(self) -> None:
        self._flush_handle = None
        if self._is_lost:
            return
        while self._buffer:
            view = self._buffer.popleft()
            sent = self._outgoing.send(view)
            self._buffered -= sent
            if sent < len(view):
                self._buffer.appendleft(view[sent:])
                break
        self._resume_protocol_if_low()
        if self._buffer or self._is_lost:  # resume_writing may have written, or closed
            return
        if self._is_closing:
            self._is_lost = True
            self._connection_lost(None)
        elif self._eof_written:
            self._outgoing.send_end()

    def _pause_protocol_if_full(self) -> None:
        if self._buffered > self._high_water and not self._is_protocol_paused:
            self._is_protocol_paused = True
            self._protocol.pause_writing()

    def _resume_protocol_if_low(self) -> None:
        if self._is_protocol_paused and self._buffered <= self._low_water:
            self._is_protocol_paused = False
            self._protocol.resume_writing()

    # --- the end

    def _soon(self, callback: Callable[..., object], *args: object) -> asyncio.Handle:
        return self._loop.call_soon(callback, *args, context=self.context)

    def _reset_error(self) -> OSError:
        if self._eof_received:
            return BrokenPipeError("the peer has closed the link")
        return ConnectionResetError("the peer has reset the link")

    def _connection_lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self.is_gone = True
            if self._incoming.has_unread():
                self._outgoing.send_reset()
            else:
                self._outgoing.send_end()
            self._incoming.reader_changed()
            self._on_gone()


@final
class _ClosedOnError:
    """Closes a transport when its protocol raises; the exception goes on, to the loop's handler."""

    def __init__(self, transport: LinkTransport) -> None:
        self._transport = transport

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception):
            self._transport.force_close(error)


@final
class MemoryLink:
    """Two directions and the transports at their ends. Tests take it from `MemoryNetwork.links` and make it suffer.

    `forward` goes from the dialer to the listener; `dialer` and `listener` are names, or addresses where an end has none.
    """

    def __init__(
        self, dialer: str, listener: str, conditions: LinkConditions, random: Random, on_end: Callable[[], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.dialer, self.listener = dialer, listener
        self.is_over = False
        self.forward = LinkDirection(conditions, Random(random.getrandbits(64)), loop)
        self.backward = LinkDirection(conditions, Random(random.getrandbits(64)), loop)
        self._on_end = on_end
        self._ends: list[LinkTransport] = []
        self._is_dialer_gone = self._is_listener_gone = False

    def cut(self, error: Exception | None = None) -> None:
        """Break the link: both ends get `connection_lost(error)` (ConnectionResetError), and what was under way is lost."""
        error = error or ConnectionResetError("the link was cut")
        for end in self._ends:
            end.force_close(error)
        self._finish(error)

    def silence(self) -> None:
        """Silence both directions."""
        self.forward.silence()
        self.backward.silence()

    def heal(self) -> None:
        """End the silence of both directions."""
        self.forward.heal()
        self.backward.heal()

    def open_dialer(self, protocol: asyncio.BaseProtocol, extra: dict[str, str]) -> LinkTransport:
        """The transport of the dialing end."""
        transport = LinkTransport(protocol, self.backward, self.forward, self._dialer_gone, extra)
        self._ends.append(transport)
        return transport

    def open_listener(self, protocol: asyncio.BaseProtocol, extra: dict[str, str]) -> LinkTransport:
        """The transport of the listening end."""
        transport = LinkTransport(protocol, self.forward, self.backward, self._listener_gone, extra)
        self._ends.append(transport)
        return transport

    def abandon_dial(self) -> None:
        """The dialer gave up before it had its transport: an end that was accepted already gets a reset."""
        if self._ends:
            self.forward.send_reset()
            self.backward.close()
            self._dialer_gone()
        else:
            self._finish(ConnectionResetError("the dial was given up"))

    def abandon_accept(self) -> None:
        """The listener failed to make its protocol: the dialer gets a reset."""
        self.backward.send_reset()
        self.forward.close()
        self._listener_gone()

    def _dialer_gone(self) -> None:
        self._is_dialer_gone = True
        self._end_if_both_gone()

    def _listener_gone(self) -> None:
        self._is_listener_gone = True
        self._end_if_both_gone()

    def _end_if_both_gone(self) -> None:
        if self._is_dialer_gone and self._is_listener_gone:
            self._finish(None)

    def _finish(self, error: Exception | None) -> None:
        self.is_over = True
        self.forward.close(error)
        self.backward.close(error)
        self._on_end()

"""A UDP socket that is read and written in batches. A shell.

Where the system can (Linux), one call takes or gives up to 64 datagrams of one connection: segmentation offload. A loop that
can't watch sockets (the proactor of Windows) gets asyncio's own datagram transport instead.
"""

import asyncio
import errno
import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, Protocol, cast, final

from cortexnet.transport.read_turns import turns_of

Address = tuple[str, int] | tuple[str, int, int, int]
Datagram = tuple[bytes, Address]
"""What came, and where from; or what goes, and where to."""

DATAGRAMS_AT_ONCE = 64
"""How many a turn of the loop takes out of the system's buffer; those that one call brings together may be a few more."""
_SYSTEM_BUFFER = 2 * 1024 * 1024  # bytes asked of the system each way; it gives what it allows
_MAX_DATAGRAM = 65_535
_QUEUE_LIMIT = 256  # datagrams that wait for the system; more are dropped, as it would
_SEGMENTS = 64  # of one call; what Linux takes
_SEGMENTED_BYTES = 65_000
_UDP_SEGMENT, _UDP_GRO = 103, 104  # of Linux; Python has no names for them
_UDP = socket.IPPROTO_UDP
_CONTROL_SIZE = 64
_ERROR_SIZE = 512  # of what the system says of one datagram
_IP_RECVERR, _IPV6_RECVERR, _MSG_ERRQUEUE = 11, 25, 0x2000  # of Linux


class UdpSocket(Protocol):
    """A bound socket. `received` is called with what came, `has_room` once `is_full` is over."""

    is_full: bool
    """Whether what is sent now waits, or is lost."""

    def send(self, datagrams: Sequence[Datagram]) -> OSError | None:
        """Send or queue them; the error that says why one of them can't ever get where it should."""

    def close(self) -> None:
        """Nothing comes or goes any more."""


class Events(Protocol):
    """Who is told of what happens to a socket; nothing of it must raise."""

    def received(self, datagrams: Sequence[Datagram]) -> None:
        """What came in a turn."""

    def has_room(self) -> None:
        """`is_full` is over."""

    def unreachable(self, address: Address, error: OSError) -> None:
        """A datagram did not get there; said by the network, so not to be believed without need. Only on Linux."""


async def open_udp(bound: socket.socket, events: Events) -> UdpSocket:
    """Take over a socket, which is closed where that fails."""
    bound.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        try:
            bound.setsockopt(socket.SOL_SOCKET, option, _SYSTEM_BUFFER)
        except OSError:  # some systems refuse more than they allow, others give what they can
            continue
    loop = asyncio.get_running_loop()
    watched = WatchedSocket(loop, bound, events)
    try:
        watched.start()
    except NotImplementedError:
        _, protocol = await loop.create_datagram_endpoint(lambda: LoopSocket(events), sock=bound)
        return protocol
    except BaseException:
        bound.close()
        raise
    return watched


@final
class WatchedSocket:
    """See `UdpSocket`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: socket.socket, events: Events) -> None:
        self.is_full = False
        self._loop = loop
        self._socket = bound
        self._events = events
        self._turns = turns_of(loop)
        self._queue: deque[Datagram] = deque()
        self._is_closed = False
        self._can_segment = self._gets_segments = self._tells_errors = False

    def start(self) -> None:
        """Begin to read. Raises NotImplementedError where the loop can't watch sockets."""
        bound = self._socket
        self._loop.add_reader(bound, self.readable)
        self._can_segment = _offers(bound, _UDP, _UDP_SEGMENT, 0)
        self._gets_segments = _offers(bound, _UDP, _UDP_GRO, 1)
        is_ipv6 = bound.family == socket.AF_INET6
        level, option = (socket.IPPROTO_IPV6, _IPV6_RECVERR) if is_ipv6 else (socket.IPPROTO_IP, _IP_RECVERR)
        self._tells_errors = _offers(bound, level, option, 1)

    # --- in ----------------------------------------------------------------------------------------------------------------

    def readable(self) -> None:
        """The system says that something came."""
        if self._turns.is_over:
            self._loop.remove_reader(self._socket)
            self._turns.defer(self._resume)
            return
        begin = self._loop.time()
        batch = self._receive_segments() if self._gets_segments else self._receive_plain()
        self._turns.spend(self._loop.time() - begin)
        if batch:
            self._events.received(batch)
        elif self._tells_errors:
            self._read_errors()

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._socket, self.readable)
            self.readable()

    def _receive_plain(self) -> list[Datagram]:
        receive, batch = self._socket.recvfrom, []
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                batch.append(receive(_MAX_DATAGRAM))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # the system tells of an earlier datagram that could not be delivered
                continue
        return batch

    def _receive_segments(self) -> list[Datagram]:
        receive = self._socket.recvmsg
        batch: list[Datagram] = []
        while len(batch) < DATAGRAMS_AT_ONCE:
            try:
                data, control, _, address = receive(_MAX_DATAGRAM, _CONTROL_SIZE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue
            size = _segment_size(control)
            if size and size < len(data):
                batch += [(data[start : start + size], address) for start in range(0, len(data), size)]
            else:
                batch.append((data, address))
        return batch

    def _read_errors(self) -> bool:
        """Whether the system had something to say of datagrams that were sent."""
        count = 0
        while not self._is_closed:
            try:
                _, control, _, address = self._socket.recvmsg(1, _ERROR_SIZE, _MSG_ERRQUEUE)
            except OSError:
                break
            count += 1
            number = int.from_bytes(control[0][2][:4], sys.byteorder) if control else errno.ECONNREFUSED
            self._events.unreachable(address, OSError(number, os.strerror(number)))
        return count > 0

    # --- out ---------------------------------------------------------------------------------------------------------------

    def send(self, datagrams: Sequence[Datagram]) -> OSError | None:
        if self._is_closed:
            return None
        if self._queue:
            self._queue.extend(islice(datagrams, max(_QUEUE_LIMIT - len(self._queue), 0)))
            return None
        failed: OSError | None = None
        start, count = 0, len(datagrams)
        while start < count:
            stop = self._run_end(datagrams, start) if self._can_segment else start + 1
            try:
                self._send_run(datagrams, start, stop)
            except (BlockingIOError, InterruptedError):
                self._wait(datagrams[start:])
                return failed
            except OSError as error:
                if stop - start > 1 and error.errno in (errno.EIO, errno.EINVAL, errno.EMSGSIZE):
                    self._can_segment = False  # an interface that can't; one by one then
                    continue
                if self._tells_errors and self._read_errors():  # it was said of an earlier one
                    continue
                failed = error
            start = stop
        return failed

    def _run_end(self, datagrams: Sequence[Datagram], start: int) -> int:
        """Where those end that can go in one call: to one address, all but the last of the same size."""
        first, address = datagrams[start]
        size = total = len(first)
        stop, last = start + 1, min(start + _SEGMENTS, len(datagrams))
        while stop < last:
            data, to = datagrams[stop]
            length = len(data)
            total += length
            if (to is not address and to != address) or length > size or total > _SEGMENTED_BYTES:
                break
            stop += 1
            if length < size:
                break
        return stop

    def _send_run(self, datagrams: Sequence[Datagram], start: int, stop: int) -> None:
        data, address = datagrams[start]
        if stop - start == 1:
            self._socket.sendto(data, address)
            return
        size = len(data).to_bytes(2, sys.byteorder)
        parts = [part for part, _ in datagrams[start:stop]]
        self._socket.sendmsg(parts, [(_UDP, _UDP_SEGMENT, size)], 0, address)

    def _wait(self, rest: Sequence[Datagram]) -> None:
        self._queue.extend(islice(rest, _QUEUE_LIMIT))
        self.is_full = True
        self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self.is_full = False
        waiting = list(self._queue)
        self._queue.clear()
        self.send(waiting)
        if not self.is_full:
            self._events.has_room()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._queue.clear()


def _offers(bound: socket.socket, level: int, option: int, value: int) -> bool:
    """Whether the system has an option of Linux; set to `value`."""
    if sys.platform != "linux":  # the numbers mean something else elsewhere
        return False
    try:
        bound.setsockopt(level, option, value)
    except OSError:
        return False
    return True


def _segment_size(control: Sequence[tuple[int, int, bytes]]) -> int:
    for level, kind, data in control:
        if level == _UDP and kind == _UDP_GRO:
            return int.from_bytes(data[:4], sys.byteorder)
    return 0


@final
class LoopSocket(asyncio.DatagramProtocol):
    """See `UdpSocket`: over asyncio's transport, one by one."""

    def __init__(self, events: Events) -> None:
        self.is_full = False
        self._events = events
        self._io: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._io = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._events.received([(data, addr)])

    def error_received(self, exc: Exception) -> None:
        """What could not be delivered is lost, as datagrams may be."""

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        self._events.has_room()

    def send(self, datagrams: Sequence[Datagram]) -> OSError | None:
        if self._io is not None and not self._io.is_closing():
            for data, address in datagrams:
                self._io.sendto(data, address)
        return None

    def close(self) -> None:
        if self._io is not None:
            self._io.close()

"""Handshakes as generators: they say what to send and how much to read, and never touch a socket.

A handshake yields `Send(data)` or `Read(size)`; a `Read` is answered with exactly that many bytes. It returns its result, or
raises a RemoteError, or ConnectionClosed where the peer says goodbye. `Driver` runs one over whatever chunks the bytes arrive in
and keeps what was not asked for.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from cortexnet.errors import ConnectionClosed, LocalError, MessageTooLarge, RemoteError

T = TypeVar("T")


@final
@dataclass(slots=True)
class Send:
    """Bytes that must go to the peer."""

    data: bytes


@final
@dataclass(slots=True)
class Read:
    """Wait for exactly `size` bytes from the peer."""

    size: int


Step = Send | Read
Handshake = Generator[Step, bytes, T]


@final
class Driver(Generic[T]):
    """Runs one handshake. After each call drain `data_to_send`; when `done`, look at `error`, then at `result`.

    `take(size)` gives exactly that many bytes of the peer's, or None where they have not all come. `buffer_limit` bounds what
    one `Read` may ask for.
    """

    def __init__(self, handshake: Handshake[T], take: Callable[[int], bytes | None], *, buffer_limit: int = 65_536) -> None:
        self._handshake = handshake
        self._take = take
        self._limit = buffer_limit
        self._out: list[bytes] = []
        self._wanted: int | None = None
        self._started = False
        self._result: list[T] = []
        self.done = False
        self.error: Exception | None = None

    @property
    def result(self) -> T:
        """What the handshake returned. Raises LocalError before it has."""
        if not self._result:
            raise LocalError("this handshake has no result (yet)")
        return self._result[0]

    @property
    def wanted(self) -> int:
        """How many bytes the handshake is waiting for; 0 before the start and after the end."""
        return self._wanted or 0

    def data_to_send(self) -> bytes:
        """Everything to be sent since the last call."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def advance(self) -> None:
        """Go on as far as the bytes at hand allow."""
        answer: bytes = b""
        if self._wanted is not None:
            taken = self._take(self._wanted)
            if taken is None:
                return
            answer, self._wanted = taken, None
        while not self.done:
            step = self._step(answer)
            answer = b""
            if isinstance(step, Send):
                self._out.append(step.data)
            elif isinstance(step, Read):
                if step.size > self._limit:
                    self._fail(MessageTooLarge("handshake message", step.size, self._limit))
                    return
                taken = self._take(step.size)
                if taken is None:
                    self._wanted = step.size
                    return
                answer = taken

    def close(self) -> None:
        """It is not gone on with: let go of the handshake, and of who brings the bytes."""
        self._handshake.close()
        self._take = _nothing

    def _step(self, answer: bytes) -> Step | None:
        try:
            if self._started:
                return self._handshake.send(answer)
            self._started = True
            return next(self._handshake)
        except StopIteration as stop:
            self._result.append(stop.value)
            self.done = True
        except (RemoteError, ConnectionClosed) as error:
            # The traceback leads back here and to all that the handshake held: a circle that only a collection would free.
            self.error = error.with_traceback(None)
            self.done = True
        return None

    def _fail(self, error: RemoteError) -> None:
        self._handshake.close()
        self.error = error
        self.done = True


def _nothing(size: int) -> bytes | None:
    return None


@final
class ByteQueue:
    """Bytes in arrival order, taken from the front in exact sizes; the `take` of a Driver on a connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0

    def __len__(self) -> int:
        return len(self._buffer) - self._position

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes at the end."""
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def take(self, size: int) -> bytes | None:
        """Exactly `size` bytes from the front, or None where there are fewer."""
        stop = self._position + size
        if stop > len(self._buffer):
            return None
        data = bytes(self._buffer[self._position : stop])
        self._position = stop
        return data

    def take_all(self) -> bytes:
        """All that is there."""
        data = bytes(self._buffer[self._position :])
        self._buffer.clear()
        self._position = 0
        return data

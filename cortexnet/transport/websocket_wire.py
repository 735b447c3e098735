"""A WebSocket as a stream of bytes: the HTTP handshake, then frames, then the end. A core.

Spec: RFC 6455; libp2p specs, websockets/.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from cortexnet.errors import ConnectionClosed, CortexError
from cortexnet.transport.websocket_frames import NO_CODE, NORMAL, VIOLATION, FrameReader, FrameWriter

if TYPE_CHECKING:
    from cortexnet.transport.websocket_http import ClientHandshake, ServerHandshake


@final
class WebSocketWire:
    """One end of a WebSocket. What is sent before the handshake is over waits for its end."""

    def __init__(
        self,
        handshake: "ClientHandshake | ServerHandshake",
        *,
        useless_frames: int,
        mask_key: Callable[[], bytes] | None = None,
    ) -> None:
        """`mask_key` is what makes it a client: four bytes nobody can foresee for each frame.

        `useless_frames`: pings, pongs and empty frames that a peer may send in 10 s.
        """
        self.error: CortexError | None = None
        """Why it can't go on; what there is to say about it is still in `data_to_send`."""
        self.is_open = False
        """The handshake is over."""
        self.is_closed = False
        """We have sent a close frame; nothing can be sent behind it."""
        self._handshake: ClientHandshake | ServerHandshake | None = handshake
        self._reader = FrameReader(is_server=mask_key is None, useless_frames=useless_frames)
        self._writer = FrameWriter(mask_key)
        request = handshake.start()
        self._out: list[bytes | bytearray | memoryview] = [request] if request else []
        self._early: list[bytes] = []

    @property
    def has_ended(self) -> bool:
        """The peer has closed it in good order; nothing comes any more."""
        return self._reader.close_code in (NORMAL, NO_CODE)

    @property
    def has_backlog(self) -> bool:
        """There was more than one call looks at: call `receive(b"")`."""
        return self._reader.has_backlog

    @property
    def early_size(self) -> int:
        """Bytes that wait for the end of the handshake."""
        return sum(len(data) for data in self._early)

    def receive(self, data: bytes | memoryview, now: float) -> list[bytes | memoryview]:
        """The payload in these bytes, in order; pieces may be views of `data`. Never raises: see `error`."""
        if self.error is not None:
            return []
        if self._handshake is not None:
            outcome = self._handshake.receive(data)
            if outcome is None:
                return []
            answer, data, self.error = outcome
            self._out.append(answer)
            if self.error is not None:
                return []
            self.is_open = True
            self._handshake = None  # some KiB
            for early in self._early:
                self.send(early)
            self._early.clear()
        pieces = self._reader.receive(data, now)
        if self._reader.is_over:
            self._end(self._reader)
        return pieces

    def _end(self, reader: FrameReader) -> None:
        if reader.error is not None:
            self.close(VIOLATION)
            self.error = reader.error
        elif not self.has_ended:
            self.close(NORMAL)
            self.error = ConnectionClosed(f"the peer closed the WebSocket with code {reader.close_code}", by="remote")

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Queue payload; nothing happens once it is closed. Before the handshake is over what is not `bytes` is copied."""
        if self.is_closed:
            return
        if self.is_open:
            self._out += self._writer.message(data)
        else:
            self._early.append(bytes(data))

    def close(self, code: int = NORMAL) -> None:
        """Say that nothing more comes. Before the handshake is over there is nobody to say it to."""
        if self.is_open and not self.is_closed:
            self.is_closed = True
            self._out.append(self._writer.close(code))

    @property
    def has_output(self) -> bool:
        """Whether there is something to send."""
        return bool(self._out) or self._reader.ping is not None

    def data_to_send(self) -> bytes:
        """Everything to be sent since the last call; of several pings the last is answered, which the specification allows."""
        if self._reader.ping is not None:
            if not self.is_closed:
                self._out.append(self._writer.pong(self._reader.ping))
            self._reader.ping = None
        data = b"".join(self._out)
        self._out.clear()
        return data

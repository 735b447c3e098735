"""WebSocket frames: the payload of messages as a stream of bytes, in and out. Two cores.

Messages mean nothing here: payload is given up as it comes, however long a message says it is, so none is ever collected. The
library that makes the HTTP handshake collects whole frames, and copies each byte four times; of it only the mask is used here.

Spec: RFC 6455, sections 5 and 7.4; libp2p specs, websockets/.
"""

from collections.abc import Callable
from typing import final

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # in C where it can be

from cortexnet.errors import ProtocolViolation
from cortexnet.mux.allowance import Allowance

FRAMES_AT_ONCE = 1_000
"""Frames that one call of `receive` looks at: some 2 ms of work."""
MESSAGE_SIZE = 262_144
"""Bytes of one message at most; Python's `websockets` refuses more than a mebibyte, other stacks more than that."""
NORMAL, NO_CODE, VIOLATION = 1000, 1005, 1002
_INTERVAL = 10.0  # seconds in which a peer has its allowance of frames that carry nothing
_CONTROL_LIMIT = 125
_CONT, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_FIN, _RESERVED, _OPCODE = 0x80, 0x70, 0x0F
_BEGINS, _CONTINUES = frozenset((0x01, 0x02, 0x81, 0x82)), frozenset((0x00, 0x80))  # first bytes of frames with payload
_TOO_MANY = "is one too many without payload"
_MASKED = 0x80


@final
class FrameReader:
    """Takes what came from the peer and gives the payload; a core.

    `is_server`: the peer is a client, and has to mask. Text is payload as well, as go-libp2p and rust-libp2p have it.
    """

    def __init__(self, *, is_server: bool, useless_frames: int) -> None:
        self.error: ProtocolViolation | None = None
        """What the peer did wrong; nothing is read after it."""
        self.close_code: int | None = None
        """The code of its close frame, 1005 for none; nothing is read after it."""
        self.ping: bytes | None = None
        """The last ping that is to be answered."""
        self.has_backlog = False
        """There was more than one call looks at: call `receive(b"")`."""
        self._is_server = is_server
        self._useless = Allowance(useless_frames, _INTERVAL)  # pings, pongs and empty frames in an interval
        self._rest = b""  # a head or a control frame that has not come whole
        self._left = 0  # bytes of the frame's payload yet to come
        self._mask = b""
        self._is_within = False  # a message whose last frame has not come

    @property
    def is_over(self) -> bool:
        """Whether nothing more is read."""
        return self.error is not None or self.close_code is not None

    def receive(self, data: bytes | memoryview, now: float) -> list[bytes | memoryview]:
        """The payload in these bytes, in order. Pieces may be views of `data`. Never raises: see `error`."""
        if self.is_over:
            return []
        view = memoryview(self._rest + bytes(data) if self._rest else data)
        self._rest = b""
        pieces: list[bytes | memoryview] = []
        position, size, frames = 0, len(view), 0
        while position < size:
            if self._left:
                piece = view[position : position + self._left]
                pieces.append(self._unmasked(piece) if self._is_server else piece)
                position += len(piece)
                self._left -= len(piece)
                continue
            frames += 1
            start = self._begin(view, position, now) if frames <= FRAMES_AT_ONCE else 0
            if not start:
                if not self.is_over:
                    self._rest = bytes(view[position:])
                break
            position = start
        self.has_backlog = frames > FRAMES_AT_ONCE
        return pieces

    def _unmasked(self, piece: bytes | memoryview) -> bytes:
        plain: bytes = apply_mask(piece, self._mask)
        turned = len(piece) % 4
        if turned:
            self._mask = self._mask[turned:] + self._mask[:turned]
        return plain

    def _begin(self, view: memoryview, position: int, now: float) -> int:
        """Take in the head of a frame, all of a control frame; where that ends, or 0: it has not come whole, or is the last."""
        if len(view) - position < 2:
            return 0
        first, second = view[position], view[position + 1]
        is_usual = first in (_CONTINUES if self._is_within else _BEGINS) and (second >= _MASKED) is self._is_server
        objection = "" if is_usual else self._objection(first, second)
        if objection:
            return self._fail(objection)
        length, start = second & 0x7F, position + 2
        if length > _CONTROL_LIMIT:
            start += 2 if length == 126 else 8
            if len(view) < start:
                return 0
            length = int.from_bytes(view[position + 2 : start], "big")
            if length >> 63:
                return self._fail("says it is longer than 2^63 bytes")
        if self._is_server:
            start += 4
        if len(view) < start + (length if first & _CLOSE else 0):
            return 0
        if self._is_server:
            self._mask = bytes(view[start - 4 : start])
        if first & _CLOSE:
            return start + length if self._control(first & _OPCODE, view[start : start + length], now) else 0
        if not length and not self._useless.spend(1, now):
            return self._fail(_TOO_MANY)
        self._is_within = not first & _FIN
        self._left = length
        return start

    def _objection(self, first: int, second: int) -> str:
        """What is wrong with the first two bytes of a frame that are not those of the usual one."""
        opcode = first & _OPCODE
        if first & _RESERVED:
            return "uses an extension that was not agreed on"
        if bool(second & _MASKED) is not self._is_server:
            return "is not masked, as a client's must be" if self._is_server else "is masked, as a server's must not be"
        if opcode in (_CLOSE, _PING, _PONG):
            is_short = second & 0x7F <= _CONTROL_LIMIT
            return "" if first & _FIN and is_short else "is a control frame, but long or not whole"
        if opcode not in (_CONT, _TEXT, _BINARY):
            return f"is of no known kind ({opcode})"
        return "begins a message within another" if self._is_within else "continues no message"

    def _control(self, opcode: int, payload: bytes | memoryview, now: float) -> bool:
        """Take in a control frame; whether others may follow."""
        payload = self._unmasked(payload) if self._is_server else bytes(payload)
        if opcode != _CLOSE:
            if not self._useless.spend(1, now):
                self._fail(_TOO_MANY)
            elif opcode == _PING:
                self.ping = payload
        elif len(payload) == 1:
            self._fail("closes with half a code")
        else:
            self.close_code = int.from_bytes(payload[:2], "big") if payload else NO_CODE
        return not self.is_over

    def _fail(self, objection: str) -> int:
        self.error = ProtocolViolation(f"a WebSocket frame {objection}")
        return 0


@final
class FrameWriter:
    """Makes frames; a core. A client has `mask_key`, which draws four bytes nobody can foresee for each."""

    def __init__(self, mask_key: Callable[[], bytes] | None) -> None:
        self._mask_key = mask_key

    def message(self, data: bytes | bytearray | memoryview) -> list[bytes | bytearray | memoryview]:
        """Binary messages with this payload: their heads and their payloads in turn. None for no bytes."""
        parts: list[bytes | bytearray | memoryview] = []
        if len(data) <= MESSAGE_SIZE:
            self._frame(parts, _BINARY, data)
            return parts if data else []
        view = memoryview(data)
        for start in range(0, len(view), MESSAGE_SIZE):
            self._frame(parts, _BINARY, view[start : start + MESSAGE_SIZE])
        return parts

    def pong(self, payload: bytes) -> bytes:
        """The answer to a ping."""
        return self._control(_PONG, payload)

    def close(self, code: int) -> bytes:
        """The last frame of a side."""
        return self._control(_CLOSE, code.to_bytes(2, "big"))

    def _control(self, opcode: int, payload: bytes) -> bytes:
        parts: list[bytes | bytearray | memoryview] = []
        self._frame(parts, opcode, payload)
        return b"".join(parts)

    def _frame(self, parts: list[bytes | bytearray | memoryview], opcode: int, data: bytes | bytearray | memoryview) -> None:
        length, masked = len(data), 0 if self._mask_key is None else _MASKED
        if length <= _CONTROL_LIMIT:
            head = bytes((_FIN | opcode, masked | length))
        elif length < 65_536:
            head = bytes((_FIN | opcode, masked | 126)) + length.to_bytes(2, "big")
        else:
            head = bytes((_FIN | opcode, masked | 127)) + length.to_bytes(8, "big")
        if self._mask_key is None:
            parts += (head, data)
        else:
            key = self._mask_key()
            parts += (head + key, apply_mask(data, key))

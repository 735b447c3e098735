"""The bytes of one stream that arrived and were not read yet: their only owner."""

from collections import deque
from typing import final

from cortexnet.errors import MessageTooLarge
from cortexnet.multiformats import varint

PIECE_OVERHEAD = 64
"""Charged for each piece besides its bytes: about what CPython needs for the object and its place in the queue."""
SMALL_PIECE = 1024
"""Pieces below this are merged: 256 KiB that arrive in 2-byte frames would be 5.4 MiB of small objects."""
_MERGE_LIMIT = 16_384
_LARGE_PIECE = 16_384


@final
class Inbox:
    """A queue of bytes: whole pieces go in and come out without a copy, small ones are merged."""

    __slots__ = ("_pieces", "position", "size")

    def __init__(self) -> None:
        self._pieces: deque[bytes | bytearray] = deque()
        self.position = 0
        """How much of the first piece was read."""
        self.size = 0
        """Bytes that are there."""

    @property
    def charge(self) -> int:
        """What the content costs in memory, in bytes: a piece that was read in part is held whole."""
        return self.size + self.position + PIECE_OVERHEAD * len(self._pieces)

    def append(self, piece: bytes) -> None:
        """Put a piece, not empty, at the end."""
        self.size += len(piece)
        pieces = self._pieces
        if pieces and len(piece) < SMALL_PIECE:
            tail = pieces[-1]
            if len(tail) < _MERGE_LIMIT:
                if type(tail) is bytearray:
                    tail += piece
                    return
                if len(tail) < SMALL_PIECE:
                    pieces[-1] = bytearray(tail) + piece
                    return
        pieces.append(piece)

    def take(self, max_bytes: int) -> bytes:
        """Up to `max_bytes` bytes, b"" where nothing is there. A large piece comes alone: joining costs more than a call."""
        pieces = self._pieces
        if not pieces:
            return b""
        head, position = pieces[0], self.position
        available = len(head) - position
        if available > max_bytes:
            self.position = position + max_bytes
            self.size -= max_bytes
            return bytes(memoryview(head)[position : self.position])
        if available < _LARGE_PIECE and len(pieces) > 1 and available + len(pieces[1]) <= max_bytes:
            return self._take_several(max_bytes)
        pieces.popleft()
        self.position = 0
        self.size -= available
        if type(head) is bytes:
            return head[position:] if position else head
        return bytes(memoryview(head)[position:])

    def _take_several(self, max_bytes: int) -> bytes:
        pieces = self._pieces
        taken: list[bytes | bytearray | memoryview] = [memoryview(pieces.popleft())[self.position :]]
        room = max_bytes - len(taken[0])
        while pieces and len(pieces[0]) <= room:
            piece = pieces.popleft()
            taken.append(piece)
            room -= len(piece)
        self.position = 0
        self.size -= max_bytes - room
        return b"".join(taken)

    def take_exactly(self, size: int) -> bytes | None:
        """`size` bytes, or None where fewer are there."""
        if size > self.size:
            return None
        if size == 0:
            return b""
        head = self._pieces[0]
        stop = self.position + size
        if stop < len(head):
            data = bytes(memoryview(head)[self.position : stop])
            self.position = stop
            self.size -= size
            return data
        data = self.take(size)
        if len(data) == size:
            return data
        parts = [data]
        missing = size - len(data)
        while missing:
            parts.append(self.take(missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def take_message(self, size_limit: int) -> bytes | None:
        """One varint-length-prefixed message, or None where it is not whole yet.

        Raises MessageTooLarge, ProtocolViolation for a prefix that is not one; nothing is taken then.
        """
        if not self._pieces:
            return None
        head, position = self._pieces[0], self.position
        size = head[position]
        if size < 0x80:  # the prefix of a short message is one byte, and mostly its body stands behind it in the same piece
            start = position + 1
            stop = start + size
            if stop < len(head) and size <= size_limit:
                self.position = stop
                self.size -= size + 1
                return head[start:stop] if type(head) is bytes else bytes(memoryview(head)[start:stop])
        prefix = self._prefix(size_limit)
        if prefix is None or prefix[0] + prefix[1] > self.size:
            return None
        self.take_exactly(prefix[1])
        return self.take_exactly(prefix[0])

    def message_wanted(self) -> int:
        """How many bytes the message in front has, its prefix included; 0 where the prefix is not whole."""
        prefix = self._prefix(varint.MAX_VALUE)
        return sum(prefix) if prefix else 0

    def _prefix(self, size_limit: int) -> tuple[int, int] | None:
        """Size of the message in front and of its prefix."""
        front = self._peek(varint.MAX_BYTES)
        decoded = varint.decode_partial(front)
        if decoded is None:
            return None
        if decoded[0] > size_limit:
            raise MessageTooLarge("message", decoded[0], size_limit)
        return decoded

    def _peek(self, size: int) -> bytes:
        front = b""
        position = self.position
        for piece in self._pieces:
            front += piece[position : position + size - len(front)]
            if len(front) == size:
                break
            position = 0
        return front

    def clear(self) -> None:
        """Drop everything."""
        self._pieces.clear()
        self.position = 0
        self.size = 0

"""Cuts what a gossip stream brings into the RPCs it is made of: each has its length, a varint, in front.

Spec: libp2p/specs pubsub, "The RPC".
"""

from typing import final

from cortexnet.errors import MessageTooLarge, ProtocolViolation, RemoteError
from cortexnet.multiformats import varint


@final
class Frames:
    """The frames of one stream. Any cut of the same bytes gives the same frames, and then the same fault.

    After `fault` nothing more is taken in. Frames without content are left out: peers may send them, and they say nothing.
    """

    __slots__ = ("_limit", "_rest", "fault", "missing")

    def __init__(self, size_limit: int) -> None:
        """A frame may have `size_limit` bytes; one that announces more is refused before a byte of it is kept."""
        self._limit = size_limit
        self._rest = bytearray()
        self.missing = 0
        """Bytes that the last, unfinished frame still lacks, where its length is known; 0 where nothing is unfinished."""
        self.fault: RemoteError | None = None
        """What is wrong with the bytes behind the frames that were handed out."""

    def take(self, data: bytes) -> list[bytes]:
        """The frames that are complete with `data`."""
        if self.fault is not None:
            return []
        if len(data) < self.missing:  # a long frame comes in pieces: nothing to look at before it is whole
            self._rest += data
            self.missing -= len(data)
            return []
        if self._rest:
            data = bytes(self._rest + data)
            self._rest.clear()
        frames: list[bytes] = []
        position, end = 0, len(data)
        self.missing = 0
        while position < end:
            size = data[position]
            start = position + 1
            if size > 0x7F:
                try:
                    length = varint.decode_partial(data, position)
                except ProtocolViolation as fault:
                    self.fault = fault
                    return frames
                if length is None:
                    break
                size, start = length
            if size > self._limit:
                self.fault = MessageTooLarge("gossip RPC", size, self._limit)
                return frames
            if start + size > end:
                self.missing = start + size - end
                break
            if size:
                frames.append(data[start : start + size])
            position = start + size
        self._rest += data[position:]
        return frames

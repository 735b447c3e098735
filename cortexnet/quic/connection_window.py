"""The window of all streams of a QUIC connection together: what the peer may send before any of it is read. A core."""

from typing import Protocol, final


class Limit(Protocol):
    """aioquic's: the peer is told of its `value`."""

    value: int


class Prepaid(Protocol):
    """What is needed of a stream."""

    prepaid: int
    """Bytes that were given back before they came."""


@final
class ConnectionWindow:
    """Bytes are given back as they are read or dropped, an eighth of the window at a time.

    What a reader was granted over its stream's window is given back at once: all that is held may belong to readers who wait for
    more, and would have to be read first.
    """

    def __init__(self, window: int, limit: Limit) -> None:
        self._window = window
        self._limit = limit
        self._returned = 0

    def consume(self, stream: Prepaid, size: int) -> bool:
        """Bytes of the stream were read or dropped; whether the peer is to be told of more."""
        prepaid = min(size, stream.prepaid)
        stream.prepaid -= prepaid
        return self._give_back(size - prepaid)

    def prepay(self, stream: Prepaid, size: int) -> None:
        """So much more was granted to the stream, which the peer is told in any case."""
        stream.prepaid += size
        self._give_back(size)

    def forget(self, stream: Prepaid) -> None:
        """The stream is over: what was granted and never came is owed again."""
        self._returned -= stream.prepaid
        stream.prepaid = 0

    def _give_back(self, size: int) -> bool:
        self._returned += size
        limit = self._limit
        if self._returned + self._window - limit.value < self._window // 8:
            return False
        limit.value = self._returned + self._window
        return True

"""The reading verbs that muxers have in common which keep what comes of each stream in an `Inbox`."""

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from cortexnet.errors import LocalError
from cortexnet.mux.inbox import Inbox


class Readable(Protocol):
    """What is needed of a stream."""

    inbox: Inbox
    finished: bool


S = TypeVar("S", bound=Readable)


class Reading(ABC, Generic[S]):
    """See `mux.muxer.Muxer` for the contract of each verb. A base for such muxers, not a seam."""

    _streams: dict[int, S]

    @abstractmethod
    def _was_read(self, stream: S) -> None:
        """Bytes were taken out: give back their memory, grant credit, forget the stream if it is over."""

    def _stream(self, stream_id: int) -> S:
        stream = self._streams.get(stream_id)
        if stream is None:
            raise LocalError(f"stream {stream_id} does not exist (any more)")
        return stream

    def knows(self, stream_id: int) -> bool:
        return stream_id in self._streams

    def read(self, stream_id: int, max_bytes: int) -> bytes | None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return None
        data = stream.inbox.take(max_bytes)
        if data:
            self._was_read(stream)
            return data
        return b"" if stream.finished else None

    def read_exactly(self, stream_id: int, size: int) -> bytes | None:
        stream = self._stream(stream_id)
        data = stream.inbox.take_exactly(size)
        if data:
            self._was_read(stream)
        return data

    def read_message(self, stream_id: int, size_limit: int) -> bytes | None:
        stream = self._stream(stream_id)
        data = stream.inbox.take_message(size_limit)
        if data is not None:
            self._was_read(stream)
        return data

    def message_wanted(self, stream_id: int) -> int:
        return self._stream(stream_id).inbox.message_wanted()

    def readable_bytes(self, stream_id: int) -> int:
        return self._stream(stream_id).inbox.size

    def is_finished(self, stream_id: int) -> bool:
        stream = self._streams.get(stream_id)
        return stream is None or stream.finished

"""The streams of a yamux session, and how many there are of each kind."""

from collections.abc import Callable, Iterable
from typing import final

from cortexnet.errors import ConnectionClosed, LimitExceeded, ProtocolViolation
from cortexnet.mux.outbox import OutboxPool
from cortexnet.mux.window import ReceiveWindow
from cortexnet.mux.yamux_config import YamuxConfig
from cortexnet.mux.yamux_frames import MAX_CREDIT
from cortexnet.mux.yamux_stream import YamuxStream


@final
class StreamTable:
    """Makes, counts and forgets streams; a core. The side that dialed has the odd ids, the other one the even ones."""

    def __init__(self, config: YamuxConfig, pool: OutboxPool, *, initiator: bool) -> None:
        self.by_id: dict[int, YamuxStream] = {}
        self.inbound = 0
        self.outbound = 0
        self.unacknowledged = 0
        """Streams of ours that the peer has not acknowledged."""
        self._config = config
        self._pool = pool
        self._next_id = 1 if initiator else 2

    def can_open(self) -> bool:
        """Whether the peer's backlog and our own limit leave room for another stream of ours."""
        return self.unacknowledged < self._config.ack_backlog and self.outbound < self._config.max_outbound_streams

    def lacks_place(self) -> bool:
        """Whether nothing but our own limit is in the way of another stream of ours."""
        return self.unacknowledged < self._config.ack_backlog and self.outbound >= self._config.max_outbound_streams

    def can_replace(self, lingering: Callable[[], Iterable[int]]) -> bool:
        """Whether one could be opened in place of one of ours that only lingers."""
        return self.lacks_place() and any(self.by_id[stream_id].ours for stream_id in lingering())

    def open(self, now: float) -> YamuxStream:
        """A new stream of ours. Raises LimitExceeded where `can_open` is False, ConnectionClosed once all ids were used."""
        if self._next_id > MAX_CREDIT:
            raise ConnectionClosed("this connection has used up its stream ids", by="local")
        self._check_limit("streams not acknowledged", self.unacknowledged, self._config.ack_backlog, "yamux.ack_backlog")
        limit = self._config.max_outbound_streams
        self._check_limit("streams opened by us", self.outbound, limit, "yamux.max_outbound_streams")
        self.outbound += 1
        self.unacknowledged += 1
        self._next_id += 2
        return self._add(self._next_id - 2, now, ours=True)

    def _check_limit(self, scope: str, value: int, limit: int, setting: str) -> None:
        if value >= limit:
            raise LimitExceeded(scope, limit=limit, value=value, setting=setting)

    def check_opening(self, stream_id: int) -> None:
        """The peer opens a stream. Raises ProtocolViolation where it must not use that id."""
        if (stream_id - self._next_id) % 2 == 0:
            raise ProtocolViolation(f"stream {stream_id} opened with an id of the wrong side")
        if stream_id in self.by_id:
            raise ProtocolViolation(f"stream {stream_id} opened twice")

    def is_full(self) -> bool:
        """Whether the peer has as many streams as it may."""
        return self.inbound >= self._config.max_inbound_streams

    def accept(self, stream_id: int, now: float) -> YamuxStream:
        """A new stream of the peer's."""
        self.inbound += 1
        return self._add(stream_id, now, ours=False)

    def _add(self, stream_id: int, now: float, *, ours: bool) -> YamuxStream:
        stream = YamuxStream(stream_id, ReceiveWindow(self._config.max_window, now), self._pool, ours=ours)
        self.by_id[stream_id] = stream
        return stream

    def acknowledge(self, stream: YamuxStream | None) -> bool:
        """Whether it was a stream of ours that had not been acknowledged before."""
        if stream is None or not stream.ack_wanted:
            return False
        stream.ack_wanted = False
        self.unacknowledged -= 1
        return True

    def remove(self, stream: YamuxStream) -> None:
        """The stream is over."""
        del self.by_id[stream.id]
        if stream.ours:
            self.outbound -= 1
            self.unacknowledged -= stream.ack_wanted
        else:
            self.inbound -= 1

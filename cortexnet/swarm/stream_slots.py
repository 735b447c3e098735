"""How many streams are open: of one connection, and of the node. A stream counts until its handler has ended.

An inbound stream starts without a protocol and is counted by its protocol's kind once that is known, so that neither slow
negotiations nor one greedy protocol keep the others out.
"""

from typing import final

from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.swarm.limits import CONTROL_PROTOCOLS, Limits

# Kinds of streams, as indices of their counters.
_NEGOTIATING, _ORDINARY, _EXTENDED, _CONTROL, _OUTBOUND, _RELEASED = range(6)


@final
class NodeStreams:
    """The streams of all connections."""

    __slots__ = ("counts", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counts = [0] * 5

    @property
    def negotiating(self) -> int:
        """Inbound streams without a protocol."""
        return self.counts[_NEGOTIATING]

    @property
    def inbound(self) -> int:
        """All inbound streams."""
        return sum(self.counts) - self.counts[_OUTBOUND]

    @property
    def outbound(self) -> int:
        """All outbound streams."""
        return self.counts[_OUTBOUND]


@final
class ConnectionStreams:
    """The streams of one connection."""

    __slots__ = ("_bounds", "_counts", "_node")

    def __init__(self, node: NodeStreams) -> None:
        limits = node.limits
        self._node = node
        self._counts = [0] * 5
        self._bounds = (
            (limits.streams_negotiating_per_connection, "streams_negotiating_per_connection", "streams that negotiate"),
            (limits.streams_inbound_per_connection, "streams_inbound_per_connection", "inbound streams of the connection"),
            (limits.streams_inbound_extended, "streams_inbound_extended", "inbound streams of extended protocols"),
            (limits.streams_inbound_control, "streams_inbound_control", "inbound streams of identify and ping"),
            (limits.streams_outbound_per_connection, "streams_outbound_per_connection", "outbound streams of the connection"),
        )

    @property
    def open_count(self) -> int:
        """All of them, those included whose handler has not ended yet."""
        return sum(self._counts)

    def open_inbound(self) -> "StreamReservation":
        """Count a stream the peer opened; it negotiates. Raises LimitExceeded."""
        limit, value = self._node.limits.streams_inbound, self._node.inbound
        if value >= limit:
            raise LimitExceeded("inbound streams", limit=limit, value=value + 1, setting="limits.streams_inbound")
        return self._reserve(_NEGOTIATING)

    def open_outbound(self) -> "StreamReservation":
        """Count a stream of ours. Raises LimitExceeded; see `can_open_outbound`."""
        return self._reserve(_OUTBOUND)

    def can_open_outbound(self) -> bool:
        """Whether `open_outbound` would succeed; else wait until one is released."""
        return self._counts[_OUTBOUND] < self._bounds[_OUTBOUND][0]

    def check(self, kind: int) -> None:
        """Raises LimitExceeded where there is no room for one more of a kind."""
        limit, setting, scope = self._bounds[kind]
        value = self._counts[kind]
        if value >= limit:
            raise LimitExceeded(scope, limit=limit, value=value + 1, setting=f"limits.{setting}")

    def count(self, kind: int, difference: int) -> None:
        """Change a counter of the connection and the node's."""
        self._counts[kind] += difference
        self._node.counts[kind] += difference

    def _reserve(self, kind: int) -> "StreamReservation":
        self.check(kind)
        self.count(kind, 1)
        return StreamReservation(self, kind)


@final
class StreamReservation:
    """The place of one stream; a context manager. `release` gives it back and may be called again."""

    __slots__ = ("_kind", "_streams")

    def __init__(self, streams: ConnectionStreams, kind: int) -> None:
        self._streams = streams
        self._kind = kind

    def negotiated(self, protocol: str, *, extended: bool = False) -> None:
        """The inbound stream's protocol is known; `extended` where its handler wants the larger limit.

        Raises LimitExceeded: the stream still counts as one that negotiates, until it is released.
        """
        if self._kind != _NEGOTIATING:
            raise LocalError("only an inbound stream without a protocol can get one")
        kind = _CONTROL if protocol in CONTROL_PROTOCOLS else _EXTENDED if extended else _ORDINARY
        self._streams.check(kind)
        self._streams.count(_NEGOTIATING, -1)
        self._streams.count(kind, 1)
        self._kind = kind

    def release(self) -> None:
        """Give the place back."""
        if self._kind != _RELEASED:
            self._streams.count(self._kind, -1)
            self._kind = _RELEASED

    def __enter__(self) -> "StreamReservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

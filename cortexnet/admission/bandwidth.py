"""How many bytes connections move, and how long they wait to stay within what a node and a peer may. A core; time is handed in.

Bytes are counted when they have come or gone, so a bucket can be in debt: whoever adds to that waits until it is paid. Nothing is
dropped; who is not read from, or not written to, is held up as by a slow network.
"""

from collections.abc import Iterable
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.identity.peer_id import PeerId

BURST = 0.1
"""Seconds at the full rate that may pass at once after a pause."""
NO_REST = 0.001
"""Seconds that nobody needs to stop for: debt is not forgotten."""
_LEAST_BURST = 65_536  # bytes; a record's worth, or slow caps would wait after every one


@final
class ByteBucket:
    """`rate` bytes a second, in the long run exactly; any monotonic clock will do."""

    __slots__ = ("_burst", "_left", "_updated", "rate")

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._burst = max(rate * BURST, _LEAST_BURST)
        self._left = self._burst
        self._updated = float("-inf")

    def spend(self, size: int, now: float) -> float:
        """Count `size` bytes; how many seconds to wait before there are more."""
        if now > self._updated:
            self._left = min(self._burst, self._left + (now - self._updated) * self.rate)
            self._updated = now
        self._left -= size
        return 0.0 if self._left >= 0 else -self._left / self.rate


@final
class Traffic:
    """What one connection has moved. Where nothing is capped it is counted by its link alone, with an addition a chunk."""

    __slots__ = ("_in", "_out", "is_limited", "received", "sent")

    def __init__(self, inbound: Iterable[ByteBucket] = (), outbound: Iterable[ByteBucket] = ()) -> None:
        self.received = 0
        """Bytes from the socket, the handshakes' left out."""
        self.sent = 0
        """Bytes to the socket, the handshakes' left out."""
        self._in = tuple(inbound)
        self._out = tuple(outbound)
        self.is_limited = bool(self._in or self._out)
        """Whether `wait_to_read` and `wait_to_write` are to be asked after each chunk."""

    def wait_to_read(self, size: int, now: float) -> float:
        """A chunk of `size` bytes has come; how many seconds to read no more."""
        return max((bucket.spend(size, now) for bucket in self._in), default=0.0)

    def wait_to_write(self, size: int, now: float) -> float:
        """`size` bytes were written; how many seconds to write no more."""
        return max((bucket.spend(size, now) for bucket in self._out), default=0.0)


@final
class _PeerBuckets:
    __slots__ = ("connections", "inbound", "outbound")

    def __init__(self, inbound: list[ByteBucket], outbound: list[ByteBucket]) -> None:
        self.connections = 0
        self.inbound = inbound
        self.outbound = outbound


@final
class Bandwidth:
    """The caps of a node: its own, and one for each peer over all of its connections."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._in = _buckets(limits.bandwidth_in)
        self._out = _buckets(limits.bandwidth_out)
        self._peers: dict[PeerId, _PeerBuckets] = {}
        self._caps_peers = limits.bandwidth_in_per_peer is not None or limits.bandwidth_out_per_peer is not None

    def __len__(self) -> int:
        """How many peers have caps of their own at present."""
        return len(self._peers)

    def open(self, peer: PeerId) -> Traffic:
        """That of a new connection; to be given to `close`."""
        if not self._caps_peers:
            return Traffic(self._in, self._out)
        buckets = self._peers.get(peer)
        if buckets is None:
            limits = self._limits
            buckets = _PeerBuckets(_buckets(limits.bandwidth_in_per_peer), _buckets(limits.bandwidth_out_per_peer))
            self._peers[peer] = buckets
        buckets.connections += 1
        return Traffic([*self._in, *buckets.inbound], [*self._out, *buckets.outbound])

    def close(self, peer: PeerId) -> None:
        """A connection of this peer is gone."""
        buckets = self._peers.get(peer)
        if buckets is not None:
            buckets.connections -= 1
            if not buckets.connections:
                del self._peers[peer]


def _buckets(rate: int | None) -> list[ByteBucket]:
    return [] if rate is None else [ByteBucket(rate)]

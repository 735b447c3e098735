"""How many streams are open: of one connection, peer and protocol, and of the node. A stream counts until its handler has ended.

An inbound stream starts without a protocol and is counted by its protocol's kind once that is known, so that neither slow
negotiations nor one greedy protocol keep the others out.

What all peers share, none takes up alone: who holds some may take more only while it holds less than `_SHARE` times what is
left. So places remain for others however many are greedy: of 2,048, eight leave 62.
"""

from typing import final

from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId
from cortexnet.swarm.limits import CONTROL_PROTOCOLS, Limits

# Kinds of streams, as indices of their counters.
_SHARE = 4
_NEGOTIATING, _ORDINARY, _EXTENDED, _CONTROL, _OUTBOUND, _RELEASED = range(6)


@final
class NodeStreams:
    """The streams of all connections."""

    __slots__ = ("by_protocol", "counts", "limits", "peers")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counts = [0] * 5
        self.by_protocol: dict[str, int] = {}
        """Inbound ones whose protocol is settled, but for those of identify and ping."""
        self.peers: dict[PeerId, PeerStreams] = {}

    def forget_idle(self, peer: "PeerStreams") -> None:
        """Forget a peer that has neither a connection nor a stream."""
        if peer.connections <= 0 and not peer.inbound and peer.peer is not None and self.peers.get(peer.peer) is peer:
            del self.peers[peer.peer]

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
class PeerStreams:
    """The inbound streams of one peer, over all of its connections."""

    __slots__ = ("by_protocol", "connections", "inbound", "peer")

    def __init__(self, peer: PeerId | None) -> None:
        self.peer = peer
        self.connections = 0
        self.inbound = 0
        self.by_protocol: dict[str, int] = {}


@final
class ConnectionStreams:
    """The streams of one connection."""

    __slots__ = ("_bounds", "_counts", "_node", "_peer")

    def __init__(self, node: NodeStreams) -> None:
        limits = node.limits
        self._node = node
        self._peer = PeerStreams(None)  # before it is known there are no streams
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

    def belong_to(self, peer: PeerId) -> None:
        """The connection is this peer's, until `leave`."""
        self._peer = self._node.peers.setdefault(peer, PeerStreams(peer))
        self._peer.connections += 1

    def leave(self) -> None:
        """The connection is gone; streams whose handlers go on still count as the peer's."""
        self._peer.connections -= 1
        self._node.forget_idle(self._peer)

    def open_inbound(self) -> "StreamReservation":
        """Count a stream the peer opened; it negotiates. Raises LimitExceeded."""
        node, peer = self._node, self._peer
        limits, own, total = node.limits, peer.inbound, node.inbound
        if own >= _SHARE * (limits.streams_inbound - total):
            raise _too_many("inbound streams", limits.streams_inbound, total, own, "streams_inbound")
        own, total = self._counts[_NEGOTIATING], node.counts[_NEGOTIATING]
        if own >= _SHARE * (limits.streams_negotiating - total):
            raise _too_many("streams that negotiate", limits.streams_negotiating, total, own, "streams_negotiating")
        if peer.inbound >= limits.streams_inbound_per_peer:
            limit = limits.streams_inbound_per_peer
            raise _exceeded(f"inbound streams of {peer.peer}", limit, peer.inbound, "streams_inbound_per_peer")
        reservation = self._reserve(_NEGOTIATING)
        peer.inbound += 1
        return reservation

    @property
    def peer(self) -> PeerStreams:
        """Whose streams they are."""
        return self._peer

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
            raise _exceeded(scope, limit, value, setting)

    def hold_protocol(self, peer: PeerStreams, protocol: str) -> None:
        """One more inbound stream of a protocol. Raises LimitExceeded."""
        limits, of_node, of_peer = self._node.limits, self._node.by_protocol, peer.by_protocol
        by_node, by_peer = of_node.get(protocol, 0), of_peer.get(protocol, 0)
        shared = limits.streams_inbound_per_protocol
        if by_peer >= _SHARE * (shared - by_node):
            raise _too_many(protocol, shared, by_node, by_peer, "streams_inbound_per_protocol")
        if by_peer >= limits.streams_inbound_per_protocol_and_peer:
            limit = limits.streams_inbound_per_protocol_and_peer
            scope = f"inbound streams of {protocol} and {peer.peer}"
            raise _exceeded(scope, limit, by_peer, "streams_inbound_per_protocol_and_peer")
        of_node[protocol] = by_node + 1
        of_peer[protocol] = by_peer + 1

    def give_back(self, kind: int, peer: PeerStreams, protocol: str | None) -> None:
        """What `StreamReservation.release` does, once."""
        self.count(kind, -1)
        if kind == _OUTBOUND:
            return
        if protocol is not None:
            for counts in (self._node.by_protocol, peer.by_protocol):
                left = counts[protocol] - 1
                if left:
                    counts[protocol] = left
                else:
                    del counts[protocol]
        peer.inbound -= 1
        if not peer.inbound:
            self._node.forget_idle(peer)

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

    __slots__ = ("_kind", "_peer", "_protocol", "_streams")

    def __init__(self, streams: ConnectionStreams, kind: int) -> None:
        self._streams = streams
        self._kind = kind
        self._peer = streams.peer
        self._protocol: str | None = None  # that it is counted under

    def negotiated(self, protocol: str, *, extended: bool = False) -> None:
        """The inbound stream's protocol is known; `extended` where its handler wants the larger limit.

        Raises LimitExceeded: the stream still counts as one that negotiates, until it is released.
        """
        if self._kind != _NEGOTIATING:
            raise LocalError("only an inbound stream without a protocol can get one")
        kind = _CONTROL if protocol in CONTROL_PROTOCOLS else _EXTENDED if extended else _ORDINARY
        self._streams.check(kind)
        if kind != _CONTROL:
            self._streams.hold_protocol(self._peer, protocol)
            self._protocol = protocol
        self._streams.count(_NEGOTIATING, -1)
        self._streams.count(kind, 1)
        self._kind = kind

    def release(self) -> None:
        """Give the place back."""
        if self._kind != _RELEASED:
            self._streams.give_back(self._kind, self._peer, self._protocol)
            self._kind = _RELEASED

    def __enter__(self) -> "StreamReservation":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _too_many(what: str, limit: int, total: int, own: int, setting: str) -> LimitExceeded:
    """All have as many as they may, or this one has more than is fair for what is left."""
    if total >= limit:
        return _exceeded(what, limit, total, setting)
    return _exceeded(f"{what} of one peer, where all have {total} of {limit}", _SHARE * (limit - total), own, setting)


def _exceeded(scope: str, limit: int, value: int, setting: str) -> LimitExceeded:
    return LimitExceeded(scope, limit=limit, value=value + 1, setting=f"limits.{setting}")

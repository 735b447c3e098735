"""How many streams are open: of one connection, peer and protocol, and of the node. A stream counts until its handler has ended.

An inbound stream starts without a protocol and is counted by its protocol's kind once that is known, so that neither slow
negotiations nor one greedy protocol keep the others out.

What all peers share, none takes up alone: who holds some may take more only while it holds less than `_SHARE` times what is
left. As six that come one after the other still take all of it, who is refused by that and holds fewer than `_SHARE` gets the
newest place of whoever holds most, if that has at least `_SHARE` times as many as it would have itself. So who holds none is
refused only where all places are taken by peers with fewer than `_SHARE` each; and these never lose one, whoever comes. It is the
newest that goes, for in it is the least work: what a busy peer began before is finished.
"""

from typing import TYPE_CHECKING, final

from cortexnet.admission.limits import CONTROL_PROTOCOLS, Limits
from cortexnet.errors import LimitExceeded, LocalError
from cortexnet.identity.peer_id import PeerId

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def make_room(
        self, own: int, error: LimitExceeded, held: "Callable[[PeerStreams], int]", is_one: "Callable[[StreamReservation], bool]"
    ) -> None:
        """Take one place back for a peer that holds `own`. Raises `error` where that has enough, or nobody so many more.

        `held` says how many a peer holds of what is short, `is_one` which of its streams these are.
        """
        if own >= _SHARE:
            raise error
        heaviest = max(self.peers.values(), key=held, default=None)
        if heaviest is None or held(heaviest) < _SHARE * (own + 1):
            raise error
        next(filter(is_one, reversed(heaviest.streams))).supplant(error)

    def forget_idle(self, peer: "PeerStreams") -> None:
        """Forget a peer that has neither a connection nor a stream."""
        if peer.connections <= 0 and not peer.streams and peer.peer is not None and self.peers.get(peer.peer) is peer:
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

    __slots__ = ("by_protocol", "connections", "negotiating", "peer", "streams")

    def __init__(self, peer: PeerId | None) -> None:
        self.peer = peer
        self.connections = 0
        self.streams: dict[StreamReservation, None] = {}
        """The newest one last."""
        self.negotiating = 0
        self.by_protocol: dict[str, int] = {}

    @property
    def inbound(self) -> int:
        """How many they are."""
        return len(self.streams)


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
        limits, own = node.limits, len(peer.streams)
        if own >= limits.streams_inbound_per_peer:  # who is refused in any case takes nothing from others
            limit = limits.streams_inbound_per_peer
            raise _exceeded(f"inbound streams of {peer.peer}", limit, own, "streams_inbound_per_peer")
        self.check(_NEGOTIATING)
        negotiating, total = peer.negotiating, node.counts[_NEGOTIATING]
        if negotiating >= _SHARE * (limits.streams_negotiating - total):
            error = _too_many("streams that negotiate", limits.streams_negotiating, total, negotiating, "streams_negotiating")
            node.make_room(negotiating, error, lambda each: each.negotiating, lambda stream: stream.is_negotiating)
        total = node.inbound
        if own >= _SHARE * (limits.streams_inbound - total):
            error = _too_many("inbound streams", limits.streams_inbound, total, own, "streams_inbound")
            node.make_room(own, error, lambda each: each.inbound, lambda _: True)
        self.count(_NEGOTIATING, 1)
        reservation = StreamReservation(self, _NEGOTIATING)
        peer.negotiating += 1
        peer.streams[reservation] = None
        return reservation

    @property
    def peer(self) -> PeerStreams:
        """Whose streams they are."""
        return self._peer

    def open_outbound(self) -> "StreamReservation":
        """Count a stream of ours. Raises LimitExceeded; see `can_open_outbound`."""
        self.check(_OUTBOUND)
        self.count(_OUTBOUND, 1)
        return StreamReservation(self, _OUTBOUND)

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
        node, of_node, of_peer = self._node, self._node.by_protocol, peer.by_protocol
        limits, by_node, by_peer = node.limits, of_node.get(protocol, 0), of_peer.get(protocol, 0)
        if by_peer >= limits.streams_inbound_per_protocol_and_peer:
            limit = limits.streams_inbound_per_protocol_and_peer
            scope = f"inbound streams of {protocol} and {peer.peer}"
            raise _exceeded(scope, limit, by_peer, "streams_inbound_per_protocol_and_peer")
        shared = limits.streams_inbound_per_protocol
        if by_peer >= _SHARE * (shared - by_node):
            error = _too_many(protocol, shared, by_node, by_peer, "streams_inbound_per_protocol")
            node.make_room(
                by_peer, error, lambda each: each.by_protocol.get(protocol, 0), lambda stream: stream.protocol == protocol
            )
            by_node = of_node.get(protocol, 0)
        of_node[protocol] = by_node + 1
        of_peer[protocol] = by_peer + 1

    def give_back(self, place: "StreamReservation", kind: int, peer: PeerStreams) -> None:
        """What `StreamReservation.release` does, once."""
        self.count(kind, -1)
        if kind == _OUTBOUND:
            return
        if kind == _NEGOTIATING:
            peer.negotiating -= 1
        protocol = place.protocol
        if protocol is not None:
            for counts in (self._node.by_protocol, peer.by_protocol):
                left = counts[protocol] - 1
                if left:
                    counts[protocol] = left
                else:
                    del counts[protocol]
        del peer.streams[place]
        if not peer.streams:
            self._node.forget_idle(peer)

    def count(self, kind: int, difference: int) -> None:
        """Change a counter of the connection and the node's."""
        self._counts[kind] += difference
        self._node.counts[kind] += difference


@final
class StreamReservation:
    """The place of one stream; a context manager. `release` gives it back and may be called again."""

    __slots__ = ("_kind", "_peer", "_streams", "on_supplanted", "protocol")

    def __init__(self, streams: ConnectionStreams, kind: int) -> None:
        self._streams = streams
        self._kind = kind
        self._peer = streams.peer
        self.protocol: str | None = None
        """That it is counted under."""
        self.on_supplanted: Callable[[LimitExceeded], None] | None = None
        """Called where a peer with fewer streams gets the place: end the stream. Must not raise."""

    @property
    def is_negotiating(self) -> bool:
        """Whether it is of an inbound stream without a protocol."""
        return self._kind == _NEGOTIATING

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
            self.protocol = protocol
        self._peer.negotiating -= 1
        self._streams.count(_NEGOTIATING, -1)
        self._streams.count(kind, 1)
        self._kind = kind

    def release(self) -> None:
        """Give the place back."""
        if self._kind != _RELEASED:
            self._streams.give_back(self, self._kind, self._peer)
            self._kind = _RELEASED
            self.on_supplanted = None  # it holds the stream, which holds this

    def supplant(self, error: LimitExceeded) -> None:
        """Give the place back at once, for it is another one's now, and end what it stands for; `error` is what was short."""
        end = self.on_supplanted
        self.release()
        if end is not None:
            end(error)

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

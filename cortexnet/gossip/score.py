"""What each peer is worth to us, by what it did: the score of gossipsub 1.1.

    min(topic_cap, sum over topics of weight * (P1 + P2 + P3 + P3b + P4)) + P5 + P6 + P7

Nothing falls or rises by itself between two calls of `decay`: time in the mesh, too, is as of the last one.

Spec: libp2p/specs gossipsub 1.1, "The Score Function"; the order of events as in go-libp2p-pubsub.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.gossip.colocation import Colocation
from cortexnet.gossip.delivery_records import INVALID, UNJUDGED, UNKNOWN, VALID, DeliveryRecords
from cortexnet.gossip.signing import RejectReason

if TYPE_CHECKING:
    from cortexnet.gossip.score_params import Address, ScoreParams, TopicScoreParams
    from cortexnet.identity.peer_id import PeerId


@final
@dataclass(frozen=True, slots=True)
class TopicSnapshot:
    """A peer's terms of one topic, each with its weight, before the topic's; and the counters behind them."""

    time_in_mesh: float
    first_deliveries: float
    mesh_deliveries: float
    mesh_failure: float
    invalid: float
    seconds_in_mesh: float
    first_count: float
    mesh_count: float
    invalid_count: float
    in_mesh: bool

    @property
    def total(self) -> float:
        """The sum of the terms."""
        return self.time_in_mesh + self.first_deliveries + self.mesh_deliveries + self.mesh_failure + self.invalid


@final
@dataclass(frozen=True, slots=True)
class ScoreSnapshot:
    """Why a peer has its score: the sum of `topics` (after weights and cap), `app`, `colocation` and `behaviour`."""

    score: float
    topics: float
    app: float
    colocation: float
    behaviour: float
    behaviour_count: float
    by_topic: Mapping[str, TopicSnapshot]


@final
class _TopicStats:
    __slots__ = ("failure", "first", "graft_time", "in_mesh", "invalid", "is_active", "mesh", "mesh_time", "params")

    def __init__(self, params: "TopicScoreParams") -> None:
        self.params = params
        self.in_mesh = self.is_active = False
        self.graft_time = self.mesh_time = 0.0
        self.first = self.mesh = self.failure = self.invalid = 0.0

    def terms(self) -> tuple[float, float, float, float, float]:
        """P1, P2, P3, P3b and P4 with their weights."""
        params = self.params
        p1 = 0.0
        if self.in_mesh and params.time_in_mesh_weight:
            p1 = min(_quanta(self.mesh_time, params.time_in_mesh_quantum), params.time_in_mesh_cap)
        return (
            p1 * params.time_in_mesh_weight,
            self.first * params.first_deliveries_weight,
            self.deficit() ** 2 * params.mesh_deliveries_weight,
            self.failure * params.mesh_failure_weight,
            self.invalid * self.invalid * params.invalid_weight,
        )

    def deficit(self) -> float:
        """Deliveries that lack, once they are due."""
        return max(0.0, self.params.mesh_deliveries_threshold - self.mesh) if self.is_active else 0.0

    def count_mesh(self) -> None:
        if self.in_mesh:
            self.mesh = min(self.mesh + 1, self.params.mesh_deliveries_cap)

    def leave(self) -> None:
        """A lack of deliveries stays with the peer. The activation, too, does until the next GRAFT, as in go."""
        self.failure += self.deficit() ** 2
        self.in_mesh = False

    def decay(self, now: float, zero: float) -> bool:
        """Whether that may have changed anything: of most peers nothing is counted."""
        if not (self.in_mesh or self.first or self.mesh or self.failure or self.invalid):
            return False
        params = self.params
        self.first = _decayed(self.first, params.first_deliveries_decay, zero)
        self.mesh = _decayed(self.mesh, params.mesh_deliveries_decay, zero)
        self.failure = _decayed(self.failure, params.mesh_failure_decay, zero)
        self.invalid = _decayed(self.invalid, params.invalid_decay, zero)
        if self.in_mesh:
            self.mesh_time = now - self.graft_time
            if self.mesh_time > params.mesh_deliveries_activation:
                self.is_active = True
        return True


@final
class _PeerStats:
    __slots__ = ("behaviour", "topic_sum", "topics")

    def __init__(self) -> None:
        self.topics: dict[str, _TopicStats] = {}
        self.behaviour = 0.0
        self.topic_sum: float | None = 0.0  # None: to be summed up anew


@final
class PeerScore:
    """The scores of all peers that were added, and of those that left with nothing to be forgotten for.

    Peers that were never added have the score 0, and nothing is counted for them. `now` is monotonic seconds.
    """

    def __init__(self, params: "ScoreParams") -> None:
        self._params = params
        self._topics = dict(params.topics)
        self._peers: dict[PeerId, _PeerStats] = {}
        self._gone: OrderedDict[PeerId, float] = OrderedDict()  # retained, and until when
        self._colocation = Colocation(params.colocation_threshold, params.allowed_networks())
        self._records = DeliveryRecords(params.delivery_limit, params.seen_ttl)

    def __len__(self) -> int:
        """Peers of which something is known."""
        return len(self._peers)

    # --- who is there --------------------------------------------------------------------------------------------------

    def add_peer(self, peer: "PeerId", now: float, ips: "Iterable[Address] | None" = None) -> None:
        """A peer has come, or come back: then what is still known of it holds, its addresses too where none are given."""
        self._expire(now)
        self._gone.pop(peer, None)
        self._peers.setdefault(peer, _PeerStats())
        if ips is not None:
            self._colocation.set_ips(peer, ips)

    def set_ips(self, peer: "PeerId", ips: "Iterable[Address]") -> None:
        """The peer's direct connections are from these addresses now."""
        if peer in self._peers:
            self._colocation.set_ips(peer, ips)

    def remove_peer(self, peer: "PeerId", now: float) -> None:
        """A peer is gone. A good score is forgotten, so that nobody can save it up; another one is kept for `retain`."""
        stats = self._peers.get(peer)
        if stats is None or peer in self._gone:
            return
        if self.score(peer, now) > 0:
            self._forget(peer)
            return
        for topic in stats.topics.values():
            topic.first = 0.0
            if topic.in_mesh:
                topic.leave()
        stats.topic_sum = None
        self._gone[peer] = now + self._params.retain
        if len(self._gone) > self._params.retained_limit:
            self._forget(self._gone.popitem(last=False)[0])

    # --- what it does --------------------------------------------------------------------------------------------------

    def graft(self, peer: "PeerId", topic: str, now: float) -> None:
        """The peer is in our mesh from now on."""
        stats = self._stats(peer, topic)
        if stats is not None:
            stats.in_mesh, stats.is_active = True, False
            stats.graft_time, stats.mesh_time = now, 0.0

    def prune(self, peer: "PeerId", topic: str, now: float) -> None:
        """The peer is out of our mesh, or says once more that it is."""
        stats = self._stats(peer, topic)
        if stats is not None:
            stats.leave()

    def validate(self, message_id: bytes, now: float) -> None:
        """A message was seen for the first time; its verdict follows."""
        self._records.of(message_id, now)

    def deliver(self, peer: "PeerId", message_id: bytes, topic: str, now: float) -> None:
        """A message that this peer was the first to bring is valid. Who brought copies meanwhile gains, too."""
        stats = self._stats(peer, topic)
        if stats is not None:
            stats.first = min(stats.first + 1, stats.params.first_deliveries_cap)
            stats.count_mesh()
        record = self._records.of(message_id, now)
        if record.status != UNKNOWN:
            return
        record.status, record.validated = VALID, now
        for other in record.peers:
            if other != peer:
                self._count_copy(other, topic)

    def reject(self, peer: "PeerId", message_id: bytes, topic: str, reason: RejectReason, now: float) -> None:
        """A message of the peer was dropped. Whether that is held against it, and against those who brought copies, is up to
        `reason`; where that is not `is_tracked`, the id is not looked at.
        """
        if not reason.is_tracked:
            if reason.is_charged:
                self._charge(peer, topic)
            return
        record = self._records.of(message_id, now)
        if record.status != UNKNOWN:
            return
        holders, record.peers = record.peers, {}
        record.status = INVALID if reason.is_charged else UNJUDGED
        if reason.is_charged:
            self._charge(peer, topic)
            for other in holders:
                self._charge(other, topic)

    def duplicate(self, peer: "PeerId", message_id: bytes, topic: str, now: float) -> None:
        """The peer brought a message that was seen before."""
        record = self._records.of(message_id, now)
        if peer in record.peers or record.status == UNJUDGED:
            return
        if record.status == INVALID:
            self._charge(peer, topic)
            return
        record.peers[peer] = None
        if record.status == VALID:
            params = self._topics.get(topic)
            if params is not None and now - record.validated <= params.mesh_deliveries_window:
                self._count_copy(peer, topic)

    def add_penalty(self, peer: "PeerId", count: int = 1) -> None:
        """The peer broke `count` rules of the router (P7)."""
        stats = self._peers.get(peer)
        if stats is not None:
            stats.behaviour += count

    # --- what it is worth ----------------------------------------------------------------------------------------------

    def score(self, peer: "PeerId", now: float) -> float:
        """What the peer is worth; 0 where nothing is known, or no more."""
        stats = self._peers.get(peer)
        if stats is None or (self._gone and now > self._gone.get(peer, now)):
            return 0.0
        params = self._params
        result = stats.topic_sum
        if result is None:
            result = stats.topic_sum = self._topic_sum(stats)
        if params.app_score is not None:
            result += params.app_score(peer) * params.app_weight
        if params.colocation_weight and len(self._colocation):
            result += self._colocation.factor(peer) * params.colocation_weight
        excess = stats.behaviour - params.behaviour_threshold
        if excess > 0:
            result += excess * excess * params.behaviour_weight
        return result

    def snapshot(self, peer: "PeerId", now: float) -> ScoreSnapshot:
        """The score and its terms."""
        params = self._params
        score, stats = self.score(peer, now), self._peers.get(peer) or _PeerStats()
        by_topic = {
            name: TopicSnapshot(*topic.terms(), topic.mesh_time, topic.first, topic.mesh, topic.invalid, topic.in_mesh)
            for name, topic in stats.topics.items()
        }
        app = params.app_score(peer) * params.app_weight if params.app_score is not None else 0.0
        excess = max(0.0, stats.behaviour - params.behaviour_threshold)
        return ScoreSnapshot(
            score=score,
            topics=self._topic_sum(stats),
            app=app,
            colocation=self._colocation.factor(peer) * params.colocation_weight,
            behaviour=excess * excess * params.behaviour_weight,
            behaviour_count=stats.behaviour,
            by_topic=by_topic,
        )

    def decay(self, now: float) -> None:
        """`decay_interval` has passed: all counters of peers that are here fall; peers gone too long are forgotten."""
        self._expire(now)
        self._records.expire(now)
        zero, factor = self._params.decay_to_zero, self._params.behaviour_decay
        for peer, stats in self._peers.items():
            if self._gone and peer in self._gone:
                continue  # or leaving would be a way to be forgiven
            for topic in stats.topics.values():
                if topic.decay(now, zero):
                    stats.topic_sum = None
            if stats.behaviour:
                stats.behaviour = _decayed(stats.behaviour, factor, zero)

    def set_topic(self, topic: str, params: "TopicScoreParams") -> None:
        """Score a topic by these parameters from now on. Counters above new caps are cut."""
        self._topics[topic] = params
        for stats in self._peers.values():
            known = stats.topics.get(topic)
            if known is not None:
                known.params = params
                known.first = min(known.first, params.first_deliveries_cap)
                known.mesh = min(known.mesh, params.mesh_deliveries_cap)
                stats.topic_sum = None

    # --- inside --------------------------------------------------------------------------------------------------------

    def _stats(self, peer: "PeerId", topic: str) -> _TopicStats | None:
        """What is counted of a peer in a topic, about to change. None where neither is scored."""
        stats, params = self._peers.get(peer), self._topics.get(topic)
        if stats is None or params is None:
            return None
        stats.topic_sum = None
        found = stats.topics.get(topic)
        if found is None:
            found = stats.topics[topic] = _TopicStats(params)
        return found

    def _count_copy(self, peer: "PeerId", topic: str) -> None:
        stats = self._stats(peer, topic)
        if stats is not None:
            stats.count_mesh()

    def _charge(self, peer: "PeerId", topic: str) -> None:
        stats = self._stats(peer, topic)
        if stats is not None:
            stats.invalid += 1

    def _topic_sum(self, stats: _PeerStats) -> float:
        total = sum([sum(topic.terms()) * topic.params.topic_weight for topic in stats.topics.values()])
        cap = self._params.topic_cap
        return min(total, cap) if cap > 0 else total

    def _expire(self, now: float) -> None:
        while self._gone:
            peer, until = next(iter(self._gone.items()))
            if now <= until:
                return
            del self._gone[peer]
            self._forget(peer)

    def _forget(self, peer: "PeerId") -> None:
        del self._peers[peer]
        self._colocation.remove(peer)


def _quanta(seconds: float, quantum: float) -> int:
    """Whole quanta in `seconds`, counted in nanoseconds as in go: 0.3 s hold three of 0.1 s."""
    return round(seconds * 1e9) // max(1, round(quantum * 1e9))


def _decayed(value: float, factor: float, zero: float) -> float:
    value *= factor
    return value if value >= zero else 0.0

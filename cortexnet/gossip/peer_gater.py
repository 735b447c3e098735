"""Refuses messages at random while validation can't keep up, and those of the worst sources most.

Of peers on one IP what each brings is counted together: messages that were new, that were copies, ignored, rejected. Nothing is
refused until validation had to drop something, and control messages never.

Spec: libp2p/specs gossipsub 1.1, "Extended Validators"; go-libp2p-pubsub's peer gater.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid
from cortexnet.gossip.score_params import Address
from cortexnet.gossip.signing import RejectReason

if TYPE_CHECKING:
    from random import Random

    from cortexnet.identity.peer_id import PeerId


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class PeerGaterParams:
    """Settings of the gater, with go's values. Times are seconds; decays are factors for each interval, between 0 and 1.

    Raises ConfigInvalid for a setting that is none.
    """

    threshold: float = 0.33
    """Messages dropped by validation for each that it took, from where on the gater acts."""
    global_decay: float = 0.9623506263980885
    """Of these two counters: forgotten after 2 minutes."""
    source_decay: float = 0.9987216039048303
    """Of what an IP brought: forgotten after an hour."""
    decay_interval: float = 1.0
    """Between two decays."""
    decay_to_zero: float = 0.01
    """A counter below is 0."""
    retain: float = 21_600.0
    """How long an IP is remembered without peers."""
    source_limit: int = 10_000
    """IPs remembered without peers; the one that was left first goes first."""
    quiet: float = 60.0
    """So long after validation dropped something the gater stops."""
    duplicate_weight: float = 0.125
    """What a copy counts against its source."""
    ignore_weight: float = 1.0
    """What an ignored message counts."""
    reject_weight: float = 16.0
    """What a rejected one counts."""
    topic_weights: Mapping[str, float] = field(default_factory=dict)
    """What a new message of a topic counts for its source, where it is not 1."""

    def __post_init__(self) -> None:
        names = [each.name for each in fields(self) if each.name != "topic_weights"]
        for name, value in zip(names, attrgetter(*names)(self), strict=True):
            least, most = _BOUNDS.get(name, (0.0, float("inf")))
            if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value < most:
                raise ConfigInvalid(
                    f"must be a number of at least {least:g} and below {most:g}, but is {value!r}",
                    key=f"gossip.peer_gater.{name}",
                )
            if value == 0 and name in _POSITIVE:
                raise ConfigInvalid("must be above 0", key=f"gossip.peer_gater.{name}")
        weights: object = self.topic_weights
        if not isinstance(weights, Mapping) or not all(isinstance(name, str) and _is_weight(weights[name]) for name in weights):
            message = f"must give topics numbers of at least 0, but is {weights!r}"
            raise ConfigInvalid(message, key="gossip.peer_gater.topic_weights")


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


_BOUNDS = {
    "global_decay": (0.0, 1.0),
    "source_decay": (0.0, 1.0),
    "decay_to_zero": (0.0, 1.0),
    "decay_interval": (1.0, float("inf")),
    "quiet": (1.0, float("inf")),
    "ignore_weight": (1.0, float("inf")),
    "reject_weight": (1.0, float("inf")),
}
_POSITIVE = ("threshold", "global_decay", "source_decay", "decay_to_zero", "duplicate_weight")


@dataclass(slots=True)
class _Source:
    """What came from one IP."""

    peers: int = 0
    delivered: float = 0.0
    duplicate: float = 0.0
    ignored: float = 0.0
    rejected: float = 0.0


@final
class PeerGater:
    """Counts, and says of each peer whether its messages are looked at. Peers are those that were added."""

    def __init__(self, params: PeerGaterParams, random: "Random") -> None:
        self._params = params
        self._random = random
        self._validated = self._throttled = 0.0
        self._last_throttle = float("-inf")
        self._peers: dict[PeerId, _Source] = {}
        self._sources: dict[Address | None, _Source] = {}
        self._left: OrderedDict[Address | None, float] = OrderedDict()  # sources without peers, and when they are forgotten
        self._addresses: dict[PeerId, Address | None] = {}

    def __len__(self) -> int:
        """IPs that are remembered."""
        return len(self._sources)

    def add_peer(self, peer: "PeerId", address: Address | None) -> None:
        """A peer has come, on a connection from this IP (None: of unknown origin, as over a relay)."""
        if peer in self._peers:
            return
        source = self._sources.setdefault(address, _Source())
        source.peers += 1
        self._left.pop(address, None)
        self._peers[peer], self._addresses[peer] = source, address

    def remove_peer(self, peer: "PeerId", now: float) -> None:
        """A peer is gone."""
        source = self._peers.pop(peer, None)
        if source is None:
            return
        address = self._addresses.pop(peer)
        source.peers -= 1
        if not source.peers:
            self._left[address] = now + self._params.retain
            if len(self._left) > self._params.source_limit:
                del self._sources[self._left.popitem(last=False)[0]]

    def accepts(self, peer: "PeerId", now: float) -> bool:
        """Whether messages of the peer are looked at; what it says else always is."""
        params = self._params
        if now - self._last_throttle > params.quiet or not self._throttled:
            return True
        if self._validated and self._throttled / self._validated < params.threshold:
            return True
        source = self._peers.get(peer)
        if source is None:
            return True
        bad = params.duplicate_weight * source.duplicate + params.ignore_weight * source.ignored
        total = source.delivered + bad + params.reject_weight * source.rejected
        # One more delivery than there was, so that nobody is refused for ever.
        return total == 0 or self._random.random() < (1 + source.delivered) / (1 + total)

    def validate(self) -> None:
        """The validation of a message has begun."""
        self._validated += 1

    def deliver(self, peer: "PeerId", topic: str) -> None:
        """The peer was the first to bring a message that is valid."""
        source = self._peers.get(peer)
        if source is not None:
            source.delivered += self._params.topic_weights.get(topic) or 1

    def duplicate(self, peer: "PeerId") -> None:
        """The peer brought a copy."""
        source = self._peers.get(peer)
        if source is not None:
            source.duplicate += 1

    def reject(self, peer: "PeerId", reason: RejectReason, now: float) -> None:
        """A message of the peer was dropped."""
        if reason in (RejectReason.QUEUE_FULL, RejectReason.VALIDATION_THROTTLED):
            self._last_throttle = now
            self._throttled += 1
            return
        source = self._peers.get(peer)
        if source is None:
            return
        if reason in (RejectReason.VALIDATION_IGNORED, RejectReason.MALFORMED):
            source.ignored += 1
        else:
            source.rejected += 1

    def decay(self, now: float) -> None:
        """An interval has passed."""
        params = self._params
        self._validated = self._decayed(self._validated, params.global_decay)
        self._throttled = self._decayed(self._throttled, params.global_decay)
        while self._left and next(iter(self._left.values())) < now:
            del self._sources[self._left.popitem(last=False)[0]]
        for source in self._sources.values():
            if source.peers:
                source.delivered = self._decayed(source.delivered, params.source_decay)
                source.duplicate = self._decayed(source.duplicate, params.source_decay)
                source.ignored = self._decayed(source.ignored, params.source_decay)
                source.rejected = self._decayed(source.rejected, params.source_decay)

    def _decayed(self, value: float, factor: float) -> float:
        value *= factor
        return value if value >= self._params.decay_to_zero else 0.0

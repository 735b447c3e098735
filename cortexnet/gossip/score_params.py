"""What a peer's score is made of: weights, caps and decays of each term, and the thresholds that its sum is compared with.

No topic is scored by default: the numbers fit one network's traffic only. What go-libp2p checks is checked when a set of them is
made, and one thing more: a peer that sits in a mesh and delivers nothing must lose in the end.

Spec: libp2p/specs gossipsub 1.1, "Peer Scoring".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from math import isfinite
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid
from cortexnet.identity.peer_id import PeerId
from cortexnet.texts import list_of_texts

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def decay_factor(seconds: float, interval: float = 1.0, zero: float = 0.01) -> float:
    """What a counter is multiplied with each `interval` seconds, so that 1 falls to `zero` within about `seconds`.

    Raises ConfigInvalid where `seconds` is shorter than one interval.
    """
    ticks = int(seconds / interval)
    if ticks < 1:
        raise ConfigInvalid(f"a decay takes at least one interval, {interval:g} s, not {seconds:g} s", key="gossip.score")
    factor: float = zero ** (1 / ticks)
    return factor


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Below which score a peer loses what. Raises ConfigInvalid for values in a wrong order or of a wrong sign."""

    gossip: float = -10.0
    """No IHAVE and IWANT to or from the peer. At most 0."""
    publish: float = -50.0
    """Own messages aren't sent to the peer outside of a mesh. At most `gossip`."""
    graylist: float = -80.0
    """Nothing of the peer is looked at but its subscriptions. At most `publish`."""
    accept_px: float = 10.0
    """Peers that the peer names when it prunes us are dialed from here on; only scores that strangers don't reach are safe."""
    opportunistic_graft: float = 20.0
    """Where the median score of a mesh is below, better peers are looked for."""

    def __post_init__(self) -> None:
        _check_finite(self.gossip, "thresholds.gossip", most=0.0)
        _check_finite(self.publish, "thresholds.publish", most=self.gossip)
        _check_finite(self.graylist, "thresholds.graylist", most=self.publish)
        _check_finite(self.accept_px, "thresholds.accept_px", least=0.0)
        _check_finite(self.opportunistic_graft, "thresholds.opportunistic_graft", least=0.0)


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class TopicScoreParams:
    """The terms of one topic. A weight of 0 turns its term off; decays are factors for each interval, see `decay_factor`.

    Raises ConfigInvalid for values that go-libp2p refuses, and where a silent mesh peer would never be punished, for its lack of
    deliveries (P3) costs no more than its time in the mesh brings (P1), unless `allow_silence` says that this is meant.
    """

    topic_weight: float = 1.0
    """What the sum of this topic is multiplied with. At least 0."""
    time_in_mesh_weight: float = 0.0
    """P1, at least 0."""
    time_in_mesh_quantum: float = 1.0
    """Seconds in the mesh that count 1."""
    time_in_mesh_cap: float = 3600.0
    """The most P1 counts before its weight."""
    first_deliveries_weight: float = 0.0
    """P2, at least 0: messages the peer was the first to bring."""
    first_deliveries_decay: float = 0.5
    """Between 0 and 1."""
    first_deliveries_cap: float = 2000.0
    """The most P2 counts before its weight."""
    mesh_deliveries_weight: float = 0.0
    """P3, at most 0: the squared lack of messages from a peer of the mesh, first or soon after."""
    mesh_deliveries_decay: float = 0.5
    """Between 0 and 1."""
    mesh_deliveries_cap: float = 100.0
    """The most deliveries that are credited; at least the threshold, or everybody would be short of it."""
    mesh_deliveries_threshold: float = 20.0
    """Deliveries, decayed, below which a peer is in deficit: well below what the topic brings, or honest peers suffer."""
    mesh_deliveries_window: float = 0.01
    """Seconds after our validation in which a duplicate still counts as delivered."""
    mesh_deliveries_activation: float = 5.0
    """Seconds in the mesh before a lack counts; at least 1."""
    mesh_failure_weight: float = 0.0
    """P3b, at most 0: the squared lack at the time a peer left the mesh, which stays with it."""
    mesh_failure_decay: float = 0.5
    """Between 0 and 1."""
    invalid_weight: float = 0.0
    """P4, at most 0: invalid messages, squared."""
    invalid_decay: float = 0.3
    """Between 0 and 1."""
    allow_silence: bool = False
    """Let peers sit in the mesh in silence: for topics with too little traffic to expect any of everybody."""

    def __post_init__(self) -> None:
        numbers = asdict(self)
        _check_finite(self.topic_weight, "topics.topic_weight", least=0.0)
        _check_finite(self.time_in_mesh_weight, "topics.time_in_mesh_weight", least=0.0)
        _check_above(self.time_in_mesh_quantum, "topics.time_in_mesh_quantum")
        _check_above(self.time_in_mesh_cap, "topics.time_in_mesh_cap")
        _check_finite(self.first_deliveries_weight, "topics.first_deliveries_weight", least=0.0)
        _check_above(self.first_deliveries_cap, "topics.first_deliveries_cap")
        for name in ("mesh_deliveries", "mesh_failure", "invalid"):
            _check_finite(numbers[f"{name}_weight"], f"topics.{name}_weight", most=0.0)
        for name in ("first_deliveries", "mesh_deliveries", "mesh_failure", "invalid"):
            _check_fraction(numbers[f"{name}_decay"], f"topics.{name}_decay")
        self._check_mesh_deliveries()

    def _check_mesh_deliveries(self) -> None:
        _check_above(self.mesh_deliveries_threshold, "topics.mesh_deliveries_threshold")
        _check_finite(self.mesh_deliveries_cap, "topics.mesh_deliveries_cap", least=self.mesh_deliveries_threshold)
        _check_finite(self.mesh_deliveries_window, "topics.mesh_deliveries_window", least=0.0)
        _check_finite(self.mesh_deliveries_activation, "topics.mesh_deliveries_activation", least=1.0)
        gain = self.time_in_mesh_weight * self.time_in_mesh_cap
        loss = self.mesh_deliveries_weight * self.mesh_deliveries_threshold**2
        if self.topic_weight > 0 and gain + loss >= 0 and not self.allow_silence:
            raise ConfigInvalid(
                f"a peer that is silent in the mesh would gain {gain:g} by P1 and lose {-loss:g} by P3, so it stays for ever: "
                "set mesh_deliveries_weight and _threshold to what the topic's traffic allows, or allow_silence",
                key="gossip.score.topics.mesh_deliveries_weight",
            )


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreParams:
    """How peers are scored. Times are seconds. Raises ConfigInvalid, with the key of the setting that is wrong."""

    topics: Mapping[str, TopicScoreParams] = field(default_factory=dict)
    """Topics that count; in all others peers gain and lose nothing."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    """What the score is compared with."""
    topic_cap: float = 0.0
    """The most that all topics together add. 0: no cap."""
    app_score: Callable[[PeerId], float] | None = None
    """P5: what the application thinks of a peer. Called often: it shall look up, not compute. None: what speaks against a peer in
    `node.reputation`, from -100 to 0."""
    app_weight: float = 1.0
    """What P5 is multiplied with."""
    colocation_weight: float = -5.0
    """P6, at most 0: the squared number of peers on one IP above the threshold. 0: off."""
    colocation_threshold: int = 10
    """Peers on one IP that are nothing unusual (carrier NAT, one host with several nodes)."""
    colocation_allowed: Sequence[str] = ("127.0.0.0/8", "::1/128")
    """Networks on which any number of peers may sit. Loopback by default, as in go: test nets are no attack."""
    behaviour_weight: float = -10.0
    """P7, at most 0: squared misbehaviour above the threshold (grafting too early, broken promises). 0: off."""
    behaviour_threshold: float = 6.0
    """Misbehaviour that is forgiven: on a slow link, promises break without malice. The value of large networks."""
    behaviour_decay: float = 0.992354105
    """Factor for each interval, between 0 and 1: one offence is forgotten after 10 minutes."""
    decay_interval: float = 1.0
    """Between two decays; at least 1."""
    decay_to_zero: float = 0.01
    """A counter below is 0. Between 0 and 1."""
    retain: float = 600.0
    """How long a peer that left with a score of 0 or less is remembered: coming back shall not help it."""
    retained_limit: int = 10_000
    """Peers remembered after they left; the one that left first goes first. Identities are free, memory isn't."""
    seen_ttl: float = 120.0
    """How long duplicates of a message are credited or charged to those who bring them: as long as it counts as seen."""
    delivery_limit: int = 100_000
    """Messages of which is remembered who brought them, some 600 bytes each; the oldest goes first."""

    def __post_init__(self) -> None:
        _check_finite(self.topic_cap, "topic_cap", least=0.0)
        _check_finite(self.app_weight, "app_weight")
        _check_finite(self.colocation_weight, "colocation_weight", most=0.0)
        _check_finite(self.colocation_threshold, "colocation_threshold", least=1)
        _check_finite(self.behaviour_weight, "behaviour_weight", most=0.0)
        _check_finite(self.behaviour_threshold, "behaviour_threshold", least=0.0)
        _check_fraction(self.behaviour_decay, "behaviour_decay")
        _check_finite(self.decay_interval, "decay_interval", least=1.0)
        _check_fraction(self.decay_to_zero, "decay_to_zero")
        _check_finite(self.retain, "retain", least=0.0)
        _check_finite(self.retained_limit, "retained_limit", least=0)
        _check_above(self.seen_ttl, "seen_ttl")
        _check_finite(self.delivery_limit, "delivery_limit", least=1)
        allowed = list_of_texts("gossip.score.colocation_allowed", self.colocation_allowed)
        object.__setattr__(self, "colocation_allowed", allowed)
        self.allowed_networks()

    def allowed_networks(self) -> tuple[Network, ...]:
        """`colocation_allowed`, parsed. Raises ConfigInvalid."""
        try:
            return tuple(ip_network(text) for text in self.colocation_allowed)
        except ValueError as error:
            raise ConfigInvalid(str(error), key="gossip.score.colocation_allowed") from None


def _check_finite(value: float, key: str, *, least: float | None = None, most: float | None = None) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise ConfigInvalid(f"must be a finite number, but is {value!r}", key=f"gossip.score.{key}")
    if least is not None and value < least:
        raise ConfigInvalid(f"must be at least {least:g}, but is {value:g}", key=f"gossip.score.{key}")
    if most is not None and value > most:
        raise ConfigInvalid(f"must be at most {most:g}, but is {value:g}", key=f"gossip.score.{key}")


def _check_above(value: float, key: str) -> None:
    _check_finite(value, key)
    if value <= 0:
        raise ConfigInvalid(f"must be above 0, but is {value:g}", key=f"gossip.score.{key}")


def _check_fraction(value: float, key: str) -> None:
    _check_finite(value, key)
    if not 0 < value < 1:
        raise ConfigInvalid(f"must be between 0 and 1, but is {value:g}", key=f"gossip.score.{key}")

"""Every setting of gossip, with its default, its unit and its reason. Values without one are go-libp2p-pubsub's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, final, get_args

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid, ProtocolViolation
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.texts import is_text, list_of_texts

if TYPE_CHECKING:
    from cortexnet.gossip.messages import Message
    from cortexnet.gossip.peer_gater import PeerGaterParams
    from cortexnet.gossip.score_params import ScoreParams

GOSSIPSUB_13 = "/meshsub/1.3.0"
GOSSIPSUB_12 = "/meshsub/1.2.0"
GOSSIPSUB_11 = "/meshsub/1.1.0"
GOSSIPSUB_10 = "/meshsub/1.0.0"
FLOODSUB = "/floodsub/1.0.0"
PROTOCOLS = (GOSSIPSUB_13, GOSSIPSUB_12, GOSSIPSUB_11, GOSSIPSUB_10, FLOODSUB)
"""All that is spoken, newest first."""

SigningPolicy = Literal["strict_sign", "strict_no_sign"]
QueuePolicy = Literal["block", "drop_oldest", "drop_newest"]


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class GossipConfig:
    """Settings of `node.gossip`. Times are seconds, sizes bytes. Raises ConfigInvalid for a setting that is none."""

    protocols: Sequence[str] = PROTOCOLS
    """What is offered, in order of preference."""
    signing: SigningPolicy = "strict_sign"
    """"strict_sign": messages are signed, and others refused. "strict_no_sign": they say nothing about their author, and those
    that do are refused; then `message_id` must name a function, for there is no sequence number. One network, one policy."""
    message_id: "Callable[[Message], bytes] | None" = None
    """The id of a message. None: author and sequence number, as in go and the specification. rust and js have other defaults: in
    a mixed network the same function must be set everywhere, or IHAVE and IWANT between the stacks do nothing."""
    topic_message_ids: "Mapping[str, Callable[[Message], bytes]]" = field(default_factory=dict, hash=False)
    """As `message_id`, for single topics."""
    main_topic: str = ""
    """A topic that is joined at the start. Empty: none."""
    accept_topic: Callable[[str], bool] | None = None
    """Which topics of peers are noted; None: all. What nobody here is interested in then takes no place."""
    flood_publish: bool = False
    """Send own messages to every subscriber instead of the mesh: harder to censor, and several times the traffic."""
    peer_exchange: bool = False
    """Name other peers of the topic to a peer that is pruned. For bootstrap nodes."""
    topic_discovery: bool = False
    """Be found through the DHT by peers of each joined topic, and look for them there while its mesh lacks some. Each topic costs
    look-ups, and the whole network can learn that this node wants it."""
    direct_peers: Sequence[str] = ()
    """Addresses with `/p2p/…` of peers that get every message whatever their score, and are kept connected. Both sides must
    list each other."""
    score: "ScoreParams | None" = None
    """How peers are scored. None: they are not, and none is refused for what it did."""
    peer_gater: "PeerGaterParams | None" = None
    """Refuses messages of bad sources at random while validation can't keep up. None: off."""

    test_extension: bool = False
    """Announce the extension of 1.3 that does nothing, to test with others that extensions work."""

    degree: int = 6
    """D: peers of a mesh."""
    degree_low: int = 5
    """D_lo: a mesh with fewer is filled up to D."""
    degree_high: int = 12
    """D_hi: a mesh with as many is cut down to D."""
    degree_score: int = 4
    """D_score: so many of those that stay are the best; the rest is drawn by lot."""
    degree_out: int = 2
    """D_out: so many of a mesh were dialed by us: an attacker that dials us can't fill it. Below D_lo and half of D."""
    degree_lazy: int = 6
    """D_lazy: at least so many peers outside of the mesh are told what was heard of late."""
    gossip_factor: float = 0.25
    """And at least this share of them."""
    heartbeat: float = 1.0
    """Between two looks at the mesh."""
    heartbeat_first: float = 0.1
    """From the start to the first one."""
    history: int = 5
    """Heartbeats for which messages are kept, for those who ask by IWANT."""
    history_gossip: int = 3
    """Heartbeats of messages that IHAVE tells of: fewer, so that who asks still gets them."""
    retransmissions: int = 3
    """Times one peer gets the same message by IWANT."""
    fanout_ttl: float = 60.0
    """How long the peers are kept to whom a topic is published that we did not join."""
    prune_backoff: float = 60.0
    """After a PRUNE neither side grafts the other for so long."""
    unsubscribe_backoff: float = 10.0
    """The same where we left the topic."""
    refusal_backoff: float = 10.0
    """The same where a GRAFT is refused for want of room alone: there may be some soon, and honest peers that shut each other out
    for a minute leave their meshes to others. Said in the PRUNE, and kept by go, which itself says prune_backoff."""
    backoff_longest: float = 3600.0
    """What a peer asks for beyond is cut to this."""
    backoff_slack: float = 2.0
    """So much later we graft again: clocks differ, and coming early costs score."""
    backoff_clear_ticks: int = 15
    """Heartbeats between the clearings of expired backoffs."""
    graft_flood: float = 10.0
    """A GRAFT so soon after the PRUNE counts as misbehaviour twice."""
    opportunistic_ticks: int = 60
    """Heartbeats between looks whether a mesh of poor peers can be improved."""
    opportunistic_peers: int = 2
    """Better peers grafted then."""
    newcomer_burst: int = 2
    """Peers worth little beside those in a mesh, and not dialed by us, that it takes at once."""
    newcomer_interval: float = 90.0
    """About once in so long it takes another. Else any number of strangers could take turns in a mesh for ever; go lets them, up
    to D_hi at a time. Both matter where peers are scored."""
    direct_ticks: int = 300
    """Heartbeats between attempts to connect to direct peers."""
    px_peers: int = 16
    """Peers named in a PRUNE, and followed from one."""
    px_pending: int = 128
    """Peers named to us that wait to be dialed."""
    px_connectors: int = 8
    """Of those, dialed at a time."""
    px_timeout: float = 30.0
    """For one of these dials."""
    px_address_ttl: float = 120.0
    """How long the addresses named are kept."""
    follow_up: float = 3.0
    """From IWANT to the message; later the promise is broken."""
    idontwant_size: int = 1024
    """Messages from this size on are announced by IDONTWANT: below, it costs more than the duplicate."""
    idontwant_ttl: int = 3
    """Heartbeats for which an IDONTWANT holds."""

    rpc_limit: int = 1024 * 1024
    """The largest RPC that is read; longer ones reset the stream."""
    control_limit: int = 512 * 1024
    """What of it may be anything but the data of messages: go sends as much at once when it answers a large IWANT."""
    element_limit: int = 5_000
    """Messages of an RPC and peers named in it (more are refused), and entries and ids of each other kind (more are skipped; of
    IHAVE, which comes for each topic, four times as many)."""
    topic_size: int = 256
    """The longest name of a topic; longer ones are skipped."""
    message_id_size: int = 80
    """The longest message id that is taken from a peer; longer ones are skipped. rust's default ids have 72 bytes."""
    topics_per_peer: int = 256
    """Subscriptions noted of one peer. More are ignored."""
    ihave_rpcs: int = 10
    """RPCs with control messages of one peer, per heartbeat, whose IHAVEs are looked at."""
    ihave_ids: int = 5_000
    """Message ids asked of one peer per heartbeat, and told in one IHAVE."""
    idontwant_rpcs: int = 1_000
    """RPCs with IDONTWANT of one peer that are looked at, per heartbeat."""
    idontwant_ids: int = 10
    """Ids of one IDONTWANT that are taken."""
    seen_limit: int = 100_000
    """Message ids remembered as seen, some 16 MiB; the oldest goes first."""
    seen_ttl: float = 120.0
    """How long a message counts as seen, from its first sight. Longer than a message is on its way anywhere."""
    cache_bytes: int = 64 * 1024 * 1024
    """Messages kept for IWANT; the oldest goes first. go has no such bound."""
    rpc_size: int = 56 * 1024
    """Up to which messages are joined into one RPC: rust counts what follows in its buffer too, and ends at 64 KiB."""
    control_size: int = 16 * 1024
    """Up to which control messages and the frames of messages are joined into one RPC: rust's limit."""
    messages_per_rpc: int = 500
    """Messages joined into one RPC: rust's limit."""
    outbound_rpcs: int = 128
    """RPCs that wait for one peer. go has 32, and drops at bursts."""
    outbound_bytes: int = 1024 * 1024
    """And their bytes; a single larger RPC may wait alone."""
    publish_wait: float = 5.0
    """How long publishing waits for room at one peer, before that peer goes without and is counted."""
    write_timeout: float = 30.0
    """A peer that takes nothing for so long has its stream reset."""
    validation_limit: int = 8_192
    """Messages in validation; more are dropped without blame, and counted. Of one sender at most four times as many as there are
    places left; where none is, who has fewer than four gets the newest of the sender with most."""
    topic_validation_limit: int = 1_024
    """Of one topic, where validators take their time."""
    validation_timeout: float = 30.0
    """A validator that takes longer has ignored the message. go waits for ever."""
    queue_size: int = 1_024
    """Messages that wait for a reader of a subscription."""
    queue_bytes: int = 16 * 1024 * 1024
    """And the bytes of their data: 16 of the largest, so that a reader who falls behind holds no gigabyte."""
    queue_policy: QueuePolicy = "block"
    """When they are more: "block" stops reading from peers that bring more until there is room, "drop_oldest" and "drop_newest"
    drop one and count it."""
    queue_patience: float = 10.0
    """How long "block" may: then more messages of the topic are dropped and counted until half of the queue was read. Peers wait
    for us 5 s before they drop, and our kind 30 s before it ends the stream; other topics wait behind the full one meanwhile."""

    def __post_init__(self) -> None:
        for name, value in zip(_NUMBERS, attrgetter(*_NUMBERS)(self), strict=True):
            kind = int | float if isinstance(_NUMBERS[name], float) else int
            if isinstance(value, bool) or not isinstance(value, kind) or not 0 <= value < float("inf"):
                what = "number" if isinstance(_NUMBERS[name], float) else "whole number"
                raise _invalid(name, f"must be a {what} of at least 0, but is {value!r}")
            if value == 0 and name in _POSITIVE:
                raise _invalid(name, "must be above 0")
        self._check_names()
        self._check_parts()
        self._check_mesh()
        self._check_sizes()
        self.direct_ids()

    def _check_names(self) -> None:
        for name in ("protocols", "direct_peers"):
            object.__setattr__(self, name, list_of_texts(f"gossip.{name}", attrgetter(name)(self)))
        for name in _FLAGS:
            if not isinstance(attrgetter(name)(self), bool):
                raise _invalid(name, f"must be true or false, but is {attrgetter(name)(self)!r}")
        for protocol in self.protocols:
            if protocol not in PROTOCOLS:
                raise _invalid("protocols", f"{protocol!r} is none of {', '.join(PROTOCOLS)}")
        if not self.protocols:
            raise _invalid("protocols", "must name one at least; `Config(gossip=None)` turns gossip off")
        if self.signing not in get_args(SigningPolicy):
            raise _invalid("signing", f"must be one of {', '.join(get_args(SigningPolicy))}, but is {self.signing!r}")
        if self.signing == "strict_no_sign" and self.message_id is None:
            raise _invalid("message_id", "must be set where messages are not signed: all would have the same id")
        if self.queue_policy not in get_args(QueuePolicy):
            raise _invalid("queue_policy", f"must be one of {', '.join(get_args(QueuePolicy))}, but is {self.queue_policy!r}")
        if not is_text(self.main_topic):
            raise _invalid("main_topic", f"must be a text, but is {self.main_topic!r}")
        if len(self.main_topic.encode()) > self.topic_size:
            raise _invalid("main_topic", f"is longer than topic_size, {self.topic_size}")

    def _check_parts(self) -> None:
        for name, part, kind in (("score", self.score, "ScoreParams"), ("peer_gater", self.peer_gater, "PeerGaterParams")):
            if part is not None and type(part).__name__ != kind:  # by name: most nodes load neither
                raise _invalid(name, f"must be {kind} or None, but is {part!r}")
        for name, function in (("message_id", self.message_id), ("accept_topic", self.accept_topic)):
            if function is not None and not callable(function):
                raise _invalid(name, f"must be a function, but is {function!r}")
        for topic, function in self.topic_message_ids.items():
            if not callable(function):
                raise _invalid("topic_message_ids", f"must have functions, but has {function!r} for {topic!r}")

    def _check_mesh(self) -> None:
        low, degree, high, out = self.degree_low, self.degree, self.degree_high, self.degree_out
        if self.history_gossip > self.history:
            raise _invalid("history_gossip", f"must not be above history, {self.history}, but is {self.history_gossip}")
        if self.degree_score > high:
            raise _invalid("degree_score", f"must not be above degree_high, {high}, but is {self.degree_score}")
        if degree == low == high == out == 0:
            return  # a bootstrap node: in no mesh, so that it can serve everybody
        if not low <= degree <= high:
            raise _invalid("degree", f"must be between degree_low, {low}, and degree_high, {high}, but is {degree}")
        if out >= low or out >= degree // 2:
            raise _invalid("degree_out", f"must be below degree_low, {low}, and half of degree, {degree // 2}, but is {out}")

    def _check_sizes(self) -> None:
        if self.control_limit > self.rpc_limit:
            raise _invalid("control_limit", f"must not be above rpc_limit, {self.rpc_limit}, but is {self.control_limit}")
        if self.control_size > self.rpc_size:
            raise _invalid("control_size", f"must not be above rpc_size, {self.rpc_size}, but is {self.control_size}")
        if self.rpc_size > self.rpc_limit:
            raise _invalid("rpc_size", f"must not be above rpc_limit, {self.rpc_limit}, but is {self.rpc_size}")
        if self.control_size < 2 * (self.topic_size + self.message_id_size):
            raise _invalid("control_size", f"must hold a topic and a message id, but is {self.control_size}")
        if self.gossip_factor > 1:
            raise _invalid("gossip_factor", f"must be at most 1, but is {self.gossip_factor:g}")

    def direct_ids(self) -> tuple[PeerId, ...]:
        """Whose addresses `direct_peers` are, each once. Raises ConfigInvalid."""
        found: dict[PeerId, None] = {}
        for text in self.direct_peers:
            try:
                _, peer = Multiaddr.parse(text).split_peer()
                if peer is None:
                    raise ProtocolViolation(f"{text} does not end in /p2p/…")
                found[PeerId.from_bytes(peer)] = None
            except ProtocolViolation as error:
                raise _invalid("direct_peers", str(error)) from None
        return tuple(found)


_POSITIVE = {
    *("heartbeat", "history", "backoff_clear_ticks", "opportunistic_ticks", "direct_ticks", "px_connectors", "px_timeout"),
    *("follow_up", "rpc_limit", "control_limit", "element_limit", "topic_size", "message_id_size", "seen_limit", "seen_ttl"),
    *("cache_bytes", "rpc_size", "control_size", "messages_per_rpc", "outbound_rpcs", "outbound_bytes", "write_timeout"),
    *("validation_limit", "topic_validation_limit", "validation_timeout", "queue_size"),
    *("queue_bytes",),
}
_FLAGS = [field.name for field in fields(GossipConfig) if type(field.default) is bool]
_NUMBERS = {field.name: field.default for field in fields(GossipConfig) if type(field.default) in (int, float)}


def _invalid(name: str, objection: str) -> ConfigInvalid:
    return ConfigInvalid(objection, key=f"gossip.{name}")

"""What the parts of the router share: its tables, and the few steps that all of them take."""

from math import inf
from typing import TYPE_CHECKING, final

from cortexnet.gossip.actions import CONTROL, Change, MeshChanged, SendRpc
from cortexnet.gossip.backoff import Backoff
from cortexnet.gossip.config import FLOODSUB
from cortexnet.gossip.mesh import median, pick
from cortexnet.gossip.message_cache import MessageCache
from cortexnet.gossip.message_id import MessageIds
from cortexnet.gossip.messages import ControlMessages, Rpc
from cortexnet.gossip.peer_gater import PeerGater
from cortexnet.gossip.peer_state import Kept, Peer, Topic
from cortexnet.gossip.promises import Promises
from cortexnet.gossip.score import PeerScore
from cortexnet.gossip.score_params import Thresholds
from cortexnet.gossip.seen import SeenCache
from cortexnet.gossip.signing import RejectReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from random import Random

    from cortexnet.gossip.actions import Action, Validate
    from cortexnet.gossip.config import GossipConfig
    from cortexnet.gossip.message import Message
    from cortexnet.identity.peer_id import PeerId

_UNSCORED = Thresholds(gossip=0.0, publish=0.0, graylist=0.0, accept_px=0.0, opportunistic_graft=0.0)


@final
class RouterState:
    """The tables of one router. What is done with them is in the modules beside this one; `Router` is their face."""

    __slots__ = (
        "actions",
        "backoff",
        "cache",
        "config",
        "counted",
        "decay_due",
        "direct",
        "gater",
        "gater_due",
        "heartbeat_due",
        "ids",
        "is_flood_only",
        "joined",
        "kept",
        "left",
        "meritorious",
        "on_charged",
        "overflowed",
        "own",
        "own_raw",
        "peers",
        "pending",
        "promises",
        "published",
        "random",
        "records",
        "score",
        "seen",
        "thresholds",
        "ticks",
        "topics",
        "unidentified",
        "unwilling",
        "validating",
        "withheld",
    )

    def __init__(
        self,
        own: "PeerId",
        config: "GossipConfig",
        random: "Random",
        now: float,
        records: "Callable[[PeerId], bytes]",
    ) -> None:
        self.own = own
        self.own_raw = bytes(own)
        self.config = config
        self.random = random
        self.records = records
        self.on_charged: Callable[[PeerId, RejectReason], None] | None = None
        """Called with who has brought a message that no correct peer passes on. Must not raise."""
        self.actions: list[Action] = []
        self.peers: dict[PeerId, Peer] = {}
        self.direct: dict[PeerId, None] = dict.fromkeys(config.direct_ids())
        self.topics: dict[str, Topic] = {}
        self.joined: dict[str, Topic] = {}
        self.left: dict[str, None] = {}
        """Topics that we have left, the last at the end."""
        self.published: dict[str, Topic] = {}
        """Topics that we publish to without having joined: those with a fanout."""
        self.ids = MessageIds(config.message_id, config.topic_message_ids, config.message_id_size)
        self.seen = SeenCache(config.seen_limit, config.seen_ttl)
        self.cache = MessageCache(config.history, config.history_gossip, config.cache_bytes, config.retransmissions)
        self.backoff = Backoff()
        self.score = PeerScore(config.score) if config.score is not None else None
        self.thresholds = config.score.thresholds if config.score is not None else _UNSCORED
        self.meritorious = dict.fromkeys(
            name
            for name, params in (config.score.topics.items() if config.score is not None else ())
            if params.topic_weight > 0 and (params.time_in_mesh_weight > 0 or params.first_deliveries_weight > 0)
        )
        """Topics in which peers can earn a good score."""
        self.promises = Promises(config.follow_up)
        self.gater = PeerGater(config.peer_gater, random) if config.peer_gater is not None else None
        self.pending: dict[bytes, list[Validate]] = {}
        """By message id: what is in validation. More than one where copies differ, of which all but one must be forged."""
        self.validating = 0
        """How many that are."""
        self.overflowed = 0
        """Messages that were dropped, since these were too many."""
        self.withheld: dict[bytes, None] = {}
        """Ids of messages that were seen and ignored: publishing them here still works."""
        self.kept: dict[Peer, Kept] = {}
        self.counted: dict[Peer, None] = {}
        """Peers of which something was counted since the last heartbeat."""
        self.unwilling: dict[Peer, None] = {}
        """Peers that do not want some messages."""
        self.ticks = 0
        self.unidentified = 0
        """Messages that were dropped, for the application's function could not make out their id."""
        self.heartbeat_due = now + config.heartbeat_first
        self.decay_due = now + config.score.decay_interval if config.score is not None else inf
        self.gater_due = now + config.peer_gater.decay_interval if config.peer_gater is not None else inf
        self.is_flood_only = all(protocol == FLOODSUB for protocol in config.protocols)

    def score_of(self, peer: Peer, now: float) -> float:
        """What it is worth; 0 where nobody is scored."""
        return self.score.score(peer.id, now) if self.score is not None else 0.0

    def note_validation(self, message_id: bytes, now: float) -> None:
        """A message has begun to count as seen: its validators are asked."""
        if self.score is not None:
            self.score.validate(message_id, now)
        if self.gater is not None:
            self.gater.validate()

    def note_delivery(self, peer_id: "PeerId", message: "Message", now: float) -> None:
        """A peer (or we) brought a message that is good."""
        if self.score is not None:
            self.score.deliver(peer_id, message.id, message.topic, now)
        if self.gater is not None:
            self.gater.deliver(peer_id, message.topic)

    def note_duplicate(self, peer_id: "PeerId", message: "Message", now: float) -> None:
        """A peer brought a copy of a message that has been seen."""
        if self.score is not None:
            self.score.duplicate(peer_id, message.id, message.topic, now)
        if self.gater is not None:
            self.gater.duplicate(peer_id)

    def note_rejection(self, peer_id: "PeerId", message: "Message", reason: "RejectReason", now: float) -> None:
        """A message is dropped, which may or may not be the fault of the peer that brought it."""
        if self.score is not None:
            self.score.reject(peer_id, message.id, message.topic, reason, now)
        if self.gater is not None:
            self.gater.reject(peer_id, reason, now)
        if self.on_charged is not None and reason.is_charged and reason is not RejectReason.SELF_ORIGIN:
            self.on_charged(peer_id, reason)  # what is our own may come back late, from who got it from others

    def send(self, peer: Peer, rpc: Rpc, priority: int = CONTROL) -> None:
        """Have it sent, if there is anything to send, and a stream to send it on."""
        if rpc and peer.is_open:
            self.actions.append(SendRpc((peer.id,), rpc, priority))

    def send_to_all(self, peers: "Iterable[Peer]", rpc: Rpc, priority: int = CONTROL) -> None:
        """The same to many."""
        ids = [peer.id for peer in peers if peer.is_open]
        if ids:
            self.actions.append(SendRpc(ids, rpc, priority))

    def topic(self, name: str) -> Topic:
        """The topic of that name, made where nobody has named it before."""
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name)
        return topic

    def drop_if_idle(self, topic: Topic) -> None:
        """Forget a topic that nobody is interested in any more."""
        if topic.is_idle:
            self.topics.pop(topic.name, None)

    def graft(self, topic: Topic, peer: Peer, change: Change, now: float) -> None:
        """Take it into our mesh."""
        topic.mesh[peer] = None
        if self.score is not None:
            self.score.graft(peer.id, topic.name, now)
        self.actions.append(MeshChanged(topic.name, peer.id, True, change))

    def prune(self, topic: Topic, peer: Peer, change: Change, now: float) -> None:
        """Take it out of our mesh, if it is in. A PRUNE counts in its score in any case."""
        if self.score is not None:
            self.score.prune(peer.id, topic.name, now)
        if peer in topic.mesh:
            del topic.mesh[peer]
            self.actions.append(MeshChanged(topic.name, peer.id, False, change))

    def candidates(self, topic: Topic, now: float, *, least: float = 0.0) -> list[Peer]:
        """Subscribers that could be grafted: not in the mesh, not direct, not backed off, with a score of at least `least`."""
        over = now - self.config.backoff_slack
        backed_off = {peer for peer, until in self.backoff.of(topic.name).items() if until >= over}
        return [
            peer
            for peer in topic.subscribers
            if peer.has_mesh
            and not peer.is_direct
            and peer not in topic.mesh
            and peer.id not in backed_off
            and self.score_of(peer, now) >= least
        ]

    def best_of(self, topic: Topic, now: float) -> float:
        """The best score in the mesh; 0 where that is empty, or all in it are worth less."""
        return max([0.0, *(self.score_of(peer, now) for peer in topic.mesh)])

    def admit_strangers(self, topic: Topic, strangers: "Sequence[Peer]", missing: int, now: float) -> list[Peer]:
        """Of peers that have shown nothing and that we did not dial, those that are to fill `missing` places.

        All places where nobody is scored, or nobody has shown anything yet. Else a mesh leaves a place empty rather than give it
        to somebody: they may all be of one mind. It takes those without whom it would be all but empty, and one now and then.
        """
        if self.score is None or not topic.mesh or median([self.score_of(peer, now) for peer in topic.mesh]) <= 0:
            return pick(strangers, missing, self.random)
        lacking = self.config.degree_out + 1 - len(topic.mesh)
        if lacking > 0:
            return pick(strangers, min(missing, lacking), self.random)
        count = topic.strangers.take(min(missing, len(strangers)), now, self.config, self.random)
        return pick(strangers, count, self.random)


def graft_rpc(*topics: str) -> Rpc:
    """GRAFTs alone."""
    return Rpc(control=ControlMessages(graft=list(topics)))

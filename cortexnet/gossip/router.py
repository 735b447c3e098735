"""The gossip router: to whom messages go, and what is said to whom besides. A core, for one node and all its topics.

It is told what happens (streams, RPCs, verdicts, time) and answers with actions; see actions.py. What is done is in the modules
beside this one: neighbours, incoming, control, verdicts, publish, topics, heartbeat, px. Nothing is sent but by an action, and no
call of it calls anybody back but the functions in the configuration.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.0 to v1.3.
"""

from typing import TYPE_CHECKING, final

from cortexnet.gossip import heartbeat, incoming, neighbours, publish, topics, verdicts
from cortexnet.gossip.actions import Action, Validate, Verdict
from cortexnet.gossip.peer_state import Kept
from cortexnet.gossip.router_state import RouterState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from cortexnet.gossip.config import GossipConfig
    from cortexnet.gossip.message import Message
    from cortexnet.gossip.messages import Rpc
    from cortexnet.gossip.score import PeerScore
    from cortexnet.gossip.score_params import Address
    from cortexnet.gossip.signing import RejectReason
    from cortexnet.identity.peer_id import PeerId


def no_record(_: "PeerId") -> bytes:
    """For a router that knows nobody's signed record."""
    return b""


@final
class Router:
    """The router of the node `own`. `now` is any monotonic clock, the same in all calls; all of them are cheap and never wait.

    `records` gives the signed record of a peer, as identify brought it (b"" where there is none), to be told in peer exchange.
    Methods about peers that are not known do nothing.
    """

    __slots__ = ("_state",)

    def __init__(
        self,
        own: "PeerId",
        config: "GossipConfig",
        random: "Random",
        now: float,
        *,
        records: "Callable[[PeerId], bytes]" = no_record,
    ) -> None:
        self._state = RouterState(own, config, random, now, records)

    def on_charged(self, charged: "Callable[[PeerId, RejectReason], None]") -> None:
        """Call back with who has brought a message that no correct peer passes on. It must not raise."""
        self._state.on_charged = charged

    # --- peers -------------------------------------------------------------------------------------------------------------

    def add_peer(self, peer: "PeerId", protocol: str, *, outbound: bool, now: float, ips: "Sequence[Address]" = ()) -> None:
        """Our stream to the peer is open, and speaks `protocol`, one of the configuration's. Its first action is the hello.

        `outbound` says whether we dialed it, `ips` where from its connections come (for the score; those of relays left out).
        """
        state = self._state
        known = neighbours.meet(state, peer, now)
        if state.score is not None:
            state.score.set_ips(peer, ips)
        if state.gater is not None:
            state.gater.add_peer(peer, ips[0] if ips else None)
        neighbours.opened(state, known, protocol, outbound, now)

    def stream_closed(self, peer: "PeerId", now: float) -> None:
        """Our stream to the peer is gone, but it may still speak to us. To be followed by `add_peer` or `remove_peer`."""
        known = self._state.peers.get(peer)
        if known is not None and known.is_open:
            neighbours.closed(self._state, known, now)

    def inbound_begun(self, peer: "PeerId") -> None:
        """The next RPC of the peer is the first of a stream, and may name extensions. Its topics hold: rust names them once."""
        known = self._state.peers.get(peer)
        if known is not None:
            known.has_spoken = False

    def remind(self, peer: "PeerId") -> None:
        """The peer may have forgotten our topics: they are named again, once, at the next heartbeat."""
        known = self._state.peers.get(peer)
        if known is not None and known.is_open and self._state.joined:
            self._state.kept.setdefault(known, Kept()).subscriptions.update(dict.fromkeys(self._state.joined))

    def remove_peer(self, peer: "PeerId", now: float) -> None:
        """The peer is disconnected: there is no stream to or from it any more."""
        known = self._state.peers.get(peer)
        if known is not None:
            neighbours.removed(self._state, known, now)

    def set_ips(self, peer: "PeerId", ips: "Sequence[Address]") -> None:
        """Where from the connections of the peer come has changed."""
        if self._state.score is not None:
            self._state.score.set_ips(peer, ips)

    def add_direct(self, peer: "PeerId", now: float) -> None:
        """Treat the peer as direct from now on: it gets every message of its topics, is in no mesh, and is kept connected."""
        neighbours.make_direct(self._state, peer, True, now)

    def remove_direct(self, peer: "PeerId", now: float) -> None:
        """Treat the peer as any other."""
        neighbours.make_direct(self._state, peer, False, now)

    def receive(self, peer: "PeerId", rpc: "Rpc", now: float) -> None:
        """An RPC of a connected peer. Costs at most what the limits in the configuration allow, however bad it is."""
        state = self._state
        incoming.take_rpc(state, state.peers.get(peer) or neighbours.meet(state, peer, now), rpc, now)

    def dropped(self, peer: "PeerId", rpc: "Rpc") -> None:
        """An RPC had no room in the peer's queue. Its subscriptions, GRAFTs and PRUNEs are said again at the next heartbeat, as
        far as they are still true; all else is lost.
        """
        known = self._state.peers.get(peer)
        control = rpc.control
        if known is None or not (rpc.subscriptions or (control is not None and (control.graft or control.prune))):
            return
        kept = self._state.kept.setdefault(known, Kept())
        kept.subscriptions.update(dict.fromkeys(entry.topic for entry in rpc.subscriptions))
        if control is not None:
            kept.grafts.update(dict.fromkeys(control.graft))
            kept.prunes.update({prune.topic: prune for prune in control.prune})

    # --- topics and messages -----------------------------------------------------------------------------------------------

    def subscribe(self, topic: str, now: float) -> None:
        """Join a topic: its messages are delivered here and passed on. Nothing where we have."""
        topics.join(self._state, topic, now)

    def unsubscribe(self, topic: str, now: float) -> None:
        """Leave it. Nothing where we have not joined."""
        topics.leave(self._state, topic, now)

    def publish(self, message: "Message", now: float) -> "list[PeerId]":
        """Send a message of our own, signed and valid; the peers it goes to. None where it was published before.

        Where its topic is joined, it is delivered here as well. Raises what the configuration's `message_id` raises, and
        LocalError for an id that is none.
        """
        self._state.ids.of(message)
        return publish.publish(self._state, message, now)

    def verified(self, token: Validate, now: float) -> bool:
        """The signature of this message holds. False where nothing more is to be done about it: another copy was faster.

        Where validators are asked nothing that takes time, `validated` alone will do.
        """
        return verdicts.verify(self._state, token, now)

    def validated(self, token: Validate, verdict: Verdict, now: float) -> None:
        """What the validators say of a message whose signature holds. What is accepted is passed on and delivered."""
        verdicts.decide(self._state, token, verdict, now)

    def rejected(self, token: Validate, reason: "RejectReason", now: float) -> None:
        """The message is to be dropped for another reason than a verdict: its signature, or for want of room in validation."""
        verdicts.reject(self._state, token, reason, now)

    # --- time --------------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float:
        """When `handle_timeout` must be called next."""
        state = self._state
        return min(state.heartbeat_due, state.decay_due, state.gater_due)

    def handle_timeout(self, now: float) -> None:
        """Do what is due: scores decay, the heart beats. What was missed meanwhile is not made up for."""
        state = self._state
        if state.score is not None and state.config.score is not None and now >= state.decay_due:
            state.score.decay(now)
            state.decay_due = _next(state.decay_due, state.config.score.decay_interval, now)
        if state.gater is not None and state.config.peer_gater is not None and now >= state.gater_due:
            state.gater.decay(now)
            state.gater_due = _next(state.gater_due, state.config.peer_gater.decay_interval, now)
        if now >= state.heartbeat_due:
            state.heartbeat_due = _next(state.heartbeat_due, state.config.heartbeat, now)  # first, for what follows may raise
            heartbeat.beat(state, now)

    def take_actions(self) -> list[Action]:
        """What is to be done, in this order; each is handed out once."""
        actions, self._state.actions = self._state.actions, []
        return actions

    # --- what is known -----------------------------------------------------------------------------------------------------

    @property
    def topics(self) -> list[str]:
        """The topics that we have joined."""
        return list(self._state.joined)

    def peers(self, topic: str | None = None) -> "list[PeerId]":
        """Peers that subscribed to the topic; all peers where none is given."""
        if topic is None:
            return list(self._state.peers)
        known = self._state.topics.get(topic)
        return [peer.id for peer in known.subscribers] if known is not None else []

    def mesh(self, topic: str) -> "list[PeerId]":
        """With whom we exchange the messages of a topic."""
        known = self._state.joined.get(topic)
        return [peer.id for peer in known.mesh] if known is not None else []

    def fanout(self, topic: str) -> "list[PeerId]":
        """To whom we publish in a topic that we have not joined."""
        known = self._state.published.get(topic)
        return [peer.id for peer in known.fanout] if known is not None else []

    def is_direct(self, peer: "PeerId") -> bool:
        """Whether the peer is treated as direct."""
        return peer in self._state.direct

    @property
    def validating(self) -> int:
        """Messages whose Validate has no outcome yet; at the configuration's `validation_limit` more are dropped unseen."""
        return self._state.validating

    @property
    def overflowed(self) -> int:
        """Messages that were dropped unseen for that."""
        return self._state.overflowed

    @property
    def unidentified(self) -> int:
        """Messages that were dropped, for the application's function could not make out their id."""
        return self._state.unidentified

    @property
    def score(self) -> "PeerScore | None":
        """What peers are worth; None where they are not scored."""
        return self._state.score

    def score_of(self, peer: "PeerId", now: float) -> float:
        """What a peer is worth; 0 where peers are not scored, or it is not known."""
        return self._state.score.score(peer, now) if self._state.score is not None else 0.0


def _next(due: float, interval: float, now: float) -> float:
    return due + interval if now < due + interval else now + interval

"""What is done each second: the meshes are mended, others are told what we heard, and what was counted is counted anew.

All that one peer has to hear of it goes into one RPC: go answers to ten of them between two heartbeats of its own.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.0, "Heartbeat"; gossipsub-v1.1, "Adaptive Gossip Dissemination",
"Opportunistic Grafting", "Outbound Mesh Quotas".
"""

from typing import TYPE_CHECKING, final

from cortexnet.gossip import control, px
from cortexnet.gossip.actions import CONTROL, GOSSIP, Change, Connect
from cortexnet.gossip.mesh import gossip_count, is_proven, median, pick, surplus
from cortexnet.gossip.messages import ControlMessages, IHave, Rpc, Subscription
from cortexnet.gossip.peer_state import Peer
from cortexnet.gossip.publish import fill_fanout

if TYPE_CHECKING:
    from collections.abc import Container

    from cortexnet.gossip.peer_state import Topic
    from cortexnet.gossip.router_state import RouterState


OPENING_BEATS = 5
"""Heartbeats for which a peer is in a mesh without a stream of ours to it. To open one takes two round trips."""


def beat(state: "RouterState", now: float) -> None:
    """One heartbeat."""
    state.ticks += 1
    _forget_old(state, now)
    _mind_direct_peers(state)
    Heartbeat(state, now).run()
    state.cache.shift()


def _forget_old(state: "RouterState", now: float) -> None:
    config = state.config
    if state.ticks % config.backoff_clear_ticks == 0:
        state.backoff.clear(now, config.backoff_slack)
    for peer in state.counted:
        peer.reset_counts()
    state.counted.clear()
    control.age_unwanted(state)
    for peer_id, count in state.promises.broken(now).items():
        if state.score is not None:
            state.score.add_penalty(peer_id, count)
    for topic in list(state.published.values()):
        if topic.last_published is not None and topic.last_published + config.fanout_ttl < now:
            topic.fanout, topic.last_published = {}, None
            del state.published[topic.name]
            state.drop_if_idle(topic)


def _mind_direct_peers(state: "RouterState") -> None:
    if state.ticks == 2 or state.ticks % state.config.direct_ticks == 0:  # the second one comes about a second after the start
        for peer_id in state.direct:
            peer = state.peers.get(peer_id)
            if peer is None or not peer.is_open:
                state.actions.append(Connect(peer_id))


@final
class Heartbeat:
    """The work of one heartbeat on the meshes, and what is to be said of it."""

    def __init__(self, state: "RouterState", now: float) -> None:
        self._state = state
        self._now = now
        self._scores: dict[Peer, float] = {}
        self._words: dict[Peer, ControlMessages] = {}  # what each peer is to be told
        self._condemned: dict[Peer, None] = {}  # pruned for their score: they learn of no other peers

    def run(self) -> None:
        """Do it."""
        state = self._state
        for topic in state.joined.values():
            self._mend(topic)
            self._gossip(topic, topic.mesh)
        for topic in state.published.values():
            fill_fanout(state, topic, self._now)
            self._gossip(topic, topic.fanout)
        self._say_again()
        self._speak()

    # --- the mesh ----------------------------------------------------------------------------------------------------------

    def _score(self, peer: "Peer") -> float:
        score = self._scores.get(peer)
        if score is None:
            score = self._scores[peer] = self._state.score_of(peer, self._now)
        return score

    def _mend(self, topic: "Topic") -> None:
        config, mesh = self._state.config, topic.mesh
        least = config.degree_low
        for peer in [peer for peer in mesh if self._score(peer) < 0]:
            self._condemned[peer] = None
            self._prune(topic, peer)
            least = config.degree  # or others of its kind would come in its place before we choose somebody
        for peer in [peer for peer in mesh if not peer.is_open]:
            self._wait_for(topic, peer)
        if len(mesh) < least:
            self._graft(topic, self._fit(topic), config.degree - len(mesh))
        if len(mesh) >= config.degree_high:
            self._cut(topic)
        if len(mesh) >= config.degree_low:
            missing = config.degree_out - sum(peer.is_outbound for peer in mesh)
            if missing > 0:
                self._graft(topic, [peer for peer in self._fit(topic) if peer.is_outbound], missing)
        if self._state.ticks % config.opportunistic_ticks == 0 and len(mesh) > 1:
            self._improve(topic)

    def _fit(self, topic: "Topic") -> "list[Peer]":
        return self._state.candidates(topic, self._now)

    def _graft(self, topic: "Topic", candidates: "list[Peer]", count: int) -> None:
        self._take(topic, self._choose(topic, candidates, count))

    def _take(self, topic: "Topic", peers: "list[Peer]") -> None:
        for peer in peers:
            self._state.graft(topic, peer, Change.GRAFTED, self._now)
            self._word(peer).graft.append(topic.name)

    def _choose(self, topic: "Topic", candidates: "list[Peer]", count: int) -> "list[Peer]":
        """By lot. But where peers are scored, first among those that have shown something, then among those that we dialed; and
        of the others, of whom there may be any number, no more than have to be.
        """
        state = self._state
        if state.score is None or count <= 0:
            return pick(candidates, count, state.random)
        best = state.best_of(topic, self._now)
        proven, dialed, strangers = list[Peer](), list[Peer](), list[Peer]()
        for peer in candidates:
            kind = proven if is_proven(self._score(peer), best) else dialed if peer.is_outbound else strangers
            kind.append(peer)
        chosen = pick(proven, count, state.random)
        chosen += pick(dialed, count - len(chosen), state.random)
        missing = count - len(chosen)
        if missing > 0 and strangers:
            chosen += state.admit_strangers(topic, strangers, missing, self._now)
        return chosen

    def _prune(self, topic: "Topic", peer: "Peer") -> None:
        """Out, and not back for a while: the backoff holds for both sides."""
        state, backoff = self._state, self._state.config.prune_backoff
        state.prune(topic, peer, Change.PRUNED, self._now)
        state.backoff.add(topic.name, peer.id, self._now + backoff)
        exchange = peer not in self._condemned
        prune = px.make_prune(state, topic, peer, self._now, backoff=backoff, exchange=exchange)
        self._word(peer).prune.append(prune)

    def _wait_for(self, topic: "Topic", peer: "Peer") -> None:
        """It has grafted us before our stream to it was open. Who never lets us open one would hold its place for nothing."""
        peer.beats_unopened += 1
        if peer.beats_unopened > OPENING_BEATS:
            self._prune(topic, peer)

    def _cut(self, topic: "Topic") -> None:
        config = self._state.config
        leaving = surplus(
            topic.mesh,
            self._score,
            lambda peer: peer.is_outbound,
            target=config.degree,
            best=config.degree_score,
            outbound=config.degree_out,
            random=self._state.random,
        )
        for peer in leaving:
            self._prune(topic, peer)

    def _improve(self, topic: "Topic") -> None:
        """Where the mesh is poor, bring in some that are better than half of it: it would not get better by itself."""
        state = self._state
        middle = median(map(self._score, topic.mesh))
        if middle < state.thresholds.opportunistic_graft:
            better = [peer for peer in state.candidates(topic, self._now, least=middle) if self._score(peer) > middle]
            self._take(topic, pick(better, state.config.opportunistic_peers, state.random))

    # --- gossip ------------------------------------------------------------------------------------------------------------

    def _gossip(self, topic: "Topic", besides: "Container[Peer]") -> None:
        """Tell some of those that do not get them by themselves which messages there were."""
        state, config = self._state, self._state.config
        ids = state.cache.gossip_ids(topic.name)
        if not ids or not config.ihave_ids:
            return
        least = state.thresholds.gossip
        fit = [
            peer
            for peer in topic.subscribers
            if peer.has_mesh and not peer.is_direct and peer not in besides and self._score(peer) >= least
        ]
        count = gossip_count(len(fit), lazy=config.degree_lazy, factor=config.gossip_factor)
        chosen = pick(fit, count, state.random)
        if len(ids) <= config.ihave_ids:
            state.random.shuffle(ids)
            said = IHave(topic.name, ids)
            for peer in chosen:
                self._word(peer).ihave.append(said)
        else:  # each peer is told others, so that together they are told all
            for peer in chosen:
                self._word(peer).ihave.append(IHave(topic.name, state.random.sample(ids, config.ihave_ids)))

    # --- what is said of it ------------------------------------------------------------------------------------------------

    def _word(self, peer: "Peer") -> ControlMessages:
        word = self._words.get(peer)
        if word is None:
            word = self._words[peer] = ControlMessages()
        return word

    def _say_again(self) -> None:
        """What had no room before, as far as it is still true."""
        state = self._state
        kept, state.kept = state.kept, {}
        for peer, words in kept.items():
            if words.subscriptions:
                state.send(peer, Rpc([Subscription(name, name in state.joined) for name in words.subscriptions]), CONTROL)
            for name in words.grafts:
                topic = state.joined.get(name)
                if topic is not None and peer in topic.mesh:
                    self._word(peer).graft.append(name)
            for name, prune in words.prunes.items():
                topic = state.joined.get(name)
                if topic is None or peer not in topic.mesh:
                    self._word(peer).prune.append(prune)

    def _speak(self) -> None:
        """One RPC a peer; and one for all those that are told the same, which is gossip alone."""
        state = self._state
        alike: dict[int, list[Peer]] = {}
        for peer, word in self._words.items():
            if word.graft or word.prune or len(word.ihave) > 1:
                state.send(peer, Rpc(control=word), CONTROL if word.graft or word.prune else GOSSIP)
            else:
                alike.setdefault(id(word.ihave[0]), []).append(peer)
        for peers in alike.values():
            state.send_to_all(peers, Rpc(control=self._words[peers[0]]), GOSSIP)

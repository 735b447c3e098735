"""Any course of events: what always holds of a router, whatever its peers do."""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cortexnet.gossip.actions import FORWARD, OWN, Action, Deliver, SendRpc, Validate, Verdict
from cortexnet.gossip.config import PROTOCOLS, GossipConfig
from cortexnet.gossip.messages import ControlMessages, IHave, Prune, PrunePeer, Rpc, Subscription, decode, encode
from cortexnet.gossip.router import Router
from cortexnet.gossip.score_params import ScoreParams, TopicScoreParams
from cortexnet.gossip.signing import RejectReason
from cortexnet.identity.peer_id import PeerId
from tests.support.gossip_router import id_of, message, peer_id

PEERS = st.integers(1, 16)
TOPICS = st.sampled_from(["a", "b"])
NUMBERS = st.integers(0, 20)
REASONS = st.sampled_from(
    [RejectReason.INVALID_SIGNATURE, RejectReason.VALIDATION_THROTTLED, RejectReason.QUEUE_FULL, RejectReason.MALFORMED]
)


class RouterMachine(RuleBasedStateMachine):
    """A router, sixteen peers that do anything, and a simple model of what may follow."""

    @initialize(seed=st.integers(0, 9), is_scored=st.booleans(), flood=st.booleans())
    def begin(self, seed: int, is_scored: bool, flood: bool) -> None:
        topic = TopicScoreParams(
            mesh_deliveries_weight=-0.1, mesh_deliveries_threshold=1, invalid_weight=-1.0, first_deliveries_weight=1.0
        )
        score = ScoreParams(topics={"a": topic}, behaviour_threshold=2.0) if is_scored else None
        self.config = GossipConfig(
            score=score, flood_publish=flood, peer_exchange=True, degree_high=8, opportunistic_ticks=3, validation_limit=6
        )
        self.now = 0.0
        self.router = Router(peer_id(0), self.config, Random(seed), 0.0)
        self.open: dict[PeerId, None] = {}
        self.tokens: list[Validate] = []
        self.delivered: dict[bytes, float] = {}
        self.backoff: dict[tuple[str, PeerId], float] = {}

    # --- what happens ------------------------------------------------------------------------------------------------------

    @rule(number=PEERS, protocol=st.sampled_from(PROTOCOLS), outbound=st.booleans())
    def stream_opens(self, number: int, protocol: str, outbound: bool) -> None:
        self.open[peer_id(number)] = None
        self.router.add_peer(peer_id(number), protocol, outbound=outbound, now=self.now)
        self.take()

    @rule(number=PEERS, how=st.sampled_from(["ours", "theirs", "both"]))
    def stream_ends(self, number: int, how: str) -> None:
        peer = peer_id(number)
        if how == "theirs":
            self.router.inbound_begun(peer)
        elif how == "ours":
            self.open.pop(peer, None)
            self.router.stream_closed(peer, self.now)
        else:
            self.open.pop(peer, None)
            self.router.remove_peer(peer, self.now)
        self.take()

    @rule(topic=TOPICS, wanted=st.booleans())
    def we_join_or_leave(self, topic: str, wanted: bool) -> None:
        (self.router.subscribe if wanted else self.router.unsubscribe)(topic, self.now)
        self.take()

    @rule(number=PEERS, direct=st.booleans())
    def peer_is_made_direct(self, number: int, direct: bool) -> None:
        (self.router.add_direct if direct else self.router.remove_direct)(peer_id(number), self.now)
        self.take()

    @rule(numbers=st.lists(PEERS, min_size=1), topics=st.lists(TOPICS, max_size=3), wanted=st.booleans())
    def peers_subscribe(self, numbers: list[int], topics: list[str], wanted: bool) -> None:
        for number in numbers:
            self.hear(peer_id(number), Rpc([Subscription(topic, wanted) for topic in topics]))

    @rule(numbers=st.lists(PEERS, min_size=1), topics=st.lists(TOPICS, max_size=3))
    def peers_graft(self, numbers: list[int], topics: list[str]) -> None:
        for number in numbers:
            self.hear(peer_id(number), Rpc(control=ControlMessages(graft=topics)))

    @rule(number=PEERS, topic=TOPICS, backoff=st.sampled_from([None, 0, 5, 60, 100_000]), named=PEERS)
    def peer_prunes(self, number: int, topic: str, backoff: int | None, named: int) -> None:
        peer = peer_id(number)
        if topic in self.router.topics and self.is_heard(peer):
            seconds = min(max(backoff, 10), 3_600) if backoff else 60
            self.note_backoff(topic, peer, seconds)
        prune = Prune(topic, [PrunePeer(bytes(peer_id(named + 50)))], backoff)
        self.hear(peer, Rpc(control=ControlMessages(prune=[prune])))

    @rule(number=PEERS, topic=TOPICS, ids=st.lists(NUMBERS, max_size=5), kind=st.sampled_from(["ihave", "iwant", "idontwant"]))
    def peer_speaks_of_messages(self, number: int, topic: str, ids: list[int], kind: str) -> None:
        names = [id_of(message(each, topic=topic)) for each in ids]
        control = ControlMessages()
        if kind == "ihave":
            control.ihave.append(IHave(topic, names))
        elif kind == "iwant":
            control.iwant += names
        else:
            control.idontwant += names
        self.hear(peer_id(number), Rpc(control=control))

    @rule(number=PEERS, topic=TOPICS, ids=st.lists(NUMBERS, min_size=1, max_size=4), large=st.booleans(), forged=st.booleans())
    def peer_brings(self, number: int, topic: str, ids: list[int], large: bool, forged: bool) -> None:
        data = b"x" * 2_000 if large else b""
        signature = b"forged %d" % number if forged else b"s"
        self.hear(peer_id(number), Rpc(messages=[message(each, topic=topic, data=data, signature=signature) for each in ids]))

    @rule(index=st.integers(0, 9), verdict=st.sampled_from(Verdict), is_verified=st.booleans())
    def validators_speak(self, index: int, verdict: Verdict, is_verified: bool) -> None:
        if self.tokens:
            token = self.tokens.pop(index % len(self.tokens))
            if not is_verified or self.router.verified(token, self.now):
                self.router.validated(token, verdict, self.now)
            self.take()

    @rule(index=st.integers(0, 9), reason=REASONS)
    def message_is_dropped(self, index: int, reason: RejectReason) -> None:
        if self.tokens:
            self.router.rejected(self.tokens.pop(index % len(self.tokens)), reason, self.now)
            self.take()

    @rule(number=NUMBERS, topic=TOPICS)
    def we_publish(self, number: int, topic: str) -> None:
        self.router.publish(message(number + 100, topic=topic, author=0), self.now)
        self.take()

    @rule(number=PEERS, topic=TOPICS)
    def queue_is_full(self, number: int, topic: str) -> None:
        lost = Rpc([Subscription(topic)], control=ControlMessages(graft=[topic], prune=[Prune(topic)]))
        self.router.dropped(peer_id(number), lost)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 20.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.router.next_timeout()) <= until:
            self.now = max(due, self.now)
            self.router.handle_timeout(self.now)
            self.take()
            self.check_meshes()
        self.now = until

    # --- what must hold ----------------------------------------------------------------------------------------------------

    def is_heard(self, peer: PeerId) -> bool:
        state = self.router._state
        known = state.peers.get(peer)
        return (known is not None and known.is_direct) or self.router.score_of(peer, self.now) >= state.thresholds.graylist

    def hear(self, peer: PeerId, rpc: Rpc) -> None:
        self.router.receive(peer, decode(encode(rpc), self.config), self.now)
        self.take()

    def note_backoff(self, topic: str, peer: PeerId, seconds: float) -> None:
        self.backoff[topic, peer] = max(self.now + seconds, self.backoff.get((topic, peer), 0.0))

    def take(self) -> None:
        for action in self.router.take_actions():
            self.check(action)

    def check(self, action: Action) -> None:
        if isinstance(action, Validate):
            assert action.message.topic in self.router.topics
            self.tokens.append(action)
        elif isinstance(action, Deliver):
            assert self.delivered.get(action.id, -1_000.0) + self.config.seen_ttl <= self.now
            self.delivered[action.id] = self.now
        elif isinstance(action, SendRpc):
            assert action.peers
            assert len(set(action.peers)) == len(action.peers)
            assert set(action.peers) <= set(self.open)
            encode(action.rpc)
            if action.priority in (OWN, FORWARD):
                assert len(action.rpc.messages) == 1
            self.check_control(action)

    def check_control(self, action: SendRpc) -> None:
        if action.rpc.control is None:
            return
        for peer in action.peers:
            for topic in action.rpc.control.graft:
                assert self.backoff.get((topic, peer), 0.0) <= self.now
                assert peer in self.router.mesh(topic)
                assert not self.router.is_direct(peer)
            for prune in action.rpc.control.prune:
                assert peer not in self.router.mesh(prune.topic)
                if prune.backoff is not None:
                    self.note_backoff(prune.topic, peer, prune.backoff)

    def check_meshes(self) -> None:
        """After a heartbeat a mesh is neither too large, nor too small while there are peers for it."""
        state, config = self.router._state, self.config
        if state.heartbeat_due != self.now + config.heartbeat:
            return  # it was the scores that were due
        for topic in state.joined.values():
            assert len(topic.mesh) < config.degree_high + config.degree_out + config.opportunistic_peers
            if len(topic.mesh) < config.degree_low:
                assert state.candidates(topic, self.now) == []
            assert all(state.score_of(peer, self.now) >= 0 for peer in topic.mesh)

    @invariant()
    def tables_agree(self) -> None:
        state = self.router._state
        assert state.validating == len(self.tokens) == sum(map(len, state.pending.values())) <= self.config.validation_limit
        for peer in state.peers.values():
            assert peer.is_open == (peer.id in self.open)
            assert bool(peer.unwanted) == (peer in state.unwilling)
            assert all(peer in state.topics[name].subscribers for name in peer.topics)
        for name, topic in state.topics.items():
            assert not topic.is_idle
            assert topic.is_joined == (name in state.joined)
            assert (topic.last_published is not None) == (name in state.published)
            assert all(name in peer.topics and state.peers[peer.id] is peer for peer in topic.subscribers)
            assert all(state.peers[peer.id] is peer for peer in [*topic.mesh, *topic.fanout])
            assert topic.is_joined or not topic.mesh
            assert not any(peer.is_direct for peer in topic.mesh)


RouterMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestRouterMachine = RouterMachine.TestCase

"""Peers come and go, and say which topics they want."""

from typing import TYPE_CHECKING

from cortexnet.gossip import px
from cortexnet.gossip.actions import CONTROL, HELLO, Change, Connect, MeshChanged, SubscriptionChanged
from cortexnet.gossip.mesh import is_proven
from cortexnet.gossip.messages import ControlMessages, Extensions, Rpc, Subscription
from cortexnet.gossip.peer_state import Peer
from cortexnet.gossip.router_state import graft_rpc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cortexnet.gossip.peer_state import Topic
    from cortexnet.gossip.router_state import RouterState
    from cortexnet.identity.peer_id import PeerId


def meet(state: "RouterState", peer_id: "PeerId", now: float) -> Peer:
    """What is remembered of this peer; it begins here, at the first stream either way."""
    peer = state.peers.get(peer_id)
    if peer is None:
        peer = state.peers[peer_id] = Peer(peer_id)
        peer.is_direct = peer_id in state.direct
        if state.score is not None:
            state.score.add_peer(peer_id, now)
    return peer


def opened(state: "RouterState", peer: Peer, protocol: str, outbound: bool, now: float) -> None:
    """Our stream to a peer is open: greet it, and take it into the meshes that lack peers."""
    peer.open(protocol, outbound=outbound)
    hello = Rpc([Subscription(name) for name in state.joined])
    if peer.was_open:
        hello.subscriptions += [Subscription(name, subscribe=False) for name in state.left]
    if peer.has_extensions and state.config.test_extension:
        hello.control = ControlMessages(extensions=Extensions(test_extension=True))
    state.send(peer, hello, HELLO)
    answer_test(state, peer)
    for name in peer.topics:
        state.topics[name].change()
    _graft_where_wanted(state, peer, list(peer.topics), now)


def answer_test(state: "RouterState", peer: Peer) -> None:
    """Use the test extension once both sides have named it."""
    if state.config.test_extension and peer.wants_test and peer.has_extensions:
        state.send(peer, Rpc(test_extension=True))


def closed(state: "RouterState", peer: Peer, now: float) -> None:
    """Our stream to a peer is gone: it leaves our meshes, and what it said about messages no longer holds."""
    for topic in state.joined.values():
        if peer in topic.mesh:
            state.prune(topic, peer, Change.GONE, now)
    _forget(state, peer)
    peer.close()
    for name in peer.topics:
        state.topics[name].change()


def removed(state: "RouterState", peer: Peer, now: float) -> None:
    """No stream to or from a peer is left: of it nothing stays but its score."""
    for topic in state.joined.values():
        if peer in topic.mesh:
            del topic.mesh[peer]
            state.actions.append(MeshChanged(topic.name, peer.id, False, Change.GONE))
    if state.score is not None:
        state.score.remove_peer(peer.id, now)
    if state.gater is not None:
        state.gater.remove_peer(peer.id, now)
    _forget(state, peer)
    for name in list(peer.topics):
        _unsubscribe(state, peer, name)
    del state.peers[peer.id]


def _forget(state: "RouterState", peer: Peer) -> None:
    for topic in state.published.values():
        topic.fanout.pop(peer, None)
    state.kept.pop(peer, None)
    state.counted.pop(peer, None)
    state.unwilling.pop(peer, None)


def take_subscriptions(state: "RouterState", peer: Peer, subscriptions: "Sequence[Subscription]", now: float) -> None:
    """Note which topics a peer wants; the last word on each counts.

    Taken from peers of any score: who is not believed must still be able to leave.
    """
    config = state.config
    new = []
    for name, wanted in {entry.topic: entry.subscribe for entry in subscriptions}.items():
        if not wanted:
            _unsubscribe(state, peer, name)
        elif name not in peer.topics and len(peer.topics) < config.topics_per_peer and _is_accepted(state, name):
            peer.topics[name] = None
            topic = state.topic(name)
            topic.subscribers[peer] = None
            topic.change()
            new.append(name)
            state.actions.append(SubscriptionChanged(name, peer.id, True))
    if new and peer.is_open:
        _graft_where_wanted(state, peer, new, now)


def _is_accepted(state: "RouterState", name: str) -> bool:
    accept = state.config.accept_topic
    return len(name) <= state.config.topic_size and (accept is None or accept(name))


def _unsubscribe(state: "RouterState", peer: Peer, name: str) -> None:
    if name not in peer.topics:
        return
    del peer.topics[name]
    topic = state.topics[name]
    del topic.subscribers[peer]
    topic.fanout.pop(peer, None)
    topic.change()
    state.drop_if_idle(topic)
    state.actions.append(SubscriptionChanged(name, peer.id, False))


def _graft_where_wanted(state: "RouterState", peer: Peer, names: "Sequence[str]", now: float) -> None:
    """A mesh that lacks peers takes the newcomer at once, as rust does; go lets it wait for the next heartbeat."""
    if not peer.has_mesh or peer.is_direct or state.score_of(peer, now) < 0:
        return
    grafted = []
    for name in names:
        topic = state.joined.get(name)
        if topic is None or len(topic.mesh) >= state.config.degree_low or peer in topic.mesh:
            continue
        if not state.backoff.holds(name, peer.id) and _may_come(state, topic, peer, now):
            state.graft(topic, peer, Change.GRAFTED, now)
            grafted.append(name)
    if grafted:
        state.send(peer, graft_rpc(*grafted), CONTROL)


def _may_come(state: "RouterState", topic: "Topic", peer: Peer, now: float) -> bool:
    """Whether a newcomer is let into a mesh that lacks peers: coming anew shall not be a way to be let in first."""
    if peer.is_outbound or is_proven(state.score_of(peer, now), state.best_of(topic, now)):
        return True
    return bool(state.admit_strangers(topic, [peer], 1, now))


def make_direct(state: "RouterState", peer_id: "PeerId", is_direct: bool, now: float) -> None:
    """Begin or end to treat a peer as direct: every message goes to it, and it is in no mesh."""
    peer = state.peers.get(peer_id)
    if is_direct:
        state.direct[peer_id] = None
    else:
        state.direct.pop(peer_id, None)
    if peer is not None and peer.is_direct != is_direct:
        peer.is_direct = is_direct
        for name in peer.topics:
            state.topics[name].change()
        _part(state, peer, now)
    if is_direct and (peer is None or not peer.is_open):
        state.actions.append(Connect(peer_id))


def _part(state: "RouterState", peer: Peer, now: float) -> None:
    """Take a peer that is direct from now on out of the meshes: it gets all messages anyway, and its place is another's."""
    for topic in state.joined.values():
        if peer in topic.mesh:
            state.prune(topic, peer, Change.PRUNED, now)
            prune = px.make_prune(state, topic, peer, now, backoff=state.config.prune_backoff, exchange=False)
            state.send(peer, Rpc(control=ControlMessages(prune=[prune])))

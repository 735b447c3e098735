"""We join and leave topics.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.0, "Topic Membership"; gossipsub-v1.1, "Unsubscribe Backoff".
"""

from typing import TYPE_CHECKING, Final

from cortexnet.gossip import px
from cortexnet.gossip.actions import CONTROL, Change
from cortexnet.gossip.mesh import pick
from cortexnet.gossip.messages import ControlMessages, Rpc, Subscription

if TYPE_CHECKING:
    from cortexnet.gossip.router_state import RouterState

LEFT_LIMIT: Final = 256
"""Topics of which is known that we left them; the longest ago is forgotten."""


def join(state: "RouterState", name: str, now: float) -> None:
    """Tell everybody, and build a mesh: of those to whom we published before, as far as they are fit for it, and others."""
    topic = state.topic(name)
    if topic.is_joined:
        return
    topic.is_joined = True
    state.joined[name] = topic
    state.left.pop(name, None)
    state.published.pop(name, None)
    state.send_to_all(state.peers.values(), Rpc([Subscription(name)]), CONTROL)
    degree = state.config.degree
    fit = state.candidates(topic, now)
    chosen = [peer for peer in fit if peer in topic.fanout][:degree]
    others = [peer for peer in fit if peer not in topic.fanout]
    chosen += pick(others, degree - len(chosen), state.random)
    topic.fanout, topic.last_published = {}, None
    for peer in chosen:
        state.graft(topic, peer, Change.GRAFTED, now)
    state.send_to_all(chosen, Rpc(control=ControlMessages(graft=[name])), CONTROL)


def leave(state: "RouterState", name: str, now: float) -> None:
    """Tell everybody, and end the mesh: for a while, neither side grafts the other."""
    topic = state.topics.get(name)
    if topic is None or not topic.is_joined:
        return
    state.send_to_all(state.peers.values(), Rpc([Subscription(name, subscribe=False)]), CONTROL)
    backoff = state.config.unsubscribe_backoff
    for peer in list(topic.mesh):
        state.prune(topic, peer, Change.LEFT, now)
        prune = px.make_prune(state, topic, peer, now, backoff=backoff, exchange=True)
        state.send(peer, Rpc(control=ControlMessages(prune=[prune])), CONTROL)
        state.backoff.add(name, peer.id, now + backoff)
    topic.is_joined = False
    del state.joined[name]
    state.left[name] = None
    if len(state.left) > LEFT_LIMIT:
        del state.left[next(iter(state.left))]
    state.drop_if_idle(topic)

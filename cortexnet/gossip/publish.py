"""To whom a message goes: our own, and those of others on their way.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.0, "Message Processing"; gossipsub-v1.1, "Flood Publishing".
"""

from typing import TYPE_CHECKING

from cortexnet.gossip.actions import FORWARD, OWN, Deliver, SendRpc
from cortexnet.gossip.mesh import pick
from cortexnet.gossip.messages import Rpc

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from cortexnet.gossip.message import Message
    from cortexnet.gossip.peer_state import Peer, Topic
    from cortexnet.gossip.router_state import RouterState
    from cortexnet.identity.peer_id import PeerId


def publish(state: "RouterState", message: "Message", now: float) -> "list[PeerId]":
    """Send a message of our own, and deliver it here where we have joined its topic. To whom it goes.

    One that has been seen before does nothing; but where its validators ignored it, it does.
    """
    message_id = message.id
    if not state.seen.add(message_id, now) and message_id not in state.withheld:
        return []
    state.withheld.pop(message_id, None)
    state.cache.put(message)
    state.note_delivery(state.own, message, now)
    topic = state.topics.get(message.topic)
    if topic is None:
        return []  # nobody wants it: neither we nor any peer
    receivers = [peer.id for peer in _receivers_of_own(state, topic, message_id, now) if peer.raw != message.author]
    if receivers:
        state.actions.append(SendRpc(receivers, Rpc(messages=[message]), OWN))
    if topic.is_joined:
        state.actions.append(Deliver(message, message_id, state.own))
    return receivers


def forward(state: "RouterState", topic: "Topic", message: "Message", holders: "Container[Peer]", now: float) -> None:
    """Pass on what was accepted: to the mesh, to direct peers, and to those that know no mesh. Not to who has it already."""
    message_id, author = message.id, message.author
    state.cache.put(message)
    receivers = [
        peer.id
        for peer in topic.mesh
        if peer not in holders and peer.raw != author and peer.is_open and not (peer.unwanted and peer.is_unwilling(message_id))
    ]
    aside = topic.aside()
    if aside:
        others = [peer for peer in _believed(state, aside, now) if peer not in topic.mesh]  # anybody may have grafted us
        receivers += [peer.id for peer in others if peer not in holders and peer.raw != author]
    if receivers:
        state.actions.append(SendRpc(receivers, Rpc(messages=[message]), FORWARD))


def _receivers_of_own(state: "RouterState", topic: "Topic", message_id: bytes, now: float) -> "Iterable[Peer]":
    if state.config.flood_publish:
        return _believed(state, [peer for peer in topic.subscribers if peer.is_open], now)
    chosen = dict.fromkeys(_believed(state, topic.aside(), now))
    for peer in _mesh_of_own(state, topic, now) if topic.is_joined else _fanout(state, topic, now):
        if peer.is_open and not peer.is_unwilling(message_id):
            chosen[peer] = None
    return chosen


def _believed(state: "RouterState", peers: "Iterable[Peer]", now: float) -> "list[Peer]":
    """Those to whom messages go outside of a mesh: not those of a score below the threshold, but direct peers in any case."""
    least = state.thresholds.publish
    return [peer for peer in peers if peer.is_direct or state.score_of(peer, now) >= least]


def _mesh_of_own(state: "RouterState", topic: "Topic", now: float) -> "Iterable[Peer]":
    """The mesh; where it lacks peers, as shortly after joining, others of the topic besides, as rust does."""
    missing = state.config.degree - len(topic.mesh)
    if len(topic.mesh) >= state.config.degree_low:
        return topic.mesh
    return [*topic.mesh, *pick(_subscribers(state, topic, topic.mesh, now), missing, state.random)]


def _fanout(state: "RouterState", topic: "Topic", now: float) -> "Iterable[Peer]":
    """The peers we publish to without having joined, chosen at the first message and kept up by the heartbeat."""
    if not topic.fanout:
        topic.fanout = dict.fromkeys(pick(_subscribers(state, topic, (), now), state.config.degree, state.random))
    topic.last_published = now
    state.published[topic.name] = topic
    return topic.fanout


def _subscribers(state: "RouterState", topic: "Topic", besides: "Container[Peer]", now: float) -> "list[Peer]":
    meshed = [peer for peer in topic.subscribers if peer.has_mesh and not peer.is_direct and peer not in besides]
    return _believed(state, meshed, now)


def fill_fanout(state: "RouterState", topic: "Topic", now: float) -> None:
    """Let those go whose score has fallen, and choose others in their place."""
    topic.fanout = dict.fromkeys(_believed(state, topic.fanout, now))
    missing = state.config.degree - len(topic.fanout)
    if missing > 0:
        topic.fanout.update(dict.fromkeys(pick(_subscribers(state, topic, topic.fanout, now), missing, state.random)))

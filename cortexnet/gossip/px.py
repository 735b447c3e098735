"""Peer exchange: who prunes a peer may name others of the topic, each with the record it signed itself.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.1, "Prune and Peer Exchange".
"""

from typing import TYPE_CHECKING

from cortexnet.errors import RemoteError
from cortexnet.gossip.actions import Connect
from cortexnet.gossip.mesh import pick
from cortexnet.gossip.messages import Prune, PrunePeer
from cortexnet.identity.envelope import PeerRecord
from cortexnet.identity.peer_id import PeerId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cortexnet.gossip.peer_state import Peer, Topic
    from cortexnet.gossip.router_state import RouterState


def make_prune(state: "RouterState", topic: "Topic", peer: "Peer", now: float, *, backoff: float, exchange: bool) -> Prune:
    """The PRUNE for a peer. One that speaks 1.0 understands no more than the topic.

    `exchange` names others of good score, where the setting allows it.
    """
    if not peer.has_px:
        return Prune(topic.name)
    named = _others(state, topic, peer, now) if exchange and state.config.peer_exchange else []
    return Prune(topic.name, named, int(backoff))


def _others(state: "RouterState", topic: "Topic", peer: "Peer", now: float) -> list[PrunePeer]:
    good = [other for other in topic.subscribers if other is not peer and other.has_mesh and state.score_of(other, now) >= 0]
    return [PrunePeer(other.raw, state.records(other.id)) for other in pick(good, state.config.px_peers, state.random)]


def follow(state: "RouterState", peer: "Peer", named: "Sequence[PrunePeer]", score: float) -> None:
    """Connect to peers that were named to us, if who named them is good enough.

    Where peers aren't scored everybody would be, and anybody could send us anywhere: then direct peers are believed alone. go
    believes everybody. Of one peer so many are taken per heartbeat, for each costs the check of a signature.
    """
    if not peer.is_direct and (state.score is None or score < state.thresholds.accept_px):
        return
    count = state.config.px_peers - peer.px_count
    chosen = pick(named, count, state.random) if len(named) > count else named
    peer.px_count += len(chosen)
    state.counted[peer] = None
    for entry in chosen:
        action = _read(state, entry)
        if action is not None:
            state.actions.append(action)


def _read(state: "RouterState", entry: PrunePeer) -> Connect | None:
    """Where the entry leads; None where it is worthless: a peer that we know or are, a record that is not its own."""
    try:
        peer_id = PeerId.from_bytes(entry.peer_id)
        if peer_id in state.peers or peer_id == state.own:
            return None
        if not entry.record:
            return Connect(peer_id)
        record = PeerRecord.open(entry.record, peer_id)
    except RemoteError:
        return None
    return Connect(peer_id, entry.record, record.addresses)

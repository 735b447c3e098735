"""The control part of an RPC: IHAVE, IWANT, GRAFT, PRUNE and IDONTWANT, each bounded by what one peer may cost.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.0, "Control Messages"; gossipsub-v1.1, "Spam Protection Measures";
gossipsub-v1.2, "Message IDs in IDONTWANT".
"""

from typing import TYPE_CHECKING

from cortexnet.gossip import px
from cortexnet.gossip.actions import ASKED, CONTROL, Change
from cortexnet.gossip.mesh import is_proven
from cortexnet.gossip.messages import ControlMessages, Prune, Rpc
from cortexnet.gossip.peer_state import unwanted_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cortexnet.gossip.message import Message
    from cortexnet.gossip.messages import IHave
    from cortexnet.gossip.peer_state import Peer, Topic
    from cortexnet.gossip.router_state import RouterState

UNWANTED_LIMIT = 100_000
"""Unwanted ids that are remembered for all peers together, some 15 MiB; they share it."""
UNWANTED_SHARE = 1_000
"""What each peer has of it at least, however many they are."""


def take_control(state: "RouterState", peer: "Peer", control: ControlMessages, now: float) -> None:
    """Do what it asks for, in go's order; the answers go out as one RPC, but messages on their own."""
    score = state.score_of(peer, now)
    iwant: list[bytes] = []
    prune: list[Prune] = []
    state.counted[peer] = None
    peer.ihave_count += 1  # an RPC of control messages of any kind, as go counts
    if score >= state.thresholds.gossip:
        if control.ihave:
            iwant = _take_ihave(state, peer, control.ihave, now)
        if control.iwant:
            _give(state, peer, _take_iwant(state, peer, control.iwant))
    if control.graft:
        prune = _take_graft(state, peer, control.graft, score, now)
    if control.prune:
        _take_prune(state, peer, control.prune, score, now)
    if control.idontwant:
        _take_idontwant(state, peer, control.idontwant)
    if iwant or prune:
        state.send(peer, Rpc(control=ControlMessages(iwant=iwant, prune=prune)), CONTROL)


def _take_ihave(state: "RouterState", peer: "Peer", entries: "Sequence[IHave]", now: float) -> list[bytes]:
    """The ids to ask for: what we have not seen, of topics that are ours, in an order that the peer can't foresee."""
    config = state.config
    room = config.ihave_ids - peer.asked
    if peer.ihave_count > config.ihave_rpcs or room <= 0:
        return []
    seen, pending = state.seen, state.pending
    wanted: dict[bytes, None] = {}
    for entry in entries:
        if entry.topic in state.joined:
            for message_id in entry.ids[: config.ihave_ids]:
                if message_id not in seen and message_id not in pending:
                    wanted[message_id] = None
    if not wanted:
        return []
    asked = state.random.sample(list(wanted), min(room, len(wanted)))
    peer.asked += len(asked)
    state.promises.add(peer.id, asked[0], now)  # any of them: their order is random
    return asked


def _take_iwant(state: "RouterState", peer: "Peer", ids: "Sequence[bytes]") -> "list[Message]":
    """The messages it asked for that we still have, each as often as is allowed, and not those that it does not want."""
    found: dict[bytes, Message] = {}
    for message_id in ids:
        if peer.unwanted and peer.is_unwilling(message_id):
            continue
        message = state.cache.get_for_peer(message_id, peer.id)
        if message is not None:
            found[message_id] = message
    return list(found.values())


def _give(state: "RouterState", peer: "Peer", messages: "Sequence[Message]") -> None:
    """Send messages, as many at a time as fit into one RPC."""
    portion: list[Message] = []
    size = 0
    for message in messages:
        if portion and (size + len(message.wire) > state.config.rpc_size or len(portion) >= state.config.messages_per_rpc):
            state.send(peer, Rpc(messages=portion), ASKED)
            portion, size = [], 0
        portion.append(message)
        size += len(message.wire)
    state.send(peer, Rpc(messages=portion), ASKED)


def _take_graft(state: "RouterState", peer: "Peer", names: "Sequence[str]", score: float, now: float) -> list[Prune]:
    """Take the peer into our meshes, or refuse it: the answers to it.

    One for each topic, however often it was named; and nothing is said of topics that are not ours. Only who was refused for want
    of room alone learns of other peers.
    """
    refused: dict[str, tuple[Topic, float]] = {}
    exchange, config = True, state.config
    for name in names:
        topic = state.joined.get(name)
        if topic is None:
            exchange = False
        elif peer in topic.mesh:
            continue  # both sides have grafted each other at once
        elif _is_unwelcome(state, topic, peer, score, now):
            refused[name] = topic, config.prune_backoff
            exchange = False
        elif not _has_place(state, topic, peer, score, now):
            refused[name] = topic, config.refusal_backoff
            state.backoff.add(name, peer.id, now + config.refusal_backoff)
        else:
            state.graft(topic, peer, Change.GRAFTED_BY_PEER, now)
    return [px.make_prune(state, topic, peer, now, backoff=backoff, exchange=exchange) for topic, backoff in refused.values()]


def _is_unwelcome(state: "RouterState", topic: "Topic", peer: "Peer", score: float, now: float) -> bool:
    """Whether the peer itself is the reason to refuse it. Coming before its backoff has ended costs score."""
    if peer.is_direct:
        return True
    until = state.backoff.until(topic.name, peer.id)
    is_early = until is not None and now < until
    if until is not None and is_early and state.score is not None:
        is_flood = now < until + state.config.graft_flood - state.config.prune_backoff
        state.score.add_penalty(peer.id, 2 if is_flood else 1)
    if is_early or score < 0:
        state.backoff.add(topic.name, peer.id, now + state.config.prune_backoff)
        return True
    return False


def _has_place(state: "RouterState", topic: "Topic", peer: "Peer", score: float, now: float) -> bool:
    """Whether there is room for a peer of this score.

    Peers that we dialed are let in even above D_hi, for they can't be of the many that an attacker sends. Another that is worth
    less than a quarter of the best in the mesh finds room only now and then, unless that is all but empty: it may be one of many.
    """
    mesh, config = topic.mesh, state.config
    if peer.is_outbound or len(mesh) >= config.degree_high:
        return peer.is_outbound
    if state.score is None or len(mesh) <= config.degree_out or _measures_up(state, topic, score, now):
        return True
    return topic.strangers.take(1, now, config, state.random) > 0


def _measures_up(state: "RouterState", topic: "Topic", score: float, now: float) -> bool:
    best = state.best_of(topic, now)
    return is_proven(score, best) or (best <= 0 and topic.name not in state.meritorious)


def _take_prune(state: "RouterState", peer: "Peer", entries: "Sequence[Prune]", score: float, now: float) -> None:
    """Leave the peer alone for as long as it asks, within reason, and look at the peers it names."""
    config = state.config
    for entry in entries:
        topic = state.joined.get(entry.topic)
        if topic is None:
            continue
        state.prune(topic, peer, Change.PRUNED_BY_PEER, now)
        seconds = config.prune_backoff
        if entry.backoff:
            shortest = min(config.unsubscribe_backoff, config.prune_backoff)
            seconds = min(max(entry.backoff, shortest), max(config.backoff_longest, shortest))
        state.backoff.add(topic.name, peer.id, now + seconds)
        if entry.peers:
            px.follow(state, peer, entry.peers, score)


def _take_idontwant(state: "RouterState", peer: "Peer", ids: "Sequence[bytes]") -> None:
    """Remember the first few ids, for a few heartbeats. Where a peer names too many in all, the oldest go."""
    config = state.config
    if peer.idontwant_count >= config.idontwant_rpcs:
        return
    peer.idontwant_count += 1
    taken = ids[: config.idontwant_ids]
    if not peer.unwanted:
        peer.unwanted.append({})
        state.unwilling[peer] = None
    share = min(config.idontwant_rpcs * config.idontwant_ids, max(UNWANTED_SHARE, UNWANTED_LIMIT // len(state.peers)))
    for ids_of_heartbeat in peer.unwanted[:-1]:
        if peer.unwanted_count + len(taken) > share:
            ids_of_heartbeat.clear()
    if peer.unwanted_count + len(taken) <= share:
        peer.unwanted[-1].update(dict.fromkeys(map(unwanted_key, taken)))


def age_unwanted(state: "RouterState") -> None:
    """A heartbeat has passed: what was not wanted long ago is long gone."""
    for peer in [*state.unwilling]:
        if len(peer.unwanted) >= state.config.idontwant_ttl:
            peer.unwanted.pop(0)
        if peer.unwanted_count:
            peer.unwanted.append({})
        else:
            peer.unwanted = []
            del state.unwilling[peer]

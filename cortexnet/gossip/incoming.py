"""What is done about an RPC: who it is from decides how much of it is looked at; its messages go to validation.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.1, "Score Thresholds"; gossipsub-v1.2, "IDONTWANT Message".
"""

from typing import TYPE_CHECKING

from cortexnet.gossip import control, neighbours
from cortexnet.gossip.actions import URGENT, Validate
from cortexnet.gossip.messages import ControlMessages, Rpc
from cortexnet.gossip.signing import RejectReason, check_form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cortexnet.gossip.message import Message
    from cortexnet.gossip.peer_state import Peer
    from cortexnet.gossip.router_state import RouterState

IDONTWANT_IDS = 10
"""Ids of one IDONTWANT: of more, go forgets the rest."""
EXTENSIONS_PENALTY = 10
"""What naming one's extensions anywhere but in the first RPC counts as misbehaviour."""


def take_rpc(state: "RouterState", peer: "Peer", rpc: Rpc, now: float) -> None:
    """Look at an RPC, in go's order: at subscriptions of everybody, at the rest only of peers that are not graylisted."""
    if rpc.subscriptions:
        neighbours.take_subscriptions(state, peer, rpc.subscriptions, now)
    if not peer.is_direct and state.score is not None and state.score.score(peer.id, now) < state.thresholds.graylist:
        return
    if rpc.messages:
        if peer.is_direct or state.gater is None or state.gater.accepts(peer.id, now):
            _take_messages(state, peer, rpc.messages, now)
        else:
            state.promises.forgive(peer.id)  # it may have kept them, and we do not look
    if not state.is_flood_only:
        _take_extensions(state, peer, rpc)
        if rpc.control is not None:
            control.take_control(state, peer, rpc.control, now)


def _take_extensions(state: "RouterState", peer: "Peer", rpc: Rpc) -> None:
    extensions = rpc.control.extensions if rpc.control is not None else None
    if not peer.has_spoken:
        peer.has_spoken = True
        peer.wants_test = extensions is not None and extensions.test_extension
        neighbours.answer_test(state, peer)
    elif extensions is not None and state.score is not None:
        state.score.add_penalty(peer.id, EXTENSIONS_PENALTY)


def _take_messages(state: "RouterState", peer: "Peer", messages: "Sequence[Message]", now: float) -> None:
    fresh: list[Validate] = []
    for message in messages:
        if message.topic in state.joined:
            token = _look(state, peer, message, now)
            if token is not None:
                fresh.append(token)
    if fresh:
        _say_idontwant(state, peer, fresh)
        state.actions += fresh


def _look(state: "RouterState", peer: "Peer", message: "Message", now: float) -> Validate | None:
    """The token of a message that is new and may be good."""
    objection = check_form(message, state.config.signing)
    if objection is not None:
        state.note_rejection(peer.id, message, objection, now)
        return None
    message_id = message.id or _identify(state, message)
    copies = state.pending.get(message_id)
    if message_id in state.seen:
        if copies:
            copies[0].holders[peer] = None
        state.note_duplicate(peer.id, message, now)
        return None
    if message.author == state.own_raw:
        state.note_rejection(peer.id, message, RejectReason.SELF_ORIGIN, now)
        return None
    if not message_id or (copies and _is_in(copies, peer, message)):
        return None
    if state.validating >= state.config.validation_limit:
        state.overflowed += 1
        state.note_rejection(peer.id, message, RejectReason.QUEUE_FULL, now)
        return None  # without blame, and without having been seen: it may come again
    token = Validate(message, message_id, peer.id, {peer: None})
    state.validating += 1
    state.pending.setdefault(message_id, []).append(token)
    return token


def _identify(state: "RouterState", message: "Message") -> bytes:
    """The id of a message; nothing where the application's function has none for it."""
    try:
        return state.ids.of(message)
    except Exception:
        state.unidentified += 1
        return b""


def _is_in(copies: "Sequence[Validate]", peer: "Peer", message: "Message") -> bool:
    """Whether the same bytes are in validation already: then good or bad, it is so for both who sent them.

    Other bytes with the same id are looked at as well, or a forgery could shut out the message it looks like; but one of a peer
    will do.
    """
    for copy in copies:
        if peer in copy.holders:
            return True
        if copy.message.wire == message.wire:
            copy.holders[peer] = None
            return True
    return False


def _say_idontwant(state: "RouterState", peer: "Peer", fresh: "Sequence[Validate]") -> None:
    """Spare us other copies of what is large. Before any check: a moment later they would be on their way."""
    config = state.config
    ids_of_topics: dict[str, list[bytes]] = {}
    for token in fresh:
        if token.message.size >= config.idontwant_size:
            ids_of_topics.setdefault(token.message.topic, []).append(token.id)
    for name, ids in ids_of_topics.items():
        receivers = [other for other in state.joined[name].mesh if other.has_idontwant and other is not peer]
        for start in range(0, len(ids), IDONTWANT_IDS):
            rpc = Rpc(control=ControlMessages(idontwant=ids[start : start + IDONTWANT_IDS]))
            state.send_to_all(receivers, rpc, URGENT)

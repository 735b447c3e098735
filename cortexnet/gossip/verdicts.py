"""What is done with a message once its signature was checked, and once there is a verdict.

Spec: libp2p/specs pubsub/gossipsub gossipsub-v1.1, "Extended Validators".
"""

from typing import TYPE_CHECKING

from cortexnet.gossip import publish
from cortexnet.gossip.actions import Deliver, Validate, Verdict
from cortexnet.gossip.signing import RejectReason

if TYPE_CHECKING:
    from cortexnet.gossip.router_state import RouterState

WITHHELD_LIMIT = 1_024
"""Ids of ignored messages that are remembered, so that they can be published here after all."""


def verify(state: "RouterState", token: Validate, now: float) -> bool:
    """The signature holds: from here on the message counts as seen. False where that leads no further: another copy of the
    message was faster, or there is a verdict already.
    """
    if token.is_over or token.is_verified:
        return not token.is_over
    if not state.seen.add(token.id, now):
        _end(state, token)
        for holder in token.holders:
            state.note_duplicate(holder.id, token.message, now)
        return False
    token.is_verified = True
    state.promises.keep(token.id)
    state.note_validation(token.id, now)
    for holder in token.holders:
        if holder.id != token.sender:
            state.note_duplicate(holder.id, token.message, now)
    copies = state.pending[token.id]
    copies.remove(token)
    copies.insert(0, token)  # whoever sends it from now on is noted at the first
    return True


def decide(state: "RouterState", token: Validate, verdict: Verdict, now: float) -> None:
    """Do what the validators say."""
    if not verify(state, token, now):
        return
    if verdict is Verdict.ACCEPT:
        _end(state, token)
        message = token.message
        state.note_delivery(token.sender, message, now)
        topic = state.joined.get(message.topic)
        if topic is not None:  # else we have left it meanwhile
            publish.forward(state, topic, message, token.holders, now)
            state.actions.append(Deliver(message, token.id, token.sender))
    else:
        reject(
            state, token, RejectReason.VALIDATION_FAILED if verdict is Verdict.REJECT else RejectReason.VALIDATION_IGNORED, now
        )


def reject(state: "RouterState", token: Validate, reason: RejectReason, now: float) -> None:
    """Drop it, and hold it against those who sent it as far as that is their fault."""
    if token.is_over:
        return
    _end(state, token)
    if not token.is_verified:
        # The id may be another message's: nothing is noted of it.
        for holder in token.holders:
            state.note_rejection(holder.id, token.message, reason, now)
        return
    state.note_rejection(token.sender, token.message, reason, now)
    if reason is not RejectReason.VALIDATION_FAILED:
        state.withheld[token.id] = None
        if len(state.withheld) > WITHHELD_LIMIT:
            del state.withheld[next(iter(state.withheld))]


def _end(state: "RouterState", token: Validate) -> None:
    token.is_over = True
    state.validating -= 1
    copies = state.pending[token.id]
    copies.remove(token)
    if not copies:
        del state.pending[token.id]

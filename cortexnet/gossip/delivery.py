"""A gossip message as applications see it, and what their validators may say of it."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, final

from cortexnet.documented import documented
from cortexnet.gossip.actions import Verdict
from cortexnet.identity.peer_id import PeerId

if TYPE_CHECKING:
    from cortexnet.gossip.message import Message

Accept = Verdict.ACCEPT
"""Deliver the message, and pass it on."""
Reject = Verdict.REJECT
"""Drop the message, and think less of everybody it came from."""
Ignore = Verdict.IGNORE
"""Drop the message, and blame nobody."""


@final
@documented
@dataclass(frozen=True, slots=True)
class GossipMessage:
    """A message of a topic. Unless the node takes unsigned messages, its author has signed all but `id` and `sender`."""

    topic: str
    """Where it was published."""
    data: bytes
    """What was published."""
    author: PeerId | None
    """Who published it; None where the topic's messages are unsigned."""
    sequence: int | None
    """The author's number of it: greater than those before, in no other order; None where messages are unsigned."""
    id: bytes
    """What tells it from all others of the topic, at every node alike."""
    sender: PeerId
    """The neighbour it came from, seldom the author; this node itself where it published it."""


def as_seen(message: "Message", message_id: bytes, sender: PeerId) -> GossipMessage:
    """A message of the wire as applications see it. Its author must be known to be a peer id, as of what was verified it is."""
    author, seqno = message.author, message.seqno
    return GossipMessage(
        message.topic,
        message.data,
        _author(author) if author is not None else None,
        int.from_bytes(seqno, "big") if seqno is not None else None,
        message_id,
        sender,
    )


@lru_cache(maxsize=1024)
def _author(author: bytes) -> PeerId:
    return PeerId.from_bytes(author)

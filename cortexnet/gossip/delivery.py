"""A gossip message as applications see it, and what their validators may say of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.documented import documented
from cortexnet.gossip.actions import Verdict

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

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
    author: "PeerId | None"
    """Who published it; None where the topic's messages are unsigned."""
    sequence: int | None
    """The author's number of it: greater than those before, in no other order; None where messages are unsigned."""
    id: bytes
    """What tells it from all others of the topic, at every node alike."""
    sender: "PeerId"
    """The neighbour it came from, seldom the author; this node itself where it published it."""

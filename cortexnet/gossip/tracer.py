"""What a tracer is told: every step of every message, for those who look for a fault or measure a network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from cortexnet.documented import documented

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

TraceKind = Literal[
    "published", "received", "delivered", "rejected", "ignored", "rpc received", "rpc sent", "rpc dropped",
    "joined", "left", "mesh added", "mesh removed", "peer added", "peer removed",
]  # fmt: skip
"""go-libp2p-pubsub's events, but for duplicates, of which nothing is made."""


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One thing that happened; what does not apply is None."""

    kind: TraceKind
    """What it was."""
    time: float
    """When, in the time of the event loop."""
    peer_id: "PeerId | None" = None
    """The neighbour it was about: from whom a message came, to whom an RPC went."""
    topic: str | None = None
    """The topic of the message or the mesh."""
    message_id: bytes | None = None
    """Which message."""
    size: int | None = None
    """Bytes of the message's data, or of the RPC."""
    reason: str | None = None
    """Why a message was not delivered, or a mesh has changed."""


Tracer = Callable[[Trace], None]
"""Called synchronously with each step; must not raise, and should be quick: everything waits for it."""

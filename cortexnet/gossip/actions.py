"""What the gossip router wants done: it decides, and whoever drives it acts.

After every call of the router its driver takes all actions (`Router.take_actions`) and carries them out in order. None of them is
ever carried out inside a call of the router, so a validator or handler that publishes can't enter it a second time.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cortexnet.gossip.message import Message
    from cortexnet.gossip.messages import Rpc
    from cortexnet.gossip.peer_state import Peer
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.multiformats.multiaddr import Multiaddr

HELLO = 0
"""Of our stream the first RPC: subscriptions and extensions. Nothing goes before it."""
URGENT = 1
"""IDONTWANT, which is worth nothing once the message it is about has left."""
CONTROL = 2
"""Subscriptions, GRAFT, PRUNE, IWANT: small, and others wait for them."""
OWN = 3
"""Messages of our own. Who publishes waits for room; nothing else does."""
FORWARD = 4
"""Messages of others, on their way through the mesh."""
GOSSIP = 5
"""IHAVE."""
ASKED = 6
"""Messages that were asked for by IWANT: repairs, of which there may be thousands at once."""


class Verdict(IntEnum):
    """What a validator says of a message."""

    ACCEPT = 0
    """Deliver it here and pass it on."""
    REJECT = 1
    """Drop it, and hold it against everybody it came from."""
    IGNORE = 2
    """Drop it without holding it against anybody."""


class Change(IntEnum):
    """Why a peer came into a mesh, or left it."""

    GRAFTED = 0
    """We took it: for want of peers, of outbound ones, or of better ones."""
    GRAFTED_BY_PEER = 1
    """It asked to be taken."""
    PRUNED = 2
    """We dropped it: its score fell below 0, or there were too many."""
    PRUNED_BY_PEER = 3
    """It dropped us."""
    LEFT = 4
    """We left the topic."""
    GONE = 5
    """Our stream to it is gone."""


@final
@dataclass(slots=True, eq=False)
class SendRpc:
    """Send this RPC to each of `peers`, encoded once. `priority` is one of the numbers above, the lowest first.

    Where a peer has no room, drop it and say so by `Router.dropped`. Messages of priority FORWARD and OWN come one an RPC,
    of ASKED as many as fit into one; others may have to be split.
    """

    peers: "Sequence[PeerId]"
    rpc: "Rpc"
    priority: int


@final
@dataclass(slots=True, eq=False)
class Validate:
    """Check the signature of this message, then ask its validators. The router has done what needs neither.

    Also the token by which the outcome is told: to `Router.verified` once the signature holds, which says whether to go on; then,
    or if it does not hold, to `Router.validated` or `Router.rejected`. Every Validate needs one of these two, in the end.
    """

    message: "Message"
    id: bytes
    sender: "PeerId"
    """From whom this copy came: a neighbour, seldom the author."""
    holders: "dict[Peer, None]" = field(repr=False)
    """Peers that have sent it, of which this is kept by the router."""
    is_verified: bool = False
    is_over: bool = False


@final
@dataclass(slots=True, eq=False)
class Deliver:
    """Hand this message to those who subscribed to its topic here. `sender` is ourselves where we published it."""

    message: "Message"
    id: bytes
    sender: "PeerId"


@final
@dataclass(slots=True, eq=False)
class Connect:
    """Connect to this peer, if it isn't connected: a direct peer, or one that was named in a PRUNE.

    `record` is the envelope that was verified and `addresses` those in it; both empty where none came along.
    """

    peer: "PeerId"
    record: bytes = b""
    addresses: "tuple[Multiaddr, ...]" = ()


@final
@dataclass(slots=True, eq=False)
class MeshChanged:
    """A peer came into our mesh of a topic, or left it."""

    topic: str
    peer: "PeerId"
    is_in: bool
    change: Change


@final
@dataclass(slots=True, eq=False)
class SubscriptionChanged:
    """A peer began or ended to want a topic."""

    topic: str
    peer: "PeerId"
    is_subscribed: bool


Action = SendRpc | Validate | Deliver | Connect | MeshChanged | SubscriptionChanged
"""Everything that `Router.take_actions` gives."""

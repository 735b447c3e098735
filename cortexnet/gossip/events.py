"""What happens to the meshes and topics of gossip, as events of the node; see `Node.events`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId

MeshReason = Literal["grafted", "grafted by the peer", "pruned", "pruned by the peer", "topic left", "peer gone"]
"""Why a peer came into a mesh or left it, in the order of `gossip.actions.Change`."""


@final
@dataclass(frozen=True, slots=True)
class MeshPeerAdded:
    """A peer came into our mesh of a topic: messages are exchanged with it from now on."""

    topic: str
    peer_id: "PeerId"
    reason: MeshReason


@final
@dataclass(frozen=True, slots=True)
class MeshPeerRemoved:
    """A peer left our mesh of a topic."""

    topic: str
    peer_id: "PeerId"
    reason: MeshReason


@final
@dataclass(frozen=True, slots=True)
class TopicPeerJoined:
    """A connected peer has subscribed to a topic that we have joined as well."""

    topic: str
    peer_id: "PeerId"


@final
@dataclass(frozen=True, slots=True)
class TopicPeerLeft:
    """A peer does not want a topic any more that we have joined."""

    topic: str
    peer_id: "PeerId"


GossipEvent = MeshPeerAdded | MeshPeerRemoved | TopicPeerJoined | TopicPeerLeft

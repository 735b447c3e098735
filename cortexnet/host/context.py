"""What a service on the node works with, such as the DHT or gossip: all it may use of the node, and nothing else."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Callable

    from cortexnet.admission.limits import Limits
    from cortexnet.admission.resources import Resources
    from cortexnet.discovery.discovered import Discovered
    from cortexnet.host.host import Host, Protocols
    from cortexnet.host.identify import Identify
    from cortexnet.host.peer_info import PeerInfo
    from cortexnet.identity.identity import Identity
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.observe.bus import EventBus
    from cortexnet.reputation.service import Reputation
    from cortexnet.storage.storage import Storage
    from cortexnet.swarm.connection_manager import ConnectionManager
    from cortexnet.swarm.peerstore import Peerstore
    from cortexnet.swarm.swarm import Observer, Swarm
    from cortexnet.transport.connection import Connection
    from cortexnet.transport.scope import Scope


class Service(Protocol):
    """A part of the node that starts after it listens, and ends before its connections do."""

    async def start(self) -> None:
        """Register protocols, start tasks in the context's scope. Must not wait for peers."""

    async def close(self) -> None:
        """End what was begun, while connections still work. Cancelled: what is left ends with the scope."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The parts of a started node as its services see them."""

    identity: "Identity"
    host: "Host"
    """Streams to peers by protocol, dialing where need be."""
    swarm: "Swarm"
    """Connections."""
    peerstore: "Peerstore"
    protocols: "Protocols"
    """Handlers of inbound streams; a change is told to peers by itself."""
    identify: "Identify"
    scope: "Scope"
    """Where tasks of the services live; a task that raises is the end of the node."""
    limits: "Limits"
    resources: "Resources"
    manager: "ConnectionManager"
    """What connections are worth: tags and protection."""
    bus: "EventBus"
    """Where events are published."""
    discovered: "Discovered"
    """Whom to tell of peers that were found."""
    storage: "Storage | None"
    """What is kept from one run to the next; None where nothing is."""
    reputation: "Reputation | None"
    """How peers have behaved; None where nobody keeps count."""
    listen_addresses: "Callable[[], list[Multiaddr]]"
    """Where this node can be reached, without peer ids."""
    on_connected: "list[Observer]"
    """Called with each new connection; must not raise."""
    on_disconnected: "list[Observer]"
    """Called with each connection that is gone; must not raise."""
    on_identified: "list[Callable[[Connection, PeerInfo], None]]" = field(default_factory=list)
    """Called after each answer to identify and each push that was understood; must not raise."""

"""What happens to a node, as typed events; see `Node.events`. Those of the connection manager are in `swarm.manager_events`,
those of gossip in `gossip.events`, those of reputation in `reputation.events`.

Events hold facts, not live objects: they can be kept, compared, and sent elsewhere. Texts that came from peers are theirs: escape
them before they are shown.
"""

from dataclasses import dataclass
from typing import Literal, final

from cortexnet.discovery.events import DiscoveryEvent
from cortexnet.gossip.events import GossipEvent
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.reputation.events import ReputationEvent
from cortexnet.swarm.manager_events import ManagerEvent


@final
@dataclass(frozen=True, slots=True)
class ConnectionOpened:
    """There is a connection more; `is_first` where there was none to this peer."""

    peer_id: PeerId
    address: Multiaddr
    direction: Literal["inbound", "outbound"]
    transport: str
    security: str
    muxer: str
    is_first: bool


@final
@dataclass(frozen=True, slots=True)
class ConnectionEnded:
    """A connection is gone, after so many seconds; `is_last` where there is none to this peer any more."""

    peer_id: PeerId
    address: Multiaddr
    direction: Literal["inbound", "outbound"]
    seconds: float
    reason: str
    is_last: bool


@final
@dataclass(frozen=True, slots=True)
class PeerIdentified:
    """A peer has said what it is: once for each connection, and whenever it says so again."""

    peer_id: PeerId
    agent_version: str | None
    protocols: frozenset[str]


@final
@dataclass(frozen=True, slots=True)
class DialEnded:
    """Nobody could be reached: `peer_id` is None where the address named none, `reason` lists the attempts."""

    peer_id: PeerId | None
    reason: str


@final
@dataclass(frozen=True, slots=True)
class Refused:
    """Something was refused at one of our limits, or by a rule of access control; `remedy` is the setting or the rule."""

    scope: str
    reason: str
    remedy: str


@final
@dataclass(frozen=True, slots=True)
class AddressesChanged:
    """Where this node can be reached now, without peer ids."""

    addresses: tuple[Multiaddr, ...]


@final
@dataclass(frozen=True, slots=True)
class EventsLost:
    """So many events came faster than they were taken; they would have been in front of the next one."""

    count: int


Event = (
    ConnectionOpened
    | ConnectionEnded
    | PeerIdentified
    | DialEnded
    | Refused
    | AddressesChanged
    | EventsLost
    | ManagerEvent
    | DiscoveryEvent
    | GossipEvent
    | ReputationEvent
)

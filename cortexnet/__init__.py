"""cortexnet: an asyncio-native, pure-Python libp2p stack.

    from cortexnet import Node

`Node` is the whole node in one `async with`; the README shows it at work. Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from cortexnet.version import VERSION as __version__

if TYPE_CHECKING:
    from cortexnet.admission.access_rules import Rule as Rule
    from cortexnet.admission.gater import Gate as Gate
    from cortexnet.admission.gater import GatedConnection as GatedConnection
    from cortexnet.admission.limits import Limits as Limits
    from cortexnet.config import Config as Config
    from cortexnet.discovery.card_config import CardConfig as CardConfig
    from cortexnet.discovery.config import DiscoveryConfig as DiscoveryConfig
    from cortexnet.discovery.events import BootstrapResult as BootstrapResult
    from cortexnet.discovery.found import Found as Found
    from cortexnet.discovery.mdns_config import MdnsConfig as MdnsConfig
    from cortexnet.errors import Busy as Busy
    from cortexnet.errors import ConfigInvalid as ConfigInvalid
    from cortexnet.errors import ConnectionClosed as ConnectionClosed
    from cortexnet.errors import ConnectionCode as ConnectionCode
    from cortexnet.errors import CortexError as CortexError
    from cortexnet.errors import Denied as Denied
    from cortexnet.errors import DialFailed as DialFailed
    from cortexnet.errors import Ended as Ended
    from cortexnet.errors import EndOfStream as EndOfStream
    from cortexnet.errors import HandshakeFailed as HandshakeFailed
    from cortexnet.errors import InvalidRecord as InvalidRecord
    from cortexnet.errors import LimitExceeded as LimitExceeded
    from cortexnet.errors import ListenFailed as ListenFailed
    from cortexnet.errors import LocalError as LocalError
    from cortexnet.errors import MessageTooLarge as MessageTooLarge
    from cortexnet.errors import NegotiationFailed as NegotiationFailed
    from cortexnet.errors import NoPeers as NoPeers
    from cortexnet.errors import NotFound as NotFound
    from cortexnet.errors import NotRunning as NotRunning
    from cortexnet.errors import PeerIdMismatch as PeerIdMismatch
    from cortexnet.errors import PeerTimeout as PeerTimeout
    from cortexnet.errors import ProtocolViolation as ProtocolViolation
    from cortexnet.errors import Refuse as Refuse
    from cortexnet.errors import RemoteError as RemoteError
    from cortexnet.errors import RequestFailed as RequestFailed
    from cortexnet.errors import ResolveFailed as ResolveFailed
    from cortexnet.errors import StorageFailed as StorageFailed
    from cortexnet.errors import StreamClosed as StreamClosed
    from cortexnet.errors import StreamCode as StreamCode
    from cortexnet.errors import StreamReset as StreamReset
    from cortexnet.gossip.actions import Verdict as Verdict
    from cortexnet.gossip.config import GossipConfig as GossipConfig
    from cortexnet.gossip.delivery import Accept as Accept
    from cortexnet.gossip.delivery import GossipMessage as GossipMessage
    from cortexnet.gossip.delivery import Ignore as Ignore
    from cortexnet.gossip.delivery import Reject as Reject
    from cortexnet.host.identify import PeerInfo as PeerInfo
    from cortexnet.host.perf import PerfResult as PerfResult
    from cortexnet.identity.card import Card as Card
    from cortexnet.identity.card import CardDetails as CardDetails
    from cortexnet.identity.identity import Identity as Identity
    from cortexnet.identity.keys import PrivateKey as PrivateKey
    from cortexnet.identity.keys import PublicKey as PublicKey
    from cortexnet.identity.peer_id import PeerId as PeerId
    from cortexnet.kad.config import KadConfig as KadConfig
    from cortexnet.kad.records.ipns import IpnsRecord as IpnsRecord
    from cortexnet.kad.records.records import Validator as Validator
    from cortexnet.kad.routing.contact import Contact as Contact
    from cortexnet.messaging.message import Message as Message
    from cortexnet.messaging.message import Receipt as Receipt
    from cortexnet.messaging.request import Request as Request
    from cortexnet.multiformats.cid import Cid as Cid
    from cortexnet.multiformats.multiaddr import Multiaddr as Multiaddr
    from cortexnet.node import Node as Node
    from cortexnet.reputation.config import ReputationConfig as ReputationConfig
    from cortexnet.reputation.explanation import Explanation as Explanation
    from cortexnet.reputation.selection_config import SelectionConfig as SelectionConfig
    from cortexnet.reputation.selector import Answer as Answer
    from cortexnet.settings.files import load_settings as load_settings
    from cortexnet.settings.settings import Settings as Settings
    from cortexnet.swarm.manager_config import ConnectionManagerConfig as ConnectionManagerConfig
    from cortexnet.swarm.peer_entry import KnownPeer as KnownPeer
    from cortexnet.swarm.peerstore import Peerstore as Peerstore
    from cortexnet.swarm.tags import FixedSteps as FixedSteps
    from cortexnet.swarm.tags import HalfLife as HalfLife
    from cortexnet.transport.connection import Connection as Connection
    from cortexnet.transport.stream import Stream as Stream

_PLACES = {
    "cortexnet.config": ("Config",),
    "cortexnet.discovery.card_config": ("CardConfig",),
    "cortexnet.discovery.config": ("DiscoveryConfig",),
    "cortexnet.discovery.events": ("BootstrapResult",),
    "cortexnet.discovery.found": ("Found",),
    "cortexnet.discovery.mdns_config": ("MdnsConfig",),
    "cortexnet.errors": (
        "Busy", "ConfigInvalid", "ConnectionClosed", "ConnectionCode", "CortexError", "Denied", "DialFailed",
        "EndOfStream", "Ended", "HandshakeFailed", "InvalidRecord", "LimitExceeded", "ListenFailed", "LocalError",
        "MessageTooLarge", "NegotiationFailed", "NoPeers", "NotFound", "NotRunning", "PeerIdMismatch", "PeerTimeout",
        "ProtocolViolation", "Refuse", "RemoteError", "RequestFailed", "ResolveFailed", "StorageFailed", "StreamClosed",
        "StreamCode", "StreamReset",
    ),
    "cortexnet.gossip.actions": ("Verdict",),
    "cortexnet.gossip.config": ("GossipConfig",),
    "cortexnet.gossip.delivery": ("Accept", "GossipMessage", "Ignore", "Reject"),
    "cortexnet.host.identify": ("PeerInfo",),
    "cortexnet.host.perf": ("PerfResult",),
    "cortexnet.identity.card": ("Card", "CardDetails"),
    "cortexnet.identity.identity": ("Identity",),
    "cortexnet.identity.keys": ("PrivateKey", "PublicKey"),
    "cortexnet.identity.peer_id": ("PeerId",),
    "cortexnet.kad.config": ("KadConfig",),
    "cortexnet.kad.routing.contact": ("Contact",),
    "cortexnet.kad.records.ipns": ("IpnsRecord",),
    "cortexnet.kad.records.records": ("Validator",),
    "cortexnet.messaging.message": ("Message", "Receipt"),
    "cortexnet.messaging.request": ("Request",),
    "cortexnet.multiformats.cid": ("Cid",),
    "cortexnet.multiformats.multiaddr": ("Multiaddr",),
    "cortexnet.node": ("Node",),
    "cortexnet.reputation.config": ("ReputationConfig",),
    "cortexnet.reputation.explanation": ("Explanation",),
    "cortexnet.reputation.selection_config": ("SelectionConfig",),
    "cortexnet.reputation.selector": ("Answer",),
    "cortexnet.settings.files": ("load_settings",),
    "cortexnet.settings.settings": ("Settings",),
    "cortexnet.admission.access_rules": ("Rule",),
    "cortexnet.admission.gater": ("Gate", "GatedConnection"),
    "cortexnet.admission.limits": ("Limits",),
    "cortexnet.swarm.manager_config": ("ConnectionManagerConfig",),
    "cortexnet.swarm.peer_entry": ("KnownPeer",),
    "cortexnet.swarm.peerstore": ("Peerstore",),
    "cortexnet.swarm.tags": ("FixedSteps", "HalfLife"),
    "cortexnet.transport.connection": ("Connection",),
    "cortexnet.transport.stream": ("Stream",),
}  # fmt: skip
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = ["__version__", *sorted(_PLACE_OF)]


def __getattr__(name: str) -> object:
    place = _PLACE_OF.get(name)
    if place is None:
        raise AttributeError(f"module 'cortexnet' has no attribute {name!r}")
    value: object = vars(import_module(place))[name]
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

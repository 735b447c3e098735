"""What the connection manager does of its own accord, as events."""

from dataclasses import dataclass
from typing import final

from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.swarm.dial_problem import Problem


@final
@dataclass(frozen=True, slots=True)
class ConnectionTrimmed:
    """A connection is being closed, with `ConnectionCode.GARBAGE_COLLECTED`: there are too many, or it was idle for too long."""

    peer_id: PeerId
    address: Multiaddr
    reason: str


@final
@dataclass(frozen=True, slots=True)
class KeptPeerReached:
    """A peer that is kept, or who answers at the address of a bootstrap node, was dialed and is connected."""

    target: PeerId | Multiaddr
    peer_id: PeerId


@final
@dataclass(frozen=True, slots=True)
class KeptPeerUnreachable:
    """The same could not be connected; it is tried again in `retry_in` seconds. `problem` is the reason in a word."""

    target: PeerId | Multiaddr
    reason: str
    retry_in: float
    problem: Problem


@final
@dataclass(frozen=True, slots=True)
class NetworkChanged:
    """IP addresses of this machine are gone or new, or it has slept for so many seconds."""

    gone: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    slept: float = 0.0


ManagerEvent = ConnectionTrimmed | KeptPeerReached | KeptPeerUnreachable | NetworkChanged

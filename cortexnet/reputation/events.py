"""What follows from the reputation of a peer, as events; see `Node.events`."""

from dataclasses import dataclass
from typing import final

from cortexnet.identity.peer_id import PeerId


@final
@dataclass(frozen=True, slots=True)
class PeerRefused:
    """The score of a peer has fallen below `reputation.refuse_below`: its new streams are refused; `why` is what it did last."""

    peer_id: PeerId
    score: float
    why: str


@final
@dataclass(frozen=True, slots=True)
class PeerDenied:
    """The score of a peer has fallen below `reputation.deny_below`: it is denied for so many seconds."""

    peer_id: PeerId
    score: float
    seconds: float
    why: str


@final
@dataclass(frozen=True, slots=True)
class PeerForgiven:
    """The score of a peer has risen: it may connect again where it was denied, and open streams where `is_trusted`."""

    peer_id: PeerId
    score: float
    is_trusted: bool


ReputationEvent = PeerRefused | PeerDenied | PeerForgiven

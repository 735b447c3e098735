"""Whoever has a place in the network: an honest node, or somebody else."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from simulation.network import State

if TYPE_CHECKING:
    from cortexnet.gossip.messages import Rpc
    from cortexnet.identity.peer_id import PeerId
    from simulation.network import End


class Party(ABC):
    """One identity with its connections."""

    __slots__ = ("end", "links", "peer_id")

    def __init__(self, peer_id: "PeerId", end: "End") -> None:
        self.peer_id = peer_id
        self.end = end
        self.links: dict[PeerId, Party] = {}

    @property
    def is_up(self) -> bool:
        """Whether it has not left."""
        return self.end.state is State.UP

    @abstractmethod
    def met(self, peer: "Party", *, outbound: bool) -> None:
        """There is a connection with a peer, which we dialed or which dialed us."""

    @abstractmethod
    def lost(self, peer: "PeerId") -> None:
        """The connection with a peer is gone."""

    @abstractmethod
    def wants(self, rpc: "Rpc") -> bool:
        """Whether it makes a difference to it to hear this; what does not is not carried, only counted."""

    @abstractmethod
    def hear(self, sender: "PeerId", rpc: "Rpc") -> None:
        """A peer says something."""

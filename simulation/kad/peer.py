"""One DHT node of a simulation."""

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.messages import Message
from cortexnet.kad.routing.contact import Contact
from simulation.network import End
from simulation.wakeups import Wakeups

if TYPE_CHECKING:
    from cortexnet.kad.dht import Dht

Behaviour = Callable[[PeerId, Message], Message | None]
"""What a node answers that does not follow the protocol; raising a RemoteError resets the stream."""


@final
class Peer:
    """A node: its place in the network, and its core once it has one (`World.core`)."""

    __slots__ = ("behaviour", "contact", "dht", "end", "groups", "is_server", "wakeups")

    def __init__(self, end: End, contact: Contact, groups: tuple[str, ...], *, is_server: bool, wakeups: Wakeups) -> None:
        self.end = end
        self.contact = contact
        self.groups = groups
        """The networks its addresses are in, as for `cortexnet.kad.routing.diversity`."""
        self.is_server = is_server
        self.wakeups = wakeups
        self.dht: Dht | None = None
        self.behaviour: Behaviour | None = None

    @property
    def peer_id(self) -> PeerId:
        """Who it is."""
        return self.contact.peer_id

"""What happens while peers are found, as events of the node; see `Node.events`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, final

from cortexnet.discovery.found import Found as Found

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.multiformats.multiaddr import Multiaddr
    from cortexnet.swarm.dial_problem import Problem

Outcome = Literal["not tried yet", "connected", "lost"]


@final
@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """What has come of a bootstrap peer: at first, and with each change.

    `address` is the one it was given by, or a name in the DNS led to; `peer_id` is None where that names none and nobody has
    answered. `error` and `advice` say what is wrong, and what to do; both are empty where nothing is.
    """

    address: "Multiaddr"
    peer_id: "PeerId | None"
    outcome: "Outcome | Problem"
    error: str = ""
    advice: str = ""


DiscoveryEvent = Found | BootstrapResult

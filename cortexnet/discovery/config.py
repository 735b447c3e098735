"""How a node finds the peers of its application by itself."""

from dataclasses import dataclass
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryConfig:
    """Settings of what goes on from the start without being asked for. Times are seconds. Raises ConfigInvalid."""

    namespace: str = ""
    """The name under which the nodes of an application find each other in the DHT: advertised and searched for as long as the
    node runs. Nothing: neither. `node.advertise` and `node.find_peers` work in any case."""
    peers: int = 8
    """As long as fewer peers found there are connected, more are searched for and dialed: as many as gossip wants of a topic."""
    interval: float = 600.0
    """From one search to the next in the long run; the first ones follow each other faster."""

    def __post_init__(self) -> None:
        if not isinstance(self.namespace, str) or self.namespace.encode(errors="ignore").decode() != self.namespace:
            raise ConfigInvalid(f"must be a text, but is {self.namespace!r}", key="discovery.namespace")
        if not isinstance(self.peers, int) or isinstance(self.peers, bool) or self.peers < 1:
            raise ConfigInvalid(f"must be a whole number above 0, but is {self.peers!r}", key="discovery.peers")
        is_number = isinstance(self.interval, int | float) and not isinstance(self.interval, bool)
        if not is_number or not 1 <= self.interval < float("inf"):
            raise ConfigInvalid(f"must be a second at least, but is {self.interval!r}", key="discovery.interval")

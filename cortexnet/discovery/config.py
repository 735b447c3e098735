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
    found_peers: int = 1024
    """Peers that were found and are remembered, whoever found them; a table of some 500 KiB. Above it the source that has named
    most loses the one it named longest ago."""
    found_ttl: float = 3600.0
    """A peer that nobody has found for so long is news when it is found again; as long as addresses of a peer gone are kept."""
    found_rate: float = 20.0
    """Peers a second that one source may name in the long run: a flood of invented ones costs no more than that."""
    found_burst: int = 256
    """And that many at once: a search of a namespace, or a network of that size that answers on one LAN."""

    def __post_init__(self) -> None:
        if not isinstance(self.namespace, str) or self.namespace.encode(errors="ignore").decode() != self.namespace:
            raise ConfigInvalid(f"must be a text, but is {self.namespace!r}", key="discovery.namespace")
        for key, count in (("peers", self.peers), ("found_peers", self.found_peers), ("found_burst", self.found_burst)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ConfigInvalid(f"must be a whole number above 0, but is {count!r}", key=f"discovery.{key}")
        for key, seconds in (("interval", self.interval), ("found_ttl", self.found_ttl)):
            if not _is_number(seconds) or not 1 <= seconds < float("inf"):
                raise ConfigInvalid(f"must be a second at least, but is {seconds!r}", key=f"discovery.{key}")
        if not _is_number(self.found_rate) or not 0 < self.found_rate < float("inf"):
            raise ConfigInvalid(f"must be a number above 0, but is {self.found_rate!r}", key="discovery.found_rate")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

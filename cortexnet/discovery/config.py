"""How a node finds the peers of its application by itself."""

from dataclasses import asdict, dataclass
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
    """As long as fewer good peers are connected, those that were found are dialed, and more are looked for: as many as gossip
    wants of a topic. With a namespace so many of its members are wanted besides. 0: found peers are told of, and never dialed."""
    interval: float = 600.0
    """From one search of the namespace to the next in the long run; the first ones follow each other faster."""
    dials: int = 4
    """Found peers that are dialed at once, whoever found them: of what was announced in two days much is gone, which takes its
    time to be found out, and the application's own dials want room too."""
    dial_rate: float = 2.0
    """Found peers dialed a second in the long run, after 16 at once: so nobody makes us flood others by names he invents."""
    retry_first: float = 30.0
    """A found peer that was not reached, or did not stay, is left alone for so long, less up to half of it at random."""
    retry_longest: float = 3600.0
    """That wait doubles with each failure up to here: as long as the peer is remembered."""
    least_score: float = -20.0
    """Peers whose reputation is below are not dialed, and don't count as connected; 0 is a stranger, -50 has streams refused."""
    exchange: bool = True
    """Tell connected peers of others where they ask, over `/cortex/px/1.0.0`, and ask them where too few are connected. A node
    that looks for no network itself, having neither bootstrap peers, a namespace nor mDNS, asks nobody."""
    exchange_peers: int = 16
    """Peers told in one answer, and taken from one: as many as a PRUNE of gossip names; each costs the check of a signature."""
    exchange_asked: int = 3
    """Peers that are asked at once: more than one, so that none decides alone whom this node meets."""
    exchange_interval: float = 60.0
    """From one question to the next to the same peer. Who asks us is answered four times at once, then each quarter of that."""
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
        if not isinstance(self.exchange, bool):
            raise ConfigInvalid(f"must be true or false, but is {self.exchange!r}", key="discovery.exchange")
        for name, value in asdict(self).items():
            objection = _objection(name, value)
            if objection:
                raise ConfigInvalid(f"must be {objection}, but is {value!r}", key=f"discovery.{name}")
        if self.retry_first > self.retry_longest:
            message = f"must not be above discovery.retry_longest, which is {self.retry_longest:g}, but is {self.retry_first:g}"
            raise ConfigInvalid(message, key="discovery.retry_first")


_COUNTS = {
    "peers": (0, 1 << 16),
    "dials": (1, 1 << 16),
    "exchange_peers": (1, 64),
    "exchange_asked": (1, 64),
    "found_peers": (1, 1 << 20),
    "found_burst": (1, 1 << 20),
}
_RATES = ("dial_rate", "found_rate")
_SECONDS = ("interval", "retry_first", "retry_longest", "exchange_interval", "found_ttl")


def _objection(name: str, value: object) -> str:
    """What a number should be instead; nothing where it is so."""
    if name in _COUNTS:
        least, most = _COUNTS[name]
        is_count = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if is_count else f"a whole number from {least} to {most}"
    if name not in (*_RATES, *_SECONDS, "least_score"):
        return ""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "a number"
    if name == "least_score":
        return "" if -100 <= value <= 0 else "a number from -100 to 0"
    if name in _RATES:
        return "" if 0 < value < float("inf") else "a number above 0"
    return "" if 1 <= value < float("inf") else "a second at least"

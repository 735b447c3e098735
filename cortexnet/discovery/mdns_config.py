"""How a node finds peers in the networks it is connected to, by multicast DNS."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_SERVICE_LIMIT = 128  # bytes; leaves room for the name of an instance in the 255 of a DNS name


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class MdnsConfig:
    """Settings of mDNS. Times are seconds, rates per second. Raises ConfigInvalid.

    Where this node listens is told to everybody in these networks, on each interface what is listened on there. A node that
    listens on loopback alone tells nobody outside of the machine, and asks nobody.
    """

    service: str = "_p2p._udp"
    """Nodes with the same name find each other; `.local` is added. The default is libp2p's, and finds nodes of all its
    implementations. A network of its own takes another, in any form of DNS: "loreum-cortex" will do."""
    interfaces: Sequence[str] = ()
    """The names of the network interfaces that are used, such as "eth0". None: all that are up and made for multicast, which the
    loopback interface of Linux is not: "lo" has to be named. One that is not there is waited for."""
    query_interval: float = 60.0
    """From one question to the next in the long run; the first ones follow each other faster. The question of one node serves
    all, and is answered by all."""
    ttl: int = 360
    """Others forget this node when they have not heard of it for so long; rust-libp2p's value. When it is closed they do so at
    once."""
    watch_interval: float = 10.0
    """From one look at the interfaces and their addresses to the next; each takes a millisecond."""
    packet_rate: float = 100.0
    """Packets of the service read on one interface, twice as many at once; more are dropped. To read the worst takes 3 ms, and
    a node has a few a minute to say."""
    source_packet_rate: float = 50.0
    """The same of those from one address, so that a flood of one neighbour's does not hide the others."""
    peer_rate: float = 10.0
    """Peers believed of one address, ten times as many at once: several nodes may run there, but not hundreds."""

    def __post_init__(self) -> None:
        _check_service(self.service)
        if isinstance(self.interfaces, str) or not isinstance(self.interfaces, Iterable):
            raise ConfigInvalid(f"must be a list of names, but is {self.interfaces!r}", key="mdns.interfaces")
        object.__setattr__(self, "interfaces", tuple(self.interfaces))
        if not all(isinstance(name, str) and name for name in self.interfaces):
            raise ConfigInvalid(f"must be a list of names, but is {list(self.interfaces)!r}", key="mdns.interfaces")
        for key, seconds in (("query_interval", self.query_interval), ("watch_interval", self.watch_interval)):
            if not _is_number(seconds) or not 1 <= seconds < float("inf"):
                raise ConfigInvalid(f"must be a second at least, but is {seconds!r}", key=f"mdns.{key}")
        if type(self.ttl) is not int or not 1 <= self.ttl < 1 << 31:
            raise ConfigInvalid(f"must be a whole number of seconds, one at least, but is {self.ttl!r}", key="mdns.ttl")
        rates = ("packet_rate", self.packet_rate), ("source_packet_rate", self.source_packet_rate), ("peer_rate", self.peer_rate)
        for key, rate in rates:
            if not _is_number(rate) or not 1 <= rate < float("inf"):
                raise ConfigInvalid(f"must be 1 a second at least, but is {rate!r}", key=f"mdns.{key}")


def _check_service(service: object) -> None:
    key = "mdns.service"
    if not isinstance(service, str):
        raise ConfigInvalid(f"must be a name such as '_p2p._udp', but is {service!r}", key=key)
    labels = service.split(".")
    if not all(label and len(label) <= 63 and _LETTERS.issuperset(label) for label in labels) or len(service) > _SERVICE_LIMIT:
        raise ConfigInvalid(
            f"must be of up to 63 letters, digits, '-' and '_', or several such parts with dots between them, "
            f"{_SERVICE_LIMIT} characters in all, but is {service!r}",
            key=key,
        )
    if labels[-1].lower() == "local":
        raise ConfigInvalid(f"is written without .local, but is {service!r}", key=key)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What the connection manager is told: how many connections are plenty, and how it keeps those that must stay."""

from dataclasses import asdict, dataclass
from typing import final

from cortexnet.admission.limits import Limits
from cortexnet.documented import documented
from cortexnet.errors import ConfigInvalid


@final
@dataclass(frozen=True, slots=True)
class Watermarks:
    """Above `high` connections are closed, until `low` are left."""

    low: int
    high: int


@final
@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionManagerConfig:
    """Settings of `node.manager`. Times are seconds. Raises ConfigInvalid for a setting that is none."""

    low: int | None = None
    """Where trimming stops. None: five sixths of `high`, which is 160; go-libp2p's share, so that a trim is worth its while."""
    high: int | None = None
    """Where trimming begins. None: three quarters of what `limits` lets in, which is 192 as in go-libp2p: room is made before
    newcomers are refused. As many as `limits.connections`: nothing is ever trimmed."""
    grace: float = 20.0
    """A connection younger than this is left alone: enough to negotiate, to identify and to be used or tagged; Kubo's value."""
    silence: float = 10.0
    """From one trim to the next, however many come meanwhile; go-libp2p's value."""
    idle_timeout: float = 0.0
    """A connection without streams for so long is closed, unless its peer is protected, kept or worth more than 0. 0: never.
    It costs some 40 KiB and a ping each half minute, a new one a handshake; go keeps all, rust ends them after 10 s."""
    retry_first: float = 1.0
    """From the loss of a kept peer to its first dial, less up to half of it at random: a crowd shall not come back at once."""
    retry_longest: float = 60.0
    """The wait doubles with each failure up to here: a bootstrap node that is back is found within a minute."""
    best_peers: int = 8
    """Peers with the best scores that are kept connected for it, never trimmed, and dialed again when they are lost: as many as
    gossip wants of a topic. Beside those of `keep`, and not where reputation is off. 0: nobody."""
    watch_interval: float = 5.0
    """Between looks at the addresses of the network interfaces, a millisecond each. 0: never; see `manager.network_changed`."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            objection = _objection(name, value)
            if objection:
                raise ConfigInvalid(f"must {objection}, but is {value!r}", key=f"manager.{name}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigInvalid(f"must not be above manager.high, which is {self.high}, but is {self.low}", key="manager.low")
        if self.retry_first > self.retry_longest:
            raise ConfigInvalid(
                f"must not be above manager.retry_longest, which is {self.retry_longest:g}, but is {self.retry_first:g}",
                key="manager.retry_first",
            )

    def watermarks(self, limits: Limits) -> Watermarks:
        """Both marks for a node with these limits. Raises ConfigInvalid for one that they never let it reach."""
        for name, mark in (("low", self.low), ("high", self.high)):
            if mark is not None and mark > limits.connections:
                message = f"is {mark}, which limits.connections, {limits.connections}, never lets it reach"
                raise ConfigInvalid(message, key=f"manager.{name}")
        room = min(limits.connections, limits.connections_inbound or limits.connections)
        high = self.high if self.high is not None else max(-(-room * 3 // 4), self.low or 1)
        return Watermarks(self.low if self.low is not None else -(-high * 5 // 6), high)


_MAY_BE_ZERO = ("grace", "silence", "idle_timeout", "watch_interval")


def _objection(name: str, value: object) -> str:
    if name in ("low", "high"):
        is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        return "" if value is None or is_count else "be a whole number of at least 1"
    if name == "best_peers":
        return "" if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else "be a whole number, or 0"
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        return "be a number of seconds"
    return "" if value > 0 or name in _MAY_BE_ZERO else "be above 0"

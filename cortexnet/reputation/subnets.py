"""The networks from which misbehaviour came, and how slowly strangers are let in from there. A core; any steady clock will do.

A network is an IPv4 /24 or an IPv6 /48. It is never closed, and whoever is known to be good is never asked about here: most who
share it, as behind one carrier's address, have nothing to do with the one who misbehaved.
"""

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, final

from cortexnet.errors import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cortexnet.reputation.config import ReputationConfig

WORST = 31.0
"""Offences that count together: behind more of them a stranger comes each 160 s, which is as good as never, and not never."""
_FORGOTTEN = 0.5  # offences; below, a network is like any other
_LOOKED_AT = 16  # networks that are compared where one has to go


@final
@dataclass(slots=True)
class Network:
    """One network. `offences` have faded as far as `since`; the tokens are for strangers."""

    since: float
    offences: float
    tokens: float
    filled: float
    """When there were so many tokens."""


@final
class Networks:
    """What is remembered of networks."""

    def __init__(self, config: "ReputationConfig", *, on_change: "Callable[[str], None] | None" = None) -> None:
        self.on_change = on_change
        """Called with each network about which something is known that was not, or no more; must not raise."""
        self._config = config
        self._networks: dict[str, Network] = {}  # the one that changed last stands last

    def __len__(self) -> int:
        return len(self._networks)

    def __iter__(self) -> "Iterator[str]":
        return iter(list(self._networks))

    def offences(self, name: str, now: float) -> float:
        """How many are not forgotten yet; below a half, 0."""
        network = self._networks.get(name)
        return 0.0 if network is None else self._left(network, now)

    def blame(self, name: str, now: float) -> None:
        """A peer that is connected from there has misbehaved."""
        network = self._networks.pop(name, None)
        if network is None:
            network = Network(now, 0.0, float(self._config.newcomer_burst), now)
        network.offences = min(WORST, self._left(network, now) + 1)
        network.since = now
        if self._put(name, network, now):
            self._changed(name)

    def restore(self, name: str, since: float, offences: float, now: float) -> bool:
        """Take back what an earlier run knew. False, and nothing changed, where it is known already, forgotten, or too much."""
        network = Network(min(since, now), min(WORST, offences), float(self._config.newcomer_burst), now)
        return name not in self._networks and self._left(network, now) > 0 and self._put(name, network, now)

    def known(self, name: str) -> tuple[float, float] | None:
        """What `restore` wants: since when, and how many offences."""
        network = self._networks.get(name)
        return None if network is None else (network.since, network.offences)

    def admit(self, name: str, now: float) -> None:
        """Count a stranger that comes from there. Raises LimitExceeded where it comes too early, and counts nothing then."""
        network = self._networks.get(name)
        if network is None:
            return
        offences = self._left(network, now)
        if not offences:
            self._drop(name)
            return
        rate = self._config.newcomer_rate / (1 + offences)
        burst = max(1.0, self._config.newcomer_burst / (1 + offences))
        network.tokens = min(burst, network.tokens + max(0.0, now - network.filled) * rate)
        network.filled = max(now, network.filled)
        if network.tokens < 1:
            scope = f"strangers from {name}, where misbehaviour came from, at once, then one each {1 / rate:.0f} s"
            raise LimitExceeded(scope, limit=int(burst), value=int(burst) + 1, setting="reputation.newcomer_burst")
        network.tokens -= 1

    def _left(self, network: Network, now: float) -> float:
        left = network.offences * 0.5 ** (max(0.0, now - network.since) / self._config.half_life)
        return left if left >= _FORGOTTEN else 0.0

    def _put(self, name: str, network: Network, now: float) -> bool:
        if len(self._networks) >= self._config.subnets and not self._makes_room(network, now):
            return False
        self._networks[name] = network
        return True

    def _makes_room(self, network: Network, now: float) -> bool:
        """Drop the mildest of some, where it is milder than one that comes."""
        looked_at = list(islice(self._networks, _LOOKED_AT))
        mildest = min(looked_at, key=lambda name: self._left(self._networks[name], now))
        if self._left(self._networks[mildest], now) >= network.offences:
            for name in looked_at:  # others are looked at next time
                self._networks[name] = self._networks.pop(name)
            return False
        self._drop(mildest)
        return True

    def _drop(self, name: str) -> None:
        del self._networks[name]
        self._changed(name)

    def _changed(self, name: str) -> None:
        if self.on_change is not None:
            self.on_change(name)

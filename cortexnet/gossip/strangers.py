"""How many peers that have shown nothing yet, and that we did not dial, a mesh takes. A core.

An attacker has any number of them. So a mesh takes two or so at once, then one now and then, whatever becomes of them.
"""

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from random import Random

    from cortexnet.gossip.config import GossipConfig


@final
class Strangers:
    """Those of one mesh: a bucket of tokens that are counted by what is missing."""

    __slots__ = ("_due", "_taken")

    def __init__(self) -> None:
        self._taken = 0  # of late; at most the burst
        self._due = 0.0  # when the first of them is forgotten, if there is any

    def room(self, now: float, config: "GossipConfig", random: "Random") -> int:
        """How many more may come."""
        while self._taken and now >= self._due:
            self._taken -= 1
            self._due += _pause(config, random)
        return max(0, config.newcomer_burst - self._taken)

    def take(self, count: int, now: float, config: "GossipConfig", random: "Random") -> int:
        """Up to `count` of them have come: how many may stay."""
        count = min(count, self.room(now, config, random))
        if count and not self._taken:
            self._due = now + _pause(config, random)
        self._taken += count
        return count


def _pause(config: "GossipConfig", random: "Random") -> float:
    """The interval on average: else all nodes that somebody comes to at once would be ready for the next at the same time."""
    return config.newcomer_interval * random.uniform(0.5, 1.5)

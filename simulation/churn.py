"""Nodes that come and go: each stays for a time drawn from the same exponential distribution, whoever it is and however old."""

from collections.abc import Callable
from math import log
from typing import Generic, TypeVar, final

from simulation.engine import Simulation

Node = TypeVar("Node")


@final
class Churn(Generic[Node]):
    """Makes nodes leave, and others (or the same) come in their place.

    Of those that are there now half is gone after `half_life` seconds. `leave(node)` ends one; after a pause of `away` seconds,
    drawn likewise, `come(node)` returns who comes instead.
    """

    def __init__(
        self,
        simulation: Simulation,
        *,
        half_life: float,
        away: float,
        leave: Callable[[Node], None],
        come: Callable[[Node], Node],
    ) -> None:
        self._simulation = simulation
        self._chance = simulation.chance("churn")
        self._mean = half_life / log(2)
        self._away = away
        self._leave = leave
        self._come = come
        self.left = 0
        """How many times somebody has left."""

    def add(self, node: Node) -> None:
        """It is one of those that come and go."""
        self._simulation.after(self._chance.expovariate(1 / self._mean), lambda: self._end(node))

    def _end(self, node: Node) -> None:
        self.left += 1
        self._leave(node)
        self._simulation.after(self._chance.expovariate(1 / self._away), lambda: self.add(self._come(node)))

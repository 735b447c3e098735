"""A network of named ends in memory: what lies between any two of them, and what befalls it.

    network = SimulatedNetwork(seed=7, conditions=LinkConditions(latency=jitter(0.02, 0.05)))
    alice = Node(listen=["/memory/0"], config=Config(transports=("memory",), memory_network=network.host("alice")))
    bob = Node(listen=["/memory/0"], config=Config(transports=("memory",), memory_network=network.host("bob")))
    network.partition(["alice"], ["bob"])                        # silence, for what is open and for what is dialed later
    network.heal()

Run it on a `VirtualTimeLoop`: then hours cost nothing, and one seed gives one course of events.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import final

from cortexnet.errors import LocalError
from cortexnet.transport.memory import MemoryNetwork
from cortexnet.transport.memory_link import MemoryLink
from cortexnet.transport.memory_wire import LinkConditions, LinkDirection

_RETRANSMIT_MAX = 60.0


def jitter(low: float, high: float) -> Callable[[Random], float]:
    """A latency drawn evenly from `low` to `high` seconds."""
    return lambda random: random.uniform(low, high)


def lossy(latency: float, loss: float, *, retransmit: float = 0.2) -> Callable[[Random], float]:
    """The latency of a link that loses a share `loss` of its packets: each loss costs another `retransmit` seconds, doubled
    each time, as the peers of a TCP connection see it. Raises LocalError unless 0 <= loss < 1."""
    if not 0 <= loss < 1:
        raise LocalError(f"a share of lost packets is 0 or more and below 1, not {loss}")

    def draw(random: Random) -> float:
        delay, wait = latency, retransmit
        while random.random() < loss:
            delay += wait
            wait = min(_RETRANSMIT_MAX, 2 * wait)
        return delay

    return draw


def pieces(low: int, high: int) -> Callable[[Random], int]:
    """A piece size drawn evenly from `low` to `high` bytes."""
    return lambda random: random.randint(low, high)


@final
class SimulatedNetwork:
    """Ends with names, the conditions between them, and the faults that a test wants.

    A name is that of a `host`, or the address ("/memory/7") of an end that has none. Conditions and faults may be set before
    the ends exist. Not thread-safe; everything runs on one event loop.
    """

    def __init__(self, seed: int = 0, conditions: LinkConditions | None = None) -> None:
        """`conditions` hold between any two ends for which nothing else is set; all chance comes from `seed`."""
        self.seed = seed
        self._default = conditions or LinkConditions()
        self._conditions: dict[tuple[str, str], LinkConditions] = {}
        self._silent: set[tuple[str, str]] = set()
        self._groups: dict[str, int] = {}
        self.memory = MemoryNetwork(conditions=self._default, random=self.random("network"), on_link=self._apply)

    def __repr__(self) -> str:
        return f"SimulatedNetwork(seed={self.seed})"

    def host(self, name: str) -> MemoryNetwork:
        """The network as the end called `name` sees it: the `memory_network` of that node's Config."""
        return self.memory.named(name)

    def random(self, name: str) -> Random:
        """A source of chance of its own for `name`, the same in each run of this seed."""
        return Random(f"{self.seed}/{name}")

    def links(self, one: str | None = None, other: str | None = None) -> list[MemoryLink]:
        """The open links: all of them, those of `one`, or those between `one` and `other`."""
        return [link for link in self.memory.links if {one, other} - {None} <= {link.dialer, link.listener}]

    def set_conditions(self, source: str, target: str, conditions: LinkConditions, *, one_way: bool = False) -> None:
        """What it is like from `source` to `target`, and back unless `one_way`; open links change for what is written later."""
        self._conditions[source, target] = conditions
        if not one_way:
            self._conditions[target, source] = conditions
        self._apply_to_all()

    def cut(self, one: str, other: str) -> int:
        """Reset the open links between the two; how many there were. New ones can be made at once."""
        links = self.links(one, other)
        for link in links:
            link.cut()
        return len(links)

    def silence(self, source: str, target: str, *, one_way: bool = False) -> None:
        """Let nothing arrive any more from `source` at `target`, and back unless `one_way`; dials hang, nobody is told."""
        self._silent.add((source, target))
        if not one_way:
            self._silent.add((target, source))
        self._apply_to_all()

    def partition(self, *groups: Iterable[str]) -> None:
        """Silence everything between the groups; names in none of them are one more group. Replaces an earlier partition.

        Raises LocalError for a name in two groups.
        """
        placed: dict[str, int] = {}
        for number, group in enumerate(groups, start=1):
            for name in group:
                if placed.setdefault(name, number) != number:
                    raise LocalError(f"{name!r} can't be in two groups")
        self._groups = placed
        self._apply_to_all()

    def heal(self, one: str | None = None, other: str | None = None) -> None:
        """End every silence and the partition, or only what `silence` did to `one`, or between `one` and `other`.

        What was held up arrives at once.
        """
        if one is None and other is None:
            self._groups = {}
        self._silent = {pair for pair in self._silent if not {one, other} - {None} <= set(pair)}
        self._apply_to_all()

    def is_reachable(self, source: str, target: str) -> bool:
        """Whether what `source` sends arrives at `target`."""
        if source == target:
            return True
        return (source, target) not in self._silent and self._groups.get(source, 0) == self._groups.get(target, 0)

    def _apply_to_all(self) -> None:
        for link in self.memory.links:
            self._apply(link)

    def _apply(self, link: MemoryLink) -> None:
        self._apply_to(link.forward, link.dialer, link.listener)
        self._apply_to(link.backward, link.listener, link.dialer)

    def _apply_to(self, direction: LinkDirection, source: str, target: str) -> None:
        direction.conditions = self._conditions.get((source, target), self._default)
        is_silent = not self.is_reachable(source, target)
        if is_silent and not direction.is_silent:
            direction.silence()
        elif direction.is_silent and not is_silent:
            direction.heal()

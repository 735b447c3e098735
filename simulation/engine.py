"""Virtual time and chance, the two things that a simulation hands to cores. No asyncio, no clock, no threads.

How a protocol is simulated, the DHT in `simulation.kad` and gossip beside it:

    simulation = Simulation(seed)
    network = Network(simulation, Conditions(latency=LogNormal(median=0.05, p99=0.25)))     # simulation.network
    a, b = network.join(), network.join()
    network.send(a, b, size, lambda: core_of_b.receive(...))        # comes after its latency, or never
    simulation.after(1.0, heartbeat)
    simulation.run_until(60.0)

A node of a simulation is an `End` of the network and a core. Whenever a core was called its actions are taken and carried out,
and its `next_timeout` is entered as an event: `simulation.wakeups.Wakeups` does the latter. A scenario is a function from
`Settings` to a `Report` (`simulation.report`). A protocol is a folder of them with a `scenarios.py`, which has a dict of them by
name, and is entered in `simulation.__main__.PROTOCOLS`.
"""

from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import final

from cortexnet.testing.clock import SimClock

UNIX_START = 1_700_000_000.0
"""The wall time at which every simulation begins."""


@final
class Simulation:
    """One course of events. The same seed and the same calls give the same course, under any PYTHONHASHSEED.

    That holds as long as nobody walks over a set, or asks `id` or a clock, to decide something.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.clock = SimClock()

    @property
    def events(self) -> int:
        """How many have run."""
        return self.clock.ran

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return self.clock.now

    @property
    def unix_now(self) -> float:
        """The wall time."""
        return UNIX_START + self.clock.now

    def chance(self, purpose: str) -> Random:
        """Chance of its own for each purpose, such as "latency" or "node 17": what one draws does not change another's."""
        digest = sha256(b"%d/%b" % (self.seed, purpose.encode())).digest()
        return Random(int.from_bytes(digest[:8], "big"))

    def at(self, time: float, call: Callable[[], object]) -> None:
        """Call it at a time; at once, behind what is due already, where that is over."""

        def run(now: float) -> None:
            call()

        self.clock.call_at(time, run)

    def after(self, delay: float, call: Callable[[], object]) -> None:
        """Call it in so many seconds."""
        self.at(self.clock.now + delay, call)

    def run_until(self, time: float) -> None:
        """Let all happen that happens by then."""
        self.clock.run_until(time)

    def run_for(self, seconds: float) -> None:
        """The same, from now on."""
        self.run_until(self.now + seconds)

    def run_while(self, is_wanted: Callable[[], bool], *, until: float) -> None:
        """Run event by event as long as it is wanted, and no further than `until`; time stands at the last event then."""
        clock = self.clock
        while is_wanted():
            due = clock.next_time()
            if due is None or due > until:
                return
            clock.step()

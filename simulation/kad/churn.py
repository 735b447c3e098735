"""Half a day in a network whose nodes come and go, in which some publish records that others look for.

Nothing is made from what nobody knows: nodes join by three others that are there, fill their tables by the lookups of their own
upkeep, and publishers put their records again each half hour, as the core does by itself.
"""

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final, final

from bench.plot import Curve
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.engine.operation import Operation
from simulation.churn import Churn
from simulation.engine import Simulation
from simulation.kad.build import INTERNET
from simulation.kad.peer import Peer
from simulation.kad.world import World
from simulation.network import State
from simulation.report import Report, Settings

HOUR: Final = 3600.0
HALF_LIFE: Final = HOUR
AWAY: Final = 300.0
"""Mean seconds until somebody comes for one who has left."""
LENGTH: Final = 12 * HOUR
PUBLISHERS: Final = 0.1
"""Share of the nodes."""
RECORDS_EACH: Final = 10
JOINED_WITHIN: Final = 600.0
PUBLISHED_AT: Final = 1200.0
PROBED_FROM: Final = 1800.0
PROBED_EACH: Final = 600.0
SETTLING: Final = 60.0
"""Seconds after which a publisher that has come back puts its records."""
PATIENCE: Final = 300.0
"""Seconds after which a probe has ended, unless its node went: a lookup has 60."""
LIMIT: Final = 1800.0
"""Of one core, for 1,000 nodes and 12 h."""


@final
@dataclass(slots=True)
class _Probe:
    record: int
    time: float
    operation: Operation[bytes | None]

    @property
    def is_found(self) -> bool:
        return not self.operation.has_failed and self.operation.result() == b"%d" % self.record


@final
@dataclass(frozen=True, slots=True)
class _Outcome:
    """What is kept of a probe: its operation holds all the peers that it has heard of."""

    time: float
    is_found: bool


@final
class _Town:
    """The network, who publishes what in it, and what was looked for."""

    def __init__(self, settings: Settings) -> None:
        self.simulation = Simulation(settings.seed)
        self.world = World(self.simulation, INTERNET, DhtConfig(value_interval=HOUR / 2))
        self.end = PROBED_FROM + LENGTH * settings.scale
        self.probes: list[_Outcome] = []
        self.lost = 0  # probes whose node went
        self._open: deque[_Probe] = deque()
        self._chance = self.simulation.chance("town")
        self._records: dict[bytes, range] = {}  # by the bytes of the publisher's id
        self.churn = Churn(self.simulation, half_life=HALF_LIFE, away=AWAY, leave=self._leave, come=self._come)
        for number in range(settings.nodes):
            self.simulation.at(JOINED_WITHIN * number / settings.nodes, self._join)
        self.record_count = RECORDS_EACH * round(PUBLISHERS * settings.nodes)
        self.simulation.at(PUBLISHED_AT, self._begin)
        self.simulation.at(PROBED_FROM, partial(self._probe_next, 0))

    # Who is there

    def _join(self) -> None:
        self.world.start(self.world.join())

    def _begin(self) -> None:
        """From now on nodes come and go, and some of them publish."""
        peers = self.world.servers()
        for number, peer in enumerate(self._chance.sample(peers, self.record_count // RECORDS_EACH)):
            self._records[bytes(peer.peer_id)] = range(number * RECORDS_EACH, (number + 1) * RECORDS_EACH)
            self._publish(peer)
        for peer in peers:
            self.churn.add(peer)

    def _leave(self, peer: Peer) -> None:
        self.world.leave(peer, self._chance.choice((State.REFUSES, State.SILENT)))

    def _come(self, peer: Peer) -> Peer:
        """A publisher comes back as it was, with nothing but its records; for others a new node comes."""
        if bytes(peer.peer_id) not in self._records:
            other = self.world.join()
        else:
            other = self.world.enter(peer.contact)
            self.simulation.after(SETTLING, partial(self._publish, other))
        self.world.start(other)
        return other

    # What is done there

    def _publish(self, peer: Peer) -> None:
        if peer.dht is not None:
            values = {_key(record): b"%d" % record for record in self._records[bytes(peer.peer_id)]}
            peer.dht.put_many(values, self.simulation.now)
            self.world.drain(peer)

    def _probe_next(self, number: int) -> None:
        """One record after the other, all of them in ten minutes, each from somewhere else."""
        record = number % self.record_count
        peer = self._somebody()
        # A full lookup would store the record again with those that lack it: that would help those looked for.
        operation = self.world.core(peer).get_value(_key(record), self.simulation.now, quorum=1)
        self._open.append(_Probe(record, self.simulation.now, operation))
        self.settle(self.simulation.now - PATIENCE)
        self.world.drain(peer)
        self.simulation.after(PROBED_EACH / self.record_count, partial(self._probe_next, number + 1))

    def settle(self, until: float) -> None:
        """Note what came of the probes that began by then."""
        while self._open and self._open[0].time <= until:
            probe = self._open.popleft()
            if probe.operation.is_done:
                self.probes.append(_Outcome(probe.time, probe.is_found))
            else:
                self.lost += 1

    def _somebody(self) -> Peer:
        """A node that knows somebody, and publishes nothing."""
        while True:
            peer = self._chance.choice(self.world.servers())
            if bytes(peer.peer_id) not in self._records and self.world.core(peer).table:
                return peer


def _key(record: int) -> bytes:
    return b"/n/record %d" % record


def churn(settings: Settings) -> Report:
    """Half of the nodes go in each hour. Publishers come back with their ids, others do not; half of those that go refuse from
    then on, half are silent. A probe whose own node goes before it ends does not count."""
    report = Report("churn", settings)
    town = _Town(settings)
    town.simulation.run_until(town.end)
    town.settle(town.end)
    probes = town.probes
    report.share("records found", sum(probe.is_found for probe in probes), len(probes), 99.9)
    report.add("probes", len(probes))
    report.add("probes whose node went", town.lost)
    report.add("times that somebody left", town.churn.left)
    report.add("requests", sum(town.world.requests.values()))
    report.curves.append(_course(probes))
    return report.close(town.simulation, limit=LIMIT)


def _course(probes: list[_Outcome]) -> Curve:
    """How many per cent were found in each half hour."""
    halves: dict[int, list[bool]] = {}
    for probe in probes:
        halves.setdefault(int(probe.time // (HOUR / 2)), []).append(probe.is_found)
    return Curve(
        "churn, % of records found, by hour", [(half / 2, 100 * sum(found) / len(found)) for half, found in halves.items()]
    )

"""The attacks of the evaluation of gossipsub 1.1: for each honest neighbour, an honest node has twenty that are sybils."""

from math import inf
from typing import TYPE_CHECKING, Final, final

from bench.plot import Curve
from simulation.engine import Simulation
from simulation.gossip.build import STARTING, authors, grow
from simulation.gossip.honest import LATE, arrived, close, everybody
from simulation.gossip.settings import DIALS, EXCHANGING, RATE, SCORED
from simulation.gossip.sybils import COMING, Gang, Plan
from simulation.gossip.world import World
from simulation.report import Report, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from cortexnet.gossip.config import GossipConfig
    from simulation.gossip.member import Member

RATIO: Final = 20
"""Connections with sybils for each with an honest node."""
LINKS: Final = 2 * DIALS * RATIO
"""Connections of an honest node with sybils."""
CROWD: Final = 4
"""Sybils for each honest node."""
FIRST: Final = 3.0
"""Seconds before the first message. From then on the topic is never quiet, as whoever sets a rate promises."""
ATTACK: Final = 60.0
"""When sybils come that come later than the honest."""
LENGTH: Final = 180.0
"""Seconds of an attack."""
HELD_AFTER: Final = 60.0
"""Seconds into the attack from which on sybils hold few places."""
HELD: Final = 0.10
RECOVERED: Final = 120.0


@final
class Siege:
    """One attack: the network, the gang, and what is seen of it."""

    def __init__(self, settings: Settings, name: str, *, began: float, config: "GossipConfig" = SCORED) -> None:
        self.report = Report(name, settings)
        self.world = World(Simulation(settings.seed), config)
        self.began = began
        """When the attack begins to do harm."""
        self.gang: Gang | None = None
        self.victims: Callable[[], list[Member]] = self.world.living
        self.shares: list[tuple[float, float]] = []
        self.end = began + LENGTH * settings.scale

    def gather(self, plan: Plan, size: int) -> Gang:
        """The attackers are there, without connections."""
        self.gang = Gang(self.world, size, plan)
        return self.gang

    def run(self, *, publish_from: float = FIRST) -> Report:
        """Let it happen, and judge."""
        simulation, world = self.world.simulation, self.world
        simulation.run_until(min(publish_from, 2.0))
        simulation.at(publish_from, self._publish)
        while simulation.now < self.end:
            simulation.run_until(min(self.end, int(simulation.now) + 1.0))
            if self.gang is not None and simulation.now >= self.began:
                self.shares.append((simulation.now - self.began, 100 * self.gang.share(self.victims())))
        simulation.run_for(LATE)
        self._judge(world)
        return close(self.report, world)

    def _publish(self) -> None:
        now = self.world.simulation.now
        self.world.publish_regularly(authors(self.world), start=now, count=int((self.end - now) * RATE))

    def _judge(self, world: World) -> None:
        report = self.report
        delays = world.ledger.delays(world.members, everybody, since=self.began)
        report.add("messages during the attack", len(world.ledger.postings(self.began)))
        report.share("delivered", sum(delay < inf for delay in delays), len(delays), 100.0)
        report.share("delivered within 2 s", sum(delay <= 2 for delay in delays), len(delays), 99.9)
        report.share("delivered within 6 s", sum(delay <= 6 for delay in delays), len(delays), 100.0)
        report.spread("delay", arrived(delays), "ms", {50: None, 99: None, 100: None})
        report.add("connections with sybils", sum(len(sybil.links) for sybil in self.gang.sybils) if self.gang else 0)
        report.add("places of sybils, most", max(share for _, share in self.shares), "%")
        later = [share for seconds, share in self.shares if seconds >= HELD_AFTER]
        report.add("places of sybils, most from 60 s on", max(later, default=0.0), "%", ("<=", 100 * HELD))
        report.add("recovered after", self._recovered(), "s", ("<=", RECOVERED))
        report.curves.append(Curve(f"{report.scenario}, % of places that sybils have, by second", self.shares))

    def _recovered(self) -> float:
        """Seconds into the attack after which sybils never had more than a tenth of the places again."""
        above = [seconds for seconds, share in self.shares if share > 100 * HELD]
        return above[-1] + 1.0 if above else 0.0


def _besieged(siege: Siege, plan: Plan, *, at: float) -> Report:
    """Sybils come to all honest nodes at a time, and do what is planned."""
    world, nodes = siege.world, siege.report.settings.nodes
    grow(world, nodes)
    gang = siege.gather(plan, CROWD * nodes)
    world.simulation.at(at, lambda: gang.surround(world.living(), LINKS))
    return siege.run()


def sybil(settings: Settings) -> Report:
    """Sybils come to a network that is running, sit in its meshes, and pass nothing on."""
    return _besieged(Siege(settings, "sybil", began=ATTACK), Plan(), at=ATTACK)


def degradation(settings: Settings) -> Report:
    """Sybils come to a network that is running, and pass on what they get more than a second too late."""
    return _besieged(Siege(settings, "degradation", began=ATTACK), Plan(late_by=1.5), at=ATTACK)


def covert_flash(settings: Settings) -> Report:
    """Sybils behave for two minutes, better than anybody: they pass on at once what one of them has. Then they stop together."""
    began = 2 * ATTACK
    return _besieged(Siege(settings, "covert flash", began=began), Plan(honest_until=began), at=STARTING)


def cold_boot(settings: Settings) -> Report:
    """Sybils come at the same time as the honest, when nobody has shown yet what it is worth."""
    return _besieged(Siege(settings, "cold boot", began=STARTING), Plan(), at=STARTING)


def eclipse(settings: Settings) -> Report:
    """All sybils turn to one node, which publishes as well: it is neither to hear nor to be heard."""
    siege = Siege(settings, "eclipse", began=ATTACK)
    world, report = siege.world, siege.report
    grow(world, settings.nodes)
    gang = siege.gather(Plan(), LINKS)
    siege.victims = lambda: world.members[:1]

    def attack() -> None:
        gang.surround(world.members[:1], LINKS)
        world.publish_regularly(world.members[:1], start=ATTACK, count=int((siege.end - ATTACK) * RATE / 4), rate=RATE / 4)

    world.simulation.at(ATTACK, attack)
    siege.run()
    heard = world.ledger.delays(world.members[:1], everybody, since=ATTACK)
    report.share("delivered to the victim within 2 s", sum(delay <= 2 for delay in heard), len(heard), 99.9)
    return report


def ihave_spam(settings: Settings) -> Report:
    """Sybils tell of messages that there are not, more than anybody can ask for."""
    siege = Siege(settings, "ihave spam", began=ATTACK)
    report = _besieged(siege, Plan(ihave_from=ATTACK + COMING), at=ATTACK)
    _judge_sybils(siege)
    return report


def iwant_spam(settings: Settings) -> Report:
    """Sybils ask for every message, again and again."""
    siege = Siege(settings, "iwant spam", began=ATTACK)
    report = _besieged(siege, Plan(iwant_from=ATTACK + COMING), at=ATTACK)
    _judge_sybils(siege)
    return report


def _judge_sybils(siege: Siege) -> None:
    """What is thought of those who spam."""
    assert siege.gang is not None
    now, graylist = siege.world.simulation.now, SCORED.score.thresholds.graylist if SCORED.score is not None else 0.0
    views = [member.router.score_of(sybil.peer_id, now) for sybil in siege.gang.sybils for member in siege.world.members]
    links = [member.router.score_of(peer, now) for member in siege.world.members for peer in member.links]
    siege.report.add("connections", len(links))
    siege.report.share("sybils that are not listened to", sum(view < graylist for view in views), len(views))


def exchange(settings: Settings) -> Report:
    """Sybils that everybody thinks well of prune all who have them in their mesh, and name accomplices to be dialed instead."""
    began = 2 * ATTACK
    siege = Siege(settings, "exchange", began=began, config=EXCHANGING)
    report = _besieged(siege, Plan(honest_until=began, exchange_from=began), at=STARTING)
    gang = siege.gang
    assert gang is not None
    dialed = sum(peer in gang.ids for member in siege.world.members for peer in member.dialed)
    report.add("sybils that honest nodes dialed", dialed)
    return report

"""Networks in which nobody attacks: whether all messages arrive, how fast, and what becomes of scores."""

from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Final

from bench.plot import Curve
from simulation.churn import Churn
from simulation.engine import Simulation
from simulation.gossip.build import authors, grow
from simulation.gossip.ledger import Posting
from simulation.gossip.member import Member
from simulation.gossip.settings import PLAIN, RATE, SCORED, TOPIC
from simulation.gossip.world import World
from simulation.report import Report, Settings

if TYPE_CHECKING:
    from cortexnet.gossip.config import GossipConfig

WARM: Final = 10.0
"""Seconds until the first message."""
LATE: Final = 10.0
"""Seconds that a message has to arrive in."""
MESSAGES: Final = 500
GREAT: Final = 5_000
"""Nodes from which on a fifth of the messages will do."""


def settled(settings: Settings, config: "GossipConfig" = PLAIN) -> World:
    """A network in which meshes have formed."""
    world = World(Simulation(settings.seed), config)
    grow(world, settings.nodes)
    world.simulation.run_until(WARM)
    return world


def everybody(posting: Posting, member: Member) -> bool:
    """All are to get it."""
    return True


def arrived(delays: Sequence[float]) -> list[float]:
    """Those that are none of what never came, in ms."""
    return [1000 * delay for delay in delays if delay < inf]


def close(report: Report, world: World) -> Report:
    """The figures that all scenarios have."""
    report.add("deliveries of what had been delivered", world.ledger.doubles, "", ("<=", 0))
    report.add("checksum of the course", world.course)
    return report.close(world.simulation)


def delivery(settings: Settings) -> Report:
    """Messages of random publishers, 10 a second."""
    report = Report("delivery", settings)
    world = settled(settings)
    count = settings.times(MESSAGES if settings.nodes < GREAT else MESSAGES // 5)
    world.publish_regularly(authors(world), start=WARM, count=count, rate=10.0)
    world.simulation.run_until(WARM + count / 10.0 + LATE)
    delays = world.ledger.delays(world.members, everybody)
    report.add("messages", len(world.ledger))
    report.share("delivered", sum(delay < inf for delay in delays), len(delays), 100.0)
    report.spread("delay", arrived(delays), "ms", {50: None, 99: 400 if settings.nodes < GREAT else None, 100: None})
    report.add("bytes sent per delivery", world.bytes_sent / len(delays))
    return close(report, world)


def killed(settings: Settings) -> Report:
    """A fifth of the nodes is killed at once, once with their machines' farewell and once without any, so that nobody notices for
    15 s; messages go on."""
    report = Report("killed", settings)
    for name, silence in (("killed", 0.0), ("cut off", 15.0)):
        world = settled(settings)
        simulation = world.simulation
        count = settings.times(200)
        world.publish_regularly(authors(world), start=WARM, count=count, rate=10.0)
        death = WARM + count / 20.0

        def kill(world: World = world, silence: float = silence) -> None:
            members = world.living()
            for member in world.simulation.chance("deaths").sample(members, len(members) // 5):
                world.leave(member, silently_for=silence)

        simulation.at(death, kill)
        simulation.run_until(WARM + count / 10.0 + LATE)
        survivors = world.living()
        after = world.ledger.delays(survivors, everybody, since=death + 3.0)
        ever = world.ledger.delays(survivors, everybody)
        report.add(f"{name}: messages from 3 s after", len(world.ledger.postings(death + 3.0)))
        report.share(f"{name}: delivered of those", sum(delay < inf for delay in after), len(after), 100.0)
        report.share(f"{name}: delivered of all", sum(delay < inf for delay in ever), len(ever))
        report.spread(f"{name}: delay from 3 s after", arrived(after), "ms", {99: None, 100: None})
    return close(report, world)


CHURN_MEAN: Final = 600.0
"""Seconds that a node stays, on average: a tenth of them leaves in each minute."""
SETTLED: Final = 3.0
"""Seconds after which a newcomer is expected to get everything."""


def churn(settings: Settings) -> Report:
    """10 % of the nodes leave in each minute, others come. Of a message's receivers count those that were there 3 s before and
    still are 10 s after."""
    report = Report("churn", settings)
    world = settled(settings)
    simulation = world.simulation
    gone: dict[int, float] = {}

    def leave(member: Member) -> None:
        gone[member.number] = simulation.now
        world.leave(member)

    def come(_: Member) -> Member:
        member = world.join()
        world.dial_some(member, world.living())
        return member

    turnover = Churn(simulation, half_life=CHURN_MEAN * 0.693147, away=1.0, leave=leave, come=come)
    for member in world.members:
        turnover.add(member)
    seconds = 300.0 * settings.scale
    world.publish_regularly(world.members, start=WARM, count=round(seconds * RATE))
    simulation.run_until(WARM + seconds + LATE)

    def is_due(posting: Posting, member: Member) -> bool:
        return member.born <= posting.time - SETTLED and gone.get(member.number, inf) > posting.time + LATE

    delays = world.ledger.delays(world.members, is_due)
    report.add("messages", len(world.ledger))
    report.add("nodes that left", turnover.left)
    report.share("delivered", sum(delay < inf for delay in delays), len(delays), 99.9)
    report.spread("delay", arrived(delays), "ms", {50: None, 99: None, 100: None})
    return close(report, world)


def scores(settings: Settings) -> Report:
    """Five minutes in which everybody is honest, with scores: nobody's score falls below 0."""
    report = Report("scores", settings)
    world = settled(settings, SCORED)
    simulation = world.simulation
    seconds = 300.0 * settings.scale
    world.publish_regularly(authors(world), start=WARM, count=round(seconds * RATE))
    lowest: list[tuple[float, float]] = []
    penalty = 0.0
    while simulation.now < WARM + seconds:
        simulation.run_for(min(5.0, WARM + seconds - simulation.now))
        views = [_view(member, peer) for member in world.members for peer in member.links]
        lowest.append((simulation.now, min(score for score, _ in views)))
        penalty = min(penalty, min(loss for _, loss in views))
    simulation.run_for(LATE)
    delays = world.ledger.delays(world.members, everybody)
    report.add("messages", len(world.ledger))
    report.share("delivered", sum(delay < inf for delay in delays), len(delays), 100.0)
    report.spread("delay", arrived(delays), "ms", {50: None, 99: 400, 100: None})
    report.add("lowest score of anybody, at any time", min(score for _, score in lowest), "", (">=", 0))
    report.add("largest penalty of anybody, at any time", penalty)
    report.curves.append(Curve("scores, lowest of all, by second", lowest))
    return close(report, world)


def _view(member: Member, peer: object) -> tuple[float, float]:
    """What a node thinks of a peer, and what of that is held against the peer."""
    known = member.router.score
    assert known is not None
    view = known.snapshot(peer, member.world.simulation.now)  # type: ignore[arg-type]
    topic = view.by_topic.get(TOPIC)
    loss = view.colocation + view.behaviour
    return view.score, loss + (topic.mesh_deliveries + topic.mesh_failure + topic.invalid if topic is not None else 0.0)

"""One run: starts the nodes, sees to it that they are used, brings the faults, and checks each calm."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, final

from cortexnet.transport.scope import Scope
from soak.checks import Failure, Figures, Growth, Sample, baseline, components, excess, growth, misdelivered
from soak.clock import Speed
from soak.load import Load
from soak.member import CallFailed, Member
from soak.network import Network
from soak.plan import Fault, Kind, Timing, round_of_faults

log = logging.getLogger(__name__)

BOOTSTRAP: Final = 3
"""Bootstrap peers of each node: the next one, so that all hang together, and others by lot."""
ARRIVAL: Final = 15.0
"""Seconds that a message may take: two or three heartbeats, where it is fetched by IWANT, on a machine that has other work."""
SETTLING: Final = 60.0
"""Seconds for what is left of the last requests to end by itself: streams of the DHT are closed after 45 s without use."""
SAMPLES: Final = 3
"""Of what a process holds, for its baseline, a second apart."""
MEMORY_INTERVAL: Final = 5.0
"""Seconds from one look at the memory of all to the next."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one run."""

    minutes: float
    """That it is to take: this decides how memory is judged."""
    nodes: int
    rounds: int
    seed: int
    timing: Timing = field(default_factory=Timing)
    speed: int = 1
    """Seconds that pass in one, see `clock.Speed`; all other times are by these."""


@final
@dataclass(slots=True)
class RoundReport:
    """What was seen in the calm after a round; the first calm is round 0."""

    number: int
    faults: list[str] = field(default_factory=list)
    connections: int = 0
    messages: int = 0
    records: int = 0
    took: float = 0.0
    late: float = 0.0
    """Seconds by which the director woke too late at most: where they are many, the machine is too slow for the speed."""


@final
@dataclass(slots=True)
class Report:
    """What came of a run."""

    settings: Settings
    rounds: list[RoundReport] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    memory: list[Sample] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def growth(self) -> Growth:
        """How the processes have grown."""
        return growth(self.memory, self.settings.minutes)


@final
class Director:
    """Runs it once, in a loop of its speed. `folder` has what the nodes keep and log."""

    def __init__(self, settings: Settings, folder: Path, say: Callable[[str], None]) -> None:
        self.report = Report(settings)
        self._settings = settings
        self._say = say
        self._chance = Random(settings.seed)
        self._began = 0.0
        self._round = 0
        self._late = 0.0  # of this round
        self._network = Network(settings.nodes)
        self._folder = folder
        self.members: list[Member] = []
        """The nodes."""
        self._baselines: dict[Member, Figures] = {}

    async def run(self) -> Report:
        """All of it. Cancelled: the processes are killed."""
        self._began = asyncio.get_running_loop().time()
        await self._network.open()
        pace, speed = self._settings.timing.pace, Speed(self._settings.speed, int(time.time()))
        for number in range(self._settings.nodes):
            folder = self._folder / f"node-{number:02}"
            self.members.append(Member(number, folder, self._network, self._elapsed, pace=pace, speed=speed))
        self._introduce()
        load = Load(self.members, Random(self._chance.random()), self._elapsed)
        watching = Scope()
        try:
            await self._start_missing()
            watching.spawn(self._watch_memory(), name="memory")
            await self._rounds(load)
        finally:
            await watching.close()
            await load.stop()
            self.report.done, self.report.seconds = load.done, self._elapsed()
            await asyncio.gather(*[self._close(member) for member in self.members])
            self._network.close()
        return self.report

    def _elapsed(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    def _introduce(self) -> None:
        for member in self.members:
            others = [other for other in self.members if other is not member]
            following = self.members[(member.number + 1) % len(self.members)]
            chosen = self._chance.sample(others, min(len(others), BOOTSTRAP))
            member.bootstrap = [other.multiaddr for other in dict.fromkeys([following, *chosen])][:BOOTSTRAP]
            member.on_trouble = lambda what, member=member: self._fail(member.name, what)  # type: ignore[misc]

    def _fail(self, node: str, what: str) -> None:
        failure = Failure(self._round, node, what)
        self.report.failures.append(failure)
        self._say(f"FAILED: {failure}")

    async def _rounds(self, load: Load) -> None:
        await self._calm(load, RoundReport(0))
        for number in range(1, self._settings.rounds + 1):
            self._round = number
            faults = round_of_faults(self._chance, len(self.members), self._settings.timing)
            report = RoundReport(number, [f"{fault.begin:g}: {fault}" for fault in faults])
            load.is_storing = True
            load.start()
            await self._bring(faults)
            await self._start_missing()
            await self._calm(load, report)

    async def _watch_memory(self) -> None:
        begin = self._elapsed()
        while True:
            sizes = {f"{member.name} ({member.pid})": member.memory() for member in self.members}
            self.report.memory.append((self._elapsed() - begin, {name: size for name, size in sizes.items() if size}))
            await asyncio.sleep(MEMORY_INTERVAL)

    # --- faults ------------------------------------------------------------------------------------------------------------

    async def _bring(self, faults: Sequence[Fault]) -> None:
        begin = self._elapsed()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._bring_one(fault, begin))
        await self._sleep_until(begin + self._settings.timing.faults)

    async def _bring_one(self, fault: Fault, begin: float) -> None:
        victims = [self.members[number] for number in fault.nodes]
        await self._sleep_until(begin + fault.begin)
        self._say(f"{fault}")
        for member in victims:
            member.log(f"--- {fault}")
        if fault.kind is Kind.PARTITION:
            self._network.cut(fault.nodes)
            await self._sleep_until(begin + fault.end)
            self._network.mend(fault.nodes)
        else:
            there = [member for member in victims if member.is_up and not member.is_away]  # not on its way back from another
            await asyncio.gather(*[self._inflict(member, fault, begin + fault.end) for member in there])
        for member in victims:
            member.log(f"--- end of {fault}")

    async def _inflict(self, member: Member, fault: Fault, until: float) -> None:
        if fault.kind is Kind.KILL:
            self._baselines.pop(member, None)
            await member.kill()
            await self._sleep_until(until)
            await self._start(member)
        elif fault.kind is Kind.RESTART:
            await self._restart(member, until)
        elif fault.kind is Kind.STOP:
            member.stop()
            await self._sleep_until(until)
            member.go_on()
        elif fault.kind is Kind.BLOCK:
            await self._order(member, "block", seconds=max(0.0, until - self._elapsed()))
        elif fault.kind is Kind.DISK_FULL:
            await self._order(member, "disk", full=True)
            await self._sleep_until(until)
            await self._order(member, "disk", full=False)
        else:
            await self._order(member, "clock", offset=fault.offset)
            await self._sleep_until(until)
            await self._order(member, "clock", offset=0)

    async def _restart(self, member: Member, until: float) -> None:
        self._network.down(member.number)
        member.is_away = True
        rest = (await self._order(member, "stop")).get("rest")
        if rest:
            self._fail(member.name, f"this is left after its end: {rest}")
        await self._sleep_until(until)
        await self._order(member, "start")
        member.is_away = False
        await self._network.up(member.number)

    async def _order(self, member: Member, do: str, **arguments: Any) -> dict[str, Any]:
        try:
            return await member.call(do, **arguments)
        except CallFailed as error:
            if not member.is_to_end:  # else the next fault came while it was late with this
                self._fail(member.name, f"{do}: {error}")
            return {}

    async def _sleep_until(self, when: float) -> None:
        left = when - self._elapsed()
        await asyncio.sleep(max(0.0, left))
        if left > 0:
            self._late = max(self._late, self._elapsed() - when)

    async def _start(self, member: Member) -> None:
        try:
            await member.start()
        except CallFailed as error:
            self._fail(member.name, str(error))

    async def _start_missing(self) -> None:
        """Whoever does not run, all at once; also one that ended by itself, which has been told."""
        missing = [member for member in self.members if not member.is_up]
        for member in missing:
            self._baselines.pop(member, None)
        await asyncio.gather(*[self._start(member) for member in missing])

    async def _close(self, member: Member) -> None:
        try:
            await member.close()
        except CallFailed as error:
            self._fail(member.name, str(error))
        if member.rest:
            self._fail(member.name, f"this is left after its end: {member.rest}")

    # --- calm --------------------------------------------------------------------------------------------------------------

    async def _calm(self, load: Load, report: RoundReport) -> None:
        """The calm after a round, and what must be so at its end."""
        timing, begin = self._settings.timing, self._elapsed()
        self._say(f"calm {report.number}")
        if not report.number:  # nothing is stored yet, for a DHT that is being formed does not find it again
            load.start()
        await self._sleep_until(begin + timing.calm / 10)
        load.is_storing = False  # so that what the DHT has open is closed by the end
        await self._sleep_until(begin + timing.calm - timing.judged)
        load.must_answer, load.unanswered = True, []
        since = self._elapsed()
        await self._sleep_until(begin + timing.calm)
        load.must_answer = False
        await load.stop()
        for member, what in load.unanswered:
            self._fail(member.name, what)
        judged = {message: member for message, (when, member) in load.published.items() if when >= since}
        report.messages, report.records = len(judged), len(load.values) + len(load.providers) + len(self.members)
        report.connections = await self._check_connections()
        await self._check_messages(judged)
        await self._each(self._check_figures)
        for failure in await load.look_up(self._round):
            self._fail(failure.node, failure.what)
        await self._each(self._check_problems)
        report.took = self._elapsed() - begin - timing.calm
        report.late, self._late = self._late, 0.0
        self.report.rounds.append(report)
        self._say(
            f"round {report.number}: {report.connections} connections, {report.messages} messages, {report.records} look-ups,"
            f" checked in {report.took:.0f} s, late by {report.late:.1f} s; {len(self.report.failures)} failures so far"
        )

    async def _each(self, check: Callable[[Member], Coroutine[Any, Any, None]]) -> None:
        async def guarded(member: Member) -> None:
            try:
                await check(member)
            except CallFailed as error:
                self._fail(member.name, str(error))

        await asyncio.gather(*[guarded(member) for member in self.members])

    async def _check_connections(self) -> int:
        """All in one component, and each once with each; how many are connected."""
        name_of = {member.peer_id: member.name for member in self.members}
        links: dict[str, set[str]] = {}

        async def ask(member: Member) -> None:
            answer = await member.call("peers")
            links[member.name] = {name_of[peer] for peer in answer["peers"]}
            for peer, connections in answer["twice"].items():
                self._fail(member.name, f"still connected twice with {name_of[peer]}: {connections}")
            for peer, connection in answer["unheard"].items():
                self._fail(member.name, f"gossip does not know {name_of[peer]}: {connection}")

        await self._each(ask)
        for part in components(links)[1:]:
            self._fail(", ".join(sorted(part)), "not connected with the others")
        return sum(map(len, links.values())) // 2

    async def _check_messages(self, judged: dict[str, Member]) -> None:
        """Each has come once to everybody, within ARRIVAL."""
        deadline = self._elapsed() + ARRIVAL
        published = {message: member.name for message, member in judged.items()}
        while True:
            received: dict[str, dict[str, int]] = {}

            async def ask(member: Member, received: dict[str, dict[str, int]] = received) -> None:
                received[member.name] = (await member.call("received", messages=list(published)))["counts"]

            await self._each(ask)
            wrong = misdelivered(published, received)
            is_missing = any(missing for missing, _ in wrong.values())
            if not is_missing or self._elapsed() > deadline:
                break
            await asyncio.sleep(1.0)
        for name, (missing, repeated) in wrong.items():
            if missing:
                told = ", ".join(f"{message} of {published[message]}" for message in missing[:5])
                self._fail(name, f"{len(missing)} of {len(published)} messages have not come: {told}")
            if repeated:
                self._fail(name, f"{len(repeated)} messages have come more than once: {', '.join(repeated[:5])}")

    async def _check_figures(self, member: Member) -> None:
        """Nothing above the baseline, soon; of who has none yet it is taken."""
        base, deadline = self._baselines.get(member), self._elapsed() + SETTLING
        if base is None:
            samples = [await _figures(member)]
            while len(samples) < SAMPLES:
                await asyncio.sleep(1.0)
                samples.append(await _figures(member))
            self._baselines[member] = baseline(samples)
            return
        while found := excess(base, await _figures(member)):
            if self._elapsed() > deadline:
                told = ", ".join(f"{name}: {count}, not {right}" for name, (count, right) in found.items())
                self._fail(member.name, f"above the baseline: {told}")
                return
            await asyncio.sleep(2.0)

    async def _check_problems(self, member: Member) -> None:
        problems = (await member.call("problems"))["problems"]
        if problems:
            self._fail(member.name, f"it is not well: {'; '.join(problems)}")


async def _figures(member: Member) -> Figures:
    found = await member.call("figures")
    return Figures(found["peers"], found["descriptors"], found["tasks"], found["reservations"], found["dht"])

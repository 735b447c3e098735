"""What the nodes are used for while all this goes on, and what must be found for it afterwards."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final, final

from cortexnet.transport.scope import Scope
from soak.checks import Failure
from soak.member import CallFailed, Member
from soak.node import number_of

PUBLISH: Final = 0.5
"""Seconds from one message to the next, of all nodes together."""
ASK: Final = 0.5
"""The same for requests."""
STORE: Final = 1.5
"""The same for records in the DHT."""
NAMES: Final = 100
"""Names of values, and of contents: they are used again, so that what is stored does not grow for ever."""
CERTAIN: Final = 0.25
"""Share of the nodes that must have taken a record for it to be there for certain: in a part of the network that two partitions
have cut off there may be two others, far from the key, and the next fault is their disks."""
AT_ONCE: Final = 8
"""Look-ups of the check under way."""


@final
class Load:
    """Runs between `start` and `stop`. Records are only stored while `is_storing`."""

    def __init__(self, members: Sequence[Member], chance: Random, now: Callable[[], float]) -> None:
        self._members = members
        self._chance = chance
        self._now = now
        self._scope = Scope()
        self._numbers = itertools.count(1)
        self.is_storing = False
        self.must_answer = False
        """Whether each request must be answered now, and each message be taken: then `unanswered` says which were not."""
        self.unanswered: list[tuple[Member, str]] = []
        self.published: dict[str, tuple[float, Member]] = {}
        """When each of the latest messages was published, and by whom."""
        self.values: dict[str, int] = {}
        """By name the number of the latest value that was stored, where that is certain."""
        self.providers: dict[str, Member] = {}
        """By name who was last to provide it."""
        self.done = {"messages": 0, "requests": 0, "requests answered": 0, "records": 0, "records stored": 0}

    def start(self) -> None:
        """Begin."""
        self._scope = Scope()
        for interval, act in ((PUBLISH, self._publish), (ASK, self._ask), (STORE, self._store)):
            self._scope.spawn(self._regularly(interval, act), name="load")

    async def stop(self) -> None:
        """End, and wait for what is under way."""
        await self._scope.close()

    async def _regularly(self, interval: float, act: Callable[[Member], Coroutine[Any, Any, None]]) -> None:
        scope, loop = Scope(self._scope), asyncio.get_running_loop()
        due = loop.time()
        while True:
            member = self.anybody()
            if member is not None:
                scope.spawn(act(member), name="load")
            due = max(due + interval, loop.time())
            await asyncio.sleep(due - loop.time())

    def anybody(self, *, but: Member | None = None) -> Member | None:
        """Some node that runs; nobody where there is none."""
        running = [member for member in self._members if member.is_up and not member.is_away and member is not but]
        return self._chance.choice(running) if running else None

    async def _publish(self, member: Member) -> None:
        message = f"message {next(self._numbers)}"
        self.done["messages"] += 1
        try:
            await member.call("publish", message=message)
        except CallFailed as error:
            member.log(f"not published: {error}")
            if self.must_answer:
                self.unanswered.append((member, f"a message was not published: {error}"))
            return
        self.published[message] = self._now(), member
        while len(self.published) > 1_000:
            del self.published[next(iter(self.published))]

    async def _ask(self, member: Member) -> None:
        other = self.anybody(but=member)
        if other is None:
            return
        question, must_answer = f"question {next(self._numbers)}", self.must_answer
        self.done["requests"] += 1
        try:
            answer = (await member.call("ask", address=other.multiaddr, question=question))["answer"]
            problem = "" if answer == question else f"the answer to {question!r} was {answer!r}"
        except CallFailed as error:
            problem = str(error)
        if not problem:
            self.done["requests answered"] += 1
            return
        member.log(f"request to {other.name}: {problem}")
        if must_answer and self.must_answer:
            self.unanswered.append((member, f"a request to {other.name}: {problem}"))

    async def _store(self, member: Member) -> None:
        if not self.is_storing:
            return
        number = next(self._numbers)
        name = f"name {self._chance.randrange(NAMES)}"
        self.done["records"] += 1
        try:
            if self._chance.random() < 0.5:
                self.values.pop(name, None)  # until it is known what has become of this
                answer = await member.call("put", name=name, value=f"{number}:{self._chance.randbytes(100).hex()}")
                if answer["stored"] >= CERTAIN * len(self._members):
                    self.values[name] = max(number, self.values.get(name, 0))
            else:
                self.providers.pop(name, None)
                answer = await member.call("provide", name=name)
                if answer["told"] >= CERTAIN * len(self._members):
                    self.providers[name] = member
        except CallFailed as error:
            member.log(f"not stored: {error}")
            return
        self.done["records stored"] += 1

    # --- what must be found ------------------------------------------------------------------------------------------------

    async def look_up(self, number: int) -> list[Failure]:
        """Each record from some node that has not stored it, and each node from some other: what was not found, in a round."""
        room = asyncio.Semaphore(AT_ONCE)
        failures: list[Failure] = []

        async def check(seeker: Member, what: str, do: str, expected: Callable[[dict[str, object]], str], **names: str) -> None:
            try:
                async with room:
                    problem = expected(await seeker.call(do, **names))
            except CallFailed as error:
                problem = str(error)
            if problem:
                failures.append(Failure(number, seeker.name, f"{what}: {problem}"))

        async with asyncio.TaskGroup() as group:
            for name, least in self.values.items():
                if (seeker := self.anybody()) is not None:
                    group.create_task(check(seeker, f"the value of {name!r}", "get", _at_least(least), name=name))
            for name, provider in self.providers.items():
                if (seeker := self.anybody(but=provider)) is not None:
                    what = f"{provider.name} as provider of {name!r}"
                    group.create_task(check(seeker, what, "providers", _among(provider), name=name))
            for member in self._members:
                if (seeker := self.anybody(but=member)) is not None:
                    group.create_task(check(seeker, f"where {member.name} is", "find", _somewhere, peer=member.peer_id))
        return failures


def _at_least(number: int) -> "Callable[[dict[str, object]], str]":
    def judge(answer: dict[str, object]) -> str:
        found = number_of(str(answer["value"]).encode())
        return "" if found >= number else f"it is number {found}, though {number} was stored"

    return judge


def _among(provider: Member) -> "Callable[[dict[str, object]], str]":
    def judge(answer: dict[str, object]) -> str:
        found = answer["peers"]
        assert isinstance(found, list)
        return "" if provider.peer_id in found else f"not among the {len(found)} that were found"

    return judge


def _somewhere(answer: dict[str, object]) -> str:
    return "" if answer["addresses"] else "no address was found"

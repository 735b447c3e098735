"""Asking for many keys: each region of the keyspace is explored once, and of each key some of the nearest are asked, then more
where these knew too little."""

from collections import deque
from heapq import nsmallest
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, final

from cortexnet.kad.engine.bulk import Bulk
from cortexnet.kad.engine.operation import Operation, Progress
from cortexnet.kad.many.by_region import ByRegion
from cortexnet.kad.many.each import Each, Work
from cortexnet.kad.operations.closest import nobody_known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.messages import Message
    from cortexnet.kad.routing.contact import Contact

Single = TypeVar("Single")
Whole = TypeVar("Whole")

AT_FIRST = 5
"""Of the k nearest, how many are asked about a key at a time: what was stored with 20 is known to several of any 5."""


class Answers(Protocol[Single, Whole]):
    """What is asked for, and what becomes of the answers."""

    operation: Operation[Whole]

    def request(self, key: bytes) -> "Message":
        """What each peer is asked."""

    def hear(self, key: bytes, contact: "Contact", answer: "Message", now: float) -> None:
        """A peer has answered."""

    def is_enough(self, key: bytes) -> bool:
        """Whether nobody else needs to be asked."""

    def single(self, key: bytes, now: float) -> Work[Single]:
        """The operation for a key by itself."""

    def hear_single(self, key: bytes, result: Single) -> None:
        """What came of that."""

    def result(self) -> Whole:
        """What came of it all."""


@final
class _Key:
    """One key: who is to be asked yet, and how many answers are out."""

    __slots__ = ("out", "to_ask")

    def __init__(self, to_ask: "Iterable[Contact]") -> None:
        self.to_ask = deque(to_ask)
        self.out = 0


@final
class AskMany(Generic[Single, Whole]):
    """Asks for the keys, and ends the operation of `answers`."""

    def __init__(self, engine: "Engine", keys: "Iterable[bytes]", now: float, answers: Answers[Single, Whole]) -> None:
        self.operation = answers.operation
        self._engine = engine
        self._answers = answers
        self._keys: dict[bytes, _Key] = {}
        wanted = [key for key in dict.fromkeys(keys) if not answers.is_enough(key)]
        self._regions = ByRegion(engine, wanted, now, self._on_region, self._end_if_done)
        self._bulk = Bulk(engine, self._ended, self._end_if_done)
        self._each: Each[Single] = Each(
            engine, answers.single, self._one_ended, self._end_if_done, at_once=engine.config.bulk_lookups
        )
        self._asked_alone = 0
        self.operation.when_over(self._stop)

    def start(self, now: float) -> None:
        """Begin."""
        if not self._engine.table:
            self.operation.fail(nobody_known())
            return
        self._each.add(self._regions.alone)
        self._regions.start(now)
        self._each.run(now)

    def _on_region(self, keys: dict[bytes, int], contacts: "list[Contact]", now: float) -> None:
        for key, position in keys.items():
            near = nsmallest(self._engine.config.k, contacts, key=lambda contact, there=position: contact.position ^ there)  # type: ignore[misc]
            self._keys[key] = _Key(near)
            self._ask_some(key)
        self._bulk.pump(now)

    def _ask_some(self, key: bytes) -> None:
        state, request = self._keys[key], self._answers.request(key)
        while state.to_ask and state.out < AT_FIRST:
            state.out += 1
            self._bulk.add(state.to_ask.popleft(), [request])

    def _ended(self, contact: "Contact", request: "Message", answer: "Message | None", is_good: bool, now: float) -> None:
        key = request.key
        state = self._keys[key]
        state.out -= 1
        if answer is not None:
            self._answers.hear(key, contact, answer, now)
        if not state.out:
            if self._answers.is_enough(key):
                del self._keys[key]
            else:
                self._ask_some(key)

    def _one_ended(self, key: bytes, operation: Operation[Single]) -> None:
        self._asked_alone += operation.progress.find_nodes
        if not operation.has_failed:
            self._answers.hear_single(key, operation.result())

    def _end_if_done(self, now: float) -> None:
        find_nodes = self._regions.requests + self._asked_alone
        asked, failed = self._bulk.asked + find_nodes, self._bulk.failed
        self.operation.progress = Progress(asked=asked, answered=asked - failed, failed=failed, find_nodes=find_nodes)
        if self._regions.is_over and self._bulk.is_idle and self._each.is_idle:
            self.operation.finish(self._answers.result())

    def _stop(self) -> None:
        self._regions.stop()
        self._bulk.stop()
        self._each.stop()

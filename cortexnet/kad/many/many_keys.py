"""What is done for many keys: each region of the keyspace is explored once and those found there are sent requests, and for each
key that is nobody's neighbour there is an operation of its own."""

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


class Sends(Protocol):
    """Who of a region is sent what."""

    def on_region(self, keys: dict[bytes, int], contacts: "list[Contact]", bulk: Bulk) -> None:
        """Give `bulk` what is to be sent to those found near these keys."""

    def on_end(
        self, bulk: Bulk, contact: "Contact", request: "Message", answer: "Message | None", is_good: bool, now: float
    ) -> None:
        """One of these requests is over, see `bulk.OnEnd`. More may be given."""


class Results(Protocol[Single, Whole]):
    """What is to come of it."""

    operation: Operation[Whole]

    def single(self, key: bytes, now: float) -> Work[Single]:
        """The operation for a key by itself."""

    def hear_single(self, key: bytes, result: Single) -> None:
        """What came of that, unless it has failed."""

    def result(self) -> Whole:
        """What came of it all."""


@final
class ManyKeys(Generic[Single, Whole]):
    """Carries it out, and ends the operation of the results."""

    def __init__(
        self, engine: "Engine", keys: "Iterable[bytes]", now: float, sends: Sends, results: Results[Single, Whole]
    ) -> None:
        self.operation = results.operation
        self._engine = engine
        self._sends = sends
        self._results = results
        self._regions = ByRegion(engine, keys, now, self._on_region, self._end_if_done)
        self._bulk = Bulk(engine, self._ended, self._end_if_done)
        self._each: Each[Single] = Each(
            engine, results.single, self._one_ended, self._end_if_done, at_once=engine.config.bulk_lookups
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
        self._sends.on_region(keys, contacts, self._bulk)
        self._bulk.pump(now)

    def _ended(self, contact: "Contact", request: "Message", answer: "Message | None", is_good: bool, now: float) -> None:
        self._sends.on_end(self._bulk, contact, request, answer, is_good, now)

    def _one_ended(self, key: bytes, operation: Operation[Single]) -> None:
        self._asked_alone += operation.progress.find_nodes
        if not operation.has_failed:
            self._results.hear_single(key, operation.result())

    def _end_if_done(self, now: float) -> None:
        find_nodes = self._regions.requests + self._asked_alone
        asked, failed = self._bulk.asked + find_nodes, self._bulk.failed
        self.operation.progress = Progress(asked=asked, answered=asked - failed, failed=failed, find_nodes=find_nodes)
        if self._regions.is_over and self._bulk.is_idle and self._each.is_idle:
            self.operation.finish(self._results.result())

    def _stop(self) -> None:
        self._regions.stop()
        self._bulk.stop()
        self._each.stop()

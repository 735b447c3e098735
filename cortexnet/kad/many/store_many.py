"""Storing under many keys: each region of the keyspace is explored once, and each peer of it gets all it shall have."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.bulk import Bulk
from cortexnet.kad.engine.operation import Operation, Progress, Stored
from cortexnet.kad.lookup.regions import allocate
from cortexnet.kad.many.by_region import ByRegion
from cortexnet.kad.many.each import Each
from cortexnet.kad.operations.closest import nobody_known
from cortexnet.kad.operations.store_near import StoreNear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.messages import Message
    from cortexnet.kad.routing.contact import Contact


@final
class StoreMany:
    """Sends the message of each key to the k nearest to it. The result counts, by key, those that took it."""

    def __init__(self, engine: "Engine", keys: "Iterable[bytes]", now: float, message_of: "Callable[[bytes], Message]") -> None:
        self.operation: Operation[dict[bytes, int]] = Operation()
        self._engine = engine
        self._message_of = message_of
        self._stored = dict.fromkeys(keys, 0)
        self.keys = tuple(self._stored)
        self._regions = ByRegion(engine, self._stored, now, self._on_region, self._end_if_done)
        self._bulk = Bulk(engine, self._ended, self._end_if_done)
        self._each: Each[int] = Each(engine, self._one, self._one_ended, self._end_if_done, at_once=engine.config.bulk_lookups)
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
        for contact, its_keys in allocate(keys, contacts, self._engine.config.k).items():
            self._bulk.add(contact, [self._message_of(key) for key in its_keys])
        self._bulk.pump(now)

    def _ended(self, contact: "Contact", request: "Message", answer: "Message | None", is_good: bool, now: float) -> None:
        if is_good and (answer is None or answer.record == request.record):
            self._stored[request.key] += 1
            self.operation.emit(Stored(request.key, contact.peer_id))

    def _one(self, key: bytes, now: float) -> StoreNear:
        return StoreNear(self._engine, self._message_of(key), now)

    def _one_ended(self, key: bytes, operation: Operation[int]) -> None:
        self._asked_alone += operation.progress.find_nodes
        if not operation.has_failed:
            self._stored[key] = operation.result()

    def _end_if_done(self, now: float) -> None:
        find_nodes = self._regions.requests + self._asked_alone
        asked, failed = self._bulk.asked + find_nodes, self._bulk.failed
        self.operation.progress = Progress(asked=asked, answered=asked - failed, failed=failed, find_nodes=find_nodes)
        if self._regions.is_over and self._bulk.is_idle and self._each.is_idle:
            self.operation.finish(self._stored)

    def _stop(self) -> None:
        self._regions.stop()
        self._bulk.stop()
        self._each.stop()

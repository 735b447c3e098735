"""Storing under many keys: each region of the keyspace is explored once, and each peer of it gets all it shall have."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.operation import Operation, Stored
from cortexnet.kad.lookup.regions import allocate
from cortexnet.kad.many.many_keys import ManyKeys
from cortexnet.kad.operations.store_near import StoreNear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cortexnet.kad.engine.bulk import Bulk
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
        self._many: ManyKeys[int, dict[bytes, int]] = ManyKeys(engine, self.keys, now, self, self)

    def start(self, now: float) -> None:
        """Begin."""
        self._many.start(now)

    def on_region(self, keys: dict[bytes, int], contacts: "list[Contact]", bulk: "Bulk") -> None:
        for contact, its_keys in allocate(keys, contacts, self._engine.config.k).items():
            bulk.add(contact, [self._message_of(key) for key in its_keys])

    def on_end(
        self, bulk: "Bulk", contact: "Contact", request: "Message", answer: "Message | None", is_good: bool, now: float
    ) -> None:
        if is_good and (answer is None or answer.record == request.record):
            self._stored[request.key] += 1
            self.operation.emit(Stored(request.key, contact.peer_id))

    def single(self, key: bytes, now: float) -> StoreNear:
        return StoreNear(self._engine, self._message_of(key), now)

    def hear_single(self, key: bytes, result: int) -> None:
        self._stored[key] = result

    def result(self) -> dict[bytes, int]:
        return self._stored

"""Storing under many keys: each region of the key space is explored once, and each peer of it gets all it shall have."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.each import Each
from cortexnet.kad.near import StoreNear
from cortexnet.kad.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cortexnet.kad.engine import Engine
    from cortexnet.kad.messages import Message


@final
class StoreMany:
    """Sends the message of each key to the k nearest to it. The result counts, by key, those that took it."""

    def __init__(self, engine: "Engine", keys: "Iterable[bytes]", message_of: "Callable[[bytes], Message]") -> None:
        self.operation: Operation[dict[bytes, int]] = Operation()
        self._engine = engine
        self._message_of = message_of
        self._stored = dict.fromkeys(keys, 0)
        self._each: Each[int] = Each(engine, self._one, self._one_ended, self._done, at_once=engine.config.bulk_lookups)
        self.operation.when_over(self._stop)

    def start(self, now: float) -> None:
        """Begin."""
        self._each.add(self._stored)
        self._each.run()

    def _one(self, key: bytes) -> StoreNear:
        return StoreNear(self._engine, self._message_of(key), self._engine.now)

    def _one_ended(self, key: bytes, operation: Operation[int]) -> None:
        if not operation.has_failed:
            self._stored[key] = operation.result()

    def _done(self) -> None:
        self.operation.finish(self._stored)

    def _stop(self) -> None:
        self._each.stop()

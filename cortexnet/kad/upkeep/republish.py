"""What this node stores with others is stored again before they forget it: peers come and go, and new ones have nothing of it.

The values of one round are stored together, so that a region of the key space is explored once for all of them.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, final

from cortexnet.errors import InvalidRecord
from cortexnet.kad.upkeep.reprovide import RETRY_AFTER

if TYPE_CHECKING:
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.engine.operation import Operation
    from cortexnet.kad.engine.timers import Timer

PutMany = Callable[[Mapping[bytes, bytes], float], "Operation[dict[bytes, int]]"]

_GATHERED = 0.01  # of the interval: values that are due so soon after the first are stored with it


@final
class OwnValues:
    """Values that were put here, and when they are put again. One put is under way at a time."""

    def __init__(self, engine: "Engine", put_many: PutMany) -> None:
        self._engine = engine
        self._put_many = put_many
        self._values: dict[bytes, tuple[bytes, float]] = {}  # and when it is due: the first one first
        self._timer: Timer | None = None
        self._is_putting = False

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: bytes) -> bool:
        return key in self._values

    def add(self, key: bytes, value: bytes, now: float) -> None:
        """It was put now, and is put again in `value_interval`. Above `own_values_limit` the one of longest ago is left out."""
        config = self._engine.config
        self._values.pop(key, None)
        self._values[key] = (value, now + config.value_interval)
        if len(self._values) > config.own_values_limit:
            del self._values[next(iter(self._values))]
        self._arm()

    def forget(self, key: bytes) -> None:
        """Put it no more."""
        self._values.pop(key, None)

    def _arm(self) -> None:
        if self._timer is None and not self._is_putting and self._values:
            _, due = next(iter(self._values.values()))
            self._timer = self._engine.timers.at(due, self._on_due)

    def _on_due(self, now: float) -> None:
        self._timer = None
        horizon = now + _GATHERED * self._engine.config.value_interval
        values = {}
        for key, (value, due) in list(self._values.items()):
            if due > horizon:
                break
            del self._values[key]
            best = self._best(key, value, now)
            if best is not None:
                values[key] = best
                self._values[key] = (best, now + self._engine.config.value_interval)
        if values:
            self._is_putting = True
            operation = self._put_many(values, now)
            operation.when_over(lambda: self._on_put(values, operation))
            return
        self._arm()

    def _best(self, key: bytes, value: bytes, now: float) -> bytes | None:
        """The value, or a better one that others have stored here meanwhile; None where it is valid no more."""
        engine = self._engine
        unix_now = engine.unix(now)
        stored = engine.values.get(key, unix_now)
        try:
            if stored is not None and engine.validators.is_better(key, stored.value, value):
                value = stored.value
            engine.validators.validate(key, value, unix_now)
        except InvalidRecord:
            return None
        engine.values.put(key, value, unix_now)
        return value

    def _on_put(self, values: dict[bytes, bytes], operation: "Operation[dict[bytes, int]]") -> None:
        """What nobody has taken is tried again in a while, before all the others."""
        stored = {} if operation.has_failed else operation.result()
        due = self._engine.now + min(RETRY_AFTER, self._engine.config.value_interval)
        lost = {key: (value, due) for key, value in values.items() if key in self._values and not stored.get(key)}
        self._values = {**lost, **{key: entry for key, entry in self._values.items() if key not in lost}}
        self._is_putting = False
        self._arm()

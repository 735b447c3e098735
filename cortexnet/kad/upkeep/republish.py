"""What this node stores with others is stored again before they forget it: peers come and go, and new ones have nothing of it.

The values of one round are stored together, so that a region of the key space is explored once for all of them. A value that
few took, since most of the network was out of reach, is stored again soon: those few may be gone when somebody asks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from cortexnet.errors import InvalidRecord

if TYPE_CHECKING:
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.engine.operation import Operation
    from cortexnet.kad.engine.timers import Timer

PutMany = Callable[[Mapping[bytes, bytes], float], "Operation[dict[bytes, int]]"]

RETRY_AFTER = 60.0
"""Seconds until a value that few took is put again; twice as many each time that few take it, `value_interval` at most."""

_TAKEN_SHARE = 2  # half of those who should take a value must have
_GATHERED = 0.01  # of the interval: values that are due so soon after the first are stored with it


@final
@dataclass(slots=True)
class _Own:
    value: bytes
    due: float
    retry_after: float = RETRY_AFTER


@final
class OwnValues:
    """Values that were put here, and when they are put again. One put again is under way at a time."""

    def __init__(self, engine: "Engine", put_many: PutMany) -> None:
        self._engine = engine
        self._put_many = put_many
        self._values: dict[bytes, _Own] = {}
        self._timer: Timer | None = None
        self._is_putting = False

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: bytes) -> bool:
        return key in self._values

    def begun(self, values: Mapping[bytes, bytes], operation: "Operation[int] | Operation[dict[bytes, int]]", now: float) -> None:
        """These are put from now on, by this call for the first time. Above `own_values_limit` the oldest are left out."""
        config = self._engine.config
        self._engine.expected_near(now)
        begun = {key: _Own(value, now + config.value_interval) for key, value in values.items()}
        for key, own in begun.items():
            self._values.pop(key, None)
            self._values[key] = own
            if len(self._values) > config.own_values_limit:
                del self._values[next(iter(self._values))]
        self._arm(now + config.value_interval)
        operation.when_over(lambda: self._on_put(begun, operation))

    def forget(self, key: bytes) -> None:
        """Put it no more."""
        self._values.pop(key, None)

    def _arm(self, due: float) -> None:
        if self._is_putting or (self._timer is not None and self._timer.time <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._engine.timers.at(due, self._on_due)

    def _arm_for_next(self) -> None:
        if self._values:
            self._arm(min([own.due for own in self._values.values()]))

    def _on_due(self, now: float) -> None:
        self._timer = None
        interval = self._engine.config.value_interval
        self._engine.expected_near(now)
        due = {key: own for key, own in self._values.items() if own.due <= now + _GATHERED * interval}
        for key, own in list(due.items()):
            best = self._best(key, own.value, now)
            if best is None:
                del self._values[key], due[key]
            else:
                own.value, own.due = best, now + interval
        if not due:
            self._arm_for_next()
            return
        self._is_putting = True
        operation = self._put_many({key: own.value for key, own in due.items()}, now)
        operation.when_over(lambda: self._on_put_again(due, operation))

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

    def _on_put_again(self, put: "dict[bytes, _Own]", operation: "Operation[dict[bytes, int]]") -> None:
        self._is_putting = False
        self._on_put(put, operation)
        self._arm_for_next()

    def _on_put(self, put: "dict[bytes, _Own]", operation: "Operation[int] | Operation[dict[bytes, int]]") -> None:
        """What few have taken is tried again in a while, before all the others."""
        engine = self._engine
        result = 0 if operation.has_failed else operation.result()
        wanted = max(1, engine.expected_near(engine.now) // _TAKEN_SHARE)
        for key, own in put.items():
            taken = result.get(key, 0) if isinstance(result, dict) else result
            if taken >= wanted:
                own.retry_after = RETRY_AFTER
            elif self._values.get(key) is own:
                own.due = min(own.due, engine.now + own.retry_after)
                if not operation.has_failed:  # then there was nobody to ask, which costs nothing
                    own.retry_after *= 2
                self._arm(own.due)

"""What this node provides is told again before others forget it: whatever regions are due, one call at a time."""

from typing import TYPE_CHECKING, final

from cortexnet.kad.lookup.regions import prefix_length
from cortexnet.kad.upkeep.reprovide import DELAY_LIMIT, INTERVAL, ReprovideSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.engine.operation import Operation
    from cortexnet.kad.engine.timers import Timer

_ROUNDING = 1e-3  # more than what is lost between unix time and that of the clock: so it is due when the timer comes
_REACHED_SHARE = 5  # a fifth of those who are to be told must have been; go-libp2p's value


@final
class Reproviding:
    """Runs the schedule. `provide_many` begins to tell keys again, or gives None where this node has nothing to tell."""

    def __init__(
        self, engine: "Engine", provide_many: "Callable[[Iterable[bytes], float], Operation[dict[bytes, int]] | None]"
    ) -> None:
        interval = engine.config.provide_interval
        delay_limit = interval * DELAY_LIMIT / INTERVAL
        self.on_change: Callable[[bytes], None] | None = None
        """Called with a key whose row has changed, or is gone; with an empty one for that of the cycle."""
        self.schedule = ReprovideSchedule(engine.table.own, 0.0, interval=interval, delay_limit=delay_limit)
        self._engine = engine
        self._provide_many = provide_many
        self._timer: Timer | None = None
        self._is_running = False

    def begun(self, keys: "Iterable[bytes]", operation: "Operation[int] | Operation[dict[bytes, int]]", now: float) -> None:
        """Keys that are provided from now on, and the call that tells of them for the first time."""
        engine = self._engine
        engine.expected_near(now)
        new = list(keys)
        for key in new:
            engine.providers.provide(key)
            self.schedule.add(key, engine.position(key), provided=engine.unix(now))
        operation.when_over(lambda: self._first_over(new, operation))

    def _first_over(self, keys: list[bytes], operation: "Operation[int] | Operation[dict[bytes, int]]") -> None:
        result = None if operation.has_failed else operation.result()
        told = result if isinstance(result, dict) else dict.fromkeys(keys, result or 0)
        self._conclude(told)
        self.arm(self._engine.now)

    def _conclude(self, told: "Mapping[bytes, int]") -> None:
        engine = self._engine
        unix_now = engine.unix(engine.now)
        wanted = max(1, engine.expected_near(engine.now) // _REACHED_SHARE)
        self.schedule.provided([key for key, count in told.items() if count >= wanted], unix_now)
        few = [key for key, count in told.items() if count < wanted]
        self.schedule.failed(few, unix_now, is_costly=any(told[key] for key in few))
        for key in told:
            self._tell(key)

    def _tell(self, key: bytes) -> None:
        if self.on_change is not None:
            self.on_change(key)

    def forget(self, key: bytes) -> None:
        """Provide it no more."""
        self._engine.providers.withdraw(key)
        if self.schedule.remove(key):
            self._tell(key)

    def restore(self, rows: "Mapping[bytes, bytes]", now: float) -> None:
        """Go on where an earlier run has stopped; see `ReprovideSchedule.rows`."""
        engine = self._engine
        self.schedule.restore(rows, engine.position, engine.unix(now))
        for key in rows:
            if key in self.schedule:
                engine.providers.provide(key)
        self.arm(now)

    def arm(self, now: float) -> None:
        """Set the timer by what is due next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = None if self._is_running else self.schedule.next_due()
        if due is not None:
            self._timer = self._engine.timers.at(max(now, due - self._engine.unix_offset + _ROUNDING), self._on_due)

    def _on_due(self, now: float) -> None:
        engine = self._engine
        self._timer = None
        engine.expected_near(now)
        size = engine.network_size(now)
        if size is not None:
            self.schedule.set_length(prefix_length(size, engine.config.k))
        due = self.schedule.take_due(engine.unix(now), engine.config.bulk_regions)
        keys = [key for region in due for key in region.keys]
        operation = self._provide_many(keys, now) if keys else None
        if operation is None:
            self.schedule.failed(keys, engine.unix(now))
            self.arm(now)
            return
        self._is_running = True
        operation.when_over(lambda: self._over(keys, operation))

    def _over(self, keys: list[bytes], operation: "Operation[dict[bytes, int]]") -> None:
        self._is_running = False
        self._conclude(dict.fromkeys(keys, 0) if operation.has_failed else operation.result())
        self.arm(self._engine.now)

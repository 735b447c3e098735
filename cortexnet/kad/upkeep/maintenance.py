"""What a DHT node does by itself: it keeps its routing table full and fresh, and drops what is too old.

Nothing is polled: there is one timer for the next refresh, one while the table is sparse, and one for expiry.
"""

from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.actions import ContactsWanted
from cortexnet.kad.records.value_store import EXPIRED_AT_ONCE
from cortexnet.kad.upkeep.refresh import Refresh

if TYPE_CHECKING:
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.engine.timers import Timer
    from cortexnet.kad.upkeep.admission import Admission

_GATHERING = 1.0
_SETTLED_AFTER = 60.0
_NEXT_PART = 1.0  # until the next records are dropped, where there were too many for once
_REFRESHES_TO_SETTLE = 2


@final
class Maintenance:
    """The upkeep of one node, from `start` to `stop`."""

    def __init__(self, engine: "Engine", admission: "Admission") -> None:
        self._engine = engine
        self._admission = admission
        self._refresh: Refresh | None = None
        self._next_bootstrap: Timer | None = None
        self._wait = engine.config.empty_first
        self._is_running = False
        self.refreshes = 0
        """How many are over."""

    def start(self, now: float) -> None:
        """Bootstrap at once, and refresh and expire from then on."""
        engine = self._engine
        self._is_running = True
        self._next_bootstrap = engine.timers.at(now, self._bootstrap)
        engine.timers.at(now + self._jittered(engine.config.refresh_interval), self._on_refresh_due)
        engine.timers.at(now + self._jittered(engine.config.expiry_interval), self._expire)

    def _jittered(self, interval: float) -> float:
        return interval * (1 - self._engine.random.random() / 2)

    # A sparse table

    def table_changed(self, now: float) -> None:
        """Somebody came or went. A sparse table is filled up: soon after it has become so, and when the first have come."""
        if not self._is_running or self._refresh is not None or len(self._engine.table) > self._engine.config.sparse:
            return
        due = now + _GATHERING
        if self._next_bootstrap is not None:
            if self._next_bootstrap.time <= due:
                return
            self._next_bootstrap.cancel()
        self._next_bootstrap = self._engine.timers.at(due, self._bootstrap)

    def _bootstrap(self, now: float) -> None:
        self._next_bootstrap = None
        engine, config = self._engine, self._engine.config
        if len(engine.table) > config.sparse:
            return
        engine.requests.want(ContactsWanted(not engine.table))
        if engine.table:
            self._wait = config.empty_first
            wait = config.sparse_interval
            self._begin_refresh(now, everything=True)
        else:
            wait = self._wait
            self._wait = min(2 * self._wait, config.sparse_interval)
        self._next_bootstrap = engine.timers.at(now + self._jittered(wait), self._bootstrap)

    # A stale table

    def _on_refresh_due(self, now: float) -> None:
        # From one refresh to the next it is always the same time, so that a bucket without lookups has one in each.
        self._engine.timers.at(now + self._engine.config.refresh_interval, self._on_refresh_due)
        self._begin_refresh(now, everything=False)

    def _begin_refresh(self, now: float, *, everything: bool) -> None:
        if self._refresh is None and self._engine.table:
            self._refresh = Refresh(self._engine, self._admission, self._on_refreshed)
            self._refresh.start(now, everything=everything)

    def _on_refreshed(self, now: float) -> None:
        self._refresh = None
        self._engine.expected_near(now)
        self.refreshes += 1
        if self.refreshes == _REFRESHES_TO_SETTLE:
            self._engine.timers.at(now + _SETTLED_AFTER, self._on_settled)

    def _on_settled(self, now: float) -> None:
        self._admission.is_settled = True
        self._engine.table.settle()

    def refresh(self, now: float) -> None:
        """Refresh now, and every bucket."""
        self._begin_refresh(now, everything=True)

    # Old records

    def _expire(self, now: float) -> None:
        engine = self._engine
        dropped = engine.values.expire(engine.unix(now)), engine.providers.expire(engine.unix(now))
        is_all = max(dropped) < EXPIRED_AT_ONCE
        engine.timers.at(now + (engine.config.expiry_interval if is_all else _NEXT_PART), self._expire)

    def stop(self) -> None:
        """Do nothing any more."""
        self._is_running = False
        if self._refresh is not None:
            self._refresh.stop()
            self._refresh = None

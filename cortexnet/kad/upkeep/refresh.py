"""A refresh of the routing table: silent contacts are checked, then a lookup of ourselves, then one for each bucket that had none
lately. One at a time: it is in no hurry.

Spec: libp2p/specs kad-dht, "Bootstrap process".
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.walk import Walk, find_node
from cortexnet.kad.routing.key import Prefix, refresh_key

if TYPE_CHECKING:
    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.upkeep.admission import Admission


@final
class Refresh:
    """One refresh. Runs from `start` until `on_done(now)` is called, or until `stop`."""

    def __init__(self, engine: "Engine", admission: "Admission", on_done: Callable[[float], None]) -> None:
        self._engine = engine
        self._admission = admission
        self._on_done = on_done
        self._walk: Walk
        self._depth = 0
        self._last_depth = 0

    def start(self, now: float, *, everything: bool) -> None:
        """Begin; `everything` refreshes also buckets that had a lookup lately."""
        engine = self._engine
        for contact in engine.table.due_for_check(now, engine.config.silence):
            self._admission.check(contact, now)
        self._last_depth = self._deepest()
        if everything:
            engine.refreshed.clear()
        self._look_up(bytes(engine.own_id), now)

    def _deepest(self) -> int:
        """The last bucket that needs a lookup of its own: those in deeper ones are so few that the lookup of ourselves has found
        them. But no deeper than the first empty bucket asks for, as in go-libp2p."""
        config, counts = self._engine.config, self._engine.table.counts()
        deepest, deeper = len(counts) - 1, 0
        while deepest >= 0 and (deeper := deeper + counts[deepest]) < config.k:
            deepest -= 1
        first_empty = counts.index(0) if 0 in counts else len(counts)
        return min(deepest, config.refresh_depth, 2 * (first_empty + 1))

    def _look_up(self, key: bytes, now: float) -> None:
        timeout = self._engine.config.request_timeout
        self._walk = Walk(self._engine, find_node(key), now, self._next, timeout=timeout, is_cached=False)
        self._walk.start(now)

    def _next(self, now: float) -> None:
        """The next bucket that is due; the end where there is none."""
        engine = self._engine
        while self._depth <= self._last_depth:
            depth = self._depth
            self._depth += 1
            if now - engine.refreshed.get(depth, -engine.config.refresh_interval) >= engine.config.refresh_interval / 2:
                sibling = Prefix.of(engine.table.own, depth + 1).sibling()
                self._look_up(refresh_key(sibling, engine.random), now)
                return
        self._on_done(now)

    def stop(self) -> None:
        """Give up."""
        self._walk.stop()

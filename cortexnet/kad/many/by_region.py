"""Keys by the region they lie in: regions with several of them are explored, keys nearly alone are left to a lookup each."""

from collections import deque
from typing import TYPE_CHECKING, final

from cortexnet.kad.engine.explore import Explore
from cortexnet.kad.lookup.regions import regions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cortexnet.kad.engine.engine import Engine
    from cortexnet.kad.routing.contact import Contact
    from cortexnet.kad.routing.key import Prefix

ALONE = 2
"""Keys of a region up to which a lookup for each costs no more than to explore it; go-libp2p's value."""


@final
class ByRegion:
    """Explores some regions at a time. `on_region(keys, contacts, now)` is called for each, `on_done(now)` when all are explored.

    `alone` are the keys that are nobody's neighbours; they are not looked for here.
    """

    def __init__(
        self,
        engine: "Engine",
        keys: "Iterable[bytes]",
        now: float,
        on_region: "Callable[[dict[bytes, int], list[Contact], float], None]",
        on_done: "Callable[[float], None]",
    ) -> None:
        self._engine = engine
        self._on_region = on_region
        self._on_done = on_done
        self._waiting: deque[tuple[Prefix, dict[bytes, int]]] = deque()
        self._running: dict[Explore, dict[bytes, int]] = {}
        self._is_over = False
        self.alone: list[bytes] = []
        self.requests = 0
        """FIND_NODEs of the explorations that are over."""
        positions = {key: engine.position(key) for key in keys}
        size = engine.network_size(now)
        for prefix, inside in regions_of(positions, len(engine.table) if size is None else size, engine.config.k).items():
            if len(inside) <= ALONE:
                self.alone += inside
            else:
                self._waiting.append((prefix, {key: positions[key] for key in inside}))

    @property
    def is_over(self) -> bool:
        """Whether no region is left."""
        return not (self._waiting or self._running)

    def start(self, now: float) -> None:
        """Explore as many as may be at once."""
        engine = self._engine
        while self._waiting and len(self._running) < engine.config.bulk_regions and not self._is_over:
            prefix, keys = self._waiting.popleft()
            known = engine.cache.get(prefix, now) if engine.config.is_cached else None
            if known is not None and len(known) >= engine.config.k:
                self._on_region(keys, list(known), now)
                continue
            explore = Explore(engine, prefix, now, self._explored)
            self._running[explore] = keys
            explore.start(now)
        if self.is_over and not self._is_over:
            self._is_over = True
            self._on_done(now)

    def _explored(self, explore: Explore, now: float) -> None:
        keys = self._running.pop(explore)
        self.requests += explore.exploration.requests
        self._on_region(keys, explore.contacts, now)
        self.start(now)

    def stop(self) -> None:
        """Explore no more."""
        self._is_over = True
        self._waiting.clear()
        for explore in self._running:
            explore.stop()
        self._running.clear()

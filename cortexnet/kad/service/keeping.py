"""What a DHT knows outlives its node: it is taken back at the start, and written down as it changes. A shell."""

import asyncio
from typing import TYPE_CHECKING, final

from cortexnet.kad.routing.cache import Hint

if TYPE_CHECKING:
    from cortexnet.kad.dht import Dht
    from cortexnet.kad.routing.contact import Contact
    from cortexnet.storage.kad_store import KadStore

HINTS_INTERVAL = 600.0
"""Seconds between writings of where lookups have ended and who is in the table; once more at the end."""
KNOWN_LIMIT = 100
"""Peers of the table that are remembered: some are met again even where most are gone."""

_TABLE = b""  # in place of a key: the hint that holds peers of the table
_CYCLE = b""  # the row that is of no key


@final
class Keeping:
    """Between a Dht and its rows: values, provider records, what is provided here, and where lookups may begin."""

    def __init__(self, dht: "Dht", store: "KadStore") -> None:
        self._dht = dht
        self._store = store
        self._known: tuple[Contact, ...] = ()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Take back what an earlier run has left, once the Dht has started; keep what changes. Cancelled: as `KadStore.load`."""
        dht, store, hints = self._dht, self._store, self._store.hints()
        self._known = next((hint.contacts for hint in hints if hint.key == _TABLE), ())
        dht.cache.restore([hint for hint in hints if hint.key != _TABLE], self._loop.time())
        rows = store.reprovide_rows()
        dht.restore_provided(dict(rows), self._loop.time())
        for key, data in dht.schedule.rows().items():
            if rows.get(key) != data:
                store.keep_reprovide(key, data)
        dht.when_provided(self._provided)
        self._timer = self._loop.call_later(HINTS_INTERVAL, self._keep_hints)
        await store.load(dht.values, dht.providers)

    def close(self) -> None:
        """Write down who is known at the end, before the Dht is closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._write_hints()

    def _keep_hints(self) -> None:
        self._write_hints()
        self._timer = self._loop.call_later(HINTS_INTERVAL, self._keep_hints)

    def _write_hints(self) -> None:
        """Those of an earlier run stay where nobody was met in this one."""
        table = tuple(self._dht.table)[:KNOWN_LIMIT] or self._known
        self._store.keep_hints([Hint(_TABLE, table), *self._dht.cache.hints()])

    def _provided(self, key: bytes) -> None:
        """What this node provides, or when it was told, has changed. When the cycle began changes only at the start."""
        if key != _CYCLE:
            schedule = self._dht.schedule
            self._store.keep_reprovide(key, schedule.row(key) if key in schedule else None)

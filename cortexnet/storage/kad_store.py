"""Keeps on disk what the DHT keeps: values, provider records, hints for lookups, and what is to be announced when. A shell.

Each network, by the protocol of its DHT, has rows of its own.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Final, final

from cortexnet.errors import RemoteError
from cortexnet.storage import kad_codec as codec

if TYPE_CHECKING:
    from cortexnet.identity.peer_id import PeerId
    from cortexnet.kad.records.provider_store import ProviderStore
    from cortexnet.kad.records.value_store import ValueStore
    from cortexnet.kad.routing.cache import Hint
    from cortexnet.storage.database import Database
    from cortexnet.storage.sqlite_file import Rows

log = logging.getLogger(__name__)

VALUES, PROVIDERS, HINTS, REPROVIDE = "kad_values", "kad_providers", "kad_hints", "kad_reprovide"
TABLES: Final = (VALUES, PROVIDERS, HINTS, REPROVIDE)
WRITE_DELAY = 60.0
"""Seconds from a change of what others store here to its writing, up to twice as many: what spam brings and pushes out within
them is never written, and a page of the file once for all of the rest that is on it. Should a process be killed meanwhile,
nineteen others have it, and its owner announces it again."""
SLICE = 32
"""Entries that are decoded or encoded in one turn of the loop at most: 20 µs each, a large value 100."""
TURN = 0.002
"""Seconds after which a turn ends earlier, on a slow machine."""


@final
class KadStore:
    """The rows of one network. Made by `Storage.kad`. `unix` is the wall clock."""

    def __init__(self, protocol: str, database: "Database", rows: "Rows", unix: Callable[[], float]) -> None:
        self._head = codec.row_head(protocol)
        self._database = database
        self._unix = unix
        self._loop = asyncio.get_running_loop()
        # By the key without the network in front; those of values and providers until `load`.
        self._rows = {table: _taken(rows[table], self._head) for table in TABLES}
        self._values: ValueStore | None = None
        self._providers: ProviderStore | None = None
        self._changed: dict[tuple[str, bytes], None] = {}  # since the last time that something was due
        self._due: dict[tuple[str, bytes], None] = {}  # what had changed by then, and is written the next time
        self._timer: asyncio.TimerHandle | None = None
        self._unreadable = 0

    async def load(self, values: "ValueStore", providers: "ProviderStore") -> None:
        """Take back what an earlier run has kept, some a turn, and write down what changes in both from now on.

        What is over, or one too many, is dropped. What can't be read is left alone on disk, with one warning for all of it. What
        is known already, or comes meanwhile, goes before what was kept. Cancelled: the rest is not taken back.
        """
        self._values, self._providers = values, providers
        for stored in values:
            self._note(VALUES, stored.key)
        for record in providers.records():
            self._note(PROVIDERS, codec.provider_row(record.key, record.contact.peer_id))
        values.on_change, providers.on_change = self._value_changed, self._provider_changed
        await self._restore_all(VALUES, self._restore_value)
        await self._restore_all(PROVIDERS, self._restore_provider)
        if self._unreadable:
            log.warning("%d entries of the DHT can't be read; they stay in %s", self._unreadable, self._database.path)

    def hints(self) -> "list[Hint]":
        """What was kept by `keep_hints` last, in its order; none where it can't be read."""
        found = []
        for _, data in sorted(self._rows[HINTS].items()):
            try:
                found.append(codec.decode_hint(data))
            except RemoteError as error:
                log.debug("a routing hint can't be read: %s", error)
        return found

    def keep_hints(self, hints: "Iterable[Hint]") -> None:
        """Write down hints in place of those before."""
        before = self._rows[HINTS]
        after = {number.to_bytes(4, "big"): codec.encode_hint(hint) for number, hint in enumerate(hints)}
        for row in before.keys() - after.keys():
            self._database.put(HINTS, self._head + row, None)
        for row, data in after.items():
            if before.get(row) != data:
                self._database.put(HINTS, self._head + row, data)
        self._rows[HINTS] = after

    def reprovide_rows(self) -> Mapping[bytes, bytes]:
        """What was kept by `keep_reprovide`, by key; in the order of the last change, the oldest first."""
        return self._rows[REPROVIDE]

    def keep_reprovide(self, key: bytes, data: bytes | None) -> None:
        """Write down a row of what is to be announced again and when, in place of that before; None removes it."""
        rows = self._rows[REPROVIDE]
        rows.pop(key, None)
        if data is not None:
            rows[key] = data
        self._database.put(REPROVIDE, self._head + key, data)

    async def settle(self) -> None:
        """Give all that has changed so far to the database, some a turn. Cancelled: the rest is given later."""
        self._due |= self._changed
        self._changed = {}
        while self._due:
            self._write_slice()
            await asyncio.sleep(0)

    def detach(self) -> None:
        """Write down no more changes of values and providers."""
        if self._values is not None and self._providers is not None:
            self._values.on_change = self._providers.on_change = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _restore_all(self, table: str, restore: Callable[[bytes, bytes], bool]) -> None:
        end, left = 0.0, 0
        rows, self._rows[table] = self._rows[table], {}
        for row, data in rows.items():
            if not left or self._loop.time() > end:
                await asyncio.sleep(0)
                end, left = self._loop.time() + TURN, SLICE
            left -= 1
            try:
                if not restore(row, data):
                    self._note(table, row)  # it is known in another way than it was written, or not at all
            except RemoteError as error:
                log.debug("an entry of %s can't be read: %s", table, error)
                self._unreadable += 1

    def _restore_value(self, row: bytes, data: bytes) -> bool:
        assert self._values is not None  # from `load` on
        return self._values.restore(codec.decode_value(row, data), self._unix())

    def _restore_provider(self, row: bytes, data: bytes) -> bool:
        assert self._providers is not None  # from `load` on
        return self._providers.restore(codec.decode_provider(row, data), self._unix())

    def _value_changed(self, key: bytes) -> None:
        assert self._values is not None  # from `load` on
        stored = self._values.stored(key)
        if stored is not None and stored.sender is None:  # nobody else announces what is our own
            self._database.put(VALUES, self._head + key, codec.encode_value(stored))
        else:
            self._note(VALUES, key, is_gone=stored is None)

    def _provider_changed(self, key: bytes, peer_id: "PeerId") -> None:
        assert self._providers is not None  # from `load` on
        is_gone = self._providers.record(key, peer_id) is None
        self._note(PROVIDERS, codec.provider_row(key, peer_id), is_gone=is_gone)

    def _note(self, table: str, row: bytes, *, is_gone: bool = False) -> None:
        """What is gone and was never written is forgotten: so no more wait than there are in memory and in the file."""
        place = (table, row)
        if is_gone and not self._database.has(table, self._head + row):
            self._changed.pop(place, None)
            self._due.pop(place, None)
            return
        if place not in self._due:
            self._changed[place] = None
        if self._timer is None:
            self._timer = self._loop.call_later(WRITE_DELAY, self._write_all)

    def _write_all(self) -> None:
        """One slice of what is due, and the next one in another turn; after the last, what has changed since becomes due."""
        self._write_slice()
        delay = 0.0
        if not self._due:
            self._due, self._changed, delay = self._changed, {}, WRITE_DELAY
        self._timer = self._loop.call_later(delay, self._write_all) if self._due else None

    def _write_slice(self) -> None:
        end = self._loop.time() + TURN
        for table, row in list(islice(self._due, SLICE)):
            del self._due[table, row]
            self._database.put(table, self._head + row, self._encoded(table, row))
            if self._loop.time() > end:
                return

    def _encoded(self, table: str, row: bytes) -> bytes | None:
        assert self._values is not None  # nothing changes before `load`
        assert self._providers is not None
        if table == VALUES:
            stored = self._values.stored(row)
            return None if stored is None else codec.encode_value(stored)
        record = self._providers.record(*codec.provider_of_row(row))
        return None if record is None else codec.encode_provider(record)


def _taken(rows: dict[bytes, bytes], head: bytes) -> dict[bytes, bytes]:
    """Those of a network, out of all that were read."""
    found = {row[len(head) :]: data for row, data in rows.items() if row.startswith(head)}
    for row in found:
        del rows[head + row]
    return found

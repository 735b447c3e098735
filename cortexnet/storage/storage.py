"""The state directory: what a node keeps from one run to the next, beside its key. A shell."""

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Self, final

from cortexnet.errors import StorageFailed
from cortexnet.storage.access_store import TABLE as RULES
from cortexnet.storage.access_store import AccessStore
from cortexnet.storage.database import Database
from cortexnet.storage.peerstore_store import TABLE as PEERS
from cortexnet.storage.peerstore_store import PeerstoreStore
from cortexnet.storage.sqlite_file import REPUTATION_TABLES

if TYPE_CHECKING:
    from cortexnet.admission.access_rules import AccessRules
    from cortexnet.storage.kad_store import KadStore
    from cortexnet.storage.reputation_store import ReputationStore
    from cortexnet.storage.sqlite_file import Rows
    from cortexnet.swarm.peerstore import Peerstore

log = logging.getLogger(__name__)

FILE_NAME = "state.sqlite"
CLOSE_TIMEOUT = 2.0
"""Seconds that the end of a node may wait for a slow disk; what is not written by then may be lost."""

_HAS_MODES = os.name == "posix"


@final
class Storage:
    """An open state directory. Made by `open`."""

    def __init__(
        self, database: Database, peerstore: PeerstoreStore, rules: AccessStore, rows: "Rows", unix: Callable[[], float]
    ) -> None:
        self._database = database
        self._peerstore = peerstore
        self._rules = rules
        self._rows = rows  # those that nobody has taken yet
        self._unix = unix
        self._kad: dict[str, KadStore] = {}
        self._reputation: ReputationStore | None = None
        self._behaviour = {table: rows.pop(table) for table in REPUTATION_TABLES}  # left as they are where nobody asks

    @classmethod
    async def open(
        cls, directory: str, peerstore: "Peerstore", rules: "AccessRules", *, unix: Callable[[], float] = time.time
    ) -> Self:
        """Take back what was kept there, and keep what changes from now on. The folder is made where it is missing.

        `unix` is the wall clock. Raises StorageFailed where it can't be used, or another node uses it. Cancelled: it is closed.
        """
        await asyncio.get_running_loop().run_in_executor(None, make_private, directory)
        database = Database(os.path.join(directory, FILE_NAME))
        rows = await database.open()
        storage = cls(database, PeerstoreStore(peerstore, database, unix), AccessStore(rules, database), rows, unix)
        try:
            await storage._rules.load(rows.pop(RULES), unix())
            await storage._peerstore.load(rows.pop(PEERS))
        except BaseException:
            await storage.close()
            raise
        return storage

    @property
    def path(self) -> str:
        """The file."""
        return self._database.path

    @property
    def failure(self) -> StorageFailed | None:
        """Why what is new can't be kept at present; None where it can. It is tried again, later each time."""
        return self._database.failure

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to write has failed."""
        return self._database.failure is not None

    @property
    def backlog(self) -> int:
        """Entries that have changed and are not in the file yet."""
        return self._database.backlog

    def kad(self, protocol: str) -> "KadStore":
        """What the DHT of a protocol keeps, the same object each time."""
        store = self._kad.get(protocol)
        if store is None:
            from cortexnet.storage.kad_store import KadStore  # nodes without a DHT don't pay for it

            store = self._kad[protocol] = KadStore(protocol, self._database, self._rows, self._unix)
        return store

    def reputation(self) -> "ReputationStore":
        """How peers have behaved, the same object each time."""
        if self._reputation is None:
            from cortexnet.storage.reputation_store import ReputationStore  # as above

            self._reputation = ReputationStore(self._database, self._behaviour, self._unix)
        return self._reputation

    def release(self) -> None:
        """All services have begun: forget, here and on disk, what was kept for DHTs that none of them has taken up again.

        Others have kept it too; and it would be over in two days, with nobody to drop it.
        """
        for table, rows in self._rows.items():
            for key in rows:
                self._database.put(table, key, None)
            rows.clear()

    async def flush(self) -> None:
        """Wait until all that has changed so far is in the file. Raises StorageFailed, NotRunning. Cancelled: writing goes on."""
        await self._settle()
        await self._database.flush()

    async def freeze(self) -> None:
        """Write down the present state, and no change after it: at the end of a node its peers are to stay known as connected.

        Cancelled: the same, but what was not written yet is written as it is by then.
        """
        try:
            await self._settle()
        finally:
            self._peerstore.detach()

    async def close(self) -> None:
        """Write what waits, and close the file, within some 2 s. Cancelled: the file is closed all the same."""
        self._rules.detach()
        self._peerstore.detach()
        for store in self._kad.values():
            store.detach()
        if self._reputation is not None:
            self._reputation.detach()
        try:
            await self._settle()
        finally:
            await self._database.close(CLOSE_TIMEOUT)

    async def _settle(self) -> None:
        await self._peerstore.settle()
        for store in self._kad.values():
            await store.settle()
        if self._reputation is not None:
            await self._reputation.settle()


def make_private(directory: str) -> None:
    """Make a folder for its owner alone, with those above it; one that is there is left as it is. Raises StorageFailed."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        mode = os.stat(directory).st_mode
    except OSError as error:
        raise StorageFailed(f"the state directory can't be made: {error.strerror or error}", path=directory) from error
    if _HAS_MODES and mode & (stat.S_IWGRP | stat.S_IWOTH):
        log.warning("others may write to the state directory %s (mode %o): chmod 700 it", directory, stat.S_IMODE(mode))

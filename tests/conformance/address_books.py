"""Peerstores as the checks see them: one in memory alone, one that is written down and taken back by another in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, final

from cortexnet.admission.access_rules import AccessRules
from cortexnet.admission.limits import Limits
from cortexnet.storage.storage import Storage
from cortexnet.swarm.peerstore import Peerstore


class Book(Protocol):
    """A peerstore with its limits, and the end of a process."""

    peerstore: Peerstore

    async def restart(self) -> None:
        """Let another process go on: what is kept must be there, and nobody is connected."""


@final
class MemoryBook:
    """Nothing ends here: connections do."""

    def __init__(self, limits: Limits) -> None:
        self.peerstore = Peerstore(limits)

    async def restart(self) -> None:
        now = asyncio.get_running_loop().time()
        for peer in self.peerstore.peers():
            self.peerstore.mark_disconnected(peer, now)


@final
class StoredBook:
    """A new peerstore each time, on the same file."""

    def __init__(self, limits: Limits, folder: Path) -> None:
        self._limits = limits
        self._folder = str(folder)
        self._storage: Storage | None = None

    async def open(self) -> None:
        # The wall clock goes as fast as the loop's, which is virtual.
        self.peerstore = Peerstore(self._limits)
        rules = AccessRules(limit=1)
        self._storage = await Storage.open(self._folder, self.peerstore, rules, unix=asyncio.get_running_loop().time)

    async def close(self) -> None:
        if self._storage is not None:
            await self._storage.freeze()
            await self._storage.close()

    async def restart(self) -> None:
        await self.close()
        await self.open()


@asynccontextmanager
async def memory_book(limits: Limits, folder: Path) -> AsyncIterator[Book]:
    yield MemoryBook(limits)


@asynccontextmanager
async def stored_book(limits: Limits, folder: Path) -> AsyncIterator[Book]:
    book = StoredBook(limits, folder)
    await book.open()
    try:
        yield book
    finally:
        await book.close()


BOOKS = {"memory": memory_book, "memory and SQLite": stored_book}

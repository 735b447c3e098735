"""What a DHT keeps as the checks see it: in memory alone, or written down and taken back by another process in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol, final

from cortexnet.admission.access_rules import AccessRules
from cortexnet.admission.limits import Limits
from cortexnet.kad.records.provider_store import ProviderStore
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing.cache import Hint, RoutingCache
from cortexnet.kad.store_config import StoreConfig
from cortexnet.storage.kad_store import KadStore
from cortexnet.storage.storage import Storage
from cortexnet.swarm.peerstore import Peerstore

PROTOCOL = "/ipfs/kad/1.0.0"


class Keeper(Protocol):
    """The stores of a DHT, and the end of a process."""

    values: ValueStore
    providers: ProviderStore

    async def restart(self) -> None:
        """Let another process go on: what is kept must be there."""

    def keep_hints(self, hints: list[Hint]) -> None:
        """Note what is worth knowing at the next start."""

    def hints(self) -> list[Hint]:
        """What was noted."""


@final
class MemoryKeeper:
    """Nothing ends here."""

    def __init__(self, config: StoreConfig) -> None:
        self.values, self.providers = ValueStore(config), ProviderStore(config)
        self._cache = RoutingCache()

    async def restart(self) -> None:
        pass

    def keep_hints(self, hints: list[Hint]) -> None:
        self._cache = RoutingCache()
        self._cache.restore(hints, 0.0)

    def hints(self) -> list[Hint]:
        return self._cache.hints()


@final
class StoredKeeper:
    """New stores each time, on the same file."""

    def __init__(self, config: StoreConfig, folder: Path) -> None:
        self._config = config
        self._folder = str(folder)
        self._storage: Storage | None = None

    async def open(self) -> None:
        # The wall clock goes as fast as the loop's, which is virtual.
        unix = asyncio.get_running_loop().time
        self.values, self.providers = ValueStore(self._config), ProviderStore(self._config)
        self._storage = await Storage.open(self._folder, Peerstore(Limits()), AccessRules(limit=1), unix=unix)
        await self._rows().load(self.values, self.providers)
        self._storage.release()

    async def close(self) -> None:
        if self._storage is not None:
            await self._storage.close()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    def keep_hints(self, hints: list[Hint]) -> None:
        self._rows().keep_hints(hints)

    def hints(self) -> list[Hint]:
        return self._rows().hints()

    def _rows(self) -> KadStore:
        assert self._storage is not None
        return self._storage.kad(PROTOCOL)


Opener = Callable[[StoreConfig, Path], AbstractAsyncContextManager[Keeper]]


@asynccontextmanager
async def memory_keeper(config: StoreConfig, folder: Path) -> AsyncIterator[Keeper]:
    yield MemoryKeeper(config)


@asynccontextmanager
async def stored_keeper(config: StoreConfig, folder: Path) -> AsyncIterator[Keeper]:
    keeper = StoredKeeper(config, folder)
    await keeper.open()
    try:
        yield keeper
    finally:
        await keeper.close()


KEEPERS: dict[str, Opener] = {"memory": memory_keeper, "memory and SQLite": stored_keeper}

"""What a DHT knows is there after a restart: values and providers it keeps, what it provides, and where lookups began."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cortexnet.admission.access_rules import AccessRules
from cortexnet.admission.limits import Limits
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.dht import Dht
from cortexnet.kad.dht_config import DhtConfig
from cortexnet.kad.records.records import Validators
from cortexnet.kad.routing.cache import Hint
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.service.keeping import HINTS_INTERVAL, Keeping
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.storage.storage import Storage
from cortexnet.swarm.peerstore import Peerstore

UNIX = 1_800_000_000.0
KEY, OTHER = (b"\x12\x20" + bytes([number]) * 32 for number in (1, 2))


def contact(number: int) -> Contact:
    return Contact(PeerId(b"\x12\x20" + number.to_bytes(32, "big")), [Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")])


OWN, A, B = (contact(number) for number in range(3))


class Run:
    """One run of a node, as far as its DHT and its storage go."""

    def __init__(self, storage: Storage) -> None:
        self.dht = Dht(lambda: OWN, config=DhtConfig(), random=random.Random(1), validators=Validators({}))
        self.store = storage.kad("/test/kad/1.0.0")
        self.keeping = Keeping(self.dht, self.store)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()


def provided(dht: Dht) -> list[bytes]:
    return [key for key in (KEY, OTHER) if dht.providers.is_own(key)]


@asynccontextmanager
async def run_in(folder: Path) -> AsyncIterator[Run]:
    loop = asyncio.get_running_loop()
    storage = await Storage.open(str(folder), Peerstore(Limits()), AccessRules(limit=1), unix=lambda: UNIX + loop.time())
    run = Run(storage)
    run.dht.start(run.now, UNIX + run.now)
    await run.keeping.start()
    try:
        yield run
    finally:
        run.keeping.close()
        run.dht.close()
        await storage.close()


async def test_what_is_kept_for_others_is_there_after_a_restart(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.dht.values.put(b"/x/a", b"value", UNIX + run.now, sender=A.peer_id)
        run.dht.providers.add(KEY, A, UNIX + run.now)
    async with run_in(tmp_path) as run:
        stored = run.dht.values.get(b"/x/a", UNIX + run.now)
        assert stored is not None
        assert (stored.value, run.dht.providers.get(KEY, UNIX + run.now)) == (b"value", [A])


async def test_what_is_provided_is_provided_still_until_it_is_stopped(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for key in (KEY, OTHER):
            run.dht.provide(key, run.now)
        before = run.dht.schedule.rows()
    async with run_in(tmp_path) as run:
        assert run.dht.schedule.rows() == before, "and each region has its hour"
        assert provided(run.dht) == [KEY, OTHER]
        run.dht.stop_providing(KEY)
    async with run_in(tmp_path) as run:
        assert provided(run.dht) == [OTHER]
        assert run.store.reprovide_rows() == {row: before[row] for row in (b"", OTHER)}


async def test_lookups_begin_where_those_of_the_last_run_ended(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.dht.cache.put(KEY, [A, B], run.now)
        run.dht.table.add(A, run.now)
    async with run_in(tmp_path) as run:
        assert run.store.hints()[0].contacts == (A,)
        assert run.dht.cache.hints() == [Hint(KEY, (A, B))]


async def test_who_was_known_stays_so_where_a_run_meets_nobody(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.dht.table.add(A, run.now)
    for _ in range(2):
        async with run_in(tmp_path) as run:
            assert [hint.contacts for hint in run.store.hints()] == [(A,)]
            assert run.dht.cache.hints() == []


async def test_hints_are_written_while_the_node_runs_too(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for number, key in enumerate((KEY, OTHER), 1):
            run.dht.cache.put(key, [A], run.now)
            assert len(run.store.hints()) <= number
            await asyncio.sleep(HINTS_INTERVAL)
            assert len(run.store.hints()) == number + 1


async def test_a_keeping_that_never_began_ends_quietly(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        Keeping(run.dht, run.store).close()
        assert run.store.hints() == []

"""The rows of the DHT: when they are written, what is damaged, and whose they are."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cortexnet.admission.access_rules import AccessRules
from cortexnet.admission.limits import Limits
from cortexnet.errors import StorageFailed
from cortexnet.identity.peer_id import PeerId
from cortexnet.kad.records.provider_store import ProviderStore
from cortexnet.kad.records.value_store import ValueStore
from cortexnet.kad.routing.cache import Hint
from cortexnet.kad.routing.contact import Contact
from cortexnet.kad.store_config import HOUR, StoreConfig
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.storage import kad_store as kad_store_module
from cortexnet.storage.database import WRITE_INTERVAL
from cortexnet.storage.kad_store import HINTS, PROVIDERS, SLICE, VALUES, WRITE_DELAY, KadStore
from cortexnet.storage.sqlite_file import Changes, SqliteFile
from cortexnet.storage.storage import FILE_NAME, Storage
from cortexnet.swarm.peerstore import Peerstore

PROTOCOL = "/ipfs/kad/1.0.0"
HEAD = b"/ipfs/kad/1.0.0\0"
PEERS = [PeerId(b"\x12\x20" + number.to_bytes(32, "big")) for number in range(100)]
A, B = PEERS[:2]
UNIX = 1_800_000_000.0


def key(number: int) -> bytes:
    return b"/x/%05d" % number


def contact(number: int) -> Contact:
    return Contact(PEERS[number], [Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")])


class Run:
    """One run of a node, as far as its DHT's storage goes."""

    def __init__(self, config: StoreConfig | None = None) -> None:
        self.values, self.providers = ValueStore(config), ProviderStore(config)
        self.storage: Storage

    @property
    def kad(self) -> KadStore:
        return self.storage.kad(PROTOCOL)


async def opened(folder: Path) -> Storage:
    return await Storage.open(str(folder), Peerstore(Limits()), AccessRules(limit=1), unix=lambda: time.time())


@asynccontextmanager
async def run_in(folder: Path, config: StoreConfig | None = None) -> AsyncIterator[Run]:
    run = Run(config)
    run.storage = await opened(folder)
    await run.kad.load(run.values, run.providers)
    try:
        yield run
    finally:
        await run.storage.close()


@pytest.fixture(autouse=True)
def unix(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock; a test sets what it shows."""
    shown = [UNIX]
    monkeypatch.setattr(time, "time", lambda: shown[0])
    return shown


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """The places of the file that were written."""
    places: list[tuple[str, bytes]] = []
    write = SqliteFile.write

    def recorded(file: SqliteFile, changes: Changes) -> None:
        places.extend(changes)
        write(file, changes)

    monkeypatch.setattr(SqliteFile, "write", recorded)
    return places


def damage(folder: Path, table: str, statement: str) -> None:
    connection = sqlite3.connect(folder / FILE_NAME)
    with connection:
        connection.execute(f"UPDATE {table} SET {statement}")
    connection.close()


async def test_what_comes_and_goes_soon_is_never_written(tmp_path: Path, written: list[tuple[str, bytes]]) -> None:
    async with run_in(tmp_path, StoreConfig(values=1, providers=1)) as run:
        for number in range(50):
            run.values.put(key(number), b"spam", UNIX, sender=A)
            run.providers.add(key(number), contact(1), UNIX)
            await asyncio.sleep(WRITE_DELAY / 50)
        await asyncio.sleep(2 * WRITE_DELAY)
        assert written == [(VALUES, HEAD + key(49)), (PROVIDERS, HEAD + bytes([8]) + key(49) + bytes(B))]
        assert run.storage.backlog == 0


async def test_changes_that_wait_are_bounded_by_what_is_kept_and_what_is_in_the_file(tmp_path: Path) -> None:
    async with run_in(tmp_path, StoreConfig(values=10, providers=10)) as run:
        for first in range(0, 5_000, 1_000):
            for number in range(first, first + 1_000):
                run.values.put(key(number), b"spam", UNIX, sender=A)
                run.providers.add(key(number), contact(1), UNIX)
                assert len(run.kad._changed) + len(run.kad._due) + run.storage.backlog <= 2 * (10 + 10)
            await run.storage.flush()


async def test_what_spam_pushes_out_again_before_it_is_due_is_never_written(
    tmp_path: Path, written: list[tuple[str, bytes]]
) -> None:
    async with run_in(tmp_path, StoreConfig(providers=10)) as run:
        for number in range(1_000):
            run.providers.add(key(number), contact(1), UNIX)
            await asyncio.sleep(WRITE_DELAY / 11)
        assert written == []


async def test_what_stays_is_written_once_however_often_it_changes(tmp_path: Path, written: list[tuple[str, bytes]]) -> None:
    async with run_in(tmp_path) as run:
        for _ in range(90):
            run.values.put(key(1), b"again", UNIX, sender=A)
            await asyncio.sleep(WRITE_DELAY / 50)
        await asyncio.sleep(WRITE_DELAY)
        assert written == [(VALUES, HEAD + key(1))]


async def test_what_is_our_own_is_written_soon(tmp_path: Path, written: list[tuple[str, bytes]]) -> None:
    async with run_in(tmp_path) as run:
        run.values.put(key(1), b"own", UNIX)
        await asyncio.sleep(2 * WRITE_INTERVAL)
        assert written == [(VALUES, HEAD + key(1))]


async def test_many_entries_are_written_and_taken_back_a_few_in_each_turn(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for number in range(200):
            run.values.put(key(number), b"", UNIX, sender=A)
        await asyncio.sleep(2 * WRITE_DELAY)
        assert 0 < len(run.kad._due) <= 200 - SLICE
        await asyncio.sleep(2 * WRITE_INTERVAL)
        assert (len(run.kad._due), run.storage.backlog) == (0, 0)
    storage, values = await opened(tmp_path), ValueStore()
    loading = asyncio.create_task(storage.kad(PROTOCOL).load(values, ProviderStore()))
    for _ in range(3):
        await asyncio.sleep(0)
    assert 0 < len(values) < 200
    await loading
    assert len(values) == 200
    await storage.close()


async def test_a_slow_machine_does_less_in_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kad_store_module, "TURN", -1.0)
    async with run_in(tmp_path) as run:
        for number in range(5):
            run.values.put(key(number), b"", UNIX, sender=A)
        await asyncio.sleep(2 * WRITE_DELAY)
        assert len(run.kad._due) == 4
    async with run_in(tmp_path) as run:
        assert len(run.values) == 5


async def test_what_comes_before_or_meanwhile_goes_before_what_was_kept(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for number in (1, 2):
            run.values.put(key(number), b"old", UNIX, sender=A)
            run.providers.add(key(number), contact(number), UNIX)
    run = Run()
    run.storage = await opened(tmp_path)
    run.values.put(key(1), b"before", UNIX)
    run.providers.add(key(3), contact(3), UNIX)
    loading = asyncio.create_task(run.kad.load(run.values, run.providers))
    await asyncio.sleep(0)
    run.values.put(key(2), b"meanwhile", UNIX)
    await loading
    await run.storage.close()
    async with run_in(tmp_path) as run:
        assert sorted(stored.value for stored in run.values) == [b"before", b"meanwhile"]
        assert sorted(record.key for record in run.providers.records()) == [key(1), key(2), key(3)]


async def test_what_is_over_leaves_the_file(tmp_path: Path, unix: list[float], written: list[tuple[str, bytes]]) -> None:
    async with run_in(tmp_path) as run:
        run.values.put(key(1), b"", UNIX, sender=A)
        run.providers.add(key(1), contact(1), UNIX)
    unix[0] += 48 * HOUR
    written.clear()
    async with run_in(tmp_path) as run:
        assert (len(run.values), len(run.providers)) == (0, 0)
    assert [table for table, _ in written] == [VALUES, PROVIDERS]
    unix[0] = UNIX
    async with run_in(tmp_path) as run:
        assert (len(run.values), len(run.providers)) == (0, 0)


async def test_what_is_damaged_costs_itself_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with run_in(tmp_path) as run:
        for number in (1, 2):
            run.values.put(key(number), b"value", UNIX, sender=A)
            run.providers.add(key(number), contact(number), UNIX)
    for table in (VALUES, PROVIDERS):
        damage(tmp_path, table, "value = X'0000' WHERE rowid = 1")
    async with run_in(tmp_path) as run:
        assert [stored.key for stored in run.values] == [key(2)]
        assert [record.key for record in run.providers.records()] == [key(2)]
    assert "2 entries could be read and are kept" in caplog.text


async def test_rows_that_can_t_be_read_stay_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with run_in(tmp_path) as run:
        run.values.put(key(1), b"value", UNIX, sender=A)
        for table in (VALUES, PROVIDERS, HINTS):
            run.storage._database.put(table, HEAD + b"strange", b"\xff")
        run.kad.keep_reprovide(b"strange", b"\xff")
    for _ in range(2):
        caplog.clear()
        async with run_in(tmp_path) as run:
            assert len(run.values) == 1
            assert run.kad.hints() == []
            assert run.kad.reprovide_rows() == {b"strange": b"\xff"}
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warnings == [f"2 entries of the DHT can't be read; they stay in {tmp_path / FILE_NAME}"]


async def test_networks_keep_apart_what_is_theirs(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        other = ValueStore()
        lan = run.storage.kad("/ipfs/lan/kad/1.0.0")
        await lan.load(other, ProviderStore())
        assert lan is run.storage.kad("/ipfs/lan/kad/1.0.0")
        run.values.put(key(1), b"public", UNIX)
        other.put(key(1), b"local", UNIX)
        lan.keep_reprovide(b"a", b"1")
    async with run_in(tmp_path) as run:
        other = ValueStore()
        await run.storage.kad("/ipfs/lan/kad/1.0.0").load(other, ProviderStore())
        assert [[stored.value for stored in values] for values in (run.values, other)] == [[b"public"], [b"local"]]
        assert (run.kad.reprovide_rows(), run.storage.kad("/ipfs/lan/kad/1.0.0").reprovide_rows()) == ({}, {b"a": b"1"})


async def test_what_no_network_takes_up_is_dropped_once_all_have_begun(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.values.put(key(1), b"", UNIX)
        other = ValueStore()
        await run.storage.kad("/old").load(other, ProviderStore())
        other.put(key(1), b"", UNIX)
    async with run_in(tmp_path) as run:
        run.storage.release()
        run.storage.release()
    async with run_in(tmp_path) as run:
        other = ValueStore()
        await run.storage.kad("/old").load(other, ProviderStore())
        assert (len(run.values), len(other)) == (1, 0)


async def test_rows_of_reprovides_come_back_in_the_order_of_their_last_change(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for name in (b"a", b"b", b"c"):
            run.kad.keep_reprovide(name, b"1")
        await run.storage.flush()
        run.kad.keep_reprovide(b"a", b"2")
        run.kad.keep_reprovide(b"b", None)
        run.kad.keep_reprovide(b"none", None)
        assert list(run.kad.reprovide_rows().items()) == [(b"c", b"1"), (b"a", b"2")]
    async with run_in(tmp_path) as run:
        assert list(run.kad.reprovide_rows().items()) == [(b"c", b"1"), (b"a", b"2")]


async def test_hints_that_have_not_changed_are_not_written_again(tmp_path: Path, written: list[tuple[str, bytes]]) -> None:
    hints = [Hint(key(number), (contact(number),)) for number in range(3)]
    async with run_in(tmp_path) as run:
        run.kad.keep_hints(hints)
        await run.storage.flush()
        written.clear()
        run.kad.keep_hints([hints[0], hints[2]])
        await run.storage.flush()
        assert sorted(written) == [(HINTS, HEAD + bytes([0, 0, 0, number])) for number in (1, 2)]


async def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        values, providers = run.values, run.providers
        values.put(key(1), b"", UNIX)
    values.put(key(2), b"", UNIX)
    providers.add(key(2), contact(1), UNIX)
    run.kad.keep_reprovide(b"a", b"1")
    async with run_in(tmp_path) as run:
        assert [stored.key for stored in run.values] == [key(1)]
        assert (len(run.providers), run.kad.reprovide_rows()) == (0, {})


async def test_a_store_that_is_never_loaded_ends_quietly(tmp_path: Path) -> None:
    storage = await opened(tmp_path)
    storage.kad(PROTOCOL)
    await storage.freeze()
    await storage.close()


async def test_a_loading_that_is_cancelled_leaves_the_rest_on_disk(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for number in range(200):
            run.values.put(key(number), b"", UNIX, sender=A)
    storage, values = await opened(tmp_path), ValueStore()
    loading = asyncio.create_task(storage.kad(PROTOCOL).load(values, ProviderStore()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert len(values) < 200
    await storage.close()
    async with run_in(tmp_path) as run:
        assert len(run.values) == 200


async def test_a_full_disk_is_told_by_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: SqliteFile, changes: Changes) -> None:
        raise StorageFailed("the disk is full", path=file.path)

    async with run_in(tmp_path) as run:
        with monkeypatch.context() as patched:
            patched.setattr(SqliteFile, "write", full)
            run.values.put(key(1), b"", UNIX, sender=A)
            with pytest.raises(StorageFailed, match="the disk is full"):
                await run.storage.flush()
    async with run_in(tmp_path) as run:
        assert len(run.values) == 1, "tried again"

"""Writing behind: nothing waits for the disk, the latest of each key is written, and what fails is tried again."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cortexnet.errors import NotRunning, StorageFailed
from cortexnet.storage import database as database_module
from cortexnet.storage.database import FIRST_RETRY, LAST_RETRY, WRITE_INTERVAL, Database
from cortexnet.storage.sqlite_file import Changes, Rows, SqliteFile


@asynccontextmanager
async def database_in(folder: Path) -> AsyncIterator[Database]:
    database = Database(str(folder / "state.sqlite"))
    await database.open()
    try:
        yield database
    finally:
        await database.close(2.0)


async def rows_in(folder: Path) -> dict[bytes, bytes]:
    database = Database(str(folder / "state.sqlite"))
    rows = await database.open()
    await database.close(2.0)
    return rows["peers"]


class Disk:
    """Records what is written, and fails as long as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writes: list[dict[tuple[str, bytes], bytes | None]] = []
        self.times: list[float] = []
        self.error: StorageFailed | None = None
        self.before: Callable[[], object] = lambda: None
        write = SqliteFile.write

        def recorded(file: SqliteFile, changes: Changes) -> None:
            self.before()
            self.writes.append(dict(changes))
            if self.error is not None:
                raise self.error
            write(file, changes)

        monkeypatch.setattr(SqliteFile, "write", recorded)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def test_what_was_flushed_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    async with database_in(tmp_path) as database:
        assert await database.flush() is None, "there is nothing to do"
        database.put("peers", b"a", b"1")
        database.put("peers", b"b", b"2")
        await database.flush()
        database.put("peers", b"a", None)
        database.put("rules", b"a", b"3")
        await database.flush()
        assert database.backlog == 0
    assert await rows_in(tmp_path) == {b"b": b"2"}


async def test_closing_writes_what_waits(tmp_path: Path) -> None:
    async with database_in(tmp_path) as database:
        database.put("peers", b"a", b"1")
        assert database.backlog == 1
    assert await rows_in(tmp_path) == {b"a": b"1"}


async def test_of_many_changes_the_last_one_is_written_once(tmp_path: Path, disk: Disk) -> None:
    async with database_in(tmp_path) as database:
        for number in range(1000):
            database.put("peers", bytes([number % 3]), str(number).encode())
        await database.flush()
        assert disk.writes == [{("peers", b"\0"): b"999", ("peers", b"\1"): b"997", ("peers", b"\2"): b"998"}]


async def test_what_came_and_went_in_between_is_not_written_at_all(tmp_path: Path, disk: Disk) -> None:
    async with database_in(tmp_path) as database:
        database.put("peers", b"a", b"1")
        database.put("peers", b"a", None)
        database.put("peers", b"b", None)
        await database.flush()
        assert disk.writes == []


async def test_what_is_removed_while_it_is_being_written_is_removed_after_that(tmp_path: Path, disk: Disk) -> None:
    async with database_in(tmp_path) as database:
        going, go = threading.Event(), threading.Event()

        def hold() -> None:
            going.set()
            go.wait()

        disk.before = hold
        database.put("peers", b"a", b"1")
        await asyncio.sleep(0)
        going.wait()
        disk.before = lambda: None
        database.put("peers", b"a", None)
        database.put("peers", b"b", b"2")
        assert database.backlog == 2
        go.set()
        await database.flush()
        assert disk.writes == [{("peers", b"a"): b"1"}, {("peers", b"a"): None, ("peers", b"b"): b"2"}]
    assert await rows_in(tmp_path) == {b"b": b"2"}


async def test_the_first_change_is_written_at_once_and_those_that_follow_it_together(tmp_path: Path, disk: Disk) -> None:
    loop = asyncio.get_running_loop()
    async with database_in(tmp_path) as database:
        disk.before = lambda: disk.times.append(loop.time())
        began = loop.time()
        for number in range(3):
            database.put("peers", bytes([number]), b"")
            await asyncio.sleep(WRITE_INTERVAL / 4)
        await asyncio.sleep(WRITE_INTERVAL)
        assert disk.writes == [{("peers", b"\0"): b""}, {("peers", b"\1"): b"", ("peers", b"\2"): b""}]
        assert disk.times == pytest.approx([began, began + WRITE_INTERVAL])


async def test_what_is_too_much_to_wait_is_written_at_once(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BATCH_SIZE", 100)
    loop = asyncio.get_running_loop()
    async with database_in(tmp_path) as database:
        disk.before = lambda: disk.times.append(loop.time())
        began = loop.time()
        for number in range(3):
            database.put("peers", bytes([number]), bytes(90 * number))
            await asyncio.sleep(WRITE_INTERVAL / 4)
        assert disk.times == pytest.approx([began, began + 2 * WRITE_INTERVAL / 4])


async def test_whether_a_row_is_there_or_comes(tmp_path: Path) -> None:
    async with database_in(tmp_path) as database:
        assert not database.has("peers", b"a")
        for value, is_there in ((b"1", True), (None, False)):
            database.put("peers", b"a", value)
            assert database.has("peers", b"a") == is_there
        database.put("peers", b"a", b"2")
        await database.flush()
        database.put("peers", b"a", None)
        assert database.has("peers", b"a"), "it is still in the file"
        await database.flush()
        assert not database.has("peers", b"a")


async def test_several_may_wait_for_the_same_write(tmp_path: Path, disk: Disk) -> None:
    async with database_in(tmp_path) as database:
        database.put("peers", b"a", b"1")
        await asyncio.gather(*[database.flush() for _ in range(5)])
        assert len(disk.writes) == 1


async def test_while_the_disk_is_full_it_is_tried_again_ever_later_and_nothing_is_lost(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    async with database_in(tmp_path) as database:
        disk.before = lambda: disk.times.append(loop.time())
        disk.error = StorageFailed("the disk is full", path=database.path)
        database.put("peers", b"a", b"1")
        with pytest.raises(StorageFailed, match="the disk is full") as caught:
            await database.flush()
        assert database.failure is caught.value
        database.put("peers", b"b", b"2")
        await asyncio.sleep(600.0)
        waits = [later - earlier for earlier, later in zip(disk.times, disk.times[1:], strict=False)]
        expected = [min(FIRST_RETRY * 2**number, LAST_RETRY) for number in range(len(waits))]
        assert waits == pytest.approx(expected)
        assert len(waits) > 10
        disk.error = None
        await asyncio.sleep(LAST_RETRY)
        assert (database.failure, database.backlog) == (None, 0)
        assert disk.writes[-1] == {("peers", b"a"): b"1", ("peers", b"b"): b"2"}
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert messages == [
        f"what is new is kept in memory only: {database.path}: the disk is full",
        f"{database.path} is written again",
    ]
    assert await rows_in(tmp_path) == {b"a": b"1", b"b": b"2"}


async def test_to_flush_tries_at_once(tmp_path: Path, disk: Disk) -> None:
    async with database_in(tmp_path) as database:
        disk.error = StorageFailed("no", path="x")
        database.put("peers", b"a", b"1")
        for _ in range(3):
            with pytest.raises(StorageFailed):
                await database.flush()
        disk.error = None
        await database.flush()
        assert (len(disk.writes), database.failure) == (4, None)


async def test_a_real_full_disk_is_survived(tmp_path: Path) -> None:
    async with database_in(tmp_path) as database:

        def pages(command: str) -> int:
            assert database._file._connection is not None
            return int(database._file._connection.execute(f"PRAGMA {command}").fetchone()[0])

        before = await database._run(pages, "page_count")
        await database._run(pages, f"max_page_count = {before}")
        for number in range(50):
            database.put("peers", bytes([number]), bytes(1_000))
        with pytest.raises(StorageFailed, match="the disk is full: make room"):
            await database.flush()
        assert database.backlog == 50
        await database._run(pages, "max_page_count = 100000")
        await asyncio.sleep(10.0)
        assert (database.backlog, database.failure) == (0, None)
    assert len(await rows_in(tmp_path)) == 50


async def test_what_waits_is_bounded_by_the_keys_there_are_however_long_the_disk_fails(tmp_path: Path, disk: Disk) -> None:
    async with database_in(tmp_path) as database:
        for number in range(10):
            database.put("peers", bytes([number]), b"")
        await database.flush()
        disk.error = StorageFailed("the disk is full", path="x")
        for number in range(5_000):
            database.put("peers", str(number).encode(), b"")
            if number >= 5:
                database.put("peers", str(number - 5).encode(), None)
            if not number % 100:
                await asyncio.sleep(1.0)
                assert database.backlog <= 10
        for number in range(10):
            database.put("peers", bytes([number]), None)
        assert database.backlog <= 10 + 5 + 1
        disk.error = None
    assert set(await rows_in(tmp_path)) == {str(number).encode() for number in range(4_995, 5_000)}


async def test_a_node_that_can_not_write_at_its_end_says_what_is_lost(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    async with database_in(tmp_path) as database:
        disk.error = StorageFailed("the disk is full", path="x")
        database.put("peers", b"a", b"1")
    assert "1 changes could not be kept: x: the disk is full" in caplog.text
    assert await rows_in(tmp_path) == {}


async def test_a_closed_database_takes_nothing(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "state.sqlite"))
    database.put("peers", b"a", b"1")
    with pytest.raises(NotRunning):
        await database.flush()
    await database.close(1.0)
    await database.open()
    await database.close(1.0)
    await database.close(1.0)
    database.put("peers", b"a", b"1")
    assert database.backlog == 0
    assert await rows_in(tmp_path) == {}


async def test_what_can_not_be_opened_says_so_and_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed):
        await Database(str(tmp_path / "missing" / "state.sqlite")).open()
    assert not storage_threads()


async def test_whoever_has_cancelled_an_opening_finds_the_file_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a start that is cancelled, and tried again at once, was told that another node has the file: its own thread."""
    begun, may_open, closed = threading.Event(), threading.Event(), list[str]()
    really_open, really_close = SqliteFile.open, SqliteFile.close

    def slow(file: SqliteFile) -> Rows:
        begun.set()
        may_open.wait(10)
        return really_open(file)

    def told(file: SqliteFile) -> None:
        really_close(file)
        closed.append(file.path)

    monkeypatch.setattr(SqliteFile, "open", slow)
    monkeypatch.setattr(SqliteFile, "close", told)
    database = Database(str(tmp_path / "state.sqlite"))
    opening = asyncio.create_task(database.open())
    await asyncio.to_thread(begun.wait)
    opening.cancel()
    await asyncio.sleep(0)
    may_open.set()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert closed == [database.path]


async def test_an_opening_that_is_cancelled_lets_go_of_the_file(tmp_path: Path) -> None:
    opening = asyncio.create_task(Database(str(tmp_path / "state.sqlite")).open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert await rows_in(tmp_path) == {}, "another can have it"


async def test_a_bug_in_a_write_is_told_by_the_loop(tmp_path: Path, disk: Disk) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    async with database_in(tmp_path) as database:

        def break_down() -> None:
            raise ZeroDivisionError

        disk.before = break_down
        database.put("peers", b"a", b"1")
        await database.flush()
        assert [type(error) for error in told] == [ZeroDivisionError]


def storage_threads() -> list[threading.Thread]:
    """Those that go on; one that has nothing left to do needs a moment to end."""
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("cortexnet-storage")]
    for thread in threads:
        thread.join(5.0)
    return [thread for thread in threads if thread.is_alive()]


def test_a_disk_that_hangs_holds_up_neither_the_loop_nor_the_end(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    async def main() -> None:
        database = Database(str(tmp_path / "state.sqlite"))
        await database.open()
        disk.before = release.wait
        for number in range(100):
            database.put("peers", bytes([number]), b"")
            await asyncio.sleep(0)
        assert database.backlog == 100
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await database.flush()
        await database.close(0.01)

    try:
        asyncio.run(main())
        assert "100 changes were not written within 0.01 s" in caplog.text
    finally:
        release.set()
    assert not storage_threads()

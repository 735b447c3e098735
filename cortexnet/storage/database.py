"""What is written behind: changes wait in a dictionary, the latest of each key, for one thread that writes them. A shell.

The loop never waits for the disk: `put` only notes a change. What waits is bounded by the keys there are, in memory and on
disk, however long the disk is full or slow. A write that fails is tried again, later each time; nothing is forgotten meanwhile.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, final

from cortexnet.errors import NotRunning, StorageFailed
from cortexnet.storage.sqlite_file import Rows, SqliteFile

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WRITE_INTERVAL = 1.0
"""Seconds from the end of a write to the next: a page that many changes are on is written once for all of them."""
BATCH_SIZE = 4 * 1024 * 1024
"""Bytes that wait, above which the next write comes at once: some 20,000 changes, which take the loop 10 ms in one piece."""
FIRST_RETRY = 0.5
"""Seconds from a write that failed to the next try; twice as long each time, up to `LAST_RETRY`."""
LAST_RETRY = 60.0
"""Seconds between tries in the end: a person who has made room does not want to wait longer."""

OPEN_CLOSE_TIMEOUT = 2.0
"""Seconds to wait for the end of an opening that was cancelled; on a slower disk its thread closes the file later."""


@final
class Database:
    """A `SqliteFile` behind its writer. Opened, used and closed in one event loop."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.failure: StorageFailed | None = None
        """Why the last write has failed; None where it has not. What is not written is kept in memory, and tried again."""
        self._loop = asyncio.get_running_loop()
        self._file = SqliteFile(path)
        self._thread: ThreadPoolExecutor | None = None
        self._pending: dict[tuple[str, bytes], bytes | None] = {}
        self._in_flight: dict[tuple[str, bytes], bytes | None] = {}
        self._size = 0  # what was put since the last write began
        self._stored: set[tuple[str, bytes]] = set()  # the keys that are in the file
        self._writing: asyncio.Future[None] | None = None
        self._timer: asyncio.Handle | None = None
        self._retry = FIRST_RETRY
        self._not_before = float("-inf")
        self._is_open = False

    @property
    def backlog(self) -> int:
        """Changes that are not in the file yet."""
        return len(self._pending.keys() | self._in_flight.keys())

    async def open(self) -> Rows:
        """Open the file, and read what is in it. Raises StorageFailed. Cancelled: it is closed again, which is waited for."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cortexnet-storage")
        opening = self._run(self._file.open)
        try:
            rows = await asyncio.shield(opening)
        except BaseException:
            await asyncio.wait([self._end_thread()], timeout=OPEN_CLOSE_TIMEOUT)  # or who tries again at once finds it locked
            raise
        self._stored = {(table, key) for table, values in rows.items() for key in values}
        self._is_open = True
        return rows

    def put(self, table: str, key: bytes, value: bytes | None) -> None:
        """Write a value in place of the one before, or remove it (None), within some `WRITE_INTERVAL`.

        Nothing happens on a closed database.
        """
        if not self._is_open:
            return
        place = (table, key)
        if value is None and place not in self._stored and place not in self._in_flight:
            self._pending.pop(place, None)  # it came and went in between
            return
        self._pending[place] = value
        self._size += len(key) + len(value or b"")
        self._write_soon()

    def has(self, table: str, key: bytes) -> bool:
        """Whether there is a row in the file, or may come to be by what was put so far."""
        place = (table, key)
        return place in self._stored or place in self._in_flight or self._pending.get(place) is not None

    async def flush(self) -> None:
        """Wait until all that was put before is in the file: from then on the end of the process takes nothing of it.

        Raises StorageFailed where that fails, and NotRunning on a closed database. Cancelled: writing goes on.
        """
        if not self._is_open:
            raise NotRunning(f"{self.path} is not open")
        if self._writing is not None:  # it may have begun before the last change
            await asyncio.wait([self._writing])
        if self._pending and self._writing is None:
            self._write()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        if self.failure is not None and self._pending:
            raise self.failure.with_traceback(None)  # else it grows with each time it is raised

    async def close(self, timeout: float) -> None:
        """Write what waits, and close the file. After `timeout` seconds the rest is left to the thread.

        What can't be written is named in a warning. Cancelled: the same, without waiting for it.
        """
        if not self._is_open:
            return
        try:
            async with asyncio.timeout(timeout):
                await self.flush()
        except StorageFailed as error:
            log.warning("%d changes could not be kept: %s", self.backlog, error)
        except TimeoutError:
            log.warning("%s: %d changes were not written within %g s", self.path, self.backlog, timeout)
        finally:
            self._is_open = False
            self._cancel_timer()
            closed = self._end_thread()
        await asyncio.wait([closed], timeout=timeout)

    def _write_soon(self) -> None:
        is_much = self._size > BATCH_SIZE and self.failure is None
        if self._writing is not None or (self._timer is not None and not is_much):
            return
        self._cancel_timer()
        delay = 0.0 if is_much else self._not_before - self._loop.time()
        self._timer = self._loop.call_later(delay, self._write) if delay > 0 else self._loop.call_soon(self._write)

    def _write(self) -> None:
        """Give all that waits to the thread, in one transaction."""
        self._cancel_timer()
        self._in_flight, self._pending, self._size = self._pending, {}, 0
        self._writing = self._run(self._file.write, self._in_flight)
        self._writing.add_done_callback(self._written)

    def _written(self, writing: asyncio.Future[None]) -> None:
        changes, self._in_flight, self._writing = self._in_flight, {}, None
        error = None if writing.cancelled() else writing.exception()
        if error is not None and not isinstance(error, StorageFailed):
            raise error  # a bug of ours: the loop tells it
        if error is None:
            self._succeeded(changes)
        else:
            self._failed(changes, error)
        self._not_before = self._loop.time() + self._delay()
        if self._pending and self._is_open:
            self._write_soon()

    def _succeeded(self, changes: dict[tuple[str, bytes], bytes | None]) -> None:
        for place, value in changes.items():
            if value is None:
                self._stored.discard(place)
            else:
                self._stored.add(place)
        if self.failure is not None:
            log.warning("%s is written again", self.path)
        self.failure, self._retry = None, FIRST_RETRY

    def _failed(self, changes: dict[tuple[str, bytes], bytes | None], error: StorageFailed) -> None:
        """What is newer by now counts; a removal of what never came into the file is done with."""
        for place, value in changes.items():
            if value is not None or place in self._stored:
                self._pending.setdefault(place, value)
        for place in [place for place, value in self._pending.items() if value is None and place not in self._stored]:
            del self._pending[place]
        if self.failure is None:
            log.warning("what is new is kept in memory only: %s", error)
        self.failure = error

    def _delay(self) -> float:
        if self.failure is None:
            return WRITE_INTERVAL
        delay, self._retry = self._retry, min(2 * self._retry, LAST_RETRY)
        return delay

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self, job: "Callable[[*Ts], T]", *args: *Ts) -> asyncio.Future[T]:
        assert self._thread is not None  # from `open` on
        return self._loop.run_in_executor(self._thread, job, *args)

    def _end_thread(self) -> asyncio.Future[None]:
        """Close the file behind all jobs, and let the thread end."""
        closed = self._run(self._close_file)
        assert self._thread is not None
        self._thread.shutdown(wait=False)
        return closed

    def _close_file(self) -> None:
        try:
            self._file.close()
        except StorageFailed as error:
            log.warning("%s", error)

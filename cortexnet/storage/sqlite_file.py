"""The SQLite file: tables that map bytes to bytes, checked when they are read. A shell; used in one thread at a time.

Each row has a checksum, since SQLite looks at the structure of its pages, not at what is in them. A damaged file is moved aside,
and whatever can still be read of it goes into a fresh one. The file is locked as long as it is open, so that two nodes never
share one.
"""

import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, final

from cortexnet.errors import StorageFailed

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger(__name__)

Rows = dict[str, dict[bytes, bytes]]
"""Of each table its values by key, those that were written first come first; see `SCATTERED` for those of one write."""
Changes = Mapping[tuple[str, bytes], bytes | None]
"""By table and key the new value; None removes it."""

_FIRST_TABLES = ("peers", "rules")
_KAD_TABLES = ("kad_values", "kad_providers", "kad_hints", "kad_reprovide")
REPUTATION_TABLES = ("reputation", "reputation_networks")
TABLES = (*_FIRST_TABLES, *_KAD_TABLES, *REPUTATION_TABLES)
SCATTERED = ("kad_values", "kad_providers")
"""Tables whose new rows are written in the order of their keys. Many come at once, their keys are hashes, and in any other order
each would have a page of the index written for itself; their values know their times."""
_TABLE = "CREATE TABLE {} (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL, checksum INTEGER NOT NULL)"
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    tuple(_TABLE.format(table) for table in _FIRST_TABLES),
    tuple(_TABLE.format(table) for table in _KAD_TABLES),
    tuple(_TABLE.format(table) for table in REPUTATION_TABLES),
)
"""What makes of each version the next one, beginning with an empty file."""
_APPLICATION = 0x43580000  # "CX" in the upper half of the file's application id; the version stands in the lower one too
_FRESH = ".fresh"
_ENDINGS = ("-wal", "-shm", "-journal", "")  # of the files that SQLite may make, ours last
_LOCK_TIMEOUT = 1.0  # seconds; a node that was told to stop just now may still be closing its file
_HEADER_SIZE = 100
_PAGES_LIMIT = 512  # KiB of the file kept in memory, SQLite's 2 MiB are no faster here: rows are read once, at the start
_JOURNAL_LIMIT = 4 * 1024 * 1024  # bytes that stay of the file beside ours after a large transaction

# Primary result codes of SQLite.
_ERROR, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _NOTADB = 1, 5, 6, 8, 10, 11, 13, 14, 26
_DAMAGED = (_ERROR, _CORRUPT, _NOTADB)  # a plain error: a table is missing, or is none of ours
_MEANINGS = {
    _BUSY: "another node has this file: two nodes can't share a state directory, so stop that one, or give this one its own",
    _FULL: "the disk is full: make room; until then nothing new is kept",
    _READONLY: "it, its folder or its file system is read-only: who may write the file and its folder?",
    _CANTOPEN: "it can't be opened: is its folder there, and who may write to it?",
    _IOERR: "the disk fails to read or to write it",
    _CORRUPT: "it is damaged; the next start moves it aside, and keeps what can be read of it",
}
_MEANINGS |= {_LOCKED: _MEANINGS[_BUSY], _NOTADB: _MEANINGS[_CORRUPT]}


class _Damaged(Exception):
    """The file is not as it was written; says in what."""


@final
class SqliteFile:
    """One file, its rows in `TABLES`. Nothing happens before `open`. Every method blocks, and raises StorageFailed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def open(self) -> Rows:
        """Open the file, made where there is none, readable by its owner alone; what is in it."""
        with self._translated():
            if not os.path.lexists(self.path):
                with suppress(FileNotFoundError):
                    os.rename(self.path + _FRESH, self.path)  # an earlier start ended just before this
            _create(self.path)
            try:
                return self._open()
            except _Damaged as damage:
                return self._begin_anew(str(damage))

    def write(self, changes: Changes) -> None:
        """Make all of the changes, or none. What is written outlives the process; a power cut may take the last of it."""
        assert self._connection is not None  # it was opened
        with self._translated():
            self._write(self._connection, changes)

    def close(self) -> None:
        """Close it; nothing happens where it is not open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with self._translated():
                connection.close()

    def _open(self) -> Rows:
        if 0 < os.path.getsize(self.path) < _HEADER_SIZE:
            raise _Damaged("it is too short")
        connection = _connect(self.path)
        try:
            with _damage_told():
                _lock(connection)
                _migrate(connection, self.path)
                rows = _read(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return rows

    def _begin_anew(self, damage: str) -> Rows:
        """Begin a fresh file with what can be read of a damaged one, and move that aside.

        In this order: where there is no room for the fresh one, the other stays where it is, and the next start tries again.
        """
        rows = _salvage(self.path)
        kept = {(table, key): value for table, values in rows.items() for key, value in values.items()}
        fresh = SqliteFile(self.path + _FRESH)
        for ending in _ENDINGS:
            with suppress(FileNotFoundError):
                os.unlink(fresh.path + ending)  # of a start that did not come to its end
        try:
            fresh.open()
            fresh.write(kept)
        finally:
            fresh.close()
        aside = _move_aside(self.path)
        os.rename(fresh.path, self.path)
        self._open()
        message = "%s is damaged (%s): it was moved to %s; %d entries could be read and are kept"
        log.warning(message, self.path, damage, aside, len(kept))
        return rows

    def _write(self, connection: "sqlite3.Connection", changes: Changes) -> None:
        new: dict[str, list[tuple[bytes, bytes, int]]] = {table: [] for table in TABLES}
        gone: dict[str, list[tuple[bytes]]] = {table: [] for table in TABLES}
        for (table, key), value in changes.items():
            if value is None:
                gone[table].append((key,))
            else:
                new[table].append((key, value, _checksum(key, value)))
        for table in SCATTERED:
            gone[table].sort(key=itemgetter(0))
            new[table].sort(key=itemgetter(0))
        with _transaction(connection):
            for table in TABLES:
                connection.executemany(f"DELETE FROM {table} WHERE key = ?", gone[table])
                # It takes the place of the row before, but behind all others: rows are in the order of their last change.
                connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", new[table])

    def _meaning(self, error: "sqlite3.Error") -> str:
        """What is wrong. SQLite opens for reading what it must not write, and then its lock fails: to it, the disk does."""
        code = _code(error)
        if code == _IOERR and os.path.exists(self.path) and not os.access(self.path, os.W_OK):
            return _MEANINGS[_READONLY]
        meaning = _MEANINGS.get(code, "it can't be used")
        return f"{meaning} ({error})"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import sqlite3  # on first use: it takes 10 ms, and most programs keep nothing

        try:
            yield
        except sqlite3.Error as error:
            raise StorageFailed(self._meaning(error), path=self.path) from error
        except _Damaged as damage:  # also what was begun anew
            raise StorageFailed(f"it can't be used: {damage}", path=self.path) from damage
        except StorageFailed:
            raise
        except OSError as error:
            raise StorageFailed(f"it can't be used: {error.strerror or error}", path=self.path) from error
        except ValueError as error:  # a zero byte in the name
            raise StorageFailed(f"no file has such a name: {error}", path=self.path) from error


def _create(path: str) -> None:
    """Make the file, for its owner alone; SQLite gives the files beside it the same mode.

    One that is there is not opened: to close it would drop all locks that this process, another node of it, has on it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _connect(path: str) -> "sqlite3.Connection":
    import sqlite3

    connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None)
    connection.text_factory = bytes  # where damage has made a text of a value, it is not to be decoded
    return connection


def _lock(connection: "sqlite3.Connection") -> None:
    """Keep others out until the connection is closed, or the process ends in whatever way. And set how it is written."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{_PAGES_LIMIT}")
    connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT}")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")


def _migrate(connection: "sqlite3.Connection", path: str) -> None:
    version = int(_pragma(connection, "user_version"))
    application = int(_pragma(connection, "application_id"))
    if application != (_APPLICATION | version if version else 0):
        raise _Damaged("its version is told in two ways, or it is no file of ours")
    if version > len(MIGRATIONS):
        message = f"a newer release has written it (version {version}, this one knows {len(MIGRATIONS)}): use that one"
        raise StorageFailed(message, path=path)
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        with _transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION | number}")
            connection.execute(f"PRAGMA user_version = {number}")


def _read(connection: "sqlite3.Connection") -> Rows:
    """All rows. Raises _Damaged."""
    verdict = _pragma(connection, "quick_check(1)")
    if verdict != b"ok":
        raise _Damaged(str(verdict)[:200])
    rows: Rows = {}
    for table in TABLES:
        rows[table] = {}
        for row in connection.execute(f"SELECT key, value, checksum FROM {table} ORDER BY rowid"):
            if not _is_whole(*row):
                raise _Damaged(f"an entry of {table} is not as it was written")
            rows[table][row[0]] = row[1]
    return rows


def _salvage(path: str) -> Rows:
    """Whatever can be read: from the front up to where it breaks, then from the back."""
    import sqlite3

    rows: Rows = {table: {} for table in TABLES}
    connection = _connect(path)
    try:
        for table in TABLES:
            for order in ("ASC", "DESC"):
                with suppress(sqlite3.DatabaseError, UnicodeDecodeError):
                    for row in connection.execute(f"SELECT key, value, checksum FROM {table} ORDER BY rowid {order}"):
                        if _is_whole(*row):
                            rows[table].setdefault(row[0], row[1])
    finally:
        connection.close()
    return rows


def _move_aside(path: str) -> str:
    """Give a file, and what SQLite keeps beside it, the first name that is free."""
    for number in count(1):
        aside = f"{path}.damaged-{number}"
        if not os.path.lexists(aside):
            break
    for ending in _ENDINGS:
        if os.path.lexists(path + ending):
            os.rename(path + ending, aside + ending)
    return aside


@contextmanager
def _transaction(connection: "sqlite3.Connection") -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


@contextmanager
def _damage_told() -> Iterator[None]:
    import sqlite3

    try:
        yield
    except UnicodeDecodeError as error:  # of the message: it names a table whose name is damaged
        raise _Damaged("a name in it is no text") from error
    except sqlite3.DatabaseError as error:
        if _code(error) in _DAMAGED:
            raise _Damaged(str(error)) from error
        raise


def _pragma(connection: "sqlite3.Connection", name: str) -> int | bytes:
    value: int | bytes = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _checksum(key: bytes, value: bytes) -> int:
    return zlib.crc32(value, zlib.crc32(key))


def _is_whole(key: object, value: object, checksum: object) -> bool:
    """Whether a row is as it was written; damage can change also the kind of a value."""
    return isinstance(key, bytes) and isinstance(value, bytes) and checksum == _checksum(key, value)


def _code(error: "sqlite3.Error") -> int:
    """SQLite's primary result code; 0 where the error is one of Python's own module."""
    return int(vars(error).get("sqlite_errorcode", 0)) & 0xFF

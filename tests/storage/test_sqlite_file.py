"""The file: what was written comes back, one owner at a time, and no damage goes unnoticed or takes more than it has hit."""

import errno
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cortexnet.errors import StorageFailed
from cortexnet.storage import sqlite_file
from cortexnet.storage.sqlite_file import MIGRATIONS, SCATTERED, TABLES, Changes, Rows, SqliteFile

NOTHING: Rows = {table: {} for table in TABLES}


def path_in(folder: Path) -> str:
    return str(folder / "state.sqlite")


def written(path: str, count: int = 200) -> Rows:
    """A file with so many entries in each table; what is in it."""
    file = SqliteFile(path)
    file.open()
    rows = {table: {f"{table} {number}".encode(): bytes([number % 256]) * 90 for number in range(count)} for table in TABLES}
    file.write({(table, key): value for table, values in rows.items() for key, value in values.items()})
    file.close()
    return rows


def opened(path: str) -> Rows:
    file = SqliteFile(path)
    try:
        return file.open()
    finally:
        file.close()


def damaged_ones(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".damaged-" in path.name)


def test_what_was_written_comes_back_in_the_order_it_was_written_last(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    file = SqliteFile(path)
    assert file.open() == NOTHING
    file.write({("peers", b"a"): b"1", ("peers", b"b"): b"2", ("rules", b"a"): b"", ("peers", b"gone"): b"3"})
    file.write({("peers", b"a"): b"4", ("peers", b"gone"): None, ("peers", b"never there"): None})
    file.close()
    file.close()
    rows = opened(path)
    assert rows == NOTHING | {"peers": {b"a": b"4", b"b": b"2"}, "rules": {b"a": b""}}
    assert list(rows["peers"]) == [b"b", b"a"]


def test_rows_whose_keys_are_hashes_are_written_in_the_order_of_their_keys(tmp_path: Path) -> None:
    """So each page of the index is written once for all of them."""
    path = path_in(tmp_path)
    file = SqliteFile(path)
    file.open()
    for keys in (b"bdac", b"eb"):
        file.write({(table, bytes([key])): b"" for table in TABLES for key in keys})
    file.close()
    for table, rows in opened(path).items():
        assert b"".join(rows) == (b"acdbe" if table in SCATTERED else b"daceb")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere files have no such modes")
def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        file = SqliteFile(path_in(tmp_path))
        file.open()
        file.write({("peers", b"a"): b"1"})
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        file.close()
    finally:
        os.umask(umask)
    assert modes == {"state.sqlite": 0o600, "state.sqlite-wal": 0o600}


def test_a_second_opener_is_told_what_to_do_and_the_first_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_LOCK_TIMEOUT", 0.0)
    path = path_in(tmp_path)
    written(path, 1)  # a file that is there already is locked as well as a new one
    first = SqliteFile(path)
    first.open()
    with pytest.raises(StorageFailed, match="two nodes can't share a state directory") as caught:
        SqliteFile(path).open()
    assert caught.value.path == path
    other = (
        "import sys; from cortexnet.storage.sqlite_file import SqliteFile\n"
        "try: SqliteFile(sys.argv[1]).open()\n"
        "except OSError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", other, path], capture_output=True, text=True, check=True)
    assert "two nodes can't share a state directory" in done.stdout
    first.write({("peers", b"a"): b"1"})
    first.close()
    assert opened(path)["peers"][b"a"] == b"1"
    assert damaged_ones(tmp_path) == []


def test_a_full_disk_is_told_leaves_nothing_half_done_and_can_be_tried_again(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    rows = written(path, 50)
    file = SqliteFile(path)
    file.open()
    assert file._connection is not None
    pages = file._connection.execute("PRAGMA page_count").fetchone()[0]
    file._connection.execute(f"PRAGMA max_page_count = {pages}")
    changes: dict[tuple[str, bytes], bytes | None] = {("peers", bytes([number])): bytes(4_000) for number in range(50)}
    changes["peers", b"peers 0"] = None
    with pytest.raises(StorageFailed, match="the disk is full: make room"):
        file.write(changes)
    file._connection.execute("PRAGMA max_page_count = 1000000")
    file.write({("rules", b"one"): b"more"})
    file.close()
    again = opened(path)
    assert again["peers"] == rows["peers"], "all of the changes or none"
    assert again["rules"] == rows["rules"] | {b"one": b"more"}
    file = SqliteFile(path)
    file.open()
    file.write(changes)
    file.close()
    assert len(opened(path)["peers"]) == 99


@pytest.mark.parametrize("where", ["missing/state.sqlite", "file/state.sqlite", ".", "\0"])
def test_a_place_that_can_not_be_used_is_named(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = f"{tmp_path}/{where}"
    with pytest.raises(StorageFailed) as caught:
        SqliteFile(path).open()
    assert caught.value.path == path


def test_a_file_that_must_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_in(tmp_path)
    written(path)
    before = Path(path).read_bytes()
    # The superuser may write to everything: so the refusal is SQLite's own.
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **options: connect(f"file:{path}?mode=ro", uri=True, **options))
    with pytest.raises(StorageFailed, match="the disk fails"):  # it may be written, and so this is not why
        SqliteFile(path).open()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageFailed, match=r"its file system is read-only: who may write the file and its folder\?$"):
        SqliteFile(path).open()
    assert (Path(path).read_bytes(), damaged_ones(tmp_path)) == (before, [])
    monkeypatch.undo()
    file = SqliteFile(path)
    file.open()
    assert file._connection is not None
    file._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageFailed, match="who may write the file and its folder"):
        file.write({("peers", b"a"): b"1"})
    file.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_file_whose_mode_forbids_to_write_it_is_told_as_such(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    written(path)
    Path(path).chmod(0o400)
    with pytest.raises(StorageFailed, match="its file system is read-only: who may write"):
        SqliteFile(path).open()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_must_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageFailed):
            SqliteFile(path_in(tmp_path)).open()
    finally:
        tmp_path.chmod(0o700)


def test_a_disk_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(sqlite_file, "_create", fail)
    with pytest.raises(StorageFailed, match="can't be used: Input/output error"):
        SqliteFile(path_in(tmp_path)).open()


def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    written(path)
    newer = len(MIGRATIONS) + 1
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {sqlite_file._APPLICATION | newer}")
        connection.execute(f"PRAGMA user_version = {newer}")
    connection.close()
    before = Path(path).read_bytes()
    with pytest.raises(StorageFailed, match="a newer release has written it"):
        SqliteFile(path).open()
    assert (Path(path).read_bytes(), damaged_ones(tmp_path)) == (before, [])


def test_an_older_file_gets_what_newer_releases_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = path_in(tmp_path)
    rows = written(path)
    more = (*MIGRATIONS, ("CREATE TABLE more (key BLOB)",))
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", more)
    assert opened(path) == rows
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(more),)
        assert connection.execute("SELECT * FROM more").fetchall() == []
    connection.close()


@pytest.mark.parametrize("content", [b"garbage" * 100, b"x", bytes(5_000), b"SQLite format 3\0" + bytes(84)])
def test_a_file_that_is_none_is_moved_aside_with_a_warning(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = path_in(tmp_path)
    for number in (1, 2):
        Path(path).write_bytes(content)
        assert opened(path) == NOTHING
        assert caplog.records[-1].levelname == "WARNING"
        assert f"it was moved to {path}.damaged-{number}; 0 entries" in caplog.text
    assert damaged_ones(tmp_path) == ["state.sqlite.damaged-1", "state.sqlite.damaged-2"]
    assert (tmp_path / "state.sqlite.damaged-1").read_bytes() == content


def test_a_database_of_another_program_is_moved_aside(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (a)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert opened(path) == NOTHING
    assert damaged_ones(tmp_path) == ["state.sqlite.damaged-1"]


def test_an_entry_that_was_changed_is_noticed_and_the_others_are_kept(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    rows = written(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE rules SET value = X'00' WHERE key = ?", (b"rules 7",))
        connection.execute("UPDATE peers SET value = 'text' WHERE key = ?", (b"peers 9",))
    connection.close()
    del rows["rules"][b"rules 7"], rows["peers"][b"peers 9"]
    assert opened(path) == rows
    assert damaged_ones(tmp_path) == ["state.sqlite.damaged-1"]
    assert opened(path) == rows, "from then on the fresh one is used"
    assert damaged_ones(tmp_path) == ["state.sqlite.damaged-1"]


def test_where_there_is_no_room_for_a_fresh_file_the_damaged_one_stays_until_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_in(tmp_path)
    rows = written(path)
    content = bytearray(Path(path).read_bytes())
    content[content.index(bytes([9]) * 90)] ^= 1  # in the value of some row
    Path(path).write_bytes(content)

    def full(file: SqliteFile, changes: Changes) -> None:
        raise StorageFailed("the disk is full", path=file.path)

    with monkeypatch.context() as patched:
        patched.setattr(SqliteFile, "write", full)
        for _ in range(2):
            with pytest.raises(StorageFailed, match="the disk is full"):
                SqliteFile(path).open()
    assert (Path(path).read_bytes(), damaged_ones(tmp_path)) == (content, [])
    found = opened(path)
    assert damaged_ones(tmp_path) == ["state.sqlite.damaged-1"]
    assert sum(map(len, found.values())) == sum(map(len, rows.values())) - 1
    assert not (tmp_path / "state.sqlite.fresh").exists()


def test_a_start_that_ended_just_before_the_fresh_file_got_its_name_is_brought_to_its_end(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    rows = written(path)
    os.rename(path, path + ".fresh")
    assert opened(path) == rows
    assert [file.name for file in tmp_path.iterdir()] == ["state.sqlite"]


@pytest.mark.parametrize("seed", range(6))
def test_bytes_changed_anywhere_are_noticed_and_cost_no_more_than_their_page(seed: int, tmp_path: Path) -> None:
    path, chance = path_in(tmp_path), random.Random(seed)
    rows = written(path)
    whole = Path(path).read_bytes()
    kept = 0
    for _ in range(25):
        content = bytearray(whole)
        for _ in range(chance.choice([1, 1, 4])):
            content[chance.randrange(len(content))] ^= chance.randint(1, 255)
        Path(path).write_bytes(content)
        found = opened(path)
        for table, values in found.items():
            assert values.items() <= rows[table].items(), "nothing is made up"
        if damaged_ones(tmp_path):
            (aside,) = damaged_ones(tmp_path)
            os.unlink(tmp_path / aside)
        else:
            assert found == rows, "if nothing is noticed, nothing is lost"
        assert opened(path) == found
        assert damaged_ones(tmp_path) == []
        kept += found == rows or sum(map(len, found.values())) > 200
    assert kept > 12, "as a rule most of it can be read"


@pytest.mark.parametrize("size", [0, 1, 99, 100, 512, 4096, 4097, 8192, 20_000])
def test_a_file_that_was_cut_short_is_noticed(size: int, tmp_path: Path) -> None:
    path = path_in(tmp_path)
    rows = written(path)
    os.truncate(path, size)
    found = opened(path)
    for table, values in found.items():
        assert values.items() <= rows[table].items()
    assert bool(damaged_ones(tmp_path)) == (size > 0), "an empty file is one that nothing was written to yet"


def test_what_a_killed_process_left_beside_the_file_is_taken_in(tmp_path: Path) -> None:
    alive, dead = path_in(tmp_path), str(tmp_path / "dead.sqlite")
    file = SqliteFile(alive)
    file.open()
    file.write({("peers", b"a"): b"1"})
    for ending in ("", "-wal"):
        shutil.copy(alive + ending, dead + ending)
    file.close()
    assert opened(dead)["peers"] == {b"a": b"1"}
    assert damaged_ones(tmp_path) == []

"""The state directory: what is kept from one run to the next, and what happens where it can't be."""

import asyncio
import logging
import os
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cortexnet.admission.access_rules import AccessRules, Rule
from cortexnet.admission.limits import Limits
from cortexnet.errors import NotRunning, StorageFailed
from cortexnet.identity.peer_id import PeerId
from cortexnet.multiformats.multiaddr import Multiaddr
from cortexnet.storage import storage as storage_module
from cortexnet.storage.database import WRITE_INTERVAL, Database
from cortexnet.storage.peerstore_store import SLICE, WRITE_DELAY
from cortexnet.storage.sqlite_file import Changes, SqliteFile
from cortexnet.storage.storage import FILE_NAME, Storage
from cortexnet.swarm.peerstore import ADDRESS_TTL, CONNECTED_TTL, RECENTLY_CONNECTED_TTL, TEMPORARY_TTL, Peerstore

PEERS = [PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big")) for number in range(200)]
A, B = PEERS[:2]


def at(*numbers: int) -> list[Multiaddr]:
    return [Multiaddr.parse(f"/ip4/1.2.3.4/tcp/{number + 1}") for number in numbers]


class Run:
    """One run of a node, as far as its storage goes."""

    def __init__(self, limits: Limits) -> None:
        self.peerstore = Peerstore(limits)
        self.rules = AccessRules(limit=limits.access_rules)
        self.storage: Storage

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def run_in(folder: Path, limits: Limits | None = None) -> AsyncIterator[Run]:
    run = Run(limits or Limits())
    run.storage = await Storage.open(str(folder), run.peerstore, run.rules, unix=lambda: time.time())
    try:
        yield run
    finally:
        await run.storage.close()


@pytest.fixture
def unix(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The wall clock; a test sets what it shows."""
    shown = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: shown[0])
    return shown


async def test_a_node_knows_where_its_peers_are_after_a_restart(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.peerstore.add_addresses(A, at(0, 1), TEMPORARY_TTL, run.now)
        run.peerstore.mark_connected(B)
        run.peerstore.add_addresses(B, at(2), CONNECTED_TTL, run.now)
        run.peerstore.set_protocols(B, ["/a"])
        run.peerstore.set_metadata(B, "friend", True)
    async with run_in(tmp_path) as run:
        assert run.peerstore.addresses(A, run.now) == at(0, 1)
        assert run.peerstore.addresses(B, run.now) == at(2)
        assert (run.peerstore.protocols(B), run.peerstore.metadata(B)) == ({"/a"}, {"friend": True})
        assert not run.peerstore.is_connected(B)


async def test_what_is_forgotten_stays_so(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for peer in (A, B):
            run.peerstore.add_addresses(peer, at(0), TEMPORARY_TTL, run.now)
    async with run_in(tmp_path) as run:
        run.peerstore.forget(A)
    async with run_in(tmp_path) as run:
        assert run.peerstore.peers() == [B]


async def test_times_run_on_while_no_node_does(tmp_path: Path, unix: list[float]) -> None:
    async with run_in(tmp_path) as run:
        run.peerstore.add_addresses(A, at(0), 100.0, run.now)
        run.peerstore.add_addresses(B, at(0), 50.0, run.now)
        run.peerstore.mark_connected(PEERS[2])
        run.peerstore.add_addresses(PEERS[2], at(3), CONNECTED_TTL, run.now)
    unix[0] += 60.0
    async with run_in(tmp_path) as run:
        assert run.peerstore.peers() == [PEERS[2], A]
        assert run.peerstore.addresses(A, run.now + 39.0) == at(0)
        assert run.peerstore.addresses(A, run.now + 41.0) == []
    unix[0] += 30 * 24 * 3_600.0
    async with run_in(tmp_path) as run:
        assert run.peerstore.addresses(PEERS[2], run.now) == [], "it was not connected in the run before"


async def test_who_was_connected_at_the_end_is_known_however_long_the_pause(tmp_path: Path, unix: list[float]) -> None:
    async with run_in(tmp_path) as run:
        run.peerstore.mark_connected(A)
        run.peerstore.add_addresses(A, at(0), CONNECTED_TTL, run.now)
        await run.storage.freeze()
        run.peerstore.mark_disconnected(A, run.now)
    unix[0] += 30 * 24 * 3_600.0
    async with run_in(tmp_path) as run:
        known = run.peerstore.known(A, run.now)
        assert known is not None
        assert run.peerstore.addresses(A, run.now + RECENTLY_CONNECTED_TTL - 1) == at(0)
        assert known.last_seen == pytest.approx(run.now - 30 * 24 * 3_600.0, abs=1)
    unix[0] += ADDRESS_TTL
    async with run_in(tmp_path) as run:
        assert A not in run.peerstore, "its time began with the start"


async def test_what_changes_often_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Changes] = []
    write = SqliteFile.write

    def recorded(file: SqliteFile, changes: Changes) -> None:
        written.append(changes)
        write(file, changes)

    monkeypatch.setattr(SqliteFile, "write", recorded)
    async with run_in(tmp_path) as run:
        for number in range(100):
            run.peerstore.add_addresses(A, at(number), TEMPORARY_TTL, run.now)
        await asyncio.sleep(WRITE_DELAY / 2)
        assert written == []
        await asyncio.sleep(WRITE_DELAY)
        assert [list(changes) for changes in written] == [[("peers", bytes(A))]]


async def test_many_entries_are_written_and_taken_back_a_few_in_each_turn(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for peer in PEERS:
            run.peerstore.add_addresses(peer, at(0, 1), TEMPORARY_TTL, run.now)
        await asyncio.sleep(WRITE_DELAY)
        waiting = len(run.storage._peerstore._changed)
        assert 0 < waiting <= len(PEERS) - SLICE
        await asyncio.sleep(2 * WRITE_INTERVAL)
        assert (len(run.storage._peerstore._changed), run.storage.backlog) == (0, 0)
    run = Run(Limits())
    opening = asyncio.create_task(Storage.open(str(tmp_path), run.peerstore, run.rules))
    counts = set[int]()
    while not opening.done():
        counts.add(len(run.peerstore))
        await asyncio.sleep(0)
    assert len(counts) > len(PEERS) // SLICE
    assert run.peerstore.peers() == PEERS
    await (await opening).close()


async def test_rules_are_kept_with_reason_and_end(tmp_path: Path, unix: list[float]) -> None:
    rule = Rule.parse(f"deny 192.0.2.0/24 {unix[0] + 60.0} floods us")
    async with run_in(tmp_path) as run:
        run.rules.add(rule, unix[0])
        run.rules.add(Rule("allow", A, "a friend"), unix[0])
        run.rules.add(Rule("deny", B), unix[0])
        run.rules.remove("deny", B)
    async with run_in(tmp_path) as run:
        assert set(run.rules) == {rule, Rule("allow", A, "a friend")}
    unix[0] += 61.0
    for _ in range(2):
        async with run_in(tmp_path) as run:
            assert list(run.rules) == [Rule("allow", A, "a friend")]


async def test_a_rule_that_was_made_before_the_start_is_kept_and_goes_before_the_one_on_disk(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.rules.add(Rule("deny", A, "old"), 0.0)
        run.rules.add(Rule("deny", B), 0.0)
    run = Run(Limits())
    run.rules.add(Rule("deny", A, "new"), 0.0)
    await (await Storage.open(str(tmp_path), run.peerstore, run.rules)).close()
    for rules in (run.rules, (await reopened(tmp_path)).rules):
        assert set(rules) == {Rule("deny", A, "new"), Rule("deny", B)}


async def test_rules_that_change_while_those_on_disk_are_taken_back_are_kept_so(tmp_path: Path) -> None:
    """There may be thousands, taken back a few in each turn, and the application goes on meanwhile."""
    async with run_in(tmp_path) as run:
        for peer in PEERS:
            run.rules.add(Rule("deny", peer, "old"), 0.0)
    run = Run(Limits())
    opening = asyncio.create_task(Storage.open(str(tmp_path), run.peerstore, run.rules))
    while not len(run.rules):  # noqa: ASYNC110 (a turn is what is waited for)
        await asyncio.sleep(0)
    assert len(run.rules) < len(PEERS) - 3
    assert run.rules.remove("deny", PEERS[0])
    run.rules.add(Rule("deny", PEERS[-1], "new"), 0.0)
    run.rules.add(Rule("allow", A, "new"), 0.0)
    await (await opening).close()
    for rules in (run.rules, (await reopened(tmp_path)).rules):
        assert Rule("deny", PEERS[0], "old") not in set(rules)
        assert {Rule("deny", PEERS[-1], "new"), Rule("allow", A, "new"), Rule("deny", B, "old")} <= set(rules)
        assert len(rules) == len(PEERS)


async def test_what_was_known_before_the_start_is_kept_too(tmp_path: Path) -> None:
    run = Run(Limits())
    run.peerstore.add_addresses(A, at(0), TEMPORARY_TTL, run.now)
    run.peerstore.set_metadata(B, "friend", True)
    await (await Storage.open(str(tmp_path), run.peerstore, run.rules)).close()
    again = await reopened(tmp_path)
    assert (again.peerstore.peers(), again.peerstore.metadata(B)) == ([A], {"friend": True})


async def reopened(folder: Path) -> Run:
    async with run_in(folder) as run:
        return run


async def test_rules_above_the_limit_and_those_that_can_not_be_read_stay_on_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_in(tmp_path) as run:
        for peer in PEERS[:3]:
            run.rules.add(Rule("deny", peer), 0.0)
        run.storage._database.put("rules", b"odd", b"\xff")
        run.storage._database.put("rules", b"odder", b"refuse everybody")
    async with run_in(tmp_path, Limits(access_rules=2)) as run:
        assert len(run.rules) == 2
    assert len([record for record in caplog.records if "is left out" in record.getMessage()]) == 3
    assert len((await reopened(tmp_path)).rules) == 3


async def test_entries_that_can_not_be_read_stay_on_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with run_in(tmp_path) as run:
        run.peerstore.add_addresses(A, at(0), TEMPORARY_TTL, run.now)
        run.storage._database.put("peers", bytes(B), b"no entry")
    assert (await reopened(tmp_path)).peerstore.peers() == [A]
    assert "1 entries of the address book can't be read" in caplog.text
    database = Database(str(tmp_path / FILE_NAME))
    rows = await database.open()
    await database.close(1.0)
    assert rows["peers"][bytes(B)] == b"no entry"


async def test_limits_hold_for_what_comes_from_disk(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for peer in PEERS[:10]:
            run.peerstore.add_addresses(peer, at(0, 1, 2), TEMPORARY_TTL, run.now)
    for _ in range(2):
        run = Run(Limits(peerstore_peers=4, peerstore_addresses=1))
        storage = await Storage.open(str(tmp_path), run.peerstore, run.rules)
        await storage.close()
        assert run.peerstore.peers() == PEERS[6:10]
    run = await reopened(tmp_path)
    assert run.peerstore.peers() == PEERS[6:10], "the others are gone from disk as well"


async def test_all_that_has_changed_is_flushed_at_once(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.peerstore.add_addresses(A, at(0), TEMPORARY_TTL, run.now)
        run.rules.add(Rule("deny", B), 0.0)
        await run.storage.flush()
        assert (run.now, run.storage.backlog, run.storage.is_failing, run.storage.failure) == (0.0, 0, False, None)
    with pytest.raises(NotRunning):
        await run.storage.flush()


async def test_while_nothing_can_be_written_memory_is_right_and_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: SqliteFile, changes: Changes) -> None:
        raise StorageFailed("the disk is full", path=file.path)

    async with run_in(tmp_path) as run:
        with monkeypatch.context() as patched:
            patched.setattr(SqliteFile, "write", full)
            run.peerstore.add_addresses(A, at(0), 1e6, run.now)
            await asyncio.sleep(100.0)
            assert run.storage.is_failing
            assert str(run.storage.failure) == f"{run.storage.path}: the disk is full"
            assert run.peerstore.addresses(A, run.now) == at(0)
        await asyncio.sleep(100.0)
        assert not run.storage.is_failing
    assert (await reopened(tmp_path)).peerstore.peers() == [A]


async def test_a_directory_has_one_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexnet.storage.sqlite_file._LOCK_TIMEOUT", 0.0)
    async with run_in(tmp_path) as first:
        with pytest.raises(StorageFailed, match="two nodes can't share a state directory") as caught:
            async with run_in(tmp_path):
                pass
        assert caught.value.path == str(tmp_path / FILE_NAME)
        first.peerstore.add_addresses(A, at(0), TEMPORARY_TTL, first.now)
    assert (await reopened(tmp_path)).peerstore.peers() == [A]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere folders have no such modes")
async def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "a" / "b"
    async with run_in(folder):
        assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / FILE_NAME)] == [0o700, 0o600]
    assert caplog.records == []
    folder.chmod(0o770)
    with caplog.at_level(logging.WARNING):
        await reopened(folder)
    assert "others may write to the state directory" in caplog.text


async def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="the state directory can't be made") as caught:
        async with run_in(tmp_path / "file" / "state"):
            pass
    assert caught.value.path == str(tmp_path / "file" / "state")


@pytest.mark.parametrize("turns", range(0, 60, 3))
async def test_wherever_an_opening_is_cancelled_the_next_one_finds_all(turns: int, tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for peer in PEERS:
            run.peerstore.add_addresses(peer, at(0), TEMPORARY_TTL, run.now)
    run = Run(Limits())
    opening = asyncio.create_task(Storage.open(str(tmp_path), run.peerstore, run.rules))
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    done = await asyncio.gather(opening, return_exceptions=True)
    if isinstance(done[0], Storage):
        await done[0].close()
    again = await reopened(tmp_path)
    assert again.peerstore.peers() == PEERS


def test_the_end_of_a_node_has_time_for_it() -> None:
    assert Limits().node_close_timeout > storage_module.CLOSE_TIMEOUT


async def test_to_flush_ends_also_where_the_rest_was_written_meanwhile(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for peer in PEERS:
            run.peerstore.add_addresses(peer, at(0), TEMPORARY_TTL, run.now)
        await asyncio.gather(*[run.storage.flush() for _ in range(3)])
        assert run.storage.backlog == 0

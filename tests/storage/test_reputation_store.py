"""The ledger in the state directory: what is known outlives the node, and no clock that is set forgives anybody."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cortexnet import PeerId
from cortexnet.admission.access_rules import AccessRules
from cortexnet.admission.limits import Limits
from cortexnet.reputation.config import ReputationConfig
from cortexnet.reputation.ledger import Ledger
from cortexnet.reputation.subnets import Networks
from cortexnet.storage import reputation_store
from cortexnet.storage.reputation_store import MOMENT_INTERVAL, NETWORKS, PEERS, SLICE, URGENT_DELAY, WRITE_DELAY
from cortexnet.storage.sqlite_file import Changes, SqliteFile
from cortexnet.storage.storage import FILE_NAME, Storage
from cortexnet.swarm.peerstore import Peerstore

DAY = 86_400.0
CONFIG = ReputationConfig()
IDS = [PeerId(bytes([0x12, 32]) + number.to_bytes(32, "big")) for number in range(200)]
ALICE, BOB = IDS[:2]
HERE = "192.0.2.0/24"


class Run:
    """One run of a node, as far as its ledger goes. `unix` is the wall clock, which may be set."""

    unix = 1_800_000_000.0

    def __init__(self, storage: Storage, config: ReputationConfig = CONFIG) -> None:
        self.storage = storage
        self.store = storage.reputation()
        self.ledger, self.networks = Ledger(config), Networks(config)
        self._offset = self.store.time(CONFIG.downtime_limit) - asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time() + self._offset

    def offend(self, peer: PeerId, times: int = 1) -> None:
        for _ in range(times):
            self.ledger.violation(peer, self.now)
            self.networks.blame(HERE, self.now)


@asynccontextmanager
async def run_in(folder: Path, config: ReputationConfig = CONFIG) -> AsyncIterator[Run]:
    limits = Limits()
    rules = AccessRules(limit=limits.access_rules)
    storage = await Storage.open(str(folder), Peerstore(limits), rules, unix=lambda: Run.unix)
    try:
        run = Run(storage, config)
        await run.store.load(run.ledger, run.networks, lambda: run.now)
        storage.release()
        yield run
    finally:
        await storage.close()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "unix", 1_800_000_000.0)


def stored(folder: Path) -> dict[str, dict[bytes, bytes]]:
    file = SqliteFile(str(folder / FILE_NAME))
    rows = file.open()
    file.close()
    return rows


async def test_what_is_known_of_a_peer_outlives_the_node(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.offend(ALICE, 4)
        for seconds in (0.5, 0.25, 0.125):
            run.ledger.report(BOB, run.now, success=True, response_time=seconds)
        run.ledger.shared(BOB, run.now, given=1000, taken=10)
        before = [run.ledger.terms(peer, run.now) for peer in (ALICE, BOB)]
    async with run_in(tmp_path) as run:
        assert [run.ledger.terms(peer, run.now) for peer in (ALICE, BOB)] == before
        assert list(run.ledger) == [ALICE, BOB]
        assert run.ledger.quantile(BOB, 0.5) == 0.25
        assert run.networks.offences(HERE, run.now) == pytest.approx(4.0)
        run.ledger.forget(ALICE)
    async with run_in(tmp_path) as run:
        assert list(run.ledger) == [BOB]


@pytest.mark.parametrize(
    ("elsewhere", "left"),
    [(0.0, 40), (DAY / 2, 40 * 0.5**0.5), (DAY, 20), (365 * DAY, 20), (-365 * DAY, 40)],
    ids=["at once", "12 hours", "a day", "a clock a year ahead", "a clock a year behind"],
)
async def test_between_two_runs_a_day_at_most_goes_by(tmp_path: Path, elsewhere: float, left: float) -> None:
    async with run_in(tmp_path) as run:
        run.offend(ALICE, 4)
    Run.unix += elsewhere
    async with run_in(tmp_path) as run:
        assert run.ledger.score(ALICE, run.now) == pytest.approx(-left, rel=1e-3)
        assert run.networks.offences(HERE, run.now) == pytest.approx(left / 10, rel=1e-3)


async def test_while_the_node_runs_nobody_looks_at_the_clock_of_the_machine(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.offend(ALICE, 4)
        Run.unix += 365 * DAY
        await asyncio.sleep(DAY)
        assert run.ledger.score(ALICE, run.now) == pytest.approx(-20, rel=1e-3)
        Run.unix -= 365 * DAY
    async with run_in(tmp_path) as run:
        assert run.ledger.score(ALICE, run.now) == pytest.approx(-20, rel=1e-3)


async def test_how_long_a_node_has_run_is_known_also_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with run_in(tmp_path) as run:
        run.offend(ALICE, 4)
        await asyncio.sleep(2 * DAY)
        await run.storage.flush()
        monkeypatch.setattr(reputation_store.ReputationStore, "_put_moment", lambda self: None)
    monkeypatch.undo()
    async with run_in(tmp_path) as run:
        assert run.ledger.score(ALICE, run.now) == pytest.approx(-10, rel=0.02)


async def test_counts_are_written_some_time_later_and_bad_scores_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Changes] = []
    write = SqliteFile.write

    def note(self: SqliteFile, changes: Changes) -> None:
        written.append(dict(changes))
        write(self, changes)

    async with run_in(tmp_path) as run:
        await asyncio.sleep(1)
        monkeypatch.setattr(SqliteFile, "write", note)
        run.store.hurry()  # there is nothing
        run.ledger.report(ALICE, run.now, success=True)
        await asyncio.sleep(WRITE_DELAY - 1)
        run.ledger.report(ALICE, run.now, success=True)
        assert written == []
        await asyncio.sleep(2)
        assert [set(changes) for changes in written] == [{(PEERS, bytes(ALICE)), (NETWORKS, b"")}]
        written.clear()
        run.ledger.violation(BOB, run.now)
        run.store.hurry()
        run.store.hurry()
        await asyncio.sleep(URGENT_DELAY + 0.5)
        assert [set(changes) for changes in written] == [{(PEERS, bytes(BOB)), (NETWORKS, b"")}]
        written.clear()
        await asyncio.sleep(MOMENT_INTERVAL + 1)
        assert [set(changes) for changes in written] == [{(NETWORKS, b"")}]


async def test_a_large_ledger_is_read_and_written_in_many_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reputation_store, "TURN", -1.0)  # one entry a turn
    async with run_in(tmp_path) as run:
        for peer in IDS:
            run.ledger.report(peer, run.now, success=True)
        await asyncio.sleep(WRITE_DELAY + 5)
        assert run.storage.backlog == 0
        for peer in IDS[:100]:
            run.ledger.report(peer, run.now, success=True)
    monkeypatch.undo()
    assert len(stored(tmp_path)[PEERS]) == len(IDS) > 6 * SLICE
    async with run_in(tmp_path) as run:
        assert len(run.ledger) == len(IDS)


async def test_what_has_no_room_any_more_goes_from_the_disk_too(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        for peer in IDS[:10]:
            run.ledger.report(peer, run.now, success=True)
        run.offend(BOB)
    small = ReputationConfig(peers=3)
    async with run_in(tmp_path, small) as run:
        assert len(run.ledger) == 4
    assert len(stored(tmp_path)[PEERS]) == 4


async def test_what_cannot_be_read_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with run_in(tmp_path) as run:
        run.offend(ALICE)
    file = SqliteFile(str(tmp_path / FILE_NAME))
    file.open()
    file.write({(PEERS, bytes(BOB)): b"?", (PEERS, b"nobody"): b"", (NETWORKS, b"\xff"): b"", (NETWORKS, b""): b"?"})
    file.close()
    with caplog.at_level(logging.WARNING):
        async with run_in(tmp_path) as run:
            assert list(run.ledger) == [ALICE]
            assert run.now == pytest.approx(0.0, abs=1.0), "when the last run ended is not known"
            assert run.ledger.score(ALICE, run.now + DAY) == pytest.approx(-5, rel=1e-3), "and it is forgiven all the same"
    assert "3 entries of the ledger can't be read" in caplog.text
    assert stored(tmp_path)[PEERS].keys() == {bytes(ALICE), bytes(BOB), b"nobody"}


async def test_a_node_without_reputation_keeps_what_another_run_knew(tmp_path: Path) -> None:
    async with run_in(tmp_path) as run:
        run.offend(ALICE, 4)
    limits = Limits()
    storage = await Storage.open(str(tmp_path), Peerstore(limits), AccessRules(limit=1), unix=lambda: Run.unix)
    storage.release()
    await storage.close()
    async with run_in(tmp_path) as run:
        assert run.ledger.score(ALICE, run.now) == pytest.approx(-40)


async def test_a_store_that_is_not_loaded_writes_nothing(tmp_path: Path) -> None:
    limits = Limits()
    storage = await Storage.open(str(tmp_path), Peerstore(limits), AccessRules(limit=1), unix=lambda: Run.unix)
    assert storage.reputation() is storage.reputation()
    assert storage.reputation().time(DAY) == 0.0
    await storage.close()
    assert stored(tmp_path)[NETWORKS] == {}

"""A node with a state directory: what it knows outlives it, and no two nodes share one."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cortexnet import Config, ConfigInvalid, DialFailed, Identity, LocalError, Node, StorageFailed
from cortexnet.storage.sqlite_file import Changes, SqliteFile
from cortexnet.storage.storage import FILE_NAME
from cortexnet.swarm.peerstore import ADDRESS_TTL
from cortexnet.testing.network import SimulatedNetwork


class Town:
    """A network with bob in it, who stays, and alice, who comes and goes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = SimulatedNetwork()
        self.identity = Identity.generate()
        self._places = {name: self.network.host(name) for name in ("alice", "bob")}

    def alice(self, *, folder: Path | None = None) -> Node:
        config = Config(transports=["memory"], memory_network=self._places["alice"], state_directory=folder or self.folder)
        return Node(self.identity, config=config)

    @asynccontextmanager
    async def bob(self) -> AsyncIterator[Node]:
        config = Config(transports=["memory"], memory_network=self._places["bob"])
        async with Node(listen=["/memory/0"], config=config) as bob:
            yield bob


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path / "state")


async def test_after_a_restart_a_peer_can_be_dialed_by_its_id_alone(town: Town) -> None:
    async with town.bob() as bob:
        async with town.alice() as alice:
            with pytest.raises((DialFailed, LocalError)):
                await alice.dial(bob.peer_id)
            await alice.dial(bob.addresses)
            await alice.ping(bob.peer_id)
        async with town.alice() as alice:
            assert alice.peers == []
            assert await alice.dial(bob.peer_id) == bob.peer_id


async def test_its_signed_record_and_what_it_told_are_kept_too(town: Town) -> None:
    async with town.bob() as bob:
        async with town.alice() as alice:
            await alice.identify(await alice.dial(bob.addresses))
        async with town.alice() as alice:
            book, now = alice.peerstore, asyncio.get_running_loop().time()
            known = book.known(bob.peer_id, now)
            assert known is not None
            assert known.record_sequence > 0
            assert book.addresses(bob.peer_id, now + ADDRESS_TTL - 1) == bob.listen_addresses()
            assert set(book.protocols(bob.peer_id)) == set(bob.protocols)


async def test_rules_outlive_the_node_whether_made_before_its_start_or_later(town: Town) -> None:
    async with town.bob() as bob:
        alice = town.alice()
        alice.gater.deny(bob.peer_id, reason="because")
        async with alice:
            alice.gater.deny("192.0.2.0/24")
        async with town.alice() as alice:
            assert len(alice.gater.access) == 2
            with pytest.raises(DialFailed, match="because"):
                await alice.dial(bob.addresses)


async def test_what_the_application_notes_about_a_peer_is_kept(town: Town) -> None:
    somebody = Identity.generate().peer_id
    alice = town.alice()
    alice.peerstore.set_metadata(somebody, "nickname", "Bob")
    async with alice:
        alice.peerstore.set_metadata(somebody, "trusted", True)
    async with town.alice() as alice:
        assert alice.peerstore.metadata(somebody) == {"nickname": "Bob", "trusted": True}


async def test_two_nodes_can_not_share_a_state_directory(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cortexnet.storage.sqlite_file._LOCK_TIMEOUT", 0.0)
    async with town.alice():
        second = town.alice()
        with pytest.raises(StorageFailed, match="two nodes can't share a state directory") as caught:
            await second.__aenter__()
        assert caught.value.path == os.path.join(town.folder, FILE_NAME)
        assert [count for count in second.counters.values() if count] == []
    async with town.alice():
        pass


@pytest.mark.parametrize("turns", range(0, 40, 2))
async def test_wherever_a_start_is_cancelled_the_directory_is_free_again(turns: int, town: Town) -> None:
    alice = town.alice()
    starting = asyncio.create_task(alice.__aenter__())
    for _ in range(turns):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await alice.__aexit__(None, None, None)
    async with town.alice():
        pass


async def test_a_node_lives_on_while_its_disk_is_full_and_says_so(
    town: Town, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(file: SqliteFile, changes: Changes) -> None:
        raise StorageFailed("the disk is full", path=file.path)

    monkeypatch.setattr(SqliteFile, "write", full)
    async with town.bob() as bob, town.alice() as alice:
        await alice.dial(bob.addresses)
        storage = alice._run.storage
        assert storage is not None
        with pytest.raises(StorageFailed, match="the disk is full"):
            await storage.flush()
        (problem,) = alice.health().problems
        assert "the disk is full" in problem.what
        assert storage.is_failing
        assert await alice.ping(bob.peer_id) >= 0
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("what is new is kept in memory only" in message for message in messages)
    assert any("could not be kept" in message for message in messages)


async def test_without_a_state_directory_no_file_is_touched(town: Town, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    async with town.bob() as bob:
        assert bob._run.storage is None
    assert os.listdir() == []


@pytest.mark.parametrize("name", ["", "a\0b", b"bytes", 5, ["list"]])
def test_what_is_no_name_of_a_folder_is_no_setting(name: object) -> None:
    with pytest.raises(ConfigInvalid, match="state_directory: must be the name of a folder"):
        Config(state_directory=name)  # type: ignore[arg-type]


def test_a_path_is_as_good_as_its_text() -> None:
    assert Config(state_directory=Path("/a") / "b") == Config(state_directory=os.path.join("/a", "b"))
    assert Config().state_directory is None

"""The socket of a running node: for its owner, bounded, gone with the node."""

import asyncio
import contextlib
import json
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cortexnet.errors import LocalError, StorageFailed
from cortexnet.observe import status
from cortexnet.observe.status import PORT_NAME, SOCKET_NAME, StatusServer, ask
from tests.support.pairs import settle

ANSWERS: status.Answers = {"peers": lambda: ["somebody"], "count": lambda: 3}


@pytest.fixture(params=["unix", "loopback"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As on systems with unix sockets, and as on those without."""
    if request.param == "loopback":
        monkeypatch.setattr(status, "_has_unix_sockets", lambda path: False)
    return str(request.param)


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[StatusServer]:
    server = await StatusServer.open(str(directory), ANSWERS)
    try:
        yield server
    finally:
        await server.close()


async def test_a_question_is_answered(tmp_path: Path, kind: str) -> None:
    async with served(tmp_path):
        assert await ask(str(tmp_path), "peers") == ["somebody"]
        assert await ask(str(tmp_path), "count") == 3


async def test_only_its_owner_may_use_what_is_in_the_directory(tmp_path: Path, kind: str) -> None:
    async with served(tmp_path):
        assert modes(tmp_path) == {SOCKET_NAME if kind == "unix" else PORT_NAME: 0o600}
    assert modes(tmp_path) == {}


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


async def test_what_a_node_that_was_killed_has_left_does_not_keep_the_next_from_answering(tmp_path: Path, kind: str) -> None:
    killed = await StatusServer.open(str(tmp_path), ANSWERS)
    killed._server.close()
    async with served(tmp_path):
        assert await ask(str(tmp_path), "count") == 3


async def test_an_unknown_question_is_told_the_known_ones(tmp_path: Path, kind: str) -> None:
    async with served(tmp_path):
        with pytest.raises(LocalError, match="ask one of peers, count"):
            await ask(str(tmp_path), "secrets")


async def test_where_no_node_runs_it_is_said_what_to_do(tmp_path: Path, kind: str) -> None:
    with pytest.raises(LocalError, match="start one with `cortexnet run --state-dir"):
        await ask(str(tmp_path), "peers")


async def test_on_loopback_nobody_is_answered_without_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_has_unix_sockets", lambda path: False)
    async with served(tmp_path):
        port = json.loads((tmp_path / PORT_NAME).read_text())["port"]
        for question in (
            b'{"ask": "peers"}\n',
            b'{"ask": "peers", "token": "guess"}\n',
            b'{"ask": "peers", "token": "\\ud800"}\n',
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(question)
            assert json.loads(await reader.readline()) == {"error": "the token is wrong"}
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize(
    "question", [b"\n", b"{\n", b"[]\n", b"1\n", b"\xff\n", b"[" * 4_000 + b"\n", b'"' + b"x" * 100 + b'"\n']
)
async def test_what_is_no_question_is_told_so(tmp_path: Path, question: bytes) -> None:
    async with served(tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.write(question)
        assert json.loads(await reader.readline()) == {"error": "a question is a JSON object in a line"}
        writer.close()
        await writer.wait_closed()
        assert await ask(str(tmp_path), "count") == 3


async def test_a_question_without_end_is_cut_off(tmp_path: Path) -> None:
    async with served(tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
        writer.write(b"x" * 100_000)
        with contextlib.suppress(OSError):  # closed with bytes unread, which is a reset
            assert await reader.read() == b""
        writer.close()
        assert await ask(str(tmp_path), "count") == 3


async def test_who_asks_nothing_is_hung_up_on_with_the_node_and_takes_no_place_of_others(tmp_path: Path) -> None:
    async with served(tmp_path):
        silent = [await asyncio.open_unix_connection(tmp_path / SOCKET_NAME) for _ in range(7)]
        assert await ask(str(tmp_path), "count") == 3
        more = [await asyncio.open_unix_connection(tmp_path / SOCKET_NAME) for _ in range(3)]
        assert await more[-1][0].read() == b"", "one too many"
    for reader, writer in silent + more:
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_who_comes_while_it_closes_is_hung_up_on_too(tmp_path: Path) -> None:
    server = await StatusServer.open(str(tmp_path), ANSWERS)
    reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
    for _ in range(100):
        if len(server._clients):  # its task is there, and has not begun
            break
        await asyncio.sleep(0)
    await server.close()
    assert await reader.read() == b""
    writer.close()
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_directory_that_is_not_there_is_a_clear_error(tmp_path: Path, kind: str) -> None:
    with pytest.raises(StorageFailed, match="no status"):
        await StatusServer.open(str(tmp_path / "missing"), ANSWERS)


def test_a_path_too_long_for_a_unix_socket_is_left_to_loopback() -> None:
    assert status._has_unix_sockets("/tmp/status.sock") == (os.name == "posix")
    assert not status._has_unix_sockets("/" + "x" * 120)

"""A socket to ask a running node, for its owner alone: in the state directory, or on loopback where there are no unix sockets.

A question is a JSON object in a line, `{"ask": "peers"}`, the answer another: `{"answer": …}` or `{"error": "…"}`. On loopback,
which anybody on the machine can reach, it has the `token` from the file that says the port. A shell.
"""

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from cortexnet.errors import LocalError, NotRunning, StorageFailed
from cortexnet.transport.scope import Scope

SOCKET_NAME = "status.sock"
PORT_NAME = "status.port"
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Answers = Mapping[str, Callable[[], Json]]

_PATIENCE = 5.0  # seconds for a question to come, and for its answer
_QUESTION_LIMIT = 4_096  # bytes
_ANSWER_LIMIT = 64 * 1024 * 1024  # bytes: 20,000 peers with all they have
_CLIENTS = 8  # at a time
_PATH_LIMIT = 100  # bytes that a unix socket's path may have on all systems


@final
class StatusServer:
    """Answers while it is open. Made by `open`."""

    def __init__(self, answers: Answers, path: str, token: str) -> None:
        self._answers = answers
        self._path = path
        self._token = token
        self._clients = Scope()
        self._server: asyncio.Server

    @classmethod
    async def open(cls, directory: str, answers: Answers) -> "StatusServer":
        """Listen for questions about a node whose state directory this is. Raises StorageFailed. Cancelled: nothing is left."""
        path = os.path.join(directory, SOCKET_NAME)
        if _has_unix_sockets(path):
            server = cls(answers, path, "")
            await server._listen_on_unix(path)
        else:
            path = os.path.join(directory, PORT_NAME)
            server = cls(answers, path, secrets.token_hex(16))
            await server._listen_on_loopback(path)
        return server

    async def _listen_on_unix(self, path: str) -> None:
        # Bound under another name: whoever connects finds a socket that its owner alone may use, or none.
        fresh = f"{path}.{os.getpid()}"
        listening = socket.socket(socket.AF_UNIX)
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
            listening.bind(fresh)
            os.chmod(fresh, 0o600)
            os.replace(fresh, path)
            self._server = await asyncio.start_unix_server(self._accept, sock=listening, limit=_QUESTION_LIMIT)
        except OSError as error:
            listening.close()
            raise StorageFailed(f"no status socket: {error.strerror or error}", path=path) from error
        except BaseException:
            listening.close()
            raise

    async def _listen_on_loopback(self, path: str) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_QUESTION_LIMIT)
        port = self._server.sockets[0].getsockname()[1]
        fresh = f"{path}.{os.getpid()}"
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
            _write_privately(fresh, json.dumps({"port": port, "token": self._token}))
            os.replace(fresh, path)
        except OSError as error:
            self._server.close()
            raise StorageFailed(f"no status port: {error.strerror or error}", path=path) from error

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._clients.is_closed or len(self._clients) >= _CLIENTS:
            writer.close()
        else:
            serving = self._clients.spawn(self._serve(reader, writer), name="status")
            serving.add_done_callback(lambda _: writer.close())  # it may end before its first step

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):  # gone, too slow, or the line is too long
            async with asyncio.timeout(_PATIENCE):
                line = await reader.readline()
                writer.write(json.dumps(self._answer(line)).encode() + b"\n")
                await writer.drain()

    def _answer(self, line: bytes) -> dict[str, Json]:
        try:
            question = json.loads(line)
        except (ValueError, RecursionError):
            return {"error": "a question is a JSON object in a line"}
        if not isinstance(question, dict):
            return {"error": "a question is a JSON object in a line"}
        if self._token and not hmac.compare_digest(str(question.get("token")).encode(errors="replace"), self._token.encode()):
            return {"error": "the token is wrong"}
        answer = self._answers.get(str(question.get("ask")))
        if answer is None:
            return {"error": f"ask one of {', '.join(self._answers)}"}
        return {"answer": answer()}

    async def close(self) -> None:
        """Answer no more, and take the file away. Cancelled: the same."""
        self._server.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        await self._clients.close()


async def ask(directory: str, question: str) -> Any:
    """The answer of the node whose state directory this is. Raises NotRunning where none answers, LocalError where it can't."""
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer, token = await _connect(directory)
            try:
                writer.write(json.dumps({"ask": question, **token}).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
        answer = json.loads(line)
    except (OSError, TimeoutError, ValueError) as error:
        advice = f"start one with `cortexnet run --state-dir {directory}`, or name the directory of one that runs"
        raise NotRunning(f"no node answers in {directory} ({error or type(error).__name__}); {advice}") from None
    if "answer" not in answer:
        raise LocalError(f"the node in {directory} does not say: {answer.get('error')}")
    return answer["answer"]


async def _connect(directory: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]:
    path = os.path.join(directory, SOCKET_NAME)
    if _has_unix_sockets(path):
        reader, writer = await asyncio.open_unix_connection(path, limit=_ANSWER_LIMIT)
        return reader, writer, {}
    place = json.loads(_read(os.path.join(directory, PORT_NAME)))
    reader, writer = await asyncio.open_connection("127.0.0.1", int(place["port"]), limit=_ANSWER_LIMIT)
    return reader, writer, {"token": str(place["token"])}


def _write_privately(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(text)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _has_unix_sockets(path: str) -> bool:
    return "AF_UNIX" in vars(socket) and os.name == "posix" and len(os.fsencode(path)) <= _PATH_LIMIT

"""One node of the demonstration: what it answers, and what it does when it is told to. All it gets is verified."""

import asyncio
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import final

from cortexnet.cli.client import connection_facts
from cortexnet.cli.demo.deeds import NAMESPACE, Deeds, Result, config_of
from cortexnet.errors import CortexError, DialFailed, MessageTooLarge, describe
from cortexnet.messaging.request import Request
from cortexnet.node import Node
from cortexnet.transport.connection import Connection
from cortexnet.transport.scope import Scope
from cortexnet.transport.stream import Stream

QUESTION = "/cortex/demo/question/1.0.0"
ECHO = "/cortex/echo/1.0.0"
FILE = "/cortex/demo/file/1.0.0"
REQUEST_TIMEOUT = 5.0
"""Seconds for an answer; on one machine it takes a thousandth."""

_FILE_LIMIT = 64 * 1024 * 1024
_CHUNK = 65_536
_SIZE_BYTES = 8


class DemoFailed(CortexError):
    """Something did not work as the demonstration claims it does."""


@final
class DemoNode:
    """A node on a port of its own on loopback, which keeps the files it gets in `folder`."""

    def __init__(self, name: str, folder: Path, bootstrap: str = "") -> None:
        """One that is told of another node meets others by itself."""
        self.name = name
        config = config_of(namespace=NAMESPACE if bootstrap else "")
        self.node = Node(listen=["/ip4/127.0.0.1/tcp/0"], bootstrap=[bootstrap] if bootstrap else [], config=config)
        self.deeds = Deeds(self.node)
        self.node.respond(QUESTION, self._answer)
        self.node.handle(ECHO, echo)
        self.node.handle(FILE, self._store)
        self.node.watch(connected=self._connected, disconnected=self._disconnected)
        self._folder = folder
        self._files = 0
        self._lost: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._asking: Scope | None = None
        self._asked = 0
        self.unanswered: list[str] = []
        """What went wrong since `start_asking`."""

    def _connected(self, connection: Connection) -> None:
        self._changed.set()

    def _disconnected(self, connection: Connection) -> None:
        self._lost[str(connection.peer_id)] = "" if connection.error is None else describe(connection.error)
        self._changed.set()

    # --- what it answers ---------------------------------------------------------------------------------------------------

    async def _answer(self, request: Request) -> bytes:
        return answer_of(str(self.node.peer_id), request.data)

    async def _store(self, stream: Stream) -> None:
        size = int.from_bytes(await stream.read_message(limit=_SIZE_BYTES), "big")
        if size > _FILE_LIMIT:
            raise MessageTooLarge("file", size, _FILE_LIMIT)
        path = self._new_path("received")  # a name of ours: what peers call their files is no path
        with _create(path) as file:
            while size and (chunk := await stream.read(min(size, _CHUNK))):
                file.write(chunk)
                size -= len(chunk)
        await stream.write_message(path.name.encode())
        await stream.write_message(await asyncio.to_thread(digest_of, path))

    def _new_path(self, kind: str) -> Path:
        self._files += 1
        return self._folder / f"{self.name}-{kind}-{self._files}"

    # --- what it does ------------------------------------------------------------------------------------------------------

    async def dial(self, address: str) -> Result:
        """Connect; or say why that is not possible."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self.node.dial(address)
        except DialFailed as error:
            return {"error": "; ".join(describe(reason) for _, reason in error.attempts) or describe(error)}
        return {"seconds": loop.time() - began}

    async def connections(self) -> Result:
        """What it is connected to, and with what."""
        return {"connections": [connection_facts(connection) for connection in self.node.connections]}

    async def wait_connected(self, peers: list[str]) -> Result:
        """Wait until it has a connection to each of them."""
        await self._wait(lambda: set(peers) <= {str(peer) for peer in self.node.peers})
        return {}

    async def wait_lost(self, peers: list[str]) -> Result:
        """Wait until it has noticed that all of them are gone; what it took for the reason."""
        await self._wait(lambda: not set(peers) & {str(peer) for peer in self.node.peers})
        return {"reasons": [self._lost.get(peer, "") for peer in peers]}

    async def _wait(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._changed.clear()
            await self._changed.wait()

    async def ping(self, peer: str, count: int) -> Result:
        """Round trips, one after the other."""
        return {"seconds": [await self.node.ping(peer) for _ in range(count)]}

    async def ask(self, peer: str, count: int) -> Result:
        """Requests, one after the other; each answer is checked."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(count):
            await self._ask_once(peer, number)
        return {"seconds": loop.time() - began}

    async def _ask_once(self, peer: str, number: int) -> None:
        question = f"{self.name} asks for the {number}th time".encode()
        answer = await self.node.request(peer, QUESTION, question, timeout=REQUEST_TIMEOUT)
        if answer != answer_of(peer, question):
            raise DemoFailed(f"{self.name} got a wrong answer of {peer}")

    async def start_asking(self, peers: list[str]) -> Result:
        """Ask all of them, over and over, until `stop_asking`."""
        self._asking = Scope()
        self._asked, self.unanswered = 0, []
        for peer in peers:
            self._asking.spawn(self._keep_asking(peer), name=f"ask {peer}")
        return {}

    async def _keep_asking(self, peer: str) -> None:
        number = 0
        while True:
            number += 1
            try:
                await self._ask_once(peer, number)
                self._asked += 1
            except CortexError as error:
                self.unanswered.append(f"{self.name} to {peer}: {describe(error)}")
                return

    async def stop_asking(self) -> Result:
        """How many were answered, and what happened to the others."""
        if self._asking is not None:
            await self._asking.close()
        return {"answered": self._asked, "unanswered": self.unanswered}

    async def echo(self, peer: str, size: int) -> Result:
        """Send bytes there and back at the same time; all have to come back as they were."""
        data = os.urandom(size)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self.node.stream(peer, ECHO) as stream, asyncio.TaskGroup() as group:
            group.create_task(_write_all(stream, data), name="echo writer")
            came_back = await stream.read_exactly(size)
        if came_back != data:
            raise DemoFailed(f"{peer} sent {self.name} other bytes back")
        return {"seconds": loop.time() - began}

    async def send_file(self, peer: str, size: int) -> Result:
        """Send a file of random bytes; where the peer put it, and the digest that both have."""
        path = self._new_path("sent")
        await asyncio.to_thread(path.write_bytes, os.urandom(size))
        digest = await asyncio.to_thread(digest_of, path)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self.node.stream(peer, FILE) as stream:
            await stream.write_message(size.to_bytes(_SIZE_BYTES, "big"))
            with _open(path) as file:
                while chunk := file.read(_CHUNK):
                    await stream.write(chunk)
            await stream.close_write()
            stored = await stream.read_message(limit=256)
            confirmed = await stream.read_message(limit=64)
        if confirmed != digest:
            raise DemoFailed(f"the file that {self.name} sent to {peer} arrived damaged")
        return {"seconds": loop.time() - began, "stored": stored.decode(), "sha256": digest.hex()}


async def echo(stream: Stream) -> None:
    """Send back what comes."""
    async for chunk in stream:
        await stream.write(chunk)


async def _write_all(stream: Stream, data: bytes) -> None:
    await stream.write(data)
    await stream.close_write()


def _create(path: Path) -> io.BufferedWriter:
    return open(path, "xb")


def _open(path: Path) -> io.BufferedReader:
    return open(path, "rb")


def answer_of(peer: str, question: bytes) -> bytes:
    """What only this peer answers to this question."""
    return hashlib.sha256(peer.encode() + question).digest()


def digest_of(path: Path) -> bytes:
    """The sha2-256 of a file, read from the disk."""
    with _open(path) as file:
        return hashlib.file_digest(file, "sha256").digest()

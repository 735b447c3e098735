"""What a scenario works with: two started peers, a dialer and a listener, and streams with both their ends in hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from interop.harness.payload import digest
from interop.harness.process import Answer, OperationFailed, PeerProcess
from interop.harness.stack import Stack

HOLD = "/interop/hold/1.0.0"
ECHO = "/interop/echo/1.0.0"
GREETING = 16  # bytes that make a lazily negotiated stream show up at the other side


class Unexpected(Exception):
    """The peers worked, but did not do what the scenario wants of them."""


def expect(condition: object, what: str, *found: object) -> None:
    """Raise Unexpected unless the condition is true; `found` is shown with it."""
    if not condition:
        raise Unexpected(what + (f", but found {', '.join(repr(item) for item in found)}" if found else ""))


async def expect_failure(operation: Awaitable[Answer], *kinds: str) -> OperationFailed:
    """The failure that the operation must end in, of one of the kinds."""
    try:
        answer = await operation
    except OperationFailed as failure:
        expect(failure.kind in kinds, f"a failure of kind {' or '.join(kinds)}", failure.kind, str(failure))
        return failure
    raise Unexpected(f"expected a failure of kind {' or '.join(kinds)}, but it went well: {dict(answer)!r}")


async def expect_end(reading: Awaitable[Answer]) -> None:
    """The read must end without a byte: its connection is gone, or the other side has ended the stream before that."""
    try:
        answer = await reading
    except OperationFailed as failure:
        kinds = ("connection_closed", "reset", "ended")
        expect(failure.kind in kinds, f"a failure of kind {' or '.join(kinds)}", failure.kind, str(failure))
    else:
        expect(answer["ended"] and not answer["size"], "the read to end", dict(answer))


async def eventually(check: Callable[[], Awaitable[bool]], what: str, timeout: float = 5.0) -> None:
    """Ask again and again until the check is true; Unexpected after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while not await check():
        expect(loop.time() < deadline, f"{what} within {timeout:g} s")
        await asyncio.sleep(0.02)  # a peer is another process: nothing to wait for but its next answer


@final
@dataclass(slots=True)
class Side:
    """One started peer, as the scenario sees it."""

    process: PeerProcess
    abilities: Answer
    peer_id: str
    addresses: tuple[str, ...]

    async def call(self, operation: str, **fields: Any) -> Answer:
        """One operation of the control protocol. Raises OperationFailed, PeerDied, TimeoutError."""
        return await self.process.request(operation, **fields)

    async def knows(self, other: "Side") -> bool:
        """Whether it has a connection to the other."""
        return other.peer_id in (await self.call("peers"))["peers"]


@final
@dataclass(slots=True)
class End:
    """One end of a steered stream; it checks that what it reads is the payload, from where the last read stopped."""

    side: Side
    stream: int
    position: int = 0

    async def write(self, size: int, **fields: Any) -> Answer:
        """The next `size` bytes of the payload; returns once this side has taken them all."""
        return await self.side.call("write", stream=self.stream, size=size, **fields)

    async def read(self, size: int, *, ends: bool = False, **fields: Any) -> None:
        """Exactly `size` bytes must come; with `ends`, and then the end of the stream."""
        answer = await self.side.call("read", stream=self.stream, size=size + 1 if ends else size, **fields)
        self._check(answer, size)
        expect(answer["ended"] or not ends, f"the end of the stream at {self.position + size}")
        self.position += size

    async def read_message(self, size: int) -> None:
        """One message, of exactly `size` bytes of the payload."""
        self._check(await self.side.call("read_message", stream=self.stream), size)
        self.position += size

    async def write_message(self, size: int) -> Answer:
        """The next `size` bytes of the payload as one message."""
        return await self.side.call("write_message", stream=self.stream, size=size)

    async def close_write(self) -> None:
        """End this direction."""
        await self.side.call("close_write", stream=self.stream)

    async def close(self) -> None:
        """Done with the stream."""
        await self.side.call("close", stream=self.stream)

    async def reset(self, code: int) -> None:
        """End both directions at once."""
        await self.side.call("reset", stream=self.stream, code=code)

    async def written(self) -> int:
        """Bytes taken by this side so far, also while a write waits."""
        return int((await self.side.call("progress", stream=self.stream))["written"])

    def _check(self, answer: Answer, size: int) -> None:
        expect(answer["size"] == size, f"{size} bytes at {self.position} of the stream", answer["size"])
        right = digest(self.position, size)
        expect(answer["sha256"] == right, f"the checksum {right} of {size} bytes at {self.position}", answer["sha256"])


@final
@dataclass(slots=True)
class Meeting:
    """The two sides of a cell, and a third where the scenario has a guest; `stack` is what they are told to speak."""

    dialer: Side
    listener: Side
    stack: Stack
    guests: tuple[Side, ...] = ()

    @property
    def address(self) -> str:
        """The listener's first address of the stack's transport, with its peer id."""
        return self.listener.addresses[0]

    def both_ways(self) -> tuple[tuple[Side, Side], tuple[Side, Side]]:
        """(dialer, listener) and (listener, dialer): most of what one may do, the other must be able to do."""
        return (self.dialer, self.listener), (self.listener, self.dialer)

    async def connect(self, **fields: Any) -> Answer:
        """Dial, and wait until the listener knows of it too."""
        answer = await self.dialer.call("connect", address=self.address, **fields)
        await eventually(partial(self.listener.knows, self.dialer), "the listener lists the dialer")
        return answer

    async def link(self, opener: Side, acceptor: Side) -> tuple[End, End]:
        """A new steered stream, past its negotiation: the opener has written a greeting, the acceptor has read it."""
        opened = await opener.call("open", peer=acceptor.peer_id, protocol=HOLD)
        near = End(opener, opened["stream"])
        await near.write(GREETING)
        accepted = await acceptor.call("accept")
        expect(accepted["peer"] == opener.peer_id, "the stream to come from the opener", accepted["peer"])
        far = End(acceptor, accepted["stream"])
        await far.read(GREETING)
        return near, far

    async def echo(self, near: Side, far: Side, size: int, **fields: Any) -> Answer:
        """An echo of `size` bytes, both checksums compared with what is known of the payload."""
        answer = await near.call("echo", peer=far.peer_id, size=size, **fields)
        right = digest(0, size)
        expect((answer["sent"], answer["received"]) == (size, size), f"{size} bytes there and back", answer["received"])
        expect(answer["sha256_sent"] == right, "what was sent to be the payload", answer["sha256_sent"])
        expect(answer["sha256_received"] == right, "the echo to equal what was sent", answer["sha256_received"])
        return answer


@asynccontextmanager
async def meanwhile(operation: Coroutine[Any, Any, Answer]) -> AsyncIterator[asyncio.Task[Answer]]:
    """Run an operation beside the block, which awaits the task itself; where the block fails before that, it is given up."""
    task = asyncio.create_task(operation)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

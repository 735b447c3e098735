"""`cortexnet pub`: publish to a topic."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from typing import final

import click

from cortexnet.cli import lifecycle
from cortexnet.cli.exits import ExitCode
from cortexnet.cli.failures import TooFewPeers
from cortexnet.cli.options import with_gossip, with_output
from cortexnet.cli.output import Output
from cortexnet.cli.topics import Meeting, meet
from cortexnet.errors import PeerTimeout


@click.command()
@click.argument("topic")
@click.argument("message", required=False)
@click.option("--peers", type=click.IntRange(min=0), default=1, show_default=True, help="Wait for so many who want the topic.")
@with_gossip
@with_output
def command(output: Output, topic: str, message: str | None, peers: int, meeting: Meeting) -> None:
    """Publish to a topic.

    MESSAGE, or without one each line of standard input. It waits for peers who
    want the topic, who pass on what they get to all others. Exit code 0 if every
    message went to somebody, 1 if one did not, or nobody came in time.

    \b
    --json prints events "listening" (peer_id, addresses), "connected" (peer_id,
    address) or "failed" (address, kind, message, advice), for each message
    "published" (topic, size, peers: to how many it went), at the end "summary"
    (messages, lost).
    """
    lost = lifecycle.run(lambda: _publish(output, topic, message, peers, meeting))
    click.get_current_context().exit(ExitCode.FAILED if lost else ExitCode.OK)


async def _publish(output: Output, topic: str, message: str | None, peers: int, meeting: Meeting) -> int:
    sent = lost = 0
    async with meet(output, meeting) as node, node.gossip.subscribe(topic, policy="drop_oldest", queue=1) as here:
        if peers:
            try:
                async with output.waiting(f"waiting for {peers} peers who want {topic}"):
                    await here.ready(peers, timeout=meeting.timeout)
            except PeerTimeout:
                found = len(node.gossip.peers(topic))
                raise TooFewPeers(f"{found} peers want {topic} after {meeting.timeout:g} s, not {peers}") from None
        async for data in _given(message):
            count = await node.gossip.publish(topic, data)
            sent += 1
            lost += count == 0
            output.say(f"{len(data)} bytes to {count} peers", "published", topic=topic, size=len(data), peers=count)
    output.say_event("summary", messages=sent, lost=lost)
    return lost


async def _given(message: str | None) -> AsyncIterator[bytes]:
    if message is not None:
        yield message.encode(errors="surrogateescape")
        return
    lines = _Lines()
    while (line := await lines.next()) is not None:
        yield line


@final
class _Lines:
    """Standard input, line by line. Read by a thread that nobody waits for: no signal ends a read of a terminal."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=64)
        threading.Thread(target=self._read, name="standard input", daemon=True).start()

    def _read(self) -> None:
        try:
            for line in sys.stdin.buffer:
                self._give(line.rstrip(b"\r\n"))
            self._give(None)
        except RuntimeError:
            return  # the loop has ended

    def _give(self, line: bytes | None) -> None:
        asyncio.run_coroutine_threadsafe(self._queue.put(line), self._loop).result()

    async def next(self) -> bytes | None:
        """The next line without its end; None at the end of all."""
        return await self._queue.get()

"""A node under attack, over real sockets: it lives, an honest peer loses nothing, and the attacker leaves nothing behind."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from cortexnet import Connection, Node, Stream
from cortexnet.errors import CortexError
from cortexnet.multistream import propose
from cortexnet.testing.hostile import hostile_multistream, hostile_noise_frames, hostile_yamux
from tests.support.raw_peer import RawPeer, data, ended, opened, pinged, reset
from tests.transport.recorder import Recorder

ECHO, FAIL, SINK = "/test/echo", "/test/fail", "/test/sink"
DESCRIPTORS = Path("/proc/self/fd")


async def echo(stream: Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


async def fail(stream: Stream) -> None:
    await stream.read(1)
    raise ZeroDivisionError("a bug of the application's")


async def sink(stream: Stream) -> None:
    async for _ in stream:
        pass


async def quiet(turns: int = 300) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


class Siege:
    """A node, an honest peer that talks to it without a break, and the port for everybody else."""

    def __init__(self, node: Node, honest: Node) -> None:
        self.node = node
        self.honest = honest
        self.round_trips = 0
        self.port = int(node.addresses[0].value_of("tcp") or 0)
        self.gone: asyncio.Queue[Connection] = asyncio.Queue()
        self._sockets: list[Recorder] = []
        self._peers: list[RawPeer] = []
        node.watch(disconnected=self.gone.put_nowait)

    async def talk(self) -> None:
        """Round trips, over a stream that stays open and over one of their own."""
        random = Random(11)
        async with self.honest.stream(self.node.peer_id, ECHO) as lasting:
            while True:
                message = random.randbytes(random.randrange(1, 3_000))
                await lasting.write(message)
                assert await lasting.read_exactly(len(message)) == message
                async with self.honest.stream(self.node.peer_id, ECHO) as stream:
                    await stream.write(message)
                    await stream.close_write()
                    assert await stream.read_all(limit=3_000) == message
                self.round_trips += 1

    async def socket(self) -> Recorder:
        stranger = Recorder(keep_open=False)
        await asyncio.get_running_loop().create_connection(lambda: stranger, "127.0.0.1", self.port)
        self._sockets.append(stranger)
        return stranger

    async def peer(self) -> RawPeer:
        peer = RawPeer()
        await asyncio.get_running_loop().create_connection(lambda: peer, "127.0.0.1", self.port)
        await peer.until(lambda: peer.is_ready)
        self._peers.append(peer)
        return peer

    async def end(self) -> None:
        """The attacker leaves."""
        for stranger in self._sockets:
            if not stranger.events[-1].startswith("lost"):
                stranger.transport.abort()
        for peer in self._peers:
            if not peer.is_lost:
                peer.io.abort()
        await quiet()


def descriptors() -> int:
    return len(os.listdir(DESCRIPTORS)) if DESCRIPTORS.is_dir() else 0


@asynccontextmanager
async def siege() -> AsyncIterator[Siege]:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
    tasks, open_before = asyncio.all_tasks(), descriptors()
    node = Node(listen=["/ip4/127.0.0.1/tcp/0"])
    for protocol, handler in ((ECHO, echo), (FAIL, fail), (SINK, sink)):
        node.handle(protocol, handler)
    async with node, Node() as honest:
        await honest.dial(node.addresses)
        created = Siege(node, honest)
        talking = asyncio.ensure_future(created.talk())
        await quiet()
        held, used = node.counters, descriptors()
        yield created
        await created.end()
        before = created.round_trips
        while created.round_trips < before + 20 and not talking.done():
            await quiet(1)
        assert not talking.done(), talking.exception() if not talking.cancelled() else "cancelled"
        talking.cancel()
        await asyncio.wait([talking])
        await quiet()
        assert honest.peers == [node.peer_id]
        left = {name: count for name, count in node.counters.items() if count > held[name] and name != "memory"}
        assert left == {}
        assert descriptors() == used
    await quiet()
    assert not any(node.counters.values())
    assert asyncio.all_tasks() <= tasks
    assert descriptors() == open_before
    assert problems == []


Attack = Callable[[Siege], Awaitable[None]]


async def silent_sockets(siege: Siege) -> None:
    """Three hundred that never say a word."""
    for _ in range(300):
        await siege.socket()
    await quiet()
    assert siege.node.counters["unauthenticated"] <= 64


async def stalled_handshakes(siege: Siege) -> None:
    """Two hundred that stop at every byte of an honest opening."""
    opening = propose("/noise") + b"\x00\x20" + bytes(range(32))
    for number in range(200):
        stranger = await siege.socket()
        stranger.transport.write(opening[: number % len(opening)])
    await quiet()
    assert siege.node.counters["unauthenticated"] <= 64


async def garbage(siege: Siege) -> None:
    for raw in hostile_multistream().values():
        (await siege.socket()).transport.write(raw)
        await quiet(5)
    for raw in hostile_noise_frames().values():
        (await siege.socket()).transport.write(propose("/noise") + raw)
        await quiet(5)


async def hostile_frames(siege: Siege) -> None:
    """Everything of the catalogue behind an honest handshake."""
    for raw in hostile_yamux().values():
        peer = await siege.peer()
        for start in range(0, len(raw), 60_000):
            peer.send(raw[start : start + 60_000])
        await quiet(20)


async def tiny_frames(siege: Siege) -> None:
    """Bodies of one and of two bytes, in records of every size, as much as the window takes."""
    for size in (1, 2):
        for records in (1, 50, 20_000):
            peer = await siege.peer()
            peer.send(opened(1), data(1, propose(SINK)))
            frames = [data(1, b"x" * size)] * 20_000
            peer.send_records(*(b"".join(frames[number::records])[:60_000] for number in range(records)))
            peer.send_records(*[b"".join(frames[:4_000])] * 5)
            await quiet(50)


async def vanishing_peers(siege: Siege) -> None:
    """In the middle of a handshake, of a proposal, of a frame, of an answer."""
    random = Random(3)
    for number in range(40):
        if number % 4 == 0:
            (await siege.socket()).transport.write(propose("/noise")[: random.randrange(25)])
        else:
            peer = await siege.peer()
            peer.send(opened(1), data(1, (propose(ECHO) + bytes(5_000))[: random.randrange(5_000)]))
            await quiet(random.randrange(5))
            peer.io.abort()
        await siege.end()


async def unread_answers(siege: Siege) -> None:
    """Peers that ask for much and read nothing."""
    for _ in range(10):
        peer = await siege.peer()
        peer.io.pause_reading()
        for stream_id in range(1, 40, 2):
            peer.send(opened(stream_id), data(stream_id, propose(ECHO) + bytes(50_000)))
        await quiet(20)


async def floods(siege: Siege) -> None:
    """Pings, streams opened and reset, streams of no protocol, until we are cut off or tired."""
    for make in (
        lambda number: pinged(number),
        lambda number: opened(2 * number + 1) + reset(2 * number + 1),
        lambda number: opened(2 * number + 1) + data(2 * number + 1, propose("/none")),
        lambda number: opened(2 * number + 1) + data(2 * number + 1, propose(ECHO)) + ended(2 * number + 1),
        lambda number: opened(2 * number + 1) + data(2 * number + 1, propose(FAIL) + b"x"),
    ):
        peer = await siege.peer()
        for start in range(0, 3_000, 100):
            if peer.is_lost:
                break
            peer.send(*(make(number) for number in range(start, start + 100)))
            await quiet(3)


async def failing_handlers(siege: Siege) -> None:
    async with Node() as peer:
        await peer.dial(siege.node.addresses)
        for _ in range(100):
            async with peer.stream(siege.node.peer_id, FAIL) as stream:
                await stream.write(b"x")
                with pytest.raises(CortexError):
                    await stream.read_exactly(1)
        assert peer.peers == [siege.node.peer_id], "the connection is not to blame"


VICTIM = """
import asyncio, sys
from cortexnet import Node

async def main():
    async with Node() as node:
        peer = await node.dial(sys.argv[1])
        async with node.stream(peer, "/test/echo") as stream:
            await stream.write(bytes(200_000))
            print("ready", flush=True)
            await stream.write(bytes(10_000_000))

asyncio.run(main())
"""


async def killed_processes(siege: Siege) -> None:
    """Peers that are gone without a word, in the middle of a transfer."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    for _ in range(3):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", VICTIM, str(siege.node.addresses[0]), stdout=asyncio.subprocess.PIPE, env=environment
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        process.kill()
        connection = await siege.gone.get()
        assert connection.error is not None
        await process.stdout.read()
        await process.wait()


ATTACKS: list[Attack] = [
    silent_sockets,
    stalled_handshakes,
    garbage,
    hostile_frames,
    tiny_frames,
    vanishing_peers,
    unread_answers,
    floods,
    failing_handlers,
    killed_processes,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_node_lives_and_an_honest_peer_loses_nothing(attack: Attack, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with siege() as created:
            await attack(created)

    caplog.set_level(logging.CRITICAL, logger="cortexnet")
    asyncio.run(main())

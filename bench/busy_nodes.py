"""The processes of `python -m bench busy`: the node that is measured, the peers it has, and who asks it. See `bench.busy`.

    python -m bench.busy_nodes node|gossipers|servers|client

Each reads a line of JSON that says what it is to do, answers with one, and then with one to each further line.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Final

from bench.cortexnet_peer import resident
from bench.functions import FunctionProfile
from bench.half import Driver
from bench.quantiles import latencies
from cortexnet import Config, KadConfig, Node, Request, Stream
from cortexnet.errors import CortexError
from cortexnet.kad.messages import Message, Type
from cortexnet.swarm.manager_config import ConnectionManagerConfig

LISTEN: Final = "/ip4/127.0.0.1/tcp/0"
ASK: Final = "/bench/ask/1.0.0"
SIZE: Final = 1_024
"""Bytes of a message."""
LINKS: Final = 1
"""Other gossipers that each one dials, so that a message reaches the node more than once, as it does elsewhere."""
KAD: Final = ("/ipfs/kad/1.0.0", "/ipfs/lan/kad/1.0.0")
DIALS_AT_ONCE: Final = 16
ANSWER_LIMIT: Final = 65_536

Role = Callable[[dict[str, Any], Driver], Awaitable[None]]


async def node(task: dict[str, Any], driver: Driver) -> None:
    """A node with all services; it dials `addresses`, is in `topics`, and says how it is when it is asked."""
    config = Config(kad=KadConfig(mode="server"), manager=ConnectionManagerConfig(low=330, high=340))
    received = dict.fromkeys(task["topics"], 0)

    async def answer(request: Request) -> bytes:
        return request.data

    async def read(node: Node, topic: str) -> None:
        async with node.gossip.subscribe(topic) as messages:
            async for _ in messages:
                received[topic] += 1

    async with Node(listen=[LISTEN], config=config) as one, asyncio.TaskGroup() as readers:
        one.respond(ASK, answer)
        reading = [readers.create_task(read(one, topic)) for topic in task["topics"]]
        await each(task["addresses"], one.dial)
        driver.send({"address": str(one.addresses[0])})
        profile = FunctionProfile()
        while line := await driver.next_line():
            if line == b"profile\n":
                profile.start()
            elif line == b"profiled\n":
                for name, share, calls in profile.stop()["largest"]:
                    print(f"{share:6.1%}  {calls:9,}  {name}", file=sys.stderr)
            gc.collect()
            connections, meshes = len(one.connections), [len(one.gossip.mesh(topic)) for topic in task["topics"]]
            state = {"connections": connections, "meshes": meshes, "received": received, "resident": resident()}
            table = sum(len(half.dht.table) for half in (one.kad.wan, one.kad.lan) if half is not None)
            driver.send({**state, "table": table, "cpu": time.process_time(), "time": time.monotonic()})
        for task_of_reader in reading:
            task_of_reader.cancel()


async def gossipers(task: dict[str, Any], driver: Driver) -> None:
    """`count` nodes that dial `address` and some of each other, all in one topic; at the next line they begin to publish."""
    config, random = Config(kad=None), Random(1)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(listen=[LISTEN], config=config)) for _ in range(task["count"])]
        for one in nodes:
            await stack.enter_async_context(one.gossip.subscribe(task["topic"]))
        await each(nodes, lambda one: one.dial(task["address"]))
        for one in nodes:
            for other in random.sample(nodes, LINKS):
                if other is not one:
                    await one.dial(other.addresses[0])
        driver.send({"connected": len(nodes)})
        await driver.next_line()
        driver.send({"publishing": task["rate"]})

        async def publish() -> None:
            await random.choice(nodes).gossip.publish(task["topic"], random.randbytes(SIZE))

        async with Regularly(1 / task["rate"], publish):
            await driver.next_line()


async def servers(task: dict[str, Any], driver: Driver) -> None:
    """`count` nodes that answer for the DHT that they know nobody; some of them ask the node that has dialed them."""
    async with AsyncExitStack() as stack:
        config = Config(kad=None, gossip=None)
        nodes = [await stack.enter_async_context(Node(listen=[LISTEN], config=config)) for _ in range(task["count"])]
        for one in nodes:
            for protocol in KAD:
                one.handle(protocol, know_nobody)
        driver.send({"addresses": [str(one.addresses[0]) for one in nodes]})
        await driver.next_line()
        driver.send({"asking": task["rate"]})
        random = Random(2)
        async with Regularly(1 / task["rate"], lambda: look(random.choice(nodes))):
            await driver.next_line()


async def know_nobody(stream: Stream) -> None:
    while True:
        try:
            question = Message.decode(await stream.read_message(limit=ANSWER_LIMIT))
        except EOFError:
            return
        await stream.write_message(Message(question.type, question.key).encode())


async def look(one: Node) -> None:
    """FIND_NODE of a random key, to whom it is connected."""
    for peer in one.peers:
        async with one.stream(peer, KAD[1]) as stream:
            await stream.write_message(Message(Type.FIND_NODE, os.urandom(32)).encode())
            Message.decode(await stream.read_message(limit=ANSWER_LIMIT))


async def client(task: dict[str, Any], driver: Driver) -> None:
    """Requests to each of `addresses` in turn, for `seconds`, one each `interval`: how long those of each took."""
    async with Node(config=Config(kad=None, gossip=None)) as one:
        peers = [await one.dial(address) for address in task["addresses"]]
        times: list[list[float]] = [[] for _ in peers]
        for peer in peers:
            await one.request(peer, ASK, bytes(100))
        driver.send({"ready": True})
        await driver.next_line()
        end = time.monotonic() + task["seconds"]
        while time.monotonic() < end:
            for peer, taken in zip(peers, times, strict=True):
                begin = time.perf_counter()
                await one.request(peer, ASK, bytes(100))
                taken.append(time.perf_counter() - begin)
            await asyncio.sleep(task["interval"])
        driver.send({"figures": [latencies(taken) for taken in times], "count": len(times[0])})
        await driver.next_line()


class Regularly:
    """Do something at regular times until the block ends, whatever the last one takes."""

    def __init__(self, interval: float, act: Callable[[], Awaitable[object]]) -> None:
        self._interval = interval
        self._act = act
        self._tasks: set[asyncio.Future[None]] = set()
        self._timer: asyncio.Future[None] | None = None

    async def __aenter__(self) -> None:
        self._timer = asyncio.ensure_future(self._run())

    async def __aexit__(self, *_: object) -> None:
        for each_of_them in (self._timer, *self._tasks):
            if each_of_them is not None:
                each_of_them.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            task = asyncio.ensure_future(self._once())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due += self._interval
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _once(self) -> None:
        try:
            await self._act()
        except CortexError as error:
            print(f"{error!r}", file=sys.stderr)


async def each(things: Iterable[Any], act: Callable[[Any], Awaitable[object]]) -> None:
    """`act` of each of them, some at once."""
    left = iter(things)

    async def work() -> None:
        for thing in left:
            await act(thing)

    await asyncio.gather(*(work() for _ in range(DIALS_AT_ONCE)))


ROLES: Final[dict[str, Role]] = {"node": node, "gossipers": gossipers, "servers": servers, "client": client}


async def main(role: Role) -> None:
    driver = await Driver.attach()
    await role(json.loads(await driver.next_line()), driver)


if __name__ == "__main__":
    asyncio.run(main(ROLES[sys.argv[1]]))

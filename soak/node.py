"""One node of a soak, and what it is told to do: by the public API, like any application."""

import asyncio
import gc
import inspect
import os
import resource
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import sleep
from typing import Any, Final, final

from cortexnet import Config, GossipMessage, Identity, InvalidRecord, KadConfig, Node, PeerId, Request
from cortexnet.multiformats.cid import Cid
from cortexnet.transport.connection import Connection
from soak.clock import WallClock

Result = dict[str, Any]

TOPIC: Final = "soak"
ECHO: Final = "/soak/echo/1.0.0"
DHT: Final = "/soak/lan/kad/1.0.0"
HANDLER: Final = "Handlers._run"
REMEMBERED: Final = 4_096
"""Messages of which one knows whether they came."""
ENTRIES: Final = 5
"""Of tables, for each peer: how many there are depends on who dialed, and on which protocols it has streams of."""
MENDING: Final = 75.0
"""Seconds in which of two connections to one peer the worse is closed, 45 after the last use of a stream of the DHT and 10 to 20
more; and in which a peer that was cut off when it was asked who it is has been asked again."""
UNSETTLED: Final = 4_096
"""Bytes of memory that a stream may stand for although they were read: yamux settles the account only from here on."""
TIMEOUT: Final = 30.0
"""Seconds for a request: a process on a machine at its limit, and one that was just stopped, take long."""


@final
class Newest:
    """Judges the values of `/soak/…`: a number, a colon, anything. The highest number wins."""

    def validate(self, key: bytes, value: bytes, unix_now: float) -> None:
        """Raises InvalidRecord."""
        if not value.partition(b":")[0].isdigit():
            raise InvalidRecord("a value of the soak begins with a number")

    def select(self, key: bytes, values: Sequence[bytes]) -> int:
        """Which of them is the newest."""
        numbers = [number_of(value) for value in values]
        return numbers.index(max(numbers))


def number_of(value: bytes) -> int:
    """The number of a value."""
    return int(value.partition(b":")[0])


def cid_of(name: str) -> Cid:
    """Some content, by its name."""
    return Cid.for_data(name.encode())


@final
class SoakNode:
    """Use it inside its `running`. Each coroutine of `commands` takes named arguments, and returns an object for JSON."""

    def __init__(self, folder: Path, listen: str, announce: str, bootstrap: Sequence[str], clock: WallClock) -> None:
        self._clock = clock
        self._identity = Identity.load_or_create(folder / "identity.key")
        self._listen = listen
        self._bootstrap = bootstrap
        self._config = Config(
            announce=[announce],
            kad=KadConfig(prefix="/soak", validators={"soak": Newest()}),
            state_directory=folder / "state",
        )
        self._node = Node(self._identity)  # until `start`
        self._life = AsyncExitStack()
        self._received: dict[str, int] = {}
        self._since: dict[Connection, float] = {}
        self.commands: dict[str, Callable[..., Awaitable[Result]]] = {
            "peers": self.peers,
            "publish": self.publish,
            "received": self.received,
            "ask": self.ask,
            "provide": self.provide,
            "providers": self.providers,
            "put": self.put,
            "get": self.get,
            "find": self.find,
            "figures": self.figures,
            "clock": self.clock,
            "disk": self.disk,
            "block": self.block,
            "start": self.start,
            "stop": self.stop,
            "problems": self.problems,
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """From its start to its end."""
        await self.start()
        try:
            yield
        finally:
            await self._life.aclose()

    async def start(self) -> Result:
        """Run a new node, with what an earlier one has kept."""
        node = Node(self._identity, listen=[self._listen], bootstrap=self._bootstrap, config=self._config)
        node.respond(ECHO, _echo)
        node.watch(connected=self._connected, disconnected=self._disconnected)
        await self._life.enter_async_context(node)
        self._node, self._received = node, {}
        node.gossip.handle(TOPIC, self._note)
        return {}

    async def stop(self) -> Result:
        """Close the node; what is left of it, which should be nothing."""
        await self._life.aclose()
        return {"rest": self.rest()}

    def _connected(self, connection: Connection) -> None:
        self._since[connection] = asyncio.get_running_loop().time()

    def _disconnected(self, connection: Connection) -> None:
        del self._since[connection]

    async def _note(self, message: GossipMessage) -> None:
        name = message.data.decode()
        self._received[name] = self._received.get(name, 0) + 1
        while len(self._received) > REMEMBERED:
            del self._received[next(iter(self._received))]

    # --- what applications do ----------------------------------------------------------------------------------------------

    async def peers(self) -> Result:
        """Whom it is connected to; whom twice, and whom unknown to gossip, although time enough has passed to mend that."""
        now = asyncio.get_running_loop().time()
        old: dict[PeerId, list[str]] = {}
        for connection, since in self._since.items():
            if since < now - MENDING:
                streams = ", ".join(str(stream.protocol) for stream in connection.streams) or "no streams"
                told = f"{connection.direction} for {now - since:.0f} s with {streams}"
                old.setdefault(connection.peer_id, []).append(told)
        heard = self._node.gossip.peers(TOPIC)
        return {
            "peers": list(map(str, self._node.peers)),
            "twice": {str(peer): "; ".join(each) for peer, each in old.items() if len(each) > 1},
            "unheard": {str(peer): each[0] for peer, each in old.items() if peer not in heard},
        }

    async def publish(self, message: str) -> Result:
        """To how many it went."""
        return {"peers": await self._node.gossip.publish(TOPIC, message.encode())}

    async def received(self, messages: Sequence[str]) -> Result:
        """How often each of these has come, and what has come more than once."""
        wanted = set(messages)
        return {"counts": {name: count for name, count in self._received.items() if count > 1 or name in wanted}}

    async def ask(self, address: str, question: str) -> Result:
        """A request to whoever is at an address."""
        async with asyncio.timeout(TIMEOUT):
            peer = await self._node.dial(address)
            return {"answer": (await self._node.request(peer, ECHO, question.encode())).decode()}

    async def provide(self, name: str) -> Result:
        """How many peers know it now."""
        return {"told": await self._node.kad.provide(cid_of(name))}

    async def providers(self, name: str) -> Result:
        """Who has that content, as the DHT knows."""
        return {"peers": [str(found.peer_id) async for found in self._node.kad.find_providers(cid_of(name), None)]}

    async def put(self, name: str, value: str) -> Result:
        """How many peers have taken it."""
        return {"stored": await self._node.kad.put_value(f"/soak/{name}", value.encode())}

    async def get(self, name: str) -> Result:
        """The value."""
        return {"value": (await self._node.kad.get_value(f"/soak/{name}")).decode()}

    async def find(self, peer: str) -> Result:
        """Where a peer is."""
        return {"addresses": list(map(str, (await self._node.kad.find_peer(PeerId.parse(peer))).addresses))}

    # --- what goes wrong ---------------------------------------------------------------------------------------------------

    async def clock(self, offset: int) -> Result:
        """Set the time of day so many seconds off."""
        self._clock.offset = offset
        return {}

    async def disk(self, full: bool) -> Result:
        """Let no file grow or be written from now on; Python ignores the signal that comes with it, so writes fail. Or again."""
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (0 if full else hard, hard))
        return {}

    async def block(self, seconds: float) -> Result:
        """Keep the loop, as a careless handler does."""
        sleep(seconds / self._clock.speed)  # noqa: ASYNC251  # that is what it is for
        return {}

    # --- how it is ---------------------------------------------------------------------------------------------------------

    async def problems(self) -> Result:
        """What it finds wrong with itself, beside a loop that is late: the machine has others to serve."""
        return {"problems": [problem.what for problem in self._node.health().problems if "loop" not in problem.what]}

    async def figures(self) -> Result:
        """What the process holds, garbage left out."""
        gc.collect()
        found, held = tasks(), self._node.counters
        streams = [stream for connection in self._node.connections for stream in connection.streams]
        held["memory"] = max(0, held["memory"] - UNSETTLED * len(streams))
        # What the DHT has open follows its own upkeep, which no calm interrupts: apart from the rest, and bounded by the peers.
        served = found.pop(f"{HANDLER} {DHT}", 0)
        asking = sum(stream.protocol == DHT and stream.direction == "outbound" for stream in streams)
        held["streams_inbound"] -= served
        held["streams_outbound"] -= asking
        held["entries"] = max(0, held["entries"] - ENTRIES * len(self._node.peers))
        return {
            "peers": len(self._node.peers),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "tasks": found,
            "reservations": held,
            "dht": {"streams of the DHT to peers": asking, "streams of the DHT from peers": served},
        }

    def rest(self) -> dict[str, int]:
        """What is left after the end; nothing should be."""
        return {name: count for name, count in {**self._node.counters, **tasks()}.items() if count}


def tasks() -> dict[str, int]:
    """The tasks of the loop that are not the soak's own, by the coroutine that they run; handlers by protocol, too."""
    found: Counter[str] = Counter()
    for task in asyncio.all_tasks():
        coroutine = task.get_coro()
        if inspect.iscoroutine(coroutine) and "soak" not in Path(coroutine.cr_code.co_filename).parts:
            name = coroutine.__qualname__
            found[f"{name} {task.get_name().split()[0]}" if name == HANDLER else name] += 1
    return found


async def _echo(request: Request) -> bytes:
    return request.data

"""Connect, shake hands, echo, close, over and over: is everything as it was, and does memory stay where it is?

    python -m bench.cycles tcp-noise 100000

Both nodes run in this process, so whatever either of them leaves behind shows. Exit status 1 where something is left.
"""

import argparse
import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final, final

from bench.attacked import count_descriptors
from bench.cortexnet_peer import ECHO, MESSAGE, MESSAGE_SIZE, PLAIN, echo, resident
from cortexnet import Config, Node

STACKS: Final[dict[str, tuple[str, Config]]] = {
    "tcp-noise": ("/ip4/127.0.0.1/tcp/0", replace(PLAIN, security=["noise"])),
    "tcp-tls": ("/ip4/127.0.0.1/tcp/0", replace(PLAIN, security=["tls"])),
    "ws-noise": ("/ip4/127.0.0.1/tcp/0/ws", replace(PLAIN, transports=["ws"], security=["noise"])),
    "quic": ("/ip4/127.0.0.1/udp/0/quic-v1", replace(PLAIN, transports=["quic"])),
}
WARM_UP: Final = 100
"""Cycles before the baseline: what is made once and kept is made by then."""
MEMORY_SLACK: Final = 2.0
"""MiB that the last tenth may hold more than the first."""
SETTLING: Final = 5.0
"""Seconds after which nothing may be left of the last connection."""


@final
@dataclass(frozen=True, slots=True)
class State:
    """What a process holds: all of it is to be the same again."""

    tasks: int
    descriptors: int | None
    counters: dict[str, int]
    """Those that are not zero."""


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """The state before and after, and the largest resident memory in the first and the last tenth, in MiB."""

    before: State
    after: State
    first_tenth: float
    last_tenth: float

    @property
    def leftovers(self) -> list[str]:
        """What is not as it was, in words; nothing where all is."""
        left = []
        if self.after != self.before:
            left.append(f"before {asdict(self.before)}, after {asdict(self.after)}")
        if self.last_tenth > self.first_tenth + MEMORY_SLACK:
            left.append(f"memory grew from {self.first_tenth:.1f} to {self.last_tenth:.1f} MiB")
        return left


async def cycle(stack: str, count: int, progress: Callable[[int], None] = lambda done: None) -> Outcome:
    """So many connections between two nodes, one after the other."""
    listen, config = STACKS[stack]
    async with Node(listen=[listen], config=config) as server, Node(listen=[], config=config) as client:
        server.handle(ECHO, echo)
        address = str(server.addresses[0])
        for _ in range(WARM_UP):
            await once(client, address)
        before = await rest(server, client, None)
        memory: list[float] = []
        tenth = max(count // 10, 1)
        for number in range(1, count + 1):
            await once(client, address)
            if number % max(tenth // 10, 1) == 0:
                memory.append((resident() or 0) / (1 << 20))
                progress(number)
        after = await rest(server, client, before)
    share = max(len(memory) // 10, 1)
    return Outcome(before, after, max(memory[:share]), max(memory[-share:]))


async def once(client: Node, address: str) -> None:
    peer = await client.dial(address)
    async with client.stream(peer, ECHO) as stream:
        await stream.write(MESSAGE)
        await stream.read_exactly(MESSAGE_SIZE)
    await client.disconnect(peer)


async def rest(server: Node, client: Node, expected: State | None) -> State:
    """What is held once nothing of it becomes less any more."""
    loop = asyncio.get_running_loop()
    end = loop.time() + SETTLING
    while True:
        await asyncio.sleep(0.05)
        gc.collect()
        counters = {
            f"{name} of {who}": count
            for who, node in (("server", server), ("client", client))
            for name, count in node.counters.items()
            if count
        }
        state = State(len(asyncio.all_tasks()), count_descriptors(), counters)
        is_at_rest = "connections of server" not in counters if expected is None else state == expected
        if is_at_rest or loop.time() > end:
            return state


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.cycles", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("stack", choices=STACKS)
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    begun = time.perf_counter()
    outcome = asyncio.run(cycle(options.stack, options.count, lambda done: print(f"\r{done:,}", end="", file=sys.stderr)))
    print(file=sys.stderr)
    print(
        json.dumps(
            {
                "stack": options.stack,
                "cycles": options.count,
                "rate": options.count / (time.perf_counter() - begun),
                **asdict(outcome),
            }
        )
    )
    for text in outcome.leftovers:
        print(f"LEFT: {text}", file=sys.stderr)
    return 1 if outcome.leftovers else 0


if __name__ == "__main__":
    sys.exit(main())

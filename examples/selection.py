"""Several peers can answer, some of them slowly: who is asked, and what happens when those who were quick hang.

    python examples/selection.py

Nothing has to be told about the peers: the node learns from each answer how long they take. It all happens in a simulated network
and in virtual time, so that it is over at once.
"""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from cortexnet import Config, Node, Request, SelectionConfig
from cortexnet.testing.loop import VirtualTimeLoop
from cortexnet.testing.network import SimulatedNetwork

NETWORK = SimulatedNetwork()
SQUARE = "/example/square/1.0.0"


def node_of(name: str) -> Node:
    settled = SelectionConfig(exploration=0)  # else three choices in a hundred fall on anybody, and what is printed here varies
    return Node(listen=["/memory/0"], config=Config(transports=["memory"], memory_network=NETWORK.host(name), selection=settled))


class Worker:
    """A node that squares numbers."""

    def __init__(self, name: str, takes: float) -> None:
        self.name = name
        self.takes = takes
        self.node = node_of(name)
        self.node.respond(SQUARE, self.square)

    async def square(self, request: Request) -> bytes:
        await asyncio.sleep(self.takes)
        return str(int(request.data) ** 2).encode()


async def main() -> None:
    workers = [Worker("quick", 0.01), Worker("steady", 0.02), Worker("slow", 0.2)]
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(node_of("client"))
        for worker in workers:
            await stack.enter_async_context(worker.node)
            await node.dial(worker.node.addresses)
        names = {worker.node.peer_id: worker.name for worker in workers}

        asked = Counter[str]()
        for number in range(100):
            answer = await node.request_any(names, SQUARE, str(number).encode(), timeout=5)
            assert answer.data == str(number**2).encode()
            asked[names[answer.peer_id]] += 1
        print("the slow one has answered few of 100:", asked["slow"] < 20)

        first = node.selection.pick(names, n=3, purpose=SQUARE)
        print("who is asked last, if all are:", names[first[-1]])

        for worker in workers[:2]:
            worker.takes = 60.0
        answer = await node.request_any(names, SQUARE, b"12", timeout=30)
        print("although the others hang:", answer.data.decode(), "from", names[answer.peer_id])


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())

"""A peer misbehaves: its streams are refused, then it is denied; a good one from the same machine notices nothing of it.

    python examples/reputation.py

What breaks a protocol the node notices itself. What an answer is worth only the application can tell, as here.
"""

import asyncio

from cortexnet import Node, PeerId, Request, RequestFailed
from cortexnet.reputation.events import PeerDenied, PeerRefused

ADD = "/example/add/1.0.0"


async def right(request: Request) -> bytes:
    return str(sum(map(int, request.data.split()))).encode()


async def wrong(request: Request) -> bytes:
    return b"five, or so"


async def ask(node: Node, peer: PeerId) -> None:
    """Ask for what is known already, and tell reputation what came of it."""
    answer = await node.request(peer, ADD, b"2 2")
    if answer != b"4":
        node.reputation.violation(peer, "a wrong sum")


async def main() -> None:
    async with Node() as node, Node(listen=["/ip4/127.0.0.1/tcp/0"]) as honest, Node(listen=["/ip4/127.0.0.1/tcp/0"]) as liar:
        node.respond(ADD, right)
        honest.respond(ADD, right)
        liar.respond(ADD, wrong)
        for other in (honest, liar):
            await node.dial(other.addresses)

        async with node.events(PeerRefused, PeerDenied) as events:
            for _ in range(9):  # what it has answered in time speaks for it: from a stranger, six would do
                await ask(node, liar.peer_id)
                await ask(node, honest.peer_id)
            event = await anext(aiter(events))
            print("noticed:", isinstance(event, PeerRefused) and event.peer_id == liar.peer_id)
            print("honest:", await honest.request(node.peer_id, ADD, b"1 2"))
            try:
                await liar.request(node.peer_id, ADD, b"1 2")
            except RequestFailed as error:
                print("liar:", hex(error.code))
            for _ in range(2):
                await ask(node, liar.peer_id)  # that we ask nobody is kept from
            await anext(aiter(events))
            print("liar:", node.reputation.explain(liar.peer_id).standing)

        print(str(node.reputation.explain(liar.peer_id)).splitlines()[3].strip())
        node.reputation.forgive(liar.peer_id)
        await node.dial(liar.addresses)
        print("forgiven:", liar.peer_id in node.peers)


if __name__ == "__main__":
    asyncio.run(main())

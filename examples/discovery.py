"""Nodes that know one node find the others: from whom each was heard, and what came of the bootstrap list.

python examples/discovery.py
"""

import asyncio
import logging
from contextlib import AsyncExitStack

from cortexnet import Config, DiscoveryConfig, Identity, Node

LISTEN = ["/ip4/127.0.0.1/tcp/0"]
CONTENT = Config(discovery=DiscoveryConfig(peers=0), kad=None)  # finds peers, and dials none by itself


async def main() -> None:
    logging.getLogger("cortexnet").setLevel(logging.ERROR)  # which warns of bootstrap peers as well
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Node(listen=LISTEN, config=CONTENT))
        names = {first.peer_id: "first"}
        for name in ("alice", "bob", "carol"):
            node = await stack.enter_async_context(Node(listen=LISTEN, bootstrap=first.addresses, config=CONTENT))
            await node.ready()
            await first.identify(node.peer_id)  # by now it knows where that one listens
            names[node.peer_id] = name

        stranger = Identity.generate().peer_id
        wrong = f"{first.listen_addresses()[0]}/p2p/{stranger}"  # nobody of that name is there
        newcomer = Node(listen=LISTEN, bootstrap=[*first.addresses, wrong], config=Config(kad=None))
        await stack.enter_async_context(newcomer)
        await newcomer.ready()
        for result in newcomer.bootstrap_results:
            who = names.get(result.peer_id, "a stranger") if result.peer_id else "nobody"
            print(f"bootstrap peer {who}: {result.outcome}{': ' if result.advice else ''}{result.advice}")

        found = []
        async with newcomer.discovered() as peers:
            async for peer in peers:
                found.append(f"found {names[peer.peer_id]} by {peer.source}")
                if len(found) == len(names):
                    break
        print(*sorted(found), sep="\n")
        for peer_id, name in names.items():
            await newcomer.ping(peer_id)
            print(f"{name} answers")


if __name__ == "__main__":
    asyncio.run(main())

"""Real nodes that know of each other by mDNS alone; run within a network namespace, by `tests/test_mdns_over_sockets.py`.

    python -m tests.support.mdns_nodes SERVICE INTERFACE COUNT LISTEN

Prints, as JSON, how many others each node has found by mDNS, and how many it has pinged.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from cortexnet import Config, Node
from cortexnet.discovery.mdns_config import MdnsConfig

PATIENCE = 20.0


async def find(node: Node, count: int) -> dict[str, int]:
    """So many others, all by mDNS; then talk to each, by its id alone."""
    found = []
    async with asyncio.timeout(PATIENCE), node.discovered() as stream:
        async for peer in stream:
            assert peer.source == "mdns", peer
            found.append(peer.peer_id)
            if len(found) == count:
                break
    pings = [await node.ping(peer) for peer in found]
    return {"found": len(found), "pinged": len(pings)}


async def main(service: str, interface: str, count: int, listen: str) -> None:
    mdns = MdnsConfig(service=service, interfaces=[interface] if interface != "any" else [])
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(listen=[listen], config=Config(mdns=mdns))) for _ in range(count)]
        results = await asyncio.gather(*[find(node, count - 1) for node in nodes])
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))

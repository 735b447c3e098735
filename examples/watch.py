"""Watch a node: what happens to it as events, whether it is well, and its numbers as Prometheus scrapes them.

pip install 'cortexnet[metrics]'
python examples/watch.py
"""

import asyncio

from prometheus_client import CollectorRegistry, generate_latest

from cortexnet import Node
from cortexnet.observe.events import ConnectionEnded, ConnectionOpened, PeerIdentified
from cortexnet.observe.metrics import NodeCollector


async def watch(node: Node) -> None:
    async with node.events(ConnectionOpened, PeerIdentified, ConnectionEnded) as events:
        async for event in events:  # until the node is closed
            match event:
                case ConnectionOpened(peer_id=peer, transport=transport, security=security):
                    print(f"+ {peer} over {transport} and {security}")
                case PeerIdentified(peer_id=peer, protocols=protocols):
                    print(f"  {peer} speaks {len(protocols)} protocols")
                case ConnectionEnded(peer_id=peer, reason=reason):
                    print(f"- {peer}: {reason}")


async def main() -> None:
    registry = CollectorRegistry()
    async with asyncio.TaskGroup() as tasks, Node(listen=["/ip4/127.0.0.1/tcp/0"]) as node:
        tasks.create_task(watch(node))
        registry.register(NodeCollector(node))
        async with Node() as visitor:
            await visitor.dial(node.addresses)
            await visitor.identify(node.peer_id)
            await node.identify(visitor.peer_id)
        print(f"health: {node.health().status}")
        numbers = generate_latest(registry).decode().splitlines()
        print(next(line for line in numbers if line.startswith("cortexnet_connections_opened_inbound_total")))


if __name__ == "__main__":
    asyncio.run(main())

"""Three nodes and a topic: one publishes, the others check what it says before they believe it and pass it on.

python examples/topics.py
"""

import asyncio
from contextlib import AsyncExitStack

from cortexnet import Accept, GossipMessage, Node, Reject, Verdict

BLOCKS = "example/blocks"


def validate(message: GossipMessage) -> Verdict:
    """Who brings us anything but a block is thought less of, and nobody else gets it from us."""
    return Accept if message.data.startswith(b"block ") else Reject


async def main() -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(listen=["/ip4/127.0.0.1/tcp/0"])) for _ in range(3)]
        for node in nodes:
            node.gossip.validate(BLOCKS, validate)
        author, *others = nodes
        async with author.gossip.subscribe(BLOCKS) as here:
            readers = [await stack.enter_async_context(node.gossip.subscribe(BLOCKS)) for node in others]
            for node in others:
                await node.dial(author.addresses)
            await here.ready(peers=2)  # else the first messages would go to nobody
            for data in (b"block 1", b"nonsense", b"block 2"):
                print(f"{data.decode()} went to {await author.gossip.publish(BLOCKS, data)} peers")
            for reader in readers:
                for _ in range(2):
                    message = await anext(reader)
                    print(f"{message.data.decode()}, says {message.author}")


if __name__ == "__main__":
    asyncio.run(main())

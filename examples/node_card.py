"""Four nodes say what they can do and where they are, on signed cards; a fifth one finds those it needs, and asks one of them."""

import asyncio
from contextlib import AsyncExitStack

from cortexnet import Card, CardConfig, Config, Node

HERE = ["/ip4/127.0.0.1/tcp/0"]
MEMBERS = {  # geohashes: u33d is in Berlin, u281 near Munich, 9q8y in San Francisco
    "berlin": CardConfig(capabilities=["gpu", "store"], region="u33d", metadata={"name": "berlin"}, limits={"jobs": 4}),
    "munich": CardConfig(capabilities=["gpu"], region="u281", metadata={"name": "munich"}, limits={"jobs": 2}),
    "francisco": CardConfig(capabilities=["gpu"], region="9q8y", metadata={"name": "francisco"}),
    "nowhere": CardConfig(capabilities=["store"], metadata={"name": "nowhere"}),
}


async def names(alice: Node, capability: str, region: str, count: int) -> str:
    """Who is found, once it is `count` nodes: each tells the DHT of its capabilities as soon as it is connected."""
    while True:
        found = [card.details.metadata["name"] async for card in alice.find(capability, region)]
        if len(found) == count:
            return " ".join(sorted(found))


async def main() -> None:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(Node(listen=HERE))
        nodes = {
            name: await stack.enter_async_context(Node(listen=HERE, bootstrap=hub.addresses, config=Config(card=card)))
            for name, card in MEMBERS.items()
        }
        alice = await stack.enter_async_context(Node(listen=HERE, bootstrap=hub.addresses))

        print("with a GPU:", await names(alice, "gpu", "", 3))
        print("in region u, as Berlin is:", await names(alice, "gpu", "u", 2))
        print("a store in Berlin:", await names(alice, "store", "u33", 1))

        berlin = nodes["berlin"]
        card = await alice.card(berlin.peer_id)
        print(
            "signed by Berlin:",
            Card.open(card.envelope, berlin.peer_id) == card,
            "- it takes",
            card.details.limits["jobs"],
            "jobs",
        )

        berlin.update_card(limits={"jobs": 0})  # what is not given stays
        card = await alice.card(berlin.peer_id, fresh=True)
        print("busy now:", card.details.limits["jobs"], "jobs, still in", card.details.region)


asyncio.run(main())

"""Which connections a node has: one to a peer that must stay, wherever it goes, and of all others those that are worth most.

python examples/keep_connected.py
"""

import asyncio

from cortexnet import Config, Connection, ConnectionManagerConfig, HalfLife, Identity, Node

QUICK = Config(manager=ConnectionManagerConfig(retry_first=0.1))  # an example has no time; a second is what is usual


async def keep() -> None:
    """A peer that is kept is dialed at once, or at the start, and again whenever it is lost."""
    identity = Identity.generate()
    changes: asyncio.Queue[str] = asyncio.Queue()

    def connected(connection: Connection) -> None:
        changes.put_nowait("connected")

    def disconnected(connection: Connection) -> None:
        changes.put_nowait("lost")

    async with Node(config=QUICK) as client:
        client.watch(connected=connected, disconnected=disconnected)
        async with Node(identity, listen=["/ip4/127.0.0.1/tcp/0"]) as server:
            [address] = server.listen_addresses()
            client.manager.keep(server.peer_id, [address])
            print("the server is", await changes.get())
        print("the server is", await changes.get())
        async with Node(identity, listen=[address]):  # it is back, at its old address
            print("the server is", await changes.get())


async def trim() -> None:
    """Above the high watermark connections are closed down to the low one, those of little value first; or when asked to."""
    config = Config(manager=ConnectionManagerConfig(low=2, high=100, grace=0.0))
    hub = Node(listen=["/ip4/127.0.0.1/tcp/0"], config=config)
    hub.manager.fading("answers", HalfLife(3600))  # what a peer did for us lately counts more
    arrivals: asyncio.Queue[Connection] = asyncio.Queue()
    hub.watch(connected=arrivals.put_nowait)
    async with hub, Node() as helpful, Node() as friend, Node() as stranger:
        names = {helpful.peer_id: "helpful", friend.peer_id: "friend", stranger.peer_id: "stranger"}
        for guest in (helpful, friend, stranger):
            await guest.dial(hub.addresses)
            await arrivals.get()  # who dials is there a little before who is dialed
        hub.manager.bump(helpful.peer_id, "answers", 5)
        hub.manager.protect(friend.peer_id, "friends")  # never trimmed, whatever it is worth
        print("closed:", await hub.manager.trim())
        print("still there:", *sorted(names[peer] for peer in hub.peers))


async def main() -> None:
    await keep()
    await trim()


if __name__ == "__main__":
    asyncio.run(main())

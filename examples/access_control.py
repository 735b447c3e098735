"""Who may connect: a node that denies a peer, then lets in only whom it knows, then decides itself.

    python examples/access_control.py

Rules may come and go at any time; connections that they are against are closed at once.
"""

import asyncio
from typing import Literal

from cortexnet import Denied, DialFailed, GatedConnection, Multiaddr, Node, PeerId


class OnlyThisMachine:
    """A gate of one's own, asked at four points of every connection. It has no dealings with other machines."""

    def dial(self, peer: PeerId | None, address: Multiaddr) -> bool:
        return address.is_loopback

    def accept(self, address: Multiaddr) -> bool:
        return address.is_loopback

    def secured(self, peer: PeerId, address: Multiaddr, direction: Literal["inbound", "outbound"]) -> bool:
        return True

    def upgraded(self, connection: GatedConnection) -> bool:
        return True


async def main() -> None:
    async with Node(listen=["/ip4/127.0.0.1/tcp/0"]) as server, Node() as friend, Node() as stranger:
        lost = asyncio.Event()
        stranger.watch(disconnected=lambda connection: lost.set())
        await stranger.dial(server.addresses)
        server.gater.deny(stranger.peer_id, "floods us", seconds=3600)
        await lost.wait()
        print("closed:", stranger.peers == [])

        server.gater.deny("192.0.2.0/24", "a bad neighbourhood")
        print("a network:", server.gater.explain("/ip4/192.0.2.7/tcp/4001"))

        server.gater.remove(stranger.peer_id)
        server.gater.allow(friend.peer_id)
        server.gater.allow_only = True
        await friend.dial(server.addresses)
        print("let in:", server.peers == [friend.peer_id])

        stranger.gater.gate = OnlyThisMachine()
        try:
            await stranger.dial("/ip4/192.0.2.7/tcp/4001")
        except DialFailed as error:
            for address, reason in error.attempts:
                print("not dialed:", address, isinstance(reason, Denied))


if __name__ == "__main__":
    asyncio.run(main())

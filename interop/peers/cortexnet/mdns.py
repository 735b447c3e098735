"""Nodes with mDNS, as many as the runner asks for, and whom they find."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from cortexnet import Node
from cortexnet.discovery.mdns_config import MdnsConfig
from interop.peers.cortexnet.failures import BadRequest
from interop.peers.cortexnet.held import Answer, Request

if TYPE_CHECKING:
    from cortexnet.multiformats.multiaddr import Multiaddr


@final
class _Finder:
    """A node, and whom it has found."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.found: dict[str, tuple[Multiaddr, ...]] = {}
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.node.__aenter__()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async with self.node.discovered() as stream:
            async for peer in stream:
                if peer.source == "mdns":
                    self.found[str(peer.peer_id)] = peer.addresses

    async def stop(self) -> None:
        await self.node.__aexit__(None, None, None)
        if self._listening is not None:
            await self._listening


@final
class MdnsNodes:
    """The nodes, by number. `make` makes one that has the rest of what `mdns_start` says."""

    def __init__(self, make: Callable[[Request, MdnsConfig], Node]) -> None:
        self._make = make
        self._nodes: dict[int, _Finder] = {}
        self._count = 0
        self.operations = {
            "mdns_start": self.start,
            "mdns_stop": self.stop,
            "mdns_found": self.found,
            "mdns_connect": self.connect,
        }

    def _get(self, request: Request) -> _Finder:
        number = request.get("node") or 0
        if number not in self._nodes:
            raise BadRequest(f"no node {number}")
        return self._nodes[number]

    async def start(self, request: Request) -> Answer:
        service = request.get("service")
        finder = _Finder(self._make(request, MdnsConfig(service=service) if service else MdnsConfig()))
        await finder.start()
        number, self._count = self._count, self._count + 1
        self._nodes[number] = finder
        node = finder.node
        return {"node": number, "peer_id": str(node.peer_id), "addresses": [str(address) for address in node.addresses]}

    async def stop(self, request: Request) -> Answer:
        await self._get(request).stop()
        del self._nodes[request.get("node") or 0]
        return {}

    async def found(self, request: Request) -> Answer:
        found = self._get(request).found
        return {"found": [{"peer_id": peer, "addresses": list(map(str, addresses))} for peer, addresses in found.items()]}

    async def connect(self, request: Request) -> Answer:
        finder, peer = self._get(request), request["peer"]
        if peer not in finder.found:
            raise BadRequest(f"{peer} was not found")
        await finder.node.dial(peer)
        return {}

    async def close(self) -> None:
        """Stop them all."""
        while self._nodes:
            _, finder = self._nodes.popitem()
            await finder.stop()

"""The network between the nodes: each is reached through a port of ours, so that it can be cut off from some of them.

While two nodes are parted no byte passes between them, and nobody is told: what was sent before waits in our sockets, as it would
in the network, and comes when they are together again. A new connection is made and then silent. A node is known by the address
it dials from, one of 127.0.0.0/8 each, which only Linux has without being asked.
"""

import asyncio
import os
from collections.abc import Collection
from typing import Final, final

_NODE, _PORT = "127.0.1.{}", "127.0.2.{}"
LARGEST: Final = 250
"""Nodes at most: each has an address."""
PORT: Final = 10_000 + os.getpid() % 20_000
"""Where nodes listen: below the ports that systems give out, and another one in each run."""


def address_of(node: int) -> str:
    """Where a node listens, and where it dials from."""
    return _NODE.format(node + 1)


@final
class Network:
    """Ports for `nodes`. Open it before they start, and close it when they are gone."""

    def __init__(self, nodes: int) -> None:
        self._ports = [_Port(self, node) for node in range(nodes)]
        self._cuts: list[frozenset[int]] = []
        self.links: set[Link] = set()

    async def open(self) -> None:
        """Find a port for each."""
        for port in self._ports:
            await port.open()

    def multiaddr(self, node: int) -> str:
        """Where others reach a node."""
        return f"/ip4/{_PORT.format(node + 1)}/tcp/{self._ports[node].number}"

    async def up(self, node: int) -> None:
        """It listens, at PORT of its own address."""
        await self._ports[node].open()

    def down(self, node: int) -> None:
        """It does not: whoever dials it is refused."""
        self._ports[node].shut()

    def cut(self, nodes: Collection[int]) -> None:
        """Part these from all others."""
        self._cuts.append(frozenset(nodes))
        self._changed()

    def mend(self, nodes: Collection[int]) -> None:
        """Undo that."""
        self._cuts.remove(frozenset(nodes))
        self._changed()

    def is_cut(self, one: int, other: int) -> bool:
        """Whether they are parted."""
        return any((one in cut) != (other in cut) for cut in self._cuts)

    def _changed(self) -> None:
        for link in list(self.links):
            link.turn()

    def close(self) -> None:
        """End it all."""
        for port in self._ports:
            port.shut()
        for link in list(self.links):
            link.abort()


@final
class _Port:
    def __init__(self, network: Network, node: int) -> None:
        self._network = network
        self._node = node
        self._server: asyncio.Server | None = None
        self.number = 0

    async def open(self) -> None:
        if self._server is None:
            loop, host = asyncio.get_running_loop(), _PORT.format(self._node + 1)
            self._server = await loop.create_server(self._accept, host, self.number, backlog=512)
            self.number = self._server.sockets[0].getsockname()[1]

    def _accept(self) -> "_End":
        return Link(self._network, self._node).dialer

    def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None


@final
class Link:
    """One connection through the network: a socket to the node that dialed, one to that which is dialed."""

    def __init__(self, network: Network, target: int) -> None:
        self._network = network
        self._source = -1
        self._target = target
        self._connecting: asyncio.Task[None] | None = None
        self.dialer = _End(self)
        self._dialed = _End(self)
        self.dialer.other, self._dialed.other = self._dialed, self.dialer

    def arrived(self, host: str) -> None:
        """Somebody has dialed, from this address."""
        self._source = int(host.rpartition(".")[2]) - 1
        self._network.links.add(self)
        self.turn()

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes now."""
        return self._network.is_cut(self._source, self._target)

    def turn(self) -> None:
        """The network has changed: pass on what has waited, or stop that."""
        if not self.is_cut and self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        for end in (self.dialer, self._dialed):
            end.turn()

    async def _connect(self) -> None:
        host = address_of(self._target)
        try:
            await asyncio.get_running_loop().create_connection(lambda: self._dialed, host, PORT)
        except OSError:
            self.abort()
            return
        self.dialer.turn()

    def _forget(self) -> None:
        self._network.links.discard(self)
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()

    def ended(self) -> None:
        """A socket is gone: so is the other, after what is still to be passed on."""
        if self.is_cut:
            return  # nobody is told yet
        self._forget()
        for end in (self.dialer, self._dialed):
            end.close()

    def abort(self) -> None:
        """Drop both sockets."""
        self._forget()
        for end in (self.dialer, self._dialed):
            end.abort()


@final
class _End(asyncio.Protocol):
    """One of the sockets. What comes in goes out at the other."""

    other: "_End"

    def __init__(self, link: Link) -> None:
        self._link = link
        self._transport: asyncio.Transport | None = None
        self._is_full = False
        self._is_at_end = False
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self is self._link.dialer:
            transport.pause_reading()
            self._link.arrived(transport.get_extra_info("peername")[0])
        else:
            self.turn()

    def turn(self) -> None:
        """Read where what is read has somewhere to go."""
        transport, other = self._transport, self.other
        if transport is None or transport.is_closing():
            if self._is_over:
                self._link.ended()
            return
        if self._link.is_cut or other._is_full or other._transport is None:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self.other._transport is not None:
            self.other._transport.write(data)

    def eof_received(self) -> bool:
        self._is_at_end, other = True, self.other._transport
        if self.other._is_at_end:
            self._link.ended()
        elif other is not None and not other.is_closing():
            other.write_eof()
        return True

    def pause_writing(self) -> None:
        self._is_full = True
        self.other.turn()

    def resume_writing(self) -> None:
        self._is_full = False
        self.other.turn()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_over = True
        self._link.ended()

    def close(self) -> None:
        """After what is still to be written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """At once."""
        if self._transport is not None and not self._is_over:
            self._transport.abort()
